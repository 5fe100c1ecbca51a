import type { CpuidEntry, List } from "@softmetal/kvm-binding";
import type { CpuModel } from "@softmetal/x86-core";
import type { AskCpuid, CpuidResult } from "./model-cpuid.js";

/** One leaf as KVM_SET_CPUID2 takes it. */
export interface GuestLeaf extends CpuidResult {
  function: number;
  index: number;
  flags: number;
}

export interface CpuidOptions {
  model: CpuModel;
  /** What the model answers. */
  ask: AskCpuid;
  /** KVM_GET_SUPPORTED_CPUID. */
  supported: List<CpuidEntry>;
  cpus: number;
  apicId: number;
  /** The host interprets supervisor code, without XSAVE, XRSTOR and CMPXCHG16B: they are taken away. */
  interpreted: boolean;
}

/** KVM_CPUID_FLAG_SIGNIFCANT_INDEX: the entry is for one sub-leaf. */
const INDEXED = 1;
const HIGHEST_BASIC = 0xd;
const HIGHEST_EXTENDED = 0x80000008;
const SYSCALL = 1 << 11;
const CX16 = 1 << 13;
const XSAVE = 1 << 26;
/**
 * What kernels need in order to defend themselves on the host's processor, whatever the model: leaf 7 EDX (MD_CLEAR,
 * IBRS and IBPB, STIBP, L1D_FLUSH, ARCH_CAPABILITIES, SSBD) and leaf 80000008H EBX (IBPB, IBRS, STIBP, and SSBD of AMD).
 */
const DEFENCES_7_EDX = (1 << 10) | (0x3f << 26);
const DEFENCES_8_EBX = (1 << 12) | (1 << 14) | (1 << 15) | (1 << 17) | (1 << 18) | (1 << 24) | (1 << 25);

/**
 * What the guest of KVM finds: features that both the model and the host have, the host's identity (kernels choose their
 * defences by it) for 64-bit models, and KVM's own leaves for its clock.
 */
export function guestCpuid(options: CpuidOptions): GuestLeaf[] {
  const { model, ask, cpus, apicId, interpreted } = options;
  const host = (leaf: number, subleaf = 0): CpuidResult => {
    for (const entry of options.supported) {
      if (entry.function === leaf && (!(entry.flags & INDEXED) || entry.index === subleaf)) return entry;
    }
    return { eax: 0, ebx: 0, ecx: 0, edx: 0 };
  };
  const long = model.has("lm");
  const leaves: GuestLeaf[] = [];
  const add = (leaf: number, values: Partial<CpuidResult>, index?: number) => {
    const { eax = 0, ebx = 0, ecx = 0, edx = 0 } = values;
    leaves.push({
      ...{ eax: eax >>> 0, ebx: ebx >>> 0, ecx: ecx >>> 0, edx: edx >>> 0 },
      ...{ function: leaf, index: index ?? 0, flags: index === undefined ? 0 : INDEXED },
    });
  };
  const both = (leaf: number, register: keyof CpuidResult) => ask(leaf)[register] & host(leaf)[register];

  const vendor = host(0);
  const intel = vendor.ebx === ask(0).ebx;
  const highest = Math.min(ask(0).eax, HIGHEST_BASIC);
  add(0, { eax: highest, ebx: vendor.ebx, ecx: vendor.ecx, edx: vendor.edx });
  const ecx = both(1, "ecx") & (interpreted ? ~(CX16 | XSAVE) : -1);
  // Several processors: bit 28 of EDX, and their number in EBX.
  const edx = both(1, "edx") | (cpus > 1 ? 1 << 28 : 0);
  const ebx = (ask(1).ebx & 0xff00) | (Math.min(cpus, 255) << 16) | (apicId << 24);
  add(1, { eax: long ? host(1).eax : ask(1).eax, ebx, ecx, edx });
  if (highest >= 2) add(2, intel ? ask(2) : {});
  if (highest >= 7) {
    // The model's caches, not shared: one thread a core.
    for (let subleaf = 0; intel && subleaf < 3; subleaf++) add(4, cacheLeaf(ask(4, subleaf), cpus), subleaf);
    add(6, host(6));
    add(7, { ebx: both(7, "ebx"), ecx: both(7, "ecx"), edx: host(7).edx & DEFENCES_7_EDX }, 0);
    const width = Math.ceil(Math.log2(cpus));
    add(0xb, { eax: 0, ebx: 1, ecx: 0x100, edx: apicId }, 0);
    add(0xb, { eax: width, ebx: cpus, ecx: 0x201, edx: apicId }, 1);
    if (ecx & XSAVE) {
      // x87 and SSE; KVM computes the sizes.
      add(0xd, { ...host(0xd), eax: 3 }, 0);
      add(0xd, { eax: ask(0xd, 1).eax & host(0xd, 1).eax }, 1);
    }
  }
  if (model.has("hypervisor")) {
    add(0x40000000, host(0x40000000));
    add(0x40000001, host(0x40000001));
  }
  const highestExtended = Math.min(ask(0x80000000).eax >>> 0, HIGHEST_EXTENDED);
  add(0x80000000, { eax: highestExtended, ebx: vendor.ebx, ecx: vendor.ecx, edx: vendor.edx });
  const syscall = model.has("syscall") ? host(0x80000001).edx & SYSCALL : 0;
  add(0x80000001, { ecx: both(0x80000001, "ecx"), edx: both(0x80000001, "edx") | syscall });
  for (let leaf = 0x80000002; leaf <= 0x80000004; leaf++) add(leaf, ask(leaf));
  if (highestExtended >= HIGHEST_EXTENDED) {
    if (!intel) add(0x80000005, host(0x80000005));
    add(0x80000006, host(0x80000006));
    add(0x80000007, { edx: both(0x80000007, "edx") });
    const { eax, ebx } = host(0x80000008);
    add(0x80000008, { eax, ebx: ebx & DEFENCES_8_EBX, ecx: cpus - 1 });
  }
  return leaves;
}

/** Leaf 4 with the number of cores in bits 31-26 of EAX, minus 1. */
function cacheLeaf(cache: CpuidResult, cpus: number): CpuidResult {
  return { ...cache, eax: (cache.eax & 0x03ffffff) | (Math.min(cpus - 1, 63) << 26) };
}
