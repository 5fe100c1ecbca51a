import type { TLSSocket, TlsOptions } from "node:tls";
import { NbdError } from "../errors.js";
import type { ByteStream } from "../stream.js";
import { SocketStream } from "./stream.js";

/** PEM texts of an X.509 identity, as `node:tls` takes them. */
export interface TlsCredentials {
  readonly cert?: string | Uint8Array;
  readonly key?: string | Uint8Array;
  /** Who may have signed the peer; without it the system's authorities for servers, and nobody for clients. */
  readonly ca?: string | Uint8Array;
  /** For a key that is encrypted. */
  readonly passphrase?: string;
}

/** Milliseconds for the TLS handshake. */
const HANDSHAKE_TIMEOUT = 30_000;

/** The socket of a stream that this module made. */
export function plain(stream: ByteStream): SocketStream {
  if (stream instanceof SocketStream) return stream;
  throw new NbdError("unsupported", "TLS needs a connection made by this module");
}

/** Waits for the TLS handshake on a socket. */
export function secured(socket: TLSSocket, event: "secure" | "secureConnect"): Promise<ByteStream> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(new NbdError("refused", `TLS: ${error.message}`, { structure: "TLS handshake" }, { cause: error }));
    };
    const timer = setTimeout(() => fail(new Error("handshake timed out")), HANDSHAKE_TIMEOUT);
    socket.once("error", fail);
    socket.once("close", () => fail(new Error("the peer closed the connection")));
    socket.once(event, () => {
      clearTimeout(timer);
      socket.off("error", fail);
      resolve(new SocketStream(socket));
    });
  });
}

/** Server side of NBD_OPT_STARTTLS. With `verifyPeer` a client needs a certificate signed by `ca`. */
export function serverTls(credentials: TlsCredentials, verifyPeer: boolean) {
  return {
    required: true,
    async upgrade(stream: ByteStream): Promise<ByteStream> {
      const { createSecureContext, TLSSocket } = await import("node:tls");
      const options: TlsOptions = {
        secureContext: createSecureContext(toOptions(credentials)),
        requestCert: verifyPeer,
        rejectUnauthorized: verifyPeer,
      };
      const socket = new TLSSocket(plain(stream).detach(), { ...options, isServer: true });
      const upgraded = await secured(socket, "secure");
      // A bare TLSSocket reports verification instead of enforcing it.
      const { authorizationError } = socket as TLSSocket & { ssl?: { verifyError(): Error | null } };
      const failure = verifyPeer
        ? ((socket as unknown as { ssl: { verifyError(): Error | null } }).ssl.verifyError() ?? authorizationError)
        : undefined;
      if (failure) {
        socket.destroy();
        throw new NbdError(
          "refused",
          `TLS: client certificate: ${failure instanceof Error ? failure.message : failure}`,
        );
      }
      return upgraded;
    },
  };
}

/** Client side of NBD_OPT_STARTTLS; `host` is the name the server's certificate must carry, unless `verifyPeer` is false. */
export function clientTls(credentials: TlsCredentials, host: string, verifyPeer = true) {
  return {
    async upgrade(stream: ByteStream): Promise<ByteStream> {
      const { connect } = await import("node:tls");
      const { isIP } = await import("node:net");
      const name = isIP(host) ? {} : { servername: host };
      const below = plain(stream).detach();
      const socket = connect({
        socket: below,
        host,
        rejectUnauthorized: verifyPeer,
        ...toOptions(credentials),
        ...name,
      });
      return secured(socket, "secureConnect");
    },
  };
}

function toOptions({ cert, key, ca, passphrase }: TlsCredentials) {
  const buffer = (value: string | Uint8Array | undefined) => (value === undefined ? undefined : Buffer.from(value));
  return { cert: buffer(cert), key: buffer(key), ca: buffer(ca), passphrase };
}
