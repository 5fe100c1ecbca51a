import { Qcow2Error } from "../errors.js";
import type { RandomAccessFile } from "../file.js";

/** What is used of a Blob or File. */
export interface BlobLike {
  readonly size: number;
  slice(start: number, end: number): { arrayBuffer(): Promise<ArrayBuffer> };
}

/** A file the user chose, read-only. */
export function openBlob(blob: BlobLike, name = "blob"): RandomAccessFile {
  const refuse = (): never => {
    throw new Qcow2Error("read-only", "a blob cannot be written", { file: name });
  };
  return {
    name,
    readOnly: true,
    async read(buffer, offset) {
      const end = Math.min(offset + buffer.length, blob.size);
      if (end <= offset) return 0;
      buffer.set(new Uint8Array(await blob.slice(offset, end).arrayBuffer()));
      return end - offset;
    },
    write: refuse,
    size: () => blob.size,
    truncate: refuse,
    flush: () => {},
    close: () => {},
  };
}
