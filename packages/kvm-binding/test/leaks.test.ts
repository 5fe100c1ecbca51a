import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { createSharedMemory, EventFd, GuestMemory, Kvm } from "../src/index.js";
import * as guests from "./guests.js";
import { describeKvm, realMode, resources } from "./support.js";

/** How many small machines to make; 100,000 and more with time. */
const cycles = Number(process.env.KVM_BINDING_CYCLES ?? 1000);

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;

function cycle(kvm: Kvm, dispose: boolean, notify = true): void {
  const vm = kvm.createVm();
  const memory = GuestMemory.create(65536);
  const window = memory.window();
  new Uint8Array(window, 0x1000).set(guests.outLoop);
  vm.setUserMemoryRegion({ slot: 0, guestPhysAddr: 0, memory });
  vm.setUserMemoryRegion({ slot: 1, guestPhysAddr: 65536, memory: shared });
  const event = EventFd.create();
  if (notify) vm.ioeventfd({ event, address: 0x20, length: 1, pio: true });
  event.watch(() => {});
  const vcpu = vm.createVcpu(0);
  realMode(vcpu);
  if (vcpu.run().reason !== "io") throw new Error("did not run");
  event.unwatch();
  if (dispose) for (const handle of [vcpu, vm, memory, event]) handle.dispose();
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
  it(`has none in ${cycles} cycles of create, run, destroy`, { timeout: 30_000 + cycles * 20 }, async () => {
    using kvm = Kvm.open();
    const turn = async (count: number) => {
      for (let i = 0; i < count; i++) {
        // An ioeventfd makes the kernel wait some 15 ms when the VM goes, so not all have one.
        cycle(kvm, true, i % 50 === 0);
        // The event loop closes watchers, as it does in a program.
        if (i % 50 === 49) await new Promise((resolve) => setImmediate(resolve));
      }
      await settle();
      return { ...resources(), resident: process.memoryUsage.rss() };
    };
    const before = await turn(Math.min(300, cycles));
    const after = await turn(cycles);
    expect(after.kvmDescriptors).toBe(before.kvmDescriptors);
    expect(after.kvmMaps).toBe(before.kvmMaps);
    expect(after.threads).toBe(before.threads);
    expect(after.descriptors).toBeLessThanOrEqual(before.descriptors + 2);
    expect(after.maps).toBeLessThanOrEqual(before.maps + 40);
    // The heap breathes; a leak of a page for each machine would be 40 MB in 10,000.
    expect(after.resident - before.resident).toBeLessThan(16e6);
  });

  it("releases what is only forgotten", async () => {
    using kvm = Kvm.open();
    await settle();
    const before = resources();
    for (let i = 0; i < 20; i++) cycle(kvm, false);
    expect(resources().kvmDescriptors).toBeGreaterThan(before.kvmDescriptors + 20);
    await settle();
    const after = resources();
    expect(after.kvmDescriptors).toBe(before.kvmDescriptors);
    expect(after.kvmMaps).toBe(before.kvmMaps);
  });
});
