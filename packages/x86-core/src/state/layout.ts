/**
 * Where everything lives in the one WebAssembly memory of a CPU: the architectural state, the software TLBs, the jump
 * cache, the decoded code, and above them the guest's RAM. Offsets here are bytes.
 */

/** Address of the state. Below it lies nothing, so that a record pointer of 0 means "no record". */
export const STATE = 0x1000;

let next = 0;
function field(size: number, count = 1): number {
  next = Math.ceil(next / Math.min(size, 16)) * Math.min(size, 16);
  const offset = next;
  next += size * count;
  return offset;
}

/** Bytes between consecutive segment caches; see `segmentOffset`. */
export const SEGMENT_STRIDE = 32;

/** Offsets in the state, from `STATE`. Operand fields of decoded records hold such offsets. */
export const S = {
  /** RAX RCX RDX RBX RSP RBP RSI RDI R8-R15, 64 bits each. */
  gpr: field(8, 16),
  /** Always 0: the base or index of an address that has none. */
  zero: field(8),
  /** The linear address that an address micro-operation computed for the instruction after it. */
  address: field(8),
  /** Linear address (CS base included) of the page that is executing. */
  page: field(8),
  /** ES CS SS DS FS GS LDTR TR: base (u64), limit (u32), attributes (u32), selector (u32). */
  segments: field(SEGMENT_STRIDE, 8),
  xmm: field(16, 16),
  /** R0-R7 of the x87 by physical number: significand (u64), sign and exponent (u16), 6 bytes unused. */
  fpr: field(16, 8),
  /** x87 control word, status word without TOP, TOP (0-7), and the mask of registers that are not empty. */
  fcw: field(4),
  fsw: field(4),
  ftop: field(4),
  ftags: field(4),
  fop: field(4),
  fcs: field(4),
  fds: field(4),
  mxcsr: field(4),
  fip: field(8),
  fdp: field(8),
  /** Arithmetic flags; see semantics/flags.ts. */
  flagResult: field(8),
  flagCarry: field(8),
  flagExtra: field(4),
  /** RFLAGS without CF PF AF ZF SF OF (reserved bit 1 is not stored). */
  systemFlags: field(4),
  /** RIP, up to date whenever no instruction is executing. */
  rip: field(8),
  /** Instructions left before execution returns to the caller; negative asks for it at the next jump. */
  budget: field(4),
  /** Address of the TLB for the current privilege. */
  tlb: field(4),
  /** What decoding depends on; see decode/mode.ts. Part of every code look-up. */
  mode: field(4),
  /** 1 while an instruction boundary must look for interrupts, traps or halts before going on. */
  attention: field(4),
  /** Width of the stack pointer as a mask: 0xffff, 0xffffffff or all ones. */
  stackMask: field(8),
  /** Arguments (16 bytes each) and the result of a call to a helper; also the slow path's data. */
  arguments: field(16, 4),
  result: field(16, 4),
  cr0: field(8),
  cr2: field(8),
  cr3: field(8),
  cr4: field(8),
  efer: field(8),
  xcr0: field(8),
  dr: field(8, 8),
  gdtBase: field(8),
  idtBase: field(8),
  gdtLimit: field(4),
  idtLimit: field(4),
  star: field(8),
  lstar: field(8),
  cstar: field(8),
  sfmask: field(8),
  kernelGsBase: field(8),
  sysenterCs: field(8),
  sysenterEsp: field(8),
  sysenterEip: field(8),
  tscAux: field(8),
  pat: field(8),
  miscEnable: field(8),
  /** Added to the clock to give the TSC. */
  tscOffset: field(8),
  mtrrDefType: field(8),
  mtrrFixed: field(8, 11),
  mtrrVariable: field(8, 16),
  /** 0 running, 1 halted (HLT or MWAIT), 2 shut down (triple fault), 3 waiting for a start-up IPI. */
  activity: field(4),
  /** Interrupts are held off until after the next instruction: 1 after STI, 2 after a load of SS. */
  shadow: field(4),
  /** An NMI is being handled; further ones wait. */
  nmiBlocked: field(4),
  nmiPending: field(4),
  /** DR6 bits of debug traps to report at the next boundary. */
  debugPending: field(4),
  /** 0 when bit 20 of physical addresses is forced to 0. */
  a20: field(4),
} as const;

/** Bytes of the state: everything that a saved CPU consists of. */
export const STATE_SIZE = next;

export const ES = 0;
export const CS = 1;
export const SS = 2;
export const DS = 3;
export const FS = 4;
export const GS = 5;
export const LDTR = 6;
export const TR = 7;
/** Segment registers by name. */
export const SEGMENTS = { es: ES, cs: CS, ss: SS, ds: DS, fs: FS, gs: GS, ldtr: LDTR, tr: TR } as const;
export type SegmentIndex = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7;

/** Fields of a segment cache, from its start. */
export const SEGMENT = { base: 0, limit: 8, attributes: 12, selector: 16 } as const;
export const segmentOffset = (index: number): number => S.segments + index * SEGMENT_STRIDE;

export const gprOffset = (index: number): number => S.gpr + index * 8;
export const xmmOffset = (index: number): number => S.xmm + index * 16;
export const fprOffset = (index: number): number => S.fpr + index * 16;

/** A direct-mapped TLB: `TLB_ENTRIES` entries of 32 bytes. */
export const TLB_ENTRIES = 4096;
export const TLB_ENTRY_SIZE = 32;
/** Linear page address that may be read (u64), that may be written (u64), host address minus linear address (u32). */
export const TLB_ENTRY = { read: 0, write: 8, addend: 16 } as const;
export const TLB_SIZE = TLB_ENTRIES * TLB_ENTRY_SIZE;

/** TLBs by what data accesses may do: user, supervisor with SMAP in force, supervisor without, and never a hit. */
export const TLB_USER = 0x10000;
export const TLB_SUPERVISOR_SMAP = TLB_USER + TLB_SIZE;
export const TLB_SUPERVISOR = TLB_SUPERVISOR_SMAP + TLB_SIZE;
export const TLB_NONE = TLB_SUPERVISOR + TLB_SIZE;

/** Direct-mapped cache from RIP and mode to decoded code. */
export const JUMP_CACHE = TLB_NONE + TLB_SIZE;
export const JUMP_CACHE_ENTRIES = 16384;
export const JUMP_CACHE_ENTRY_SIZE = 32;
/** RIP (u64), mode (u32), record (u32), value for `S.page` (u64). */
export const JUMP_CACHE_ENTRY = { rip: 0, mode: 8, record: 12, page: 16 } as const;

/** Decoded code: records of 32 bytes, allocated upwards. */
export const RECORDS = JUMP_CACHE + JUMP_CACHE_ENTRIES * JUMP_CACHE_ENTRY_SIZE;
export const RECORD_SIZE = 32;
/** Fields of a record. `c` shares bytes with the top of `immediate`. */
export const RECORD = {
  /** Which handler executes it (u16). */
  handler: 0,
  /** Where the instruction starts, in bytes from `S.page` (u16). */
  ip: 2,
  /** Offsets in the state of up to three register operands, and of base and index (u16). */
  a: 4,
  b: 6,
  base: 8,
  index: 10,
  /** Shift of the index (bits 0-5); bit 7: the address is in the stack segment (u8). */
  scale: 12,
  /** Bytes of the instruction (u8). */
  length: 13,
  /** Instructions from the start of the block up to this one (u16). */
  count: 14,
  displacement: 16,
  /** The record a direct jump goes to, `LINK_UNKNOWN` or `LINK_LOOKUP` (u32). */
  link: 20,
  immediate: 24,
  c: 30,
} as const;
export const LINK_UNKNOWN = 0;
export const LINK_LOOKUP = 1;
/** Set in `RECORD.scale`: a bad address is a stack fault (#SS), not #GP. */
export const STACK_SEGMENT = 0x80;

/** Where the guest's RAM may start. */
export const RAM_BASE = 0x4000000;
