import type { Bus } from "../cpu/context.js";

/** A piece of guest-physical memory that lies in the CPU's WebAssembly memory. */
export interface RamRegion {
  /** Guest-physical address, a multiple of 4096. */
  readonly address: number;
  /** Bytes, a multiple of 4096. */
  readonly size: number;
  /** Where it starts in the memory, a multiple of 4096. */
  readonly offset: number;
  /** Writes are ignored. */
  readonly readOnly?: boolean;
}

const MEBIBYTE_20 = 0x100000;

/** Guest-physical addresses: RAM by region, everything else on the bus. Addresses are numbers below 2^52. */
export class PhysicalMemory {
  readonly u8: Uint8Array;
  readonly view: DataView;
  #regions: RamRegion[] = [];
  #last: RamRegion | undefined;
  /** Clears bit 20 of every address when false. */
  a20 = true;

  constructor(
    readonly buffer: ArrayBufferLike,
    readonly bus: Bus,
  ) {
    this.u8 = new Uint8Array(buffer);
    this.view = new DataView(buffer);
  }

  /** Replaces the map. Throws a RangeError for regions that overlap, are not page-aligned or leave the memory. */
  setRegions(regions: readonly RamRegion[]): void {
    const sorted = [...regions].sort((a, b) => a.address - b.address);
    sorted.forEach((region, index) => {
      if ([region.address, region.size, region.offset].some((value) => value % 4096 !== 0 || value < 0)) {
        throw new RangeError("RAM regions must be aligned to pages");
      }
      if (region.offset + region.size > this.u8.length) throw new RangeError("a RAM region leaves the memory");
      const next = sorted[index + 1];
      if (next && region.address + region.size > next.address) throw new RangeError("RAM regions overlap");
    });
    this.#regions = sorted;
    this.#last = undefined;
  }

  mask(address: number): number {
    // Only bit 20 changes; addresses may exceed 32 bits, so no bitwise arithmetic.
    return this.a20 || Math.floor(address / MEBIBYTE_20) % 2 === 0 ? address : address - MEBIBYTE_20;
  }

  find(address: number): RamRegion | undefined {
    const last = this.#last;
    if (last && address >= last.address && address < last.address + last.size) return last;
    for (const region of this.#regions) {
      if (address < region.address) return undefined;
      if (address < region.address + region.size) {
        this.#last = region;
        return region;
      }
    }
    return undefined;
  }

  /** Offset in the memory of a physical address that is RAM, else -1. A20 is applied. */
  host(address: number): number {
    const masked = this.mask(address);
    const region = this.find(masked);
    return region ? region.offset + (masked - region.address) : -1;
  }

  /** Reads 1, 2 or 4 bytes that do not cross a page. */
  read(address: number, bytes: number): number {
    const host = this.host(address);
    if (host >= 0) {
      if (bytes === 4) return this.view.getUint32(host, true);
      return bytes === 1 ? this.u8[host] : this.view.getUint16(host, true);
    }
    return this.bus.readPhysical(this.mask(address), bytes);
  }

  write(address: number, bytes: number, value: number): void {
    const masked = this.mask(address);
    const region = this.find(masked);
    if (!region) return this.bus.writePhysical(masked, bytes, value);
    if (region.readOnly) return;
    const host = region.offset + (masked - region.address);
    if (bytes === 4) this.view.setUint32(host, value, true);
    else if (bytes === 2) this.view.setUint16(host, value, true);
    else this.u8[host] = value;
  }
}
