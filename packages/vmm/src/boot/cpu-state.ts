import type { Placement } from "./placement.js";
import type { GuestRam, InitialCpuState, SegmentState, TableRegister } from "./types.js";

/** CR0 bits: protection enable, extension type (always 1), paging. */
const CR0_PE = 0x1;
const CR0_ET = 0x10;
const CR0_PG = 0x80000000;
const CR4_PAE = 0x20;
/** IA32_EFER: long mode enabled and active. */
const EFER_LME = 0x100;
const EFER_LMA = 0x400;

/** Selectors that Linux's boot protocols prescribe (__BOOT_CS, __BOOT_DS); the other protocols leave them open. */
const BOOT_CS = 0x10;
const BOOT_DS = 0x18;
const BOOT_TSS = 0x20;

const code64 = 0xa09b;
const code32 = 0xc09b;
const data32 = 0xc093;
const busyTss = 0x008b;
const unusable = 0x10000;

const flat = (selector: number, access: number): SegmentState => ({ selector, base: 0, limit: 0xffffffff, access });

/** The eight bytes of a descriptor in the GDT (Intel SDM volume 3, section 3.4.5). */
function descriptor(segment: SegmentState): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  const limit = segment.access & 0x8000 ? segment.limit >>> 12 : segment.limit;
  view.setUint16(0, limit & 0xffff, true);
  view.setUint16(2, segment.base & 0xffff, true);
  view.setUint8(4, (segment.base >>> 16) & 0xff);
  view.setUint8(5, segment.access & 0xff);
  view.setUint8(6, ((limit >>> 16) & 0xf) | ((segment.access >>> 8) & 0xf0));
  view.setUint8(7, segment.base >>> 24);
  return bytes;
}

function segmentsFor(code: SegmentState): InitialCpuState["segments"] {
  const data = flat(BOOT_DS, data32);
  return {
    cs: code,
    ds: data,
    es: data,
    fs: data,
    gs: data,
    ss: data,
    tr: { selector: BOOT_TSS, base: 0, limit: 0x67, access: busyTss },
    ldtr: { selector: 0, base: 0, limit: 0, access: unusable },
  };
}

function writeGdt(ram: GuestRam, placement: Placement, segments: InitialCpuState["segments"]): TableRegister {
  const table = new Uint8Array(0x28);
  for (const segment of [segments.cs, segments.ds, segments.tr]) table.set(descriptor(segment), segment.selector);
  const base = placement.place(table.length, "The GDT", { align: 16, prefer: "low" });
  ram.write(base, table);
  return { base, limit: table.length - 1 };
}

/** 32-bit protected mode without paging, all segments flat, interrupts off, an empty IDT. */
export function protectedMode(
  ram: GuestRam,
  placement: Placement,
  entry: number,
  registers: InitialCpuState["registers"],
): InitialCpuState {
  const segments = segmentsFor(flat(BOOT_CS, code32));
  return {
    mode: "protected",
    rip: entry,
    registers,
    cr0: CR0_PE | CR0_ET,
    cr3: 0,
    cr4: 0,
    efer: 0,
    segments,
    gdtr: writeGdt(ram, placement, segments),
    idtr: { base: 0, limit: 0 },
  };
}

/** 64-bit mode with the first 4 GiB mapped to themselves in 2 MiB pages, interrupts off, an empty IDT. */
export function longMode(
  ram: GuestRam,
  placement: Placement,
  entry: number,
  registers: InitialCpuState["registers"],
): InitialCpuState {
  const segments = segmentsFor(flat(BOOT_CS, code64));
  return {
    mode: "long",
    rip: entry,
    registers,
    cr0: (CR0_PE | CR0_ET | CR0_PG) >>> 0,
    cr3: writeIdentityTables(ram, placement),
    cr4: CR4_PAE,
    efer: EFER_LME | EFER_LMA,
    segments,
    gdtr: writeGdt(ram, placement, segments),
    idtr: { base: 0, limit: 0 },
  };
}

/** Real mode as a BIOS leaves it: vectors at 0, all data segments 0. */
export function realMode(entry: number, registers: InitialCpuState["registers"]): InitialCpuState {
  // Below 64 KiB the segment is 0, as boot sectors expect; above, the segment holds all but the last four bits.
  const cs = entry < 0x10000 ? 0 : entry >>> 4;
  const real = (selector: number, access: number): SegmentState => ({
    selector,
    base: selector << 4,
    limit: 0xffff,
    access,
  });
  const data = real(0, 0x93);
  return {
    mode: "real",
    rip: entry - cs * 16,
    registers,
    cr0: CR0_ET,
    cr3: 0,
    cr4: 0,
    efer: 0,
    segments: {
      cs: real(cs, 0x9b),
      ds: data,
      es: data,
      fs: data,
      gs: data,
      ss: data,
      tr: { selector: 0, base: 0, limit: 0xffff, access: busyTss },
      ldtr: { selector: 0, base: 0, limit: 0xffff, access: 0x82 },
    },
    gdtr: { base: 0, limit: 0xffff },
    idtr: { base: 0, limit: 0x3ff },
  };
}

/** One PML4, one page-directory-pointer table and four page directories (Intel SDM volume 3, section 4.5). */
function writeIdentityTables(ram: GuestRam, placement: Placement): number {
  const PRESENT_WRITABLE = 0x3;
  const PAGE_SIZE = 0x80;
  const base = placement.place(6 * 0x1000, "The page tables", { align: 0x1000, prefer: "low" });
  const table = new Uint8Array(6 * 0x1000);
  const view = new DataView(table.buffer);
  view.setUint32(0, (base + 0x1000) | PRESENT_WRITABLE, true);
  for (let i = 0; i < 4; i++) view.setUint32(0x1000 + i * 8, (base + 0x2000 + i * 0x1000) | PRESENT_WRITABLE, true);
  for (let i = 0; i < 2048; i++) view.setUint32(0x2000 + i * 8, i * 0x200000 + (PRESENT_WRITABLE | PAGE_SIZE), true);
  ram.write(base, table);
  return base;
}
