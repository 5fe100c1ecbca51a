// Makes and drops small machines and samples what this process holds, for leaks.test.ts:
// node --expose-gc leak-program.mjs <module> <cycles> [a deliberate leak: page, object, descriptor, map or thread]
// Prints the samples as JSON. A deliberate leak is one thing for every ten cycles (threads: one for every hundred).
import { readdirSync, readFileSync } from "node:fs";
import { Worker } from "node:worker_threads";

const [file, count, leak] = process.argv.slice(2);
const { createSharedMemory, EventFd, GuestMemory, Kvm } = await import(file);
const cycles = Number(count);
const samples = Math.min(100, Math.max(20, cycles / 100));
const program = [0xba, 0x10, 0x00, 0xee, 0xeb, 0xfd]; // mov dx, 0x10; again: out dx, al; jmp again
const kvm = Kvm.open();
const shared = createSharedMemory(65536);
const leaked = [];

const leaks = {
  page: () => Buffer.allocUnsafeSlow(4096).fill(1),
  object: () => Array.from({ length: 512 }, (_, index) => index + 0.5),
  descriptor: () => EventFd.create(),
  map: () => {
    const memory = GuestMemory.create(4096);
    const window = memory.window();
    new Uint8Array(window)[0] = 1;
    return { memory, window };
  },
  thread: () => new Worker("setInterval(() => {}, 1e6)", { eval: true }),
};

function cycle(notify) {
  const vm = kvm.createVm();
  const memory = GuestMemory.create(65536);
  new Uint8Array(memory.window(), 0x1000).set(program);
  vm.setUserMemoryRegion({ slot: 0, guestPhysAddr: 0, memory });
  vm.setUserMemoryRegion({ slot: 1, guestPhysAddr: 65536, memory: shared });
  const event = EventFd.create();
  // It makes the kernel wait some 15 ms when the VM goes, so not all cycles have one.
  if (notify) vm.ioeventfd({ event, address: 0x20, length: 1, pio: true });
  event.watch(() => {});
  const vcpu = vm.createVcpu(0);
  const sregs = vcpu.getSregs();
  sregs.cs.$assign({ base: 0n, selector: 0 });
  vcpu.setSregs(sregs);
  vcpu.setRegs({ rip: 0x1000n, rflags: 2n, rsp: 0x8000n });
  if (vcpu.run().reason !== "io") throw new Error("did not run");
  event.unwatch();
  for (const handle of [vcpu, vm, memory, event]) handle.dispose();
}

/** Finalizers run on the event loop, some only after another collection. */
async function settle() {
  for (let i = 0; i < 3; i++) {
    globalThis.gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function sample(done) {
  const { heapUsed, external } = process.memoryUsage();
  const status = readFileSync("/proc/self/status", "utf8");
  return {
    cycles: done,
    /** Bytes of JavaScript objects, and of what they keep outside the heap. */
    heap: heapUsed + external,
    /** Bytes of this process's own memory that are resident: what shared libraries take is not its doing. */
    resident: Number(/^RssAnon:\s+(\d+) kB/m.exec(status)[1]) * 1024,
    /** The same of files and memory it shares: windows and guest memory. */
    shared: Number(/^RssShmem:\s+(\d+) kB/m.exec(status)[1]) * 1024,
    threads: Number(/^Threads:\s+(\d+)/m.exec(status)[1]),
    descriptors: readdirSync("/proc/self/fd").length,
    maps: readFileSync("/proc/self/maps", "utf8").split("\n").length - 1,
  };
}

const result = [];
let done = 0;
for (let next = 1; next <= samples; next++) {
  while (done < Math.round((next * cycles) / samples)) {
    cycle(done % 50 === 0);
    done++;
    if (leak !== undefined && done % (leak === "thread" ? 100 : 10) === 0) leaked.push(leaks[leak]());
    // The event loop closes watchers, as it does in a program.
    if (done % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await settle();
  result.push(sample(done));
}
console.log(JSON.stringify(result));
process.exit(0);
