/** What options of the handshake carry, written and read by either side. Readers answer undefined to what is malformed. */
import { decodeText, encodeText, MAX_STRING } from "./protocol.js";
import { concat } from "./struct.js";

export const be16 = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 255);
export const be32 = (value: number): Uint8Array =>
  Uint8Array.of(value >>> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255);
export const get32 = (data: Uint8Array, at = 0): number => new DataView(data.buffer, data.byteOffset).getUint32(at);

/** A 32-bit length and the text itself. */
export function lengthAndText(text: string): Uint8Array {
  const bytes = encodeText(text);
  return concat([be32(bytes.length), bytes]);
}

/** Data of NBD_OPT_LIST_META_CONTEXT and NBD_OPT_SET_META_CONTEXT: the export and what is asked about it. */
export const metaContextQueries = (exportName: string, queries: readonly string[]): Uint8Array =>
  concat([lengthAndText(exportName), be32(queries.length), ...queries.map(lengthAndText)]);

/** Data of NBD_OPT_INFO and NBD_OPT_GO: the export and the {@link Info} that is wanted. */
export const infoRequest = (exportName: string, wanted: readonly number[]): Uint8Array =>
  concat([lengthAndText(exportName), be16(wanted.length), ...wanted.map(be16)]);

/** A 32-bit length and that many bytes of text; undefined when malformed. */
export function readName(data: Uint8Array, at = 0): { text: string; end: number } | undefined {
  if (data.length < at + 4) return undefined;
  const length = get32(data, at);
  const end = at + 4 + length;
  if (length > MAX_STRING || end > data.length) return undefined;
  return { text: decodeText(data.subarray(at + 4, end)), end };
}

/** A 16-bit count and that many 16-bit numbers, filling the rest exactly. */
export function readShorts(data: Uint8Array, at: number): number[] | undefined {
  if (data.length < at + 2) return undefined;
  const view = new DataView(data.buffer, data.byteOffset);
  const count = view.getUint16(at);
  if (data.length !== at + 2 + count * 2) return undefined;
  return Array.from({ length: count }, (_, index) => view.getUint16(at + 2 + index * 2));
}

/** A 32-bit count and that many strings, filling the rest exactly. */
export function readStrings(data: Uint8Array, start: number): string[] | undefined {
  if (data.length < start + 4) return undefined;
  const count = get32(data, start);
  if (count > (data.length - start - 4) / 4) return undefined;
  const strings: string[] = [];
  let at = start + 4;
  for (let index = 0; index < count; index++) {
    const string = readName(data, at);
    if (string === undefined) return undefined;
    strings.push(string.text);
    at = string.end;
  }
  return at === data.length ? strings : undefined;
}
