import type { RandomAccessFile } from "./file.js";

/** The same file, for a disk that must not close it. */
export function keepOpen(file: RandomAccessFile): RandomAccessFile {
  return new Proxy(file, {
    get(target, key) {
      if (key === "close") return () => {};
      const value = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
