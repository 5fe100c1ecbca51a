import type { Vcpu, Vm } from "@softmetal/kvm-binding";
import { Cap, type Exit, Kvm, KvmError } from "@softmetal/kvm-binding";
import { RAM_BASE } from "@softmetal/x86-core";
import { type MachineConfig, type MachineEnd, MachineError } from "../api.js";
import type { Engine, EngineEvents, Rest } from "../machine/engine.js";
import { EventQueue } from "../machine/event-queue.js";
import { loadMachine } from "../machine/load.js";
import { allocateMemory, outOfMemory } from "../machine/memory.js";
import { readModel } from "../machine/model.js";
import { Platform } from "../machine/platform.js";
import { SerialChannel } from "../machine/serial-channel.js";
import { hex, u64 } from "../saved-state/fields.js";
import type { SavedHardware } from "../saved-state/hardware.js";
import { accessMmio, accessPorts } from "./accesses.js";
import { Alarm } from "./alarm.js";
import { hasRunOut } from "./chip-state.js";
import { guestCpuid } from "./cpuid.js";
import { Crew } from "./crew.js";
import { InstructionEmulator } from "./emulator.js";
import { consequence, describeExit, isBeyondKvm } from "./exits.js";
import type { KvmHost } from "./host.js";
import { setInitialState } from "./initial-state.js";
import { KernelInterrupts, type KvmInterrupts, SplitInterrupts } from "./interrupts.js";
import { modelCpuid } from "./model-cpuid.js";
import { isInException, SavedVcpus } from "./saved-state.js";
import { VcpuSnapshot } from "./snapshot.js";

/** Three pages and one page that Intel's processors need for real mode, where a PC has its BIOS. */
const TSS_ADDRESS = 0xfffbd000;
const IDENTITY_MAP_ADDRESS = 0xfffbc000;
/** Attempts to find the machine in a state that can be saved. */
const MOST_TRIES = 100;
/** Nanoseconds that output of the guest may wait for more. */
const OUTPUT_DELAY = 1_000_000;

export interface KvmMachineOptions {
  readonly config: MachineConfig;
  readonly events: EngineEvents;
  readonly host: KvmHost;
  /** KVM without hardware support; see `CpuidOptions`. */
  readonly interpreted: boolean;
}

/**
 * A machine whose processors KVM executes. Interrupt controllers and the PIT are the kernel's (see
 * `KvmInterrupts`); the other devices are the
 * same as under the translator and live on the boot processor's thread, which sits in KVM_RUN unless something is to be
 * done. What wakes it is a kick: from the alarm when a timer is due, from the embedding program's thread when it has
 * posted a message, and from other vCPUs' threads when they need a device.
 */
export class KvmMachine implements Engine {
  readonly platform: Platform;
  readonly serial: SerialChannel[];
  readonly timers: EventQueue;
  /** KVM does not count instructions. */
  readonly instructions = 0;
  /** The processors, the boot processor first. Their state can be read and set while the machine is paused. */
  readonly vcpus: readonly Vcpu[];
  readonly vm: Vm;
  /** The guest's RAM. */
  readonly memory: Uint8Array;
  readonly #memory: WebAssembly.Memory;
  readonly #kvm: Kvm;
  readonly #boot: Vcpu;
  readonly #options: KvmMachineOptions;
  readonly #alarm: Alarm;
  readonly #crew: Crew;
  readonly #interrupts: KvmInterrupts;
  readonly #powerOn: VcpuSnapshot[];
  readonly #started = performance.now();
  #pausedAt: number | undefined = this.#started;
  #pausedFor = 0;
  /** Nanoseconds that a saved machine's clock was ahead. */
  #ahead = 0;
  #clock: bigint | undefined;
  #pendingReset: "guest" | "triple-fault" | undefined;
  #end: MachineEnd | undefined;
  #resets = 0;
  #outputWaits = false;
  #outputDue = false;
  #emulator: InstructionEmulator | undefined;

  /** @throws MachineError */
  constructor(options: KvmMachineOptions) {
    this.#options = options;
    const { config, events, host } = options;
    const devices = config.devices ?? {};
    try {
      this.#kvm = Kvm.open();
      this.vm = this.#kvm.createVm();
      this.#memory = allocateMemory(config.memory);
      this.memory = new Uint8Array(this.#memory.buffer, RAM_BASE, config.memory);
      this.#prepareVm();
      this.#interrupts =
        config.kvm?.irqchip === "split" ? new SplitInterrupts(this.vm) : new KernelInterrupts(this.vm, host.now);
      this.vcpus = this.#createVcpus();
    } catch (error) {
      throw creationFailure(error, config.memory);
    }
    this.#boot = this.vcpus[0];
    this.#alarm = new Alarm(host.now);
    const now = () => ((this.#pausedAt ?? performance.now()) - this.#started - this.#pausedFor) * 1e6 + this.#ahead;
    this.timers = new EventQueue(now, (deadline) => this.#alarm.setIn(deadline - now()));
    this.serial = Array.from(
      { length: devices.serialPorts ?? 1 },
      (_, port) => new SerialChannel(() => events.serialConsumed(port)),
    );
    const output = this.timers.createTimer(() => {
      this.#outputDue = true;
    });
    const sent = () => {
      if (this.#outputWaits) return;
      this.#outputWaits = true;
      output.arm(now() + OUTPUT_DELAY);
    };
    this.platform = new Platform({
      timers: this.timers,
      ram: config.memory,
      devices,
      interrupts: this.#interrupts,
      pit: this.#interrupts.pit,
      startSeconds: Date.now() / 1000,
      serial: (port) => {
        const channel = this.serial[port];
        return {
          transmit: (byte) => {
            sent();
            return channel.transmit(byte);
          },
          receive: () => channel.receive(),
        };
      },
      debugConsole: (byte) => {
        sent();
        events.debugConsole(byte);
      },
      // The guest of KVM has no A20 gate: address bit 20 always counts.
      a20Changed: () => {},
      reset: () => this.#requestReset("guest"),
      powerOff: () => this.finish({ reason: "poweroff" }),
      debugExit: (code) => this.finish({ reason: "debug-exit", code }),
    });
    const msrs = this.#kvm.getMsrIndexList();
    this.#powerOn = this.vcpus.map((vcpu) => new VcpuSnapshot(vcpu, msrs));
    this.#interrupts.attach(this.platform, this.#boot);
    this.#load();
    const onFailure = (error: Error) => this.finish({ reason: "internal-error", message: error.message });
    this.#crew = new Crew({
      ...{ host, onFailure, platform: this.platform, bootVcpu: this.#boot, vcpus: this.vcpus.slice(1) },
      onExit: (text) => this.#cannotGoOn(text),
      emulate: (vcpu) => this.#emulate(vcpu),
      endOfInterrupt: (vector) => this.#interrupts.endOfInterrupt(vector),
    });
    host.startHelper({ kind: "alarm", vcpu: this.#boot.handle, buffer: this.#alarm.buffer }, onFailure);
  }

  get end(): MachineEnd | undefined {
    return this.#end;
  }
  get busyMilliseconds(): number {
    return this.#options.host.processorTime();
  }
  get resets(): number {
    return this.#resets;
  }

  finish(end: MachineEnd): void {
    this.#end ??= end;
  }

  reset(): void {
    this.#resets++;
    this.#pendingReset = undefined;
    this.#standStill();
    this.platform.reset();
    this.#interrupts.reset();
    this.#powerOn.forEach((snapshot, index) => {
      snapshot.restore(this.vcpus[index]);
    });
    this.#load();
    if (this.#pausedAt === undefined) this.#crew.run();
  }

  /** All vCPUs out of the guest, with accesses complete, when this returns. */
  pause(): void {
    if (this.#pausedAt !== undefined) return;
    this.#pausedAt = performance.now();
    this.#standStill();
    this.#clock = this.vm.getClock().clock;
  }
  resume(): void {
    if (this.#pausedAt === undefined) return;
    this.#pausedFor += performance.now() - this.#pausedAt;
    this.#pausedAt = undefined;
    if (this.#clock !== undefined) this.vm.setClock({ clock: this.#clock });
    this.#clock = undefined;
    this.#crew.run();
  }

  get ram(): Uint8Array {
    return this.memory;
  }
  ramChanged(): void {}

  save(): SavedHardware {
    if (this.vcpus.some((vcpu) => hasRunOut(vcpu.getLapic()))) this.#runALittle();
    for (let tries = 0; tries < MOST_TRIES && this.vcpus.some(isInException); tries++) this.#runALittle();
    const devices = this.platform.save();
    this.#interrupts.settle(this.vcpus);
    const clock = this.timers.now();
    const controllers = this.#interrupts.save(clock);
    const saved = this.#savedVcpus;
    return {
      ...{ clock, tscHz: saved.tscHz, cpus: saved.save(clock) },
      kvmClock: hex(this.#clock ?? this.vm.getClock().clock),
      devices: { ...devices, ...controllers },
    };
  }

  load({ clock, tscHz, kvmClock, cpus, devices }: SavedHardware): void {
    this.#pendingReset = undefined;
    this.#ahead += clock - this.timers.now();
    this.#savedVcpus.load(cpus, clock, tscHz);
    this.#clock = kvmClock === undefined ? undefined : u64(kvmClock, "kvmClock");
    this.#interrupts.load(devices, clock);
    this.platform.load(devices);
    // Its timer was on the clock that was.
    this.#outputDue = true;
  }

  get #savedVcpus(): SavedVcpus {
    const model = readModel(this.#options.config.cpu);
    this.#saving ??= new SavedVcpus(this.vm, this.vcpus, model, this.#kvm.getMsrIndexList());
    return this.#saving;
  }
  #saving: SavedVcpus | undefined;

  /** For a millisecond, whatever the clock says. */
  #runALittle(): void {
    this.#crew.run();
    this.#alarm.setIn(1e6);
    this.#handle(this.#boot.run());
    this.#standStill();
  }

  runSlice(): Rest {
    this.#attend();
    while (!this.#end && !this.#pendingReset) {
      if (this.#outputDue || this.#options.host.messagesWaiting()) {
        this.#outputDue = false;
        this.#outputWaits = false;
        return "yield";
      }
      this.#interrupts.beforeEntry();
      this.#handle(this.#boot.run());
    }
    if (!this.#end && this.#pendingReset) this.#resetByGuest(this.#pendingReset);
    return "run";
  }

  #handle(exit: Exit): void {
    const { ports, mmio } = this.platform;
    switch (exit.reason) {
      case "io":
        if (exit.count !== 1) {
          accessPorts(ports, exit.direction === "out", exit.port, exit.size, exit.data);
        } else if (exit.direction === "out") ports.writePort(exit.port, exit.size, exit.value);
        else exit.value = ports.readPort(exit.port, exit.size);
        return;
      case "mmio":
        return accessMmio(mmio, exit.isWrite, exit.physAddr, exit.data);
      case "intr":
        return this.#attend();
      case "ioapic-eoi":
        return this.#interrupts.endOfInterrupt(exit.detail.vector);
      case "irq-window-open":
        // The 8259As' interrupt is handed over before the next entry.
        return;
      default:
        if (isBeyondKvm(exit) && this.#emulate(this.#boot)) return;
        return this.#cannotGoOn(describeExit(exit, this.#boot));
    }
  }

  /** Executes an instruction that KVM cannot; false: that is not possible either. */
  #emulate(vcpu: Vcpu): boolean {
    const { platform } = this;
    this.#emulator ??= new InstructionEmulator({
      ...{ memory: this.#memory, ram: this.memory.length, ports: platform.ports, mmio: platform.mmio },
    });
    const emulator = this.#emulator;
    // What is atomic on a processor is several accesses here.
    const outcome = this.#crew.alone(() => emulator.step(vcpu));
    if (outcome === "shutdown") this.#cannotGoOn("shutdown");
    return outcome !== "unable";
  }

  /** Does what a kick may have been about. */
  #attend(): void {
    this.#crew.serve();
    this.timers.fire();
    const { next } = this.timers;
    if (next !== Number.POSITIVE_INFINITY) this.#alarm.setIn(next - this.timers.now());
  }

  #cannotGoOn(text: string): void {
    const what = consequence(text);
    if (what === "reset") this.#requestReset("guest");
    else if (what !== "triple-fault") this.finish(what);
    else if (this.#options.config.onTripleFault === "stop") this.finish({ reason: "triple-fault" });
    else this.#requestReset("triple-fault");
  }

  #requestReset(cause: "guest" | "triple-fault"): void {
    this.#pendingReset ??= cause;
  }
  #resetByGuest(cause: "guest" | "triple-fault"): void {
    if (this.#options.config.noReboot) return this.finish({ reason: cause === "guest" ? "reset" : "triple-fault" });
    this.reset();
    this.#options.events.reset(cause);
  }

  #standStill(): void {
    this.#crew.park();
    // An access that the last exit was about ends in the next entry; a kick makes it return after that.
    this.#boot.kick();
    if (this.#boot.run().reason !== "intr") throw new Error("KVM ran the guest although it was kicked");
  }

  #prepareVm(): void {
    const { cpus = 1 } = this.#options.config;
    const { vm } = this;
    vm.setUserMemoryRegion({ slot: 0, guestPhysAddr: 0, memory: this.memory });
    // Else KVM raises #UD in user mode for what its emulator does not know.
    if (vm.checkExtension(Cap.EXIT_ON_EMULATION_FAILURE)) vm.enableCap(Cap.EXIT_ON_EMULATION_FAILURE, [1n]);
    const most = vm.checkExtension(Cap.MAX_VCPUS) || vm.checkExtension(Cap.NR_VCPUS);
    if (cpus > most) throw new MachineError("bad-config", `KVM runs at most ${most} processors here, not ${cpus}.`);
    if (vm.checkExtension(Cap.SET_TSS_ADDR)) vm.setTssAddr(TSS_ADDRESS);
    if (vm.checkExtension(Cap.SET_IDENTITY_MAP_ADDR)) vm.setIdentityMapAddr(IDENTITY_MAP_ADDRESS);
  }

  #createVcpus(): Vcpu[] {
    const { config, interpreted } = this.#options;
    const { cpus = 1 } = config;
    const model = readModel(config.cpu);
    const ask = modelCpuid(model);
    const supported = this.#kvm.getSupportedCpuid();
    return Array.from({ length: cpus }, (_, apicId) => {
      const vcpu = this.vm.createVcpu(apicId);
      vcpu.setCpuid2(guestCpuid({ model, ask, supported, cpus, apicId, interpreted }));
      return vcpu;
    });
  }

  /** Writes tables and boot source into RAM and sets the boot processor's first state. */
  #load(): void {
    const { memory } = this;
    const ram = { size: memory.length, write: (address: number, bytes: Uint8Array) => memory.set(bytes, address) };
    setInitialState(this.#boot, loadMachine(ram, this.#options.config, this.vcpus.length).cpu);
  }
}

function creationFailure(error: unknown, memory: number): unknown {
  if (!(error instanceof KvmError)) return error;
  if (error.code === "no-memory") return outOfMemory(memory, error);
  return new MachineError("accelerator-unavailable", `KVM made no machine: ${error.message}.`, { cause: error });
}
