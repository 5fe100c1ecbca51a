import { Cpu, createMemory } from "../../src/cpu/cpu.js";
import type { Tier } from "../../src/cpu/executor.js";
import { parseModel } from "../../src/cpu/models.js";
import { loadInterpreter } from "../../src/interpreter/load.js";
import type { RamRegion } from "../../src/mmu/physical-memory.js";
import {
  JUMP_CACHE,
  JUMP_CACHE_ENTRY,
  JUMP_CACHE_ENTRY_SIZE,
  RAM_BASE,
  RECORD,
  RECORD_SIZE,
  RECORDS,
  S,
  STATE,
  STATE_SIZE,
  TLB_ENTRY,
  TLB_ENTRY_SIZE,
  TLB_NONE,
  TLB_SIZE,
  TLB_USER,
} from "../../src/state/layout.js";

/** RAM up to here, then read-only memory up to 1 MiB, then RAM again. */
export const ROM = 0xf0000;
export const RAM_END = 0x120000;
const GUARD = 0x10000;
const GUARD_BYTE = 0xa5;

/** Regions of guest memory lie apart, with guards between and around them that nobody may write. */
const REGIONS: readonly RamRegion[] = [
  { address: 0, size: ROM, offset: RAM_BASE + GUARD },
  { address: ROM, size: 0x10000, offset: RAM_BASE + 2 * GUARD + ROM, readOnly: true },
  { address: 0x100000, size: RAM_END - 0x100000, offset: RAM_BASE + 4 * GUARD + ROM },
];
const LAST = REGIONS[2].offset + REGIONS[2].size;
const GUARDS: readonly [start: number, end: number][] = [
  [RAM_BASE, REGIONS[0].offset],
  [REGIONS[0].offset + REGIONS[0].size, REGIONS[1].offset],
  [REGIONS[1].offset + REGIONS[1].size, REGIONS[2].offset],
  [LAST, LAST + GUARD],
];

/** Handler numbers that records may name. */
const HANDLERS = new Set(loadInterpreter().numbers.filter((number) => number !== 0xffff));

/** Gaps between a CPU's own data: never written, so 0. */
const UNUSED: readonly [start: number, end: number][] = [
  [0, STATE],
  [STATE + STATE_SIZE, TLB_USER],
];

/** A CPU with a memory, a bus and an interrupt controller that do the same every time. */
export class FuzzMachine {
  readonly cpu: Cpu;
  readonly u8: Uint8Array;
  readonly #pristine: Uint8Array;
  readonly #rom: Uint8Array;
  readonly #u16: Uint16Array;
  readonly #u32: Uint32Array;
  /** Everything that reached the bus, as a hash. */
  bus = 0;
  /** Calls of the clock. */
  ticks = 0;
  /** The vector that waits, or -1. */
  vector = -1;

  constructor(tier: Tier, model: string) {
    const memory = createMemory(LAST + GUARD - RAM_BASE);
    this.u8 = new Uint8Array(memory.buffer);
    this.#u16 = new Uint16Array(memory.buffer);
    this.#u32 = new Uint32Array(memory.buffer);
    for (const [start, end] of GUARDS) this.u8.fill(GUARD_BYTE, start, end);
    const rom = this.u8.subarray(REGIONS[1].offset, REGIONS[1].offset + REGIONS[1].size);
    for (let at = 0; at < rom.length; at++) rom[at] = Math.imul(at, 0x9e3779b1) >>> 13;
    this.#rom = rom.slice();
    const read = (where: number, size: number) => this.#read(where, size);
    const write = (where: number, size: number, value: number) => this.#mix(where, size, value);
    this.cpu = new Cpu({
      memory,
      ram: REGIONS,
      model: parseModel(model),
      bus: {
        readPhysical: (address, size) => read(checkedAddress(address, size), size),
        writePhysical: (address, size, value) => write(checkedAddress(address, size), size, value),
        readPort: (port, size) => read(checkedPort(port, size), size),
        writePort: (port, size, value) => write(checkedPort(port, size), size, value),
      },
      apic: {
        acknowledge: () => {
          const { vector } = this;
          this.vector = -1;
          return vector;
        },
        pending: () => this.vector >= 0,
        taskPriority: 0,
        readMsr: (index) => (index === 0x1b ? 0xfee00900n : undefined),
        writeMsr: (index, value) => index === 0x1b && value === 0xfee00900n,
      },
      time: { ticks: () => BigInt(++this.ticks) * 1000n, frequency: 1e9 },
      interpreter: loadInterpreter(),
      tier,
    });
    this.#pristine = this.cpu.state.save();
  }

  /** Power-on state, and empty memory. */
  reset(): void {
    for (const { offset, size, readOnly } of REGIONS) if (!readOnly) this.u8.fill(0, offset, offset + size);
    this.bus = this.ticks = 0;
    this.vector = -1;
    this.cpu.apic.taskPriority = 0;
    this.cpu.state.load(this.#pristine);
    this.cpu.stateChanged();
    this.cpu.memoryWritten(0, RAM_END);
  }

  /** Takes over memory, state and surroundings of another machine. */
  copyFrom(other: FuzzMachine): void {
    for (const { offset, size } of REGIONS) this.u8.set(other.u8.subarray(offset, offset + size), offset);
    this.bus = other.bus;
    this.ticks = other.ticks;
    this.vector = other.vector;
    this.cpu.apic.taskPriority = other.cpu.apic.taskPriority;
    this.cpu.state.load(other.cpu.state.save());
    this.cpu.stateChanged();
    this.cpu.memoryWritten(0, RAM_END);
  }

  /** Writes guest-physical memory as a device would. */
  write(address: number, bytes: ArrayLike<number>): void {
    this.u8.set(bytes, this.host(address));
    this.cpu.memoryWritten(address, bytes.length);
  }
  host(address: number): number {
    const region = REGIONS.find((one) => address >= one.address && address < one.address + one.size);
    if (!region) throw new Error(`no memory at ${address}`);
    return region.offset + address - region.address;
  }

  #mix(where: number, size: number, value: number): void {
    this.bus = (Math.imul(this.bus ^ where ^ (value >>> 0), 0x9e3779b1) + size) | 0;
  }
  #read(where: number, size: number): number {
    this.#mix(where, size, 0);
    return (this.bus >>> 8) & (2 ** (8 * size) - 1);
  }

  /** The state without what has no meaning between instructions. */
  stateImage(): Uint8Array {
    const image = this.cpu.state.save();
    image.fill(0, S.arguments, S.cr0);
    image.fill(0, S.address, S.segments);
    image.fill(0, S.budget, S.mode);
    image.fill(0, S.attention, S.stackMask);
    return image;
  }

  /** Where this machine and another one differ; undefined: nowhere. */
  difference(other: FuzzMachine): string | undefined {
    const mine = this.stateImage();
    const theirs = other.stateImage();
    if (Buffer.compare(mine, theirs) !== 0) {
      const at = mine.findIndex((byte, index) => byte !== theirs[index]);
      const [name, offset] = Object.entries(S)
        .filter(([, start]) => start <= at)
        .sort(([, a], [, b]) => b - a)[0];
      return `state ${name}+${at - offset}: ${mine[at].toString(16)} / ${theirs[at].toString(16)}`;
    }
    for (const { offset, size, address } of REGIONS) {
      const a = this.u8.subarray(offset, offset + size);
      const b = other.u8.subarray(offset, offset + size);
      if (Buffer.compare(a, b) === 0) continue;
      const at = a.findIndex((byte, index) => byte !== b[index]);
      return `memory ${(address + at).toString(16)}: ${a[at].toString(16)} / ${b[at].toString(16)}`;
    }
    if (this.bus !== other.bus) return "the bus saw something else";
    if (this.ticks !== other.ticks) return `clock read ${this.ticks} / ${other.ticks} times`;
    return undefined;
  }

  /** Throws when something was written that is not the guest's, or a TLB leads to it. */
  checkIntegrity(): void {
    for (const [start, end] of GUARDS) this.#expectAll(start, end, GUARD_BYTE);
    for (const [start, end] of UNUSED) this.#expectAll(start, end, 0);
    this.#expectAll(TLB_NONE, TLB_NONE + TLB_SIZE, 0xff);
    const rom = REGIONS[1].offset;
    if (Buffer.compare(this.u8.subarray(rom, rom + REGIONS[1].size), this.#rom) !== 0)
      throw new Error("ROM has changed");
    for (let entry = TLB_USER; entry < TLB_NONE; entry += TLB_ENTRY_SIZE) {
      const read = this.#u32[(entry + TLB_ENTRY.read) >> 2];
      // Never filled, or dropped by INVLPG.
      if (read % 4096 !== 0) continue;
      const host = (read + this.#u32[(entry + TLB_ENTRY.addend) >> 2]) >>> 0;
      const region = REGIONS.find((one) => host >= one.offset && host < one.offset + one.size);
      if (!region || host % 4096 !== 0) throw new Error(`a TLB entry leads to ${host.toString(16)}`);
      const write = this.#u32[(entry + TLB_ENTRY.write) >> 2];
      if (host >= rom && host < rom + REGIONS[1].size && write !== 0xffffffff) throw new Error("ROM is writable");
    }
    // Every record that was ever made counts its instruction; behind the last one there is nothing.
    for (let record = RECORDS; this.#u16[(record + RECORD.count) >> 1] !== 0; record += RECORD_SIZE) {
      const known = HANDLERS.has(this.#u16[(record + RECORD.handler) >> 1]);
      if (!known || this.u8[record + RECORD.length] > 15) throw new Error(`record ${record} was overwritten`);
    }
    for (let entry = JUMP_CACHE; entry < RECORDS; entry += JUMP_CACHE_ENTRY_SIZE) {
      if (this.#u32[(entry + JUMP_CACHE_ENTRY.mode) >> 2] === 0xffffffff) continue;
      const record = this.#u32[(entry + JUMP_CACHE_ENTRY.record) >> 2];
      if (record < RECORDS || record >= RAM_BASE || record % RECORD_SIZE)
        throw new Error(`jump cache leads to ${record}`);
    }
  }

  #expectAll(start: number, end: number, value: number): void {
    let at = 0;
    while (start + at < end && this.u8[start + at] === value) at++;
    if (start + at < end) throw new Error(`byte ${(start + at).toString(16)} of the memory was overwritten`);
  }
}

function checkedAddress(address: number, size: number): number {
  const inside = Number.isSafeInteger(address) && address >= 0 && address < 2 ** 52;
  if (!inside || ![1, 2, 4].includes(size) || address % size !== 0) throw new Error(`bus: ${address}, ${size} bytes`);
  if (REGIONS.some((region) => address >= region.address && address < region.address + region.size))
    throw new Error(`bus: RAM at ${address}`);
  return address % 2 ** 32;
}
function checkedPort(port: number, size: number): number {
  if (!(port >= 0 && port <= 0xffff) || ![1, 2, 4].includes(size)) throw new Error(`port ${port}, ${size} bytes`);
  return port;
}
