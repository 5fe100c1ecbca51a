import type { CpuContext } from "../cpu/context.js";
import { PHYSICAL_ADDRESS_BITS } from "../cpu/models.js";
import { gprOffset, S } from "../state/layout.js";
import type { Feature } from "../table/features.js";
import { CR4 } from "./registers.js";
import { XSAVE_SIZE } from "./xsave-layout.js";

type Registers = [eax: number, ebx: number, ecx: number, edx: number];

/** Where CPUID shows a feature: leaf, register (0 EAX .. 3 EDX), bit; a feature may stand in several places. */
const BITS: Record<Feature, readonly (readonly [leaf: number, register: number, bit: number])[]> = {
  fpu: [[1, 3, 0]],
  vme: [[1, 3, 1]],
  de: [[1, 3, 2]],
  pse: [[1, 3, 3]],
  tsc: [[1, 3, 4]],
  msr: [[1, 3, 5]],
  pae: [[1, 3, 6]],
  mce: [[1, 3, 7]],
  cx8: [[1, 3, 8]],
  apic: [[1, 3, 9]],
  sep: [[1, 3, 11]],
  mtrr: [[1, 3, 12]],
  pge: [[1, 3, 13]],
  mca: [[1, 3, 14]],
  cmov: [[1, 3, 15]],
  pat: [[1, 3, 16]],
  pse36: [[1, 3, 17]],
  clflush: [[1, 3, 19]],
  mmx: [[1, 3, 23]],
  fxsr: [[1, 3, 24]],
  sse: [[1, 3, 25]],
  sse2: [[1, 3, 26]],
  sse3: [[1, 2, 0]],
  pclmulqdq: [[1, 2, 1]],
  monitor: [[1, 2, 3]],
  ssse3: [[1, 2, 9]],
  cx16: [[1, 2, 13]],
  pcid: [[1, 2, 17]],
  "sse4.1": [[1, 2, 19]],
  "sse4.2": [[1, 2, 20]],
  x2apic: [[1, 2, 21]],
  movbe: [[1, 2, 22]],
  popcnt: [[1, 2, 23]],
  "tsc-deadline": [[1, 2, 24]],
  aes: [[1, 2, 25]],
  xsave: [[1, 2, 26]],
  rdrand: [[1, 2, 30]],
  hypervisor: [[1, 2, 31]],
  fsgsbase: [[7, 1, 0]],
  bmi1: [[7, 1, 3]],
  smep: [[7, 1, 7]],
  bmi2: [[7, 1, 8]],
  erms: [[7, 1, 9]],
  invpcid: [[7, 1, 10]],
  rdseed: [[7, 1, 18]],
  adx: [[7, 1, 19]],
  smap: [[7, 1, 20]],
  clflushopt: [[7, 1, 23]],
  clwb: [[7, 1, 24]],
  sha: [[7, 1, 29]],
  rdpid: [[7, 2, 22]],
  xsaveopt: [[0xd, 0, 0]],
  xsavec: [[0xd, 0, 1]],
  lahf: [[0x80000001, 2, 0]],
  lzcnt: [[0x80000001, 2, 5]],
  prefetchw: [[0x80000001, 2, 8]],
  syscall: [[0x80000001, 3, 11]],
  nx: [[0x80000001, 3, 20]],
  pdpe1gb: [[0x80000001, 3, 26]],
  rdtscp: [[0x80000001, 3, 27]],
  lm: [[0x80000001, 3, 29]],
  invtsc: [[0x80000007, 3, 8]],
};

function features(cpu: CpuContext, leaf: number, register: number): number {
  let bits = 0;
  for (const [feature, places] of Object.entries(BITS) as [Feature, (typeof BITS)[Feature]][]) {
    for (const [where, which, bit] of places) {
      if (where === leaf && which === register && cpu.model.has(feature)) bits |= 1 << bit;
    }
  }
  return bits;
}

/** Four characters as they lie in a register. */
const word = (text: string, at: number): number =>
  [0, 1, 2, 3].reduce((sum, index) => sum | ((text.charCodeAt(at + index) || 0) << (index * 8)), 0);

/** EAX of leaf 1, which is also EDX after reset. */
export function signature(model: { family: number; model: number; stepping: number }): number {
  const family = Math.min(model.family, 15);
  return (
    ((model.family - family) << 20) |
    ((model.model >> 4) << 16) |
    (family << 8) |
    ((model.model & 15) << 4) |
    model.stepping
  );
}

const HYPERVISOR_LEAF = 0x40000000;
const HYPERVISOR_NAME = "SoftmetalVMM";
/** Basic leaves of the 32-bit model; as on that processor, which knew only cache descriptors beyond leaf 1. */
const MAX_BASIC_32 = 3;
const MAX_BASIC_64 = 0x16;

/** CPUID (SDM vol. 2): leaf in EAX, sub-leaf in ECX. */
export function cpuid(cpu: CpuContext): void {
  const { state } = cpu;
  const values = leaf(cpu, state.get32(gprOffset(0)), state.get32(gprOffset(1)));
  // EAX EBX ECX EDX are registers 0 3 1 2.
  [0, 3, 1, 2].forEach((register, index) => {
    state.set32(gprOffset(register), values[index]);
    state.set32(gprOffset(register) + 4, 0);
  });
}

function leaf(cpu: CpuContext, number: number, subleaf: number): Registers {
  const { model } = cpu;
  const maxBasic = model.has("lm") ? MAX_BASIC_64 : MAX_BASIC_32;
  const maxExtended = model.has("lm") ? 0x80000008 : 0x80000004;
  if (number >= 0x80000000) {
    if (number <= maxExtended) return extended(cpu, number, maxExtended);
  } else if (number >= HYPERVISOR_LEAF && number <= HYPERVISOR_LEAF + 0xff) {
    if (model.has("hypervisor")) return hypervisor(cpu, number);
  } else if (number <= maxBasic) return basic(cpu, number, subleaf, maxBasic);
  // Leaves that do not exist answer as the highest basic one (SDM vol. 2, CPUID).
  return basic(cpu, maxBasic, subleaf, maxBasic);
}

function basic(cpu: CpuContext, number: number, subleaf: number, maxBasic: number): Registers {
  const { model, state } = cpu;
  switch (number) {
    case 0:
      return [maxBasic, word(model.vendor, 0), word(model.vendor, 8), word(model.vendor, 4)];
    case 1: {
      let ecx = features(cpu, 1, 2);
      if (state.low(S.cr4) & CR4.OSXSAVE) ecx |= 1 << 27;
      // One logical processor, APIC ID 0, CLFLUSH lines of 8 * 8 bytes.
      const ebx = 0x00010000 | (model.has("clflush") ? 0x800 : 0);
      return [signature(model), ebx, ecx, features(cpu, 1, 3)];
    }
    case 2:
      // Descriptors of a 32 KiB L1 data and instruction cache, a 512 KiB L2, 4 KiB TLBs.
      return [0x00030101, 0, 0, 0x302c0443];
    case 4:
      return caches(subleaf);
    case 5:
      return [64, 64, model.has("monitor") ? 3 : 0, 0];
    case 6:
      // The APIC timer runs in every C-state.
      return [1 << 2, 0, 0, 0];
    case 7:
      return subleaf === 0 ? [0, features(cpu, 7, 1), features(cpu, 7, 2), 0] : [0, 0, 0, 0];
    case 0xb:
      // One thread, one core.
      if (subleaf === 0) return [0, 1, 0x100, 0];
      if (subleaf === 1) return [0, 1, 0x201, 0];
      return [0, 0, subleaf & 0xff, 0];
    case 0xd:
      if (!model.has("xsave")) return [0, 0, 0, 0];
      if (subleaf === 0) return [3, XSAVE_SIZE, XSAVE_SIZE, 0];
      if (subleaf === 1) return [features(cpu, 0xd, 0), model.has("xsavec") ? XSAVE_SIZE : 0, 0, 0];
      return [0, 0, 0, 0];
    case 0x15:
      // The crystal's ratio to the TSC is 1: its frequency is the TSC's.
      return [1, 1, cpu.time.frequency >>> 0, 0];
    case 0x16: {
      const mhz = Math.min(Math.round(cpu.time.frequency / 1e6), 0xffff);
      return [mhz, mhz, 100, 0];
    }
    default:
      return [0, 0, 0, 0];
  }
}

/** Deterministic cache parameters: L1 data and instruction, L2. */
function caches(subleaf: number): Registers {
  const cache = (type: number, level: number, ways: number, sets: number): Registers => [
    type | (level << 5) | (1 << 8),
    ((ways - 1) << 22) | 63,
    sets - 1,
    0,
  ];
  if (subleaf === 0) return cache(1, 1, 8, 64);
  if (subleaf === 1) return cache(2, 1, 8, 64);
  if (subleaf === 2) return cache(3, 2, 8, 1024);
  return [0, 0, 0, 0];
}

function hypervisor(cpu: CpuContext, number: number): Registers {
  switch (number) {
    case HYPERVISOR_LEAF:
      return [HYPERVISOR_LEAF + 0x10, word(HYPERVISOR_NAME, 0), word(HYPERVISOR_NAME, 4), word(HYPERVISOR_NAME, 8)];
    case HYPERVISOR_LEAF + 0x10:
      // By convention: frequency of the TSC and of the APIC timer's clock in kHz.
      return [Math.round(cpu.time.frequency / 1000), 0, 0, 0];
    default:
      return [0, 0, 0, 0];
  }
}

function extended(cpu: CpuContext, number: number, max: number): Registers {
  const { model } = cpu;
  switch (number) {
    case 0x80000000:
      return [max | 0, 0, 0, 0];
    case 0x80000001:
      return [0, 0, features(cpu, number, 2), features(cpu, number, 3) & (cpu.state.codeIs64 ? -1 : ~(1 << 11))];
    case 0x80000002:
    case 0x80000003:
    case 0x80000004: {
      const at = (number - 0x80000002) * 16;
      return [word(model.brand, at), word(model.brand, at + 4), word(model.brand, at + 8), word(model.brand, at + 12)];
    }
    case 0x80000006:
      // L2: 512 KiB, 8 ways, lines of 64 bytes.
      return [0, 0, (512 << 16) | (6 << 12) | 64, 0];
    case 0x80000007:
      return [0, 0, 0, features(cpu, number, 3)];
    case 0x80000008:
      return [PHYSICAL_ADDRESS_BITS | (48 << 8), 0, 0, 0];
    default:
      return [0, 0, 0, 0];
  }
}
