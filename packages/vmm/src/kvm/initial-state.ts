import type { Vcpu } from "@softmetal/kvm-binding";
import type { InitialCpuState, SegmentRegister, SegmentState } from "../boot/index.js";

/** Sets a vCPU in its power-on state to the state with which a boot source is entered. */
export function setInitialState(vcpu: Vcpu, initial: InitialCpuState): void {
  const sregs = vcpu.getSregs();
  for (const [name, segment] of Object.entries(initial.segments) as [SegmentRegister, SegmentState][]) {
    sregs[name === "ldtr" ? "ldt" : name].$assign(fields(segment));
  }
  sregs.gdt.$assign({ base: BigInt(initial.gdtr.base), limit: initial.gdtr.limit });
  sregs.idt.$assign({ base: BigInt(initial.idtr.base), limit: initial.idtr.limit });
  sregs.$assign({
    cr0: BigInt(initial.cr0 >>> 0),
    cr3: BigInt(initial.cr3),
    cr4: BigInt(initial.cr4),
    efer: BigInt(initial.efer),
  });
  vcpu.setSregs(sregs);
  const registers = Object.entries(initial.registers).map(([name, value]) => [name, BigInt(value)]);
  vcpu.setRegs({ ...Object.fromEntries(registers), rip: BigInt(initial.rip), rflags: 2n });
}

/** VMX access rights, one field each. */
function fields({ selector, base, limit, access }: SegmentState) {
  return {
    ...{ selector, base: BigInt(base), limit },
    ...{ type: access & 15, s: (access >> 4) & 1, dpl: (access >> 5) & 3, present: (access >> 7) & 1 },
    ...{ avl: (access >> 12) & 1, l: (access >> 13) & 1, db: (access >> 14) & 1, g: (access >> 15) & 1 },
    unusable: (access >> 16) & 1,
  };
}
