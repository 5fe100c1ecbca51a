import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const programs = fileURLToPath(new URL("programs/", import.meta.url));
const build = fileURLToPath(new URL("../../node_modules/.cache/engine-programs/", import.meta.url));

/** Where the programs are loaded and entered. */
export const LOAD_ADDRESS = 0x7c00;

/** What is needed to build programs and is not there. */
export const missingTools = ["gcc", "ld"].filter((name) => spawnSync(name, ["--version"]).status !== 0);

/** Assembles a program of `programs/` into a flat image. */
export function assemble(name: string, symbols: Record<string, number> = {}): Uint8Array {
  mkdirSync(build, { recursive: true });
  const output = `${build}${name}-${process.pid}`;
  const defines = Object.entries(symbols).flatMap(([symbol, value]) => ["-Wa,--defsym", `-Wa,${symbol}=${value}`]);
  execFileSync("gcc", ["-m64", ...defines, `-Wa,-I${programs}`, "-c", `${programs}${name}.S`, "-o", `${output}.o`]);
  const place = ["-Ttext", `0x${LOAD_ADDRESS.toString(16)}`, "--oformat", "binary", "-e", "0"];
  execFileSync("ld", ["-m", "elf_x86_64", ...place, `${output}.o`, "-o", `${output}.bin`]);
  return readFileSync(`${output}.bin`);
}
