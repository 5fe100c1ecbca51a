/** What native.c and the tests share: the memory map of a case, and where its fields lie in a record. */

export const CODE_ADDRESS = 0x10000000;
export const CODE_SIZE = 0x2000;
/** Two writable pages, then one that may only be read. */
export const DATA_ADDRESS = 0x20000000;
export const READ_ONLY_ADDRESS = 0x20002000;
/** The part of the writable pages that a case begins with and whose end is compared: it straddles the two pages. */
export const WINDOW_ADDRESS = 0x20000f00;
export const WINDOW_SIZE = 512;
export const WINDOW_MIDDLE = 0x20001000;
export const GS_BASE = 0x20000f80;
export const UNMAPPED_ADDRESS = 0x20003000;

/** Offsets in a record. */
export const FIELD = {
  gpr: 0,
  rip: 128,
  rflags: 136,
  trap: 144,
  errorCode: 148,
  cr2: 152,
  code: 160,
  codeLength: 224,
  compatibility: 228,
  fx: 240,
  window: 752,
} as const;
export const RECORD_BYTES = 1264;
export const CODE_BYTES = 64;

/** Offsets in an FXSAVE64 image. */
export const FX = { fcw: 0, fsw: 2, ftw: 4, fop: 6, mxcsr: 24, mxcsrMask: 28, st: 32, xmm: 160 } as const;

/** How a case that ran to its end reports itself: at the INT3 behind it. */
export const TRAP_BREAKPOINT = 3;
/** How it does with TF set. */
export const TRAP_SINGLE_STEP = 1;
export const TRAP_TIMEOUT = 255;

/** Cases in one buffer, with views for every width. */
export class CaseBuffer {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly u64: BigUint64Array;

  constructor(readonly count: number) {
    this.bytes = new Uint8Array(count * RECORD_BYTES);
    this.u16 = new Uint16Array(this.bytes.buffer);
    this.u32 = new Uint32Array(this.bytes.buffer);
    this.u64 = new BigUint64Array(this.bytes.buffer);
  }

  /** A 64-bit field as two halves. */
  set64(offset: number, low: number, high: number): void {
    this.u32[offset >> 2] = low;
    this.u32[(offset >> 2) + 1] = high;
  }
}
