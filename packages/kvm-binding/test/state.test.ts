import { expect, it } from "vitest";
import { Cap, ClockFlags, createSharedMemory, dirtyBitmapBytes, MemoryFlags, MpState } from "../src/index.js";
import * as guests from "./guests.js";
import { describeKvm, Machine, protectedMode, realMode, runOn } from "./support.js";

describeKvm("state", () => {
  it("tells what the kernel can do", () => {
    using machine = new Machine(guests.spin);
    const { kvm, vm } = machine;
    expect(kvm.getApiVersion()).toBe(12);
    expect(kvm.checkExtension(Cap.USER_MEMORY)).toBe(1);
    expect(kvm.checkExtension(99999)).toBe(0);
    expect(vm.checkExtension(Cap.NR_MEMSLOTS)).toBeGreaterThan(8);
    expect(kvm.getVcpuMmapSize()).toBeGreaterThanOrEqual(4096);
    const vendor = kvm.getSupportedCpuid().get(0);
    expect(vendor.function).toBe(0);
    expect(kvm.getMsrIndexList()).toContain(0x10);
    const features = kvm.getMsrFeatureIndexList();
    if (features.length > 0) expect(kvm.getMsrs(features.slice(0, 1)).length).toBe(1);
  });

  it("reads and writes every set of registers", () => {
    using machine = new Machine(guests.spin, (vm) => vm.createIrqchip());
    const { vcpu, vm, kvm } = machine;
    vcpu.setCpuid2(kvm.getSupportedCpuid());
    protectedMode(vcpu);

    const regs = vcpu.getRegs();
    regs.$assign({ rax: 1n, r15: 0xffffffffffffffffn });
    vcpu.setRegs(regs);
    expect(vcpu.getRegs().$object()).toEqual(regs.$object());

    const sregs = vcpu.getSregs();
    sregs.cr2 = 0x123456789n;
    sregs.gdt.$assign({ base: 0x5000n, limit: 0x37 });
    vcpu.setSregs(sregs);
    expect(vcpu.getSregs().$object()).toEqual(sregs.$object());
    if (kvm.checkExtension(Cap.SREGS2)) {
      const sregs2 = vcpu.getSregs2();
      expect(sregs2.cr2).toBe(0x123456789n);
      sregs2.cr2 = 5n;
      vcpu.setSregs2(sregs2);
      expect(vcpu.getSregs2().cr2).toBe(5n);
    }

    const fpu = vcpu.getFpu();
    fpu.fcw = 0x27f;
    fpu.xmm.set(3, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    vcpu.setFpu(fpu);
    expect([...vcpu.getFpu().xmm.get(3)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    expect(vcpu.getFpu().fcw).toBe(0x27f);

    const area = vcpu.getXsave();
    area[512] |= 3; // XSTATE_BV: x87 and SSE are in the area
    area.set([9, 8, 7], 160 + 3 * 16); // XMM3 in the legacy region
    vcpu.setXsave(area);
    expect([...vcpu.getFpu().xmm.get(3).subarray(0, 4)]).toEqual([9, 8, 7, 0]);
    const whole = vm.checkExtension(Cap.XSAVE2);
    if (whole > 0) expect(vcpu.getXsave2(whole)[160 + 3 * 16]).toBe(9);

    const xcrs = vcpu.getXcrs();
    expect(xcrs.nr_xcrs).toBe(1);
    expect(xcrs.xcrs.get(0).value & 1n).toBe(1n);
    vcpu.setXcrs(xcrs);

    const debug = vcpu.getDebugRegs();
    debug.db.set(0, 0x1234n);
    vcpu.setDebugRegs(debug);
    expect(vcpu.getDebugRegs().db.get(0)).toBe(0x1234n);

    const events = vcpu.getVcpuEvents();
    events.nmi.masked = 1;
    vcpu.setVcpuEvents(events);
    expect(vcpu.getVcpuEvents().nmi.masked).toBe(1);

    expect(vcpu.getMpState()).toBe(MpState.RUNNABLE);
    vcpu.setMpState(MpState.HALTED);
    expect(vcpu.getMpState()).toBe(MpState.HALTED);

    expect(vcpu.setMsrs([{ index: 0x174, data: 8n }])).toBe(1);
    expect(vcpu.setMsrs([{ index: 0x175, data: 9n }, { index: 0xffff0000 }])).toBe(1);
    const read = vcpu.getMsrs([0x174, 0x175, 0xffff0000, 0x10]);
    expect([...read].map((msr) => msr.data)).toEqual([8n, 9n]);
  });

  it("translates addresses, keeps clocks and counters", () => {
    using machine = new Machine(guests.spin, (vm) => vm.createIrqchip());
    const { vcpu, vm } = machine;
    realMode(vcpu);
    const translation = vcpu.translate(0x1234);
    expect([translation.valid, translation.physical_address]).toEqual([1, 0x1234n]);
    vm.setClock({ clock: 5_000_000_000n });
    const clock = vm.getClock();
    expect(clock.clock).toBeGreaterThanOrEqual(5_000_000_000n);
    expect(clock.clock).toBeLessThan(65_000_000_000n);
    expect(clock.flags & ~(ClockFlags.TSC_STABLE | ClockFlags.REALTIME | ClockFlags.HOST_TSC)).toBe(0);
    expect(vcpu.getTscKhz()).toBeGreaterThan(100_000);
    expect(vcpu.hasDeviceAttr(0, 0)).toBeTypeOf("boolean");
    if (vcpu.hasDeviceAttr(0, 0)) {
      // KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET
      const offset = new Uint8Array(BigUint64Array.of(12345n).buffer);
      vcpu.setDeviceAttr(0, 0, offset);
      // A host without hardware support has no offset and keeps 0.
      expect([0, 57]).toContain(vcpu.getDeviceAttr(0, 0, 8)[0]);
    }
    expect(() => vcpu.kvmclockCtrl()).toThrow(expect.objectContaining({ code: "invalid-argument" })); // no guest clock
    vcpu.setSignalMask(0xffffffffn);
    vcpu.setSignalMask(null);
  });

  it("logs the pages a guest has written", () => {
    using machine = new Machine(guests.writer);
    const { vm, vcpu, memory } = machine;
    vm.setUserMemoryRegion({ slot: 0, guestPhysAddr: 0, memory, flags: MemoryFlags.LOG_DIRTY_PAGES });
    const bitmap = new Uint8Array(dirtyBitmapBytes(memory.length));
    vm.getDirtyLog(0, bitmap);
    realMode(vcpu);
    expect(runOn(vcpu).reason).toBe("hlt");
    vm.getDirtyLog(0, bitmap);
    expect(bitmap[0]).toBe(0b110100);
    vm.getDirtyLog(0, bitmap);
    expect(bitmap[0]).toBe(0);
  });

  it("tracks written pages again only when told, by manual protection", () => {
    using machine = new Machine(guests.writer, (vm) => vm.enableCap(Cap.MANUAL_DIRTY_LOG_PROTECT2, [1n]));
    const { vm, vcpu, memory } = machine;
    vm.setUserMemoryRegion({ slot: 0, guestPhysAddr: 0, memory, flags: MemoryFlags.LOG_DIRTY_PAGES });
    realMode(vcpu);
    runOn(vcpu);
    const bitmap = new Uint8Array(dirtyBitmapBytes(memory.length));
    vm.getDirtyLog(0, bitmap);
    expect(bitmap[0]).toBe(0b110100);
    vm.clearDirtyLog(0, 0, 16, Uint8Array.of(0b100, 0, 0, 0, 0, 0, 0, 0));
    vm.getDirtyLog(0, bitmap);
    expect(bitmap[0]).toBe(0b110000);
  });

  it("lists written pages in the dirty ring", () => {
    using machine = new Machine(guests.writer, (vm) => vm.enableCap(Cap.DIRTY_LOG_RING, [65536n]));
    const { vm, vcpu, memory } = machine;
    vm.setUserMemoryRegion({ slot: 0, guestPhysAddr: 0, memory, flags: MemoryFlags.LOG_DIRTY_PAGES });
    const ring = vcpu.dirtyRing();
    for (let round = 0; round < 3; round++) {
      realMode(vcpu);
      expect(runOn(vcpu).reason).toBe("hlt");
      expect(ring.harvest().map(({ page }) => page)).toEqual([2, 4, 5]);
      expect(vm.resetDirtyRings()).toBe(3);
    }
  });

  it("makes memory read-only for the guest", () => {
    using machine = new Machine(guests.writer);
    const { vm, vcpu } = machine;
    vm.deleteUserMemoryRegion(0);
    const memory = createSharedMemory(0x10000);
    memory.set(guests.writer, 0x1000);
    vm.setUserMemoryRegion({ slot: 0, guestPhysAddr: 0, memory, flags: MemoryFlags.READONLY });
    realMode(vcpu);
    const exit = runOn(vcpu);
    expect(exit.reason === "mmio" && [exit.isWrite, exit.physAddr, exit.value]).toEqual([true, 0x2000, 1]);
  });
});
