import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { createSharedMemory, EventFd, GuestMemory, Kvm } from "../src/index.js";
import * as guests from "./guests.js";
import { bundled, describeKvm, realMode, resources } from "./support.js";

/** How many small machines to make; 100,000 and more with time. */
const cycles = Number(process.env.KVM_BINDING_CYCLES ?? 10_000);

/** What the program's process holds after so many cycles. */
type Sample = Record<"cycles" | "heap" | "resident" | "shared" | "threads" | "descriptors" | "maps", number>;
const counted = ["heap", "resident", "shared", "threads", "descriptors", "maps"] as const;

/**
 * Half of what a leak of one page, or of one thing, for every ten cycles would be. Residence is that of the process's own
 * memory (RssAnon) and of what it shares (RssShmem), in bytes for each cycle.
 */
const most: Record<(typeof counted)[number], number> = {
  ...{ heap: 4096 / 20, resident: 4096 / 20, shared: 4096 / 20, descriptors: 1 / 20, maps: 1 / 20 },
  threads: 1 / 200, // of one for every hundred cycles
};

/** Runs the cycles in a process of their own, whose heap is small and whose collector and allocator keep nothing back. */
async function sampled(count: number, leak?: string): Promise<Sample[]> {
  const program = fileURLToPath(new URL("leak-program.mjs", import.meta.url));
  const flags = ["--expose-gc", "--single-threaded", "--max-semi-space-size=1"];
  const args = [...flags, program, await bundled(), String(count), ...(leak === undefined ? [] : [leak])];
  const env = { ...process.env, MALLOC_ARENA_MAX: "1", MALLOC_TRIM_THRESHOLD_: "0" };
  const child = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let errors = "";
  child.stdout.on("data", (data) => (output += data));
  child.stderr.on("data", (data) => (errors += data));
  const [status] = await once(child, "close");
  expect({ status, errors }).toEqual({ status: 0, errors: "" });
  return JSON.parse(output) as Sample[];
}

/**
 * Growth for each cycle in the second half, when caches are full: the median of the slopes between samples a quarter of
 * that apart. The heap takes and returns half a megabyte at any moment; such a step is in few of the pairs, a leak in all.
 */
function growth(samples: Sample[], what: (typeof counted)[number]): number {
  const half = samples.slice(samples.length >> 1);
  const apart = half.length >> 2;
  const slopes = half
    .slice(apart)
    .map((b, i) => (b[what] - half[i][what]) / (b.cycles - half[i].cycles))
    .sort((a, b) => a - b);
  return slopes[slopes.length >> 1];
}

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;

/** Makes a machine, runs it, and forgets it. */
function forget(kvm: Kvm): void {
  const vm = kvm.createVm();
  const memory = GuestMemory.create(65536);
  new Uint8Array(memory.window(), 0x1000).set(guests.outLoop);
  vm.setUserMemoryRegion({ slot: 0, guestPhysAddr: 0, memory });
  vm.setUserMemoryRegion({ slot: 1, guestPhysAddr: 65536, memory: shared });
  const event = EventFd.create();
  vm.ioeventfd({ event, address: 0x20, length: 1, pio: true });
  event.watch(() => {});
  const vcpu = vm.createVcpu(0);
  realMode(vcpu);
  vcpu.getStatsFd();
  if (vcpu.run().reason !== "io") throw new Error("did not run");
  event.unwatch();
}
const shared = createSharedMemory(65536);

/** Collects garbage until nothing more happens: finalizers run on the event loop. */
async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describeKvm("leaks", () => {
  it(`has none in ${cycles} cycles of create, run, destroy`, { timeout: 120_000 + cycles * 30 }, async () => {
    const samples = await sampled(cycles);
    const found = counted.map((what) => [what, growth(samples, what)] as const);
    console.log(
      `growth for each of ${cycles} cycles: ${found.map(([what, slope]) => `${what} ${slope.toFixed(3)}`).join(", ")}`,
    );
    for (const [what, slope] of found) expect(slope, `${what} for each cycle`).toBeLessThan(most[what]);
  });

  // The same measurement of the same cycles with a leak: it has to see one.
  for (const [leak, count, kinds] of [
    ["page", 5000, ["resident", "heap"]],
    ["object", 2000, ["heap"]],
    ["descriptor", 500, ["descriptors"]],
    ["map", 500, ["maps", "shared", "descriptors"]],
    ["thread", 1000, ["threads"]],
  ] as const) {
    it(`would see a leaked ${leak}`, { timeout: 120_000 + count * 30 }, async () => {
      const samples = await sampled(count, leak);
      for (const what of kinds) expect(growth(samples, what), what).toBeGreaterThan(most[what]);
    });
  }

  it("releases what is only forgotten", async () => {
    using kvm = Kvm.open();
    await settle();
    const before = resources();
    for (let i = 0; i < 20; i++) forget(kvm);
    expect(resources().kvmDescriptors).toBeGreaterThan(before.kvmDescriptors + 20);
    await settle();
    const after = resources();
    expect(after.kvmDescriptors).toBe(before.kvmDescriptors);
    expect(after.kvmMaps).toBe(before.kvmMaps);
  });
});
