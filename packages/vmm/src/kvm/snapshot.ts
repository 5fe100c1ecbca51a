import { type Irqchip, IrqchipId, Msrs, type PitState, type Vcpu, type Vm } from "@softmetal/kvm-binding";

const CHIPS = [IrqchipId.PIC_MASTER, IrqchipId.PIC_SLAVE, IrqchipId.IOAPIC];

/** The MSRs of this list that the vCPU has, with their values. The kernel stops at each that it does not have. */
export function readMsrs(vcpu: Vcpu, indices: readonly number[]): [index: number, value: bigint][] {
  const values: [number, bigint][] = [];
  for (let at = 0; at < indices.length; ) {
    const read = vcpu.getMsrs(indices.slice(at));
    for (const { index, data } of read) values.push([index, data]);
    at += read.length + 1;
  }
  return values;
}

/** Sets MSRs; those that the kernel refuses keep their value, and are returned. */
export function writeMsrs(vcpu: Vcpu, values: readonly (readonly [index: number, value: bigint])[]): number[] {
  const refused: number[] = [];
  for (let at = 0; at < values.length; ) {
    at += vcpu.setMsrs(Msrs.from(values.slice(at).map(([index, data]) => ({ index, data }))));
    if (at < values.length) refused.push(values[at++][0]);
  }
  return refused;
}

/** Everything that KVM keeps of a processor; between two entries only. */
export class VcpuSnapshot {
  readonly #restore: (vcpu: Vcpu) => void;

  constructor(vcpu: Vcpu, msrIndices: readonly number[]) {
    const regs = vcpu.getRegs();
    const sregs = vcpu.getSregs();
    const xsave = vcpu.getXsave();
    const xcrs = vcpu.getXcrs();
    const debug = vcpu.getDebugRegs();
    const msrs = readMsrs(vcpu, msrIndices);
    const lapic = vcpu.getLapic();
    const events = vcpu.getVcpuEvents();
    const mpState = vcpu.getMpState();
    this.#restore = (target) => {
      target.setMpState(mpState);
      target.setSregs(sregs);
      target.setRegs(regs);
      target.setXcrs(xcrs);
      target.setXsave(xsave);
      target.setDebugRegs(debug);
      writeMsrs(target, msrs);
      target.setLapic(lapic);
      target.setVcpuEvents(events);
    };
  }

  restore(vcpu: Vcpu): void {
    this.#restore(vcpu);
  }
}

/** The interrupt controllers and the timer in the kernel. */
export class ChipSnapshot {
  readonly #chips: Irqchip[];
  readonly #pit: PitState;

  constructor(vm: Vm) {
    this.#chips = CHIPS.map((chip) => vm.getIrqchip(chip));
    this.#pit = vm.getPit2();
  }

  restore(vm: Vm): void {
    for (const chip of this.#chips) vm.setIrqchip(chip);
    vm.setPit2(this.#pit);
  }
}
