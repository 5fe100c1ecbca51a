import { expect, it } from "vitest";
import { Cap, EventFd, IrqchipId, IrqRoutingType } from "../src/index.js";
import * as guests from "./guests.js";
import { describeKvm, Machine, realMode, runOn } from "./support.js";

/** Runs until the guest has set up its interrupts. */
function prepared(machine: Machine): void {
  realMode(machine.vcpu);
  const exit = runOn(machine.vcpu);
  expect(exit.reason === "io" && exit.port).toBe(0x80);
}

describeKvm("interrupts and events", () => {
  it("interrupts a sleeping guest by a line, an irqfd and a route", () => {
    using machine = new Machine(guests.interrupts, (vm) => vm.createIrqchip());
    const { vm, vcpu } = machine;
    prepared(machine);
    const handled = () => {
      const exit = runOn(vcpu);
      expect(exit.reason === "io" && [exit.port, exit.value]).toEqual([0x10, 0x77]);
    };
    vm.irqLine(4, true);
    handled();
    vm.irqLine(4, false);
    using event = EventFd.create();
    vm.irqfd({ event, gsi: 4 });
    for (let i = 0; i < 3; i++) {
      event.signal();
      handled();
    }
    vm.deassignIrqfd({ event, gsi: 4 });
    expect(vm.irqLineStatus(4, true)).toBeGreaterThan(0);
    handled();
    vm.irqLine(4, false);
    // Another number that leads to the same pin.
    const irqchip = { irqchip: IrqchipId.PIC_MASTER, pin: 4 };
    vm.setGsiRouting([{ gsi: 40, type: IrqRoutingType.IRQCHIP, u: { irqchip } }]);
    vm.irqLine(40, true);
    handled();
  });

  it("reads and writes the interrupt controllers and the timer", () => {
    using machine = new Machine(guests.interrupts, (vm) => {
      vm.setTssAddr(0xfffbd000);
      vm.setIdentityMapAddr(0xfffbc000);
      vm.createIrqchip();
      vm.createPit2();
    });
    const { vm, vcpu } = machine;
    prepared(machine);
    const pic = vm.getIrqchip(IrqchipId.PIC_MASTER);
    expect([pic.chip.pic.irq_base, pic.chip.pic.imr]).toEqual([0x20, 0xef]);
    pic.chip.pic.imr = 0xee;
    vm.setIrqchip(pic);
    expect(vm.getIrqchip(IrqchipId.PIC_MASTER).chip.pic.imr).toBe(0xee);
    const ioapic = vm.getIrqchip(IrqchipId.IOAPIC);
    expect(ioapic.chip.ioapic.base_address).toBe(0xfec00000n);
    ioapic.chip.ioapic.redirtbl.set(3, 0x10033n);
    vm.setIrqchip(ioapic);
    expect(vm.getIrqchip(IrqchipId.IOAPIC).chip.ioapic.redirtbl.get(3)).toBe(0x10033n);
    const pit = vm.getPit2();
    pit.channels.get(2).mode = 3;
    pit.channels.get(2).count = 1234;
    vm.setPit2(pit);
    expect(vm.getPit2().channels.get(2).count).toBe(1234);
    vm.reinjectControl(true);
    const lapic = vcpu.getLapic();
    lapic.regs[0x80] = 0x20; // the task-priority register
    vcpu.setLapic(lapic);
    expect(vcpu.getLapic().regs[0x80]).toBe(0x20);
    expect(vm.signalMsi({ address_lo: 0xfee00000, data: 0x31 })).toBeTypeOf("number");
  });

  it("has a split irqchip: local APICs in the kernel, the rest outside", () => {
    using machine = new Machine(guests.outLoop, (vm) => {
      vm.enableCap(Cap.SPLIT_IRQCHIP, [24n]);
    });
    expect(() => machine.vm.getIrqchip(IrqchipId.PIC_MASTER)).toThrow(/KVM_GET_IRQCHIP/);
    expect(machine.vcpu.getLapic().regs[0x30] & 0xf0).toBe(0x10); // the version register
  });

  it("queues interrupts and NMIs without an irqchip", () => {
    using machine = new Machine(guests.injected);
    const { vcpu } = machine;
    prepared(machine);
    vcpu.runPage.request_interrupt_window = 1;
    expect(runOn(vcpu).reason).toBe("irq-window-open");
    expect(vcpu.runPage.ready_for_interrupt_injection).toBe(1);
    vcpu.runPage.request_interrupt_window = 0;
    vcpu.interrupt(0x30);
    let exit = runOn(vcpu);
    expect(exit.reason === "io" && [exit.port, exit.value]).toEqual([0x10, 0x30]);
    vcpu.nmi();
    exit = runOn(vcpu);
    expect(exit.reason === "io" && [exit.port, exit.value]).toEqual([0x11, 2]);
  });

  it("raises eventfds from the guest, without leaving it", async () => {
    using machine = new Machine(guests.notify);
    const { vm, vcpu } = machine;
    using any = EventFd.create();
    using two = EventFd.create();
    vm.ioeventfd({ event: any, address: 0x60, length: 1, pio: true });
    vm.ioeventfd({ event: two, address: 0x61, length: 1, pio: true, datamatch: 2 });
    const seen: bigint[] = [];
    const first = new Promise<void>((resolve) => {
      any.watch((count) => {
        seen.push(count);
        resolve();
      });
    });
    realMode(vcpu);
    let exit = runOn(vcpu);
    // The value nobody listens for.
    expect(exit.reason === "io" && [exit.port, exit.value]).toEqual([0x61, 1]);
    expect(runOn(vcpu).reason).toBe("hlt");
    await first;
    expect(seen).toEqual([1n]);
    expect(two.wait(1000)).toBe(true);
    expect(two.read()).toBe(1n);
    expect(two.read()).toBe(0n);
    vm.deassignIoeventfd({ event: any, address: 0x60, length: 1, pio: true });
    realMode(vcpu);
    exit = runOn(vcpu);
    expect(exit.reason === "io" && exit.port).toBe(0x60);
  });

  it("watches eventfds on the event loop", async () => {
    using event = EventFd.create({ initial: 3 });
    const counts: bigint[] = [];
    const got = (many: number) =>
      new Promise<void>((resolve) => {
        event.watch((count) => {
          counts.push(count);
          if (counts.length === many) resolve();
        });
      });
    await got(1);
    event.signal(7);
    await got(2);
    event.unref();
    event.ref();
    event.unwatch();
    event.signal();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(counts).toEqual([3n, 7n]);
    using semaphore = EventFd.create({ initial: 2, semaphore: true });
    expect([semaphore.read(), semaphore.read(), semaphore.read()]).toEqual([1n, 1n, 0n]);
    expect(semaphore.wait(0)).toBe(false);
    event.signal(2n ** 64n - 3n);
    expect(() => event.signal(5)).toThrow(expect.objectContaining({ code: "would-block" }));
  });

  it("puts coalesced writes into the ring", () => {
    using machine = new Machine(guests.coalesced);
    const { vm, vcpu, kvm } = machine;
    vm.registerCoalescedMmio(0xa0000, 0x1000);
    const pio = kvm.checkExtension(Cap.COALESCED_PIO) !== 0;
    if (pio) vm.registerCoalescedMmio(0x70, 1, true);
    const ring = vcpu.coalescedMmioRing(kvm.checkExtension(Cap.COALESCED_MMIO));
    realMode(vcpu);
    let exit = runOn(vcpu);
    if (!pio && exit.reason === "io") exit = runOn(vcpu);
    expect(exit.reason).toBe("hlt");
    const writes = ring.drain().map(({ address, pio, data }) => [address, pio, [...data]]);
    expect(writes.slice(0, 3)).toEqual([
      [0xa0000, false, [0x11]],
      [0xa0004, false, [0x22, 0x22]],
      [0xa0008, false, [0x33, 0x33, 0x33, 0x33]],
    ]);
    if (pio) expect(writes[3]).toEqual([0x70, true, [0x44]]);
    expect(ring.drain()).toEqual([]);
    vm.unregisterCoalescedMmio(0xa0000, 0x1000);
    realMode(vcpu);
    expect(runOn(vcpu).reason).toBe("mmio");
  });
});
