import { MachineError } from "../api.js";
import { protectedMode } from "./cpu-state.js";
import { parseElf } from "./elf.js";
import { takeSegments, writeSegments } from "./load-elf.js";
import { encodeCommandLine, Placement } from "./placement.js";
import { struct } from "./struct.js";
import { type BootEnvironment, type BootResult, memoryMapTypeNumber } from "./types.js";

/** The note that carries the physical address of the 32-bit entry (Xen, public/elfnote.h). */
const XEN_ELFNOTE_PHYS32_ENTRY = 18;
/** `magic` of the start info: "xEn3" with the top bit set. */
const START_MAGIC = 0x336ec578;
/** PVH sets no limit on the command line; this is Linux's COMMAND_LINE_SIZE on x86. */
const COMMAND_LINE_LIMIT = 2047;

/** `struct hvm_start_info` and what it points to (Xen, public/arch-x86/hvm/start_info.h), version 1. */
export const startInfo = struct({
  magic: [0, 4],
  version: [4, 4],
  flags: [8, 4],
  nr_modules: [12, 4],
  modlist_paddr: [16, 8],
  cmdline_paddr: [24, 8],
  rsdp_paddr: [32, 8],
  memmap_paddr: [40, 8],
  memmap_entries: [48, 4],
  reserved: [52, 4],
});
export const modlistEntry = struct({ paddr: [0, 8], size: [8, 8], cmdline_paddr: [16, 8], reserved: [24, 8] });
export const memmapEntry = struct({ addr: [0, 8], size: [8, 8], type: [16, 4], reserved: [20, 4] });

/**
 * Loads an ELF kernel by PVH: 32-bit protected mode, EBX pointing to the start info.
 * @throws MachineError `bad-boot-image`, `does-not-fit`, `bad-config`
 */
export function loadPvh(
  environment: BootEnvironment,
  source: { kernel: Uint8Array; initrd?: Uint8Array; commandLine?: string },
): BootResult {
  const { ram, memoryMap } = environment;
  const elf = parseElf(source.kernel);
  const note = elf.notes.find((candidate) => candidate.name === "Xen" && candidate.type === XEN_ELFNOTE_PHYS32_ENTRY);
  if (!note) {
    throw new MachineError(
      "bad-boot-image",
      "The ELF kernel has no PVH entry (no XEN_ELFNOTE_PHYS32_ENTRY note): give a bzImage, or a kernel built with CONFIG_PVH.",
    );
  }
  if (note.data.length !== 4 && note.data.length !== 8) {
    throw new MachineError("bad-boot-image", `The kernel's PVH entry note has ${note.data.length} bytes, not 4 or 8.`);
  }
  const view = new DataView(note.data.buffer, note.data.byteOffset, note.data.byteLength);
  const entry = view.getUint32(0, true);
  const inside = elf.segments.some(
    (segment) => entry >= segment.physical && entry < segment.physical + segment.memorySize,
  );
  if (!inside || (note.data.length === 8 && view.getUint32(4, true) !== 0)) {
    throw new MachineError("bad-boot-image", "The kernel's PVH entry lies outside its segments.");
  }

  const placement = new Placement(environment);
  takeSegments(placement, elf);
  const commandLine = encodeCommandLine(source.commandLine ?? "", COMMAND_LINE_LIMIT);
  const initrd = source.initrd ?? new Uint8Array();
  const low = { align: 16, prefer: "low" } as const;
  const infoAddress = placement.place(startInfo.size, "The start info", low);
  const commandLineAddress = placement.place(commandLine.length, "The command line", low);
  const mapAddress = placement.place(memmapEntry.size * Math.max(1, memoryMap.length), "The memory map", low);
  const modulesAddress = placement.place(modlistEntry.size, "The module list", low);
  const cpu = protectedMode(ram, placement, entry, { rbx: infoAddress });
  const initrdAddress =
    initrd.length === 0 ? 0 : placement.place(initrd.length, "The initrd", { align: 0x1000, prefer: "high" });

  writeSegments(ram, elf);
  ram.write(commandLineAddress, commandLine);
  memoryMap.forEach((entry, i) => {
    const encoded = memmapEntry.encode({
      addr: entry.address,
      size: entry.size,
      type: memoryMapTypeNumber[entry.type],
    });
    ram.write(mapAddress + i * memmapEntry.size, encoded);
  });
  if (initrd.length > 0) {
    ram.write(initrdAddress, initrd);
    ram.write(modulesAddress, modlistEntry.encode({ paddr: initrdAddress, size: initrd.length }));
  }
  ram.write(
    infoAddress,
    startInfo.encode({
      magic: START_MAGIC,
      version: 1,
      nr_modules: initrd.length > 0 ? 1 : 0,
      modlist_paddr: initrd.length > 0 ? modulesAddress : 0,
      cmdline_paddr: commandLineAddress,
      rsdp_paddr: environment.rsdpAddress ?? 0,
      memmap_paddr: mapAddress,
      memmap_entries: memoryMap.length,
    }),
  );
  return { protocol: "pvh", cpu };
}
