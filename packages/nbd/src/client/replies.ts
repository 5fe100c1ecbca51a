import { NbdError } from "../errors.js";
import {
  Chunk,
  decodeText,
  Errno,
  errorChunk,
  NBD_SIMPLE_REPLY_MAGIC,
  NBD_STRUCTURED_REPLY_MAGIC,
  offsetData,
  offsetHole,
  ReplyFlag,
  simpleReply,
  statusContext,
  statusDescriptor,
  structuredReply,
} from "../protocol.js";
import type { Extent } from "../server/export.js";
import type { Wire } from "../stream.js";
import type { Coverage } from "./coverage.js";

/** A request waiting for its reply. */
export interface Pending {
  readonly command: string;
  readonly offset: number;
  readonly length: number;
  /** Where a read's bytes go. */
  readonly target?: Uint8Array;
  readonly coverage?: Coverage;
  /** Extents by context identifier, for block status. */
  readonly status?: Map<number, Extent[]>;
  error?: NbdError;
  settle(error: NbdError | undefined): void;
}

const NAMES = new Map<number, string>(Object.entries(Errno).map(([name, value]) => [value, name]));
/** Error chunk: header, message and an offset. */
const MAX_ERROR = 8192;
/** Extents kept from one block status reply. */
const MAX_EXTENTS = 1 << 20;

/** The error for an error number a server sent. */
function replyError(pending: Pending, errno: number, message = ""): NbdError {
  const said = message ? `: ${message.replace(/[^\x20-\x7e]/g, "?")}` : "";
  return new NbdError("io", `${pending.command} at ${pending.offset}: ${NAMES.get(errno) ?? `error ${errno}`}${said}`, {
    structure: pending.command,
    offset: pending.offset,
    errno,
  });
}

/** Reads one reply or chunk and gives it to its request. */
export async function receiveReply(wire: Wire, pending: Map<bigint, Pending>, structured: boolean): Promise<boolean> {
  const magicBytes = await wire.readOrEnd(4, "reply", true);
  if (magicBytes === undefined) return false;
  const magic = new DataView(magicBytes.buffer).getUint32(0);
  if (magic === NBD_SIMPLE_REPLY_MAGIC) await simple(wire, pending, structured);
  else if (magic === NBD_STRUCTURED_REPLY_MAGIC && structured) await chunk(wire, pending);
  else throw new NbdError("protocol", `reply: bad magic 0x${magic.toString(16)}`, { structure: "reply" });
  return true;
}

function find(pending: Map<bigint, Pending>, cookie: bigint): Pending {
  const request = pending.get(cookie);
  if (request === undefined)
    throw new NbdError("protocol", `reply to an unknown request ${cookie}`, { structure: "reply" });
  return request;
}

async function rest(wire: Wire, size: number, structure: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  await wire.readInto(bytes.subarray(4), structure);
  return bytes;
}

async function simple(wire: Wire, pending: Map<bigint, Pending>, structured: boolean): Promise<void> {
  const { error, cookie } = simpleReply.decode(await rest(wire, simpleReply.size, simpleReply.name));
  const request = find(pending, cookie);
  if (structured && (request.target !== undefined || request.status !== undefined) && error === 0) {
    throw new NbdError("protocol", `simple reply to a ${request.command}`, { structure: simpleReply.name });
  }
  if (error === 0 && request.target) await wire.readInto(request.target, "read payload");
  pending.delete(cookie);
  request.settle(error === 0 ? undefined : replyError(request, error));
}

async function chunk(wire: Wire, pending: Map<bigint, Pending>): Promise<void> {
  const header = structuredReply.decode(await rest(wire, structuredReply.size, structuredReply.name));
  const request = find(pending, header.cookie);
  if (header.type >= 0x8000) await errorBody(wire, request, header.type, header.length);
  else if (header.type === Chunk.NONE) await none(header.length, header.flags);
  else if (header.type === Chunk.OFFSET_DATA && request.target) await data(wire, request, header.length);
  else if (header.type === Chunk.OFFSET_HOLE && request.target) await hole(wire, request, header.length);
  else if (header.type === Chunk.BLOCK_STATUS && request.status) await status(wire, request, header.length);
  else {
    throw new NbdError("protocol", `chunk of type ${header.type} for a ${request.command}`, {
      structure: structuredReply.name,
    });
  }
  if ((header.flags & ReplyFlag.DONE) === 0) return;
  pending.delete(header.cookie);
  if (request.error === undefined && request.coverage && !request.coverage.complete) {
    request.error = new NbdError("protocol", `${request.command} at ${request.offset}: the reply leaves bytes out`, {
      structure: structuredReply.name,
      offset: request.offset,
    });
  }
  request.settle(request.error);
}

function none(length: number, flags: number): void {
  if (length !== 0 || (flags & ReplyFlag.DONE) === 0) {
    throw new NbdError("protocol", "NBD_REPLY_TYPE_NONE: malformed", { structure: structuredReply.name });
  }
}

async function errorBody(wire: Wire, request: Pending, type: number, length: number): Promise<void> {
  if (length < errorChunk.size || length > MAX_ERROR) throw new NbdError("protocol", `error chunk of ${length} bytes`);
  const body = await wire.read(length, errorChunk.name);
  const { error, messageLength } = errorChunk.decode(body);
  const tail = type === Chunk.ERROR_OFFSET ? 8 : 0;
  if (error === 0 || errorChunk.size + messageLength + tail > length)
    throw new NbdError("protocol", "error chunk: malformed");
  const message = decodeText(body.subarray(errorChunk.size, errorChunk.size + messageLength));
  request.error ??= replyError(request, error, message);
}

async function data(wire: Wire, request: Pending, length: number): Promise<void> {
  if (length <= offsetData.size) throw new NbdError("protocol", "NBD_REPLY_TYPE_OFFSET_DATA: no data");
  const { offset } = offsetData.decode(await wire.read(offsetData.size, offsetData.name));
  const count = length - offsetData.size;
  const at = request.coverage!.add(offset, count);
  await wire.readInto(request.target!.subarray(at, at + count), "read payload");
}

async function hole(wire: Wire, request: Pending, length: number): Promise<void> {
  if (length !== offsetHole.size) throw new NbdError("protocol", "NBD_REPLY_TYPE_OFFSET_HOLE: bad length");
  const body = offsetHole.decode(await wire.read(offsetHole.size, offsetHole.name));
  const at = request.coverage!.add(body.offset, body.length);
  request.target!.fill(0, at, at + body.length);
}

async function status(wire: Wire, request: Pending, length: number): Promise<void> {
  const count = (length - statusContext.size) / statusDescriptor.size;
  if (!Number.isInteger(count) || count < 1) throw new NbdError("protocol", `block status of ${length} bytes`);
  if (count > MAX_EXTENTS) throw new NbdError("limit", `block status with ${count} extents`);
  const body = await wire.read(length, statusContext.name);
  const { contextId } = statusContext.decode(body);
  const extents: Extent[] = [];
  for (let index = 0; index < count; index++) {
    const extent = statusDescriptor.decode(body, statusContext.size + index * statusDescriptor.size);
    if (extent.length === 0) throw new NbdError("protocol", "block status: empty extent");
    extents.push(extent);
  }
  if (request.status!.has(contextId)) throw new NbdError("protocol", `block status: context ${contextId} twice`);
  if (request.status!.size >= 64) throw new NbdError("limit", "block status: too many contexts");
  request.status!.set(contextId, extents);
}
