// Makes and drops small machines, some by hand, some by garbage collection, some by ending the worker that runs them:
// node cycles-program.mjs <module> <count>. For runs under AddressSanitizer.
import { once } from "node:events";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

const [file, count] = isMainThread ? process.argv.slice(2) : [workerData];
const kvm = await import(file);
const system = kvm.Kvm.open();

/** A vCPU that runs for ever, with a slot of each kind of memory. */
function machine() {
  const vm = system.createVm();
  const memory = kvm.GuestMemory.create(65536);
  new Uint8Array(memory.window()).set([0xeb, 0xfe], 0x1000); // jmp to itself
  vm.setUserMemoryRegion({ slot: 0, guestPhysAddr: 0, memory });
  vm.setUserMemoryRegion({ slot: 1, guestPhysAddr: 65536, memory: kvm.createSharedMemory(65536) });
  const event = kvm.EventFd.create();
  event.watch(() => {});
  const vcpu = vm.createVcpu(0);
  const sregs = vcpu.getSregs();
  sregs.cs.$assign({ base: 0n, selector: 0 });
  vcpu.setSregs(sregs);
  vcpu.setRegs({ rip: 0x1000n, rflags: 2n });
  return { vm, memory, event, vcpu };
}

if (isMainThread) {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc");
  for (let i = 0; i < Number(count); i++) {
    const { vm, memory, event, vcpu } = machine();
    vcpu.kick();
    vcpu.run();
    event.unwatch();
    if (i % 2 === 0) for (const handle of [vm, vcpu, event, memory]) handle.dispose();
    if (i % 10 === 9) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
  for (let i = 0; i < 5; i++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: file });
    await once(worker, "message");
    await worker.terminate();
  }
  system.dispose();
} else {
  const { vcpu } = machine();
  parentPort.postMessage("running");
  for (;;) vcpu.run();
}
