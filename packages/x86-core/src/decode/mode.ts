/**
 * Bits of `S.mode`: everything beside the bytes that decoding depends on. Code decoded in one mode is never run in
 * another.
 */
export const MODE = {
  /** 64-bit mode. */
  LONG: 1 << 0,
  /** CS.D outside 64-bit mode: 32-bit operands and addresses by default. */
  CODE32: 1 << 1,
  /** Outside 64-bit mode: DS, ES and SS start at 0, end at 4 GiB and may be read and written. */
  FLAT: 1 << 2,
  /** CPL 3: fetches must be permitted to user mode. */
  USER: 1 << 3,
  /** Virtual-8086 or real mode: no VEX. */
  NO_VEX: 1 << 4,
  /** CR0.TS or CR0.EM: x87 instructions raise #NM. */
  X87_NM: 1 << 5,
  /** CR0.EM: MMX raises #UD. CR0.EM or no CR4.OSFXSR: SSE raises #UD. */
  MMX_UD: 1 << 6,
  SSE_UD: 1 << 7,
  /** CR0.TS: MMX and SSE raise #NM. */
  TASK_SWITCHED: 1 << 8,
} as const;
