/** Layout of the FXSAVE and XSAVE areas (SDM vol. 1, 10.5.1 and 13.4). Offsets in bytes. */
export const FXSAVE = {
  fcw: 0,
  fsw: 2,
  ftw: 4,
  fop: 6,
  fip: 8,
  fcs: 12,
  fdp: 16,
  fds: 20,
  mxcsr: 24,
  mxcsrMask: 28,
  st: 32,
  xmm: 160,
  size: 512,
} as const;
/** The header after the legacy region. */
export const XSAVE_HEADER = { bitmap: 512, compaction: 520, end: 576 } as const;
/** All that the states known here (x87 and SSE) need. */
export const XSAVE_SIZE = 576;
/** State components. */
export const XFEATURE = { X87: 1, SSE: 2 } as const;
export const MXCSR_MASK = 0xffff;
