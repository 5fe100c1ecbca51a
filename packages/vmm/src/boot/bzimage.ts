import { MachineError } from "../api.js";
import * as abi from "./boot-params.js";
import { bootParams, e820Entry } from "./boot-params.js";
import { longMode, protectedMode } from "./cpu-state.js";
import { alignDown, alignUp, encodeCommandLine, mebibytes, Placement } from "./placement.js";
import { type BootEnvironment, type BootResult, memoryMapTypeNumber } from "./types.js";

const bad = (message: string, options?: ErrorOptions) => new MachineError("bad-boot-image", message, options);

/** What the loader needs to know of a bzImage, checked. */
export interface BzImage {
  /** Boot protocol version: major in the high byte. */
  version: number;
  /** The version text inside the image, such as `6.1.0-42-cloud-amd64 (…)`; empty when the image names none. */
  kernelVersion: string;
  /** Whether the kernel can be entered in 64-bit mode. */
  has64BitEntry: boolean;
  relocatable: boolean;
  alignment: number;
  preferredAddress: number;
  /** Bytes from the load address that the kernel needs before it reads the memory map. */
  initSize: number;
  /** Longest command line, without the NUL. */
  commandLineLimit: number;
  /** Highest address that a byte of the initrd may have. */
  initrdMax: number;
  /** The setup header as it stands in the file, to be copied into boot_params. */
  setupHeader: Uint8Array;
  /** The protected-mode part: what is put into memory. */
  payload: Uint8Array;
}

/** Whether these bytes carry the signature of a Linux x86 kernel image. */
export function isBzImage(kernel: Uint8Array): boolean {
  return (
    kernel.length >= bootParams.offsetOf("version") + 2 &&
    bootParams.read(kernel, "boot_flag") === abi.BOOT_FLAG &&
    bootParams.read(kernel, "header") === abi.HEADER_MAGIC
  );
}

/**
 * Reads the setup header of a bzImage (Linux, Documentation/arch/x86/boot.rst).
 * @throws MachineError `bad-boot-image`
 */
export function parseBzImage(kernel: Uint8Array): BzImage {
  if (!isBzImage(kernel)) throw bad("The kernel is not a bzImage: it has no setup header with the signature HdrS.");
  const headerEnd = 0x202 + bootParams.read(kernel, "jump");
  if (kernel.length < headerEnd) throw bad("The kernel file is truncated: it ends inside the setup header.");
  // Fields beyond the header's end belong to a later protocol version and read as 0.
  const header = new Uint8Array(bootParams.size);
  header.set(kernel.subarray(abi.SETUP_HEADER_START, headerEnd), abi.SETUP_HEADER_START);
  const field = (name: Parameters<typeof bootParams.read>[1]) => bootParams.read(header, name);

  const version = field("version");
  if (version < 0x0202) throw bad("The kernel speaks a boot protocol older than 2.02, which Softmetal does not load.");
  if ((field("loadflags") & abi.LOADED_HIGH) === 0) {
    throw bad("The kernel is a zImage, which loads below 1 MiB; Softmetal loads bzImage kernels.");
  }
  const setupBytes = ((field("setup_sects") || 4) + 1) * 512;
  const payloadBytes = field("syssize") * 16;
  if (payloadBytes === 0) throw bad("The kernel's setup header gives its size as 0.");
  // The size is in paragraphs, so that the last one may be incomplete in the file.
  if (kernel.length <= setupBytes + payloadBytes - 16) {
    throw bad(
      `The kernel file is truncated: its header announces ${setupBytes + payloadBytes} bytes, but there are ${kernel.length}.`,
    );
  }
  const payload = kernel.subarray(setupBytes, setupBytes + payloadBytes);
  const alignment = field("kernel_alignment") || 0x1000;
  if ((alignment & (alignment - 1)) !== 0 || alignment > 2 ** 30) {
    throw bad(`The kernel's header asks for an alignment of ${alignment}, which is not a sensible power of two.`);
  }
  const preferredAddress = (version >= 0x020a && field("pref_address")) || 0x100000;
  if (preferredAddress < 0x100000) throw bad("The kernel's header asks for a load address below 1 MiB.");
  return {
    version,
    kernelVersion: readVersion(kernel, field("kernel_version")),
    has64BitEntry: version >= 0x020c && (field("xloadflags") & abi.XLF_KERNEL_64) !== 0,
    relocatable: version >= 0x0205 && field("relocatable_kernel") !== 0,
    alignment,
    preferredAddress,
    initSize: Math.max(payload.length, version >= 0x020a ? field("init_size") : 0),
    commandLineLimit: version >= 0x0206 ? field("cmdline_size") : 255,
    initrdMax: version >= 0x0203 ? field("initrd_addr_max") : 0x37ffffff,
    setupHeader: header.subarray(abi.SETUP_HEADER_START, headerEnd),
    payload,
  };
}

function readVersion(kernel: Uint8Array, pointer: number): string {
  if (pointer === 0) return "";
  const start = pointer + 0x200;
  const end = kernel.indexOf(0, start);
  if (end < 0 || end - start > 512) return "";
  return new TextDecoder("latin1").decode(kernel.subarray(start, end));
}

/**
 * Loads a bzImage by the 64-bit boot protocol, or by the 32-bit one when the kernel has no 64-bit entry.
 * @throws MachineError `bad-boot-image`, `does-not-fit`, `bad-config`
 */
export function loadBzImage(
  environment: BootEnvironment,
  source: { kernel: Uint8Array; initrd?: Uint8Array; commandLine?: string },
): BootResult {
  const { ram, memoryMap } = environment;
  const image = parseBzImage(source.kernel);
  const placement = new Placement(environment);
  const kernelAddress = placeKernel(environment, placement, image);

  const commandLine = encodeCommandLine(source.commandLine ?? "", image.commandLineLimit);
  const pageAddress = placement.place(bootParams.size, "The zero page", { align: 0x1000, prefer: "low" });
  const commandLineAddress = placement.place(commandLine.length, "The command line", { align: 16, prefer: "low" });
  const registers = { rsi: pageAddress };
  const cpu = image.has64BitEntry
    ? longMode(ram, placement, kernelAddress + 0x200, registers)
    : protectedMode(ram, placement, kernelAddress, registers);
  const initrd = source.initrd ?? new Uint8Array();
  const initrdAddress =
    initrd.length === 0
      ? 0
      : placement.place(initrd.length, "The initrd", { align: 0x1000, below: image.initrdMax + 1, prefer: "high" });

  const page = new Uint8Array(bootParams.size);
  page.set(image.setupHeader, abi.SETUP_HEADER_START);
  const kibAbove1M = Math.max(0, Math.floor(ram.size / 1024) - 1024);
  bootParams.write(page, {
    type_of_loader: abi.LOADER_UNDEFINED,
    vid_mode: abi.VIDEO_NORMAL,
    code32_start: kernelAddress,
    ramdisk_image: initrdAddress,
    ramdisk_size: initrd.length,
    cmd_line_ptr: commandLineAddress,
    ext_mem_k: Math.min(kibAbove1M, 0xfc00),
    alt_mem_k: kibAbove1M,
    acpi_rsdp_addr: environment.rsdpAddress ?? 0,
    e820_entries: memoryMap.length,
  });
  if (memoryMap.length > abi.E820_MAX_ENTRIES) {
    throw new MachineError("bad-config", `The memory map has ${memoryMap.length} entries; Linux takes 128.`);
  }
  memoryMap.forEach((entry, i) => {
    e820Entry.write(
      page,
      { address: entry.address, size: entry.size, type: memoryMapTypeNumber[entry.type] },
      abi.E820_TABLE + i * e820Entry.size,
    );
  });

  ram.write(kernelAddress, image.payload);
  ram.write(commandLineAddress, commandLine);
  if (initrd.length > 0) ram.write(initrdAddress, initrd);
  ram.write(pageAddress, page);
  return { protocol: image.has64BitEntry ? "linux64" : "linux32", cpu };
}

/** Takes the memory in which the kernel unpacks itself and returns its start. */
function placeKernel(environment: BootEnvironment, placement: Placement, image: BzImage): number {
  const what = "The kernel";
  try {
    placement.take(image.preferredAddress, image.initSize, what);
    return image.preferredAddress;
  } catch (error) {
    if (!image.relocatable) throw error;
  }
  const start = alignUp(0x100000, image.alignment);
  // A relocatable kernel still moves itself up to its preferred address before it unpacks, so that memory must be there.
  const needed = image.preferredAddress + image.initSize;
  if (alignDown(environment.ram.size, 0x1000) < needed) {
    throw new MachineError(
      "does-not-fit",
      `This kernel needs at least ${mebibytes(needed)} of memory to unpack itself, but the machine has ${mebibytes(environment.ram.size)}.`,
    );
  }
  return placement.place(image.initSize, what, { align: image.alignment, from: start, prefer: "low" });
}
