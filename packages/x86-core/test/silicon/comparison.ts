import type { Tier } from "../../src/cpu/executor.js";
import { rows } from "../../src/instructions/index.js";
import { generateInterpreter } from "../../src/interpreter/generate.js";
import type { Row } from "../../src/table/row.js";
import { difference } from "./compare.js";
import { isDivergence } from "./divergences.js";
import { EmulatedHost } from "./emulated.js";
import { CaseMaker, Pool } from "./generate.js";
import { CaseBuffer, FIELD, RECORD_BYTES } from "./layout.js";
import { NativeHost } from "./native.js";
import { Random } from "./random.js";
import { hostFeatures, type Shape, shapesOf } from "./shapes.js";

/** Cases of each shape that are made in a row. Blocks are compiled for one instruction, which then gets other values. */
const RUN: Record<Tier, number> = { interpreter: 32, blocks: 8 };
const BATCH = 4096;

/** Differences of one row. */
export interface RowDifferences {
  readonly text: string;
  count: number;
  /** A few of them, with the instruction's bytes. */
  readonly examples: string[];
}

export interface Report {
  cases: number;
  /** Rows of which cases were run. */
  readonly rows: Set<Row>;
  readonly differences: Map<string, RowDifferences>;
  /** Cases that differ as the list of divergences says. */
  diverging: number;
  /** Cases by the vector that ended them on the host; 3 is the normal end. */
  readonly endings: Map<number, number>;
}

/** Makes cases, and says what each is a case of. */
export interface CaseSource {
  make(cases: CaseBuffer, number: number): Shape;
}

export interface ComparisonOptions {
  /** Ends after this many cases, or after this time. */
  readonly cases: number;
  readonly milliseconds: number;
  readonly tier: Tier;
}

/** Cases of all forms of some rows, in turn. */
export function casesOfRows(seed: number, tier: Tier, choose: (row: Row) => boolean): CaseSource {
  const random = new Random(seed);
  const has = hostFeatures();
  const pool = new Pool(random);
  const makers = rows
    .filter(choose)
    .flatMap((row) => shapesOf(row, has))
    .map((shape) => new CaseMaker(shape, random, pool));
  const run = RUN[tier];
  let next = 0;
  return {
    make(cases, number) {
      const maker = makers[Math.floor(next / run) % makers.length];
      maker.make(cases, number, tier === "interpreter" || next % run === 0);
      next++;
      return maker.shape;
    },
  };
}

/** Runs cases on the host and on the emulated CPU. */
export async function compareWithHost(source: CaseSource, options: ComparisonOptions): Promise<Report> {
  const { module, numbers } = generateInterpreter();
  const emulated = new EmulatedHost({ module: new WebAssembly.Module(module), numbers }, options.tier);
  const native = new NativeHost(BATCH);
  const report: Report = { cases: 0, rows: new Set(), differences: new Map(), diverging: 0, endings: new Map() };
  const start = performance.now();
  try {
    while (report.cases < options.cases && performance.now() - start < options.milliseconds) {
      const ours = new CaseBuffer(Math.min(BATCH, Math.ceil(options.cases - report.cases)));
      const shapes = Array.from({ length: ours.count }, (_, number) => source.make(ours, number));
      const initial = ours.bytes.slice();
      // The host works while the emulated CPU does.
      const finish = await native.start(ours);
      for (let number = 0; number < ours.count; number++) emulated.run(ours, number);
      const host = new CaseBuffer(ours.count);
      await finish(host);
      shapes.forEach((shape, number) => {
        report.rows.add(shape.row);
        judge(report, shape, host, ours, initial, number);
      });
      report.cases += ours.count;
    }
  } finally {
    native.close();
  }
  return report;
}

function judge(
  report: Report,
  shape: Shape,
  host: CaseBuffer,
  ours: CaseBuffer,
  initial: Uint8Array,
  number: number,
): void {
  const at = number * RECORD_BYTES;
  const trap = host.u32[(at + FIELD.trap) >> 2];
  report.endings.set(trap, (report.endings.get(trap) ?? 0) + 1);
  const found = difference(shape, host, ours, number);
  if (!found) return;
  const code = initial.subarray(at + FIELD.code, at + FIELD.code + host.u32[(at + FIELD.codeLength) >> 2]);
  if (isDivergence(shape, code, found)) {
    report.diverging++;
    return;
  }
  const key = shape.row.text;
  let row = report.differences.get(key);
  if (!row) {
    row = { text: key, count: 0, examples: [] };
    report.differences.set(key, row);
  }
  row.count++;
  if (row.examples.length < 3) {
    const mode = shape.long ? "64-bit" : "32-bit";
    row.examples.push(`${mode} ${Buffer.from(code).toString("hex")}: ${found}; before: ${inputs(initial, at)}`);
  }
}

function inputs(initial: Uint8Array, at: number): string {
  const view = new DataView(initial.buffer, initial.byteOffset + at, RECORD_BYTES);
  const names = "RAX RCX RDX RBX RSP RBP RSI RDI R8 R9 R10 R11 R12 R13 R14 R15".split(" ");
  const registers = names.map((name, i) => `${name}=${view.getBigUint64(i * 8, true).toString(16)}`).join(" ");
  return `${registers} flags=${view.getUint32(FIELD.rflags, true).toString(16)} mxcsr=${view.getUint32(FIELD.fx + 24, true).toString(16)} fcw=${view.getUint16(FIELD.fx, true).toString(16)} fsw=${view.getUint16(FIELD.fx + 2, true).toString(16)}`;
}

/** Lines for people: totals, then the rows that differ. */
export function describeReport(report: Report): string {
  const endings = [...report.endings].sort(([a], [b]) => a - b).map(([vector, count]) => `#${vector}: ${count}`);
  const lines = [
    `${report.cases} cases of ${report.rows.size} rows; endings ${endings.join(", ")}; ` +
      `${report.diverging} documented divergences`,
  ];
  for (const { text, count, examples } of [...report.differences.values()].sort((a, b) => b.count - a.count)) {
    lines.push(`${text}: ${count} differences`, ...examples.map((example) => `    ${example}`));
  }
  return lines.join("\n");
}
