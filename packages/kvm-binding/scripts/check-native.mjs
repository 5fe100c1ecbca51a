// The C code under gcc's analyzer, and the addon under AddressSanitizer: the fuzz of the whole API, cycles of small
// machines, and a worker that is terminated in the middle of a run.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const out = join(root, "build/check");
const node = dirname(dirname(realpathSync(process.execPath)));
const sources = readdirSync(join(root, "native"))
  .filter((name) => name.endsWith(".c"))
  .map((name) => join(root, "native", name));
const common = ["-std=gnu11", "-D_GNU_SOURCE", "-DNAPI_VERSION=8", `-I${node}/include/node`, "-fPIC", "-pthread"];
const warnings = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wno-sign-conversion", "-Werror"];

function run(title, command, args, options = {}) {
  process.stdout.write(`${title} ... `);
  const { status, signal, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", cwd: root, ...options });
  if (status === 0) {
    process.stdout.write(`clean ${stdout.trim()}\n`);
    return;
  }
  process.stdout.write(`FAILED (${signal ?? status})\n${stdout}${stderr}\n`);
  process.exitCode = 1;
}

mkdirSync(join(out, "build/Release"), { recursive: true });
for (const source of sources) {
  const file = source.slice(root.length);
  run(`gcc -fanalyzer ${file}`, "gcc", [...common, ...warnings, "-O2", "-fanalyzer", "-c", "-o", "/dev/null", source]);
}

const addon = join(out, "build/Release/kvm_binding.node");
const sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"];
const link = ["-shared", "-Wl,-z,nodelete", "-lm"];
run("build with AddressSanitizer", "gcc", [...common, "-g", "-O1", ...sanitize, "-o", addon, ...sources, ...link]);
const module = join(root, "build/test/check.mjs");
await build({
  entryPoints: [join(root, "src/index.ts")],
  outfile: module,
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20",
});

const library = (name) => execFileSync("gcc", [`-print-file-name=${name}`], { encoding: "utf8" }).trim();
const env = {
  ...process.env,
  KVM_BINDING_ADDON_ROOT: out,
  LD_PRELOAD: `${library("libasan.so")} ${library("libubsan.so")}`,
  // V8's own leaks are not ours to report, and it handles SIGSEGV itself.
  ASAN_OPTIONS: "detect_leaks=0:handle_segv=0:allocator_may_return_null=1",
};
const milliseconds = process.env.KVM_BINDING_FUZZ_MS ?? "5000";
for (const seed of ["1", "2"]) {
  run(`fuzz, seed ${seed}`, process.execPath, ["test/fuzz-program.mjs", module, milliseconds, seed], { env });
}
run("cycles and a terminated worker", process.execPath, ["test/cycles-program.mjs", module, "100"], { env });
rmSync(module);
