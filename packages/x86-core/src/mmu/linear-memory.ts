import { raise } from "../cpu/fault.js";
import { MODE } from "../decode/mode.js";
import { FLAG } from "../semantics/flags.js";
import { VECTOR } from "../semantics/ops.js";
import { S, TLB_NONE, TLB_SUPERVISOR, TLB_SUPERVISOR_SMAP, TLB_USER } from "../state/layout.js";
import type { State } from "../state/state.js";
import { hasDataBreakpoints } from "../system/breakpoints.js";
import { CR0, CR4, EFER } from "../system/registers.js";
import { type Access, PageWalker } from "./page-walk.js";
import type { PhysicalMemory } from "./physical-memory.js";
import { Tlb } from "./tlb.js";

/** What linear memory tells the rest of the CPU. */
export interface MemoryObserver {
  /** Whether a page of the memory (named by where it starts) holds decoded code: its writes need `written`. */
  holdsCode(page: number): boolean;
  /** Bytes are about to be written in a page that holds code. */
  written(page: number, offset: number, length: number): void;
  /** A data access while data breakpoints are enabled. */
  dataBreakpoint(low: number, high: number, bytes: number, write: boolean): void;
}

/** A privilege with which memory is accessed: which TLB serves it and what the page tables are asked for. */
interface Privilege {
  readonly tlb: number;
  readonly read: Access;
  readonly write: Access;
}
const privilege = (tlb: number, user: boolean, smap: boolean): Privilege => ({
  tlb,
  read: { write: false, fetch: false, user, smap },
  write: { write: true, fetch: false, user, smap },
});
const USER = privilege(TLB_USER, true, false);
const SUPERVISOR = privilege(TLB_SUPERVISOR, false, false);
const SUPERVISOR_SMAP = privilege(TLB_SUPERVISOR_SMAP, false, true);

/** Data accesses at linear addresses: what generated code does when its inline TLB look-up misses, and for helpers. */
export class LinearMemory {
  readonly tlb: Tlb;
  readonly walker: PageWalker;
  readonly #bytes = new Uint8Array(64);
  readonly #view = new DataView(this.#bytes.buffer);
  /** Accesses need individual checks (alignment, breakpoints): the generated code's TLB is the empty one. */
  #careful = false;
  #checkAlignment = false;
  #watch = false;
  /** The helper that runs got an address in the stack segment: one that is not canonical is a stack fault. */
  stackSegment = false;

  constructor(
    readonly state: State,
    readonly physical: PhysicalMemory,
    readonly observer: MemoryObserver,
  ) {
    this.tlb = new Tlb(state.buffer);
    this.walker = new PageWalker(state, physical, (address) => {
      const host = physical.host(address);
      if (host >= 0) this.#beforeWrite(host, 4);
    });
  }

  /** Chooses the TLB that generated code uses; to be called when privilege, AC, CR0, CR4 or DR7 have changed. */
  updateMode(): void {
    const { state } = this;
    const flags = state.get32(S.systemFlags);
    const user = state.cpl === 3;
    this.#checkAlignment = user && (flags & FLAG.AC) !== 0 && (state.low(S.cr0) & CR0.AM) !== 0;
    this.#watch = hasDataBreakpoints(state);
    this.#careful = this.#checkAlignment || this.#watch;
    state.set32(S.tlb, this.#careful ? TLB_NONE : this.#current().tlb);
  }

  /** The privilege of explicit accesses by the running code. */
  #current(): Privilege {
    const { state } = this;
    if (state.cpl === 3) return USER;
    const smap = (state.low(S.cr4) & CR4.SMAP) !== 0 && (state.get32(S.systemFlags) & FLAG.AC) === 0;
    return smap ? SUPERVISOR_SMAP : SUPERVISOR;
  }
  /** The privilege of implicit accesses to descriptor tables and the like: supervisor whatever CPL is, AC ignored. */
  #system(): Privilege {
    return this.state.low(S.cr4) & CR4.SMAP ? SUPERVISOR_SMAP : SUPERVISOR;
  }
  #at(cpl: number): Privilege {
    return cpl === 3 ? USER : this.#system();
  }

  flush(global: boolean): void {
    this.tlb.flush(global);
    this.#fetched.fill(-1);
  }
  flushPage(low: number, high: number): void {
    this.tlb.flushPage(low, high);
    this.#fetched.fill(-1);
  }

  // --- translation ---

  /** Where a byte lies: its offset in the memory, or -1 with `#physicalAddress` set when it is not RAM. */
  #physicalAddress = 0;
  #translate(low: number, high: number, who: Privilege, write: boolean): number {
    const hit = this.tlb.lookup(who.tlb, low, high, write);
    if (hit >= 0) return hit;
    if (!this.walker.walk(low, high, write ? who.write : who.read)) this.#pageFault(low, high);
    const { result } = this.walker;
    const offset = low & 0xfff;
    const page = this.physical.mask(result.page);
    const region = this.physical.find(page);
    this.#physicalAddress = page + offset;
    if (!region) return -1;
    const host = region.offset + (page - region.address);
    if (region.readOnly && write) return -1;
    const writable = result.writable && !region.readOnly && !this.observer.holdsCode(host);
    this.tlb.fill(who.tlb, low, high, host, writable, result.global);
    if (result.size > 4096) this.tlb.noteLarge(low, high, result.size);
    return host + offset;
  }

  #pageFault(low: number, high: number): never {
    const { state } = this;
    state.set32(S.cr2, low);
    state.set32(S.cr2 + 4, high);
    raise(VECTOR.PF, this.walker.result.errorCode);
  }

  #beforeWrite(host: number, length: number): void {
    const page = host & ~0xfff;
    if (this.observer.holdsCode(page)) this.observer.written(page, host & 0xfff, length);
  }

  /**
   * Raises #GP or #SS for a non-canonical address in IA-32e mode, and for an access that passes the end of a flat
   * segment: the records of flat segments do not check their limit.
   */
  checkCanonical(low: number, high: number, bytes: number, stack: boolean): void {
    const mode = this.state.get32(S.mode);
    if ((mode & MODE.FLAT) !== 0 && low > 0xffffffff - (bytes - 1)) raise(stack ? VECTOR.SS : VECTOR.GP, 0);
    if (!(this.state.low(S.efer) & EFER.LMA)) return;
    const sign = high >> 15;
    // The last byte may be the one that leaves the canonical range.
    const leaves = low > 0xffffffff - (bytes - 1) && (high & 0x7fff) === 0x7fff;
    if ((sign !== 0 && sign !== -1) || (leaves && high === 0x7fff)) raise(stack ? VECTOR.SS : VECTOR.GP, 0);
  }

  /** Checks that individual accesses need when the generated code's TLB is switched off. */
  #check(low: number, high: number, bytes: number, write: boolean): void {
    if (this.#checkAlignment && bytes <= 16 && (low & (bytes - 1)) !== 0) raise(VECTOR.AC, 0);
    if (this.#watch) this.observer.dataBreakpoint(low, high, bytes, write);
  }

  // --- accesses of up to 64 bytes; the data is in `#bytes` ---

  #load(low: number, high: number, bytes: number, who: Privilege): void {
    const first = Math.min(bytes, 4096 - (low & 0xfff));
    const start = this.#translate(low, high, who, false);
    const startPhysical = this.#physicalAddress;
    if (first === bytes) return this.#copyIn(0, bytes, start, startPhysical);
    const [nextLow, nextHigh] = this.#nextPage(low, high);
    const rest = this.#translate(nextLow, nextHigh, who, false);
    this.#copyIn(first, bytes - first, rest, this.#physicalAddress);
    this.#copyIn(0, first, start, startPhysical);
  }

  #store(low: number, high: number, bytes: number, who: Privilege): void {
    const first = Math.min(bytes, 4096 - (low & 0xfff));
    const start = this.#translate(low, high, who, true);
    const startPhysical = this.#physicalAddress;
    if (first === bytes) return this.#copyOut(0, bytes, start, startPhysical);
    const [nextLow, nextHigh] = this.#nextPage(low, high);
    const rest = this.#translate(nextLow, nextHigh, who, true);
    this.#copyOut(first, bytes - first, rest, this.#physicalAddress);
    this.#copyOut(0, first, start, startPhysical);
  }

  #nextPage(low: number, high: number): [number, number] {
    const next = ((low & 0xfffff000) + 4096) >>> 0;
    if (next !== 0) return [next, high];
    // Outside IA-32e mode linear addresses wrap at 4 GiB.
    return this.state.low(S.efer) & EFER.LMA ? [0, (high + 1) >>> 0] : [0, 0];
  }

  #copyIn(at: number, length: number, host: number, physicalAddress: number): void {
    const target = this.#bytes;
    if (host >= 0) {
      for (let i = 0; i < length; i++) target[at + i] = this.physical.u8[host + i];
      return;
    }
    this.#onBus(physicalAddress, length, (address, size, offset) => {
      const value = this.physical.bus.readPhysical(address, size);
      if (size === 4) this.#view.setUint32(at + offset, value, true);
      else if (size === 2) this.#view.setUint16(at + offset, value, true);
      else target[at + offset] = value;
    });
  }

  #copyOut(at: number, length: number, host: number, physicalAddress: number): void {
    const source = this.#bytes;
    if (host >= 0) {
      this.#beforeWrite(host, length);
      for (let i = 0; i < length; i++) this.physical.u8[host + i] = source[at + i];
      return;
    }
    if (this.physical.find(physicalAddress)) return; // read-only memory
    this.#onBus(physicalAddress, length, (address, size, offset) => {
      const value =
        size === 4
          ? this.#view.getUint32(at + offset, true)
          : size === 2
            ? this.#view.getUint16(at + offset, true)
            : source[at + offset];
      this.physical.bus.writePhysical(address, size, value);
    });
  }

  /** Splits an access to devices into naturally aligned pieces of at most 4 bytes. */
  #onBus(address: number, length: number, access: (address: number, size: number, offset: number) => void): void {
    for (let offset = 0; offset < length; ) {
      const rest = length - offset;
      const at = address + offset;
      const size = rest >= 4 && at % 4 === 0 ? 4 : rest >= 2 && at % 2 === 0 ? 2 : 1;
      access(at, size, offset);
      offset += size;
    }
  }

  // --- for generated code: data in the state ---

  /** Loads into memory at `target`; raises. */
  slowLoad(low: number, high: number, bytes: number, stack: boolean, target: number): void {
    this.checkCanonical(low, high, bytes, stack);
    if (this.#careful) this.#check(low, high, bytes, false);
    this.#load(low, high, bytes, this.#current());
    this.state.u8.set(this.#bytes.subarray(0, bytes), target);
  }
  slowStore(low: number, high: number, bytes: number, stack: boolean, source: number): void {
    this.checkCanonical(low, high, bytes, stack);
    if (this.#careful) this.#check(low, high, bytes, true);
    this.#bytes.set(this.state.u8.subarray(source, source + bytes));
    this.#store(low, high, bytes, this.#current());
  }
  slowLoadForWrite(low: number, high: number, bytes: number, stack: boolean, target: number): void {
    this.checkCanonical(low, high, bytes, stack);
    if (this.#careful) this.#check(low, high, bytes, true);
    this.#probe(low, high, bytes, true, this.#current());
    this.#loadAfterProbe(low, high, bytes);
    this.state.u8.set(this.#bytes.subarray(0, bytes), target);
  }
  /** Write permission was checked: what a writable page lacks for reading (nothing on x86) need not be. */
  #loadAfterProbe(low: number, high: number, bytes: number): void {
    this.#load(low, high, bytes, this.#current());
  }

  #probe(low: number, high: number, bytes: number, write: boolean, who: Privilege): void {
    this.#translate(low, high, who, write);
    if ((low & 0xfff) + bytes > 4096) {
      const [nextLow, nextHigh] = this.#nextPage(low, high);
      this.#translate(nextLow, nextHigh, who, write);
    }
  }

  // --- for helpers ---

  #readNumber(linear: bigint, bytes: 1 | 2 | 4 | 8, who: Privilege, stack = false): void {
    const low = Number(linear & 0xffffffffn);
    const high = Number((linear >> 32n) & 0xffffffffn);
    this.checkCanonical(low, high, bytes, stack);
    this.#load(low, high, bytes, who);
  }
  #value(bytes: 1 | 2 | 4): number {
    if (bytes === 4) return this.#view.getUint32(0, true);
    return bytes === 2 ? this.#view.getUint16(0, true) : this.#bytes[0];
  }

  read(linear: bigint, bytes: 1 | 2 | 4): number {
    this.#readNumber(linear, bytes, this.#current(), this.stackSegment);
    return this.#value(bytes);
  }
  read64(linear: bigint): bigint {
    this.#readNumber(linear, 8, this.#current(), this.stackSegment);
    return this.#view.getBigUint64(0, true);
  }
  readSystem(linear: bigint, bytes: 1 | 2 | 4): number {
    this.#readNumber(linear, bytes, this.#system());
    return this.#value(bytes);
  }
  readSystem64(linear: bigint): bigint {
    this.#readNumber(linear, 8, this.#system());
    return this.#view.getBigUint64(0, true);
  }

  #writeNumber(linear: bigint, bytes: number, value: bigint, who: Privilege, stack = false): void {
    const low = Number(linear & 0xffffffffn);
    const high = Number((linear >> 32n) & 0xffffffffn);
    this.checkCanonical(low, high, bytes, stack);
    this.#view.setBigUint64(0, BigInt.asUintN(64, value), true);
    this.#store(low, high, bytes, who);
  }
  write(linear: bigint, bytes: 1 | 2 | 4, value: number): void {
    this.#writeNumber(linear, bytes, BigInt(value >>> 0), this.#current(), this.stackSegment);
  }
  write64(linear: bigint, value: bigint): void {
    this.#writeNumber(linear, 8, value, this.#current(), this.stackSegment);
  }
  writeSystem(linear: bigint, bytes: 1 | 2 | 4, value: number): void {
    this.#writeNumber(linear, bytes, BigInt(value >>> 0), this.#system());
  }
  writeSystem64(linear: bigint, value: bigint): void {
    this.#writeNumber(linear, 8, value, this.#system());
  }
  writeAt(cpl: number, linear: bigint, bytes: 2 | 4 | 8, value: bigint): void {
    this.#writeNumber(linear, bytes, value, this.#at(cpl));
  }

  #probeLinear(linear: bigint, bytes: number, write: boolean, who: Privilege, stack = false): void {
    const low = Number(linear & 0xffffffffn);
    const high = Number((linear >> 32n) & 0xffffffffn);
    this.checkCanonical(low, high, Math.max(bytes, 1), stack);
    for (let offset = 0; offset < bytes; offset += 4096) {
      const at = linear + BigInt(offset);
      const rest = Math.min(4096, bytes - offset);
      this.#probe(Number(at & 0xffffffffn), Number((at >> 32n) & 0xffffffffn), rest, write, who);
    }
  }
  probeWrite(linear: bigint, bytes: number): void {
    this.#probeLinear(linear, bytes, true, this.#current(), this.stackSegment);
  }
  probeRead(linear: bigint, bytes: number): void {
    this.#probeLinear(linear, bytes, false, this.#current(), this.stackSegment);
  }
  probeWriteAt(cpl: number, linear: bigint, bytes: number): void {
    this.#probeLinear(linear, bytes, true, this.#at(cpl));
  }

  // --- instruction fetch ---

  /** The last fetches, direct-mapped: linear page (with privilege, as one number) and physical page. */
  readonly #fetched = new Float64Array(2 * FETCHES).fill(-1);

  /** Physical address of the page that code at a linear address is fetched from; raises #PF. */
  fetchPage(low: number, high: number): number {
    const user = this.state.cpl === 3;
    const page = (high >>> 0) * 2 ** 21 + (low >>> 12) * 2 + (user ? 1 : 0);
    const slot = ((low >>> 12) & (FETCHES - 1)) * 2;
    if (this.#fetched[slot] === page) return this.#fetched[slot + 1];
    const physical = this.#walkForFetch(low, high, user);
    this.#fetched[slot] = page;
    this.#fetched[slot + 1] = physical;
    return physical;
  }

  #walkForFetch(low: number, high: number, user: boolean): number {
    this.checkCanonical(low, high, 1, false);
    if (!this.walker.walk(low, high, user ? FETCH_USER : FETCH_SUPERVISOR)) this.#pageFault(low, high);
    if (this.walker.result.size > 4096) this.tlb.noteLarge(low, high, this.walker.result.size);
    return this.physical.mask(this.walker.result.page);
  }
}

/** Entries of the cache of fetches, a power of two. */
const FETCHES = 512;
const FETCH_USER: Access = { write: false, fetch: true, user: true, smap: false };
const FETCH_SUPERVISOR: Access = { write: false, fetch: true, user: false, smap: false };
