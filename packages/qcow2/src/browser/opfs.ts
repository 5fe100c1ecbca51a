import type { RandomAccessFile } from "../file.js";

/** What is used of the browser's FileSystemSyncAccessHandle (available in workers). */
export interface SyncAccessHandle {
  read(buffer: Uint8Array, options: { at: number }): number;
  write(buffer: Uint8Array, options: { at: number }): number;
  getSize(): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

/** A file of the origin private file system. */
export function openSyncHandle(handle: SyncAccessHandle, name = "opfs"): RandomAccessFile {
  return {
    name,
    readOnly: false,
    read(buffer, offset) {
      let done = 0;
      while (done < buffer.length) {
        const count = handle.read(buffer.subarray(done), { at: offset + done });
        if (count === 0) break;
        done += count;
      }
      return done;
    },
    write(data, offset) {
      // The standard leaves a gap behind the end to the implementation; growing first makes it zeros everywhere.
      if (offset > handle.getSize()) handle.truncate(offset);
      for (let done = 0; done < data.length; ) {
        const count = handle.write(data.subarray(done), { at: offset + done });
        if (count === 0) throw new Error("the browser's storage takes no more");
        done += count;
      }
    },
    size: () => handle.getSize(),
    truncate: (size) => handle.truncate(size),
    flush: () => handle.flush(),
    close: () => handle.close(),
  };
}
