import type { Float80, FloatContext } from "../softfloat/index.js";
import { createContext } from "../softfloat/index.js";
import { fprOffset, S, STATE } from "../state/layout.js";
import type { State } from "../state/state.js";

/** Bits of the status word (SDM vol. 1, 8.1.3); `S.fsw` holds all but TOP. */
export const FSW = {
  EXCEPTIONS: 0x3f,
  /** Stack fault. */
  SF: 0x40,
  /** Error summary: an unmasked exception is pending. */
  ES: 0x80,
  C0: 0x100,
  C1: 0x200,
  C2: 0x400,
  C3: 0x4000,
  /** Busy: the same as ES. */
  B: 0x8000,
  TOP: 0x3800,
} as const;

/** The control word after FNINIT, and its bits that are not fixed (SDM vol. 1, 8.1.5). */
export const FCW_INITIAL = 0x37f;
export const FCW_WRITABLE = 0x1f3f;
/** Reads as 1. */
export const FCW_FIXED = 0x40;

/** Number of the physical register that is ST(i). */
export function physical(state: State, i: number): number {
  return (state.get32(S.ftop) + i) & 7;
}

export function isEmpty(state: State, i: number): boolean {
  return ((state.get32(S.ftags) >> physical(state, i)) & 1) === 0;
}

/** Reads physical register `index`, whatever its tag. */
export function readPhysical(state: State, index: number, out: Float80): Float80 {
  const address = STATE + fprOffset(index);
  out.significand = state.u64[address >> 3];
  out.signExponent = state.u16[(address + 8) >> 1];
  out.fromDenormal = false;
  return out;
}

/** Writes physical register `index` and leaves its tag. */
export function writePhysical(state: State, index: number, value: Float80): void {
  const address = STATE + fprOffset(index);
  state.u64[address >> 3] = value.significand;
  state.u16[(address + 8) >> 1] = value.signExponent;
}

/** Reads ST(i), whatever its tag. */
export function readStack(state: State, i: number, out: Float80): Float80 {
  return readPhysical(state, physical(state, i), out);
}

/** Writes ST(i), which is not empty afterwards. */
export function writeStack(state: State, i: number, value: Float80): void {
  const index = physical(state, i);
  writePhysical(state, index, value);
  state.set32(S.ftags, state.get32(S.ftags) | (1 << index));
}

/** Pushes a value; the caller has looked for an overflow. */
export function push(state: State, value: Float80): void {
  state.set32(S.ftop, (state.get32(S.ftop) - 1) & 7);
  writeStack(state, 0, value);
}

/** Empties ST(0) and moves the top of stack. */
export function pop(state: State): void {
  const top = state.get32(S.ftop);
  state.set32(S.ftags, state.get32(S.ftags) & ~(1 << top));
  state.set32(S.ftop, (top + 1) & 7);
}

const scratch: Float80 = { signExponent: 0, significand: 0n, fromDenormal: false };

/**
 * The 16-bit tag word: for each physical register 00 valid, 01 zero, 10 special, 11 empty (SDM vol. 1, 8.1.7). Only
 * "empty" is state, the rest follows from the contents.
 */
export function tagWord(state: State): number {
  const tags = state.get32(S.ftags);
  let word = 0;
  for (let index = 0; index < 8; index++) {
    const tag = (tags >> index) & 1 ? tagOf(readPhysical(state, index, scratch)) : 3;
    word |= tag << (2 * index);
  }
  return word;
}

function tagOf(value: Float80): number {
  const exponent = value.signExponent & 0x7fff;
  if (exponent === 0 && value.significand === 0n) return 1;
  return exponent === 0 || exponent === 0x7fff || value.significand >> 63n === 0n ? 2 : 0;
}

/** Loads the tags from a tag word: only whether a register is empty matters. */
export function setTagWord(state: State, word: number): void {
  let tags = 0;
  for (let index = 0; index < 8; index++) if (((word >> (2 * index)) & 3) !== 3) tags |= 1 << index;
  state.set32(S.ftags, tags);
}

/** The status word as FNSTSW stores it. */
export function statusWord(state: State): number {
  return state.get32(S.fsw) | (state.get32(S.ftop) << 11);
}

/** Loads the status word. ES and B follow from flags and masks, so the control word must have been loaded before. */
export function setStatusWord(state: State, word: number): void {
  state.set32(S.ftop, (word >> 11) & 7);
  setFlags(state, word & 0xffff & ~FSW.TOP);
}

/** Loads the control word. ES and B follow from flags and masks. */
export function setControlWord(state: State, word: number): void {
  state.set32(S.fcw, (word & FCW_WRITABLE) | FCW_FIXED);
  setFlags(state, state.get32(S.fsw));
}

/** Stores the status word without TOP, with ES and B as flags and masks demand. */
export function setFlags(state: State, fsw: number): void {
  const pending = (fsw & ~state.get32(S.fcw) & FSW.EXCEPTIONS) !== 0;
  state.set32(S.fsw, pending ? fsw | FSW.ES | FSW.B : fsw & ~(FSW.ES | FSW.B));
}

/** FNINIT (SDM vol. 2): registers keep their contents but are empty. */
export function initialise(state: State): void {
  state.set32(S.fcw, FCW_INITIAL);
  state.set32(S.fsw, 0);
  state.set32(S.ftop, 0);
  state.set32(S.ftags, 0);
  state.set32(S.fop, 0);
  state.set32(S.fcs, 0);
  state.set32(S.fds, 0);
  state.set64(S.fip, 0n);
  state.set64(S.fdp, 0n);
}

/** Bits of significand by precision control; 01 is reserved. */
const PRECISION = [24, 64, 53, 64] as const;
const context = createContext();

/** The context of the instruction that begins: modes from the control word, no flags. The object is reused. */
export function begin(state: State): FloatContext {
  const fcw = state.get32(S.fcw);
  context.rounding = (fcw >> 10) & 3;
  context.precision = PRECISION[(fcw >> 8) & 3];
  context.masks = fcw & FSW.EXCEPTIONS;
  context.flags = 0;
  context.roundedUp = false;
  return context;
}
