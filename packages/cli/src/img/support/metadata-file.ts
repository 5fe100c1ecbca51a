import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { RandomAccessFile } from "@softmetal/qcow2";

/**
 * A file of the host to look at for a moment. The library's own file class brings compression and encryption along,
 * which takes longer to load than `info` needs altogether.
 */
export class MetadataFile implements RandomAccessFile {
  readonly readOnly = true;
  readonly fd: number;

  constructor(readonly name: string) {
    this.fd = openSync(name, "r");
  }

  read(buffer: Uint8Array, offset: number): number {
    let done = 0;
    while (done < buffer.length) {
      const count = readSync(this.fd, buffer, done, buffer.length - done, offset + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  }
  size(): number {
    return fstatSync(this.fd).size;
  }
  allocatedSize(): number {
    return fstatSync(this.fd).blocks * 512;
  }
  write(): never {
    throw new Error("opened for reading metadata");
  }
  truncate(): never {
    throw new Error("opened for reading metadata");
  }
  flush(): void {}
  close(): void {
    closeSync(this.fd);
  }
}
