import { type ApicMessage, type InterruptLine, ManualClock, Pit, type PitState } from "@softmetal/chipset";
import { Cap, IrqchipId, IrqRoutingType, type Vcpu, type Vm } from "@softmetal/kvm-binding";
import { type ControllerStates, InterruptControllers } from "../machine/interrupt-controllers.js";
import type { InterruptSink, Platform } from "../machine/platform.js";
import type { Plain } from "../saved-state/fields.js";
import { holds, LEVEL_TRIGGERED, REMOTE_IRR, readIoApic, readPic, writeIoApic, writePic } from "./chip-state.js";
import { readPit, writePit } from "./pit-state.js";
import { ChipSnapshot } from "./snapshot.js";

/** Where the 8259As, the I/O APIC and the PIT are. Local APICs are always the kernel's. */
export interface KvmInterrupts extends InterruptSink {
  /** The PIT is one of the platform's devices. */
  readonly pit: boolean;
  /** Called once: the devices are there, and the boot processor is. */
  attach(platform: Platform, bootVcpu: Vcpu): void;
  /** Hands a waiting interrupt of the 8259As over; before every entry of the boot processor. */
  beforeEntry(): void;
  /** A local APIC ended a level-triggered interrupt. */
  endOfInterrupt(vector: number): void;
  reset(): void;
  /** Takes in the ends of interrupts that the kernel would tell when the vCPUs run again; they stand still. */
  settle(vcpus: readonly Vcpu[]): void;
  /** States of the controllers, and of the PIT if it is none of the platform's devices. @param clock guest time (ns) */
  save(clock: number): ControllerStates & { pit?: PitState };
  /** @throws ChipsetError, KvmError */
  load(states: Plain, clock: number): void;
}

/** KVM_PIT_SPEAKER_DUMMY: port 61H belongs to the kernel's timer. */
const PIT_WITH_PORT_61 = 1;
const PINS = 24;

/** All of them in the kernel, which is fastest. To be made before the first vCPU. */
export class KernelInterrupts implements KvmInterrupts {
  readonly pit = false;
  readonly #powerOn: ChipSnapshot;
  /** Levels of the ISA interrupts, a bit each. */
  #lines = 0;

  /** @param hostNow the host's monotonic clock, in nanoseconds */
  constructor(
    readonly vm: Vm,
    readonly hostNow: () => bigint,
  ) {
    vm.createIrqchip();
    vm.createPit2(PIT_WITH_PORT_61);
    vm.setGsiRouting(isaRoutes());
    this.#powerOn = new ChipSnapshot(vm);
  }

  isa(irq: number): InterruptLine {
    const bit = 1 << irq;
    return {
      set: (level) => {
        if (level === ((this.#lines & bit) !== 0)) return;
        this.#lines ^= bit;
        this.vm.irqLine(irq, level);
      },
    };
  }
  attach(): void {}
  beforeEntry(): void {}
  endOfInterrupt(): void {}
  settle(): void {}
  reset(): void {
    this.#powerOn.restore(this.vm);
  }

  save(clock: number): ControllerStates & { pit: PitState } {
    const { vm } = this;
    const pit = readPit(vm.getPit2(), clock, this.hostNow());
    // The kernel's PIT interrupts by short pulses; chipset's holds its line between them.
    const lines = this.#lines | (pit.output ? 1 : 0);
    const pic = (id: number) => readPic(vm.getIrqchip(id).chip.pic);
    return {
      pit,
      pic: {
        master: { ...pic(IrqchipId.PIC_MASTER), lines: lines & 0xff & ~CASCADE },
        slave: { ...pic(IrqchipId.PIC_SLAVE), lines: lines >> 8 },
        // Follows from the rest.
        output: false,
      },
      ioApic: readIoApic(vm.getIrqchip(IrqchipId.IOAPIC).chip.ioapic, pinsOf(lines)),
    };
  }

  load(states: Plain, clock: number): void {
    const { vm } = this;
    // chipset's devices check the shape.
    const controllers = new InterruptControllers({ set() {} }, { send: () => false });
    controllers.load(states);
    const timer = new Pit({ timers: new ManualClock(clock), irq: { set() {} } });
    timer.load(states.pit);
    const { pic, ioApic } = controllers.save();
    // Not for the cascade and the PIT, whose lines the kernel raises for a moment only.
    pic.master.lines &= ~(CASCADE | TIMER);
    for (const [id, state] of [
      [IrqchipId.PIC_MASTER, pic.master] as const,
      [IrqchipId.PIC_SLAVE, pic.slave] as const,
    ]) {
      const chip = vm.getIrqchip(id);
      writePic(state, chip.chip.pic);
      vm.setIrqchip(chip);
    }
    const chip = vm.getIrqchip(IrqchipId.IOAPIC);
    writeIoApic(ioApic, chip.chip.ioapic);
    vm.setIrqchip(chip);
    const pit = vm.getPit2();
    writePit(timer.save(), pit, clock);
    vm.setPit2(pit);
    this.#lines = (pic.master.lines & 0xff) | ((pic.slave.lines & 0xff) << 8);
  }
}

/** Inputs of the master 8259A. */
const TIMER = 1 << 0;
const CASCADE = 1 << 2;

/** The I/O APIC's pins of ISA interrupts; see `isaRoutes`. */
const pinsOf = (lines: number) => (lines & ~(TIMER | CASCADE)) | (lines & TIMER ? 1 << 2 : 0);

/** GSIs 0-15 to the 8259As and the I/O APIC, the timer's to pin 2 of the latter as the MADT says; 16-23 to it alone. */
function isaRoutes() {
  const route = (gsi: number, irqchip: number, pin: number) => ({
    gsi,
    type: IrqRoutingType.IRQCHIP,
    u: { irqchip: { irqchip, pin } },
  });
  const pics = Array.from({ length: 16 }, (_, gsi) =>
    route(gsi, gsi < 8 ? IrqchipId.PIC_MASTER : IrqchipId.PIC_SLAVE, gsi & 7),
  );
  const pins = Array.from({ length: PINS }, (_, gsi) => route(gsi, IrqchipId.IOAPIC, gsi === 0 ? 2 : gsi));
  // Pin 2 of the master 8259A is the cascade, pin 2 of the I/O APIC the timer: GSI 2 leads nowhere.
  return [...pics, ...pins].filter(({ gsi }) => gsi !== 2);
}

const MASKED = 0x10000;
const MSI_ADDRESS = 0xfee00000;

/** The split irqchip: only local APICs in the kernel, the other controllers and the PIT are the translator's devices. */
export class SplitInterrupts implements KvmInterrupts {
  readonly pit = true;
  readonly #controllers: InterruptControllers;
  #vcpu: Vcpu | undefined;
  #routes = "";

  constructor(readonly vm: Vm) {
    vm.enableCap(Cap.SPLIT_IRQCHIP, [BigInt(PINS)]);
    // INTR is looked at before every entry; changes happen on the boot processor's thread, outside of the guest.
    this.#controllers = new InterruptControllers({ set() {} }, { send: (message) => vm.signalMsi(msiOf(message)) > 0 });
  }

  isa(irq: number): InterruptLine {
    return this.#controllers.isa(irq);
  }

  attach({ ports, mmio }: Platform, bootVcpu: Vcpu): void {
    this.#vcpu = bootVcpu;
    this.#controllers.attach(ports, mmio, () => this.#route());
  }

  beforeEntry(): void {
    const { pic } = this.#controllers;
    if (!this.#vcpu) return;
    const page = this.#vcpu.runPage;
    if (pic.output && page.ready_for_interrupt_injection) {
      this.#vcpu.interrupt(pic.acknowledge());
      // The kernel takes one at a time and says when it takes the next.
      page.ready_for_interrupt_injection = 0;
    }
    page.request_interrupt_window = pic.output ? 1 : 0;
  }

  endOfInterrupt(vector: number): void {
    this.#controllers.ioApic.endOfInterrupt(vector);
  }

  settle(vcpus: readonly Vcpu[]): void {
    const lapics = vcpus.map((vcpu) => vcpu.getLapic());
    for (const entry of this.#controllers.ioApic.save().low) {
      const vector = entry & 0xff;
      if (entry & REMOTE_IRR && !lapics.some((lapic) => holds(lapic, vector))) this.endOfInterrupt(vector);
    }
  }

  reset(): void {
    this.#controllers.reset();
    this.#route();
  }

  save(): ControllerStates {
    return this.#controllers.save();
  }

  load(states: Plain): void {
    this.#controllers.load(states);
    this.#route();
  }

  /** Tells the kernel which vectors are level-triggered: their EOIs are ours to hear. */
  #route(): void {
    const { low, high } = this.#controllers.ioApic.save();
    const pins = low.map((entry, pin) => ({ entry, pin })).filter(({ entry }) => entry & LEVEL_TRIGGERED);
    const routes = pins
      .filter(({ entry }) => !(entry & MASKED))
      .map(({ entry, pin }) => ({
        gsi: pin,
        type: IrqRoutingType.MSI,
        u: {
          msi: {
            address_lo: (MSI_ADDRESS | ((high[pin] >>> 24) << 12) | (entry & 0x800 ? 4 : 0)) >>> 0,
            data: (entry & 0x7ff) | LEVEL_TRIGGERED | 0x4000,
          },
        },
      }));
    const key = JSON.stringify(routes);
    if (key === this.#routes) return;
    this.#routes = key;
    this.vm.setGsiRouting(routes);
  }
}

/** A message as the MSI that says the same (SDM vol. 3A, 11.11). */
function msiOf(message: ApicMessage) {
  const level = message.trigger === "level";
  const logical = message.destinationMode === "logical" ? 4 : 0;
  return {
    address_lo: (MSI_ADDRESS | ((message.destination & 0xff) << 12) | logical) >>> 0,
    data: message.vector | (message.deliveryMode << 8) | (level ? LEVEL_TRIGGERED | 0x4000 : 0),
  };
}
