import { type BootSource, MachineError } from "../api.js";
import { isBzImage, loadBzImage } from "./bzimage.js";
import { isElf } from "./elf.js";
import { loadFlat } from "./flat.js";
import { findMultibootHeader, loadMultiboot } from "./multiboot.js";
import { loadPvh } from "./pvh.js";
import type { BootEnvironment, BootResult } from "./types.js";

export { type BzImage, isBzImage, parseBzImage } from "./bzimage.js";
export type * from "./types.js";

/**
 * Puts a boot source into the guest's RAM and says with what state its boot processor begins. The source is checked
 * before the RAM is touched; nothing in it can make the loader read or write elsewhere.
 * @throws MachineError `bad-boot-image`, `does-not-fit`, `bad-config`
 */
export function loadBoot(environment: BootEnvironment, source: BootSource): BootResult {
  switch (source.kind) {
    case "linux":
      return loadLinux(environment, source);
    case "multiboot":
      return loadMultiboot(environment, source);
    case "flat":
      return loadFlat(environment, source);
  }
}

function loadLinux(environment: BootEnvironment, source: Extract<BootSource, { kind: "linux" }>): BootResult {
  const { kernel } = source;
  if (isBzImage(kernel)) return loadBzImage(environment, source);
  if (isElf(kernel)) return loadPvh(environment, source);
  throw new MachineError("bad-boot-image", describeUnknown(kernel));
}

/** Names the commonest mistakes, since "not a kernel" alone does not tell what to do. */
function describeUnknown(kernel: Uint8Array): string {
  const compressions: [name: string, magic: number[]][] = [
    ["gzip", [0x1f, 0x8b]],
    ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a]],
    ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ];
  const compression = compressions.find(([, magic]) => magic.every((byte, i) => kernel[i] === byte));
  if (kernel.length === 0) return "The kernel file is empty.";
  if (compression) return `The kernel file is compressed with ${compression[0]}: unpack it, or give a bzImage.`;
  if (kernel.length < 0x260) return `The kernel file is truncated: it has only ${kernel.length} bytes.`;
  if (findMultibootHeader(kernel) !== undefined) return "The kernel is a Multiboot kernel, not a Linux kernel.";
  return "The kernel is neither a bzImage nor an ELF file with a PVH entry.";
}
