import { ChipsetError } from "../error.js";
import type { Device, InterruptLine, MmioDevice } from "../interfaces.js";
import { copyState } from "../state.js";
import { APIC_MSR, BASE_BSP, BASE_EN, BASE_EXTD, DEFAULT_BASE, isLegalBaseWrite } from "./apic-base.js";
import { ApicTimer, type ApicTimerState } from "./apic-timer.js";
import { decodeIcr, icrShorthand, Shorthand } from "./icr.js";
import type { LocalApicOptions, MsrValue } from "./local-apic-options.js";
import { type ApicTarget, DeliveryMode, isFixed, widenDestination } from "./message.js";
import { findRegister, LVT_OFFSETS, Reg } from "./registers.js";
import { VectorRegisters, type VectorRegistersState } from "./vector-registers.js";

/** Version 0x14, seven LVT entries, EOI-broadcast suppression. */
const VERSION = 0x0106_0014;
const SVR_ENABLE = 0x100;
const SVR_SUPPRESS_EOI = 0x1000;
const LVT_REMOTE_IRR = 0x4000;
const LVT_LEVEL = 0x8000;
const LVT_MASKED = 0x1_0000;
const ESR_SEND_ILLEGAL = 0x20;
const ESR_RECEIVE_ILLEGAL = 0x40;
const ESR_ILLEGAL_REGISTER = 0x80;

const LVT_TIMER = LVT_OFFSETS.indexOf(Reg.LvtTimer);
const LVT_LINT0 = LVT_OFFSETS.indexOf(Reg.LvtLint0);
const LVT_LINT1 = LVT_OFFSETS.indexOf(Reg.LvtLint1);
const LVT_ERROR = LVT_OFFSETS.indexOf(Reg.LvtError);

function initialState(bootstrap: boolean) {
  return {
    baseLow: DEFAULT_BASE + BASE_EN + (bootstrap ? BASE_BSP : 0),
    baseHigh: 0,
    tpr: 0,
    ldr: 0,
    dfr: 0xffff_ffff,
    svr: 0xff,
    esr: 0,
    /** Errors since the last write of ESR. */
    errors: 0,
    icrLow: 0,
    icrHigh: 0,
    /** In the order of LVT_OFFSETS. */
    lvt: LVT_OFFSETS.map(() => LVT_MASKED),
    /** Levels of the LINT0 and LINT1 pins. */
    lint: [false, false],
    /** An ExtINT message (rather than LINT0) waits to be acknowledged. */
    extInt: false,
  };
}

/** State of a local APIC. */
export type LocalApicState = ReturnType<typeof initialState> & {
  vectors: VectorRegistersState;
  timer: ApicTimerState;
};

/** A vCPU's local APIC in xAPIC and x2APIC mode (Intel SDM vol. 3A, chapter 11). */
export class LocalApic implements MmioDevice, ApicTarget, Device<LocalApicState> {
  #s: ReturnType<typeof initialState>;
  readonly #o: LocalApicOptions;
  readonly #vectors = new VectorRegisters();
  readonly #timer: ApicTimer;
  #pending = false;

  constructor(options: LocalApicOptions) {
    if (!Number.isInteger(options.apicId) || options.apicId < 0 || options.apicId > 0xffff_fffe) {
      throw new ChipsetError("bad-config", "local-apic.apicId", "an APIC ID is a number from 0 to 0xfffffffe");
    }
    this.#o = options;
    this.#s = initialState(options.bootstrap);
    this.#timer = new ApicTimer({
      timers: options.timers,
      hz: options.timerHz ?? 1e9,
      tsc: options.tsc,
      minimumPeriodNs: options.minimumTimerPeriodNs ?? 20_000,
      expired: () => this.#deliverLocal(LVT_TIMER),
    });
    this.reset();
  }

  // ---- CPU side

  /** Whether an interrupt waits that the CPU may take when its IF allows it. */
  pending(): boolean {
    return this.#pending;
  }

  /** The CPU takes the interrupt. Returns its vector, -1 when there is none. */
  acknowledge(): number {
    const s = this.#s;
    if (this.#extIntPending()) {
      s.extInt = false;
      const vector = this.#o.externalInterrupts?.acknowledge() ?? -1;
      this.#update();
      return vector;
    }
    const vector = this.#deliverable();
    if (vector >= 0) this.#vectors.take(vector);
    this.#update();
    return vector;
  }

  getCr8(): number {
    return this.#s.tpr >> 4;
  }

  setCr8(value: number): void {
    this.#s.tpr = (value & 15) << 4;
    this.#update();
  }

  /** Pin LINT0 (the 8259A's INTR) or LINT1 (NMI sources). */
  lint(pin: 0 | 1): InterruptLine {
    return { set: (level) => this.#setLint(pin, level) };
  }

  /** Physical address of the register page, and whether it answers. */
  get mode(): "disabled" | "xapic" | "x2apic" {
    const { baseLow } = this.#s;
    if (!(baseLow & BASE_EN)) return "disabled";
    return baseLow & BASE_EXTD ? "x2apic" : "xapic";
  }

  /** Physical address of the 4 KiB register page; it answers in xAPIC mode only. */
  get baseAddress(): number {
    return this.#s.baseHigh * 0x1_0000_0000 + ((this.#s.baseLow & 0xffff_f000) >>> 0);
  }

  // ---- MSRs

  /** RDMSR of one of {@link APIC_MSR}. Returns false for #GP. */
  readMsr(msr: number, value: MsrValue): boolean {
    const s = this.#s;
    value.high = 0;
    if (msr === APIC_MSR.base) {
      value.low = s.baseLow >>> 0;
      value.high = s.baseHigh;
      return true;
    }
    if (msr === APIC_MSR.tscDeadline) {
      if (!this.#o.tsc) return false;
      value.low = this.#timer.deadlineLow;
      value.high = this.#timer.deadlineHigh;
      return true;
    }
    const register = this.#x2apicRegister(msr);
    if (!register || register.access === "w") return false;
    value.low = this.#read(register.offset) >>> 0;
    if (register.offset === Reg.IcrLow) value.high = s.icrHigh >>> 0;
    return true;
  }

  /** WRMSR of one of {@link APIC_MSR} (unsigned halves). Returns false for #GP. */
  writeMsr(msr: number, low: number, high: number): boolean {
    if (msr === APIC_MSR.base) return this.#writeBase(low >>> 0, high >>> 0);
    if (msr === APIC_MSR.tscDeadline) {
      if (!this.#o.tsc) return false;
      this.#timer.setDeadline(low >>> 0, high >>> 0);
      return true;
    }
    const register = this.#x2apicRegister(msr);
    if (!register || register.access === "r" || register.offset === Reg.Ldr) return false;
    if ((low & ~(register.writable | register.readOnly)) !== 0) return false;
    if (register.offset === Reg.IcrLow) this.#s.icrHigh = high >>> 0;
    else if (high !== 0) return false;
    this.#write(register.offset, (low & register.writable) >>> 0);
    return true;
  }

  // ---- MMIO (offsets in the register page)

  readMmio(offset: number, size: 1 | 2 | 4): number {
    if (this.mode !== "xapic") return size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff;
    const byte = offset & 15;
    if (byte > 3) return 0;
    const register = findRegister((offset & 0xfff) >> 4, false);
    if (!register) {
      this.#error(ESR_ILLEGAL_REGISTER);
      return 0;
    }
    if (register.access === "w") return 0;
    const value = this.#read(register.offset) >>> (byte * 8);
    return size === 4 ? value : value & (size === 2 ? 0xffff : 0xff);
  }

  writeMmio(offset: number, size: 1 | 2 | 4, value: number): void {
    // Registers are 32 bits wide; other writes are undefined and here do nothing.
    if (this.mode !== "xapic" || size !== 4 || offset & 15) return;
    const register = findRegister((offset & 0xfff) >> 4, false);
    if (!register) this.#error(ESR_ILLEGAL_REGISTER);
    else if (register.access !== "r") this.#write(register.offset, (value & register.writable) >>> 0);
  }

  // ---- messages

  get apicId(): number {
    return this.#o.apicId;
  }

  get x2apic(): boolean {
    return this.mode === "x2apic";
  }

  get listening(): boolean {
    return (this.#s.baseLow & BASE_EN) !== 0;
  }

  /** PPR: what an interrupt's priority class must exceed. */
  get processorPriority(): number {
    return this.#vectors.processorPriority(this.#s.tpr);
  }

  matchesLogical(destination: number): boolean {
    if (this.x2apic) {
      const ldr = this.#ldr();
      return destination >>> 16 === ldr >>> 16 && (destination & ldr & 0xffff) !== 0;
    }
    if (destination > 0xff) return false;
    const id = this.#s.ldr >>> 24;
    if (this.#s.dfr >>> 28 === 15) return (destination & id) !== 0;
    const cluster = destination >> 4;
    return (cluster === 15 || cluster === id >> 4) && (destination & id & 15) !== 0;
  }

  accept(deliveryMode: DeliveryMode, vector: number, trigger: "edge" | "level"): boolean {
    switch (deliveryMode) {
      case DeliveryMode.Fixed:
      case DeliveryMode.LowestPriority:
        return this.#acceptFixed(vector, trigger === "level");
      case DeliveryMode.Smi:
        this.#o.cpu.smi?.();
        return true;
      case DeliveryMode.Nmi:
        this.#o.cpu.nmi?.();
        return true;
      case DeliveryMode.Init:
        this.init();
        this.#o.cpu.init?.();
        return true;
      case DeliveryMode.Startup:
        this.#o.cpu.startup?.(vector);
        return true;
      case DeliveryMode.ExtInt:
        this.#s.extInt = true;
        this.#update();
        return true;
      default:
        return false;
    }
  }

  // ---- state

  reset(): void {
    const { lint } = this.#s;
    this.#s = { ...initialState(this.#o.bootstrap), lint };
    this.#initialise();
    this.#o.cpu.baseChanged?.();
  }

  /** INIT: as reset, but IA32_APIC_BASE (and with it the mode) stays. */
  init(): void {
    const { lint, baseLow, baseHigh } = this.#s;
    this.#s = { ...initialState(this.#o.bootstrap), lint, baseLow, baseHigh };
    this.#initialise();
  }

  save(): LocalApicState {
    return { ...copyState(this.#s, this.#s, "local-apic"), vectors: this.#vectors.save(), timer: this.#timer.save() };
  }

  load(state: unknown): void {
    this.#s = copyState(this.#s, state, "local-apic.state");
    this.#vectors.load((state as LocalApicState).vectors);
    this.#timer.load((state as LocalApicState).timer);
    this.#update();
    this.#o.cpu.baseChanged?.();
  }

  #initialise(): void {
    this.#vectors.reset();
    this.#timer.reset();
    if (this.#o.bootstrap) {
      this.#s.lvt[LVT_LINT0] = DeliveryMode.ExtInt << 8;
      this.#s.lvt[LVT_LINT1] = DeliveryMode.Nmi << 8;
    }
    this.#update();
  }

  #x2apicRegister(msr: number) {
    if (msr < APIC_MSR.x2apicFirst || msr > APIC_MSR.x2apicLast || !this.x2apic) return undefined;
    return findRegister(msr - APIC_MSR.x2apicFirst, true);
  }

  #writeBase(low: number, high: number): boolean {
    const s = this.#s;
    if (!isLegalBaseWrite(s.baseLow, low, high, this.#o.x2apic !== false)) return false;
    const old = s.baseLow & (BASE_EN | BASE_EXTD);
    const next = low & (BASE_EN | BASE_EXTD);
    if (next === 0 && old !== 0) this.init();
    this.#s.baseLow = ((low & ~BASE_BSP) | (s.baseLow & BASE_BSP)) >>> 0;
    this.#s.baseHigh = high;
    if (next !== old && next & BASE_EXTD) this.#s.icrHigh = 0;
    this.#update();
    this.#o.cpu.baseChanged?.();
    return true;
  }

  #ldr(): number {
    if (!this.x2apic) return this.#s.ldr;
    const id = this.#o.apicId;
    return ((id & 0xffff0) << 12) | (1 << (id & 15));
  }

  #read(offset: number): number {
    const s = this.#s;
    switch (offset) {
      case Reg.Id:
        return this.x2apic ? this.#o.apicId : this.#o.apicId << 24;
      case Reg.Version:
        return VERSION;
      case Reg.Tpr:
        return s.tpr;
      case Reg.Apr:
        return this.#vectors.arbitrationPriority(s.tpr);
      case Reg.Ppr:
        return this.processorPriority;
      case Reg.Ldr:
        return this.#ldr();
      case Reg.Dfr:
        return s.dfr;
      case Reg.Svr:
        return s.svr;
      case Reg.Esr:
        return s.esr;
      case Reg.IcrLow:
        return s.icrLow;
      case Reg.IcrHigh:
        return s.icrHigh;
      case Reg.InitialCount:
        return this.#timer.initialCount;
      case Reg.CurrentCount:
        return this.#timer.currentCount;
      case Reg.DivideConfiguration:
        return this.#timer.divideConfiguration;
    }
    const entry = LVT_OFFSETS.indexOf(offset);
    return entry >= 0 ? s.lvt[entry] : this.#vectors.word(offset);
  }

  /** `value` has the register's writable bits only. */
  #write(offset: number, value: number): void {
    const s = this.#s;
    switch (offset) {
      case Reg.Tpr:
        s.tpr = value;
        return this.#update();
      case Reg.Eoi:
        return this.#endOfInterrupt();
      case Reg.Ldr:
        s.ldr = value;
        return;
      case Reg.Dfr:
        s.dfr = (value | 0x0fff_ffff) >>> 0;
        return;
      case Reg.Svr:
        s.svr = value;
        // Clearing the enable bit masks the whole local vector table.
        if (!(value & SVR_ENABLE)) for (let i = 0; i < s.lvt.length; i++) s.lvt[i] |= LVT_MASKED;
        return this.#update();
      case Reg.Esr:
        s.esr = s.errors;
        s.errors = 0;
        return;
      case Reg.IcrLow:
        s.icrLow = value;
        return this.#sendIpi();
      case Reg.IcrHigh:
        s.icrHigh = value;
        return;
      case Reg.SelfIpi:
        this.#acceptFixed(value, false);
        return;
      case Reg.InitialCount:
        this.#timer.initialCount = value;
        return;
      case Reg.DivideConfiguration:
        this.#timer.divideConfiguration = value;
        return;
      default:
        this.#writeLvt(LVT_OFFSETS.indexOf(offset), value);
    }
  }

  #writeLvt(entry: number, value: number): void {
    const s = this.#s;
    if (entry < 0) return;
    s.lvt[entry] =
      value | (s.svr & SVR_ENABLE ? 0 : LVT_MASKED) | (value & LVT_LEVEL ? s.lvt[entry] & LVT_REMOTE_IRR : 0);
    if (entry === LVT_TIMER) this.#timer.mode = (value >> 17) & (this.#o.tsc ? 3 : 1);
    else if (entry === LVT_LINT0 || entry === LVT_LINT1) this.#deliverLevelLint(entry);
    this.#update();
  }

  #sendIpi(): void {
    const { icrLow, icrHigh } = this.#s;
    const message = decodeIcr(icrLow, this.x2apic ? icrHigh : widenDestination(icrHigh >>> 24));
    if (isFixed(message.deliveryMode) && message.vector < 16) return this.#error(ESR_SEND_ILLEGAL);
    switch (icrShorthand(icrLow)) {
      case Shorthand.None:
        this.#o.bus.send(message);
        break;
      case Shorthand.Self:
        this.accept(message.deliveryMode, message.vector, "edge");
        break;
      case Shorthand.All:
        this.#o.bus.broadcast(message);
        break;
      case Shorthand.Others:
        this.#o.bus.broadcast(message, this);
        break;
    }
  }

  #acceptFixed(vector: number, level: boolean): boolean {
    const s = this.#s;
    if (!(s.svr & SVR_ENABLE)) return false;
    if (vector < 16) {
      this.#error(ESR_RECEIVE_ILLEGAL);
      return false;
    }
    this.#vectors.request(vector, level);
    this.#update();
    return true;
  }

  #endOfInterrupt(): void {
    const s = this.#s;
    const vector = this.#vectors.end();
    if (vector < 0) return;
    if (this.#vectors.isLevel(vector)) {
      for (const entry of [LVT_LINT0, LVT_LINT1]) {
        if ((s.lvt[entry] & 0xff) !== vector || !(s.lvt[entry] & LVT_REMOTE_IRR)) continue;
        s.lvt[entry] &= ~LVT_REMOTE_IRR;
        this.#deliverLevelLint(entry);
      }
      if (!(s.svr & SVR_SUPPRESS_EOI)) this.#o.bus.broadcastEoi(vector);
    }
    this.#update();
  }

  #setLint(pin: 0 | 1, level: boolean): void {
    const s = this.#s;
    if (s.lint[pin] === level) return;
    s.lint[pin] = level;
    const entry = pin === 0 ? LVT_LINT0 : LVT_LINT1;
    if (!this.listening) {
      // The pins are INTR and NMI then.
      if (level && pin === 1) this.#o.cpu.nmi?.();
    } else if (s.lvt[entry] & LVT_LEVEL) this.#deliverLevelLint(entry);
    else if (level) this.#deliverLocal(entry);
    this.#update();
  }

  /** A level-triggered LINT pin in fixed mode interrupts again as long as it is asserted. */
  #deliverLevelLint(entry: number): void {
    const s = this.#s;
    const lvt = s.lvt[entry];
    const asserted = s.lint[entry - LVT_LINT0];
    const fixed = ((lvt >> 8) & 7) === DeliveryMode.Fixed;
    if (!asserted || !fixed || !(lvt & LVT_LEVEL) || lvt & (LVT_MASKED | LVT_REMOTE_IRR)) return;
    if (this.#acceptFixed(lvt & 0xff, true)) s.lvt[entry] |= LVT_REMOTE_IRR;
  }

  #deliverLocal(entry: number): void {
    const lvt = this.#s.lvt[entry];
    if (lvt & LVT_MASKED) return;
    // The timer and error entries have no delivery mode: their bits 10-8 are zero, which is Fixed.
    const mode = (lvt >> 8) & 7;
    // An ExtINT pin is looked at by level; nothing is latched.
    if (mode !== DeliveryMode.ExtInt) this.accept(mode as DeliveryMode, lvt & 0xff, "edge");
  }

  #error(bit: number): void {
    const s = this.#s;
    const first = !(s.errors & bit);
    s.errors |= bit;
    // An illegal vector in the error entry itself would recurse.
    if (first && (s.lvt[LVT_ERROR] & 0xff) >= 16) this.#deliverLocal(LVT_ERROR);
  }

  #extIntPending(): boolean {
    const s = this.#s;
    if (!this.listening) return s.lint[0];
    if (s.extInt) return true;
    return s.lint[0] && (s.lvt[LVT_LINT0] & (LVT_MASKED | 0x700)) === DeliveryMode.ExtInt << 8;
  }

  /** The vector that may interrupt the CPU now, -1 when there is none. */
  #deliverable(): number {
    return this.listening ? this.#vectors.deliverable(this.#s.tpr) : -1;
  }

  #update(): void {
    const pending = this.#extIntPending() || this.#deliverable() >= 0;
    if (pending === this.#pending) return;
    this.#pending = pending;
    this.#o.cpu.interruptChanged?.(pending);
  }
}
