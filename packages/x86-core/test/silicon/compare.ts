import { FLAG } from "../../src/semantics/flags.js";
import {
  type CaseBuffer,
  FIELD,
  FX,
  RECORD_BYTES,
  TRAP_BREAKPOINT,
  TRAP_SINGLE_STEP,
  WINDOW_ADDRESS,
  WINDOW_SIZE,
} from "./layout.js";
import type { Shape } from "./shapes.js";

/** Mnemonic of the row that stands for several instructions. */
export const SEQUENCE = "sequence";

export const STATUS_FLAGS = ["OF", "SF", "ZF", "AF", "PF", "CF"] as const;
const ALWAYS = FLAG.TF | FLAG.DF | FLAG.NT | FLAG.AC | FLAG.ID;
const WITH_ERROR_CODE = new Set([8, 10, 11, 12, 13, 14, 17]);
const REGISTERS = "RAX RCX RDX RBX RSP RBP RSI RDI R8 R9 R10 R11 R12 R13 R14 R15".split(" ");

/** Flags that the row defines. */
export function definedFlags(flags: string): number {
  let mask = ALWAYS;
  STATUS_FLAGS.forEach((name, index) => {
    if (flags[index] !== "U") mask |= FLAG[name];
  });
  return mask;
}

const hex = (cases: CaseBuffer, offset: number) =>
  cases.u32[(offset >> 2) + 1].toString(16).padStart(8, "0") + cases.u32[offset >> 2].toString(16).padStart(8, "0");
const hex16 = (bytes: Uint8Array, offset: number, length = 16) =>
  Buffer.from(bytes.subarray(offset, offset + length))
    .reverse()
    .toString("hex");

/**
 * Makes equal what processors differ in within an FXSAVE image: pointers to the last x87 instruction, MXCSR_MASK, and
 * reserved bytes. The image is found by its mask.
 */
function forgetImplementationFields(x: Uint8Array, y: Uint8Array, window: number): void {
  for (let image = window; image + 32 <= window + WINDOW_SIZE; image += 16) {
    if (y[image + 28] !== 0xff || y[image + 29] !== 0xff || y[image + 30] !== 0 || y[image + 31] !== 0) continue;
    if (x[image + 28] !== 0xff || x[image + 29] !== 0xff || x[image + 31] !== 0) continue;
    const end = Math.min(image + 512, window + WINDOW_SIZE);
    const ranges = [
      [6, 24],
      [28, 32],
      ...[0, 1, 2, 3, 4, 5, 6, 7].map((slot) => [32 + slot * 16 + 10, 32 + slot * 16 + 16]),
      [416, 512],
    ];
    for (const [from, to] of ranges) {
      if (image + from < end) y.set(x.subarray(image + from, Math.min(image + to, end)), image + from);
    }
    return;
  }
}

/** What differs between the outcomes of one case, host first; undefined when nothing does. */
export function difference(shape: Shape, host: CaseBuffer, ours: CaseBuffer, number: number): string | undefined {
  const at = number * RECORD_BYTES;
  const a = host.u32;
  const b = ours.u32;
  const same = (offset: number) => a[(at + offset) >> 2] === b[(at + offset) >> 2];
  const same64 = (offset: number) => same(offset) && same(offset + 4);
  const found: string[] = [];
  const trap = a[(at + FIELD.trap) >> 2];
  const ourTrap = b[(at + FIELD.trap) >> 2];
  if (trap !== ourTrap) {
    const where = `at ${hex(host, at + FIELD.rip)} / ${hex(ours, at + FIELD.rip)}`;
    return `exception ${trap} / ${ourTrap} ${where}`;
  }
  if (WITH_ERROR_CODE.has(trap)) {
    // Linux hides whether a page of its own half is present.
    const hidden = trap === 14 && a[(at + FIELD.cr2 + 4) >> 2] >= 0x8000 ? 1 : 0;
    if ((a[(at + FIELD.errorCode) >> 2] | hidden) !== (b[(at + FIELD.errorCode) >> 2] | hidden)) {
      found.push(`error code ${a[(at + FIELD.errorCode) >> 2]} / ${b[(at + FIELD.errorCode) >> 2]}`);
    }
    if (trap === 14 && !same64(FIELD.cr2)) {
      found.push(`CR2 ${hex(host, at + FIELD.cr2)} / ${hex(ours, at + FIELD.cr2)}`);
    }
  }
  if (!same64(FIELD.rip)) found.push(`RIP ${hex(host, at + FIELD.rip)} / ${hex(ours, at + FIELD.rip)}`);
  // An instruction that faulted has changed no flag; of a sequence, those before it may have.
  const completed = trap === TRAP_BREAKPOINT || trap === TRAP_SINGLE_STEP || shape.row.mnemonic === SEQUENCE;
  const mask = definedFlags(completed ? shape.row.flags : "");
  const flags = a[(at + FIELD.rflags) >> 2];
  const ourFlags = b[(at + FIELD.rflags) >> 2];
  if ((flags ^ ourFlags) & mask) {
    const names = Object.entries(FLAG)
      .filter(([, bit]) => (flags ^ ourFlags) & mask & bit)
      .map(([name, bit]) => `${name} ${flags & bit ? 1 : 0} / ${ourFlags & bit ? 1 : 0}`);
    found.push(names.join(", "));
  }
  for (let i = 0; i < 16; i++) {
    if (!(shape.long ? same64(i * 8) : same(i * 8))) {
      found.push(`${REGISTERS[i]} ${hex(host, at + i * 8)} / ${hex(ours, at + i * 8)}`);
    }
  }
  const fx = at + FIELD.fx;
  const x = host.bytes;
  const y = ours.bytes;
  const field = (name: string, offset: number, length: number) => {
    for (let i = 0; i < length; i++) {
      if (x[fx + offset + i] !== y[fx + offset + i]) {
        found.push(`${name} ${hex16(x, fx + offset, length)} / ${hex16(y, fx + offset, length)}`);
        return;
      }
    }
  };
  field("FCW", FX.fcw, 2);
  field("FSW", FX.fsw, 2);
  field("FTW", FX.ftw, 1);
  field("MXCSR", FX.mxcsr, 4);
  for (let i = 0; i < 8; i++) field(`ST${i}`, FX.st + i * 16, 10);
  for (let i = 0; i < 16; i++) field(`XMM${i}`, FX.xmm + i * 16, 16);
  const window = at + FIELD.window;
  if (shape.row.mnemonic === "FXSAVE") forgetImplementationFields(x, y, window);
  if (Buffer.compare(x.subarray(window, window + WINDOW_SIZE), y.subarray(window, window + WINDOW_SIZE))) {
    const first = x.subarray(window, window + WINDOW_SIZE).findIndex((value, i) => value !== y[window + i]);
    const address = (WINDOW_ADDRESS + first).toString(16);
    const start = Math.min(window + first, window + WINDOW_SIZE - 16);
    found.push(`memory at ${address} ${hex16(x, start)} / ${hex16(y, start)}`);
  }
  return found.length > 0 ? found.join("; ") : undefined;
}
