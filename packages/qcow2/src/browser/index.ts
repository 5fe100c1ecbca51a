export type { BlobLike } from "./blob.js";
export { openBlob } from "./blob.js";
export type { SyncAccessHandle } from "./opfs.js";
export { openSyncHandle } from "./opfs.js";
