import { expect, it } from "vitest";
import { compare, type Outcome } from "./compare.js";
import type { Divergence } from "./divergences.js";

const ended = (output: string): Outcome => ({ end: { reason: "debug-exit", code: 1 }, output });
const listed: Divergence[] = [
  { id: "a", program: "p", line: /^load /, fields: [["ok", /^6(\[.*)?$/]] },
  { id: "b", program: "p", line: /^load /, fields: [["x=1", "x=2"]] },
  { id: "c", program: "p", line: /^store /, becomes: (line) => `${line} late` },
];
const ours = ended("load ok x=1\nstore 3\nload r+\nend\n");

it("takes listed differences, several in a line, and nothing else", () => {
  const theirs = ended("load 6 [1,2] x=2\nstore 3 late\nload r+\nend\n");
  expect(compare(ours, theirs, listed, undefined)).toEqual({ unexplained: [], unseen: [] });
  const line = "< load ok x=1\n> load 6 x=3";
  expect(compare(ended("load ok x=1"), ended("load 6 x=3"), listed, undefined).unexplained).toEqual([line]);
  expect(compare(ended("jump ok"), ended("jump 6"), listed, undefined).unexplained).toEqual(["< jump ok\n> jump 6"]);
  expect(compare(ended("load ok"), ended("load 6 6"), listed, undefined).unexplained).toHaveLength(1);
  expect(compare(ours, ours, [], undefined)).toEqual({ unexplained: [], unseen: [] });
});

it("reports what is listed and does not come, unless it need not", () => {
  const { unexplained, unseen } = compare(ours, ours, listed, undefined);
  expect(unexplained).toEqual([]);
  expect(unseen.map((name) => name[0])).toEqual(["a", "b", "c"]);
  expect(compare(ours, ours, [{ ...listed[0], sometimes: true }], undefined).unseen).toEqual([]);
});

it("reports missing and further lines, and another end", () => {
  expect(compare(ours, ended("load ok x=1\n"), [], undefined).unexplained).toHaveLength(4);
  expect(compare(ended("a\n"), ended("a\nb\n"), [], undefined).unexplained).toHaveLength(2);
  expect(compare(ours, { ...ours, end: { reason: "triple-fault" } }, [], undefined).unexplained).toHaveLength(1);
});

it("compares up to where a program is known to end early", () => {
  const early = { id: "e", program: "p", lines: 2, end: "triple-fault" } as const;
  const theirs: Outcome = { end: { reason: "triple-fault" }, output: "load ok x=1\nstore 3\n" };
  expect(compare(ours, theirs, [], early).unexplained).toEqual([]);
  expect(compare(ours, { ...theirs, output: "load ok x=1\nlo" }, [], early).unexplained).toHaveLength(1);
  expect(compare(ours, { ...theirs, output: "load ok x=1\nstore 4\n" }, [], early).unexplained).toHaveLength(1);
  expect(compare(ours, ours, [], early).unexplained).not.toEqual([]);
});
