import type { ElfFile } from "./elf.js";
import { type Placement, zero } from "./placement.js";
import type { GuestRam } from "./types.js";

/** Takes the memory of every segment before anything is written, so that a failing load leaves the RAM alone. */
export function takeSegments(placement: Placement, elf: ElfFile): void {
  elf.segments.forEach((segment, i) => {
    placement.take(segment.physical, segment.memorySize, `Segment ${i} of the kernel`);
  });
}

/** Copies the segments and clears what follows them. */
export function writeSegments(ram: GuestRam, elf: ElfFile): void {
  for (const { physical, data, memorySize } of elf.segments) {
    ram.write(physical, data);
    zero(ram, physical + data.length, memorySize - data.length);
  }
}
