/** The exit round trips and latencies of exits.mjs as rows of the benchmark table. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Kvm } from "@softmetal/kvm-binding";

export const title = "KVM exits, against a C loop over the same ioctls";

export async function run({ say }) {
  const reason = Kvm.unavailable();
  if (reason) {
    say(`KVM cannot be used here: ${reason.message}`);
    return [];
  }
  const script = fileURLToPath(new URL("exits.mjs", import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [script], { encoding: "utf8" });
  if (status !== 0) throw new Error(`exits.mjs failed: ${stderr}`);
  const result = JSON.parse(stdout);
  const exits = ["io", "mmio"].map((kind) => ({
    what: `${kind === "io" ? "port I/O" : "MMIO"} exit`,
    ours: result[kind].js.median,
    peer: result[kind].c.median,
    unit: "ns",
    ratio: result[kind].ratio.median,
    note: "C loop",
  }));
  const latency = (what, { median, p95 }) => ({ what, ours: median, unit: "ns", note: `95th percentile ${p95}` });
  return [
    ...exits,
    latency("guest's write to event loop (ioeventfd)", result.ioeventfdToEventLoop),
    latency("program to guest's handler (irqfd)", result.irqfdToGuest),
  ];
}
