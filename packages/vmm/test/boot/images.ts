/** Kernels made for the loader tests. */
import type { BootEnvironment, GuestRam, MemoryMapEntry } from "../../src/boot/types.js";

/** RAM that refuses what lies outside. */
export class TestRam implements GuestRam {
  readonly bytes: Uint8Array;
  constructor(readonly size: number) {
    this.bytes = new Uint8Array(size).fill(0xcc);
  }
  write(address: number, bytes: Uint8Array): void {
    if (!Number.isInteger(address) || address < 0 || address + bytes.length > this.size) {
      throw new RangeError(`write of ${bytes.length} bytes at ${address}`);
    }
    this.bytes.set(bytes, address);
  }
  u32(address: number): number {
    return new DataView(this.bytes.buffer).getUint32(address, true);
  }
  u64(address: number): number {
    return Number(new DataView(this.bytes.buffer).getBigUint64(address, true));
  }
  text(address: number): string {
    const end = this.bytes.indexOf(0, address);
    return new TextDecoder().decode(this.bytes.subarray(address, end));
  }
}

const MiB = 2 ** 20;

export function environment(megabytes = 64): BootEnvironment & { ram: TestRam } {
  const size = megabytes * MiB;
  const memoryMap: MemoryMapEntry[] = [
    { address: 0, size: 0x9fc00, type: "usable" },
    { address: 0x9fc00, size: 0x400, type: "reserved" },
    { address: 0xe0000, size: 0x20000, type: "reserved" },
    { address: MiB, size: size - MiB - 0x10000, type: "usable" },
    { address: size - 0x10000, size: 0x10000, type: "acpi-reclaimable" },
  ];
  return { ram: new TestRam(size), memoryMap, rsdpAddress: 0xe0000 };
}

export interface BzImageFields {
  version?: number;
  loadflags?: number;
  xloadflags?: number;
  relocatable?: number;
  alignment?: number;
  preferred?: number;
  initSize?: number;
  initrdMax?: number;
  cmdlineSize?: number;
  setupSects?: number;
  payload?: number;
  syssize?: number;
}

/** A bzImage with a payload of counting bytes. */
export function bzImage(fields: BzImageFields = {}): Uint8Array {
  const setupSects = fields.setupSects ?? 1;
  const payload = fields.payload ?? 4096;
  const bytes = new Uint8Array(((setupSects || 4) + 1) * 512 + payload);
  const view = new DataView(bytes.buffer);
  bytes[0x1f1] = setupSects;
  view.setUint32(0x1f4, fields.syssize ?? Math.ceil(payload / 16), true);
  view.setUint16(0x1fe, 0xaa55, true);
  bytes[0x200] = 0xeb;
  bytes[0x201] = 0x6a;
  view.setUint32(0x202, 0x53726448, true);
  view.setUint16(0x206, fields.version ?? 0x020f, true);
  view.setUint16(0x20e, 0x100, true);
  bytes[0x211] = fields.loadflags ?? 1;
  view.setUint32(0x22c, fields.initrdMax ?? 0x7fffffff, true);
  view.setUint32(0x230, fields.alignment ?? 0x200000, true);
  bytes[0x234] = fields.relocatable ?? 1;
  view.setUint16(0x236, fields.xloadflags ?? 1, true);
  view.setUint32(0x238, fields.cmdlineSize ?? 2047, true);
  view.setBigUint64(0x258, BigInt(fields.preferred ?? 0x1000000), true);
  view.setUint32(0x260, fields.initSize ?? 0x800000, true);
  bytes.set(new TextEncoder().encode("9.9.9-test (x)\0"), 0x300);
  for (let i = 0; i < payload; i++) bytes[bytes.length - payload + i] = i;
  return bytes;
}

export interface Segment {
  type?: number;
  virtual: number;
  physical: number;
  data: Uint8Array;
  memorySize?: number;
}

/** An ELF file of either class with these program headers. */
export function elf(elfClass: 32 | 64, entry: number, segments: Segment[]): Uint8Array {
  const [headerSize, programSize] = elfClass === 32 ? [52, 32] : [64, 56];
  const start = headerSize + segments.length * programSize;
  const bytes = new Uint8Array(start + segments.reduce((sum, segment) => sum + segment.data.length, 0));
  const view = new DataView(bytes.buffer);
  const address = (at: number, value: number) =>
    elfClass === 32 ? view.setUint32(at, value, true) : view.setBigUint64(at, BigInt(value), true);
  const word = elfClass / 8;
  bytes.set([0x7f, 0x45, 0x4c, 0x46, elfClass / 32, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, elfClass === 32 ? 3 : 62, true);
  address(24, entry);
  address(24 + word, headerSize);
  view.setUint16(headerSize - 10, programSize, true);
  view.setUint16(headerSize - 8, segments.length, true);
  let offset = start;
  segments.forEach((segment, i) => {
    const at = headerSize + i * programSize;
    view.setUint32(at, segment.type ?? 1, true);
    const first = at + (elfClass === 32 ? 4 : 8);
    const values = [
      offset,
      segment.virtual,
      segment.physical,
      segment.data.length,
      segment.memorySize ?? segment.data.length,
    ];
    values.forEach((value, n) => {
      address(first + n * word, value);
    });
    bytes.set(segment.data, offset);
    offset += segment.data.length;
  });
  return bytes;
}

/** The note with the PVH entry, among another one. */
export function pvhNotes(entry: number, size: 4 | 8 = 8): Uint8Array {
  const bytes = new Uint8Array(24 + 12 + 4 + size);
  const view = new DataView(bytes.buffer);
  const note = (at: number, name: string, length: number, type: number) => {
    view.setUint32(at, name.length + 1, true);
    view.setUint32(at + 4, length, true);
    view.setUint32(at + 8, type, true);
    bytes.set(new TextEncoder().encode(name), at + 12);
  };
  note(0, "GNU", 5, 18);
  note(24, "Xen", size, 18);
  view.setUint32(40, entry, true);
  return bytes;
}

/** A Multiboot header: the first three words, or with the address fields. */
export function multibootHeader(flags: number, ...addresses: number[]): Uint8Array {
  const words = [0x1badb002, flags, (2 ** 33 - 0x1badb002 - flags) % 2 ** 32, ...addresses];
  const bytes = new Uint8Array(words.length * 4);
  words.forEach((word, i) => {
    new DataView(bytes.buffer).setUint32(i * 4, word, true);
  });
  return bytes;
}
