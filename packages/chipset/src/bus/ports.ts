import { ChipsetError } from "../error.js";
import type { PortDevice } from "../interfaces.js";

const PORT_COUNT = 0x10000;

/** Widest access (bytes) that a port device takes in one cycle; wider ones are split as ISA does. */
export type PortWidth = 1 | 2 | 4;

interface Claim {
  readonly device: PortDevice;
  readonly width: PortWidth;
  readonly name: string;
}

/**
 * The 64 KiB I/O port space. Ports nobody claims read as all ones and swallow writes (open bus). An access wider than
 * the device's width, or one that leaves the device, becomes smaller accesses at rising ports.
 */
export class Ports implements PortDevice {
  readonly #claims: (Claim | undefined)[] = new Array(PORT_COUNT).fill(undefined);

  /**
   * Puts a device on `length` ports from `base`.
   * @throws ChipsetError `bad-range` or `overlap`.
   */
  add(base: number, length: number, device: PortDevice, options: { width?: PortWidth; name?: string } = {}): void {
    const where = `ports 0x${base.toString(16)}`;
    if (!Number.isInteger(base) || !Number.isInteger(length) || base < 0 || length < 1 || base + length > PORT_COUNT) {
      throw new ChipsetError("bad-range", where, `${length} ports do not fit into the port space`);
    }
    const claim: Claim = { device, width: options.width ?? 1, name: options.name ?? device.constructor.name };
    for (let port = base; port < base + length; port++) {
      const other = this.#claims[port];
      if (other) {
        throw new ChipsetError("overlap", where, `${claim.name}: port 0x${port.toString(16)} belongs to ${other.name}`);
      }
    }
    this.#claims.fill(claim, base, base + length);
  }

  /** Takes `length` ports from `base` back, whoever had them. */
  remove(base: number, length: number): void {
    this.#claims.fill(undefined, base, base + length);
  }

  readPort(port: number, size: number): number {
    const first = port & 0xffff;
    const claim = this.#claims[first];
    if (size === 1) return claim ? claim.device.readPort(first, 1) & 0xff : 0xff;
    if (claim && size <= claim.width && this.#claims[(first + size - 1) & 0xffff] === claim) {
      const value = claim.device.readPort(first, size);
      return size === 2 ? value & 0xffff : value >>> 0;
    }
    const half = size >> 1;
    const low = this.readPort(first, half);
    const high = this.readPort(first + half, half);
    return size === 2 ? low | (high << 8) : (low | (high << 16)) >>> 0;
  }

  writePort(port: number, size: number, value: number): void {
    const first = port & 0xffff;
    const claim = this.#claims[first];
    if (size === 1) {
      claim?.device.writePort(first, 1, value & 0xff);
    } else if (claim && size <= claim.width && this.#claims[(first + size - 1) & 0xffff] === claim) {
      claim.device.writePort(first, size, size === 2 ? value & 0xffff : value >>> 0);
    } else {
      const half = size >> 1;
      this.writePort(first, half, value);
      this.writePort(first + half, half, value >>> (half * 8));
    }
  }
}
