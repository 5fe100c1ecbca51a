export { defaultCacheDirectory, readCachedGuest } from "./cache.js";
export { obtainGuest } from "./obtain.js";
export type {
  Guest,
  GuestArchitecture,
  GuestPackage,
  GuestProgress,
  GuestSource,
  ObtainOptions,
} from "./types.js";
