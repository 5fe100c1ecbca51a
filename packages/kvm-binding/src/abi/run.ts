/** `struct kvm_run`, the page a vCPU shares with its user, and the members of its union, one for each exit reason. */
import { SyncRegs } from "./registers.js";
import { array, bytes, struct, u8, u16, u32, u64, union, type View } from "./struct.js";

/** `struct kvm_hyperv_exit`: `type` (see `HypervExit`) says which member of `u` holds. */
const HypervExit = struct("kvm_hyperv_exit", {
  type: u32,
  pad1: u32,
  u: union("", {
    synic: struct("", { msr: u32, pad2: u32, control: u64, evt_page: u64, msg_page: u64 }),
    hcall: struct("", { input: u64, result: u64, params: array(u64, 2) }),
    syndbg: struct("", {
      ...{ msr: u32, pad2: u32, control: u64, status: u64 },
      ...{ send_page: u64, recv_page: u64, pending_page: u64 },
    }),
  }),
});

/** `struct kvm_xen_exit`: type 1 is a hypercall. */
const XenExit = struct("kvm_xen_exit", {
  type: u32,
  u: union("", {
    hcall: struct("", { longmode: u32, cpl: u32, input: u64, result: u64, params: array(u64, 6) }),
  }),
});

export const ExitUnion = union(
  "",
  {
    hw: struct("", { hardware_exit_reason: u64 }),
    fail_entry: struct("", { hardware_entry_failure_reason: u64, cpu: u32 }),
    ex: struct("", { exception: u32, error_code: u32 }),
    io: struct("", { direction: u8, size: u8, port: u16, count: u32, data_offset: u64 }),
    debug: struct("kvm_debug_exit_arch", { exception: u32, pad: u32, pc: u64, dr6: u64, dr7: u64 }),
    mmio: struct("", { phys_addr: u64, data: bytes(8), len: u32, is_write: u8 }),
    hypercall: struct("", { nr: u64, args: array(u64, 6), ret: u64, flags: u64 }),
    tpr_access: struct("", { rip: u64, is_write: u32, pad: u32 }),
    internal: struct("", { suberror: u32, ndata: u32, data: array(u64, 16) }),
    emulation_failure: struct("", { suberror: u32, ndata: u32, flags: u64, insn_size: u8, insn_bytes: bytes(15) }),
    system_event: struct("", { type: u32, ndata: u32, data: array(u64, 16) }),
    eoi: struct("", { vector: u8 }),
    msr: struct("", { error: u8, pad: bytes(7), reason: u32, index: u32, data: u64 }),
    hyperv: HypervExit,
    xen: XenExit,
    notify: struct("", { flags: u32 }),
    memory_fault: struct("", { flags: u64, gpa: u64, size: u64 }),
    tdx: struct("", {
      flags: u64,
      nr: u64,
      // Without a name in C: `nr`, the number of the guest's request, says which of them holds.
      u: union("", {
        unknown: struct("", { ret: u64, data: array(u64, 5) }),
        get_quote: struct("", { ret: u64, gpa: u64, size: u64 }),
        get_tdvmcall_info: struct("", { ret: u64, leaf: u64, r11: u64, r12: u64, r13: u64, r14: u64 }),
        setup_event_notify: struct("", { ret: u64, vector: u64 }),
      }),
    }),
  },
  256,
);

/** `struct kvm_run`. What the exit union holds is said by `exit_reason`. */
export const Run = struct("kvm_run", {
  request_interrupt_window: u8,
  immediate_exit: u8,
  padding1: bytes(6),
  exit_reason: u32,
  ready_for_interrupt_injection: u8,
  if_flag: u8,
  flags: u16,
  cr8: u64,
  apic_base: u64,
  exit: ExitUnion,
  kvm_valid_regs: u64,
  kvm_dirty_regs: u64,
  s: union("", { regs: SyncRegs }, 2048),
});
export type Run = View<typeof Run>;
