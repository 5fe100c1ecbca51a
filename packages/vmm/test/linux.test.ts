import type { GuestArchitecture } from "@softmetal/guest/node";
import { describe, expect, it } from "vitest";
import { available, debian, LIMIT, runHere } from "./debian.js";

describe.skipIf(!available)("Debian's kernels boot to their init and power off", () => {
  it.each<[GuestArchitecture, string, RegExp]>([
    ["amd64", "x86-64-v2", /x86_64/],
    ["amd64", "max", /x86_64/],
    ["i386", "pentium3", /i686/],
  ])(
    "%s on %s",
    async (architecture, cpu, machine) => {
      const { end, text } = runHere({ cpu, boot: await debian(architecture, "softmetal.run=arch") });
      expect(text).toContain("Run /init as init process");
      expect(text).toMatch(machine);
      expect(text).not.toMatch(/BUG:|WARNING:|Oops|general protection/);
      expect(end).toEqual({ reason: "poweroff" });
    },
    LIMIT + 60_000,
  );
});
