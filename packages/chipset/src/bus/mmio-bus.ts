import { ChipsetError } from "../error.js";
import type { MmioDevice } from "../interfaces.js";

interface Region {
  readonly base: number;
  readonly end: number;
  readonly device: MmioDevice;
  readonly name: string;
}

/** Guest-physical addresses are kept as numbers; 52 bits is what the architecture allows. */
const ADDRESS_LIMIT = 2 ** 52;

/**
 * Devices on guest-physical addresses. Addresses nobody claims read as all ones and swallow writes. An access that
 * leaves its region is split into bytes; an 8-byte access becomes two 4-byte ones, low half first.
 */
export class MmioBus {
  /** Sorted by base. */
  #regions: Region[] = [];
  /** The region of the last access: drivers poll one device at a time. */
  #last: Region | undefined;

  /**
   * Puts a device on `length` bytes from `base`.
   * @throws ChipsetError `bad-range` or `overlap`.
   */
  add(base: number, length: number, device: MmioDevice, name: string = device.constructor.name): void {
    const where = `mmio 0x${base.toString(16)}`;
    if (
      !Number.isInteger(base) ||
      !Number.isInteger(length) ||
      base < 0 ||
      length < 1 ||
      base + length > ADDRESS_LIMIT
    ) {
      throw new ChipsetError("bad-range", where, `${length} bytes do not fit into the address space`);
    }
    const end = base + length;
    const other = this.#regions.find((region) => region.base < end && base < region.end);
    if (other) throw new ChipsetError("overlap", where, `${name} overlaps ${other.name}`);
    this.#regions = [...this.#regions, { base, end, device, name }].sort((a, b) => a.base - b.base);
  }

  /** Takes the region that starts at `base` away. Returns whether there was one. */
  remove(base: number): boolean {
    const before = this.#regions.length;
    this.#regions = this.#regions.filter((region) => region.base !== base);
    this.#last = undefined;
    return this.#regions.length < before;
  }

  /** Whether a device claims this address. */
  has(address: number): boolean {
    return this.#find(address) !== undefined;
  }

  read(address: number, size: 1 | 2 | 4): number {
    const region = this.#find(address);
    if (region && address + size <= region.end) {
      const value = region.device.readMmio(address - region.base, size);
      return size === 4 ? value >>> 0 : size === 2 ? value & 0xffff : value & 0xff;
    }
    if (size === 1) return 0xff;
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.read(address + i, 1) << (i * 8);
    return value >>> 0;
  }

  write(address: number, size: 1 | 2 | 4, value: number): void {
    const region = this.#find(address);
    if (region && address + size <= region.end) {
      const cut = size === 4 ? value >>> 0 : size === 2 ? value & 0xffff : value & 0xff;
      region.device.writeMmio(address - region.base, size, cut);
    } else if (size > 1) {
      for (let i = 0; i < size; i++) this.write(address + i, 1, value >>> (i * 8));
    }
  }

  /** An 8-byte read. */
  read64(address: number): bigint {
    const low = this.read(address, 4);
    return BigInt(low) | (BigInt(this.read(address + 4, 4)) << 32n);
  }

  /** An 8-byte write. */
  write64(address: number, value: bigint): void {
    this.write(address, 4, Number(value & 0xffff_ffffn));
    this.write(address + 4, 4, Number((value >> 32n) & 0xffff_ffffn));
  }

  #find(address: number): Region | undefined {
    const last = this.#last;
    if (last && address >= last.base && address < last.end) return last;
    let low = 0;
    let high = this.#regions.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const region = this.#regions[middle];
      if (address < region.base) high = middle;
      else if (address >= region.end) low = middle + 1;
      else {
        this.#last = region;
        return region;
      }
    }
    return undefined;
  }
}
