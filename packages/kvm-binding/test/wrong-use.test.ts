import { describe, expect, it } from "vitest";
import {
  Cap,
  Cpuid,
  createSharedMemory,
  EventFd,
  GuestMemory,
  Kvm,
  KvmError,
  KvmUnavailable,
  Regs,
  Vcpu,
  Vm,
} from "../src/index.js";
import * as guests from "./guests.js";
import { describeKvm, Machine, realMode } from "./support.js";

const code = (code: string) => expect.objectContaining({ name: "KvmError", code });

describeKvm("wrong use", () => {
  it("is told from bad memory", () => {
    using machine = new Machine(guests.spin);
    const { vm } = machine;
    const memory = createSharedMemory(0x3000);
    const set = (region: object) => () =>
      vm.setUserMemoryRegion({ slot: 5, guestPhysAddr: 0x100000, memory, ...region });
    expect(set({ guestPhysAddr: 0x8000 })).toThrow(code("overlap"));
    expect(set({ guestPhysAddr: 0x100001 })).toThrow(code("invalid-argument"));
    expect(set({ guestPhysAddr: -4096 })).toThrow(code("out-of-range"));
    expect(set({ guestPhysAddr: 2n ** 64n })).toThrow(code("out-of-range"));
    expect(set({ guestPhysAddr: 2n ** 63n })).toThrow(code("invalid-argument"));
    expect(set({ slot: 1e6 })).toThrow(KvmError);
    expect(set({ slot: -1 })).toThrow(code("out-of-range"));
    expect(set({ flags: 0xff })).toThrow(code("invalid-argument"));
    expect(set({ size: 0x4000 })).toThrow(code("out-of-range"));
    expect(set({ size: 0 })).toThrow(code("out-of-range"));
    expect(set({ offset: 0x10 })).toThrow(code("misaligned"));
    expect(set({ offset: 0x4000 })).toThrow(code("out-of-range"));
    expect(set({ size: 0x1001 })).toThrow(code("invalid-argument"));
    expect(set({ memory: new Uint8Array(0x3000) })).toThrow(code("not-shared"));
    expect(set({ memory: new Uint8Array(new SharedArrayBuffer(0x3000)).subarray(1), size: 4096 })).toThrow(KvmError);
    expect(set({ memory: new DataView(memory.buffer) })).toThrow(code("invalid-argument"));
    expect(set({ memory: null })).toThrow(code("invalid-argument"));
    expect(set({ memory: {} })).toThrow(KvmError);
    expect(() => vm.setUserMemoryRegion(undefined as never)).toThrow(code("invalid-argument"));
    expect(() => vm.deleteUserMemoryRegion(5)).toThrow(code("not-found"));
    set({})();
    vm.deleteUserMemoryRegion(5);
  });

  it("is told from closed handles", () => {
    const machine = new Machine(guests.spin);
    const { vcpu, vm, kvm } = machine;
    realMode(vcpu);
    const { runPage } = vcpu;
    machine[Symbol.dispose]();
    machine[Symbol.dispose]();
    for (const use of [
      () => vcpu.run(),
      () => vcpu.getRegs(),
      () => vcpu.kick(),
      () => vcpu.fd,
      () => vcpu.handle,
      () => vcpu.runPage,
      () => vm.createVcpu(1),
      () => vm.irqLine(1, true),
      () => vm.getDirtyLog(0, new Uint8Array(8)),
      () => kvm.createVm(),
      () => kvm.checkExtension(Cap.IRQCHIP),
    ]) {
      expect(use).toThrow(code("closed"));
    }
    // The run page is gone; a view that was kept cannot reach it.
    expect(() => runPage.exit_reason).toThrow(code("closed"));
    expect(() => runPage.exit.io.port).toThrow(code("closed"));
    expect(() => Vcpu.attach(123456789)).toThrow(code("closed"));
    expect(() => Vm.attach(-1)).toThrow(code("invalid-argument"));
    expect(() => Vm.attach(1.5)).toThrow(code("invalid-argument"));
  });

  it("is told from handles of another kind", () => {
    using machine = new Machine(guests.spin);
    using event = EventFd.create();
    expect(() => Vcpu.attach(machine.vm.handle)).toThrow(code("closed"));
    expect(() => machine.vm.irqfd({ event: machine.vm as never, gsi: 1 })).toThrow(code("invalid-argument"));
    expect(() => machine.vm.irqfd({ event, gsi: 1 })).toThrow(KvmError); // there is no irqchip
    expect(() => event.watch(5 as never)).toThrow(code("invalid-argument"));
  });

  it("is told from huge counts and short buffers", () => {
    using machine = new Machine(guests.spin);
    const { vcpu, vm } = machine;
    expect(() => vcpu.setCpuid2(Cpuid.create(100_000))).toThrow(KvmError);
    const list = Cpuid.create(3);
    new DataView(list.bytes.buffer).setUint32(0, 0xffffffff, true);
    expect(() => vcpu.setCpuid2(list)).toThrow(code("too-small"));
    expect(() => vcpu.setXsave(new Uint8Array(100))).toThrow(code("too-small"));
    expect(() => vcpu.getXsave2(2 ** 40)).toThrow(code("out-of-range"));
    expect(() => vcpu.getMsrs(Array.from({ length: 10_000 }, () => 0x10))).toThrow(code("too-big"));
    expect(() => vm.getDirtyLog(0, new Uint8Array(1))).toThrow(code("too-small"));
    expect(() => vm.clearDirtyLog(0, 0, 0xffffffff, new Uint8Array(64))).toThrow(code("too-small"));
    expect(() => vm.createVcpu(2 ** 31)).toThrow(KvmError);
    expect(() => vm.createVcpu(0)).toThrow(code("exists"));
    expect(() => vm.setGsiRouting(Array.from({ length: 10_000 }, () => ({ gsi: 1 })))).toThrow(KvmError);
    expect(() => vcpu.setRegs({ rip: 5 as never })).toThrow(code("invalid-argument"));
    expect(() => vcpu.getRegs(Cpuid as never)).toThrow(code("invalid-argument"));
    expect(() => vcpu.setSregs(Regs.create() as never)).toThrow(code("invalid-argument"));
    expect(() => vcpu.enableCap(163, [0x1000n])).toThrow(code("unsupported"));
    expect(() => vcpu.dirtyRing()).toThrow(code("not-found"));
    expect(() => vcpu.getDeviceAttr(0, 0, 5000)).toThrow(code("out-of-range"));
    expect(() => createSharedMemory(2 ** 33)).toThrow(code("out-of-range"));
    expect(() => createSharedMemory(0)).toThrow(code("out-of-range"));
    expect(() => GuestMemory.create(4097)).toThrow(code("misaligned"));
    expect(() => GuestMemory.create(2 ** 52)).toThrow(code("out-of-range"));
    using memory = GuestMemory.create(8192);
    expect(() => memory.window(4096, 8192)).toThrow(code("out-of-range"));
    expect(() => memory.window(1, 4096)).toThrow(code("misaligned"));
    expect(() => memory.window(-4096)).toThrow(code("out-of-range"));
    expect(() => memory.closeWindow(new ArrayBuffer(4096))).toThrow(code("invalid-argument"));
  });

  it("leaves a guest that cannot go on with its exit", () => {
    using machine = new Machine(guests.spin);
    machine.vm.deleteUserMemoryRegion(0);
    realMode(machine.vcpu);
    const exit = machine.vcpu.run();
    expect(["mmio", "internal-error"]).toContain(exit.reason);
  });
});

describe("without KVM", () => {
  it("says there is no device, or that opening it is not allowed", () => {
    const no = Kvm.unavailable("/dev/no-such-kvm");
    expect(no).toBeInstanceOf(KvmUnavailable);
    if (process.platform !== "linux") {
      expect(no!.reason).toBe("not-linux");
      return;
    }
    expect(no!.reason).toBe("no-device");
    // A device that is something else: it opens, but does not speak.
    expect(Kvm.unavailable("/dev/null")).toEqual(
      expect.objectContaining({ reason: expect.stringMatching(/blocked|no-addon/) }),
    );
    expect(() => Kvm.open(5 as never)).toThrow(KvmError);
  });
});
