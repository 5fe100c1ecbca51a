// Builds the addon and puts it where node-gyp-build looks for prebuilt ones. Run before packing, on Linux x86-64.
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { buildNative } from "./build-native.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const built = `${root}build/Release/kvm_binding.node`;

// One of older sources must not be packed.
rmSync(`${root}prebuilds`, { recursive: true, force: true });
if (!buildNative()) {
  process.stderr.write(
    "\n*** No addon to pack (build it on Linux x86-64 first): this package will compile when installed.\n\n",
  );
  if (process.env.KVM_BINDING_REQUIRE_NATIVE) process.exit(1);
} else {
  mkdirSync(`${root}prebuilds/linux-x64`, { recursive: true });
  // Node-API: one binary for every version of Node; linked to glibc.
  const target = `${root}prebuilds/linux-x64/kvm-binding.napi.glibc.node`;
  copyFileSync(built, target);
  spawnSync("strip", ["--strip-unneeded", target], { stdio: "inherit" });
}
