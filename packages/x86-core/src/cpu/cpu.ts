import { MODE, modeOf } from "../decode/mode.js";
import { OpcodeTables } from "../decode/opcode-tables.js";
import { RecordArena } from "../decode/records.js";
import { rows } from "../instructions/index.js";
import { loadInterpreter } from "../interpreter/load.js";
import { BlockTier } from "../jit/block-tier.js";
import { LinearMemory } from "../mmu/linear-memory.js";
import { PhysicalMemory, type RamRegion } from "../mmu/physical-memory.js";
import { checkSegment } from "../mmu/segment-check.js";
import { FLAG } from "../semantics/flags.js";
import { HELPERS, helperNumber } from "../semantics/helpers.js";
import { ACCESS, VECTOR } from "../semantics/ops.js";
import { CS, DS, ES, RAM_BASE, RECORDS, S, SS, STATE } from "../state/layout.js";
import { State } from "../state/state.js";
import { instructionBreakpoint, noteAccess } from "../system/breakpoints.js";
import { signature } from "../system/cpuid.js";
import { deliver, exceptionEvent } from "../system/interrupts.js";
import { ATTRIBUTE, DR6, DR7 } from "../system/registers.js";
import { CodeFinder } from "./code-finder.js";
import type { Bus, CpuContext, InterruptController, StopReason, TimeSource } from "./context.js";
import type { Executor, Tier } from "./executor.js";
import { FAULT, raise } from "./fault.js";
import { HELPER_IMPLEMENTATIONS } from "./helpers.js";
import type { CpuModel } from "./model.js";

/** The generated interpreter, as `interpreter/load.ts` gives it. */
export interface InterpreterCode {
  readonly module: WebAssembly.Module;
  /** See `GeneratedInterpreter.numbers`. */
  readonly numbers: Uint16Array;
}

export interface CpuOptions {
  /** Shared memory from `createMemory`. */
  readonly memory: WebAssembly.Memory;
  readonly ram: readonly RamRegion[];
  readonly model: CpuModel;
  readonly bus: Bus;
  readonly apic: InterruptController;
  readonly time: TimeSource;
  /** By default the one generated when the package was built. */
  readonly interpreter?: InterpreterCode;
  /** `blocks` compiles every block by itself: slow, for comparisons with the interpreter, which is the default. */
  readonly tier?: Tier;
}

/** Makes a memory for a CPU with `ram` bytes (a multiple of 64 KiB) of guest RAM behind its own data, at `RAM_BASE`. */
export function createMemory(ram: number): WebAssembly.Memory {
  const pages = (RAM_BASE + ram) / 65536;
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
}

interface InterpreterExports extends Executor {
  getFlags(): number;
  setFlags(image: number): void;
}

/**
 * One x86-64 CPU executed by the interpreter tier. It owns one WebAssembly memory and touches nothing else; devices are
 * reached through `Bus`. `run` returns after a given number of instructions at the latest.
 */
export class Cpu implements CpuContext {
  readonly state: State;
  readonly model: CpuModel;
  readonly bus: Bus;
  readonly apic: InterruptController;
  readonly time: TimeSource;
  readonly physical: PhysicalMemory;
  readonly memory: LinearMemory;

  readonly #exports: InterpreterExports;
  readonly #executor: Executor;
  readonly #arena: RecordArena;
  readonly #finder: CodeFinder;
  readonly #helpers: ((cpu: CpuContext) => void)[];

  /** The record whose helper or slow path runs. */
  #record = 0;
  /** The instruction under way has set RIP: it is over. */
  #over = false;
  /** Instructions of the current grant that `attention` took away. */
  #withheld = 0;
  #stop: StopReason | undefined;
  #executed = 0;

  constructor(options: CpuOptions) {
    const { memory } = options;
    const buffer = memory.buffer;
    this.model = options.model;
    this.bus = options.bus;
    this.apic = options.apic;
    this.time = options.time;
    const interpreter = options.interpreter ?? loadInterpreter();
    const imports: WebAssembly.ModuleImports = {
      memory,
      helper: (id: number, record: number) => this.#helper(id, record),
      slowLoad: (low: number, high: number, flags: number, record: number) =>
        this.#slow(record, () =>
          this.memory.slowLoad(
            low >>> 0,
            high >>> 0,
            flags & ACCESS.size,
            this.#stack(flags, record),
            STATE + S.result,
          ),
        ),
      slowStore: (low: number, high: number, flags: number, record: number) =>
        this.#slow(record, () =>
          this.memory.slowStore(
            low >>> 0,
            high >>> 0,
            flags & ACCESS.size,
            this.#stack(flags, record),
            STATE + S.arguments,
          ),
        ),
      slowLoadForWrite: (low: number, high: number, flags: number, record: number) =>
        this.#slow(record, () =>
          this.memory.slowLoadForWrite(
            low >>> 0,
            high >>> 0,
            flags & ACCESS.size,
            this.#stack(flags, record),
            STATE + S.result,
          ),
        ),
      raise: (vector: number, errorCode: number, record: number) => {
        this.#slow(record, () => raise(vector, errorCode));
      },
      link: (record: number) => this.#link(record),
      resolve: () => this.#resolve(),
      segmentFault: (segment: number, low: number, high: number, flags: number, record: number) =>
        this.#slow(record, () => checkSegment(this.state, segment, low >>> 0, high >>> 0, flags)),
    };
    const instance = new WebAssembly.Instance(interpreter.module, { env: imports });
    this.#exports = instance.exports as unknown as InterpreterExports;
    this.state = new State(buffer, {
      get: () => this.#exports.getFlags(),
      set: (image) => this.#exports.setFlags(image),
    });
    this.physical = new PhysicalMemory(buffer, options.bus);
    this.physical.setRegions(options.ram);
    this.#helpers = HELPERS.map((name) => HELPER_IMPLEMENTATIONS[name]);
    this.#arena = new RecordArena(buffer, RECORDS, RAM_BASE);
    this.#executor =
      options.tier === "blocks" ? new BlockTier(this.#arena, interpreter.numbers, imports) : this.#exports;
    this.memory = new LinearMemory(this.state, this.physical, {
      holdsCode: (page) => this.#finder.cache.holdsCode(page),
      written: (page, offset, length) => this.#finder.cache.written(page, offset, length),
      dataBreakpoint: (low, high, bytes, write) => noteAccess(this, (BigInt(high) << 32n) | BigInt(low), bytes, write),
    });
    const tables = new OpcodeTables(rows, (feature) => options.model.has(feature));
    this.#finder = new CodeFinder(this.state, this.memory, this.#arena, interpreter.numbers, tables);
    this.reset();
  }

  /** Instructions executed since the CPU was made. */
  get instructions(): number {
    return this.#executed;
  }

  /** The same, exact to the block, while `run` is under way: for clocks that count instructions. */
  get instructionsNow(): number {
    if (this.#granted === 0) return this.#executed;
    return this.#executed + this.#granted - (this.state.i32[(STATE + S.budget) >> 2] + this.#withheld);
  }
  #granted = 0;

  /** Difference of the TSC to the time source. */
  get tscOffset(): bigint {
    return BigInt.asIntN(64, this.state.get64(S.tscOffset));
  }

  /** Puts the CPU into the state after power-on or RESET (SDM vol. 3, table 10-1). RAM stays. */
  reset(): void {
    const { state } = this;
    state.u8.fill(0, STATE + S.gpr, STATE + S.arguments);
    state.u8.fill(0, STATE + S.cr0, STATE + S.a20 + 4);
    state.rflags = 2;
    state.set64(S.rip, 0xfff0n);
    state.setSegment(CS, 0xf000, 0xffff0000n, 0xffff, 0x9b00);
    for (const segment of [ES, SS, DS, 4, 5]) state.setSegment(segment, 0, 0n, 0xffff, 0x9300);
    state.setSegment(6, 0, 0n, 0xffff, 0x8200);
    state.setSegment(7, 0, 0n, 0xffff, 0x8b00);
    state.set64(S.gpr + 2 * 8, BigInt(signature(this.model)));
    state.set32(S.cr0, 0x60000010);
    state.set32(S.gdtLimit, 0xffff);
    state.set32(S.idtLimit, 0xffff);
    state.set32(S.dr + 6 * 8, 0xffff0ff0);
    state.set32(S.dr + 7 * 8, 0x400);
    state.set64(S.pat, 0x0007040600070406n);
    state.set64(S.xcr0, 1n);
    state.set32(S.mxcsr, 0x1f80);
    state.set32(S.fcw, 0x40);
    state.set64(S.miscEnable, 1n);
    state.set32(S.a20, 1);
    this.stateChanged();
  }

  /**
   * To be called after the state was changed from outside: drops everything that was derived from it. Fields that
   * address memory are cut to what they can be, whatever was loaded.
   */
  stateChanged(): void {
    this.state.set64(S.zero, 0n);
    this.state.set32(S.ftop, this.state.get32(S.ftop) & 7);
    this.state.set32(S.ftags, this.state.get32(S.ftags) & 0xff);
    this.physical.a20 = this.state.get32(S.a20) !== 0;
    this.flushTlb(true);
    this.modeChanged();
    this.state.set32(S.attention, 1);
  }

  /** Sets the A20 gate: false forces bit 20 of physical addresses to 0. */
  setA20(enabled: boolean): void {
    if (this.physical.a20 === enabled) return;
    this.state.set32(S.a20, enabled ? 1 : 0);
    this.physical.a20 = enabled;
    this.flushTlb(true);
    this.#finder.flush();
    // Leaves the block that executes at its next jump.
    this.attention();
  }

  /** To be called when RAM was written from outside (a device's DMA): code decoded from it is stale. */
  memoryWritten(address: number, length: number): void {
    for (let at = address; at < address + length; ) {
      const next = Math.min(address + length, at - (at % 4096) + 4096);
      const host = this.physical.host(at);
      if (host >= 0) this.#finder.cache.written(host & ~0xfff, host & 0xfff, next - at);
      at = next;
    }
  }

  // --- running ---

  /**
   * Executes up to `budget` instructions (a block may exceed it by its length). Returns early when the CPU halts or
   * shuts down, or when `stop` was called.
   */
  run(budget: number): StopReason {
    const { state } = this;
    this.#stop = undefined;
    let left = budget;
    while (left > 0) {
      if (state.get32(S.attention) !== 0) {
        const reason = this.#boundary();
        if (reason) return reason;
      }
      const single = this.#needsSingleStep();
      const granted = single ? 0 : Math.min(left, MAX_GRANT);
      this.#withheld = 0;
      state.set32(S.budget, granted);
      const used = single ? this.#step() : this.#free(granted);
      this.#executed += used;
      left -= Math.max(used, 1);
      if (this.#stop) return this.#stop;
    }
    return "budget";
  }

  /**
   * Executes one instruction, after the events that are due before it. `accept` is asked first, with the instruction's
   * first 15 bytes or what its page has of them; when it says no, nothing is executed and the result is `refused`.
   */
  step(accept?: (bytes: Uint8Array) => boolean): StopReason | "refused" {
    this.#stop = undefined;
    if (this.state.get32(S.attention) !== 0) {
      const reason = this.#boundary();
      if (reason) return reason;
    }
    this.#withheld = 0;
    this.state.set32(S.budget, 0);
    const used = this.#step(accept);
    this.#executed += used;
    return this.#stop ?? (used === 0 ? "refused" : "budget");
  }

  #free(granted: number): number {
    this.#granted = granted;
    const record = this.#resolve();
    if (record) this.#executor.run(record);
    this.#granted = 0;
    return granted - (this.state.i32[(STATE + S.budget) >> 2] + this.#withheld);
  }

  /** Whether the next instruction must run alone: TF, an interrupt shadow, or breakpoints, whose traps are exact then. */
  #needsSingleStep(): boolean {
    const { state } = this;
    return (
      state.get32(S.shadow) !== 0 ||
      (state.get32(S.systemFlags) & (FLAG.TF | FLAG.RF)) !== 0 ||
      (state.low(S.dr + 7 * 8) & DR7.ENABLES) !== 0
    );
  }

  /** Executes one instruction, decoded for this once; how many that were. */
  #step(accept?: (bytes: Uint8Array) => boolean): number {
    const { state } = this;
    const flags = state.get32(S.systemFlags);
    const mark = this.#arena.next;
    const generation = this.#finder.generation;
    let delivered = false;
    try {
      if (this.#executionBreakpoint()) return 1;
      const record = this.#finder.find(true);
      if (accept && !accept(this.#finder.fetched)) {
        if (generation === this.#finder.generation) this.#arena.rewind(mark);
        return 0;
      }
      state.set32(S.shadow, 0);
      state.set32(S.systemFlags, flags & ~FLAG.RF);
      this.#faulted = false;
      this.#executor.run(record);
      delivered = this.#faulted;
    } catch (error) {
      if (error !== FAULT) throw error;
      deliver(this, exceptionEvent(FAULT));
      delivered = true;
    }
    if (generation === this.#finder.generation) this.#arena.rewind(mark);
    if (flags & FLAG.TF && !delivered && state.get32(S.shadow) !== 2) {
      state.set32(S.debugPending, state.get32(S.debugPending) | DR6.BS);
    }
    if (state.get32(S.debugPending)) state.set32(S.attention, 1);
    if (state.get32(S.shadow)) state.set32(S.attention, 1);
    return 1;
  }
  #faulted = false;

  /** Handles what waits between two instructions (SDM vol. 3, table 6-2); a reason: execution cannot go on. */
  #boundary(): StopReason | undefined {
    const { state } = this;
    state.set32(S.attention, 0);
    // Each delivery ends at a boundary, too: a trap, an NMI and an interrupt may come without an instruction in between.
    for (let events = 0; events < 3 && state.get32(S.activity) < 2 && this.#deliverNext(); events++);
    if (state.get32(S.activity) === 2) return "shutdown";
    if (this.#waits()) state.set32(S.attention, 1);
    if (state.get32(S.activity) === 1) {
      state.set32(S.attention, 1);
      return "halted";
    }
    if (state.get32(S.activity) === 3) {
      state.set32(S.attention, 1);
      return "init";
    }
    return undefined;
  }

  /** Delivers the first event that may be; false when there is none. */
  #deliverNext(): boolean {
    const { state } = this;
    const shadow = state.get32(S.shadow);
    const debug = state.get32(S.debugPending);
    if (debug && shadow !== 2) {
      state.set32(S.debugPending, 0);
      state.set32(S.dr + 6 * 8, (state.get32(S.dr + 6 * 8) & ~DR6.BREAKPOINTS) | debug | DR6.FIXED);
      deliver(this, { vector: VECTOR.DB, kind: "exception", resume: false });
      return true;
    }
    if (shadow !== 0) return false;
    if (state.get32(S.nmiPending) && !state.get32(S.nmiBlocked)) {
      state.set32(S.nmiPending, 0);
      state.set32(S.nmiBlocked, 1);
      deliver(this, { vector: VECTOR.NMI, kind: "interrupt" });
      return true;
    }
    if (!(state.get32(S.systemFlags) & FLAG.IF) || !this.apic.pending()) return false;
    const vector = this.apic.acknowledge();
    if (vector >= 0) deliver(this, { vector, kind: "interrupt" });
    return vector >= 0;
  }

  /** Something is deliverable, or will be after the shadow or when IF is set, which then asks for attention. */
  #waits(): boolean {
    const { state } = this;
    if (state.get32(S.debugPending)) return true;
    if (state.get32(S.nmiPending) && !state.get32(S.nmiBlocked)) return true;
    return this.apic.pending();
  }

  /** Raises a non-maskable interrupt. */
  nmi(): void {
    this.state.set32(S.nmiPending, 1);
    this.attention();
  }

  // --- CpuContext: control ---

  attention(): void {
    const { state } = this;
    state.set32(S.attention, 1);
    const budget = state.i32[(STATE + S.budget) >> 2];
    if (budget >= 0) {
      this.#withheld += budget + 1;
      state.set32(S.budget, 0xffffffff);
    }
  }

  stop(reason: StopReason): void {
    this.#stop = reason;
    this.attention();
  }

  jump(rip: bigint): void {
    this.state.set64(S.rip, rip);
    this.#over = true;
  }

  flushTlb(global: boolean): void {
    this.memory.flush(global);
    this.#finder.jumps.clear();
  }
  flushPage(linear: bigint): void {
    this.memory.flushPage(Number(linear & 0xffffffffn), Number((linear >> 32n) & 0xffffffffn));
    this.#finder.jumps.clear();
  }
  modeChanged(): void {
    const { state } = this;
    const mode = modeOf(state);
    const long = (mode & MODE.LONG) !== 0;
    state.set32(S.mode, mode);
    state.set64(S.stackMask, long ? ALL_ONES : state.attributes(SS) & ATTRIBUTE.DB ? 0xffffffffn : 0xffffn);
    this.memory.updateMode();
    this.#finder.setCodeSegment(long ? 0n : state.base(CS), long ? 0xffffffff : state.limit(CS));
  }

  // --- CpuContext: calls from generated code ---

  arg32(index: number): number {
    return this.state.get32(S.arguments + index * 16);
  }
  arg64(index: number): bigint {
    return this.state.get64(S.arguments + index * 16);
  }
  argAddress(index: number): number {
    return STATE + S.arguments + index * 16;
  }
  setResult32(value: number, index = 0): void {
    this.state.set32(S.result + index * 16, value);
  }
  setResult64(value: bigint, index = 0): void {
    this.state.set64(S.result + index * 16, value);
  }
  resultAddress(index = 0): number {
    return STATE + S.result + index * 16;
  }
  get instructionIp(): bigint {
    return this.#ipPlus(0);
  }
  get nextIp(): bigint {
    return this.#ipPlus(this.#arena.length(this.#record));
  }
  #ipPlus(bytes: number): bigint {
    const { state } = this;
    const linear = state.get64(S.page) + BigInt(this.#arena.ip(this.#record) + bytes);
    if (state.get32(S.mode) & MODE.LONG) return BigInt.asUintN(64, linear);
    return BigInt.asUintN(32, linear - this.#finder.codeBase);
  }

  #stack(flags: number, record: number): boolean {
    return (flags & ACCESS.stack) !== 0 || this.#arena.inStackSegment(record);
  }

  /** Runs what may raise; 1 when the instruction is over. */
  #slow(record: number, action: () => void): number {
    this.#record = record;
    try {
      action();
      return 0;
    } catch (error) {
      if (error !== FAULT) throw error;
      this.#deliverFault();
      return 1;
    }
  }

  #helper(id: number, record: number): number {
    this.#record = record;
    this.#over = false;
    this.memory.stackSegment = this.#arena.inStackSegment(record);
    try {
      this.#helpers[id](this);
    } catch (error) {
      if (error !== FAULT) throw error;
      this.#deliverFault();
      return 1;
    }
    // The handler of a software interrupt begins with TF clear: no single-step trap comes in between.
    if (id === INTERRUPT) this.#faulted = true;
    // With TF masked by SYSCALL, there is none either.
    if (id === SYSCALL && !(this.state.get32(S.systemFlags) & FLAG.TF)) this.#faulted = true;
    // After a triple fault there is no next instruction.
    if (!this.#over && this.#stop !== "shutdown") return 0;
    this.#spend(this.#arena.count(record));
    return 1;
  }

  #deliverFault(): void {
    this.#faulted = true;
    this.state.set64(S.rip, this.instructionIp);
    this.#spend(this.#arena.count(this.#record));
    deliver(this, exceptionEvent(FAULT));
  }

  #spend(instructions: number): void {
    const index = (STATE + S.budget) >> 2;
    this.state.i32[index] -= instructions;
  }

  // --- finding code ---

  /** The record for `S.rip`, delivering what fetching it raises; 0: leave execution. */
  #resolve(): number {
    const { state } = this;
    while (state.i32[(STATE + S.budget) >> 2] >= 0 && !this.#stop) {
      try {
        const record = this.#finder.find(false);
        this.#finder.found();
        return record;
      } catch (error) {
        if (error !== FAULT) throw error;
        this.#faulted = true;
        this.#spend(1);
        deliver(this, exceptionEvent(FAULT));
      }
    }
    return 0;
  }

  /** The first time that a direct jump is taken: its target is `S.rip`. Record 0: the code there has changed. */
  #link(record: number): number {
    if (record) return this.#finder.link(record, () => this.#resolve());
    this.#finder.jumps.drop(this.state.low(S.rip));
    return this.#resolve();
  }

  // --- debug registers ---

  /** Raises #DB when a breakpoint is set on the instruction at `S.rip`. Its RFLAGS image has RF clear. */
  #executionBreakpoint(): boolean {
    const { state } = this;
    if (!(state.low(S.dr + 7 * 8) & DR7.ENABLES)) return false;
    const linear = BigInt.asUintN(
      state.get32(S.mode) & MODE.LONG ? 64 : 32,
      state.get64(S.rip) + this.#finder.codeBase,
    );
    const hits = instructionBreakpoint(state, linear);
    if (!hits) return false;
    state.set32(S.dr + 6 * 8, (state.get32(S.dr + 6 * 8) & ~DR6.BREAKPOINTS) | hits);
    deliver(this, { vector: VECTOR.DB, kind: "exception", resume: false });
    return true;
  }

  // --- CpuContext: linear memory ---

  read(linear: bigint, bytes: 1 | 2 | 4): number {
    return this.memory.read(linear, bytes);
  }
  read64(linear: bigint): bigint {
    return this.memory.read64(linear);
  }
  write(linear: bigint, bytes: 1 | 2 | 4, value: number): void {
    this.memory.write(linear, bytes, value);
  }
  write64(linear: bigint, value: bigint): void {
    this.memory.write64(linear, value);
  }
  probeWrite(linear: bigint, bytes: number): void {
    this.memory.probeWrite(linear, bytes);
  }
  probeRead(linear: bigint, bytes: number): void {
    this.memory.probeRead(linear, bytes);
  }
  readSystem(linear: bigint, bytes: 1 | 2 | 4): number {
    return this.memory.readSystem(linear, bytes);
  }
  readSystem64(linear: bigint): bigint {
    return this.memory.readSystem64(linear);
  }
  writeSystem(linear: bigint, bytes: 1 | 2 | 4, value: number): void {
    this.memory.writeSystem(linear, bytes, value);
  }
  writeSystem64(linear: bigint, value: bigint): void {
    this.memory.writeSystem64(linear, value);
  }
  writeAt(privilege: number, linear: bigint, bytes: 2 | 4 | 8, value: bigint): void {
    this.memory.writeAt(privilege, linear, bytes, value);
  }
  probeWriteAt(privilege: number, linear: bigint, bytes: number): void {
    this.memory.probeWriteAt(privilege, linear, bytes);
  }
}

const INTERRUPT = helperNumber("interrupt");
const SYSCALL = helperNumber("syscall");
const ALL_ONES = 0xffffffffffffffffn;
/** Instructions that are counted in one piece: the counter has 32 bits, and goes below 0. */
const MAX_GRANT = 2 ** 30;
