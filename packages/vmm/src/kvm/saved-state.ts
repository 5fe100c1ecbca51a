import { ApicBus, LocalApic, type LocalApicState, ManualClock } from "@softmetal/chipset";
import { Cap, type Vcpu, type Vm } from "@softmetal/kvm-binding";
import { type CpuModel, S, type State } from "@softmetal/x86-core";
import { MachineError } from "../api.js";
import { hex, object, u64 } from "../saved-state/fields.js";
import type { SavedCpu } from "../saved-state/hardware.js";
import { loadProcessor, saveProcessor } from "../saved-state/processor.js";
import { type LapicContext, readLapic, writeLapic } from "./chip-state.js";
import { modelCpu } from "./model-cpuid.js";
import { readMsrs, writeMsrs } from "./snapshot.js";
import { MSR, msrsOf, readCpu, writeRegisters } from "./state.js";

/** Whether an exception is in the middle of its delivery, which a saved machine cannot express: let the vCPU run a little. */
export function isInException(vcpu: Vcpu): boolean {
  const { exception, interrupt } = vcpu.getVcpuEvents();
  return exception.injected !== 0 || exception.pending !== 0 || (interrupt.injected !== 0 && interrupt.soft !== 0);
}

/** MSRs that are saved under other names. */
const ELSEWHERE: readonly number[] = [MSR.tsc, MSR.tscDeadline, MSR.apicBase, MSR.efer, MSR.fsBase, MSR.gsBase];

/** The vCPUs of a machine as `SavedHardware` has them. All of them stand still. */
export class SavedVcpus {
  readonly #vm: Vm;
  readonly #vcpus: readonly Vcpu[];
  readonly #state: State;
  readonly #kvmMsrs: readonly number[];

  /** @param msrIndices those that KVM has */
  constructor(vm: Vm, vcpus: readonly Vcpu[], model: CpuModel, msrIndices: readonly number[]) {
    this.#vm = vm;
    this.#vcpus = vcpus;
    this.#state = modelCpu(model).state;
    const known = [...ELSEWHERE, ...msrsOf(this.#state).map(([index]) => index)];
    this.#kvmMsrs = msrIndices.filter((index) => !known.includes(index));
  }

  /** Frequency of the guest's TSC; where KVM does not tell, what the translator has. */
  get tscHz(): number {
    return (this.#vm.checkExtension(Cap.GET_TSC_KHZ) ? this.#vcpus[0].getTscKhz() : 0) * 1000 || 1e9;
  }

  /** @param clock guest time, in nanoseconds */
  save(clock: number): SavedCpu[] {
    return this.#vcpus.map((vcpu) => this.#saveCpu(vcpu, clock));
  }

  /** @throws MachineError, ChipsetError, KvmError */
  load(cpus: readonly SavedCpu[], clock: number, tscHz: number): void {
    // Where the host cannot do it the guest's TSC changes its speed.
    const scales = tscHz !== this.tscHz && this.#vm.checkExtension(Cap.TSC_CONTROL) !== 0;
    this.#vcpus.forEach((vcpu, index) => {
      if (scales) vcpu.setTscKhz(Math.round(tscHz / 1000));
      this.#loadCpu(vcpu, cpus[index], `cpus[${index}]`, clock);
    });
  }

  #saveCpu(vcpu: Vcpu, clock: number): SavedCpu {
    if (isInException(vcpu)) {
      throw new MachineError("bad-state", "A processor is in the middle of an exception: save the machine later.");
    }
    const state = this.#state;
    readCpu(vcpu, state, 0n);
    const tsc = state.get64(S.tscOffset);
    const { interrupt } = vcpu.getVcpuEvents();
    const processor = saveProcessor(state, { tsc, interrupt: interrupt.injected ? interrupt.nr : -1 });
    const context: LapicContext = {
      base: vcpu.getSregs().apic_base,
      deadline: readMsrs(vcpu, [MSR.tscDeadline])[0]?.[1] ?? 0n,
      ...{ now: clock, tsc, tscHz: this.tscHz },
    };
    const msrs = readMsrs(vcpu, this.#kvmMsrs).map(([index, value]) => [hex(BigInt(index)), hex(value)]);
    return { ...processor, apic: readLapic(vcpu.getLapic(), context), kvmMsrs: Object.fromEntries(msrs) };
  }

  #loadCpu(vcpu: Vcpu, saved: SavedCpu, where: string, clock: number): void {
    const state = this.#state;
    const { tsc, interrupt } = loadProcessor(state, saved, where);
    const apic = checkedApic(saved.apic, clock);
    const sregs = vcpu.getSregs();
    sregs.apic_base = (BigInt(apic.baseHigh >>> 0) << 32n) | BigInt(apic.baseLow >>> 0);
    vcpu.setSregs(sregs);
    writeRegisters(vcpu, state);
    const kvmMsrs = Object.entries(object(saved.kvmMsrs ?? {}, `${where}.kvmMsrs`))
      .map(([index, value]) => [Number(index), u64(value, `${where}.kvmMsrs`)] as const)
      .filter(([index]) => this.#kvmMsrs.includes(index));
    writeMsrs(vcpu, [...kvmMsrs, ...msrsOf(state), [MSR.tsc, tsc]]);
    const lapic = vcpu.getLapic();
    writeLapic(apic, lapic, clock);
    vcpu.setLapic(lapic);
    const { deadlineHigh, deadlineLow } = apic.timer;
    const deadline = (BigInt(deadlineHigh >>> 0) << 32n) | BigInt(deadlineLow >>> 0);
    if (deadline !== 0n) writeMsrs(vcpu, [[MSR.tscDeadline, deadline]]);
    if (interrupt < 0) return;
    const events = vcpu.getVcpuEvents();
    events.interrupt.$assign({ injected: 1, nr: interrupt, soft: 0 });
    vcpu.setVcpuEvents(events);
  }
}

/** A state of a local APIC with the shape that it has. @throws ChipsetError */
function checkedApic(given: unknown, clock: number): LocalApicState {
  const timers = new ManualClock(clock);
  const tsc = { timeOfTsc: () => 0 };
  const apic = new LocalApic({ apicId: 0, bootstrap: false, timers, bus: new ApicBus(), cpu: {}, tsc });
  apic.load(given);
  return apic.save();
}
