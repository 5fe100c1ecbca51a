import { ChipsetError } from "../error.js";

/** RAM as firmware tells operating systems about it. */
export interface CmosMemory {
  /** Bytes from address 0, up to 4 GiB. */
  readonly below4G: number;
  /** Bytes from 4 GiB up. */
  readonly above4G?: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;
/** The largest extended memory that its 16-bit KiB count is used for. */
const EXTENDED_LIMIT_KIB = 0xffff;

/**
 * Fills in what a PC's firmware leaves in CMOS RAM: equipment, memory sizes, and the checksum over 0x10-0x2D.
 * @throws ChipsetError `bad-config`
 */
export function fillCmos(cmos: number[], memory: CmosMemory): void {
  const above = memory.above4G ?? 0;
  if (!(memory.below4G >= 0 && memory.below4G <= 4096 * MIB && above >= 0)) {
    throw new ChipsetError("bad-config", "rtc.memory", "RAM below 4 GiB must be 0 to 4 GiB, above it not negative");
  }
  const word = (at: number, value: number) => {
    cmos[at] = value & 0xff;
    cmos[at + 1] = (value >> 8) & 0xff;
  };
  // Equipment: FPU, PS/2 mouse, keyboard and display of its own kind.
  cmos[0x14] = 0x06;
  word(0x15, Math.min(640, Math.floor(memory.below4G / KIB)));
  const extended = Math.min(EXTENDED_LIMIT_KIB, Math.max(0, Math.floor((memory.below4G - MIB) / KIB)));
  word(0x17, extended);
  word(0x30, extended);
  // In units of 64 KiB: from 16 MiB, and from 4 GiB.
  word(0x34, Math.min(0xffff, Math.max(0, Math.floor((memory.below4G - 16 * MIB) / (64 * KIB)))));
  const high = Math.min(0xff_ffff, Math.floor(above / (64 * KIB)));
  word(0x5b, high & 0xffff);
  cmos[0x5d] = high >> 16;
  let sum = 0;
  for (let i = 0x10; i < 0x2e; i++) sum += cmos[i];
  cmos[0x2e] = (sum >> 8) & 0xff;
  cmos[0x2f] = sum & 0xff;
}
