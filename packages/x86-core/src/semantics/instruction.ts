import { S, SEGMENT, SS, STATE, segmentOffset } from "../state/layout.js";
import type { Operand, SizeCode } from "../table/operands.js";
import type { Row } from "../table/row.js";
import type { Code, Val } from "../wasm/code.js";
import { FLAG } from "./flags.js";
import { Ops, type Place, type Surroundings, type Variant, VECTOR } from "./ops.js";
import type { Width } from "./values.js";

/** Width in bits of an operand; 128 for vectors. */
export function operandWidth(size: SizeCode, operandSize: 16 | 32 | 64): Width | 128 {
  switch (size) {
    case "b":
      return 8;
    case "w":
      return 16;
    case "d":
      return 32;
    case "q":
      return 64;
    case "x":
      return 128;
    case "z":
      return operandSize === 16 ? 16 : 32;
    case "y":
      return operandSize === 64 ? 64 : 32;
    case "v":
    case "none":
      return operandSize;
    case "t":
    case "e":
    case "st":
    case "p":
    case "a":
    case "pd":
      throw new Error("only addresses have this size");
  }
}

/** Bytes that an r/m operand moves, for the checks of segment limits; 1 for an address whose use the row knows alone. */
export function accessBytes(operand: Operand, operandSize: 16 | 32 | 64): number {
  switch (operand.size) {
    case "t":
      return 10;
    case "e":
      return operandSize === 16 ? 14 : 28;
    case "st":
      return operandSize === 16 ? 94 : 108;
    case "p":
      return operandSize / 8 + 2;
    case "a":
      return operandSize / 4;
    case "pd":
      return 6;
    case "none":
      if (operand.form === "address") return 1;
  }
  return operandWidth(operand.size, operandSize) / 8;
}

/** Width that semantics see as `o.w`: that of the first operand in a general register or memory. */
export function workingWidth(row: Row, operandSize: 16 | 32 | 64): Width {
  const first = row.operands.find(
    (operand) =>
      operand.file === "gpr" &&
      operand.form !== "address" &&
      operand.size !== "none" &&
      operand.size !== "x" &&
      operand.place !== "immediate",
  );
  return first ? (operandWidth(first.size, operandSize) as Width) : operandSize;
}

/** Appends the whole of one instruction: loads its operands, runs its semantics, stores the results, goes on. */
export function buildInstruction(code: Code, row: Row, variant: Variant, around: Surroundings): void {
  const w = workingWidth(row, variant.operandSize);
  const o = new Ops(code, variant, around, w);
  const rm = row.operands.find((operand) => operand.place === "rm");
  const address = rm && variant.memory ? o.effectiveAddress() : undefined;
  let place: Place | undefined;
  if (row.options.unit === "mmx") requireNoPendingX87(o);
  if (row.options.privileged) requirePrivilege(o);
  const width = (operand: Operand) => (operand.extended ? w : operandWidth(operand.size, variant.operandSize));

  const read = (operand: Operand): Val => {
    if (address && operand.place === "rm" && (operand.form === "address" || operand.form === "offset")) return address;
    if (operand.file === "x87") return around.field(operand.field!);
    const size = width(operand);
    switch (operand.place) {
      case "one":
        return o.const(w, 1);
      case "immediate":
        // The second of two immediates (ENTER, far pointers) stands in field c.
        if (operand !== row.operands.find((other) => other.place === "immediate")) {
          return o.trunc(32, size as Width, around.field("c"));
        }
        return o.immediate(size as Width);
      case "moffs":
        return o.immediate(64);
      case "fixed":
        return operand.size === "b" && operand.index === 4 ? o.highByte(0) : o.gpr(size as Width, operand.index);
      case "relative":
        throw new Error(`${row.text}: a relative target has no value`);
    }
    if (operand.place === "rm" && address) {
      if (size === 128) return o.loadVector(address, row.options.aligned ?? false);
      if (operand.write && operand.read) {
        place = o.loadForWrite(size, address);
        return place.value;
      }
      return o.load(size, address);
    }
    if (operand.file === "segment" || operand.file === "control" || operand.file === "debug") {
      return around.field(operand.field!);
    }
    if (size === 128) return o.vector(operand.field!);
    return o.register(size, operand.field!);
  };

  const write = (operand: Operand, value: Val): void => {
    const size = width(operand);
    if (operand.place === "fixed") {
      if (operand.size === "b" && operand.index === 4) return o.setHighByte(0, value);
      return o.setGpr(size as Width, operand.index, value);
    }
    if (operand.place === "rm" && address) {
      if (place) return place.store(value);
      if (size === 128) return o.storeVector(address, value, row.options.aligned ?? false);
      return o.store(size, address, value);
    }
    if (size === 128) return o.setVector(operand.field!, value);
    // A write to a general register clears the upper half with 32 bits; parts of vectors leave the rest alone.
    if (operand.file === "gpr") return o.setRegister(size, operand.field!, value);
    if (operand.file === "mmx") code.store("i32.store16", around.field(operand.field!), o.i32(0xffff), STATE + 8);
    return o.setLane(size, operand.field!, value);
  };

  const inputs = row.operands
    .filter((operand) => (operand.read || operand.form === "address") && operand.place !== "relative")
    .map(read);
  // Conversions change the x87 state even when they raise #XM; stores only once the store has succeeded.
  const early = usesMmxRegister(row, variant) && !(variant.memory && rm?.write);
  if (early) enterMmxState(o);
  const outcome = row.semantics(o, ...inputs);
  const results = outcome === undefined ? [] : Array.isArray(outcome) ? (outcome as Val[]) : [outcome as Val];
  const targets = row.operands.filter((operand) => operand.write && operand.form !== "address");
  if (results.length !== targets.length)
    throw new Error(`${row.text}: ${results.length} results for ${targets.length} operands`);
  // Memory first: its fault must find the registers as they were.
  targets.forEach((operand, index) => {
    if (operand.place === "rm" && variant.memory) write(operand, results[index]);
  });
  // Then the last register first: when one register is named twice, the value for the first operand stays (XADD, MULX).
  for (let index = targets.length - 1; index >= 0; index--) {
    if (!(targets[index].place === "rm" && variant.memory)) write(targets[index], results[index]);
  }
  if (usesMmxRegister(row, variant) && !early) enterMmxState(o);
  if (code.ended) return;
  // No record follows the last one of a block.
  if (row.options.endsBlock) o.jumpUnchecked(o.nextIp());
  else o.next();
}

/** CPL, which is the DPL of SS, must be 0. */
function requirePrivilege(o: Ops): void {
  const attributes = o.state32(segmentOffset(SS) + SEGMENT.attributes);
  const user = o.nez(32, o.and(32, attributes, o.i32(3 << 13)));
  const virtual = o.nez(32, o.and(32, o.state32(S.systemFlags), o.i32(FLAG.VM)));
  o.raiseIf(o.both(user, o.isNot(virtual)), VECTOR.GP, 0);
}

/** MMX instructions report an unmasked x87 exception that waits (FSW.ES) before they do anything. */
function requireNoPendingX87(o: Ops): void {
  o.raiseIf(o.bit(32, o.state32(S.fsw), 7), VECTOR.MF);
}

function usesMmxRegister(row: Row, variant: Variant): boolean {
  return row.operands.some((operand) => operand.file === "mmx" && !(operand.place === "rm" && variant.memory));
}

/** Access to an MMX register makes all x87 registers valid and TOP 0 (SDM vol. 1, 9.5.1). */
function enterMmxState(o: Ops): void {
  o.setState32(S.ftop, o.i32(0));
  o.setState32(S.ftags, o.i32(0xff));
}
