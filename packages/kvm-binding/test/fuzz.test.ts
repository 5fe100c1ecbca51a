import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { bundled, describeKvm } from "./support.js";

/** Minutes and more with time. */
const milliseconds = Number(process.env.KVM_BINDING_FUZZ_MS ?? 4000);
const seed = Number(process.env.KVM_BINDING_FUZZ_SEED ?? Date.now() % 2 ** 31);

describeKvm("the whole API", () => {
  it(`survives random arguments (seed ${seed})`, { timeout: milliseconds + 120_000 }, async () => {
    const program = fileURLToPath(new URL("fuzz-program.mjs", import.meta.url));
    const child = spawn(process.execPath, [program, await bundled(), String(milliseconds), String(seed)]);
    let output = "";
    let errors = "";
    child.stdout.on("data", (data) => (output += data));
    child.stderr.on("data", (data) => (errors += data));
    const [status, signal] = await once(child, "close");
    expect({ status, signal, errors }).toEqual({ status: 0, signal: null, errors: "" });
    const { calls, members, outcomes } = JSON.parse(output);
    expect(calls).toBeGreaterThan(1000);
    expect(members).toBeGreaterThan(90);
    expect(outcomes.ok).toBeGreaterThan(calls / 20);
  });
});
