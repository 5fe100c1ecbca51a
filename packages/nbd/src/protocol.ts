/**
 * Numbers and structures of the NBD protocol, under the names of the protocol document
 * (NetworkBlockDevice/nbd, doc/proto.md). All integers are big-endian.
 */
import { struct } from "./struct.js";

export const NBDMAGIC = 0x4e42444d41474943n;
export const IHAVEOPT = 0x49484156454f5054n;
export const CLISERV_MAGIC = 0x00420281861253n;
export const NBD_REP_MAGIC = 0x0003e889045565a9n;
export const NBD_REQUEST_MAGIC = 0x25609513;
export const NBD_SIMPLE_REPLY_MAGIC = 0x67446698;
export const NBD_STRUCTURED_REPLY_MAGIC = 0x668e33ef;

/** Handshake flags (server) and client flags share these two bits. */
export const HandshakeFlag = { FIXED_NEWSTYLE: 1, NO_ZEROES: 2 } as const;

export const TransmissionFlag = {
  HAS_FLAGS: 1,
  READ_ONLY: 2,
  SEND_FLUSH: 4,
  SEND_FUA: 8,
  ROTATIONAL: 16,
  SEND_TRIM: 32,
  SEND_WRITE_ZEROES: 64,
  SEND_DF: 128,
  CAN_MULTI_CONN: 256,
  SEND_RESIZE: 512,
  SEND_CACHE: 1024,
  SEND_FAST_ZERO: 2048,
} as const;

export const Opt = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  STARTTLS: 5,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
} as const;

export const Rep = { ACK: 1, SERVER: 2, INFO: 3, META_CONTEXT: 4 } as const;

/** Option replies with bit 31 set are errors. */
export const RepErr = {
  UNSUP: 0x80000001,
  POLICY: 0x80000002,
  INVALID: 0x80000003,
  PLATFORM: 0x80000004,
  TLS_REQD: 0x80000005,
  UNKNOWN: 0x80000006,
  SHUTDOWN: 0x80000007,
  BLOCK_SIZE_REQD: 0x80000008,
  TOO_BIG: 0x80000009,
} as const;

export const Info = { EXPORT: 0, NAME: 1, DESCRIPTION: 2, BLOCK_SIZE: 3 } as const;

export const Cmd = {
  READ: 0,
  WRITE: 1,
  DISC: 2,
  FLUSH: 3,
  TRIM: 4,
  CACHE: 5,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
} as const;

export const CmdFlag = { FUA: 1, NO_HOLE: 2, DF: 4, REQ_ONE: 8, FAST_ZERO: 16 } as const;

export const ReplyFlag = { DONE: 1 } as const;

/** Types of structured reply chunks; bit 15 marks an error. */
export const Chunk = {
  NONE: 0,
  OFFSET_DATA: 1,
  OFFSET_HOLE: 2,
  BLOCK_STATUS: 5,
  ERROR: 0x8001,
  ERROR_OFFSET: 0x8002,
} as const;

/** Status flags of the metadata context `base:allocation`. */
export const StateFlag = { HOLE: 1, ZERO: 2 } as const;

export const BASE_ALLOCATION = "base:allocation";

/** Error numbers on the wire (a subset of Linux's errno). */
export const Errno = {
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const;

/** The longest name, description or metadata query of the protocol, bytes. */
export const MAX_STRING = 4096;

/** The largest payload a peer may use without having negotiated otherwise, bytes. */
export const MAX_PAYLOAD = 32 * 1024 * 1024;

export const serverGreeting = struct("server greeting", { magic: "u64", optionMagic: "u64", flags: "u16" });
export const clientFlags = struct("client flags", { flags: "u32" });
export const optionHeader = struct("option", { magic: "u64", option: "u32", length: "u32" });
export const optionReply = struct("option reply", { magic: "u64", option: "u32", type: "u32", length: "u32" });
export const exportNameReply = struct("export name reply", { size: "u64", flags: "u16" });
export const infoExport = struct("NBD_INFO_EXPORT", { type: "u16", size: "u64", flags: "u16" });
export const infoBlockSize = struct("NBD_INFO_BLOCK_SIZE", {
  type: "u16",
  minimum: "u32",
  preferred: "u32",
  maximum: "u32",
});
export const request = struct("request", {
  magic: "u32",
  flags: "u16",
  type: "u16",
  cookie: "u64",
  offset: "u64",
  length: "u32",
});
export const simpleReply = struct("simple reply", { magic: "u32", error: "u32", cookie: "u64" });
export const structuredReply = struct("structured reply", {
  magic: "u32",
  flags: "u16",
  type: "u16",
  cookie: "u64",
  length: "u32",
});
export const offsetData = struct("NBD_REPLY_TYPE_OFFSET_DATA", { offset: "u64" });
export const offsetHole = struct("NBD_REPLY_TYPE_OFFSET_HOLE", { offset: "u64", length: "u32" });
export const errorChunk = struct("NBD_REPLY_TYPE_ERROR", { error: "u32", messageLength: "u16" });
export const statusContext = struct("NBD_REPLY_TYPE_BLOCK_STATUS", { contextId: "u32" });
export const statusDescriptor = struct("block status descriptor", { length: "u32", flags: "u32" });

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: false });

/** UTF-8 bytes of a string of the protocol. */
export const encodeText = (text: string): Uint8Array => encoder.encode(text);
/** A string of the protocol; malformed UTF-8 becomes U+FFFD. */
export const decodeText = (bytes: Uint8Array): string => decoder.decode(bytes);
