import type { I8259aState, IoApicState, LocalApicState } from "@softmetal/chipset";
import type { IoapicState, LapicState, PicState } from "@softmetal/kvm-binding";

/** The kernel's interrupt controllers in the format of chipset's, and back. */

/** Command words of the 8259A that KVM keeps in pieces. */
const ICW1_ICW4_NEEDED = 0x01;
const ICW4_AUTO_EOI = 0x02;
const ICW4_SPECIAL_FULLY_NESTED = 0x10;
/** chipset tells a chip that waits for its first command word from one that is ready. */
const READY = 0;
const NEVER_INITIALISED = 1;

export function readPic(pic: PicState): I8259aState {
  const untouched = pic.init_state === 0 && pic.irq_base === 0;
  return {
    lines: pic.last_irr,
    irr: pic.irr,
    isr: pic.isr,
    imr: pic.imr,
    elcr: pic.elcr,
    vectorBase: pic.irq_base,
    lowest: (pic.priority_add + 7) & 7,
    // Both number the command words that are waited for from 2 on.
    init: untouched ? NEVER_INITIALISED : pic.init_state === 0 ? READY : pic.init_state + 1,
    icw1: pic.init4 ? ICW1_ICW4_NEEDED : 0,
    icw4: (pic.auto_eoi ? ICW4_AUTO_EOI : 0) | (pic.special_fully_nested_mode ? ICW4_SPECIAL_FULLY_NESTED : 0),
    specialMask: pic.special_mask !== 0,
    rotateOnAutoEoi: pic.rotate_on_auto_eoi !== 0,
    readIsr: pic.read_reg_select !== 0,
    poll: pic.poll !== 0,
  };
}

/** Keeps what is not state: which inputs may be level-triggered. */
export function writePic(state: I8259aState, pic: PicState): void {
  pic.$assign({
    ...{ last_irr: state.lines, irr: state.irr, isr: state.isr, imr: state.imr, elcr: state.elcr },
    irq_base: state.vectorBase,
    priority_add: (state.lowest + 1) & 7,
    init_state: state.init <= NEVER_INITIALISED ? 0 : state.init - 1,
    init4: state.icw1 & ICW1_ICW4_NEEDED ? 1 : 0,
    auto_eoi: state.icw4 & ICW4_AUTO_EOI ? 1 : 0,
    special_fully_nested_mode: state.icw4 & ICW4_SPECIAL_FULLY_NESTED ? 1 : 0,
    special_mask: Number(state.specialMask),
    rotate_on_auto_eoi: Number(state.rotateOnAutoEoi),
    read_reg_select: Number(state.readIsr),
    poll: Number(state.poll),
  });
}

/** @param lines levels of the pins; KVM's request bits lack edges that it has sent */
export function readIoApic(chip: IoapicState, lines: number): IoApicState {
  const entries = [...chip.redirtbl];
  return {
    id: chip.id,
    select: chip.ioregsel,
    lines,
    low: entries.map((entry) => Number(entry & 0xffffffffn)),
    high: entries.map((entry) => Number(entry >> 32n)),
  };
}

export function writeIoApic(state: IoApicState, chip: IoapicState): void {
  const redirtbl = state.low.map((low, pin) => (BigInt(state.high[pin] >>> 0) << 32n) | BigInt(low >>> 0));
  // KVM sends an interrupt for every request bit that it is given: not for edges, which have been sent.
  const level = state.low.reduce((pins, low, pin) => (low & LEVEL_TRIGGERED ? pins | (1 << pin) : pins), 0);
  chip.$assign({ id: state.id & 15, ioregsel: state.select & 0xff, irr: (state.lines & level) >>> 0, redirtbl });
}

/** In the low half of a redirection entry. */
export const LEVEL_TRIGGERED = 0x8000;
/** A level-triggered interrupt was sent and not ended yet. */
export const REMOTE_IRR = 0x4000;

/** Offsets of the local APIC's registers (SDM vol. 3A, table 11-1). */
const REG = {
  ...{ tpr: 0x80, ldr: 0xd0, dfr: 0xe0, svr: 0xf0, isr: 0x100, tmr: 0x180, irr: 0x200, esr: 0x280 },
  ...{ icrLow: 0x300, icrHigh: 0x310, initialCount: 0x380, currentCount: 0x390, divide: 0x3e0 },
} as const;
/** In chipset's order: CMCI, timer, thermal, performance, LINT0, LINT1, error. */
const LVTS = [0x2f0, 0x320, 0x330, 0x340, 0x350, 0x360, 0x370];
const LVT_TIMER = 1;
/** Bits 18-17 of the timer's entry. */
const PERIODIC = 1;

/** Whether an interrupt waits for its processor or is in service. */
export function holds(lapic: LapicState, vector: number): boolean {
  const word = (vector >> 5) * 16;
  const view = viewOf(lapic);
  return (((view.getUint32(REG.irr + word, true) | view.getUint32(REG.isr + word, true)) >>> (vector & 31)) & 1) !== 0;
}

/**
 * Whether the timer's count has run out. KVM does not tell an interrupt that it has raised from one that it raises at
 * the next entry.
 */
export function hasRunOut({ regs }: LapicState): boolean {
  const view = new DataView(regs.buffer, regs.byteOffset, regs.length);
  return view.getUint32(REG.initialCount, true) !== 0 && view.getUint32(REG.currentCount, true) === 0;
}
/** KVM's bus runs at 1 GHz, as chipset's timer does unless told otherwise: a count is a nanosecond. */
const tickNs = (divide: number) => {
  const code = (divide & 3) | ((divide & 8) >> 1);
  return code === 7 ? 1 : 2 << code;
};

export interface LapicContext {
  /** IA32_APIC_BASE. */
  base: bigint;
  /** IA32_TSC_DEADLINE. */
  deadline: bigint;
  /** Guest time in nanoseconds. */
  now: number;
  /** The time-stamp counter and its frequency. */
  tsc: bigint;
  tscHz: number;
}

export function readLapic(lapic: LapicState, context: LapicContext): LocalApicState {
  const { base, deadline, now } = context;
  const view = viewOf(lapic);
  const get = (offset: number) => view.getUint32(offset, true);
  const set = (offset: number) => Array.from({ length: 8 }, (_, index) => get(offset + index * 16));
  return {
    baseLow: Number(base & 0xffffffffn),
    baseHigh: Number(base >> 32n),
    ...{ tpr: get(REG.tpr), ldr: get(REG.ldr), dfr: get(REG.dfr), svr: get(REG.svr), esr: get(REG.esr), errors: 0 },
    ...{ icrLow: get(REG.icrLow), icrHigh: get(REG.icrHigh) },
    lvt: LVTS.map((offset) => (offset === 0x2f0 && get(offset) === 0 ? 0x10000 : get(offset))),
    lint: [false, false],
    extInt: false,
    vectors: { irr: set(REG.irr), isr: set(REG.isr), tmr: set(REG.tmr) },
    timer: {
      mode: (get(LVTS[LVT_TIMER]) >> 17) & 3,
      initialCount: get(REG.initialCount),
      divideConfiguration: get(REG.divide),
      expiry: expiryOf(get, context),
      lastFired: now,
      deadlineLow: Number(deadline & 0xffffffffn),
      deadlineHigh: Number(deadline >> 32n),
    },
  };
}

/** When the timer expires, on the guest's clock; -1 when it does not run. */
function expiryOf(get: (offset: number) => number, { deadline, now, tsc, tscHz }: LapicContext): number {
  const current = get(REG.currentCount);
  if (current !== 0) return now + current * tickNs(get(REG.divide));
  const mode = (get(LVTS[LVT_TIMER]) >> 17) & 3;
  if (mode === PERIODIC && get(REG.initialCount) !== 0) return now;
  return deadline === 0n ? -1 : Math.max(0, now + (Number(deadline - tsc) * 1e9) / tscHz);
}

/** Writes into the register page of a local APIC of the same ID; KVM restarts its timer from the current count. */
export function writeLapic(state: LocalApicState, lapic: LapicState, now: number): void {
  const view = viewOf(lapic);
  const put = (offset: number, value: number) => view.setUint32(offset, value, true);
  const putSet = (offset: number, words: readonly number[]) =>
    words.forEach((word, index) => {
      put(offset + index * 16, word);
    });
  for (const name of ["tpr", "ldr", "dfr", "svr", "esr", "icrLow", "icrHigh"] as const) put(REG[name], state[name]);
  state.lvt.forEach((entry, index) => {
    put(LVTS[index], entry);
  });
  putSet(REG.irr, state.vectors.irr);
  putSet(REG.isr, state.vectors.isr);
  putSet(REG.tmr, state.vectors.tmr);
  const { initialCount, divideConfiguration, expiry } = state.timer;
  put(REG.initialCount, initialCount);
  put(REG.divide, divideConfiguration);
  put(REG.currentCount, expiry < 0 ? 0 : Math.max(1, Math.round((expiry - now) / tickNs(divideConfiguration))));
}

const viewOf = ({ regs }: LapicState) => new DataView(regs.buffer, regs.byteOffset, regs.length);
