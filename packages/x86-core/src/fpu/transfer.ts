import type { CpuContext } from "../cpu/context.js";
import { FORMAT, TRUNCATE } from "../semantics/x87-codes.js";
import {
  type Float80,
  type FloatContext,
  f32ToF80,
  f64ToF80,
  f80Constant,
  f80FromBcd,
  f80FromInteger,
  f80One,
  f80ToBcd,
  f80ToF32,
  f80ToF64,
  f80ToInteger,
  f80Zero,
  float80,
  IE,
  OE,
  UE,
} from "../softfloat/index.js";
import { INDEFINITE, overflow, settle, settled, underflow } from "./commit.js";
import { begin, FSW, isEmpty, pop, push, readStack, writeStack } from "./state.js";

const value = float80();
const second = float80();
const bits = { low: 0n, high: 0 };

/** FLD m32/m64/m80, FILD, FBLD. */
export function fpuLoad(cpu: CpuContext): void {
  const { state } = cpu;
  if (!isEmpty(state, 7)) {
    if (overflow(state)) push(state, INDEFINITE);
    return;
  }
  const context = begin(state);
  const loaded = load(cpu, context, value);
  settle(state, context);
  if (loaded) push(state, value);
}

function load(cpu: CpuContext, context: FloatContext, out: Float80): boolean {
  switch (cpu.arg32(0)) {
    case FORMAT.f32:
      return f32ToF80(context, cpu.arg32(1) >>> 0, out);
    case FORMAT.f64:
      return f64ToF80(context, BigInt.asUintN(64, cpu.arg64(1)), out);
    case FORMAT.i16:
      f80FromInteger((cpu.arg32(1) << 16) >> 16, out);
      return true;
    case FORMAT.i32:
      f80FromInteger(cpu.arg32(1) | 0, out);
      return true;
    case FORMAT.i64:
      f80FromInteger(BigInt.asIntN(64, cpu.arg64(1)), out);
      return true;
  }
  bits.low = BigInt.asUintN(64, cpu.arg64(1));
  bits.high = cpu.arg32(2) & 0xffff;
  if (cpu.arg32(0) === FORMAT.bcd) {
    f80FromBcd(bits, out);
    return true;
  }
  out.significand = bits.low;
  out.signExponent = bits.high;
  out.fromDenormal = false;
  return true;
}

/**
 * FST, FIST, FISTTP, FBSTP to memory: computes what to store. Nothing changes yet, since the store may fault; the row
 * then takes over the status word and pops.
 */
export function fpuStore(cpu: CpuContext): void {
  const { state } = cpu;
  const context = begin(state);
  const form = cpu.arg32(0);
  let stackFault = 0;
  if (isEmpty(state, 0)) {
    context.flags = IE;
    stackFault = FSW.SF;
    storeIndefinite(form & 15);
  } else convert(context, form, readStack(state, 0, value));
  const fsw = settled(state, context) | stackFault;
  const unmasked = context.flags & ~context.masks;
  cpu.setResult64(bits.low, 0);
  cpu.setResult32(bits.high, 1);
  cpu.setResult32(unmasked ? fsw | FSW.ES | FSW.B : fsw, 2);
  cpu.setResult32(unmasked & (IE | OE | UE) ? 0 : 1, 3);
}

/** The integer indefinite is the most negative integer. */
const INTEGER_INDEFINITE = { [FORMAT.i16]: 0x8000n, [FORMAT.i32]: 0x80000000n, [FORMAT.i64]: 0x8000000000000000n };

function storeIndefinite(format: number): void {
  bits.high = 0xffff;
  if (format === FORMAT.f32) bits.low = 0xffc00000n;
  else if (format === FORMAT.f64) bits.low = 0xfff8000000000000n;
  else if (format === FORMAT.f80 || format === FORMAT.bcd) bits.low = INDEFINITE.significand;
  else bits.low = INTEGER_INDEFINITE[format as keyof typeof INTEGER_INDEFINITE];
}

function convert(context: FloatContext, form: number, from: Float80): void {
  const truncate = (form & TRUNCATE) !== 0;
  switch (form & 15) {
    case FORMAT.f32:
      bits.low = BigInt(f80ToF32(context, from));
      return;
    case FORMAT.f64:
      bits.low = f80ToF64(context, from);
      return;
    case FORMAT.f80:
      bits.low = from.significand;
      bits.high = from.signExponent;
      return;
    case FORMAT.bcd:
      return f80ToBcd(context, from, bits);
    case FORMAT.i16:
      bits.low = BigInt.asUintN(64, f80ToInteger(context, from, 16, truncate));
      return;
    case FORMAT.i32:
      bits.low = BigInt.asUintN(64, f80ToInteger(context, from, 32, truncate));
      return;
    default:
      bits.low = BigInt.asUintN(64, f80ToInteger(context, from, 64, truncate));
  }
}

/** Constants by the second opcode byte. */
const CONSTANTS = { 233: "L2T", 234: "L2E", 235: "PI", 236: "LG2", 237: "LN2" } as const;

/** FLD1 FLDL2T FLDL2E FLDPI FLDLG2 FLDLN2 FLDZ. */
export function fpuConstant(cpu: CpuContext): void {
  const { state } = cpu;
  const opcode = cpu.arg32(0);
  const context = begin(state);
  if (!isEmpty(state, 7)) {
    if (overflow(state)) push(state, INDEFINITE);
    return;
  }
  if (opcode === 0xe8) f80One(value);
  else if (opcode === 0xee) f80Zero(value);
  else f80Constant(context, CONSTANTS[opcode as keyof typeof CONSTANTS], value);
  context.roundedUp = false;
  settle(state, context);
  push(state, value);
}

/** FLD ST(i). */
export function fpuLoadStack(cpu: CpuContext): void {
  const { state } = cpu;
  const i = cpu.arg32(0) & 7;
  if (isEmpty(state, i)) {
    if (underflow(state)) push(state, INDEFINITE);
  } else if (!isEmpty(state, 7)) {
    if (overflow(state)) push(state, INDEFINITE);
  } else {
    readStack(state, i, value);
    settle(state, begin(state));
    push(state, value);
  }
}

/** FST ST(i), FSTP ST(i); the alias FSTP1 with an empty ST(0) only pops. */
export function fpuStoreStack(cpu: CpuContext): void {
  const { state } = cpu;
  const i = cpu.arg32(0) & 7;
  const empty = isEmpty(state, 0);
  if (empty && !cpu.arg32(2)) {
    if (!underflow(state)) return;
    writeStack(state, i, INDEFINITE);
  } else {
    settle(state, begin(state));
    if (!empty) writeStack(state, i, readStack(state, 0, value));
  }
  if (cpu.arg32(1)) pop(state);
}

/** FXCH: an empty register counts as the indefinite. */
export function fpuExchange(cpu: CpuContext): void {
  const { state } = cpu;
  const i = cpu.arg32(0) & 7;
  readStack(state, 0, value);
  readStack(state, i, second);
  const empty0 = isEmpty(state, 0);
  const emptyI = isEmpty(state, i);
  if (empty0 || emptyI) {
    if (!underflow(state)) return;
  } else settle(state, begin(state));
  writeStack(state, i, empty0 ? INDEFINITE : value);
  writeStack(state, 0, emptyI ? INDEFINITE : second);
}

/** FCMOVcc: an empty register is a fault whether the condition holds or not; C1 stays without one. */
export function fpuMove(cpu: CpuContext): void {
  const { state } = cpu;
  const i = cpu.arg32(0) & 7;
  if (isEmpty(state, 0) || isEmpty(state, i)) {
    if (underflow(state)) writeStack(state, 0, INDEFINITE);
  } else if (cpu.arg32(1)) writeStack(state, 0, readStack(state, i, value));
}
