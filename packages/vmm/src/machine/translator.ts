import { ApicBus, LocalApic, type MsrValue } from "@softmetal/chipset";
import { type Bus, Cpu, type InterruptController, RAM_BASE, S, type TimeSource } from "@softmetal/x86-core";
import type { MachineConfig, MachineEnd } from "../api.js";
import type { SavedHardware } from "../saved-state/hardware.js";
import { loadProcessor, saveProcessor } from "../saved-state/processor.js";
import { setInitialState } from "./cpu-state.js";
import type { Engine, EngineEvents, Rest } from "./engine.js";
import { EventQueue } from "./event-queue.js";
import { InterruptControllers } from "./interrupt-controllers.js";
import { loadMachine } from "./load.js";
import { allocateMemory } from "./memory.js";
import { DEVICE_HOLE } from "./memory-map.js";
import { readModel } from "./model.js";
import { Platform } from "./platform.js";
import { SerialChannel } from "./serial-channel.js";

/** TSC and clock run at 1 GHz: a tick is a nanosecond, unless a saved machine had another TSC. */
const TSC_HZ = 1e9;
/** Instructions between two looks at the clock. */
const SLICE = 50_000;

/** One machine with one translated CPU. */
export class TranslatorMachine implements Engine {
  readonly platform: Platform;
  readonly serial: SerialChannel[];
  readonly timers: EventQueue;
  /** The CPU, for tools and tests that look inside. */
  readonly cpu: Cpu;
  readonly #controllers: InterruptControllers;
  readonly #apic: LocalApic;
  readonly #config: MachineConfig;
  readonly #events: EngineEvents;
  readonly #started: number;
  /** Nanoseconds that an instruction-counting clock has skipped while the CPU was halted. */
  #skipped = 0;
  #pendingReset: "guest" | "triple-fault" | undefined;
  #end: MachineEnd | undefined;
  #resets = 0;
  #busy = 0;
  #pausedAt: number | undefined;
  #pausedFor = 0;
  /** Nanoseconds that a saved machine's clock was ahead. */
  #ahead = 0;
  readonly #tsc: Tsc;
  /** Vector of an interrupt that a saved machine had acknowledged and not delivered; -1: none. */
  #interrupt = -1;

  /** @throws MachineError `bad-cpu`, `out-of-memory`, `bad-boot-image`, `does-not-fit` */
  constructor(config: MachineConfig, events: EngineEvents) {
    this.#config = config;
    this.#events = events;
    const model = readModel(config.cpu);
    const memory = allocateMemory(config.memory);
    this.#started = performance.now();
    const counted = config.time === "instructions";
    const now = counted
      ? () => (this.cpu?.instructionsNow ?? 0) + this.#skipped
      : () => ((this.#pausedAt ?? performance.now()) - this.#started - this.#pausedFor) * 1e6 + this.#ahead;
    this.#tsc = new Tsc(now);
    this.timers = new EventQueue(now);
    const devices = config.devices ?? {};
    this.serial = Array.from(
      { length: devices.serialPorts ?? 1 },
      (_, port) => new SerialChannel(() => events.serialConsumed(port)),
    );
    const apicBus = new ApicBus();
    const controllers = new InterruptControllers({ set: (level) => this.#apic.lint(0).set(level) }, apicBus);
    apicBus.addEoiListener(controllers.ioApic);
    this.#controllers = controllers;
    this.platform = new Platform({
      timers: this.timers,
      ram: config.memory,
      devices,
      interrupts: controllers,
      pit: true,
      startSeconds: counted ? 0 : Date.now() / 1000,
      serial: (port) => this.serial[port],
      debugConsole: (byte) => events.debugConsole(byte),
      a20Changed: (enabled) => this.cpu?.setA20(enabled),
      reset: () => this.#requestReset("guest"),
      powerOff: () => this.finish({ reason: "poweroff" }),
      debugExit: (code) => this.finish({ reason: "debug-exit", code }),
    });
    controllers.attach(this.platform.ports, this.platform.mmio);
    this.#apic = new LocalApic({
      apicId: 0,
      bootstrap: true,
      timers: this.timers,
      bus: apicBus,
      cpu: {
        interruptChanged: (pending) => {
          if (pending) this.cpu?.attention();
        },
        nmi: () => this.cpu?.nmi(),
        init: () => this.#requestReset("guest"),
        baseChanged: () => this.#mapApic(),
      },
      externalInterrupts: controllers.pic,
      tsc: { timeOfTsc: (tsc) => this.#tsc.nanoseconds(tsc - Number(this.cpu.tscOffset)) },
    });
    apicBus.addTarget(this.#apic);
    this.cpu = new Cpu({
      memory,
      ram: [{ address: 0, size: config.memory, offset: RAM_BASE }],
      model,
      bus: this.#bus(),
      apic: this.#apicController(),
      time: this.#tsc,
    });
    this.#mapApic();
    this.#load();
  }

  get end(): MachineEnd | undefined {
    return this.#end;
  }
  get instructions(): number {
    return this.cpu.instructions;
  }
  get busyMilliseconds(): number {
    return this.#busy;
  }
  get resets(): number {
    return this.#resets;
  }

  /** The machine is over, once the instruction under way is. */
  finish(end: MachineEnd): void {
    this.#end ??= end;
    this.cpu?.stop("requested");
  }

  /** Resets everything and loads the boot source again. */
  reset(): void {
    this.#resets++;
    this.#pendingReset = undefined;
    this.#controllers.reset();
    this.platform.reset();
    this.#apic.reset();
    this.#tsc.frequency = TSC_HZ;
    this.#interrupt = -1;
    this.cpu.reset();
    this.#load();
  }

  get ram(): Uint8Array {
    return this.cpu.physical.u8.subarray(RAM_BASE, RAM_BASE + this.#config.memory);
  }

  save(): SavedHardware {
    const { cpu } = this;
    const devices = this.platform.save();
    const controllers = this.#controllers.save();
    const tsc = this.#tsc.ticks() + cpu.tscOffset;
    const processor = saveProcessor(cpu.state, { tsc, interrupt: this.#interrupt });
    return {
      clock: this.timers.now(),
      tscHz: this.#tsc.frequency,
      cpus: [{ ...processor, apic: this.#apic.save() }],
      devices: { ...controllers, ...devices },
    };
  }

  load(saved: SavedHardware): void {
    const { cpu } = this;
    const [processor] = saved.cpus;
    this.#pendingReset = undefined;
    this.#setClock(saved.clock);
    this.#tsc.frequency = saved.tscHz;
    // The offset first: the local APIC asks for the time of a TSC value.
    const { tsc, interrupt } = loadProcessor(cpu.state, processor, "cpus[0]");
    cpu.state.set64(S.tscOffset, BigInt.asUintN(64, tsc - this.#tsc.ticks()));
    this.#interrupt = interrupt;
    this.#apic.load(processor.apic);
    this.#controllers.load(saved.devices);
    this.platform.load(saved.devices);
    cpu.state.set32(S.a20, this.platform.a20.enabled ? 1 : 0);
    cpu.stateChanged();
  }

  ramChanged(): void {
    this.cpu.memoryWritten(0, this.#config.memory);
  }

  #setClock(clock: number): void {
    const passed = clock - this.timers.now();
    if (this.#config.time === "instructions") this.#skipped += passed;
    else this.#ahead += passed;
  }

  /** Stops and restarts the guest's clock. */
  pause(): void {
    this.#pausedAt ??= performance.now();
  }
  resume(): void {
    if (this.#pausedAt === undefined) return;
    this.#pausedFor += performance.now() - this.#pausedAt;
    this.#pausedAt = undefined;
  }

  runSlice(): Rest {
    this.timers.fire();
    const before = performance.now();
    const reason = this.cpu.run(SLICE);
    this.#busy += performance.now() - before;
    if (this.#end) return "run";
    if (reason === "shutdown") this.#tripleFault();
    if (this.#pendingReset) this.#resetByGuest(this.#pendingReset);
    if (reason !== "halted" || this.#end) return "run";
    return this.#rest();
  }

  #rest(): Rest {
    const { next } = this.timers;
    if (next === Number.POSITIVE_INFINITY) return next;
    const wait = next - this.timers.now();
    if (wait <= 0) return "run";
    if (this.#config.time === "instructions") {
      // Nothing can happen before the next deadline: time jumps there.
      this.#skipped += wait;
      return "run";
    }
    return wait / 1e6;
  }

  #tripleFault(): void {
    const { onTripleFault, noReboot } = this.#config;
    if (onTripleFault === "stop" || noReboot) this.finish({ reason: "triple-fault" });
    else this.#resetByGuest("triple-fault");
  }

  #requestReset(cause: "guest" | "triple-fault"): void {
    this.#pendingReset = cause;
    this.cpu?.stop("requested");
  }
  #resetByGuest(cause: "guest" | "triple-fault"): void {
    if (this.#config.noReboot) return this.finish({ reason: cause === "guest" ? "reset" : "triple-fault" });
    this.reset();
    this.#events.reset(cause);
  }

  /** Writes tables and boot source into RAM and sets the CPU's first state. */
  #load(): void {
    const { physical } = this.cpu;
    const ram = {
      size: this.#config.memory,
      write: (address: number, bytes: Uint8Array) => {
        physical.u8.set(bytes, RAM_BASE + address);
        this.cpu.memoryWritten(address, bytes.length);
      },
    };
    setInitialState(this.cpu.state, loadMachine(ram, this.#config, 1).cpu);
    this.cpu.stateChanged();
  }

  #bus(): Bus {
    const { ports, mmio } = this.platform;
    return {
      readPort: (port, size) => ports.readPort(port, size),
      writePort: (port, size, value) => ports.writePort(port, size, value),
      readPhysical: (address, size) => mmio.read(address, size as 1 | 2 | 4),
      writePhysical: (address, size, value) => mmio.write(address, size as 1 | 2 | 4, value),
    };
  }

  /** The CPU's view of its local APIC. */
  #apicController(): InterruptController {
    const apic = this.#apic;
    const value: MsrValue = { low: 0, high: 0 };
    return {
      pending: () => this.#interrupt >= 0 || apic.pending(),
      acknowledge: () => {
        const held = this.#interrupt;
        this.#interrupt = -1;
        return held >= 0 ? held : apic.acknowledge();
      },
      get taskPriority() {
        return apic.getCr8();
      },
      set taskPriority(priority) {
        apic.setCr8(priority);
      },
      readMsr: (index) => (apic.readMsr(index, value) ? (BigInt(value.high) << 32n) | BigInt(value.low) : undefined),
      writeMsr: (index, written) =>
        apic.writeMsr(index, Number(written & 0xffffffffn), Number((written >> 32n) & 0xffffffffn)),
    };
  }

  #apicAt: number | undefined;
  /** Puts the local APIC's registers where IA32_APIC_BASE says; RAM and other devices come first. */
  #mapApic(): void {
    if (!this.#apic) return;
    const { mmio } = this.platform;
    if (this.#apicAt !== undefined) mmio.remove(this.#apicAt);
    this.#apicAt = undefined;
    const base = this.#apic.baseAddress;
    if (this.#apic.mode !== "xapic" || mmio.has(base) || base < DEVICE_HOLE) return;
    mmio.add(base, 0x1000, this.#apic, "local APIC");
    this.#apicAt = base;
  }
}

/** The counter behind the TSC, on a clock in nanoseconds. */
class Tsc implements TimeSource {
  frequency = TSC_HZ;
  constructor(readonly now: () => number) {}
  ticks(): bigint {
    return BigInt(Math.floor((this.now() * this.frequency) / 1e9));
  }
  /** Clock time at which the counter reaches a value. */
  nanoseconds(ticks: number): number {
    return (ticks * 1e9) / this.frequency;
  }
}
