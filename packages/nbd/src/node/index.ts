import { connect, createServer, type Server, type Socket } from "node:net";
import {
  listMetaContexts as listContextsOver,
  listExports as listOver,
  NbdClient,
  type NbdClientOptions,
} from "../client/client.js";
import type { NbdExportInfo } from "../client/handshake.js";
import { NbdError } from "../errors.js";
import type { NbdServer } from "../server/server.js";
import { type NbdAddress, parseNbdUri } from "../uri.js";
import { type ClientTlsOptions, tlsFor } from "./credentials.js";
import { SocketStream } from "./stream.js";

export { type ClientTlsOptions, readPskFile, readPskIdentity, readTlsFolder } from "./credentials.js";
export { clientPsk, type PskIdentity, type PskKeys, parsePskFile, serverPsk } from "./psk.js";
export { SocketStream } from "./stream.js";
export { clientTls, serverTls, type TlsCredentials } from "./tls.js";

/** Where to listen. TCP listens on the loopback interface unless told otherwise; `fd` is a socket that is bound already. */
export type ListenAddress =
  | { readonly path: string }
  | { readonly port: number; readonly host?: string }
  | { readonly fd: number };

export interface ListenOptions {
  /** Connections served at a time; some more wait for their turn, the rest are closed. 0 for no limit; 16 unless given. */
  readonly maxConnections?: number;
  /** A connection ended: without an error, or with the {@link NbdError} that ended it. */
  onConnectionEnd?(end: { exportName?: string; error?: NbdError; connections: number }): void;
}

/** Connections that may wait for others to end. */
const MAX_WAITING = 16;

/** A listening server. */
export interface NbdListener {
  /** The port in use, or undefined on a Unix socket. */
  readonly port: number | undefined;
  readonly connections: number;
  /** Stops listening and closes every connection. */
  close(): Promise<void>;
}

/** Accepts connections for a server over TCP or a Unix socket. */
export async function listen(
  server: NbdServer,
  address: ListenAddress,
  options: ListenOptions = {},
): Promise<NbdListener> {
  const sockets = new Set<Socket>();
  const waiting: Socket[] = [];
  const limit = options.maxConnections ?? 16;
  const listener: Server = createServer({ allowHalfOpen: false, noDelay: true }, (socket) => {
    socket.on("error", () => {});
    if (limit === 0 || sockets.size < limit) serve(socket);
    else if (waiting.length < MAX_WAITING) waiting.push(socket);
    else socket.destroy();
  });
  const serve = (socket: Socket): void => {
    sockets.add(socket);
    const gone = (result: { exportName?: string; error?: NbdError }): void => {
      sockets.delete(socket);
      options.onConnectionEnd?.({ ...result, connections: sockets.size });
      let next = waiting.shift();
      while (next?.destroyed) next = waiting.shift();
      if (next !== undefined && listener.listening) serve(next);
    };
    let exportName: string | undefined;
    server
      .serve(new SocketStream(socket), (name) => {
        exportName = name;
      })
      .then(gone, (error: NbdError) => {
        socket.destroy();
        gone({ exportName, error });
      });
  };
  await new Promise<void>((resolve, reject) => {
    listener.once("error", reject);
    const where = "port" in address ? { port: address.port, host: address.host ?? "127.0.0.1" } : address;
    listener.listen(where, () => {
      listener.off("error", reject);
      resolve();
    });
  });
  const bound = listener.address();
  return {
    port: bound !== null && typeof bound === "object" ? bound.port : undefined,
    get connections() {
      return sockets.size;
    },
    close: () =>
      new Promise((resolve) => {
        listener.close(() => resolve());
        for (const socket of [...sockets, ...waiting]) socket.destroy();
      }),
  };
}

export interface ConnectOptions extends Omit<NbdClientOptions, "exportName" | "tls">, ClientTlsOptions {
  /** Milliseconds to establish the connection; 30 000 unless given. */
  readonly connectTimeout?: number;
}

/** Opens a connection to an address. */
function dial(address: NbdAddress, timeout = 30_000): Promise<SocketStream> {
  return new Promise((resolve, reject) => {
    const socket =
      address.kind === "unix"
        ? connect(address.path)
        : connect({ host: address.host, port: address.port, noDelay: true });
    const fail = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(new NbdError("closed", error.message, { structure: "connect" }, { cause: error }));
    };
    const timer = setTimeout(() => fail(new Error(`no connection after ${timeout} ms`)), timeout);
    socket.once("error", fail);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.off("error", fail);
      resolve(new SocketStream(socket));
    });
  });
}

/** Opens the export an NBD URI names. */
export async function connectNbd(uri: string, options: ConnectOptions = {}): Promise<NbdClient> {
  const address = parseNbdUri(uri);
  const tls = tlsFor(address, options);
  const stream = await dial(address, options.connectTimeout);
  return NbdClient.connect(stream, { ...options, exportName: address.exportName, tls });
}

/** The exports of the server an NBD URI names. */
export async function listExports(uri: string, options: ConnectOptions = {}): Promise<NbdExportInfo[]> {
  const address = parseNbdUri(uri);
  const tls = tlsFor(address, options);
  return listOver(await dial(address, options.connectTimeout), { ...options, tls });
}

/** The metadata contexts of the export an NBD URI names. */
export async function listMetaContexts(uri: string, options: ConnectOptions = {}): Promise<string[]> {
  const address = parseNbdUri(uri);
  const tls = tlsFor(address, options);
  const stream = await dial(address, options.connectTimeout);
  return listContextsOver(stream, { ...options, exportName: address.exportName, tls });
}
