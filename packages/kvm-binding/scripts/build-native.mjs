// Compiles native/*.c to build/Release/kvm_binding.node with node-gyp. A machine that cannot (not Linux, no compiler)
// gets a loud note instead of a failure: the package works there as far as saying why KVM is not usable.
import { spawnSync } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

function note(text) {
  process.stderr.write(`\n*** @softmetal/kvm-binding: ${text}\n*** KVM will not be usable from this build.\n\n`);
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
  const compiler = process.env.CC ?? "gcc";
  for (const tool of [compiler.split(" ")[0], "make", "python3"]) {
    if (spawnSync(tool, ["--version"], { stdio: "ignore" }).status !== 0) {
      note(
        `${tool} not found, the addon was not compiled (Debian: apt install gcc make python3 libc6-dev; then run this build again, without a cache).`,
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
  const result = spawnSync(process.execPath, [gyp, "rebuild", "--silent", ...(prefix ? [`--nodedir=${prefix}`] : [])], {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, ...env },
  });
  if (result.status !== 0) {
    note("compiling the addon failed, see above.");
    return false;
  }
  return true;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const built = buildNative();
  // A compiler that is there and fails is an error for the people who work on this package, not for its users.
  if (!built && process.env.KVM_BINDING_REQUIRE_NATIVE) process.exitCode = 1;
}
