/** Bits of the control registers and of EFER (SDM vol. 3, 2.5 and 2.2.1). */
export const CR0 = {
  PE: 1 << 0,
  MP: 1 << 1,
  EM: 1 << 2,
  TS: 1 << 3,
  ET: 1 << 4,
  NE: 1 << 5,
  WP: 1 << 16,
  AM: 1 << 18,
  NW: 1 << 29,
  CD: 1 << 30,
  PG: 0x80000000,
} as const;

export const CR4 = {
  VME: 1 << 0,
  PVI: 1 << 1,
  TSD: 1 << 2,
  DE: 1 << 3,
  PSE: 1 << 4,
  PAE: 1 << 5,
  MCE: 1 << 6,
  PGE: 1 << 7,
  PCE: 1 << 8,
  OSFXSR: 1 << 9,
  OSXMMEXCPT: 1 << 10,
  FSGSBASE: 1 << 16,
  PCIDE: 1 << 17,
  OSXSAVE: 1 << 18,
  SMEP: 1 << 20,
  SMAP: 1 << 21,
} as const;

export const EFER = { SCE: 1 << 0, LME: 1 << 8, LMA: 1 << 10, NXE: 1 << 11 } as const;

/** DR6: what happened; DR7: what is watched (SDM vol. 3, 18.2). */
export const DR6 = {
  BREAKPOINTS: 0xf,
  BD: 1 << 13,
  BS: 1 << 14,
  BT: 1 << 15,
  /** Bits that always read as 1. */
  FIXED: 0xffff0ff0,
} as const;
export const DR7 = { ENABLES: 0xff, GD: 1 << 13, FIXED: 0x400 } as const;

/** Attribute bits of a segment cache: bits 8-23 of a descriptor's second word. */
export const ATTRIBUTE = {
  ACCESSED: 1 << 8,
  /** Data: writable. Code: readable. */
  RW: 1 << 9,
  /** Data: expands down. Code: conforming. */
  DC: 1 << 10,
  CODE: 1 << 11,
  /** Code or data, not a system segment. */
  S: 1 << 12,
  DPL: 3 << 13,
  P: 1 << 15,
  AVL: 1 << 20,
  L: 1 << 21,
  /** Default operation size; for a stack, its pointer's size. */
  DB: 1 << 22,
  G: 1 << 23,
} as const;
export const ATTRIBUTES = 0x00f0ff00;

/** Types of system segments and gates. */
export const TYPE = {
  TSS16: 1,
  LDT: 2,
  TSS16_BUSY: 3,
  CALL16: 4,
  TASK: 5,
  INTERRUPT16: 6,
  TRAP16: 7,
  TSS32: 9,
  TSS32_BUSY: 11,
  CALL32: 12,
  INTERRUPT32: 14,
  TRAP32: 15,
} as const;
