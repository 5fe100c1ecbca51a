import { PAGE_SIZE } from "./abi/constants.js";
import type { List } from "./abi/list.js";
import {
  DebugRegs,
  Fpu,
  GuestDebug,
  LapicState,
  MachineCheck,
  Regs,
  Sregs,
  Sregs2,
  Translation,
  VcpuEvents,
  Xcrs,
} from "./abi/registers.js";
import { Run } from "./abi/run.js";
import { type Input, struct, u32, u64, type Values } from "./abi/struct.js";
import {
  Cpuid,
  type CpuidEntry,
  EnableCap,
  type MsrEntry,
  Msrs,
  NestedStateHeader,
  PreFaultMemory,
  RegList,
  TprAccessControl,
} from "./abi/vm.js";
import * as check from "./arguments.js";
import { DeviceAttributes } from "./attributes.js";
import { failure } from "./errors.js";
import { type Exit, Exits } from "./exits.js";
import { attach, checked, ioctl, made } from "./handle.js";
import { kinds, type NativeHandle, native } from "./native.js";
import { CoalescedMmioRing, DirtyRing } from "./rings.js";
import { Stats } from "./stats.js";

const MpStateStruct = struct("kvm_mp_state", { mp_state: u32 });
const Interrupt = struct("kvm_interrupt", { irq: u32 });
const VapicAddress = struct("kvm_vapic_addr", { vapic_addr: u64 });
const Quadword = struct("__u64", { value: u64 });

/** Far more than x86 has. */
const MAX_LISTED_REGISTERS = 1024;
/** The kernel's limit of CPUID entries (`KVM_MAX_CPUID_ENTRIES`). */
const MAX_CPUID_ENTRIES = 256;

/**
 * A virtual processor. `run` keeps its thread, so it belongs into a worker; `kick` works from every thread. All other
 * methods are for one thread at a time: while one is inside, another's call fails with `busy`.
 */
export class Vcpu extends DeviceAttributes {
  readonly #native: NativeHandle;
  readonly #enter: () => number;
  #run: { buffer: ArrayBuffer; page: Run; exits: Exits } | undefined;
  readonly #maps: ArrayBuffer[] = [];

  /** @internal */
  constructor(handle: NativeHandle) {
    super(handle, kinds.vcpu);
    this.#native = handle;
    this.#enter = made("KVM_RUN", native().createRunner(handle));
  }

  /** This thread's handle on a vCPU that another thread holds, by its `handle`. */
  static attach(handle: number): Vcpu {
    return new Vcpu(attach(kinds.vcpu, "Vcpu.attach", handle));
  }

  override dispose(): void {
    for (const map of this.#maps.splice(0)) native().unmap(map);
    this.#run = undefined;
    super.dispose();
  }

  #map(operation: string, result: ArrayBuffer | number): ArrayBuffer {
    const map = made(operation, result);
    this.#maps.push(map);
    return map;
  }

  #runPage() {
    if (this.#run === undefined) {
      const buffer = this.#map("Vcpu.runPage", native().mapRun(this.#native));
      this.#run = { buffer, page: Run.at(buffer), exits: new Exits(buffer) };
    }
    return this.#run;
  }

  /** `struct kvm_run`, in place: what `run` takes in and gives out, also the registers of `KVM_CAP_SYNC_REGS`. */
  get runPage(): Run {
    return this.#runPage().page;
  }

  /**
   * `KVM_RUN`: runs the guest on this thread until it needs something. The result's data are views of the run page, valid
   * until the next call. A kick gives `intr`; when the worker is terminated, the call ends within some 20 milliseconds.
   */
  run(): Exit {
    const { exits } = this.#run ?? this.#runPage();
    const reason = this.#enter();
    if (reason < 0) throw failure("KVM_RUN", reason);
    return exits.of(reason);
  }

  /**
   * Makes the `run` that some thread is in, or else the next one, return `intr` at once, after completing the access the
   * last exit was about. From any thread; never lost and never blocking.
   */
  kick(): void {
    checked("Vcpu.kick", native().kick(this.#native));
  }

  /** `KVM_GET_REGS`, into a structure of its own or the one given. */
  getRegs(into: Regs = Regs.create()): Regs {
    ioctl(this.#native, "KVM_GET_REGS", check.view("KVM_GET_REGS", Regs, into));
    return into;
  }

  /** `KVM_SET_REGS`. Fields that are not given are 0. */
  setRegs(regs: Regs | Values<typeof Regs.fields>): void {
    ioctl(this.#native, "KVM_SET_REGS", check.structure("KVM_SET_REGS", Regs, regs));
  }

  /** `KVM_GET_SREGS`. */
  getSregs(into: Sregs = Sregs.create()): Sregs {
    ioctl(this.#native, "KVM_GET_SREGS", check.view("KVM_GET_SREGS", Sregs, into));
    return into;
  }

  /** `KVM_SET_SREGS`. */
  setSregs(sregs: Sregs): void {
    ioctl(this.#native, "KVM_SET_SREGS", check.structure("KVM_SET_SREGS", Sregs, sregs));
  }

  /** `KVM_GET_SREGS2` (`KVM_CAP_SREGS2`). */
  getSregs2(): Sregs2 {
    const sregs = Sregs2.create();
    ioctl(this.#native, "KVM_GET_SREGS2", sregs.$bytes);
    return sregs;
  }

  /** `KVM_SET_SREGS2`. */
  setSregs2(sregs: Sregs2): void {
    ioctl(this.#native, "KVM_SET_SREGS2", check.structure("KVM_SET_SREGS2", Sregs2, sregs));
  }

  /** `KVM_GET_FPU`. */
  getFpu(): Fpu {
    const fpu = Fpu.create();
    ioctl(this.#native, "KVM_GET_FPU", fpu.$bytes);
    return fpu;
  }

  /** `KVM_SET_FPU`. */
  setFpu(fpu: Fpu | Values<typeof Fpu.fields>): void {
    ioctl(this.#native, "KVM_SET_FPU", check.structure("KVM_SET_FPU", Fpu, fpu));
  }

  /** `KVM_GET_XSAVE`: the first 4096 bytes of the XSAVE area, in the standard format. */
  getXsave(): Uint8Array {
    const area = new Uint8Array(4096);
    ioctl(this.#native, "KVM_GET_XSAVE", area);
    return area;
  }

  /** `KVM_GET_XSAVE2`: the whole XSAVE area; `bytes` is what `Vm.checkExtension(Cap.XSAVE2)` says. */
  getXsave2(bytes: number): Uint8Array {
    const area = new Uint8Array(check.integer("KVM_GET_XSAVE2", "bytes", bytes, 1 << 20));
    ioctl(this.#native, "KVM_GET_XSAVE2", area);
    return area;
  }

  /** `KVM_SET_XSAVE`: an area as `getXsave` or `getXsave2` gave it. */
  setXsave(area: Uint8Array): void {
    ioctl(this.#native, "KVM_SET_XSAVE", check.uint8Array("KVM_SET_XSAVE", "area", area));
  }

  /** `KVM_GET_XCRS`. */
  getXcrs(): Xcrs {
    const xcrs = Xcrs.create();
    ioctl(this.#native, "KVM_GET_XCRS", xcrs.$bytes);
    return xcrs;
  }

  /** `KVM_SET_XCRS`. */
  setXcrs(xcrs: Xcrs | Values<typeof Xcrs.fields>): void {
    ioctl(this.#native, "KVM_SET_XCRS", check.structure("KVM_SET_XCRS", Xcrs, xcrs));
  }

  /** `KVM_GET_DEBUGREGS`. */
  getDebugRegs(): DebugRegs {
    const registers = DebugRegs.create();
    ioctl(this.#native, "KVM_GET_DEBUGREGS", registers.$bytes);
    return registers;
  }

  /** `KVM_SET_DEBUGREGS`. */
  setDebugRegs(registers: DebugRegs | Values<typeof DebugRegs.fields>): void {
    ioctl(this.#native, "KVM_SET_DEBUGREGS", check.structure("KVM_SET_DEBUGREGS", DebugRegs, registers));
  }

  /**
   * `KVM_GET_MSRS`: the values of the given MSRs. The kernel stops at the first one it cannot read; the result's length is
   * how many it read.
   */
  getMsrs(indices: Iterable<number>): List<MsrEntry> {
    const operation = "KVM_GET_MSRS";
    const list = check.iterable(operation, "indices", indices);
    const msrs = Msrs.from(Array.from(list, (index) => ({ index: check.u32(operation, "an index", index) })));
    msrs.length = ioctl(this.#native, "KVM_GET_MSRS", msrs.bytes);
    return msrs;
  }

  /** `KVM_SET_MSRS`: how many were set; the kernel stops at the first one it refuses. */
  setMsrs(msrs: List<MsrEntry> | Iterable<Input<MsrEntry> | MsrEntry>): number {
    return ioctl(this.#native, "KVM_SET_MSRS", check.elements("KVM_SET_MSRS", Msrs, msrs).bytes);
  }

  /**
   * `KVM_GET_REG_LIST` (`KVM_CAP_ONE_REG`): the registers of `getOneReg` that no other method has. Every MSR of
   * `Kvm.getMsrIndexList` is one too, and is not listed.
   */
  getRegList(): bigint[] {
    const operation = "KVM_GET_REG_LIST";
    const list = RegList.create(MAX_LISTED_REGISTERS);
    ioctl(this.#native, operation, list.bytes);
    return [...list];
  }

  /** `KVM_GET_ONE_REG` (`KVM_CAP_ONE_REG`): a register by its number, see `registerId`; those of x86 have 64 bits. */
  getOneReg(id: check.Address): bigint {
    const operation = "KVM_GET_ONE_REG";
    const value = Quadword.create();
    checked(operation, native().oneReg(this.#native, false, check.u64(operation, "id", id), value.$bytes));
    return value.value;
  }

  /** `KVM_SET_ONE_REG`. */
  setOneReg(id: check.Address, value: check.Address): void {
    const operation = "KVM_SET_ONE_REG";
    const bytes = Quadword.create({ value: BigInt(check.u64(operation, "value", value)) }).$bytes;
    checked(operation, native().oneReg(this.#native, true, check.u64(operation, "id", id), bytes));
  }

  /** `KVM_GET_LAPIC`: the registers of the in-kernel local APIC. */
  getLapic(): LapicState {
    const lapic = LapicState.create();
    ioctl(this.#native, "KVM_GET_LAPIC", lapic.$bytes);
    return lapic;
  }

  /** `KVM_SET_LAPIC`. */
  setLapic(lapic: LapicState): void {
    ioctl(this.#native, "KVM_SET_LAPIC", check.structure("KVM_SET_LAPIC", LapicState, lapic));
  }

  /** `KVM_GET_VCPU_EVENTS`. */
  getVcpuEvents(): VcpuEvents {
    const events = VcpuEvents.create();
    ioctl(this.#native, "KVM_GET_VCPU_EVENTS", events.$bytes);
    return events;
  }

  /** `KVM_SET_VCPU_EVENTS`. */
  setVcpuEvents(events: VcpuEvents | Values<typeof VcpuEvents.fields>): void {
    ioctl(this.#native, "KVM_SET_VCPU_EVENTS", check.structure("KVM_SET_VCPU_EVENTS", VcpuEvents, events));
  }

  /** `KVM_GET_MP_STATE`: one of `MpState`. */
  getMpState(): number {
    const state = MpStateStruct.create();
    ioctl(this.#native, "KVM_GET_MP_STATE", state.$bytes);
    return state.mp_state;
  }

  /** `KVM_SET_MP_STATE`. */
  setMpState(state: number): void {
    const mp_state = check.u32("KVM_SET_MP_STATE", "state", state);
    ioctl(this.#native, "KVM_SET_MP_STATE", MpStateStruct.create({ mp_state }).$bytes);
  }

  /** `KVM_GET_CPUID2`: the CPUID leaves as set. */
  getCpuid2(): List<CpuidEntry> {
    const cpuid = Cpuid.create(MAX_CPUID_ENTRIES);
    ioctl(this.#native, "KVM_GET_CPUID2", cpuid.bytes);
    return cpuid;
  }

  /** `KVM_SET_CPUID2`: what the CPUID instruction answers; before the first run. */
  setCpuid2(cpuid: List<CpuidEntry> | Iterable<Input<CpuidEntry> | CpuidEntry>): void {
    ioctl(this.#native, "KVM_SET_CPUID2", check.elements("KVM_SET_CPUID2", Cpuid, cpuid).bytes);
  }

  /** `KVM_GET_SUPPORTED_HV_CPUID` of a vCPU: the Hyper-V leaves with what this vCPU has enabled. */
  getSupportedHvCpuid(): List<CpuidEntry> {
    const cpuid = Cpuid.create(MAX_CPUID_ENTRIES);
    ioctl(this.#native, "KVM_GET_SUPPORTED_HV_CPUID (vcpu)", cpuid.bytes);
    return cpuid;
  }

  /**
   * `KVM_PRE_FAULT_MEMORY` (`KVM_CAP_PRE_FAULT_MEMORY`): maps guest memory before the guest touches it. Address and size
   * are multiples of 4096. Returns how many bytes were done: all, unless a signal came.
   */
  preFaultMemory(guestPhysAddr: check.Address, bytes: check.Address): bigint {
    const operation = "KVM_PRE_FAULT_MEMORY";
    const size = BigInt(check.u64(operation, "bytes", bytes));
    const range = PreFaultMemory.create({ gpa: BigInt(check.u64(operation, "guestPhysAddr", guestPhysAddr)), size });
    ioctl(this.#native, operation, range.$bytes);
    return size - range.size;
  }

  /** `KVM_TRANSLATE`: where the guest's current page tables take a linear address. */
  translate(linearAddress: check.Address): Translation {
    const linear_address = BigInt(check.u64("KVM_TRANSLATE", "linearAddress", linearAddress));
    const translation = Translation.create({ linear_address });
    ioctl(this.#native, "KVM_TRANSLATE", translation.$bytes);
    return translation;
  }

  /** `KVM_INTERRUPT`: queues an external interrupt's vector (without in-kernel PIC, after an open window). */
  interrupt(vector: number): void {
    const irq = check.u32("KVM_INTERRUPT", "vector", vector);
    ioctl(this.#native, "KVM_INTERRUPT", Interrupt.create({ irq }).$bytes);
  }

  /** `KVM_NMI`: queues a non-maskable interrupt. */
  nmi(): void {
    ioctl(this.#native, "KVM_NMI");
  }

  /** `KVM_SMI`: queues a system-management interrupt (`KVM_CAP_X86_SMM`). */
  smi(): void {
    ioctl(this.#native, "KVM_SMI");
  }

  /** `KVM_SET_GUEST_DEBUG`: single steps, breakpoints; see `GuestDebugFlags`. */
  setGuestDebug(debug: GuestDebug | Values<typeof GuestDebug.fields>): void {
    ioctl(this.#native, "KVM_SET_GUEST_DEBUG", check.structure("KVM_SET_GUEST_DEBUG", GuestDebug, debug));
  }

  /**
   * `KVM_SET_SIGNAL_MASK`: the signals blocked while in the guest (bit n is signal n + 1), or null for the thread's own
   * mask. The signal of `kick` is never blocked.
   */
  setSignalMask(mask: bigint | null): void {
    const operation = "KVM_SET_SIGNAL_MASK";
    const bytes = mask === null ? null : Quadword.create({ value: BigInt(check.u64(operation, "mask", mask)) }).$bytes;
    checked(operation, native().setSignalMask(this.#native, bytes));
  }

  /** `KVM_GET_TSC_KHZ`: the frequency of the guest's time-stamp counter, in kHz. */
  getTscKhz(): number {
    return ioctl(this.#native, "KVM_GET_TSC_KHZ");
  }

  /** `KVM_SET_TSC_KHZ` (`KVM_CAP_TSC_CONTROL`); 0 for the host's. */
  setTscKhz(khz: number): void {
    ioctl(this.#native, "KVM_SET_TSC_KHZ", check.u32("KVM_SET_TSC_KHZ", "khz", khz));
  }

  /** `KVM_KVMCLOCK_CTRL`: tells the guest that it was stopped, so that its watchdogs do not fire. */
  kvmclockCtrl(): void {
    ioctl(this.#native, "KVM_KVMCLOCK_CTRL");
  }

  /** `KVM_TPR_ACCESS_REPORTING`: exits on accesses to the task-priority register. */
  tprAccessReporting(enabled: boolean): void {
    const control = TprAccessControl.create({ enabled: enabled ? 1 : 0 });
    ioctl(this.#native, "KVM_TPR_ACCESS_REPORTING", control.$bytes);
  }

  /** `KVM_SET_VAPIC_ADDR`: where the guest keeps its copy of the task-priority register. */
  setVapicAddr(address: check.Address): void {
    const vapic_addr = BigInt(check.u64("KVM_SET_VAPIC_ADDR", "address", address));
    ioctl(this.#native, "KVM_SET_VAPIC_ADDR", VapicAddress.create({ vapic_addr }).$bytes);
  }

  /** `KVM_X86_SETUP_MCE`: machine-check capabilities, as in the MSR IA32_MCG_CAP. */
  setupMce(capabilities: bigint): void {
    const value = BigInt(check.u64("KVM_X86_SETUP_MCE", "capabilities", capabilities));
    ioctl(this.#native, "KVM_X86_SETUP_MCE", Quadword.create({ value }).$bytes);
  }

  /** `KVM_X86_SET_MCE`: delivers a machine check. */
  setMce(error: MachineCheck | Values<typeof MachineCheck.fields>): void {
    ioctl(this.#native, "KVM_X86_SET_MCE", check.structure("KVM_X86_SET_MCE", MachineCheck, error));
  }

  /** `KVM_ENABLE_CAP` of a vCPU. */
  enableCap(cap: number, args: Iterable<bigint> = [], flags = 0): void {
    ioctl(this.#native, "KVM_ENABLE_CAP", check.structure("KVM_ENABLE_CAP", EnableCap, { cap, flags, args }));
  }

  /** `KVM_GET_STATS_FD` of a vCPU (`KVM_CAP_BINARY_STATS_FD`). */
  getStatsFd(): Stats {
    return Stats.of(this.#native, kinds.vcpu);
  }

  /** `KVM_GET_NESTED_STATE`: a `NestedStateHeader` and data; `bytes` is what `Kvm.checkExtension(Cap.NESTED_STATE)` says. */
  getNestedState(bytes: number): Uint8Array {
    const size = check.integer("KVM_GET_NESTED_STATE", "bytes", bytes, 1 << 20);
    const state = new Uint8Array(Math.max(size, NestedStateHeader.size));
    NestedStateHeader.at(state.buffer).size = size;
    ioctl(this.#native, "KVM_GET_NESTED_STATE", state);
    return state.subarray(0, NestedStateHeader.at(state.buffer).size);
  }

  /** `KVM_SET_NESTED_STATE`. */
  setNestedState(state: Uint8Array): void {
    ioctl(this.#native, "KVM_SET_NESTED_STATE", check.uint8Array("KVM_SET_NESTED_STATE", "state", state));
  }

  /** The ring of coalesced writes; `page` is what `Kvm.checkExtension(Cap.COALESCED_MMIO)` says. */
  coalescedMmioRing(page: number): CoalescedMmioRing {
    const { buffer } = this.#runPage();
    const last = Math.floor(buffer.byteLength / PAGE_SIZE) - 1;
    return new CoalescedMmioRing(buffer, check.integer("coalescedMmioRing", "page", page, last) * PAGE_SIZE);
  }

  /** The ring of written pages. Fails with `not-found` unless the VM enabled `Cap.DIRTY_LOG_RING` before. */
  dirtyRing(): DirtyRing {
    const operation = "Vcpu.dirtyRing";
    return new DirtyRing(this.#map(operation, native().mapDirtyRing(this.#native)));
  }
}
