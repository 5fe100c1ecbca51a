/**
 * Finds where zstd frames end (RFC 8878, section 3.1), because compressed clusters are padded to sectors and the
 * decoder wants the exact bytes.
 */
export interface ZstdFrame {
  /** Bytes of the frame. */
  readonly size: number;
  /** Bytes it decompresses to, when it says so. */
  readonly contentSize: number | undefined;
}

const MAGIC = 0xfd2fb528;
const MAX_BLOCK = 128 * 1024;

/** @throws Error when no whole frame starts at the beginning of `data`. */
export function zstdFrame(data: Uint8Array): ZstdFrame {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (data.length < 6 || view.getUint32(0, true) !== MAGIC) throw new Error("not a zstd frame");
  const descriptor = data[4];
  const singleSegment = (descriptor & 0x20) !== 0;
  const checksum = (descriptor & 4) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3];
  const sizeFlag = descriptor >> 6;
  const sizeBytes = sizeFlag === 0 ? (singleSegment ? 1 : 0) : 2 ** sizeFlag;
  let at = 5 + (singleSegment ? 0 : 1) + dictionaryBytes;
  let contentSize: number | undefined;
  if (at + sizeBytes > data.length) throw new Error("zstd frame is cut short");
  if (sizeBytes === 1) contentSize = data[at];
  else if (sizeBytes === 2) contentSize = view.getUint16(at, true) + 256;
  else if (sizeBytes === 4) contentSize = view.getUint32(at, true);
  else if (sizeBytes === 8) contentSize = view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
  at += sizeBytes;
  for (;;) {
    if (at + 3 > data.length) throw new Error("zstd frame is cut short");
    const head = data[at] | (data[at + 1] << 8) | (data[at + 2] << 16);
    const size = head >> 3;
    if (size > MAX_BLOCK && ((head >> 1) & 3) !== 1) throw new Error("zstd block is too large");
    // A run-length block stores one byte, whatever it expands to.
    at += 3 + (((head >> 1) & 3) === 1 ? 1 : size);
    if ((head & 1) !== 0) break;
  }
  if (checksum) at += 4;
  if (at > data.length) throw new Error("zstd frame is cut short");
  return { size: at, contentSize };
}
