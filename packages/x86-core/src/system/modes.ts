import { FLAG } from "../semantics/flags.js";
import { S } from "../state/layout.js";
import type { State } from "../state/state.js";
import { CR0, EFER } from "./registers.js";

/** CR0.PE is 0. */
export const isReal = (state: State): boolean => (state.low(S.cr0) & CR0.PE) === 0;
export const isVirtual8086 = (state: State): boolean => (state.get32(S.systemFlags) & FLAG.VM) !== 0;
/** Segments are selectors into descriptor tables: neither real-address nor virtual-8086 mode. */
export const isProtected = (state: State): boolean => !isReal(state) && !isVirtual8086(state);
/** IA-32e mode: 64-bit and compatibility mode. */
export const isLongActive = (state: State): boolean => (state.low(S.efer) & EFER.LMA) !== 0;
export const iopl = (state: State): number => (state.get32(S.systemFlags) >> 12) & 3;

/** Cuts a linear address to what the mode has: 32 bits outside IA-32e mode. */
export const wrapLinear = (state: State, linear: bigint): bigint =>
  BigInt.asUintN(isLongActive(state) ? 64 : 32, linear);

/** Bits 63-47 of a canonical address are equal. */
export const isCanonical = (address: bigint): boolean => BigInt.asUintN(64, BigInt.asIntN(48, address)) === address;
/** The same for an address in two halves. */
export const isCanonicalHalves = (high: number): boolean => (high << 16) >> 16 === (high | 0);

/** Copies a 64-bit field of the state without making a bigint. */
export function copyField(state: State, to: number, from: number): void {
  state.set32(to, state.get32(from));
  state.set32(to + 4, state.get32(from + 4));
}
