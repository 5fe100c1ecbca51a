/** `@softmetal/kvm-binding`: Linux KVM as typed handles, one documented method for each ioctl, no policy. */
export * from "./abi/constants.js";
export type { List } from "./abi/list.js";
export {
  DebugRegs,
  Fpu,
  GuestDebug,
  LapicState,
  MachineCheck,
  Regs,
  Segment,
  Sregs,
  Sregs2,
  SyncRegs,
  Translation,
  VcpuEvents,
  Xcrs,
} from "./abi/registers.js";
export { Run } from "./abi/run.js";
export type {
  ArrayView,
  FieldType,
  Input,
  Scalar,
  StructType,
  StructView,
  Values,
  View,
  ViewOf,
} from "./abi/struct.js";
export {
  ClockData,
  Cpuid,
  CpuidEntry,
  IoapicState,
  Irqchip,
  IrqRouting,
  IrqRoutingEntry,
  Msi,
  MsrEntry,
  Msrs,
  NestedStateHeader,
  PicState,
  PitState,
} from "./abi/vm.js";
export type { Address } from "./arguments.js";
export { Device } from "./device.js";
export { KvmError, type KvmErrorCode, KvmUnavailable, type KvmUnavailableReason } from "./errors.js";
export { EventFd } from "./eventfd.js";
export type { DetailExit, Exit, InternalErrorExit, IoExit, MmioExit, OtherExit, PlainExit } from "./exits.js";
export { createSharedMemory, dirtyBitmapBytes, GuestMemfd, GuestMemory } from "./memory.js";
export { type CoalescedAccess, CoalescedMmioRing, type DirtyPage, DirtyRing } from "./rings.js";
export { type Statistic, Stats } from "./stats.js";
export { Kvm } from "./system.js";
export { Vcpu } from "./vcpu.js";
export { type IoEventFd, type IrqFd, type UserMemoryRegion, type UserMemoryRegion2, Vm } from "./vm.js";
