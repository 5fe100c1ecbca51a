// The exit round trip (port I/O and MMIO) against a C loop over the same ioctls, in alternating runs, and the latencies of
// ioeventfd (guest to event loop) and irqfd (program to guest). Prints JSON; times are in nanoseconds.
// node bench/exits.mjs [exits per run] [runs]
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { createSharedMemory, EventFd, Kvm, Vcpu } from "@softmetal/kvm-binding";

const programs = {
  io: [0xb0, 0x01, 0xba, 0x10, 0x00, 0xee, 0xeb, 0xfd],
  mmio: [0xb8, 0x00, 0xa0, 0x8e, 0xd8, 0xb0, 0x01, 0xa2, 0x00, 0x00, 0xeb, 0xfb],
  // next: out 0x10, al; out 0x60, al (the ioeventfd); out 0x11, al; jmp next
  notify: [0xe6, 0x10, 0xe6, 0x60, 0xe6, 0x11, 0xeb, 0xf8],
  // cli; the PIC's set-up, all but IRQ 4 masked; its handler's address; next: sti; hlt; jmp next. At 0x3c the handler.
  interrupt: [
    ...[0xfa, 0xb0, 0x11, 0xe6, 0x20, 0xb0, 0x20, 0xe6, 0x21, 0xb0, 0x04, 0xe6, 0x21, 0xb0, 0x01, 0xe6, 0x21],
    ...[0xb0, 0xef, 0xe6, 0x21, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x80],
    ...[0xc7, 0x06, 0x90, 0x00, 0x3c, 0x10, 0xc7, 0x06, 0x92, 0x00, 0x00, 0x00, 0xfb, 0xf4, 0xeb, 0xfc],
    ...new Array(0x3c - 46).fill(0x90),
    ...[0xb0, 0x20, 0xe6, 0x20, 0xe6, 0x12, 0xcf], // mov al, 0x20; out 0x20, al; out 0x12, al; iret
  ],
};

function machine(program, prepare = () => {}) {
  const kvm = Kvm.open();
  const vm = kvm.createVm();
  prepare(vm);
  const memory = createSharedMemory(0x10000);
  memory.set(program, 0x1000);
  vm.setUserMemoryRegion({ slot: 0, guestPhysAddr: 0, memory });
  const vcpu = vm.createVcpu(0);
  const sregs = vcpu.getSregs();
  sregs.cs.$assign({ base: 0n, selector: 0 });
  vcpu.setSregs(sregs);
  vcpu.setRegs({ rip: 0x1000n, rflags: 2n });
  return { kvm, vm, vcpu };
}

const median = (list) => list.sort((a, b) => a - b)[list.length >> 1];
const round = (value, digits = 0) => Number(value.toFixed(digits));

function exits(mode, count) {
  const { kvm, vm, vcpu } = machine(programs[mode]);
  let sum = 0;
  let start = 0n;
  const warm = Math.floor(count / 10);
  for (let i = -warm; i < count; i++) {
    if (i === 0) start = process.hrtime.bigint();
    const exit = vcpu.run();
    switch (exit.reason) {
      case "io":
        sum += exit.value;
        break;
      case "mmio":
        sum += exit.value;
        break;
      case "intr":
        i--;
        break;
      default:
        throw new Error(exit.reason);
    }
  }
  const each = Number(process.hrtime.bigint() - start) / count;
  if (sum !== count + warm) throw new Error("exits were lost");
  for (const handle of [vcpu, vm, kvm]) handle.dispose();
  return each;
}

/** The worker runs the guest; `stamp` holds the time (two halves of a bigint) and a turn counter. */
async function latency(kind, rounds) {
  const { kvm, vm, vcpu } = machine(kind === "ioeventfd" ? programs.notify : programs.interrupt, (vm) => {
    if (kind === "irqfd") vm.createIrqchip();
  });
  const event = EventFd.create();
  if (kind === "ioeventfd") vm.ioeventfd({ event, address: 0x60, length: 1, pio: true });
  else vm.irqfd({ event, gsi: 4 });
  const stamp = new BigInt64Array(new SharedArrayBuffer(16));
  const turn = new Int32Array(stamp.buffer, 8, 2);
  const worker = new Worker(new URL(import.meta.url), { workerData: { handle: vcpu.handle, stamp, turn, kind } });
  await new Promise((resolve) => worker.once("message", resolve));
  const times = [];
  if (kind === "ioeventfd") {
    await new Promise((resolve) => {
      event.watch(() => {
        times.push(Number(process.hrtime.bigint() - stamp[0]));
        if (times.length === rounds) resolve();
        Atomics.add(turn, 0, 1);
        Atomics.notify(turn, 0);
      });
      Atomics.add(turn, 0, 1);
      Atomics.notify(turn, 0);
    });
  } else {
    for (let i = 0; i < rounds; i++) {
      // The guest is asleep again by then.
      await new Promise((resolve) => setTimeout(resolve, 2));
      const seen = Atomics.load(turn, 0);
      const start = process.hrtime.bigint();
      event.signal();
      Atomics.wait(turn, 0, seen, 1000);
      times.push(Number(stamp[0] - start));
    }
  }
  event.unwatch();
  await worker.terminate();
  for (const handle of [vcpu, vm, kvm, event]) handle.dispose();
  times.sort((a, b) => a - b);
  return { median: times[times.length >> 1], p95: times[Math.floor(times.length * 0.95)] };
}

if (isMainThread) {
  const count = Number(process.argv[2] ?? 20_000);
  const runs = Number(process.argv[3] ?? 15);
  const folder = mkdtempSync(join(tmpdir(), "exits-"));
  const result = { processor: cpus()[0].model, node: process.version, exits: count, runs };
  try {
    const peer = join(folder, "exits");
    execFileSync("gcc", ["-O2", "-o", peer, fileURLToPath(new URL("exits.c", import.meta.url))]);
    for (const mode of ["io", "mmio"]) {
      const js = [];
      const c = [];
      for (let i = 0; i < runs; i++) {
        js.push(exits(mode, count));
        c.push(Number(execFileSync(peer, [mode, String(count)], { encoding: "utf8" })));
      }
      // The best runs compare the loops; the medians also what else the machine was doing.
      const best = [Math.min(...js), Math.min(...c)];
      const middle = [median(js), median(c)];
      result[mode] = {
        js: { best: round(best[0]), median: round(middle[0]) },
        c: { best: round(best[1]), median: round(middle[1]) },
        ratio: { best: round(best[0] / best[1], 3), median: round(middle[0] / middle[1], 3) },
      };
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  result.ioeventfdToEventLoop = await latency("ioeventfd", 500);
  result.irqfdToGuest = await latency("irqfd", 300);
  console.log(JSON.stringify(result, null, 2));
} else {
  const { handle, stamp, turn, kind } = workerData;
  const vcpu = Vcpu.attach(handle);
  parentPort.postMessage("ready");
  for (let waited = 0; ; ) {
    const exit = vcpu.run();
    if (exit.reason !== "io") continue;
    if (kind === "irqfd") {
      // The first exits are the PIC's set-up, which the kernel keeps to itself; only the handler's port comes here.
      stamp[0] = process.hrtime.bigint();
      Atomics.add(turn, 0, 1);
      Atomics.notify(turn, 0);
    } else if (exit.port === 0x10) {
      while (Atomics.load(turn, 0) === waited) Atomics.wait(turn, 0, waited, 1000);
      waited = Atomics.load(turn, 0);
      stamp[0] = process.hrtime.bigint();
    }
  }
}
