// Calls the whole API with random arguments, for some time: node fuzz-program.mjs <module> <milliseconds> <seed>
// Only KvmErrors may come out (a bare TypeError is a failure too), and the process must live to print what it did.
import { once } from "node:events";
import { isMainThread, Worker, workerData } from "node:worker_threads";

const [file, milliseconds, seed] = isMainThread ? process.argv.slice(2) : [workerData.file];
const kvm = await import(file);

if (!isMainThread) {
  // Gets the other thread out of whatever guest it is in, by the number it left.
  for (;;) {
    Atomics.wait(workerData.current, 1, 0, 2);
    if (Atomics.load(workerData.current, 1) === 1) break;
    const handle = Atomics.load(workerData.current, 0);
    if (handle === 0) continue;
    try {
      const vcpu = kvm.Vcpu.attach(handle);
      vcpu.kick();
      vcpu.dispose();
    } catch (error) {
      if (error.code !== "closed") throw error;
    }
  }
} else {
  await main();
}

async function main() {
  let state = Number(seed) >>> 0 || 1;
  const random = (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
  const pick = (list) => list[random(list.length)];

  const current = new Int32Array(new SharedArrayBuffer(8));
  const kicker = new Worker(new URL(import.meta.url), { workerData: { file, current } });
  await once(kicker, "online");

  const system = kvm.Kvm.open();
  const structures = [
    kvm.Regs,
    kvm.Sregs,
    kvm.Sregs2,
    kvm.Fpu,
    kvm.Xcrs,
    kvm.DebugRegs,
    kvm.LapicState,
    kvm.VcpuEvents,
  ];
  structures.push(
    kvm.NestedStateHeader,
    kvm.GuestDebug,
    kvm.Irqchip,
    kvm.PitState,
    kvm.ClockData,
    kvm.Msi,
    kvm.MachineCheck,
  );
  const lists = [kvm.Cpuid, kvm.Msrs, kvm.IrqRouting];
  const shared = kvm.createSharedMemory(1 << 20);
  const pool = [system];

  const bytes = (length) => Uint8Array.from({ length }, () => (random(3) === 0 ? random(256) : 0));
  const numbers = [0, 1, 2, 3, 4, 8, 16, 24, 200, 4095, 4096, 8192, 65536, 1 << 20, 2 ** 31, 2 ** 32 - 1, 2 ** 32];
  const odd = [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 40, 2 ** 45, 2 ** 53, 2 ** 60, -(2 ** 31)];
  const makers = [
    () => pick(numbers),
    () => pick(numbers),
    () => pick(odd),
    () => BigInt(pick(numbers)),
    () => pick([-1n, 2n ** 64n - 1n, 2n ** 64n, 2n ** 63n]),
    () => pick([undefined, null, true, false, "", "/dev/kvm", Symbol("s"), {}, [], () => {}, new Map()]),
    () => pick(pool),
    () => bytes(pick([0, 1, 4, 8, 64, 512, 4096, 8192])),
    () => pick([shared, shared.subarray(1), shared.subarray(4096), new Uint8Array(4096), new DataView(shared.buffer)]),
    () => {
      const view = pick(structures).create();
      view.$bytes.set(bytes(view.$bytes.length));
      return view;
    },
    () => pick(structures).create(),
    () => {
      const list = pick(lists).create(random(300));
      list.bytes.set(bytes(Math.min(list.bytes.length, 64)), Math.max(0, list.bytes.length - 64));
      if (random(4) === 0) new DataView(list.bytes.buffer).setUint32(0, pick(numbers) >>> 0, true);
      return list;
    },
    () => Array.from({ length: random(6) }, () => pick(makers)()),
    () => Array.from({ length: random(4) }, () => BigInt(pick(numbers))),
    () => ({ slot: random(4), guestPhysAddr: random(16) << 16, memory: pick([shared, pick(pool)]), flags: random(4) }),
    () => ({
      slot: pick(numbers),
      guestPhysAddr: pick(numbers),
      memory: shared,
      offset: pick(numbers),
      size: pick(numbers),
    }),
    () => ({
      event: pick(pool),
      address: pick(numbers),
      length: random(9),
      pio: random(2) === 0,
      datamatch: pick(numbers),
    }),
    () => ({
      ...{ slot: random(6), guestPhysAddr: random(64) << 16, guestMemfd: pick(pool), flags: random(2) },
      ...{ guestMemfdOffset: pick(numbers), size: pick([undefined, 4096, ...numbers]) },
    }),
    () => kvm.registerId.msr(pick([0x10, 0x174, 0xc0000080, 0xffff0000])),
    () => ({ event: pick(pool), gsi: random(30), resample: random(3) === 0 ? pick(pool) : undefined }),
    () => ({ flags: random(4), base: pick(numbers), count: pick(numbers), bitmap: bytes(64) }),
  ];

  /** Everything a caller can reach on an object, and on the classes themselves. */
  const members = (target) => {
    const names = [];
    for (
      let at = target;
      at !== null && at !== Object.prototype && at !== Function.prototype;
      at = Object.getPrototypeOf(at)
    ) {
      names.push(...Object.getOwnPropertyNames(at));
    }
    return [...new Set(names)].filter(
      (name) => !["constructor", "prototype", "length", "name", "arguments", "caller"].includes(name),
    );
  };
  const classes = [kvm.Kvm, kvm.Vm, kvm.Vcpu, kvm.EventFd, kvm.GuestMemory, kvm.GuestMemfd, kvm.Device, kvm.Stats];
  const free = { createSharedMemory: kvm.createSharedMemory, dirtyBitmapBytes: kvm.dirtyBitmapBytes };
  const usable = (value) => [...classes, kvm.CoalescedMmioRing, kvm.DirtyRing].some((type) => value instanceof type);

  /** Exits, run pages and structures, kept for longer than what they show; not handles, so they are tried apart. */
  const views = [];
  const isView = (value) => typeof value === "object" && value !== null && ("$bytes" in value || "reason" in value);

  /** Reads, and now and then writes, everything of a view, however deep. */
  const visit = (view, depth = 0) => {
    // Of this package's own objects, not of JavaScript's.
    if (typeof view !== "object" || view === null || Array.isArray(view) || view instanceof Map) return;
    if (ArrayBuffer.isView(view) || view instanceof ArrayBuffer || usable(view) || depth > 4) return;
    for (const name of new Set([...members(view), "$bytes", "$object"])) {
      names.add(name);
      try {
        if (random(8) === 0 && typeof view[name] !== "function") view[name] = pick(makers)();
        const value = typeof view[name] === "function" ? view[name](...[pick(makers)(), pick(makers)()]) : view[name];
        visit(value, depth + 1);
      } catch (error) {
        // Assigning to what can only be read is JavaScript's own affair.
        const readOnly = error instanceof TypeError && /only a getter|read only|not extensible/.test(error.message);
        if (!(error instanceof kvm.KvmError) && !readOnly) {
          console.error(`view ${view.constructor.name}.${name} threw`, error);
          process.exit(2);
        }
      }
    }
  };

  const newVm = () => {
    const vm = system.createVm();
    if (random(2) === 0) vm.enableCap(kvm.Cap.DIRTY_LOG_RING, [65536n]);
    if (random(2) === 0) vm.createIrqchip();
    if (random(2) === 0) vm.setUserMemoryRegion({ slot: 0, guestPhysAddr: 0, memory: shared });
    return vm;
  };

  const outcomes = new Map();
  const names = new Set();
  const end = Date.now() + Number(milliseconds);
  let calls = 0;
  // A busy machine gets more time for the calls that make it a test.
  while (Date.now() < end || (calls < 1500 && Date.now() < end + 60_000)) {
    const target = random(12) === 0 ? pick([...classes, free]) : pick(pool);
    const name = pick(members(target));
    if (name === "dispose" && (target === system || random(10) !== 0)) continue;
    const values = Array.from({ length: random(5) }, () => pick(makers)());
    if (name === "wait") values[0] = random(3);
    calls++;
    names.add(name);
    let outcome = "ok";
    try {
      if (name === "run") Atomics.store(current, 0, target.handle);
      const member = target[name];
      const result = typeof member === "function" ? member.apply(target, values) : member;
      if (usable(result)) pool.push(result);
      else if (isView(result)) views.push(result);
    } catch (error) {
      if (!(error instanceof kvm.KvmError)) {
        console.error(`${target.constructor.name}.${name}(`, values, ") threw", error);
        process.exit(2);
      }
      outcome = error.code;
    }
    Atomics.store(current, 0, 0);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    if (random(30) === 0 && views.length > 0) visit(pick(views));
    while (views.length > 60) views.splice(random(views.length), 1);
    // Something of each kind to work on, and not too much.
    if (random(20) === 0) {
      try {
        pool.push(pick([newVm, () => kvm.EventFd.create(), () => kvm.GuestMemory.create(65536)])());
        const machines = pool.filter((item) => item instanceof kvm.Vm);
        if (machines.length > 0) {
          const machine = pick(machines);
          pool.push(machine.createVcpu(random(3)));
          pool.push(pick([() => machine.getStatsFd(), () => machine.createGuestMemfd(65536, pick([0, 1, 3]))])());
        }
        const processors = pool.filter((item) => item instanceof kvm.Vcpu);
        if (processors.length > 0) {
          pool.push(pick(processors).coalescedMmioRing(random(3)));
          pool.push(pick(processors).dirtyRing());
        }
      } catch (error) {
        if (!(error instanceof kvm.KvmError)) throw error;
      }
    }
    while (pool.length > 40) pool.splice(1 + random(pool.length - 1), 1)[0].dispose?.();
    if (calls % 200 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  Atomics.store(current, 1, 1);
  await once(kicker, "exit");
  console.log(JSON.stringify({ calls, members: names.size, outcomes: Object.fromEntries(outcomes) }));
  process.exit(0);
}
