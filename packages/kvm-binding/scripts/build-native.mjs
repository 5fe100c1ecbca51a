// Compiles native/*.c to build/Release/kvm_binding.node with node-gyp. A machine that cannot (not Linux, no compiler)
// gets a loud note instead of a failure: the package works there as far as saying why KVM is not usable. What is up to
// date is left alone, so that this can run before every build, outside any cache: whether there is a compiler is no
// property of the sources.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const addon = join(root, "build/Release/kvm_binding.node");
/** What the addon was compiled from. */
const stamp = join(root, "build/Release/kvm_binding.sources");

function note(text) {
  process.stderr.write(`\n*** @softmetal/kvm-binding: ${text}\n*** KVM will not be usable from this build.\n\n`);
}

function sources() {
  const hash = createHash("sha256");
  for (const name of [
    "binding.gyp",
    ...readdirSync(join(root, "native"))
      .map((file) => `native/${file}`)
      .sort(),
  ]) {
    hash.update(`${name}\0`).update(readFileSync(join(root, name)));
  }
  return hash.digest("hex");
}

/** The Node installation whose own headers can be used, so that node-gyp has nothing to download. */
function headersPrefix() {
  const prefixes = [
    dirname(dirname(process.execPath)),
    dirname(dirname(realpathSync(process.execPath))),
    process.env.npm_config_nodedir,
  ];
  return prefixes.find((prefix) => prefix && existsSync(join(prefix, "include/node/node_api.h")));
}

function nodeGyp() {
  try {
    return createRequire(import.meta.url).resolve("node-gyp/bin/node-gyp.js");
  } catch {
    return process.env.npm_config_node_gyp; // npm names the one it carries
  }
}

/** Builds the addon; false (after a note) when this machine cannot. */
export function buildNative(env = {}) {
  if (process.platform !== "linux" || process.arch !== "x64") {
    note(`nothing to compile on ${process.platform}-${process.arch} (KVM is for Linux on x86-64).`);
    return false;
  }
  const wanted = sources();
  if (existsSync(addon) && existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return true;
  const compiler = process.env.CC ?? "gcc";
  for (const tool of [compiler.split(" ")[0], "make", "python3"]) {
    if (spawnSync(tool, ["--version"], { stdio: "ignore" }).status !== 0) {
      note(
        `${tool} not found, the addon was not compiled (Debian: apt install gcc make python3 libc6-dev; then run this build again).`,
      );
      return false;
    }
  }
  const gyp = nodeGyp();
  if (!gyp) {
    note("node-gyp not found, the addon was not compiled.");
    return false;
  }
  const prefix = headersPrefix();
  // Without "clean": tests and users of the old binary may be running.
  const args = [gyp, "configure", "build", "--silent", ...(prefix ? [`--nodedir=${prefix}`] : [])];
  const result = spawnSync(process.execPath, args, {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, ...env },
  });
  if (result.status !== 0) {
    note("compiling the addon failed, see above.");
    return false;
  }
  writeFileSync(stamp, wanted);
  return true;
}

// Under turbo "build:native" has run, apart from the cache: what "build" would say of it here would be kept and repeated.
const done = process.env.TURBO_HASH !== undefined && process.env.npm_lifecycle_event === "build";
if (process.argv[1] === fileURLToPath(import.meta.url) && !done) {
  const built = buildNative();
  // A compiler that is there and fails is an error for the people who work on this package, not for its users.
  if (!built && process.env.KVM_BINDING_REQUIRE_NATIVE) process.exitCode = 1;
}
