import { readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { NbdError } from "../errors.js";
import type { ByteStream } from "../stream.js";
import type { NbdAddress } from "../uri.js";
import { clientPsk, type PskIdentity, parsePskFile } from "./psk.js";
import { clientTls, type TlsCredentials } from "./tls.js";

/** How a client encrypts its connection. */
export interface ClientTlsOptions {
  /** For `nbds:` URIs: certificates, or a key. Without either the system's authorities decide about the server. */
  readonly tls?: TlsCredentials | PskIdentity;
  /** The name the server's certificate must carry, when it is not the host's name. */
  readonly tlsHostname?: string;
  /** False to accept any certificate of a server. */
  readonly verifyPeer?: boolean;
  /** Let a URI name local files (`tls-psk-file`, `tls-certificates`); refused unless true, as URIs may come from others. */
  readonly allowLocalFiles?: boolean;
}

/** How to encrypt the connection to an address; undefined when it is not to be encrypted. */
export function tlsFor(
  address: NbdAddress,
  options: ClientTlsOptions,
): { upgrade(stream: ByteStream): Promise<ByteStream> } | undefined {
  if (!address.tls) return undefined;
  const credentials = options.tls ?? namedBy(address, options.allowLocalFiles === true) ?? {};
  if ("username" in credentials) return clientPsk(credentials);
  const host = options.tlsHostname ?? address.tlsHostname ?? (address.kind === "tcp" ? address.host : "localhost");
  return clientTls(credentials, host, options.verifyPeer ?? address.tlsVerifyPeer ?? true);
}

/** The credentials in the local files that a URI names. */
function namedBy(address: NbdAddress, allowed: boolean): TlsCredentials | PskIdentity | undefined {
  const { tlsPskFile, tlsCertificates } = address;
  if (tlsPskFile === undefined && tlsCertificates === undefined) return undefined;
  if (!allowed) throw new NbdError("refused", "the URI names a local file, and that is not allowed here");
  if (tlsPskFile === undefined) return readTlsFolder(tlsCertificates!, "client");
  return readPskIdentity(tlsPskFile, address.username ?? userInfo().username);
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new NbdError("refused", `${path}: ${message}`, { structure: "TLS credentials" }, { cause: error });
  }
}

/** The keys in a file for {@link serverPsk}. */
export const readPskFile = (path: string): Map<string, Uint8Array> => parsePskFile(readText(path), path);

/** The key of one user, from a file that may have those of others. */
export function readPskIdentity(path: string, username: string): PskIdentity {
  const key = readPskFile(path).get(username);
  if (key === undefined) throw new NbdError("refused", `${path}: no key for the user "${username}"`);
  return { username, key };
}

/**
 * The PEM files of a folder under the names that GnuTLS's programs use: `ca-cert.pem`, `server-cert.pem` and
 * `server-key.pem`, `client-cert.pem` and `client-key.pem`. A client may do without a certificate of its own.
 */
export function readTlsFolder(folder: string, endpoint: "client" | "server"): TlsCredentials {
  const optional = (name: string): string | undefined => {
    try {
      return readText(join(folder, name));
    } catch (error) {
      const missing = ((error as NbdError).cause as NodeJS.ErrnoException).code === "ENOENT";
      if (endpoint === "client" && missing) return undefined;
      throw error;
    }
  };
  const ca = readText(join(folder, "ca-cert.pem"));
  return { ca, cert: optional(`${endpoint}-cert.pem`), key: optional(`${endpoint}-key.pem`) };
}
