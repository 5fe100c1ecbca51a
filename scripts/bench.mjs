/**
 * `pnpm bench [name ...]`: runs the benchmarks in packages/<package>/bench/<name>.bench.mjs, prints a table and writes
 * bench-results/<name>.json. Each gives rows that compare Softmetal with a peer in one run, alternating.
 *
 * A benchmark module exports `title` and `run({ runs, say })`, which gives rows of the form
 * `{ what, ours, peer, unit, ratio, note }`: medians, where `ratio` is ours / peer (undefined without a peer).
 */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { build, install, root, say } from "./setup.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: "string", default: "3" }, "no-build": { type: "boolean" } },
});

/** Benchmarks by name. */
function find() {
  const found = new Map();
  for (const name of readdirSync(join(root, "packages"))) {
    const folder = join(root, "packages", name, "bench");
    let files = [];
    try {
      files = readdirSync(folder);
    } catch {
      continue;
    }
    for (const file of files) if (file.endsWith(".bench.mjs")) found.set(file.slice(0, -10), join(folder, file));
  }
  return found;
}

const number = (value) => (value === undefined ? "" : value >= 100 ? value.toFixed(0) : value.toPrecision(3));

function print(title, rows) {
  const table = [
    ["", "softmetal", "peer", "unit", "ratio", ""],
    ...rows.map((row) => [
      row.what,
      number(row.ours),
      number(row.peer),
      row.unit,
      row.ratio === undefined ? "" : row.ratio.toFixed(2),
      row.note ?? "",
    ]),
  ];
  const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)));
  process.stdout.write(`\n${title}\n`);
  for (const row of table) {
    const cells = row.map((cell, column) =>
      column === 0 || column === 5 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]),
    );
    process.stdout.write(`  ${cells.join("  ").trimEnd()}\n`);
  }
}

const all = find();
const wanted = positionals.length > 0 ? positionals : [...all.keys()];
const unknown = wanted.filter((name) => !all.has(name));
if (unknown.length > 0) {
  say(`there is no benchmark ${unknown.join(", ")}; there are ${[...all.keys()].join(", ")}.`);
  process.exit(2);
}
if (!values["no-build"]) {
  install();
  if (!build()) process.exit(1);
}
mkdirSync(join(root, "bench-results"), { recursive: true });
for (const name of wanted) {
  const { title, run } = await import(pathToFileURL(all.get(name)));
  const rows = await run({ runs: Number(values.runs), say });
  print(title, rows);
  const result = { name, date: new Date().toISOString(), node: process.version, rows };
  writeFileSync(join(root, "bench-results", `${name}.json`), `${JSON.stringify(result, null, 2)}\n`);
}
