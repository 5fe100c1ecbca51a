import { PHYSICAL_ADDRESS_BITS } from "../cpu/models.js";
import { S } from "../state/layout.js";
import type { State } from "../state/state.js";
import { CR0, CR4, EFER } from "../system/registers.js";
import type { PhysicalMemory } from "./physical-memory.js";

/** Bits of a page-fault error code (SDM vol. 3, 4.7). */
const ERROR = { P: 1, W: 2, U: 4, RSVD: 8, I: 16 } as const;
/** Bits of paging-structure entries. */
const ENTRY = { P: 1, RW: 2, US: 4, A: 0x20, D: 0x40, PS: 0x80, G: 0x100 } as const;

/** Bits of entries above the width of physical addresses. */
const RESERVED_HIGH = (0x000fffff & ~(2 ** (PHYSICAL_ADDRESS_BITS - 32) - 1)) >>> 0;

/** What an access wants. */
export interface Access {
  readonly write: boolean;
  readonly fetch: boolean;
  /** User-mode access: CPL 3 and not implicit. */
  readonly user: boolean;
  /** SMAP is in force: supervisor data accesses to user pages fault. */
  readonly smap: boolean;
}

/** Result of a walk; the object is reused. */
export class Translation {
  /** Physical address of the 4 KiB page. */
  page = 0;
  /** Writes need no further walk: permitted, and the dirty bit is set. */
  writable = false;
  global = false;
  /** Bytes of the page that maps the address. */
  size = 4096;
  errorCode = 0;
}

/**
 * Walks the page tables for one linear page (SDM vol. 3, chapter 4): none, 32-bit with 4 MiB pages, PAE, and 4-level.
 * Sets the accessed bits of the entries that it goes through, and accessed and dirty bits of a permitted access.
 */
export class PageWalker {
  readonly result = new Translation();

  constructor(
    readonly state: State,
    readonly memory: PhysicalMemory,
    /** Told before an entry is changed: the page may hold decoded code. */
    readonly onTableWrite: (physical: number) => void,
  ) {}

  /** Translates the page of a linear address given in two halves; false: #PF with `result.errorCode`. */
  walk(low: number, high: number, access: Access): boolean {
    const { state, result } = this;
    const cr0 = state.low(S.cr0);
    result.global = false;
    result.size = 4096;
    if (!(cr0 & CR0.PG)) {
      result.page = (low & 0xfffff000) >>> 0;
      result.writable = true;
      return true;
    }
    const cr4 = state.low(S.cr4);
    const efer = state.low(S.efer);
    if (!(cr4 & CR4.PAE)) return this.#walk32(low, access, cr0, cr4);
    return this.#walk64(low, high, access, cr0, cr4, efer);
  }

  #fault(code: number, access: Access, cr4: number, nxe: boolean): false {
    const fetch = access.fetch && (cr4 & CR4.SMEP || nxe) ? ERROR.I : 0;
    this.result.errorCode = code | (access.write ? ERROR.W : 0) | (access.user ? ERROR.U : 0) | fetch;
    return false;
  }

  #walk32(low: number, access: Access, cr0: number, cr4: number): boolean {
    const { memory, result } = this;
    const directory = ((this.state.low(S.cr3) & 0xfffff000) | ((low >>> 20) & 0xffc)) >>> 0;
    const pde = memory.read(directory, 4);
    if (!(pde & ENTRY.P)) return this.#fault(0, access, cr4, false);
    if (pde & ENTRY.PS && cr4 & CR4.PSE) {
      // Bits 20-13 hold bits 39-32 of the address (PSE-36); bit 21 is reserved.
      if (pde & 0x200000) return this.#fault(ERROR.P | ERROR.RSVD, access, cr4, false);
      if (!this.#permitted(pde & ENTRY.US, pde & ENTRY.RW, false, access, cr0, cr4)) {
        return this.#fault(ERROR.P, access, cr4, false);
      }
      this.#mark(directory, pde, access.write);
      const top = (pde >> 13) & 0xff;
      // INVLPG works on regions of 2 MiB.
      result.size = 2 ** 21;
      result.page = top * 2 ** 32 + (((pde & 0xffc00000) | (low & 0x3ff000)) >>> 0);
      return this.#finish(pde, access, cr4);
    }
    this.#markAccessed(directory, pde);
    const table = ((pde & 0xfffff000) | ((low >>> 10) & 0xffc)) >>> 0;
    const pte = memory.read(table, 4);
    if (!(pte & ENTRY.P)) return this.#fault(0, access, cr4, false);
    if (!this.#permitted(pde & pte & ENTRY.US, pde & pte & ENTRY.RW, false, access, cr0, cr4)) {
      return this.#fault(ERROR.P, access, cr4, false);
    }
    this.#mark(table, pte, access.write);
    result.page = (pte & 0xfffff000) >>> 0;
    return this.#finish(pte, access, cr4, pde & pte & ENTRY.RW);
  }

  #walk64(low: number, high: number, access: Access, cr0: number, cr4: number, efer: number): boolean {
    const { memory, result } = this;
    const nxe = (efer & EFER.NXE) !== 0;
    const long = (efer & EFER.LMA) !== 0;
    const cr3 = this.state.low(S.cr3);
    let table: number;
    let level: number;
    if (long) {
      table = (this.state.high(S.cr3) & (2 ** (PHYSICAL_ADDRESS_BITS - 32) - 1)) * 2 ** 32 + ((cr3 & 0xfffff000) >>> 0);
      level = 3;
    } else {
      table = (cr3 & 0xffffffe0) >>> 0;
      level = 2;
    }
    let user: number = ENTRY.US;
    let write: number = ENTRY.RW;
    let noExecute = false;
    for (;;) {
      const index =
        level === 3
          ? (high >>> 7) & 0x1ff
          : level === 2
            ? long
              ? ((high << 2) | (low >>> 30)) & 0x1ff
              : low >>> 30
            : level === 1
              ? (low >>> 21) & 0x1ff
              : (low >>> 12) & 0x1ff;
      const address = table + index * 8;
      const entry = memory.read(address, 4);
      if (!(entry & ENTRY.P)) return this.#fault(0, access, cr4, nxe);
      const entryHigh = memory.read(address + 4, 4);
      // An entry of the PAE page-directory-pointer table has no permissions, and other reserved bits.
      const pointerPae = !long && level === 2;
      const large = !pointerPae && (entry & ENTRY.PS) !== 0;
      let reserved = entryHigh & RESERVED_HIGH;
      if (pointerPae) reserved |= (entryHigh & 0xfff00000) | (entry & 0x1e6);
      else {
        if (!nxe) reserved |= entryHigh & 0x80000000;
        if (!long) reserved |= entryHigh & 0x7ff00000;
        if (level === 3) reserved |= entry & ENTRY.PS;
        if (large && level === 2) reserved |= entry & 0x3fffe000;
        if (large && level === 1) reserved |= entry & 0x1fe000;
      }
      if (reserved) return this.#fault(ERROR.P | ERROR.RSVD, access, cr4, nxe);
      if (!pointerPae) {
        user &= entry;
        write &= entry;
        if (entryHigh & 0x80000000) noExecute = true;
      }
      const base = (entryHigh & (2 ** (PHYSICAL_ADDRESS_BITS - 32) - 1)) * 2 ** 32;
      if (level === 0 || (large && level < 3)) {
        if (!this.#permitted(user, write, noExecute, access, cr0, cr4)) return this.#fault(ERROR.P, access, cr4, nxe);
        this.#mark(address, entry, access.write);
        result.size = level === 0 ? 4096 : level === 1 ? 2 ** 21 : 2 ** 30;
        const offsetMask = level === 0 ? 0 : level === 1 ? 0x1ff000 : 0x3ffff000;
        const frame = (entry & 0xfffff000 & ~offsetMask) | (low & offsetMask);
        result.page = base + (frame >>> 0);
        return this.#finish(entry, access, cr4, write);
      }
      if (!pointerPae) this.#markAccessed(address, entry);
      table = base + ((entry & 0xfffff000) >>> 0);
      level--;
    }
  }

  /** SDM vol. 3, 4.6.1. */
  #permitted(user: number, write: number, noExecute: boolean, access: Access, cr0: number, cr4: number): boolean {
    if (access.fetch) {
      if (noExecute) return false;
      return access.user ? user !== 0 : !(user && cr4 & CR4.SMEP);
    }
    if (access.user) return user !== 0 && (!access.write || write !== 0);
    if (user && access.smap) return false;
    return !access.write || write !== 0 || !(cr0 & CR0.WP);
  }

  #markAccessed(address: number, entry: number): void {
    if (!(entry & ENTRY.A)) {
      this.onTableWrite(address);
      this.memory.write(address, 4, entry | ENTRY.A);
    }
  }
  #mark(address: number, entry: number, write: boolean): void {
    const wanted = entry | ENTRY.A | (write ? ENTRY.D : 0);
    if (wanted !== entry) {
      this.onTableWrite(address);
      this.memory.write(address, 4, wanted);
    }
    this.result.writable = write;
  }
  /** A page may be written without a further walk once this access wrote it, or if it is dirty and writable anyway. */
  #finish(entry: number, access: Access, cr4: number, write: number = entry & ENTRY.RW): boolean {
    const { result } = this;
    result.global = (entry & ENTRY.G) !== 0 && (cr4 & CR4.PGE) !== 0;
    result.writable = access.write || ((entry & ENTRY.D) !== 0 && write !== 0);
    return true;
  }
}
