import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** A built program, for tests of the whole process; `pnpm build` makes it. */
export const executable = (name: string): string => fileURLToPath(new URL(`../dist/${name}.cjs`, import.meta.url));

export const built = existsSync(executable("softmetal"));
if (!built) console.warn("SKIPPED: the executables are not built");
