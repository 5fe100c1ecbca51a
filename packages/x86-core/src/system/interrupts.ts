import type { CpuContext } from "../cpu/context.js";
import { FAULT, type Fault, raise } from "../cpu/fault.js";
import { FLAG } from "../semantics/flags.js";
import { VECTOR } from "../semantics/ops.js";
import { S } from "../state/layout.js";
import { deliverLong } from "./interrupt-long.js";
import { deliverProtected } from "./interrupt-protected.js";
import { deliverReal } from "./interrupt-real.js";
import { isLongActive, isReal } from "./modes.js";
import { DR7 } from "./registers.js";

/**
 * What is delivered through the interrupt table:
 *
 * - `exception`: detected by the processor; faults push the RIP of the instruction, traps that of the next;
 * - `interrupt`: from the interrupt controller or NMI;
 * - `software`: INT n; `breakpoint`: INT3 and INTO, which virtual-8086 mode does not redirect; `int1`: INT1 (ICEBP),
 *   which checks no privilege.
 */
export interface InterruptEvent {
  readonly vector: number;
  readonly kind: "exception" | "interrupt" | "software" | "breakpoint" | "int1";
  /** Pushed after everything else, in protected mode. */
  readonly errorCode?: number;
  /** RIP to push; by default `S.rip`. */
  readonly returnIp?: bigint;
  /** Whether RF is set in the pushed RFLAGS; by default it is for exceptions other than traps (SDM vol. 3, 18.3.1.1). */
  readonly resume?: boolean;
}

/** The state of a delivery under way. */
export interface Delivery {
  readonly event: InterruptEvent;
  /** INT n, INT3 or INTO: the gate's DPL is checked, and errors are the program's own. */
  readonly software: boolean;
  readonly errorCode: number | undefined;
  readonly returnIp: bigint;
  /** RFLAGS to push. */
  readonly flags: number;
}

const CONTRIBUTORY = new Set<number>([VECTOR.DE, VECTOR.TS, VECTOR.NP, VECTOR.SS, VECTOR.GP]);

/** An exception as an event. */
export function exceptionEvent(fault: Fault): InterruptEvent {
  return { vector: fault.vector, kind: "exception", errorCode: fault.hasErrorCode ? fault.errorCode : undefined };
}

const isSoftware = (event: InterruptEvent): boolean => event.kind === "software" || event.kind === "breakpoint";

/**
 * Delivers an interrupt or exception; execution goes on at the handler. `S.rip` must be the RIP of the instruction that
 * caused it, or of the next one for interrupts and traps: it is what nested exceptions report. Exceptions during
 * delivery become double faults or shut the processor down by the rules of SDM vol. 3, table 6-5.
 */
export function deliver(cpu: CpuContext, event: InterruptEvent): void {
  const { state } = cpu;
  for (let current = event; ; ) {
    try {
      deliverOnce(cpu, current);
      return;
    } catch (error) {
      if (error !== FAULT) throw error;
      if (current.kind === "exception" && current.vector === VECTOR.DF) {
        state.set32(S.activity, 2);
        cpu.stop("shutdown");
        return;
      }
      const nested = exceptionEvent(FAULT);
      // EXT: the error happened while something from outside of the program was delivered.
      const external = !isSoftware(current) && nested.vector >= VECTOR.TS && nested.vector <= VECTOR.GP;
      current = makesDoubleFault(current, nested.vector)
        ? { vector: VECTOR.DF, kind: "exception", errorCode: 0, resume: false }
        : external
          ? { ...nested, errorCode: nested.errorCode! | 1 }
          : nested;
    }
  }
}

function makesDoubleFault(first: InterruptEvent, second: number): boolean {
  if (first.kind !== "exception") return false;
  if (CONTRIBUTORY.has(first.vector)) return CONTRIBUTORY.has(second);
  return first.vector === VECTOR.PF && (second === VECTOR.PF || CONTRIBUTORY.has(second));
}

function deliverOnce(cpu: CpuContext, event: InterruptEvent): void {
  const { state } = cpu;
  const resume = event.resume ?? event.kind === "exception";
  const delivery: Delivery = {
    event,
    software: isSoftware(event),
    errorCode: event.errorCode,
    returnIp: event.returnIp ?? state.get64(S.rip),
    flags: (state.rflags & ~FLAG.RF) | (resume ? FLAG.RF : state.get32(S.systemFlags) & FLAG.RF),
  };
  if (isReal(state)) deliverReal(cpu, delivery);
  else if (isLongActive(state)) deliverLong(cpu, delivery);
  else deliverProtected(cpu, delivery);
  if (event.vector === VECTOR.DB && event.kind === "exception") {
    state.set32(S.dr + 7 * 8, state.get32(S.dr + 7 * 8) & ~DR7.GD);
  }
  if (state.get32(S.activity) === 1) state.set32(S.activity, 0);
  state.set32(S.shadow, 0);
}

/** Error code that names an entry of the interrupt table. */
export const idtError = (vector: number): number => vector * 8 + 2;

/** Replaces the system flags after delivery. */
export function setDeliveredFlags(cpu: CpuContext, clear: number): void {
  const { state } = cpu;
  state.set32(S.systemFlags, state.get32(S.systemFlags) & ~clear);
}

/** Raises #GP for an entry beyond the limit of the interrupt table. */
export function checkIdtLimit(cpu: CpuContext, vector: number, size: 4 | 8 | 16): void {
  if (vector * size + size - 1 > cpu.state.get32(S.idtLimit)) raise(VECTOR.GP, idtError(vector));
}
