import type { RandomAccessFile } from "./file.js";

const ZEROS = new Uint8Array(1024 * 1024);

/** Writes zeros to [offset, end), so that storage is there. */
export async function fillZeros(file: Pick<RandomAccessFile, "write">, offset: number, end: number): Promise<void> {
  for (let at = offset; at < end; at += ZEROS.length) {
    await file.write(ZEROS.subarray(0, Math.min(ZEROS.length, end - at)), at);
  }
}
