/** Structures of VM ioctls, as in `linux/kvm.h` and `asm/kvm.h` for x86. Field names are the kernel's. */
import { list } from "./list.js";
import { PitChannel } from "./registers.js";
import { array, bytes, s16, s32, struct, u8, u16, u32, u64, union, type View } from "./struct.js";

/** `struct kvm_userspace_memory_region`. */
export const UserspaceMemoryRegion = struct("kvm_userspace_memory_region", {
  slot: u32,
  flags: u32,
  guest_phys_addr: u64,
  memory_size: u64,
  userspace_addr: u64,
});

/** `struct kvm_pic_state`: one 8259. */
export const PicState = struct("kvm_pic_state", {
  ...{ last_irr: u8, irr: u8, imr: u8, isr: u8, priority_add: u8, irq_base: u8, read_reg_select: u8, poll: u8 },
  ...{ special_mask: u8, init_state: u8, auto_eoi: u8, rotate_on_auto_eoi: u8, special_fully_nested_mode: u8 },
  ...{ init4: u8, elcr: u8, elcr_mask: u8 },
});
export type PicState = View<typeof PicState>;

/** `struct kvm_ioapic_state`: the 24-pin I/O APIC; redirection entries as they read through its registers. */
export const IoapicState = struct("kvm_ioapic_state", {
  base_address: u64,
  ioregsel: u32,
  id: u32,
  irr: u32,
  pad: u32,
  redirtbl: array(u64, 24),
});
export type IoapicState = View<typeof IoapicState>;

/** `struct kvm_irqchip`: `chip.pic` for chip_id 0 (master) and 1 (slave), `chip.ioapic` for 2. */
export const Irqchip = struct("kvm_irqchip", {
  chip_id: u32,
  pad: u32,
  chip: union("", { pic: PicState, ioapic: IoapicState }, 512),
});
export type Irqchip = View<typeof Irqchip>;

/** `struct kvm_irq_level`; `irq` is replaced by the delivery status with `KVM_IRQ_LINE_STATUS`. */
export const IrqLevel = struct("kvm_irq_level", { irq: s32, level: u32 });

/** `struct kvm_pit_config`; flags bit 0: do not trap port 61h's speaker bits. */
export const PitConfig = struct("kvm_pit_config", { flags: u32, pad: array(u32, 15) });

/** `struct kvm_pit_state2`: the 8254's three channels. */
export const PitState = struct("kvm_pit_state2", {
  channels: array(PitChannel, 3),
  flags: u32,
  reserved: array(u32, 9),
});
export type PitState = View<typeof PitState>;

/** `struct kvm_reinject_control`. */
export const ReinjectControl = struct("kvm_reinject_control", { pit_reinject: u8, reserved: bytes(31) });

/** `struct kvm_coalesced_mmio_zone`; `pio` 1 makes it a range of ports. */
export const CoalescedZone = struct("kvm_coalesced_mmio_zone", { addr: u64, size: u32, pio: u32 });

/** `struct kvm_coalesced_mmio`: one write that waits in the ring. */
export const CoalescedWrite = struct("kvm_coalesced_mmio", { phys_addr: u64, len: u32, pio: u32, data: bytes(8) });
export type CoalescedWrite = View<typeof CoalescedWrite>;

/** `struct kvm_coalesced_mmio_ring`, without its entries, which follow. */
export const CoalescedRing = struct("kvm_coalesced_mmio_ring", { first: u32, last: u32 });

/** `struct kvm_irq_routing_entry`: where a GSI leads; `type` says which member of `u` holds. */
export const IrqRoutingEntry = struct("kvm_irq_routing_entry", {
  gsi: u32,
  type: u32,
  flags: u32,
  pad: u32,
  u: union("", {
    irqchip: struct("kvm_irq_routing_irqchip", { irqchip: u32, pin: u32 }),
    msi: struct("kvm_irq_routing_msi", { address_lo: u32, address_hi: u32, data: u32, devid: u32 }),
    pad: array(u32, 8),
  }),
});
export type IrqRoutingEntry = View<typeof IrqRoutingEntry>;

/** `struct kvm_msi`: a message-signalled interrupt. */
export const Msi = struct("kvm_msi", {
  address_lo: u32,
  address_hi: u32,
  data: u32,
  flags: u32,
  devid: u32,
  pad: bytes(12),
});
export type Msi = View<typeof Msi>;

/** `struct kvm_clock_data`: kvm-clock in nanoseconds; flags say which of the other fields hold. */
export const ClockData = struct("kvm_clock_data", {
  clock: u64,
  flags: u32,
  pad0: u32,
  realtime: u64,
  host_tsc: u64,
  pad: array(u32, 4),
});
export type ClockData = View<typeof ClockData>;

/** `struct kvm_enable_cap`. */
export const EnableCap = struct("kvm_enable_cap", { cap: u32, flags: u32, args: array(u64, 4), pad: bytes(64) });

/** `struct kvm_dirty_gfn`: one entry of a dirty ring. `slot` holds the slot and, from bit 16, the address space. */
export const DirtyGfn = struct("kvm_dirty_gfn", { flags: u32, slot: u32, offset: u64 });
export type DirtyGfn = View<typeof DirtyGfn>;

/** `struct kvm_tpr_access_ctl`. */
export const TprAccessControl = struct("kvm_tpr_access_ctl", { enabled: u32, flags: u32, reserved: array(u32, 8) });

/** `struct kvm_cpuid_entry2`: one CPUID leaf. */
export const CpuidEntry = struct("kvm_cpuid_entry2", {
  ...{ function: u32, index: u32, flags: u32, eax: u32, ebx: u32, ecx: u32, edx: u32 },
  padding: array(u32, 3),
});
export type CpuidEntry = View<typeof CpuidEntry>;

/** `struct kvm_msr_entry`. */
export const MsrEntry = struct("kvm_msr_entry", { index: u32, reserved: u32, data: u64 });
export type MsrEntry = View<typeof MsrEntry>;

/** The fixed part of `struct kvm_nested_state`; the VMCS or VMCB data follow it. `format`: 0 for VMX, 1 for SVM. */
export const NestedStateHeader = struct("kvm_nested_state", {
  flags: u16,
  format: u16,
  size: u32,
  hdr: union(
    "",
    {
      vmx: struct("", {
        ...{ vmxon_pa: u64, vmcs12_pa: u64, smm: struct("", { flags: u16 }), pad: u16, flags: u32 },
        preemption_timer_deadline: u64,
      }),
      svm: struct("", { vmcb_pa: u64 }),
    },
    120,
  ),
});
export type NestedStateHeader = View<typeof NestedStateHeader>;

/** `struct kvm_memory_attributes`. */
export const MemoryAttributes = struct("kvm_memory_attributes", {
  ...{ address: u64, size: u64, attributes: u64, flags: u64 },
});

/** `struct kvm_pre_fault_memory`; the kernel moves `gpa` and `size` on past what it has done. */
export const PreFaultMemory = struct("kvm_pre_fault_memory", {
  ...{ gpa: u64, size: u64, flags: u64, padding: array(u64, 5) },
});

/** `struct kvm_hyperv_eventfd`. */
export const HypervEventfd = struct("kvm_hyperv_eventfd", {
  ...{ conn_id: u32, fd: s32, flags: u32, padding: array(u32, 3) },
});

/** `struct kvm_stats_header`: where in the statistics' file the rest is. */
export const StatsHeader = struct("kvm_stats_header", {
  ...{ flags: u32, name_size: u32, num_desc: u32, id_offset: u32, desc_offset: u32, data_offset: u32 },
});

/** `struct kvm_stats_desc`, without the name, which follows. */
export const StatsDescriptor = struct("kvm_stats_desc", {
  ...{ flags: u32, exponent: s16, size: u16, offset: u32, bucket_size: u32 },
});

/** `struct kvm_pmu_event_filter`, without the events, which follow. */
export const PmuEventFilter = struct("kvm_pmu_event_filter", {
  ...{ action: u32, nevents: u32, fixed_counter_bitmap: u32, flags: u32, pad: array(u32, 4) },
});

/** `struct kvm_cpuid2`. */
export const Cpuid = list("kvm_cpuid2", CpuidEntry, 8);
/** `struct kvm_msrs`. */
export const Msrs = list("kvm_msrs", MsrEntry, 8);
/** `struct kvm_msr_list`. */
export const MsrList = list("kvm_msr_list", u32, 4);
/** `struct kvm_irq_routing`. */
export const IrqRouting = list("kvm_irq_routing", IrqRoutingEntry, 8);
/** `struct kvm_reg_list`. Its count has 64 bits, of which any real one needs the lower 32. */
export const RegList = list("kvm_reg_list", u64, 8);
