import { accessSync, constants, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ClientTlsOptions, PskKeys, TlsCredentials } from "@softmetal/nbd/node";
import { CommandError, type Context, errnoText, messageOf } from "./context.js";
import { switchOption } from "./keyval.js";

/** The side of a connection. */
export type Endpoint = "client" | "server";

/** `--object tls-creds-x509` and `tls-creds-psk`: what their options said. */
export interface TlsObject {
  readonly type: "tls-creds-x509" | "tls-creds-psk";
  readonly dir: string;
  readonly endpoint: Endpoint;
  readonly verifyPeer: boolean;
  /** Whose key a client uses. */
  readonly username: string;
  /** For a private key that is encrypted. */
  readonly passphrase?: string;
}

/** The options that QEMU knows for a type, beside `qom-type` and `id`. */
const COMMON = ["dir", "endpoint", "verify-peer", "priority"];
export const TLS_OPTIONS: Readonly<Record<string, readonly string[]>> = {
  "tls-creds-x509": [...COMMON, "sanity-check", "passwordid"],
  "tls-creds-psk": [...COMMON, "username"],
};

/** Checks the options of a TLS object, and that its files are there. */
export function tlsObject(context: Context, type: string, options: ReadonlyMap<string, string>): TlsObject {
  const endpoint = options.get("endpoint") ?? "client";
  if (endpoint !== "client" && endpoint !== "server") {
    throw new CommandError(`Parameter 'endpoint' does not accept value '${endpoint}'`);
  }
  const verifyPeer = switchOption("verify-peer", options.get("verify-peer") ?? "on");
  switchOption("sanity-check", options.get("sanity-check") ?? "on");
  if (options.has("priority")) throw new CommandError("TLS priorities ('priority') are those of GnuTLS: not supported");
  const dir = options.get("dir");
  if (dir === undefined) throw new CommandError("Missing 'dir' property value");
  const username = options.get("username") ?? "qemu";
  const object = { type: type as TlsObject["type"], dir, endpoint, verifyPeer, username } as const;
  if (type === "tls-creds-psk") {
    if (endpoint === "server" && options.has("username")) {
      throw new CommandError("username should not be set when endpoint=server");
    }
    checkPsk(object);
    return object;
  }
  checkReadable(join(dir, "ca-cert.pem"));
  if (endpoint === "server") for (const part of ["cert", "key"]) checkReadable(join(dir, `server-${part}.pem`));
  const secret = options.get("passwordid");
  if (secret === undefined) return object;
  const passphrase = context.secrets.get(secret);
  if (passphrase === undefined) throw new CommandError(`No secret with id '${secret}'`);
  return { ...object, passphrase };
}

const pskFile = ({ dir }: TlsObject): string => join(dir, "keys.psk");

function checkReadable(path: string): void {
  try {
    accessSync(path, constants.R_OK);
  } catch (error) {
    throw new CommandError(`Unable to access credentials ${path}: ${errnoText(error) ?? String(error)}`);
  }
}

function checkPsk(object: TlsObject): void {
  const path = pskFile(object);
  checkReadable(path);
  if (object.endpoint === "server") return;
  // The key itself is read with the connection; that there is one is said here, as QEMU does.
  const found = readFileSync(path, "utf8").split("\n");
  if (!found.some((line) => line.startsWith(`${object.username}:`))) {
    throw new CommandError(`Username ${object.username} not found in PSK file ${path}`);
  }
}

/** The object that `tls-creds` names, if it is for this side. */
function findTls(context: Context, id: string, endpoint: Endpoint): TlsObject {
  const object = context.tlsObjects.get(id);
  if (object === undefined) {
    throw new CommandError(
      context.secrets.has(id) ? `Object with id '${id}' is not TLS credentials` : `No TLS credentials with id '${id}'`,
    );
  }
  if (object.endpoint !== endpoint) throw new CommandError(`Expected TLS credentials for a ${endpoint} endpoint`);
  return object;
}

async function certificates(object: TlsObject): Promise<TlsCredentials> {
  const { readTlsFolder } = await import("@softmetal/nbd/node");
  return { ...readTlsFolder(object.dir, object.endpoint), passphrase: object.passphrase };
}

/** How a client connects with the credentials called `id`. */
export async function clientCredentials(context: Context, id: string): Promise<ClientTlsOptions> {
  const object = findTls(context, id, "client");
  const { readPskIdentity } = await import("@softmetal/nbd/node");
  try {
    const tls =
      object.type === "tls-creds-psk" ? readPskIdentity(pskFile(object), object.username) : await certificates(object);
    return { tls, verifyPeer: object.verifyPeer };
  } catch (error) {
    throw new CommandError(`Cannot set ${object.type} client credentials: ${messageOf(error)}`);
  }
}

/** What a server encrypts with: the credentials called `id`. */
export async function serverCredentials(context: Context, id: string) {
  const object = findTls(context, id, "server");
  const { readPskFile, serverPsk, serverTls } = await import("@softmetal/nbd/node");
  try {
    if (object.type === "tls-creds-x509") return serverTls(await certificates(object), object.verifyPeer);
    const keys: PskKeys = readPskFile(pskFile(object));
    return serverPsk(keys);
  } catch (error) {
    throw new CommandError(`Cannot set ${object.type} server credentials: ${messageOf(error)}`);
  }
}
