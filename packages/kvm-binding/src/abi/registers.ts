/** Processor state, as in `asm/kvm.h` for x86. Field names are the kernel's. */
import { array, bytes, s64, struct, u8, u16, u32, u64, type View } from "./struct.js";

/** `struct kvm_regs`: the general registers, the instruction pointer and the flags. */
export const Regs = struct("kvm_regs", {
  ...{ rax: u64, rbx: u64, rcx: u64, rdx: u64, rsi: u64, rdi: u64, rsp: u64, rbp: u64 },
  ...{ r8: u64, r9: u64, r10: u64, r11: u64, r12: u64, r13: u64, r14: u64, r15: u64 },
  rip: u64,
  rflags: u64,
});
export type Regs = View<typeof Regs>;

/** `struct kvm_segment`: a segment register with its hidden part; `limit` in bytes, `g` as in the descriptor. */
export const Segment = struct("kvm_segment", {
  base: u64,
  limit: u32,
  selector: u16,
  type: u8,
  ...{ present: u8, dpl: u8, db: u8, s: u8, l: u8, g: u8, avl: u8, unusable: u8, padding: u8 },
});
export type Segment = View<typeof Segment>;

/** `struct kvm_dtable`: GDTR or IDTR. */
export const DescriptorTable = struct("kvm_dtable", { base: u64, limit: u16, padding: array(u16, 3) });

const segments = {
  ...{ cs: Segment, ds: Segment, es: Segment, fs: Segment, gs: Segment, ss: Segment, tr: Segment, ldt: Segment },
  ...{ gdt: DescriptorTable, idt: DescriptorTable },
  ...{ cr0: u64, cr2: u64, cr3: u64, cr4: u64, cr8: u64, efer: u64, apic_base: u64 },
};

/** `struct kvm_sregs`: segment, table, control registers; `interrupt_bitmap` has the one vector waiting to be taken. */
export const Sregs = struct("kvm_sregs", { ...segments, interrupt_bitmap: array(u64, 4) });
export type Sregs = View<typeof Sregs>;

/** `struct kvm_sregs2`: as kvm_sregs, with the PAE page-directory pointers (flags bit 0) in place of the bitmap. */
export const Sregs2 = struct("kvm_sregs2", { ...segments, flags: u64, pdptrs: array(u64, 4) });
export type Sregs2 = View<typeof Sregs2>;

/** `struct kvm_fpu`: x87 and SSE state. */
export const Fpu = struct("kvm_fpu", {
  fpr: array(bytes(16), 8),
  fcw: u16,
  fsw: u16,
  ftwx: u8,
  pad1: u8,
  last_opcode: u16,
  last_ip: u64,
  last_dp: u64,
  xmm: array(bytes(16), 16),
  mxcsr: u32,
  pad2: u32,
});
export type Fpu = View<typeof Fpu>;

/** `struct kvm_xcrs`: the extended control registers (XCR0). */
export const Xcrs = struct("kvm_xcrs", {
  nr_xcrs: u32,
  flags: u32,
  xcrs: array(struct("kvm_xcr", { xcr: u32, reserved: u32, value: u64 }), 16),
  padding: array(u64, 16),
});
export type Xcrs = View<typeof Xcrs>;

/** `struct kvm_debugregs`: DR0-DR3, DR6, DR7. */
export const DebugRegs = struct("kvm_debugregs", {
  db: array(u64, 4),
  dr6: u64,
  dr7: u64,
  flags: u64,
  reserved: array(u64, 9),
});
export type DebugRegs = View<typeof DebugRegs>;

/** `struct kvm_lapic_state`: the local APIC's 1 KiB register page. */
export const LapicState = struct("kvm_lapic_state", { regs: bytes(0x400) });
export type LapicState = View<typeof LapicState>;

/** `struct kvm_vcpu_events`: exceptions, interrupts, NMI, SMI and SIPI that are pending or being delivered. */
export const VcpuEvents = struct("kvm_vcpu_events", {
  exception: struct("", { injected: u8, nr: u8, has_error_code: u8, pending: u8, error_code: u32 }),
  interrupt: struct("", { injected: u8, nr: u8, soft: u8, shadow: u8 }),
  nmi: struct("", { injected: u8, pending: u8, masked: u8, pad: u8 }),
  sipi_vector: u32,
  flags: u32,
  smi: struct("", { smm: u8, pending: u8, smm_inside_nmi: u8, latched_init: u8 }),
  triple_fault: struct("", { pending: u8 }),
  reserved: bytes(26),
  exception_has_payload: u8,
  exception_payload: u64,
});
export type VcpuEvents = View<typeof VcpuEvents>;

/** `struct kvm_sync_regs`: the registers that `kvm_run` can carry in and out (`KVM_CAP_SYNC_REGS`). */
export const SyncRegs = struct("kvm_sync_regs", { regs: Regs, sregs: Sregs, events: VcpuEvents });
export type SyncRegs = View<typeof SyncRegs>;

/** `struct kvm_guest_debug`: what stops the guest, and the debug registers to do it with. */
export const GuestDebug = struct("kvm_guest_debug", {
  control: u32,
  pad: u32,
  arch: struct("kvm_guest_debug_arch", { debugreg: array(u64, 8) }),
});
export type GuestDebug = View<typeof GuestDebug>;

/** `struct kvm_translation`: a linear address and where the guest's page tables take it. */
export const Translation = struct("kvm_translation", {
  linear_address: u64,
  physical_address: u64,
  valid: u8,
  writeable: u8,
  usermode: u8,
  pad: bytes(5),
});
export type Translation = View<typeof Translation>;

/** `struct kvm_x86_mce`: a machine check to deliver. */
export const MachineCheck = struct("kvm_x86_mce", {
  status: u64,
  addr: u64,
  misc: u64,
  mcg_status: u64,
  bank: u8,
  pad1: bytes(7),
  pad2: array(u64, 3),
});
export type MachineCheck = View<typeof MachineCheck>;

/** `struct kvm_pit_channel_state`. */
export const PitChannel = struct("kvm_pit_channel_state", {
  count: u32,
  latched_count: u16,
  ...{ count_latched: u8, status_latched: u8, status: u8, read_state: u8, write_state: u8, write_latch: u8 },
  ...{ rw_mode: u8, mode: u8, bcd: u8, gate: u8 },
  count_load_time: s64,
});
