import {
  ApicBus,
  IoApic,
  type IoApicState,
  LocalApic,
  type LocalApicState,
  ManualClock,
  PicPair,
} from "@softmetal/chipset";
import { IrqchipId, type Vcpu } from "@softmetal/kvm-binding";
import type { MachineConfig } from "@softmetal/vmm";
import { Cpu, createMemory, parseModel, RAM_BASE, S, STATE_SIZE, type State } from "@softmetal/x86-core";
import { expect, it } from "vitest";
import {
  REMOTE_IRR,
  readIoApic,
  readLapic,
  readPic,
  writeIoApic,
  writeLapic,
  writePic,
} from "../../src/kvm/chip-state.js";
import type { KvmHost } from "../../src/kvm/host.js";
import { KvmMachine } from "../../src/kvm/machine.js";
import { modelCpu } from "../../src/kvm/model-cpuid.js";
import { hasUndelivered, readCpu, writeCpu } from "../../src/kvm/state.js";
import { configure, describeKvm, interpreted, type Mode } from "./support.js";

const MODEL = parseModel("x86-64-v2");
const CLOCK = 123_456_789n;

/** A KVM machine on this thread, which stops after so many bytes at port 0xE9. */
function machineHere(program: string, mode: Mode, bytes = Number.POSITIVE_INFINITY, more: Partial<MachineConfig> = {}) {
  let output = "";
  const host: KvmHost = {
    now: () => process.hrtime.bigint(),
    startHelper() {},
    messagesWaiting: () => output.length >= bytes,
    processorTime: () => 0,
  };
  const events = {
    debugConsole: (byte: number) => {
      output += String.fromCharCode(byte);
    },
    serialConsumed() {},
    reset() {},
  };
  const config = configure(program, mode, more);
  const machine = new KvmMachine({ config, events, host, interpreted });
  return { machine, output: () => output };
}

/** Fields that hold nothing between two instructions, or follow from the others. */
const DERIVED = [
  ...([S.address, S.page, S.stackMask] as const).map((field) => [field, 8] as const),
  ...([S.budget, S.tlb, S.mode, S.attention, S.fcs, S.fds] as const).map((field) => [field, 4] as const),
  [S.arguments, S.cr0 - S.arguments] as const,
];

/** The architectural part of a saved state. */
function architectural(state: State): Uint8Array {
  const saved = state.save();
  for (const [at, length] of DERIVED) saved.fill(0, at, at + length);
  return saved;
}

const differing = (a: Uint8Array, b: Uint8Array) =>
  [...a.keys()].filter((at) => a[at] !== b[at]).map((at) => at.toString(16));

/** A state of 64-bit mode with something in every field that KVM has. */
function fill(state: State): void {
  for (let index = 0; index < 16; index++) {
    state.set64(S.gpr + index * 8, 0x1111111111111111n * BigInt(index) + 7n);
    state.set64(S.xmm + index * 16, 0x0123456789abcdefn + BigInt(index));
    state.set64(S.xmm + index * 16 + 8, 0xfedcba9876543210n - BigInt(index));
  }
  for (let index = 0; index < 8; index++) {
    state.set64(S.fpr + index * 16, 0x8000000000000001n + BigInt(index));
    state.set64(S.fpr + index * 16 + 8, 0x4000n + BigInt(index));
  }
  state.set32(S.fcw, 0x27f);
  state.set32(S.fsw, 0x4100);
  state.set32(S.ftop, 5);
  state.set32(S.ftags, 0xe1);
  state.set32(S.fop, 0x123);
  state.set64(S.fip, 0x1234n);
  state.set64(S.fdp, 0x5678n);
  state.set32(S.mxcsr, 0x1fa0);
  state.set64(S.rip, 0xffffffff81000000n);
  state.rflags = 0x3ad7;
  state.setSegment(1, 0x10, 0n, 0xffffffff, 0xa09b00);
  for (const segment of [0, 2, 3]) state.setSegment(segment, 0x18, 0n, 0xffffffff, 0xc09300);
  state.setSegment(4, 0x18, 0x7fff12345000n, 0xffffffff, 0xc09300);
  state.setSegment(5, 0x18, 0xffff888000000000n, 0xffffffff, 0xc09300);
  state.setSegment(6, 0, 0n, 0, 0);
  state.setSegment(7, 0x40, 0xfffffe0000003000n, 0x206f, 0x8b00);
  state.set64(S.cr0, 0x80050033n);
  state.set64(S.cr2, 0x7fff00001000n);
  state.set64(S.cr3, 0x123000n);
  state.set64(S.cr4, 0x6a0n);
  state.set64(S.efer, 0xd01n);
  state.set64(S.xcr0, 1n);
  for (let index = 0; index < 4; index++) state.set64(S.dr + index * 8, 0x1000n * BigInt(index + 1));
  state.set64(S.dr + 6 * 8, 0xffff0ff0n);
  state.set64(S.dr + 7 * 8, 0x400n);
  state.set64(S.gdtBase, 0xfffffe0000001000n);
  state.set32(S.gdtLimit, 0x7f);
  state.set64(S.idtBase, 0xfffffe0000000000n);
  state.set32(S.idtLimit, 0xfff);
  state.set64(S.star, 0x0023001000000000n);
  for (const field of [S.lstar, S.cstar, S.kernelGsBase, S.sysenterEsp, S.sysenterEip]) {
    state.set64(field, 0xffffffff81000000n + BigInt(field));
  }
  state.set64(S.sfmask, 0x47700n);
  state.set64(S.sysenterCs, 0x10n);
  state.set64(S.pat, 0x0407050600070106n);
  state.set32(S.shadow, 1);
  state.set32(S.nmiBlocked, 1);
}

describeKvm("state in the translator's format", () => {
  it("comes back from KVM as it went there", () => {
    const { machine } = machineHere("spin", "long");
    const [vcpu] = machine.vcpus;
    const [before, after] = [modelCpu(MODEL), modelCpu(MODEL)];
    readCpu(vcpu, before.state, CLOCK);
    fill(before.state);
    const refused = writeCpu(vcpu, before.state, CLOCK);
    readCpu(vcpu, after.state, CLOCK);
    // What this KVM does not have stays what it is there.
    const msrFields: Record<number, number> = { 3221225731: S.tscAux, 416: S.miscEnable, 631: S.pat };
    for (const index of refused) {
      const field = msrFields[index];
      if (field !== undefined) before.state.set64(field, after.state.get64(field));
    }
    // Time goes on.
    expect(after.state.get64(S.tscOffset) - before.state.get64(S.tscOffset)).toBeLessThan(10_000_000_000n);
    before.state.set64(S.tscOffset, after.state.get64(S.tscOffset));
    expect(after.state.save().length).toBe(STATE_SIZE);
    expect(differing(architectural(before.state), architectural(after.state))).toEqual([]);
    expect(hasUndelivered(vcpu)).toBe(false);
  });

  it("moves a running program from one engine to the other", () => {
    const expected = [
      ...["456789abcdef0123", "45189229558d3b28", "fedcba9876543210", "0000000000000500", "0000000700001000"],
      ...["0f1e2d3c4b5a6978", "0000000000000055", "ffffffffffffffff", ""],
    ].join("\n");
    for (const bytes of [5, 40, 60, 100, 120]) {
      const { machine, output } = machineHere("long", "long", bytes);
      machine.resume();
      while (!machine.end && machine.runSlice() === "run");
      machine.pause();
      const finished = continueInTranslator(machine.vcpus[0], machine.memory);
      expect(output().length).toBe(bytes);
      expect(output() + finished).toBe(expected);
    }
  });

  it("moves a running program back", () => {
    const { machine, output } = machineHere("long", "long");
    const reference = machineHere("long", "long", 70);
    reference.machine.resume();
    while (!reference.machine.end && reference.machine.runSlice() === "run");
    reference.machine.pause();
    const carrier = modelCpu(MODEL);
    readCpu(reference.machine.vcpus[0], carrier.state, CLOCK);
    machine.memory.set(reference.machine.memory);
    writeCpu(machine.vcpus[0], carrier.state, CLOCK);
    machine.resume();
    while (!machine.end) machine.runSlice();
    expect(machine.end).toEqual({ reason: "debug-exit", code: 1 });
    expect(reference.output().length + output().length).toBe(8 * 17);
    expect(output().endsWith("ffffffffffffffff\n")).toBe(true);
  });

  it("holds the interrupt controllers too", () => {
    const { machine } = machineHere("real", "real", 55);
    machine.resume();
    while (!machine.end && machine.runSlice() === "run");
    machine.pause();
    const { vm } = machine;
    for (const id of [IrqchipId.PIC_MASTER, IrqchipId.PIC_SLAVE]) {
      const chip = vm.getIrqchip(id);
      const before = chip.$object();
      const state = readPic(chip.chip.pic);
      expect(state.vectorBase).toBe(id === IrqchipId.PIC_MASTER ? 0x20 : 0x28);
      // chipset takes it.
      const pair = new PicPair({ set() {} });
      pair.load({ ...pair.save(), [id === IrqchipId.PIC_MASTER ? "master" : "slave"]: state });
      writePic(state, chip.chip.pic);
      expect(chip.$object()).toEqual(before);
      vm.setIrqchip(chip);
      expect(vm.getIrqchip(id).$object()).toEqual(before);
    }
    const chip = vm.getIrqchip(IrqchipId.IOAPIC);
    chip.chip.ioapic.redirtbl.set(4, 0x0100_0000_0000_8031n);
    // Pins 4 (level) and 5 (edge, which has been sent) are asserted.
    chip.chip.ioapic.irr = 1 << 4;
    const before = chip.$object();
    const ioApicState = readIoApic(chip.chip.ioapic, 3 << 4);
    const ioApic = new IoApic({ bus: new ApicBus() });
    ioApic.load(ioApicState);
    expect(ioApic.save()).toEqual(ioApicState);
    writeIoApic(ioApicState, chip.chip.ioapic);
    expect(chip.$object()).toEqual(before);
  });

  it("holds the local APIC, its timer included", () => {
    const { machine } = machineHere("protected", "protected", 70);
    machine.resume();
    while (!machine.end && machine.runSlice() === "run");
    machine.pause();
    const [vcpu] = machine.vcpus;
    const lapic = vcpu.getLapic();
    const base = vcpu.getSregs().apic_base;
    const view = new DataView(lapic.regs.buffer, lapic.regs.byteOffset);
    view.setUint32(0x380, 5000, true);
    view.setUint32(0x390, 3000, true);
    view.setUint32(0x210, 0x40000, true);
    const bytes = Uint8Array.from(lapic.regs);
    const state = readLapic(lapic, { base, deadline: 0n, now: 1000, tsc: 0n, tscHz: 1e9 });
    // Divided by 2, in nanoseconds.
    expect(state.timer.expiry).toBe(1000 + 2 * 3000);
    const clock = new ManualClock();
    const apic = new LocalApic({ apicId: 0, bootstrap: true, timers: clock, bus: new ApicBus(), cpu: {} });
    apic.load(state);
    expect(apic.save()).toEqual(state);
    lapic.regs.fill(0, 0x80);
    writeLapic(state, lapic, 1000);
    // What follows from the rest or cannot be written is not in the state: PPR, APR, remote reads.
    for (const offset of [0x90, 0xa0, 0xc0]) bytes.fill(0, offset, offset + 4);
    expect(differing(lapic.regs, bytes).filter((at) => Number.parseInt(at, 16) < 0x2f0 || at > "2f3")).toEqual([]);
  });

  for (const irqchip of ["kernel", "split"] as const) {
    it(`has the interrupts that devices find they owe while they are saved (irqchip ${irqchip})`, () => {
      const { machine } = machineHere("timers", "protected", 1, { kvm: { irqchip } });
      machine.resume();
      while (!machine.end && machine.runSlice() === "run");
      // The RTC interrupts 64 times a second; nothing has fired its timer when the machine is saved.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
      machine.pause();
      const { devices, cpus } = machine.save();
      const { low, lines } = devices.ioApic as IoApicState;
      expect([(lines >> 8) & 1, low[8] & REMOTE_IRR]).toEqual([1, REMOTE_IRR]);
      expect((cpus[0].apic as LocalApicState).vectors.irr[0x41 >> 5] & 2).toBe(2);
    });
  }
});

/** Goes on with a program in the translator; gives what it prints. */
function continueInTranslator(vcpu: Vcpu, ram: Uint8Array): string {
  let output = "";
  let ended = false;
  const memory = createMemory(ram.length);
  const cpu: Cpu = new Cpu({
    memory,
    ram: [{ address: 0, size: ram.length, offset: RAM_BASE }],
    model: MODEL,
    bus: {
      readPhysical: () => 0xffffffff,
      writePhysical() {},
      readPort: () => 0xff,
      writePort(port, _size, value) {
        if (port === 0xe9) output += String.fromCharCode(value);
        if (port === 0xf4) {
          ended = true;
          cpu.stop("requested");
        }
      },
    },
    apic: {
      acknowledge: () => -1,
      pending: () => false,
      taskPriority: 0,
      readMsr: () => undefined,
      writeMsr: () => false,
    },
    time: { ticks: () => CLOCK, frequency: 1e9 },
  });
  new Uint8Array(memory.buffer).set(ram, RAM_BASE);
  readCpu(vcpu, cpu.state, CLOCK);
  cpu.stateChanged();
  for (let slice = 0; slice < 100 && !ended; slice++) cpu.run(10_000);
  return output;
}
