import { describe, expect, test } from "vitest";
import { correct } from "./divergences.js";
import { buildImage, canBuild } from "./image.js";
import { PROGRAMS } from "./programs.js";
import { ORACLE_VERSION, qemuVersion, runInQemu } from "./qemu.js";
import { runInTranslator } from "./translator.js";

const builds = canBuild();
if (!builds) console.warn("SKIPPED: the bare-metal programs need gcc and ld of an x86-64 host");
const version = qemuVersion();
const compares = builds && version?.startsWith(ORACLE_VERSION);
if (builds && !compares) {
  const found = version ? `is ${version}` : "is missing";
  console.warn(`NOT COMPARED: qemu-system-x86_64 ${found}; divergences.ts knows version ${ORACLE_VERSION}`);
}

describe.skipIf(!builds)("bare-metal programs run to their end and give the same lines as in QEMU", () => {
  for (const program of PROGRAMS) {
    test(program.name, { timeout: 120_000 }, () => {
      const image = buildImage(program);
      const ours = runInTranslator(image, program.model);
      expect(ours.reason).toBe("end");
      const lines = ours.output.split("\n");
      expect(lines.at(-2)).toBe("end");
      if (!compares) return;
      const theirs = runInQemu(image, program.qemu).split("\n");
      const differing = lines.flatMap((line, index) =>
        line === correct(program.name, theirs[index] ?? "", line) ? [] : [[line, theirs[index]]],
      );
      expect(differing).toEqual([]);
      expect(lines.length).toBe(theirs.length);
    });
  }
});
