// Puts the built addon where node-gyp-build looks for prebuilt ones. Run before publishing, on Linux x86-64.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const built = `${root}build/Release/kvm_binding.node`;

if (process.platform !== "linux" || process.arch !== "x64" || !existsSync(built)) {
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
