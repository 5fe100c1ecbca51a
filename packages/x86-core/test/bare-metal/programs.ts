import type { Program } from "./image.js";

const lib64 = ["start64.S"];
const lib32 = ["start32.S"];

/** The programs, and the processors that they run on. */
export const PROGRAMS: readonly (Program & { readonly model: string; readonly qemu: string })[] = [
  { name: "segments", sources: [...lib32, "segments.c"], bits: 32, model: "max", qemu: "max" },
  { name: "gates", sources: [...lib32, "gates.c"], bits: 32, model: "max", qemu: "max" },
  { name: "tasks", sources: [...lib32, "tasks.c"], bits: 32, model: "max", qemu: "max" },
  { name: "paging32", sources: [...lib32, "paging32.c"], bits: 32, model: "max", qemu: "max" },
  { name: "long", sources: [...lib64, "long.c"], bits: 64, model: "max", qemu: "max,vendor=GenuineIntel" },
  { name: "debug", sources: [...lib32, "debug.c"], bits: 32, model: "max", qemu: "max" },
  { name: "vm86", sources: [...lib32, "vm86.c"], bits: 32, model: "max", qemu: "max" },
  { name: "paging64", sources: [...lib64, "paging64.c"], bits: 64, model: "max", qemu: "max" },
  { name: "real", sources: ["real.S"], bits: 32, model: "max", qemu: "max" },
  { name: "limits", sources: [...lib32, "limits.c"], bits: 32, model: "max", qemu: "max" },
];
