import type { MachineEnd } from "@softmetal/vmm";
import { expect, it } from "vitest";
import { exitStatusHelp, exitStatusOf, type SessionEnd } from "../../src/run/exit-status.js";

const machine = (end: MachineEnd, panicked = false): SessionEnd => ({ kind: "machine", end, panicked });

it.each<[SessionEnd, number]>([
  [machine({ reason: "poweroff" }), 0],
  [machine({ reason: "internal-error", message: "x" }), 1],
  [machine({ reason: "reset" }), 4],
  [machine({ reason: "triple-fault" }), 6],
  [machine({ reason: "reset" }, true), 8],
  [{ kind: "quit" }, 10],
  [machine({ reason: "debug-exit", code: 85 }), 85],
  [machine({ reason: "debug-exit", code: 511 }), 255],
  [{ kind: "signal", name: "SIGTERM", number: 15 }, 143],
])("%j ends with status %i", (end, status) => {
  expect(exitStatusOf(end).status).toBe(status);
});

it("documents every fixed status", () => {
  for (const status of [0, 1, 4, 6, 8, 10]) expect(exitStatusHelp).toMatch(new RegExp(`^  ${status} `, "m"));
});
