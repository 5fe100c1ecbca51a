/** `npm test`: sets everything up, then lint, build, types, package checks and all tests. The last line counts them. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build, environment, install, root, run, say } from "./setup.mjs";

/** Programs that some tests compare with, and the Debian packages that have them. */
const TOOLS = {
  gcc: "gcc libc6-dev",
  make: "make",
  python3: "python3-minimal",
  "qemu-system-x86_64": "qemu-system-x86",
  "qemu-img": "qemu-utils",
  nbdinfo: "libnbd-bin",
  nbdkit: "nbdkit",
  iasl: "acpica-tools",
  cpio: "cpio",
  xz: "xz-utils",
  zstd: "zstd",
  chromium: "chromium",
};
const APT_TIMEOUT = 5 * 60_000;

const has = (program) => (environment.PATH ?? "").split(":").some((directory) => existsSync(join(directory, program)));
const missingTools = () => Object.keys(TOOLS).filter((program) => !has(program));

/** Missing tools cost tests, not the run: those that need them are skipped and say so. */
function getTools() {
  const missing = missingTools();
  if (missing.length === 0) return;
  if (has("apt-get") && process.getuid?.() === 0) {
    say(`installing with apt-get: ${missing.join(", ")}`);
    const packages = missing.flatMap((program) => TOOLS[program].split(" "));
    const options = { timeout: APT_TIMEOUT, env: { ...environment, DEBIAN_FRONTEND: "noninteractive" } };
    const apt = (...args) => spawnSync("apt-get", ["-qq", ...args], { ...options, stdio: "ignore" }).status === 0;
    const get = () => apt("install", "-y", "--no-install-recommends", ...packages);
    if (!get()) apt("update") && get();
  }
  const still = missingTools();
  if (still.length > 0) {
    const packages = still.map((program) => TOOLS[program]).join(" ");
    say(`tests that need ${still.join(", ")} are skipped (apt-get install ${packages}, as root, provides them)`);
  }
}

/** Each package as npm would get it: are its exports right, and do its types resolve? */
function checkPackages(check) {
  for (const name of readdirSync(join(root, "packages"))) {
    const directory = join(root, "packages", name);
    const manifest = join(directory, "package.json");
    if (!existsSync(manifest)) continue;
    check(`publint ${name}`, () => run("pnpm", ["exec", "publint", "--strict", directory], { quiet: true }));
    const { exports = {} } = JSON.parse(readFileSync(manifest, "utf8"));
    // A package of commands only has no types to get wrong.
    if (!JSON.stringify(exports).includes('"types"')) continue;
    const args = ["exec", "attw", "--pack", directory, "--profile", "esm-only", "--no-emoji", "--no-color"];
    check(`attw ${name}`, () => run("pnpm", args, { quiet: true }));
  }
}

getTools();
install();

const outcome = { passed: 0, failed: 0 };
const check = (what, action) => {
  const started = performance.now();
  const passed = action();
  outcome[passed ? "passed" : "failed"]++;
  say(`${passed ? "passed" : "FAILED"}: ${what} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
};
check("lint and format", () =>
  run("pnpm", ["exec", "biome", "ci", "--colors=off", "--error-on-warnings", "."], { quiet: true }),
);
check("build", () => build());
check("types", () => run("pnpm", ["exec", "tsc", "--noEmit", "-p", "tsconfig.json"], { quiet: true }));
checkPackages(check);

// The tests come last, so that their summary, which counts the checks above too, is the last line.
environment.SOFTMETAL_CHECKS = JSON.stringify(outcome);
const passed = run("pnpm", ["exec", "vitest", "run", ...process.argv.slice(2)]);
process.exit(passed && outcome.failed === 0 ? 0 : 1);
