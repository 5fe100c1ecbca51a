import type { TLSSocketOptions, TlsOptions } from "node:tls";
import { NbdError } from "../errors.js";
import type { ByteStream } from "../stream.js";
import { plain, secured } from "./tls.js";

/** Who a client is to a server that knows the same key. */
export interface PskIdentity {
  /** At most 127 bytes of UTF-8. */
  readonly username: string;
  /** The key that both sides know: 1 to 256 bytes. */
  readonly key: Uint8Array;
}

/** Keys by username: what a server knows of its clients. */
export type PskKeys = ReadonlyMap<string, Uint8Array>;

/**
 * Suites in which the key authenticates an (elliptic curve) Diffie-Hellman exchange. Plain PSK suites would let whoever
 * records a session try keys against it at leisure, and decrypt it when the key becomes known.
 */
const CIPHERS = [
  "ECDHE-PSK-CHACHA20-POLY1305",
  "DHE-PSK-AES256-GCM-SHA384",
  "DHE-PSK-AES128-GCM-SHA256",
  "DHE-PSK-CHACHA20-POLY1305",
  "ECDHE-PSK-AES256-CBC-SHA384",
  "ECDHE-PSK-AES128-CBC-SHA256",
].join(":");

/** TLS 1.3 has no such suites: there a server could answer with a certificate instead of the key. */
const COMMON = { ciphers: CIPHERS, minVersion: "TLSv1.2", maxVersion: "TLSv1.2" } as const;

const MAX_USERNAME = 127;
const MAX_KEY = 256;
/** Lines of a key file. */
const MAX_KEYS = 65_536;

/**
 * The keys of a file as psktool(1) of GnuTLS writes it: a line for each user, `username:` and the key in hexadecimal.
 * Empty lines and lines that begin with "#" are skipped.
 */
export function parsePskFile(text: string, name = "PSK file"): Map<string, Uint8Array> {
  const keys = new Map<string, Uint8Array>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line === "" || line.startsWith("#")) continue;
    const match = /^([^:]+):((?:[0-9a-f]{2})+)$/i.exec(line);
    if (match === null) {
      throw new NbdError("refused", `${name}, line ${index + 1}: not a username, a colon and a key in hexadecimal`);
    }
    const identity = { username: match[1], key: new Uint8Array(Buffer.from(match[2], "hex")) };
    check(identity);
    keys.set(identity.username, identity.key);
    if (keys.size > MAX_KEYS) throw new NbdError("limit", `${name}: more than ${MAX_KEYS} keys`);
  }
  return keys;
}

function check({ username, key }: PskIdentity): void {
  const bytes = Buffer.byteLength(username);
  if (bytes < 1 || bytes > MAX_USERNAME) throw new NbdError("limit", `PSK username of ${bytes} bytes`);
  if (key.length < 1 || key.length > MAX_KEY) throw new NbdError("limit", `PSK key of ${key.length} bytes`);
}

/** Server side of NBD_OPT_STARTTLS with keys instead of certificates. */
export function serverPsk(keys: PskKeys) {
  for (const [username, key] of keys) check({ username, key });
  return {
    required: true,
    async upgrade(stream: ByteStream): Promise<ByteStream> {
      const { createSecureContext, TLSSocket } = await import("node:tls");
      const options: TLSSocketOptions & Pick<TlsOptions, "pskCallback"> = {
        isServer: true,
        secureContext: createSecureContext({ ...COMMON, dhparam: "auto" }),
        pskCallback: (_, username) => keys.get(username) ?? null,
      };
      const socket = new TLSSocket(plain(stream).detach(), options);
      return secured(socket, "secure");
    },
  };
}

/** Client side of NBD_OPT_STARTTLS with a key: it proves who the server is, too. */
export function clientPsk({ username, key }: PskIdentity) {
  check({ username, key });
  return {
    async upgrade(stream: ByteStream): Promise<ByteStream> {
      const { connect } = await import("node:tls");
      const socket = connect({
        ...COMMON,
        socket: plain(stream).detach(),
        pskCallback: () => ({ identity: username, psk: key }),
        // There is no certificate, and no suite is offered that would need one.
        checkServerIdentity: () => undefined,
      });
      return secured(socket, "secureConnect");
    },
  };
}
