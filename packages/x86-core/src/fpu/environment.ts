import type { CpuContext } from "../cpu/context.js";
import { FLAG } from "../semantics/flags.js";
import { type Float80, float80 } from "../softfloat/index.js";
import { S } from "../state/layout.js";
import type { State } from "../state/state.js";
import {
  FSW,
  initialise,
  physical,
  readPhysical,
  setControlWord,
  setFlags,
  setStatusWord,
  setTagWord,
  statusWord,
  tagWord,
  writePhysical,
} from "./state.js";

/** Bytes of the environment and of the whole image by operand size (SDM vol. 1, 8.1.10 and 8.1.11). */
export const environmentBytes = (wide: boolean): number => (wide ? 28 : 14);
const REGISTER_BYTES = 80;

/** In real and virtual-8086 mode pointers are stored as linear addresses. */
function isRealFormat(state: State): boolean {
  return (state.get32(S.cr0) & 1) === 0 || (state.get32(S.systemFlags) & FLAG.VM) !== 0;
}

/** The seven fields of an environment, as they stand in memory. */
function environment(state: State, wide: boolean): number[] {
  const fip = state.get32(S.fip);
  const fdp = state.get32(S.fdp);
  const fop = state.get32(S.fop) & 0x7ff;
  const fcs = state.get32(S.fcs) & 0xffff;
  const fds = state.get32(S.fds) & 0xffff;
  // Unused halves are stored as ones.
  const word = (value: number) => (wide ? 0xffff0000 | value : value);
  const words = [word(state.get32(S.fcw)), word(statusWord(state)), word(tagWord(state))];
  if (isRealFormat(state)) {
    const code = fip + fcs * 16;
    const data = fdp + fds * 16;
    if (!wide) return [...words, code, ((code >>> 4) & 0xf000) | fop, data, (data >>> 4) & 0xf000];
    return [
      ...words,
      word(code & 0xffff),
      ((code >>> 4) & 0x0ffff000) | fop,
      word(data & 0xffff),
      (data >>> 4) & 0x0ffff000,
    ];
  }
  return wide ? [...words, fip, fcs | (fop << 16), fdp, word(fds)] : [...words, fip, fcs, fdp, fds];
}

function setEnvironment(state: State, wide: boolean, fields: readonly number[]): void {
  const [fcw, fsw, tags, fip, fcs, fdp, fds] = fields;
  setControlWord(state, fcw);
  setStatusWord(state, fsw);
  setTagWord(state, tags);
  if (isRealFormat(state)) {
    const high = wide ? 0x0ffff000 : 0xf000;
    state.set64(S.fip, BigInt(((fip & 0xffff) | ((fcs & high) << 4)) >>> 0));
    state.set64(S.fdp, BigInt(((fdp & 0xffff) | ((fds & high) << 4)) >>> 0));
    state.set32(S.fop, fcs & 0x7ff);
    state.set32(S.fcs, 0);
    state.set32(S.fds, 0);
    return;
  }
  state.set64(S.fip, BigInt(fip >>> 0));
  state.set64(S.fdp, BigInt(fdp >>> 0));
  // The 16-bit format has no room for the opcode.
  state.set32(S.fop, wide ? (fcs >>> 16) & 0x7ff : 0);
  state.set32(S.fcs, fcs & 0xffff);
  state.set32(S.fds, fds & 0xffff);
}

const wideArgument = (cpu: CpuContext): boolean => cpu.arg32(0) !== 0;
const addressArgument = (cpu: CpuContext): bigint => BigInt.asUintN(64, cpu.arg64(1));

/** The linear address of a field; 32-bit addresses wrap. */
function at(cpu: CpuContext, address: bigint, offset: number): bigint {
  return BigInt.asUintN(cpu.state.codeIs64 ? 64 : 32, address + BigInt(offset));
}

function writeEnvironment(cpu: CpuContext, address: bigint, wide: boolean): void {
  const bytes = wide ? 4 : 2;
  environment(cpu.state, wide).forEach((field, index) => {
    cpu.write(at(cpu, address, index * bytes), bytes, wide ? field >>> 0 : field & 0xffff);
  });
}

function readEnvironment(cpu: CpuContext, address: bigint, wide: boolean): number[] {
  const bytes = wide ? 4 : 2;
  return Array.from({ length: 7 }, (_, index) => cpu.read(at(cpu, address, index * bytes), bytes));
}

/** FNSTENV: stores, then masks all exceptions. */
export function fpuStoreEnvironment(cpu: CpuContext): void {
  const { state } = cpu;
  const wide = wideArgument(cpu);
  const address = addressArgument(cpu);
  cpu.probeWrite(address, environmentBytes(wide));
  writeEnvironment(cpu, address, wide);
  state.set32(S.fcw, state.get32(S.fcw) | FSW.EXCEPTIONS);
  setFlags(state, state.get32(S.fsw));
}

/** FLDENV. An exception that becomes pending is raised by the next waiting instruction. */
export function fpuLoadEnvironment(cpu: CpuContext): void {
  const wide = wideArgument(cpu);
  setEnvironment(cpu.state, wide, readEnvironment(cpu, addressArgument(cpu), wide));
}

const value = float80();

/** FNSAVE: the environment and ST(0)-ST(7), then FNINIT. */
export function fpuSave(cpu: CpuContext): void {
  const { state } = cpu;
  const wide = wideArgument(cpu);
  const address = addressArgument(cpu);
  const start = environmentBytes(wide);
  cpu.probeWrite(address, start + REGISTER_BYTES);
  writeEnvironment(cpu, address, wide);
  for (let i = 0; i < 8; i++) {
    readPhysical(state, physical(state, i), value);
    cpu.write64(at(cpu, address, start + i * 10), value.significand);
    cpu.write(at(cpu, address, start + i * 10 + 8), 2, value.signExponent);
  }
  initialise(state);
}

/** FRSTOR. */
export function fpuRestore(cpu: CpuContext): void {
  const { state } = cpu;
  const wide = wideArgument(cpu);
  const address = addressArgument(cpu);
  const fields = readEnvironment(cpu, address, wide);
  const start = environmentBytes(wide);
  const registers = Array.from(
    { length: 8 },
    (_, i): Float80 =>
      float80(
        cpu.read(at(cpu, address, start + i * 10 + 8), 2),
        BigInt.asUintN(64, cpu.read64(at(cpu, address, start + i * 10))),
      ),
  );
  setEnvironment(state, wide, fields);
  registers.forEach((register, i) => {
    writePhysical(state, physical(state, i), register);
  });
}
