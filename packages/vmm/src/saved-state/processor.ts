import { S, SEGMENTS, type State } from "@softmetal/x86-core";
import { bad } from "./container.js";
import { array, hex, integer, object, oneOf, u32, u64 } from "./fields.js";

/**
 * A processor's registers by name, so that a saved machine outlives the layout of `x86-core`'s state: 64-bit values as
 * hexadecimal text, others as numbers. x87 registers are by physical number, significand before sign and exponent; XMM
 * registers have their low half first; MTRRs are in the order of their MSRs. There is no AVX: no CPU model has it.
 */
export interface SavedProcessor {
  readonly registers: { readonly [name: string]: string | number | readonly string[] };
  readonly segments: { readonly [name: string]: SavedSegment };
  readonly rflags: number;
  /** The time-stamp counter. */
  readonly tsc: string;
  readonly activity: (typeof ACTIVITIES)[number];
  /** Vector of an interrupt that was acknowledged and not delivered yet; -1: none. */
  readonly interrupt: number;
}

interface SavedSegment {
  readonly selector: number;
  readonly base: string;
  readonly limit: number;
  /** Bits 8-23 of a descriptor's second word. */
  readonly attributes: number;
}

const QUADWORDS: { readonly [name: string]: readonly [field: number, count: number] } = {
  general: [S.gpr, 16],
  rip: [S.rip, 1],
  xmm: [S.xmm, 32],
  x87: [S.fpr, 16],
  fip: [S.fip, 1],
  fdp: [S.fdp, 1],
  cr0: [S.cr0, 1],
  cr2: [S.cr2, 1],
  cr3: [S.cr3, 1],
  cr4: [S.cr4, 1],
  efer: [S.efer, 1],
  xcr0: [S.xcr0, 1],
  dr: [S.dr, 8],
  gdtBase: [S.gdtBase, 1],
  idtBase: [S.idtBase, 1],
  star: [S.star, 1],
  lstar: [S.lstar, 1],
  cstar: [S.cstar, 1],
  sfmask: [S.sfmask, 1],
  kernelGsBase: [S.kernelGsBase, 1],
  sysenterCs: [S.sysenterCs, 1],
  sysenterEsp: [S.sysenterEsp, 1],
  sysenterEip: [S.sysenterEip, 1],
  tscAux: [S.tscAux, 1],
  pat: [S.pat, 1],
  miscEnable: [S.miscEnable, 1],
  mtrrDefType: [S.mtrrDefType, 1],
  mtrrFixed: [S.mtrrFixed, 11],
  mtrrVariable: [S.mtrrVariable, 16],
};

/** With the bits that they can have. */
const WORDS: { readonly [name: string]: readonly [field: number, mask: number] } = {
  fcw: [S.fcw, 0xffff],
  fsw: [S.fsw, 0xc7ff],
  ftop: [S.ftop, 7],
  ftags: [S.ftags, 0xff],
  fop: [S.fop, 0x7ff],
  fcs: [S.fcs, 0xffff],
  fds: [S.fds, 0xffff],
  mxcsr: [S.mxcsr, 0xffff],
  gdtLimit: [S.gdtLimit, 0xffff],
  idtLimit: [S.idtLimit, 0xffff],
  shadow: [S.shadow, 3],
  nmiBlocked: [S.nmiBlocked, 1],
  nmiPending: [S.nmiPending, 1],
  debugPending: [S.debugPending, 0xe00f],
};

/** By the number in `S.activity`; a processor that has shut down is reset before anybody can save it. */
const ACTIVITIES = ["running", "halted", "shut-down", "waiting-for-startup"] as const;
const ATTRIBUTES = 0xf0ff00;
/** Segments whose base has 32 bits (SDM vol. 3, 26.3.1.2). */
const NARROW: readonly number[] = [SEGMENTS.es, SEGMENTS.cs, SEGMENTS.ss, SEGMENTS.ds];

const CR0_PE = 1n;
const CR0_ET = 0x10n;
const CR0_PG = 0x80000000n;
const CR4_PAE = 0x20n;
const EFER_LME = 0x100n;
const EFER_LMA = 0x400n;
const X87_AND_SSE = 3n;

/** What a state does not hold. */
export interface Beside {
  tsc: bigint;
  interrupt: number;
}

export function saveProcessor(state: State, { tsc, interrupt }: Beside): SavedProcessor {
  const registers: Record<string, string | number | string[]> = {};
  for (const [name, [field, count]] of Object.entries(QUADWORDS)) {
    const values = Array.from({ length: count }, (_, index) => hex(state.get64(field + index * 8)));
    registers[name] = count === 1 ? values[0] : values;
  }
  for (const [name, [field]] of Object.entries(WORDS)) registers[name] = state.get32(field);
  const segments: Record<string, SavedSegment> = {};
  for (const [name, index] of Object.entries(SEGMENTS)) {
    segments[name] = {
      selector: state.selector(index),
      base: hex(state.base(index)),
      limit: state.limit(index),
      attributes: state.attributes(index),
    };
  }
  return {
    ...{ registers, segments, interrupt, rflags: state.rflags, tsc: hex(BigInt.asUintN(64, tsc)) },
    activity: ACTIVITIES[state.get32(S.activity)],
  };
}

/**
 * Sets a state, but for the difference of the TSC, the A20 gate and what is derived.
 * @throws MachineError `bad-saved-state`; the state is partly set then
 */
export function loadProcessor(state: State, given: unknown, where: string): Beside {
  const saved = object(given, where);
  const registers = object(saved.registers, `${where}.registers`);
  for (const [name, [field, count]] of Object.entries(QUADWORDS)) {
    const at = `${where}.registers.${name}`;
    const values = count === 1 ? [registers[name]] : array(registers[name], at, count);
    for (const [index, value] of values.entries()) state.set64(field + index * 8, u64(value, at));
  }
  for (const [name, [field, mask]] of Object.entries(WORDS)) {
    state.set32(field, u32(registers[name], `${where}.registers.${name}`) & mask);
  }
  const segments = object(saved.segments, `${where}.segments`);
  for (const [name, index] of Object.entries(SEGMENTS)) {
    const at = `${where}.segments.${name}`;
    const segment = object(segments[name], at);
    const base = u64(segment.base, `${at}.base`);
    state.setSegment(
      index,
      u32(segment.selector, `${at}.selector`) & 0xffff,
      NARROW.includes(index) ? BigInt.asUintN(32, base) : base,
      u32(segment.limit, `${at}.limit`),
      u32(segment.attributes, `${at}.attributes`) & ATTRIBUTES,
    );
  }
  for (let index = 0; index < 8; index++) {
    const sign = S.fpr + index * 16 + 8;
    state.set64(sign, state.get64(sign) & 0xffffn);
  }
  checkModes(state, where);
  state.rflags = u32(saved.rflags, `${where}.rflags`);
  const activity = oneOf(saved.activity, `${where}.activity`, ACTIVITIES);
  state.set32(S.activity, ACTIVITIES.indexOf(activity));
  return {
    tsc: u64(saved.tsc, `${where}.tsc`),
    interrupt: integer(saved.interrupt, `${where}.interrupt`, -1, 255),
  };
}

/** Refuses what no instruction can bring about, since code decides by one of these bits what the others are. */
function checkModes(state: State, where: string): void {
  const [cr0, cr4, efer, xcr0] = [S.cr0, S.cr4, S.efer, S.xcr0].map((field) => state.get64(field));
  const paging = (cr0 & CR0_PG) !== 0n;
  const long = (efer & EFER_LMA) !== 0n;
  const consistent =
    (!paging || (cr0 & CR0_PE) !== 0n) &&
    long === (paging && (efer & EFER_LME) !== 0n) &&
    (!long || (cr4 & CR4_PAE) !== 0n);
  if (!consistent) throw bad(`The saved machine's ${where} has control registers that contradict each other.`);
  if ((xcr0 & ~X87_AND_SSE) !== 0n || (xcr0 & 1n) === 0n) {
    throw bad(`The saved machine's ${where} has processor state beyond x87 and SSE, which no CPU model has.`);
  }
  state.set64(S.cr0, cr0 | CR0_ET);
}
