import { type BootModule, MachineError } from "../api.js";
import { protectedMode } from "./cpu-state.js";
import { type ElfFile, isElf, parseElf } from "./elf.js";
import { takeSegments, writeSegments } from "./load-elf.js";
import { encodeCommandLine, Placement } from "./placement.js";
import { struct } from "./struct.js";
import { type BootEnvironment, type BootResult, memoryMapTypeNumber } from "./types.js";

const bad = (message: string) => new MachineError("bad-boot-image", message);

/** The header that marks a kernel, within its first 8 KiB (Multiboot 0.6.96, section 3.1). */
export const multibootHeader = struct({
  magic: [0, 4],
  flags: [4, 4],
  checksum: [8, 4],
  header_addr: [12, 4],
  load_addr: [16, 4],
  load_end_addr: [20, 4],
  bss_end_addr: [24, 4],
  entry_addr: [28, 4],
});
/** The information that EBX points to at the entry (section 3.3). */
export const multibootInfo = struct(
  {
    flags: [0, 4],
    mem_lower: [4, 4],
    mem_upper: [8, 4],
    boot_device: [12, 4],
    cmdline: [16, 4],
    mods_count: [20, 4],
    mods_addr: [24, 4],
    mmap_length: [44, 4],
    mmap_addr: [48, 4],
    boot_loader_name: [64, 4],
  },
  88,
);
/** `size` does not count itself. */
export const mmapEntry = struct({ size: [0, 4], addr: [4, 8], len: [12, 8], type: [20, 4] });
export const moduleEntry = struct({ mod_start: [0, 4], mod_end: [4, 4], string: [8, 4], reserved: [12, 4] });

const HEADER_MAGIC = 0x1badb002;
/** What EAX holds at the entry. */
const LOADER_MAGIC = 0x2badb002;
const SEARCH_BYTES = 8192;
/** Header flags: bits 0-15 are requirements; of them 0 (aligned modules), 1 (memory) and 2 (video) are defined. */
const DEFINED_REQUIREMENTS = 0x7;
const ADDRESS_FIELDS = 0x10000;
/** Info flags: memory sizes, command line, modules, memory map, loader name. */
const INFO_FLAGS = 0x1 | 0x4 | 0x8 | 0x40 | 0x200;
const MAX_MODULES = 1024;
const STRING_LIMIT = 0xffff;

/** Offset of the Multiboot 1 header in a kernel, or `undefined` when there is none. */
export function findMultibootHeader(kernel: Uint8Array): number | undefined {
  const end = Math.min(kernel.length, SEARCH_BYTES);
  for (let at = 0; at + 12 <= end; at += 4) {
    if (multibootHeader.read(kernel, "magic", at) !== HEADER_MAGIC) continue;
    const sum = HEADER_MAGIC + multibootHeader.read(kernel, "flags", at) + multibootHeader.read(kernel, "checksum", at);
    if (sum % 2 ** 32 === 0) return at;
  }
  return undefined;
}

interface Loaded {
  entry: number;
  write(): void;
}

/**
 * Loads a Multiboot 1 kernel: 32-bit protected mode, EAX the magic number, EBX pointing to the information.
 * @throws MachineError `bad-boot-image`, `does-not-fit`, `bad-config`
 */
export function loadMultiboot(
  environment: BootEnvironment,
  source: { kernel: Uint8Array; modules?: BootModule[]; commandLine?: string },
): BootResult {
  const { ram, memoryMap } = environment;
  const { kernel, modules = [] } = source;
  const header = findMultibootHeader(kernel);
  if (header === undefined) {
    throw bad("The kernel has no Multiboot 1 header in its first 8 KiB.");
  }
  const flags = multibootHeader.read(kernel, "flags", header);
  const unknown = flags & 0xffff & ~DEFINED_REQUIREMENTS;
  if (unknown !== 0) throw bad(`The kernel's Multiboot header has unknown requirements (0x${unknown.toString(16)}).`);
  if (modules.length > MAX_MODULES) {
    throw new MachineError("bad-config", `${modules.length} modules were given; at most ${MAX_MODULES} can be loaded.`);
  }

  const placement = new Placement(environment);
  const loaded =
    flags & ADDRESS_FIELDS
      ? takeByAddress(environment, placement, kernel, header)
      : takeElf(environment, placement, kernel);

  const low = { align: 16, prefer: "low" } as const;
  const text = (value: string, what: string) => {
    const bytes = encodeCommandLine(value, STRING_LIMIT);
    return { bytes, address: placement.place(bytes.length, what, low) };
  };
  const infoAddress = placement.place(multibootInfo.size, "The Multiboot information", low);
  const commandLine = text(source.commandLine ?? "", "The command line");
  const loaderName = text("Softmetal", "The loader's name");
  const mapAddress = placement.place(mmapEntry.size * Math.max(1, memoryMap.length), "The memory map", low);
  const listAddress = placement.place(moduleEntry.size * Math.max(1, modules.length), "The module list", low);
  const strings = modules.map((module) => text(module.commandLine ?? "", "A module's command line"));
  const cpu = protectedMode(ram, placement, loaded.entry, { rax: LOADER_MAGIC, rbx: infoAddress });
  // Above the kernel as GRUB does it: kernels take the memory after their modules as free.
  const addresses = modules.map((module, i) =>
    placement.place(Math.max(1, module.data.length), `Module ${i}`, { align: 0x1000, from: 0x100000, prefer: "low" }),
  );

  loaded.write();
  for (const string of [commandLine, loaderName, ...strings]) ram.write(string.address, string.bytes);
  memoryMap.forEach((entry, i) => {
    const type = memoryMapTypeNumber[entry.type];
    const values = { size: mmapEntry.size - 4, addr: entry.address, len: entry.size, type };
    ram.write(mapAddress + i * mmapEntry.size, mmapEntry.encode(values));
  });
  modules.forEach((module, i) => {
    ram.write(addresses[i], module.data);
    const values = { mod_start: addresses[i], mod_end: addresses[i] + module.data.length, string: strings[i].address };
    ram.write(listAddress + i * moduleEntry.size, moduleEntry.encode(values));
  });
  const { lower, upper } = memorySizes(environment);
  ram.write(
    infoAddress,
    multibootInfo.encode({
      flags: INFO_FLAGS,
      mem_lower: lower,
      mem_upper: upper,
      cmdline: commandLine.address,
      mods_count: modules.length,
      mods_addr: listAddress,
      mmap_length: memoryMap.length * mmapEntry.size,
      mmap_addr: mapAddress,
      boot_loader_name: loaderName.address,
    }),
  );
  return { protocol: "multiboot", cpu };
}

/** KiB of memory from 0 up, and from 1 MiB up to the first hole. */
function memorySizes({ memoryMap }: BootEnvironment): { lower: number; upper: number } {
  const usableFrom = (start: number) => {
    let end = start;
    for (;;) {
      const next = memoryMap.find(
        (entry) => entry.type === "usable" && entry.address <= end && entry.address + entry.size > end,
      );
      if (!next) return Math.floor((end - start) / 1024);
      end = next.address + next.size;
    }
  };
  return { lower: Math.min(640, usableFrom(0)), upper: usableFrom(0x100000) };
}

/** The layout given by the header's address fields, which any file format may use ("a.out kludge"). */
function takeByAddress(environment: BootEnvironment, placement: Placement, kernel: Uint8Array, header: number): Loaded {
  if (header + multibootHeader.size > Math.min(kernel.length, SEARCH_BYTES)) {
    throw bad("The kernel is truncated: it ends inside the Multiboot header.");
  }
  const field = (name: Parameters<typeof multibootHeader.read>[1]) => multibootHeader.read(kernel, name, header);
  const loadAddress = field("load_addr");
  const entry = field("entry_addr");
  const fileStart = header - (field("header_addr") - loadAddress);
  if (field("header_addr") < loadAddress || fileStart < 0) {
    throw bad("The addresses in the kernel's Multiboot header contradict each other.");
  }
  // An end of 0 means the rest of the file, or no bss.
  const loadEnd = field("load_end_addr") || loadAddress + kernel.length - fileStart;
  const memoryEnd = field("bss_end_addr") || loadEnd;
  if (loadEnd < loadAddress || memoryEnd < loadEnd) {
    throw bad("The addresses in the kernel's Multiboot header contradict each other.");
  }
  const size = loadEnd - loadAddress;
  if (fileStart + size > kernel.length) {
    throw bad("The kernel is truncated: its Multiboot header announces more bytes than the file has.");
  }
  if (entry < loadAddress || entry >= memoryEnd) throw bad("The kernel's Multiboot entry lies outside the kernel.");
  const data = kernel.subarray(fileStart, fileStart + size);
  const segment = { virtual: loadAddress, physical: loadAddress, memorySize: memoryEnd - loadAddress, data };
  return segments(environment, placement, { class: 32, entry, segments: [segment], notes: [] }, entry);
}

function takeElf(environment: BootEnvironment, placement: Placement, kernel: Uint8Array): Loaded {
  if (!isElf(kernel)) {
    throw bad("The Multiboot kernel is neither an ELF file nor does its header give load addresses.");
  }
  const elf = parseElf(kernel);
  // The entry is a virtual address; the segment that holds it says where it is physically.
  const home = elf.segments.find(
    (segment) => elf.entry >= segment.virtual && elf.entry < segment.virtual + segment.memorySize,
  );
  if (!home) throw bad("The ELF kernel's entry lies outside its segments.");
  return segments(environment, placement, elf, elf.entry - home.virtual + home.physical);
}

function segments(environment: BootEnvironment, placement: Placement, elf: ElfFile, entry: number): Loaded {
  takeSegments(placement, elf);
  return { entry, write: () => writeSegments(environment.ram, elf) };
}
