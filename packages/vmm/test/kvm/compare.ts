import type { MachineEnd } from "@softmetal/vmm";
import type { Divergence, EarlyEnd } from "./divergences.js";

/** What a program made of itself under one engine. */
export interface Outcome {
  readonly end: MachineEnd;
  readonly output: string;
}

export interface Report {
  /** Lines that differ without being listed, and ends: the translator's and KVM's. */
  readonly unexplained: readonly string[];
  /** Names of what is listed and did not come. */
  readonly unseen: readonly string[];
}

type Matcher = string | RegExp;
const matches = (matcher: Matcher, text: string) =>
  typeof matcher === "string" ? matcher === text : matcher.test(text);

/** A line's fields: a frame in brackets belongs to what is before it, an exception in place of a result to its access. */
const fieldsOf = (line: string) =>
  line
    .replace(/ \[/g, "[")
    .replace(/( [rwmx]) (?=[0-9a-f]+( |$))/g, "$1:")
    .split(" ");

/** Compares a program's lines under the translator and KVM; `listed` and `ends` say what may differ. */
export function compare(
  ours: Outcome,
  theirs: Outcome,
  listed: readonly Divergence[],
  early: EarlyEnd | undefined,
): Report {
  const unexplained: string[] = [];
  const seen = new Set<string>();
  const [ourLines, theirLines] = [ours, theirs].map(({ output }) => output.split("\n"));
  const lines = early ? ourLines.slice(0, early.lines) : ourLines;
  const end = early ? { reason: early.end } : ours.end;
  // What the end cut short is no line.
  if (early) theirLines.pop();
  if (JSON.stringify(end) !== JSON.stringify(theirs.end)) {
    unexplained.push(`ends: ${JSON.stringify(end)} and ${JSON.stringify(theirs.end)}`);
  }
  for (let at = 0; at < Math.max(lines.length, theirLines.length); at++) {
    const [our, their] = [lines[at], theirLines[at]];
    if (our === their) continue;
    const names = our === undefined || their === undefined ? undefined : explain(our, their, listed);
    if (!names) unexplained.push(`< ${our}\n> ${their}`);
    for (const name of names ?? []) seen.add(name);
  }
  const unseen = listed.filter((divergence) => !divergence.sometimes).flatMap(namesOf);
  return { unexplained, unseen: unseen.filter((name) => !seen.has(name)) };
}

const nameOf = ({ id, line }: Divergence, what = "") => `${id} ${line}${what}`;
const pairName = (divergence: Divergence, [ours, theirs]: readonly [Matcher, Matcher]) =>
  nameOf(divergence, ` ${ours} -> ${theirs}`);
/** All that there is to see of a divergence. */
const namesOf = (divergence: Divergence) =>
  divergence.fields ? divergence.fields.map((pair) => pairName(divergence, pair)) : [nameOf(divergence)];

/** The names of what makes one line the other; undefined: it is not listed. */
function explain(ours: string, theirs: string, listed: readonly Divergence[]): string[] | undefined {
  const about = listed.filter(({ line }) => line.test(ours));
  const whole = about.find(({ becomes }) =>
    typeof becomes === "function" ? becomes(ours) === theirs : becomes?.test(theirs),
  );
  if (whole) return [nameOf(whole)];
  const [ourFields, theirFields] = [ours, theirs].map(fieldsOf);
  if (ourFields.length !== theirFields.length) return undefined;
  const names: string[] = [];
  for (const [at, our] of ourFields.entries()) {
    const their = theirFields[at];
    if (our === their) continue;
    const name = explainField(our, their, about);
    if (name === undefined) return undefined;
    names.push(name);
  }
  return names;
}

function explainField(ours: string, theirs: string, about: readonly Divergence[]): string | undefined {
  for (const divergence of about) {
    const pair = divergence.fields?.find(([from, to]) => matches(from, ours) && matches(to, theirs));
    if (pair) return pairName(divergence, pair);
  }
  return undefined;
}
