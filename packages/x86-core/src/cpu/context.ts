import type { State } from "../state/state.js";
import type { CpuModel } from "./model.js";

/** The rest of the machine, as the CPU sees it. All calls are synchronous. */
export interface Bus {
  /** Reads `size` (1, 2, 4) bytes at a physical address that is not RAM. */
  readPhysical(address: number, size: number): number;
  writePhysical(address: number, size: number, value: number): void;
  readPort(port: number, size: number): number;
  writePort(port: number, size: number, value: number): void;
}

/** The local APIC of this CPU. Registers are addressed by MSR number (0x1b, 0x800-0x8ff). */
export interface InterruptController {
  /** The vector to deliver now, acknowledged, or -1 when there is none. */
  acknowledge(): number;
  /** Whether an unmasked interrupt waits. */
  pending(): boolean;
  /** CR8: bits 7-4 of the task priority. */
  taskPriority: number;
  /** Reads an APIC MSR; undefined raises #GP(0). */
  readMsr(index: number): bigint | undefined;
  /** Writes one; false raises #GP(0). */
  writeMsr(index: number, value: bigint): boolean;
}

/** Guest time. */
export interface TimeSource {
  /** The counter behind the TSC, in TSC ticks. */
  ticks(): bigint;
  /** TSC ticks a second, for CPUID. */
  readonly frequency: number;
}

/**
 * What helpers, interrupt delivery and the MMU work on: the CPU without its execution engine.
 *
 * Helpers raise guest exceptions with `raise` (fault.ts), which may happen at any point before they have changed state.
 */
export interface CpuContext {
  readonly state: State;
  readonly model: CpuModel;
  readonly bus: Bus;
  readonly apic: InterruptController;
  readonly time: TimeSource;

  // --- calls from generated code ---

  /** Argument `index` of the current helper call. */
  arg32(index: number): number;
  arg64(index: number): bigint;
  /** Address in memory of argument `index`, for 16-byte values (`state.u8` and friends). */
  argAddress(index: number): number;
  setResult32(value: number, index?: number): void;
  setResult64(value: bigint, index?: number): void;
  resultAddress(index?: number): number;
  /** RIP of the instruction that called, and of the one after it. */
  readonly instructionIp: bigint;
  readonly nextIp: bigint;

  // --- linear memory, with the privilege of the running code; these raise #PF, #GP or #SS ---

  read(linear: bigint, bytes: 1 | 2 | 4): number;
  read64(linear: bigint): bigint;
  write(linear: bigint, bytes: 1 | 2 | 4, value: number): void;
  write64(linear: bigint, value: bigint): void;
  /** Checks that `bytes` at a linear address may be written, and raises what the write would raise. */
  probeWrite(linear: bigint, bytes: number): void;
  /** Likewise for reading. */
  probeRead(linear: bigint, bytes: number): void;

  // --- the same with supervisor privilege: descriptor tables, task-state segments, gate stacks ---

  readSystem(linear: bigint, bytes: 1 | 2 | 4): number;
  readSystem64(linear: bigint): bigint;
  writeSystem(linear: bigint, bytes: 1 | 2 | 4, value: number): void;
  writeSystem64(linear: bigint, value: bigint): void;
  /** Pushes of interrupt delivery happen at the *new* privilege level, before SS has changed. */
  writeAt(privilege: number, linear: bigint, bytes: 2 | 4 | 8, value: bigint): void;
  probeWriteAt(privilege: number, linear: bigint, bytes: number): void;

  // --- control ---

  /** The instruction is over and execution goes on at this RIP (an offset from CS's base). */
  jump(rip: bigint): void;
  /**
   * Something that decoding, privilege or translation depends on has changed (CS, SS, CPL, CR0, CR4, EFER, RFLAGS.VM,
   * RFLAGS.AC, breakpoints): recomputes `S.mode`, `S.tlb` and `S.stackMask`.
   */
  modeChanged(): void;
  /** An interrupt may have become deliverable, or TF, a shadow or a halt needs the run loop: look at the next boundary. */
  attention(): void;
  /** Drops all translations; without `global`, those of global pages stay. */
  flushTlb(global: boolean): void;
  flushPage(linear: bigint): void;
  /** The machine stops with this reason once the instruction is over. */
  stop(reason: StopReason): void;
}

/** Why `run` came back. */
export type StopReason = "budget" | "halted" | "shutdown" | "init" | "requested";
