/**
 * `node scripts/hot-handlers.mjs`: finds which handlers of the interpreter are hot and writes
 * packages/x86-core/src/interpreter/hot.ts. Boots the default guests with an interpreter that counts; takes a minute.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import generate from "../packages/x86-core/scripts/generate.mjs";
import { root } from "./setup.mjs";

/** Where the counters lie: the end of the record arena, which a boot does not reach. See RAM_BASE in state/layout.ts. */
const COUNTERS = 0x4000000 - 0x40000;
/** Handlers taken from each guest's list. */
const GUESTS = [
  { architecture: "amd64", cpu: "x86-64-v2", count: 200 },
  { architecture: "i386", cpu: "pentium3", count: 100 },
];

const { build } = createRequire(join(root, "packages/x86-core/package.json"))("esbuild");
const entry = `
  export { TranslatorMachine } from "./packages/vmm/src/machine/translator.ts";
  export { NAMES } from "./packages/x86-core/src/generated/interpreter.js";
  export { obtainGuest } from "./packages/guest/src/node/index.ts";
`;
const sources = {
  name: "sources of the workspace",
  setup(builder) {
    builder.onResolve({ filter: /^@softmetal\/[^/]+$/ }, ({ path }) => ({
      path: join(root, "packages", path.split("/")[1], "src/index.ts"),
    }));
  },
};

async function count({ TranslatorMachine, NAMES, obtainGuest }, { architecture, cpu, count: most }) {
  const guest = await obtainGuest({ architecture });
  const machine = new TranslatorMachine(
    {
      memory: 512 * 2 ** 20,
      cpu,
      noReboot: true,
      boot: {
        kind: "linux",
        kernel: readFileSync(guest.kernel),
        initrd: readFileSync(guest.initrd),
        commandLine: "console=ttyS0 panic=-1 softmetal.run=true",
      },
    },
    { debugConsole() {}, serialConsumed() {}, reset() {} },
  );
  while (!machine.end) {
    machine.runSlice();
    machine.serial[0].addCredit(machine.serial[0].takeOutput()?.length ?? 0);
  }
  const counts = new Uint32Array(machine.cpu.state.buffer, COUNTERS, NAMES.length);
  return NAMES.map((name, index) => ({ name, executed: counts[index] }))
    .sort((a, b) => b.executed - a.executed)
    .slice(0, most)
    .map(({ name }) => name);
}

mkdirSync(join(root, ".cache"), { recursive: true });
const bundle = join(root, ".cache/hot-handlers.mjs");
await generate({ counters: COUNTERS });
try {
  await build({
    stdin: { contents: entry, resolveDir: root, loader: "ts" },
    outfile: bundle,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "es2022",
    plugins: [sources],
    nodePaths: [join(root, "packages/guest/node_modules")],
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
    logLevel: "warning",
  });
  const modules = await import(pathToFileURL(bundle));
  const hot = new Set();
  for (const guest of GUESTS) for (const name of await count(modules, guest)) hot.add(name);
  writeFileSync(
    join(root, "packages/x86-core/src/interpreter/hot.ts"),
    `/**
 * The handlers that the dispatch loop contains, most used first: the commonest of a boot of Debian's 64-bit and 32-bit
 * kernels. Written by scripts/hot-handlers.mjs; a name that no longer exists does no harm.
 */
export const HOT: readonly string[] = ${JSON.stringify([...hot], null, 2)};
`,
  );
  console.log(`${hot.size} hot handlers`);
} finally {
  await generate();
}
