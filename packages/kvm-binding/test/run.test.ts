import { expect, it } from "vitest";
import { Cap, createSharedMemory, GuestDebugFlags, GuestMemory, SyncRegsFlags } from "../src/index.js";
import * as guests from "./guests.js";
import { describeKvm, longMode, Machine, protectedMode, realMode, runOn } from "./support.js";

describeKvm("running guests", () => {
  it("exits for port accesses of every size, both ways, and for strings", () => {
    using machine = new Machine(guests.portIo);
    const { vcpu, memory } = machine;
    memory.set(new TextEncoder().encode("hello"), 0x1100);
    realMode(vcpu);
    const log: unknown[] = [];
    const answers = [0x77, 0x8899, 0xa1b2c3d4];
    for (let exit = runOn(vcpu); exit.reason !== "hlt"; exit = runOn(vcpu)) {
      if (exit.reason !== "io") throw new Error(exit.reason);
      if (exit.direction === "in") {
        log.push(["in", exit.port, exit.size]);
        exit.value = answers.shift()!;
      } else if (exit.count > 1) {
        log.push(["string", exit.port, new TextDecoder().decode(exit.data.slice())]);
      } else {
        log.push(["out", exit.port, exit.size, exit.value]);
      }
    }
    // Without hardware support the kernel may hand out a string one byte at a time.
    const characters = log.splice(6).map((entry) => {
      const [kind, port, last, value] = entry as [string, number, unknown, number];
      expect(port).toBe(0x500);
      return kind === "string" ? last : String.fromCharCode(value);
    });
    expect(characters.join("")).toBe("hello");
    expect(log).toEqual([
      ["out", 0x10, 1, 0x5a],
      ["out", 0x3f8, 2, 0x1234],
      ["out", 0x3f8, 4, 0x89abcdef],
      ["in", 0x11, 1],
      ["in", 0x500, 2],
      ["in", 0x500, 4],
    ]);
    const regs = vcpu.getRegs();
    expect(regs.rbx & 0xffn).toBe(0x77n);
    expect(regs.rcx & 0xffffn).toBe(0x8899n);
    expect(regs.rdi & 0xffffffffn).toBe(0xa1b2c3d4n);
  });

  it("exits for accesses to memory that is not there, 1 to 8 bytes", () => {
    using machine = new Machine(guests.mmio64);
    const { vcpu, memory } = machine;
    longMode(vcpu, memory);
    const writes: unknown[] = [];
    for (let exit = runOn(vcpu); exit.reason !== "hlt"; exit = runOn(vcpu)) {
      if (exit.reason !== "mmio") throw new Error(exit.reason);
      if (exit.isWrite) writes.push([exit.physAddr, exit.len, exit.len === 8 ? exit.value64 : exit.value]);
      else if (exit.len === 8) exit.value64 = 0xfedcba9876543210n;
      else exit.data.set([1, 2, 3, 4]);
      if (exit.len === 8) expect(() => exit.value).toThrow("8 bytes");
    }
    expect(writes).toEqual([
      [0x80000000, 1, 0x11],
      [0x80000010, 2, 0x2233],
      [0x80000020, 4, 0x44556677],
      [0x80000030, 8, 0x0123456789abcdefn],
    ]);
    const regs = vcpu.getRegs();
    expect([regs.rcx, regs.rdx]).toEqual([0xfedcba9876543210n, 0x04030201n]);
  });

  it("runs protected mode with a stack", () => {
    using machine = new Machine(guests.protectedSum);
    protectedMode(machine.vcpu, { rcx: 1000n });
    const exit = runOn(machine.vcpu);
    expect(exit.reason === "io" && exit.value).toBe(500500);
    expect(runOn(machine.vcpu).reason).toBe("hlt");
  });

  it("runs a load in user mode", () => {
    using machine = new Machine(guests.userLoad);
    const turns = 1_000_000n;
    longMode(machine.vcpu, machine.memory, { rcx: turns }, 3);
    const exit = runOn(machine.vcpu);
    expect(exit.reason === "io" && exit.port).toBe(0x10);
    let expected = 0n;
    for (let i = turns; i > 0n; i--) {
      expected = BigInt.asUintN(64, expected + i);
      expected = BigInt.asUintN(64, (expected << 7n) | (expected >> 57n)) ^ i;
    }
    expect(machine.vcpu.getRegs().rbx).toBe(expected);
    expect(machine.vcpu.getSregs().cs.dpl).toBe(3);
  });

  it("shuts down on a triple fault", () => {
    using machine = new Machine(guests.fault);
    protectedMode(machine.vcpu);
    expect(runOn(machine.vcpu).reason).toBe("shutdown");
  });

  it("reaches memory above 4 GiB, seen through a window", () => {
    const gibibyte = 2 ** 30;
    const offset = 5 * gibibyte + 0x3000;
    using machine = new Machine(guests.longFar);
    using far = GuestMemory.create(8 * gibibyte);
    machine.vm.setUserMemoryRegion({ slot: 1, guestPhysAddr: 2 ** 32, memory: far });
    longMode(machine.vcpu, machine.memory, { rdi: BigInt(2 ** 32 + offset) });
    expect(runOn(machine.vcpu).reason).toBe("hlt");
    expect(machine.vcpu.getRegs().rbx).toBe(0x1122334455667788n);
    const window = far.window(offset - 0x1000, 0x2000);
    expect(new BigUint64Array(window)[512]).toBe(0x1122334455667788n);
    far.closeWindow(window);
    expect(window.byteLength).toBe(0);
    const upper = far.window(4 * gibibyte);
    expect(upper.byteLength).toBe(4 * gibibyte);
    expect(new DataView(upper).getBigUint64(gibibyte + 0x3000, true)).toBe(0x1122334455667788n);
  });

  it("keeps memory for the guest that nobody else refers to", () => {
    using machine = new Machine(guests.longFar);
    machine.vm.setUserMemoryRegion({ slot: 1, guestPhysAddr: 0x100000, memory: createSharedMemory(0x1000) });
    const memory = GuestMemory.create(0x1000);
    machine.vm.setUserMemoryRegion({ slot: 2, guestPhysAddr: 0x200000, memory });
    memory.dispose();
    (globalThis as { gc?: () => void }).gc?.();
    for (const rdi of [0x100800n, 0x200800n]) {
      longMode(machine.vcpu, machine.memory, { rdi });
      expect(runOn(machine.vcpu).reason).toBe("hlt");
      expect(machine.vcpu.getRegs().rbx).toBe(0x1122334455667788n);
    }
  });

  it("steps through instructions", () => {
    using machine = new Machine(guests.steps);
    protectedMode(machine.vcpu);
    machine.vcpu.setGuestDebug({ control: GuestDebugFlags.ENABLE | GuestDebugFlags.SINGLESTEP });
    const addresses: bigint[] = [];
    for (let i = 0; i < 4; i++) {
      const exit = runOn(machine.vcpu);
      if (exit.reason !== "debug") throw new Error(exit.reason);
      addresses.push(exit.detail.pc);
    }
    expect(addresses).toEqual([0x1005n, 0x1006n, 0x1007n, 0x1008n]);
    machine.vcpu.setGuestDebug({});
    expect(runOn(machine.vcpu).reason).toBe("hlt");
  });

  it("carries registers in the run page", () => {
    using machine = new Machine(guests.portIo);
    const { vcpu, kvm } = machine;
    if (kvm.checkExtension(Cap.SYNC_REGS) === 0) return;
    realMode(vcpu);
    vcpu.runPage.kvm_valid_regs = SyncRegsFlags.REGS | SyncRegsFlags.SREGS;
    vcpu.run();
    expect(vcpu.runPage.s.regs.regs.rax & 0xffn).toBe(0x5an);
    expect(vcpu.runPage.s.regs.sregs.cs.base).toBe(0n);
    // The last two instructions of the program.
    vcpu.runPage.s.regs.regs.rip = BigInt(0x1000 + guests.portIo.length - 1);
    vcpu.runPage.kvm_dirty_regs = SyncRegsFlags.REGS;
    expect(runOn(vcpu).reason).toBe("hlt");
  });

  it("answers CPUID as told and hands out MSR accesses", () => {
    using machine = new Machine(guests.cpuidMsr);
    const { vcpu, vm, kvm } = machine;
    const leaves = [...kvm.getSupportedCpuid()];
    expect(leaves.length).toBeGreaterThan(3);
    vcpu.setCpuid2([...leaves, { function: 0x40000099, eax: 0xabcd }]);
    expect([...vcpu.getCpuid2()].at(-1)!.eax).toBe(0xabcd);
    const INVAL_UNKNOWN = 3n;
    vm.enableCap(Cap.X86_USER_SPACE_MSR, [INVAL_UNKNOWN]);
    expect(vcpu.setMsrs([{ index: 0x176, data: 0x5566n }])).toBe(1);
    expect([...vcpu.getMsrs([0x176])].map((msr) => msr.data)).toEqual([0x5566n]);
    protectedMode(vcpu);
    const log: unknown[] = [];
    for (let exit = runOn(vcpu); exit.reason !== "hlt"; exit = runOn(vcpu)) {
      if (exit.reason === "io") log.push(exit.value);
      else if (exit.reason === "rdmsr") {
        log.push(["rdmsr", exit.detail.index]);
        exit.detail.data = 0x7788n;
      } else if (exit.reason === "wrmsr") log.push(["wrmsr", exit.detail.index, exit.detail.data]);
      else throw new Error(exit.reason);
    }
    expect(log).toEqual([0xabcd, 0x5566, ["rdmsr", 0x12345], 0x7788, ["wrmsr", 0x12345, 0x99n]]);
  });
});
