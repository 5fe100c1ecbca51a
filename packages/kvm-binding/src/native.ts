import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { KvmUnavailable } from "./errors.js";

/** A thread's hold on a kernel object: an external of the addon. */
export type NativeHandle = object & { readonly native: unique symbol };

/** The kinds of kernel object; native/binding.h has the same numbers. */
export const kinds = { system: 0, vm: 1, vcpu: 2, device: 3, memory: 4, eventfd: 5, stats: 6, guestMemfd: 7 } as const;
export type Kind = (typeof kinds)[keyof typeof kinds];

/** The addon's functions. Numbers below zero are failures. */
export interface Native {
  readonly ioctls: Readonly<Record<string, number>>;
  ioctl(handle: NativeHandle, index: number, argument?: Uint8Array | number | bigint): number;
  close(handle: NativeHandle): void;
  id(handle: NativeHandle): number;
  fd(handle: NativeHandle): number;
  attach(kind: Kind, id: number): NativeHandle | number;
  openSystem(path: string): NativeHandle | number;
  createVm(system: NativeHandle, type: number | bigint): NativeHandle | number;
  createVcpu(vm: NativeHandle, id: number): NativeHandle | number;
  createDevice(vm: NativeHandle, type: number, flags: number): NativeHandle | number | undefined;
  getDirtyLog(vm: NativeHandle, slot: number, bitmap: Uint8Array): number;
  clearDirtyLog(vm: NativeHandle, slot: number, firstPage: number, pages: number, bitmap: Uint8Array): number;
  setMsrFilter(vm: NativeHandle, flags: number, ranges: readonly (number | Uint8Array)[]): number;
  setUserMemoryRegion(
    vm: NativeHandle,
    slot: number,
    flags: number,
    guestPhysAddr: number | bigint,
    memory: Uint8Array | NativeHandle | undefined,
    offset: number,
    size: number,
    extended: boolean,
    guestMemfd: NativeHandle | undefined,
    guestMemfdOffset: number,
  ): number;
  deleteUserMemoryRegion(vm: NativeHandle, slot: number): number;
  ioeventfd(
    vm: NativeHandle,
    event: NativeHandle,
    address: number | bigint,
    length: number,
    flags: number,
    datamatch: number | bigint,
  ): number;
  irqfd(vm: NativeHandle, event: NativeHandle, gsi: number, flags: number, resample: NativeHandle | null): number;
  createRunner(vcpu: NativeHandle): (() => number) | number;
  kick(vcpu: NativeHandle): number;
  mapRun(vcpu: NativeHandle): ArrayBuffer | number;
  mapDirtyRing(vcpu: NativeHandle): ArrayBuffer | number;
  oneReg(vcpu: NativeHandle, set: boolean, id: number | bigint, value: Uint8Array): number;
  getStatsFd(handle: NativeHandle, kind: Kind): NativeHandle | number;
  readStats(stats: NativeHandle, offset: number, bytes: Uint8Array): number;
  setSignalMask(vcpu: NativeHandle, mask: Uint8Array | null): number;
  deviceAttribute(
    handle: NativeHandle,
    kind: Kind,
    operation: 0 | 1 | 2,
    group: number,
    attribute: number | bigint,
    value?: Uint8Array,
  ): number;
  createMemory(size: number, hugePages: boolean): NativeHandle | number;
  createGuestMemfd(vm: NativeHandle, size: number, flags: number): NativeHandle | number;
  memorySize(memory: NativeHandle): number;
  memoryWindow(memory: NativeHandle, offset: number, length: number): ArrayBuffer | number;
  unmap(buffer: ArrayBuffer): void;
  createEventFd(initial: number, semaphore: boolean): NativeHandle | number;
  eventWrite(event: NativeHandle, count: number | bigint): number;
  eventRead(event: NativeHandle): bigint | number;
  eventPoll(event: NativeHandle, milliseconds: number): number;
  watch(event: NativeHandle, listener: (count: bigint) => void): NativeHandle | number;
  unwatch(watcher: NativeHandle): void;
  watchReference(watcher: NativeHandle, keepsLoopAlive: boolean): void;
}

let loaded: Native | undefined;

/** The addon, loaded at first use; throws {@link KvmUnavailable} where there is none. */
export function native(): Native {
  loaded ??= load();
  return loaded;
}

/** The package's own folder: the sources and the built files are not equally deep in every setup. */
function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(`${folder}/binding.gyp`) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}

function load(): Native {
  if (process.platform !== "linux") throw notLinux();
  const require = createRequire(import.meta.url);
  try {
    return require("node-gyp-build")(process.env.KVM_BINDING_ADDON_ROOT ?? packageRoot()) as Native;
  } catch (error) {
    const why = error instanceof Error ? error.message.split("\n", 1)[0] : String(error);
    throw new KvmUnavailable(
      "no-addon",
      `the native part is not built for ${process.platform}-${process.arch} (${why}); ` +
        "install gcc, make and python3 and reinstall the package, or run its build",
    );
  }
}

export function notLinux(): KvmUnavailable {
  return new KvmUnavailable("not-linux", `KVM is part of Linux; this is ${process.platform}`);
}
