import { describe, expect, test } from "vitest";
import { correct } from "./divergences.js";
import { buildImage, hasCommand } from "./image.js";
import { PROGRAMS } from "./programs.js";
import { runInQemu } from "./qemu.js";
import { runInTranslator } from "./translator.js";

const missing = ["gcc", "ld", "qemu-system-x86_64"].filter((name) => !hasCommand(name));
if (missing.length > 0) console.warn(`SKIPPED: the bare-metal programs need ${missing.join(", ")}`);

describe.skipIf(missing.length > 0)("bare-metal programs give the same lines here and in QEMU", () => {
  for (const program of PROGRAMS) {
    test(program.name, { timeout: 120_000 }, () => {
      const image = buildImage(program);
      const ours = runInTranslator(image, program.model);
      expect(ours.reason).toBe("end");
      const theirs = runInQemu(image, program.qemu).split("\n");
      const differing = ours.output
        .split("\n")
        .flatMap((line, index) =>
          line === correct(program.name, theirs[index] ?? "", line) ? [] : [[line, theirs[index]]],
        );
      expect(differing).toEqual([]);
    });
  }
});
