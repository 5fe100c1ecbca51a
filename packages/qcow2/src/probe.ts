import type { RandomAccessFile } from "./file.js";
import { isQcow2 } from "./format/header.js";
import { isLuks } from "./format/luks-header.js";

export type ImageFormat = "raw" | "qcow2" | "luks";

/**
 * Guesses the format from the first bytes. A guest that can write to a raw disk can make it look like anything:
 * where the format is known, it should be given.
 */
export async function probeFormat(file: RandomAccessFile): Promise<ImageFormat> {
  const start = new Uint8Array(16);
  const data = start.subarray(0, await file.read(start, 0));
  if (isQcow2(data)) return "qcow2";
  return isLuks(data) ? "luks" : "raw";
}
