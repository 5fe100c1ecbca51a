/** What `npm start` and `npm test` share: everything from a bare Node and npm to built packages. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));
const cache = join(root, ".cache");

/** The environment for everything that is run from here. */
export const environment = {
  ...process.env,
  TURBO_TELEMETRY_DISABLED: "1",
  DO_NOT_TRACK: "1",
  // Without it pnpm may ask whether to remove node_modules.
  CI: process.env.CI ?? "1",
};

export function say(text) {
  process.stderr.write(`softmetal: ${text}\n`);
}

/** Runs a program; gives whether it succeeded. `quiet` shows its output only when it fails. */
export function run(program, args, { quiet = false, ...options } = {}) {
  const result = spawnSync(program, args, {
    cwd: root,
    env: environment,
    stdio: quiet ? ["ignore", "pipe", "pipe"] : ["ignore", "inherit", "inherit"],
    maxBuffer: 256 * 2 ** 20,
    ...options,
  });
  if (quiet && result.status !== 0) process.stderr.write(`${result.stdout ?? ""}${result.stderr ?? ""}`);
  if (result.error) say(`${program} could not be run: ${result.error.message}`);
  return result.status === 0;
}

function must(done, what) {
  if (done) return;
  say(`${what} failed; its output is above.`);
  process.exit(1);
}

function checkNode() {
  const major = Number.parseInt(process.versions.node, 10);
  if (major >= 20) return;
  say(`Node ${process.versions.node} is too old: install Node 20 or newer.`);
  process.exit(1);
}

/** Puts the pinned pnpm first in the PATH; when there is none of that version, into the project's own cache. */
function usePnpm() {
  const { packageManager } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const version = packageManager.split("@")[1];
  const matches = (program) => {
    const { stdout, status } = spawnSync(program, ["--version"], { cwd: root, env: environment, encoding: "utf8" });
    return status === 0 && stdout.trim() === version;
  };
  if (matches("pnpm")) return;
  const home = join(cache, `pnpm-${version}`);
  const bin = join(home, "node_modules", ".bin");
  if (!existsSync(join(bin, "pnpm")) || !matches(join(bin, "pnpm"))) {
    say(`installing pnpm ${version} into .cache`);
    const args = ["install", "--prefix", home, "--no-save", "--no-audit", "--no-fund", `pnpm@${version}`];
    must(run("npm", args, { quiet: true, cwd: root }), "Installing pnpm");
  }
  environment.PATH = `${bin}${delimiter}${environment.PATH}`;
}

/** Dependencies as the lockfile has them. */
export function install() {
  checkNode();
  usePnpm();
  say("installing dependencies");
  must(run("pnpm", ["install", "--frozen-lockfile"], { quiet: true }), "Installing the dependencies");
}

/** Builds packages in the order of their dependencies; turbo skips what has not changed. */
export function build(...filters) {
  return run("pnpm", ["exec", "turbo", "run", "build", "--output-logs=errors-only", ...filters], { quiet: true });
}
