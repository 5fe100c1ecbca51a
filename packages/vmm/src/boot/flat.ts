import { MachineError } from "../api.js";
import { longMode, protectedMode, realMode } from "./cpu-state.js";
import { alignDown, Placement } from "./placement.js";
import type { BootEnvironment, BootResult } from "./types.js";

const bad = (message: string) => new MachineError("bad-config", message);

/** The conventional address of a boot sector, and where its stack begins. */
const BOOT_SECTOR = 0x7c00;

export interface FlatSource {
  image: Uint8Array;
  loadAddress: number;
  entry?: number;
  mode: "real" | "protected" | "long";
}

/**
 * Copies bytes to an address and enters them. The stack pointer is the load address (0x7C00 in real mode), so that the
 * stack grows down below the image; the page tables and the GDT of the other modes are placed outside the image, low.
 * @throws MachineError `bad-config`, `bad-boot-image`, `does-not-fit`
 */
export function loadFlat(environment: BootEnvironment, source: FlatSource): BootResult {
  const { ram } = environment;
  const { image, loadAddress, entry = loadAddress, mode } = source;
  for (const [what, value] of [
    ["load address", loadAddress],
    ["entry", entry],
  ] as const) {
    if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
      throw bad(`The ${what} of a flat image must be a whole number from 0 to 0xffffffff.`);
    }
  }
  if (image.length === 0) throw new MachineError("bad-boot-image", "The flat image is empty.");
  if (entry < loadAddress || entry >= loadAddress + image.length) {
    throw bad(`The entry 0x${entry.toString(16)} lies outside the flat image.`);
  }
  const placement = new Placement(environment);
  placement.takeAnywhere(loadAddress, image.length, "The flat image");
  if (mode === "real" && entry > 0xfffff) {
    throw bad("Real mode begins below 1 MiB: choose a lower entry, or protected or long mode.");
  }
  const stack = { rsp: alignDown(loadAddress, 16) };
  const cpu =
    mode === "real"
      ? // DL is the boot drive, as a BIOS passes it.
        realMode(entry, { rdx: 0x80, rsp: BOOT_SECTOR })
      : mode === "protected"
        ? protectedMode(ram, placement, entry, stack)
        : longMode(ram, placement, entry, stack);
  ram.write(loadAddress, image);
  return { protocol: "flat", cpu };
}
