import type { Cpu, InterpreterCode } from "../../src/cpu/cpu.js";
import type { Tier } from "../../src/cpu/executor.js";
import { CS, DS, ES, FS, GS, RAM_BASE, S, SS, STATE, TR } from "../../src/state/layout.js";
import { bareCpu } from "../support/bare-cpu.js";
import {
  type CaseBuffer,
  CODE_ADDRESS,
  DATA_ADDRESS,
  FIELD,
  FX,
  GS_BASE,
  READ_ONLY_ADDRESS,
  RECORD_BYTES,
  TRAP_TIMEOUT,
  WINDOW_ADDRESS,
  WINDOW_SIZE,
} from "./layout.js";

/** Guest-physical layout: tables below, then the pages of a case. */
const PHYSICAL = {
  pml4: 0x1000,
  pdptLow: 0x2000,
  pdptHigh: 0x3000,
  pdLow: 0x4000,
  pdHigh: 0x5000,
  ptCode: 0x6000,
  ptData: 0x7000,
  gdt: 0x8000,
  idt: 0x9000,
  tss: 0xa000,
  handlers: 0xb000,
  stack: 0xc000,
  code: 0x10000,
  data: 0x20000,
} as const;
const RAM = 0x40000;

/** Supervisor code and data: the first 2 MiB of physical memory, mapped here for the supervisor alone. */
const KERNEL = 0xffffffff80000000n;
const kernel = (physical: number): bigint => KERNEL + BigInt(physical);
const STACK_TOP = PHYSICAL.stack + 0x1000;
/** Instructions of one case at most: repeated string instructions count each time. */
const BUDGET = 2000;

/** Where the read-only page begins. */
const EDGE = PHYSICAL.data + READ_ONLY_ADDRESS - DATA_ADDRESS;

const PAGE = { present: 1, write: 2, user: 4, large: 0x80 } as const;

/** The emulated CPU in the same surroundings as native.c makes: user mode, the same linear addresses. */
export class EmulatedHost {
  readonly cpu: Cpu;
  readonly #ram: Uint8Array;
  readonly #ram32: Uint32Array;
  /** The instruction that stands in the code pages. */
  #code: { at: number; bytes: Uint8Array } = { at: PHYSICAL.code, bytes: new Uint8Array(0) };
  readonly #ram64: BigUint64Array;

  constructor(interpreter: InterpreterCode, tier: Tier = "interpreter") {
    const { cpu, memory } = bareCpu(RAM, { interpreter, tier });
    this.cpu = cpu;
    this.#ram = new Uint8Array(memory.buffer, RAM_BASE, RAM);
    this.#ram32 = new Uint32Array(memory.buffer, RAM_BASE, RAM / 4);
    this.#ram64 = new BigUint64Array(memory.buffer, RAM_BASE, RAM / 8);
    this.#buildTables();
    this.#ram.fill(0xcc, PHYSICAL.code, PHYSICAL.code + 0x2000);
    this.#setSystemRegisters();
  }

  #set64(physical: number, value: bigint): void {
    this.#ram64[physical >> 3] = value;
  }

  #buildTables(): void {
    const entry = (table: number, index: number, value: number) => this.#set64(table + index * 8, BigInt(value));
    const all = PAGE.present | PAGE.write | PAGE.user;
    entry(PHYSICAL.pml4, 0, PHYSICAL.pdptLow | all);
    entry(PHYSICAL.pml4, 511, PHYSICAL.pdptHigh | all);
    entry(PHYSICAL.pdptLow, 0, PHYSICAL.pdLow | all);
    entry(PHYSICAL.pdptHigh, 510, PHYSICAL.pdHigh | all);
    entry(PHYSICAL.pdHigh, 0, PAGE.present | PAGE.write | PAGE.large);
    entry(PHYSICAL.pdLow, CODE_ADDRESS >> 21, PHYSICAL.ptCode | all);
    entry(PHYSICAL.pdLow, DATA_ADDRESS >> 21, PHYSICAL.ptData | all);
    for (const page of [0, 1]) {
      entry(PHYSICAL.ptCode, page, (PHYSICAL.code + page * 4096) | all);
      entry(PHYSICAL.ptData, page, (PHYSICAL.data + page * 4096) | all);
    }
    entry(PHYSICAL.ptData, 2, (PHYSICAL.data + 0x2000) | PAGE.present | PAGE.user);
    // Data pages cannot be executed, which a fetch fault's error code shows.
    for (const page of [0, 1, 2]) this.#ram32[(PHYSICAL.ptData >> 2) + page * 2 + 1] = 0x80000000;

    // Selector 0x10 supervisor code, 0x18 data, 0x23 user code for compatibility mode, 0x2b data, 0x33 64-bit code.
    const gdt = [0n, 0n, 0x00af9b000000ffffn, 0x00cf93000000ffffn, 0x00cffb000000ffffn, 0x00cff3000000ffffn];
    gdt.push(0x00affb000000ffffn);
    gdt.forEach((descriptor, index) => {
      this.#set64(PHYSICAL.gdt + index * 8, descriptor);
    });
    for (let vector = 0; vector < 256; vector++) {
      const at = kernel(PHYSICAL.handlers + vector * 16);
      // INT3 and INTO may be called from user mode, as under Linux.
      const privilege = vector === 3 || vector === 4 ? 0xee00n : 0x8e00n;
      const low = (at & 0xffffn) | (0x10n << 16n) | (privilege << 32n) | (((at >> 16n) & 0xffffn) << 48n);
      this.#set64(PHYSICAL.idt + vector * 16, low);
      this.#set64(PHYSICAL.idt + vector * 16 + 8, at >> 32n);
    }
    this.#ram.fill(0xf4, PHYSICAL.handlers, PHYSICAL.handlers + 0x1000);
    // RSP0 at offset 4 of the TSS.
    const top = kernel(STACK_TOP);
    this.#ram32[(PHYSICAL.tss + 4) >> 2] = Number(top & 0xffffffffn);
    this.#ram32[(PHYSICAL.tss + 8) >> 2] = Number(top >> 32n);
    // No I/O permission bitmap.
    this.#ram32[(PHYSICAL.tss + 0x64) >> 2] = 0x680000;
  }

  #setSystemRegisters(): void {
    const { state } = this.cpu;
    state.set64(S.cr0, 0x80050033n);
    state.set64(S.cr3, BigInt(PHYSICAL.pml4));
    // PAE, PGE, OSFXSR, OSXMMEXCPT, OSXSAVE.
    state.set64(S.cr4, 0x406a0n);
    // SCE, LME, LMA, NXE.
    state.set64(S.efer, 0xd01n);
    state.set64(S.gdtBase, kernel(PHYSICAL.gdt));
    // As large as Linux makes it; the rest is empty.
    state.set32(S.gdtLimit, 127);
    state.set64(S.idtBase, kernel(PHYSICAL.idt));
    state.set32(S.idtLimit, 0xfff);
    state.setSegment(TR, 0x40, kernel(PHYSICAL.tss), 0x67, 0x8b00);
    this.#userMode(true);
    this.cpu.stateChanged();
  }

  #userMode(long: boolean): void {
    const { state } = this.cpu;
    if (long) state.setSegment(CS, 0x33, 0n, 0xffffffff, 0xa0fb00);
    else state.setSegment(CS, 0x23, 0n, 0xffffffff, 0xc0fb00);
    state.setSegment(SS, 0x2b, 0n, 0xffffffff, 0xc0f300);
    state.setSegment(DS, 0x2b, 0n, 0xffffffff, 0xc0f300);
    state.setSegment(ES, 0x2b, 0n, 0xffffffff, 0xc0f300);
    state.setSegment(FS, 0, 0n, 0, 0);
    state.setSegment(GS, 0, BigInt(GS_BASE), 0, 0);
  }

  /** Runs case `number` and replaces its fields by the outcome. */
  run(cases: CaseBuffer, number: number): void {
    const { cpu } = this;
    const { state } = cpu;
    const { bytes, u32 } = cases;
    const at = number * RECORD_BYTES;
    const window = PHYSICAL.data + WINDOW_ADDRESS - DATA_ADDRESS;
    const rip = u32[(at + FIELD.rip) >> 2];
    const length = u32[(at + FIELD.codeLength) >> 2];
    const code = PHYSICAL.code + rip - CODE_ADDRESS;

    this.#ram.set(bytes.subarray(at + FIELD.window, at + FIELD.window + WINDOW_SIZE), window);
    this.#placeCode(bytes.subarray(at + FIELD.code, at + FIELD.code + length), code);
    state.u8.set(bytes.subarray(at, at + 128), STATE + S.gpr);
    this.#loadFx(bytes, at + FIELD.fx);
    this.#userMode(u32[(at + FIELD.compatibility) >> 2] === 0);
    state.rflags = u32[(at + FIELD.rflags) >> 2];
    state.set64(S.rip, BigInt(rip));
    state.set32(S.activity, 0);
    state.set32(S.shadow, 0);
    cpu.modeChanged();

    const reason = cpu.run(BUDGET);
    this.#storeFx(bytes, at + FIELD.fx);
    bytes.set(this.#ram.subarray(window, window + WINDOW_SIZE), at + FIELD.window);
    // Writes just below the read-only page lie outside of the window.
    this.#ram.fill(0, EDGE - 64, EDGE);
    bytes.set(state.u8.subarray(STATE + S.gpr, STATE + S.gpr + 128), at);
    cases.set64(at + FIELD.cr2, state.low(S.cr2), state.high(S.cr2));
    if (reason !== "halted") {
      u32[(at + FIELD.trap) >> 2] = TRAP_TIMEOUT;
      return;
    }
    this.#takeFrame(cases, at);
  }

  /** Puts the instruction where it is to run, and INT3 where the last one was; the same code stays, and stays decoded. */
  #placeCode(instruction: Uint8Array, code: number): void {
    const last = this.#code;
    if (last.at === code && Buffer.compare(last.bytes, instruction) === 0) return;
    this.#ram.fill(0xcc, last.at, last.at + last.bytes.length);
    this.cpu.memoryWritten(last.at, last.bytes.length);
    this.#ram.set(instruction, code);
    this.cpu.memoryWritten(code, instruction.length);
    this.#code = { at: code, bytes: instruction.slice() };
  }

  /** The handler has halted right behind its first byte; the frame lies where RSP points. */
  #takeFrame(cases: CaseBuffer, at: number): void {
    const { state } = this.cpu;
    const { u32 } = cases;
    const vector = ((state.low(S.rip) - 1 - Number(kernel(PHYSICAL.handlers) & 0xffffffffn)) >>> 4) & 0xff;
    const pushed = STACK_TOP - (state.low(S.gpr + 4 * 8) - Number(KERNEL & 0xffffffffn));
    const hasErrorCode = pushed === 48;
    const frame = (STACK_TOP - 40) >> 2;
    u32[(at + FIELD.trap) >> 2] = vector;
    u32[(at + FIELD.errorCode) >> 2] = hasErrorCode ? this.#ram32[(STACK_TOP - 48) >> 2] : 0;
    cases.set64(at + FIELD.rip, this.#ram32[frame], this.#ram32[frame + 1]);
    cases.set64(at + FIELD.rflags, this.#ram32[frame + 4], this.#ram32[frame + 5]);
    cases.set64(at + FIELD.gpr + 4 * 8, this.#ram32[frame + 6], this.#ram32[frame + 7]);
  }

  #loadFx(bytes: Uint8Array, fx: number): void {
    const { state } = this.cpu;
    const { u8 } = state;
    const status = bytes[fx + FX.fsw] | (bytes[fx + FX.fsw + 1] << 8);
    const top = (status >> 11) & 7;
    state.set32(S.fcw, bytes[fx + FX.fcw] | (bytes[fx + FX.fcw + 1] << 8));
    state.set32(S.fsw, status & ~0x3800);
    state.set32(S.ftop, top);
    state.set32(S.ftags, bytes[fx + FX.ftw]);
    // The host loads these from the image, where they are 0.
    for (const field of [S.fop, S.fcs, S.fds]) state.set32(field, 0);
    state.set64(S.fip, 0n);
    state.set64(S.fdp, 0n);
    state.set32(S.mxcsr, bytes[fx + FX.mxcsr] | (bytes[fx + FX.mxcsr + 1] << 8));
    u8.set(bytes.subarray(fx + FX.xmm, fx + FX.xmm + 256), STATE + S.xmm);
    const st = fx + FX.st;
    const wrap = 8 - top;
    u8.set(bytes.subarray(st, st + wrap * 16), STATE + S.fpr + top * 16);
    if (top) u8.set(bytes.subarray(st + wrap * 16, st + 128), STATE + S.fpr);
  }

  #storeFx(bytes: Uint8Array, fx: number): void {
    const { state } = this.cpu;
    const { u8 } = state;
    const put16 = (offset: number, value: number) => {
      bytes[fx + offset] = value;
      bytes[fx + offset + 1] = value >> 8;
    };
    const top = state.get32(S.ftop);
    put16(FX.fcw, state.get32(S.fcw));
    put16(FX.fsw, state.get32(S.fsw) | (top << 11));
    bytes[fx + FX.ftw] = state.get32(S.ftags);
    put16(FX.mxcsr, state.get32(S.mxcsr));
    put16(FX.mxcsr + 2, state.get32(S.mxcsr) >>> 16);
    bytes.set(u8.subarray(STATE + S.xmm, STATE + S.xmm + 256), fx + FX.xmm);
    const st = fx + FX.st;
    const wrap = 8 - top;
    bytes.set(u8.subarray(STATE + S.fpr + top * 16, STATE + S.fpr + 128), st);
    if (top) bytes.set(u8.subarray(STATE + S.fpr, STATE + S.fpr + top * 16), st + wrap * 16);
  }
}
