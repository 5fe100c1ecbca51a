import { expect, it } from "vitest";
import { Kvm, MpState, Vcpu } from "../src/index.js";
import * as guests from "./guests.js";
import {
  describeKvm,
  eventually,
  Machine,
  message,
  protectedMode,
  realMode,
  resources,
  startWorker,
} from "./support.js";

const code = (code: string) => expect.objectContaining({ code });

describeKvm("threads", () => {
  it("kicks a running vCPU out of the guest, promptly and every time", async () => {
    using machine = new Machine(guests.spin);
    realMode(machine.vcpu);
    const rounds = 300;
    const count = new Int32Array(new SharedArrayBuffer(4));
    const worker = await startWorker(
      `const vcpu = kvm.Vcpu.attach(data.handle);
       for (;;) {
         const { reason } = vcpu.run();
         const count = Atomics.add(data.count, 0, 1) + 1;
         if (reason !== "intr" || count === data.rounds) { parentPort.postMessage(reason); break; }
       }
       vcpu.dispose();`,
      { handle: machine.vcpu.handle, count, rounds },
    );
    const done = message(worker);
    const start = performance.now();
    for (let i = 0; i < rounds; i++) {
      machine.vcpu.kick();
      // Every kick gives one return of run, however it falls: before, in the middle of or after another.
      const end = Date.now() + 5000;
      while (Atomics.load(count, 0) <= i) if (Date.now() > end) throw new Error(`kick ${i} was lost`);
    }
    const each = (performance.now() - start) / rounds;
    expect(await done).toBe("intr");
    expect(each).toBeLessThan(50);
    await worker.terminate();
  });

  it("remembers a kick for the next run", () => {
    using machine = new Machine(guests.outLoop);
    realMode(machine.vcpu);
    expect(machine.vcpu.run().reason).toBe("io");
    machine.vcpu.kick();
    expect(machine.vcpu.run().reason).toBe("intr");
    expect(machine.vcpu.run().reason).toBe("io");
  });

  it("turns a second thread away while a vCPU runs", async () => {
    using machine = new Machine(guests.spin);
    realMode(machine.vcpu);
    const stop = new Int32Array(new SharedArrayBuffer(4));
    // Whoever comes first has the vCPU, and anybody's signal may end a run: then the worker gets it back by a kick.
    const worker = await startWorker(
      `const vcpu = kvm.Vcpu.attach(data.handle);
       parentPort.postMessage("running");
       while (Atomics.load(data.stop, 0) === 0) {
         try { vcpu.run(); } catch (error) { if (error.code !== "busy") throw error; vcpu.kick(); }
       }
       vcpu.dispose();
       parentPort.postMessage("out");`,
      { handle: machine.vcpu.handle, stop },
    );
    await message(worker);
    for (const use of [
      () => machine.vcpu.getRegs(),
      () => machine.vcpu.run(),
      () => machine.vcpu.setSignalMask(null),
    ]) {
      await eventually(() => {
        try {
          use();
          return false;
        } catch (error) {
          expect(error).toEqual(code("busy"));
          return true;
        }
      });
    }
    Atomics.store(stop, 0, 1);
    machine.vcpu.kick();
    expect(await message(worker)).toBe("out");
    expect(machine.vcpu.getRegs().rip).toBe(0x1000n);
    await worker.terminate();
  });

  for (const [name, program] of Object.entries({ spin: guests.spin, outLoop: guests.outLoop })) {
    it(`releases everything when a worker is terminated in the middle of a run (${name})`, async () => {
      const kvm = Kvm.open();
      await (await startWorker("parentPort.postMessage(0)", 0)).terminate();
      const before = resources();
      for (let round = 0; round < 5; round++) {
        const worker = await startWorker(
          `const machine = kvm.Kvm.attach(data.kvm).createVm();
           const memory = kvm.createSharedMemory(65536);
           memory.set(data.program, 0x1000);
           machine.setUserMemoryRegion({ slot: 0, guestPhysAddr: 0, memory });
           const more = kvm.GuestMemory.create(1 << 20);
           more.window();
           machine.setUserMemoryRegion({ slot: 1, guestPhysAddr: 1 << 20, memory: more });
           const event = kvm.EventFd.create();
           event.watch(() => {});
           const vcpu = machine.createVcpu(0);
           const sregs = vcpu.getSregs();
           sregs.cs.$assign({ base: 0n, selector: 0 });
           vcpu.setSregs(sregs);
           vcpu.setRegs({ rip: 0x1000n, rflags: 2n });
           parentPort.postMessage("running");
           for (;;) vcpu.run();`,
          { kvm: kvm.handle, program },
        );
        await message(worker);
        await new Promise((resolve) => setTimeout(resolve, 30));
        const start = performance.now();
        await worker.terminate();
        expect(performance.now() - start).toBeLessThan(1000);
      }
      const after = resources();
      expect(after.kvmDescriptors).toBe(before.kvmDescriptors);
      expect(after.kvmMaps).toBe(before.kvmMaps);
      expect(after.threads).toBe(before.threads);
      kvm.dispose();
    });
  }

  it("ends a worker that waits for an eventfd", async () => {
    const worker = await startWorker(
      `const event = kvm.EventFd.create();
       const end = Date.now() + 100;
       if (event.wait(100) || Date.now() < end) throw new Error("did not wait");
       parentPort.postMessage("waiting");
       event.wait(1_000_000);`,
      0,
    );
    await message(worker);
    await new Promise((resolve) => setTimeout(resolve, 30));
    const start = performance.now();
    await worker.terminate();
    expect(performance.now() - start).toBeLessThan(1000);
  });

  it("takes memory of a thread that ended away from the guest", async () => {
    using machine = new Machine(guests.outLoop);
    const worker = await startWorker(
      `const vm = kvm.Vm.attach(data);
       vm.setUserMemoryRegion({ slot: 3, guestPhysAddr: 0x100000, memory: kvm.createSharedMemory(4096) });
       setInterval(() => {}, 1000); // stays until it is terminated
       parentPort.postMessage("set");`,
      machine.vm.handle,
    );
    await message(worker);
    expect(() => machine.vm.getDirtyLog(3, new Uint8Array(4))).toThrow(code("too-small"));
    await worker.terminate();
    expect(() => machine.vm.getDirtyLog(3, new Uint8Array(8))).toThrow(code("not-found"));
    expect(() => machine.vm.deleteUserMemoryRegion(3)).toThrow(code("not-found"));
    machine.vm.deleteUserMemoryRegion(0);
  });

  it("lets memory go when another thread was the last to hold the VM", async () => {
    const machine = new Machine(guests.outLoop);
    const worker = await startWorker(
      `const vcpu = kvm.Vcpu.attach(data);
       parentPort.postMessage("attached");
       parentPort.once("message", () => { vcpu.dispose(); parentPort.postMessage("gone"); });`,
      machine.vcpu.handle,
    );
    await message(worker);
    const { handle } = machine.vcpu;
    machine[Symbol.dispose]();
    const again = Vcpu.attach(handle); // the worker still has it
    again.dispose();
    worker.postMessage("go");
    expect(await message(worker)).toBe("gone");
    expect(() => Vcpu.attach(handle)).toThrow(code("closed"));
    await worker.terminate();
  });

  it("starts a second processor", async () => {
    const machine = new Machine(guests.startOther, (vm) => vm.createIrqchip());
    machine.memory.set(guests.other, 0x8000);
    using second = machine.vm.createVcpu(1);
    expect(second.getMpState()).toBe(MpState.UNINITIALIZED);
    protectedMode(machine.vcpu);
    const body = `const vcpu = kvm.Vcpu.attach(data);
       parentPort.postMessage("started");
       for (;;) {
         const exit = vcpu.run();
         if (exit.reason === "io") { parentPort.postMessage([exit.port, exit.value]); break; }
         if (exit.reason !== "intr") throw new Error(exit.reason);
       }
       vcpu.dispose();`;
    const other = await startWorker(body, second.handle);
    await message(other);
    const boot = await startWorker(body, machine.vcpu.handle);
    await message(boot);
    // The other has no more to say, but may fail.
    expect(await Promise.race([message(boot), message(other)])).toEqual([0x10, 0xcafe]);
    await Promise.all([boot.terminate(), other.terminate()]);
    expect(second.getMpState()).toBe(MpState.HALTED);
    machine[Symbol.dispose]();
  });
});
