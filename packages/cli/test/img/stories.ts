import { afterAll, describe, expect, it } from "vitest";
import { have, mask, Workshop } from "./side-by-side.js";

/** A command line; words with spaces in quotes. */
export const words = (line: string): string[] =>
  (line.match(/'[^']*'|\S+/g) ?? []).map((word) => word.replace(/^'|'$/g, ""));

/**
 * Stories: command lines ("img ...", "io ...", "same ..." for qemu-img on both sides, "poke OFFSET VALUE" to damage a.qcow2) that QEMU's programs and ours run
 * one after the other, each in a folder of their own. Every line must have the same outcome on both sides, lines that
 * `races` names in one of a few tries.
 */
export function compareStories(
  stories: Readonly<Record<string, readonly string[]>>,
  races: (line: string) => boolean = () => false,
): void {
  const only = process.env.IMG_STORY;
  describe.skipIf(!have("qemu-img", "qemu-io"))("the same words as QEMU's programs", () => {
    for (const [title, lines] of Object.entries(stories)) {
      if (only !== undefined && title !== only) continue;
      describe(title, () => {
        const workshop = new Workshop();
        afterAll(() => workshop.remove());
        for (const line of lines) {
          it(line, { retry: races(line) ? 3 : 0 }, async () => {
            const [program, ...args] = words(line);
            if (program === "same") {
              for (const folder of [workshop.ours, workshop.theirs])
                expect(workshop.peer("qemu-img", args, folder).status).toBe(0);
              return;
            }
            if (program === "poke") return workshop.poke("a.qcow2", Number(args[0]), Number(args[1]));
            const { ours, theirs } = await workshop.both(program === "img" ? "qemu-img" : "qemu-io", args);
            expect(mask(ours)).toEqual(mask(theirs));
          });
        }
      });
    }
  });
}
