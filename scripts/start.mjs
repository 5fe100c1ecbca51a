/** `npm start`: boots the default guest to a shell; without a terminal it prints `uname -a` and powers off. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { build, install, root, say } from "./setup.mjs";

install();
say("building");
if (!build("--filter=softmetal...")) {
  say("Building failed; its output is above.");
  process.exit(1);
}

const interactive = process.stdin.isTTY && process.stdout.isTTY;
const args = process.argv.slice(2);
if (!interactive && args.length === 0) args.push("--command", "uname -a");
say("booting the default guest (softmetal run)");
const program = join(root, "packages/cli/dist/softmetal.cjs");
// The terminal's modes and signals are the child's business; this process only waits for it.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
const child = spawn(process.execPath, [program, "run", ...args], { stdio: "inherit" });
child.on("exit", (status, signal) => {
  if (signal) process.kill(process.pid, signal);
  process.exit(status ?? 1);
});
