import { expect, it } from "vitest";
import {
  Cap,
  createSharedMemory,
  Device,
  EventFd,
  GuestMemfd,
  GuestMemory,
  Kvm,
  KvmError,
  LapicState,
  PitState,
  Stats,
  Vcpu,
  Vm,
} from "../src/index.js";
import * as guests from "./guests.js";
import { describeKvm, Machine, realMode } from "./support.js";

/** Each method of each handle with arguments that are right in themselves. Getters have none. */
const calls = {
  Kvm: {
    checkExtension: [1],
    createVm: [],
    getApiVersion: [],
    getEmulatedCpuid: [],
    getMceCapSupported: [],
    getMsrFeatureIndexList: [],
    getMsrIndexList: [],
    getMsrs: [[0x10]],
    getSupportedCpuid: [],
    getSupportedHvCpuid: [],
    getVcpuMmapSize: [],
  },
  Vm: {
    checkExtension: [1],
    clearDirtyLog: [0, 0, 64, new Uint8Array(8)],
    createDevice: [4],
    createGuestMemfd: [4096],
    createIrqchip: [],
    createPit2: [],
    createVcpu: [1],
    deassignHypervEventfd: [1],
    deassignIoeventfd: "ioeventfd",
    deassignIrqfd: "irqfd",
    deleteUserMemoryRegion: [0],
    enableCap: [1],
    getClock: [],
    getDirtyLog: [0, new Uint8Array(8)],
    getIrqchip: [0],
    getPit2: [],
    getStatsFd: [],
    getTscKhz: [],
    hypervEventfd: "hypervEventfd",
    ioeventfd: "ioeventfd",
    irqLine: [1, true],
    irqLineStatus: [1, true],
    irqfd: "irqfd",
    registerCoalescedMmio: [0xa0000, 4096],
    reinjectControl: [true],
    resetDirtyRings: [],
    setBootCpuId: [0],
    setClock: [{}],
    setGsiRouting: [[]],
    setIdentityMapAddr: [0xfffbc000],
    setIrqchip: "irqchip",
    setMemoryAttributes: [0, 4096, 0],
    setMsrFilter: [[]],
    setNrMmuPages: [64],
    setPit2: [PitState.create()],
    setPmuEventFilter: [[], { allow: true }],
    setTscKhz: [1_000_000],
    setTssAddr: [0xfffbd000],
    setUserMemoryRegion: [{ slot: 1, guestPhysAddr: 0x100000, memory: createSharedMemory(4096) }],
    setUserMemoryRegion2: [{ slot: 1, guestPhysAddr: 0x100000, memory: createSharedMemory(4096) }],
    signalMsi: [{}],
    testDevice: [4],
    unregisterCoalescedMmio: [0xa0000, 4096],
  },
  Vcpu: {
    coalescedMmioRing: [2],
    dirtyRing: [],
    enableCap: [1],
    getCpuid2: [],
    getDebugRegs: [],
    getFpu: [],
    getLapic: [],
    getMpState: [],
    getMsrs: [[0x10]],
    getNestedState: [4096],
    getOneReg: [0],
    getRegList: [],
    getRegs: [],
    getSregs: [],
    getSregs2: [],
    getStatsFd: [],
    getSupportedHvCpuid: [],
    getTscKhz: [],
    getVcpuEvents: [],
    getXcrs: [],
    getXsave: [],
    getXsave2: [4096],
    interrupt: [1],
    kick: [],
    kvmclockCtrl: [],
    nmi: [],
    preFaultMemory: [0, 4096],
    run: [],
    setCpuid2: [[]],
    setDebugRegs: [{}],
    setFpu: [{}],
    setGuestDebug: [{}],
    setLapic: [LapicState.create()],
    setMce: [{}],
    setMpState: [0],
    setMsrs: [[]],
    setNestedState: [new Uint8Array(4096)],
    setOneReg: [0, 0],
    setRegs: [{}],
    setSignalMask: [null],
    setSregs: "sregs",
    setSregs2: "sregs2",
    setTscKhz: [1_000_000],
    setVapicAddr: [0],
    setVcpuEvents: [{}],
    setXcrs: [{}],
    setXsave: [new Uint8Array(16384)],
    setupMce: [0n],
    smi: [],
    tprAccessReporting: [false],
    translate: [0],
  },
  Device: {},
  EventFd: { read: [], ref: [], signal: [], unref: [], wait: [0], watch: [() => {}] },
  GuestMemory: { closeWindow: [new ArrayBuffer(8)], window: [] },
  GuestMemfd: { closeWindow: [new ArrayBuffer(8)], window: [] },
  Stats: { read: [] },
} as const;

/** What all handles have, and what has attributes. */
const attributes = { setDeviceAttr: [0, 0, new Uint8Array(8)], getDeviceAttr: [0, 0, 8], hasDeviceAttr: [0, 0] };
/** Giving up what is given up is no error. */
const harmless = new Set(["dispose", "unwatch", "constructor"]);

type Class = { readonly prototype: object; readonly name: string };

/** Every member of a class's objects, inherited ones too. */
function members(type: Class): string[] {
  const names: string[] = [];
  for (let at = type.prototype; at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    names.push(...Object.getOwnPropertyNames(at));
  }
  return [...new Set(names)].filter((name) => !harmless.has(name));
}

const isGetter = (type: Class, name: string) => {
  for (let at = type.prototype; at !== null; at = Object.getPrototypeOf(at)) {
    const property = Object.getOwnPropertyDescriptor(at, name);
    if (property !== undefined) return property.get !== undefined;
  }
  return false;
};

describeKvm("closed handles", () => {
  it("fail with `closed` in everything that they have", () => {
    const machine = new Machine(guests.outLoop, (vm) => vm.createIrqchip());
    const { kvm, vm, vcpu } = machine;
    const event = EventFd.create();
    const open = EventFd.create();
    const memory = GuestMemory.create(4096);
    const stats = vm.getStatsFd();
    const made: Record<string, readonly unknown[]> = {
      irqfd: [{ event: open, gsi: 1 }],
      ioeventfd: [{ event: open, address: 0x20, length: 1, pio: true }],
      hypervEventfd: [1, open],
      irqchip: [vm.getIrqchip(0)],
      sregs: [vcpu.getSregs()],
      sregs2: [vcpu.getSregs2()],
    };
    expect(stats.read().size).toBeGreaterThan(0); // what it knows already is no answer either
    const handles: [Class, object][] = [
      [Stats, stats],
      [EventFd, event],
      [GuestMemory, memory],
      [Vcpu, vcpu],
      [Vm, vm],
      [Kvm, kvm],
    ];
    try {
      handles.push([GuestMemfd, vm.createGuestMemfd(4096)]);
    } catch (error) {
      expect(error).toMatchObject({ code: "unsupported" });
    }
    try {
      handles.push([Device, vm.createDevice(4)]);
    } catch (error) {
      expect(error).toBeInstanceOf(KvmError);
    }
    let tried = 0;
    for (const [type, handle] of handles) {
      (handle as { dispose(): void }).dispose();
      const known: Record<string, readonly unknown[] | string> = {
        ...(handle instanceof Kvm || handle instanceof Vm || handle instanceof Vcpu || handle instanceof Device
          ? attributes
          : {}),
        ...calls[type.name as keyof typeof calls],
      };
      for (const name of members(type)) {
        const target = handle as Record<string, (...args: unknown[]) => unknown>;
        const getter = isGetter(type, name);
        const given = known[name];
        // A method that this test does not know is to be added here.
        expect(getter || given !== undefined, `${type.name}.${name} is not in this test`).toBe(true);
        const args = typeof given === "string" ? made[given] : (given ?? []);
        const use = () => (getter ? target[name] : target[name](...args));
        expect(use, `${type.name}.${name}`).toThrow(expect.objectContaining({ name: "KvmError", code: "closed" }));
        tried++;
      }
      for (const name of harmless) if (name !== "constructor") (handle as Record<string, () => void>)[name]?.();
    }
    expect(tried).toBeGreaterThan(130);
    open.dispose();
  });

  it("fail with `closed` where they are arguments", () => {
    using machine = new Machine(guests.outLoop, (vm) => vm.createIrqchip());
    const closed = expect.objectContaining({ name: "KvmError", code: "closed" });
    const event = EventFd.create();
    const memory = GuestMemory.create(4096);
    for (const handle of [event, memory]) handle.dispose();
    const { vm } = machine;
    expect(() => vm.irqfd({ event, gsi: 1 })).toThrow(closed);
    expect(() => vm.ioeventfd({ event, address: 1, length: 1 })).toThrow(closed);
    expect(() => vm.hypervEventfd(1, event)).toThrow(closed);
    expect(() => vm.setUserMemoryRegion({ slot: 1, guestPhysAddr: 0x100000, memory })).toThrow(closed);
    expect(() => vm.setUserMemoryRegion({ slot: 1, guestPhysAddr: 0x100000, memory, size: 4096 })).toThrow(closed);
  });

  it("take with them what was seen through them", () => {
    const machine = new Machine(guests.outLoop, (vm, kvm) => {
      if (kvm.checkExtension(Cap.DIRTY_LOG_RING) > 0) vm.enableCap(Cap.DIRTY_LOG_RING, [65536n]);
    });
    const { vcpu, kvm } = machine;
    realMode(vcpu);
    const exit = vcpu.run();
    if (exit.reason !== "io") throw new Error(exit.reason);
    expect(exit.data[0]).toBe(exit.value);
    const { runPage } = vcpu;
    const { regs } = runPage.s;
    const coalesced = vcpu.coalescedMmioRing(kvm.checkExtension(Cap.COALESCED_MMIO));
    const dirty = kvm.checkExtension(Cap.DIRTY_LOG_RING) > 0 ? vcpu.dirtyRing() : undefined;
    machine[Symbol.dispose]();
    const uses: (() => unknown)[] = [
      () => exit.direction,
      () => exit.size,
      () => exit.port,
      () => exit.count,
      () => exit.data,
      () => exit.value,
      () => {
        exit.value = 1;
      },
      () => runPage.exit_reason,
      () => {
        runPage.request_interrupt_window = 1;
      },
      () => runPage.exit.mmio.data,
      () => regs.regs.rax,
      () => runPage.$object(),
      () => coalesced.drain(),
    ];
    if (dirty !== undefined) uses.push(() => dirty.harvest());
    for (const use of uses) expect(use).toThrow(expect.objectContaining({ name: "KvmError", code: "closed" }));
  });
});
