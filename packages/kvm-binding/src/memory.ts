import { PAGE_SIZE } from "./abi/constants.js";
import * as check from "./arguments.js";
import { KvmError } from "./errors.js";
import { attach, checked, KernelObject, made } from "./handle.js";
import { kinds, type NativeHandle, native } from "./native.js";

const WASM_PAGE = 65536;

/**
 * Page-aligned guest memory of up to 4 GiB in an ordinary SharedArrayBuffer (that of a shared WebAssembly.Memory: other
 * SharedArrayBuffers are not aligned to pages). Zeroed, and only what is touched takes up memory. It can be posted to
 * other threads; a VM that has a slot over it keeps it.
 */
export function createSharedMemory(bytes: number): Uint8Array {
  const operation = "createSharedMemory";
  check.integer(operation, "bytes", bytes, 2 ** 32);
  if (bytes === 0) throw new KvmError("out-of-range", operation, "bytes must not be 0");
  const pages = Math.ceil(bytes / WASM_PAGE);
  try {
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    return new Uint8Array(memory.buffer, 0, bytes);
  } catch (error) {
    throw new KvmError("no-memory", operation, error instanceof Error ? error.message : String(error));
  }
}

/**
 * Memory seen through windows: each an ArrayBuffer over a part of it, with a mapping of its own. Windows may overlap, and
 * other threads that `attach` open their own. Zeroed, and only what is touched takes up memory.
 */
export abstract class WindowedMemory extends KernelObject {
  readonly #native: NativeHandle;
  readonly #windows = new Set<WeakRef<ArrayBuffer>>();

  /** @internal */
  constructor(handle: NativeHandle) {
    super(handle);
    this.#native = handle;
  }

  /** Its size in bytes. */
  get size(): number {
    return checked("GuestMemory.size", native().memorySize(this.#native));
  }

  /**
   * The bytes from `offset` on (both multiples of 4096), at most 4 GiB, the limit of an ArrayBuffer in Node 20. The
   * window is unmapped when it is closed, when this handle is disposed, or when the buffer is collected.
   */
  window(offset = 0, length?: number): ArrayBuffer {
    const operation = "GuestMemory.window";
    check.size(operation, "offset", offset);
    const bytes = check.integer(operation, "length", length ?? Math.max(0, this.size - offset), 2 ** 32);
    const buffer = made(operation, native().memoryWindow(this.#native, offset, bytes));
    for (const window of this.#windows) if (window.deref() === undefined) this.#windows.delete(window);
    this.#windows.add(new WeakRef(buffer));
    return buffer;
  }

  /** Detaches a window and unmaps it now. */
  closeWindow(window: ArrayBuffer): void {
    checked("GuestMemory.closeWindow", native().fd(this.#native)); // a closed one has no windows
    for (const known of this.#windows) {
      if (known.deref() !== window) continue;
      this.#windows.delete(known);
      native().unmap(window);
      return;
    }
    throw new KvmError("invalid-argument", "GuestMemory.closeWindow", "not an open window of this memory");
  }

  override dispose(): void {
    for (const known of this.#windows) {
      const window = known.deref();
      if (window !== undefined) native().unmap(window);
    }
    this.#windows.clear();
    super.dispose();
  }
}

/** Guest memory of any size (a Linux memfd). */
export class GuestMemory extends WindowedMemory {
  /** `size` bytes, a multiple of 4096; of huge pages (reserved by the administrator) if asked. */
  static create(size: number, options: { hugePages?: boolean } = {}): GuestMemory {
    const operation = "GuestMemory.create";
    const { hugePages = false } = check.object(operation, "options", options);
    return new GuestMemory(
      made(operation, native().createMemory(check.size(operation, "size", size), Boolean(hugePages))),
    );
  }

  /** This thread's handle on memory that another thread holds, by its `handle`. */
  static attach(handle: number): GuestMemory {
    return new GuestMemory(attach(kinds.memory, "GuestMemory.attach", handle));
  }
}

/**
 * Memory that belongs to one VM (`Vm.createGuestMemfd`). It has windows if it was made with `GuestMemfdFlags.MMAP` and
 * `INIT_SHARED`; without them only the guest reaches it.
 */
export class GuestMemfd extends WindowedMemory {
  /** This thread's handle on one that another thread holds, by its `handle`. */
  static attach(handle: number): GuestMemfd {
    return new GuestMemfd(attach(kinds.guestMemfd, "GuestMemfd.attach", handle));
  }
}

/** Bytes of the bitmap that `Vm.getDirtyLog` fills for a slot of `size` bytes: a bit a page, in whole 64-bit words. */
export function dirtyBitmapBytes(size: number): number {
  check.size("dirtyBitmapBytes", "size", size);
  return Math.ceil(size / PAGE_SIZE / 64) * 8;
}
