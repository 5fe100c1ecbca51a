export { listExports, listMetaContexts, NbdClient, type NbdClientOptions } from "./client/client.js";
export type { NbdExportInfo, NbdHandshakeOptions } from "./client/handshake.js";
export { NbdError, type NbdErrorCode, type NbdErrorPlace } from "./errors.js";
export { BASE_ALLOCATION, Errno, MAX_PAYLOAD, StateFlag, TransmissionFlag } from "./protocol.js";
export type { Extent, NbdDisk, NbdExport } from "./server/export.js";
export { type NbdConnectionEnd, NbdServer, type NbdServerOptions } from "./server/server.js";
export { type ByteStream, streamPair } from "./stream.js";
export { NBD_DEFAULT_PORT, type NbdAddress, parseNbdUri } from "./uri.js";
