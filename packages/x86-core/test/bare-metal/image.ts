import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const programs = fileURLToPath(new URL("programs/", import.meta.url));
const build = fileURLToPath(new URL("../../node_modules/.cache/bare-metal/", import.meta.url));

/** Whether gcc and ld are there and make x86 code. */
export function canBuild(): boolean {
  const gcc = spawnSync("gcc", ["-dumpmachine"], { encoding: "utf8" });
  return gcc.status === 0 && gcc.stdout.startsWith("x86_64") && spawnSync("ld", ["--version"]).status === 0;
}

/** A bare-metal program: sources in programs/, and the width of its code. */
export interface Program {
  readonly name: string;
  readonly sources: readonly string[];
  readonly bits: 32 | 64;
}

/** Assembles, compiles and links a program; the path of a flat Multiboot image. */
export function buildImage(program: Program): string {
  mkdirSync(build, { recursive: true });
  const objects = program.sources.map((source) => {
    const object = `${build}${program.name}-${source}.o`;
    const flags = [
      "-ffreestanding",
      "-fno-pic",
      "-fno-stack-protector",
      "-fno-asynchronous-unwind-tables",
      "-nostdlib",
    ];
    const code = ["-O1", "-mgeneral-regs-only", "-fcf-protection=none", "-fno-strict-aliasing", "-w"];
    const width = program.bits === 64 ? ["-m64", "-mno-red-zone", "-mcmodel=small"] : ["-m32", "-march=i686"];
    execFileSync("gcc", [...flags, ...code, ...width, `-I${programs}`, "-c", `${programs}${source}`, "-o", object]);
    return object;
  });
  const image = `${build}${program.name}.bin`;
  const format = program.bits === 64 ? "elf_x86_64" : "elf_i386";
  const linker = ["-m", format, "-T", `${programs}image.ld`, "--no-warn-rwx-segments", "--oformat", "binary"];
  execFileSync("ld", [...linker, "-o", image, ...objects]);
  return image;
}

/** The Multiboot header's load addresses (Multiboot 0.6.96, 3.1). */
export function readImage(path: string): { bytes: Uint8Array; address: number; entry: number } {
  const bytes = readFileSync(path);
  for (let at = 0; at < 8192; at += 4) {
    if (bytes.readUInt32LE(at) !== 0x1badb002) continue;
    const header = bytes.readUInt32LE(at + 12);
    const address = bytes.readUInt32LE(at + 16);
    return { bytes: bytes.subarray(at - (header - address)), address, entry: bytes.readUInt32LE(at + 28) };
  }
  throw new Error(`${path} has no Multiboot header`);
}
