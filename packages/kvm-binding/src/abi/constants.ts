/** Numbers of the interface, as in `linux/kvm.h` and `asm/kvm.h`, without their prefix. */

/** Capabilities, for `checkExtension` and `enableCap` (those of x86): `KVM_CAP_*`. */
export const Cap = {
  IRQCHIP: 0,
  HLT: 1,
  MMU_SHADOW_CACHE_CONTROL: 2,
  USER_MEMORY: 3,
  SET_TSS_ADDR: 4,
  VAPIC: 6,
  EXT_CPUID: 7,
  CLOCKSOURCE: 8,
  NR_VCPUS: 9,
  NR_MEMSLOTS: 10,
  PIT: 11,
  NOP_IO_DELAY: 12,
  PV_MMU: 13,
  MP_STATE: 14,
  COALESCED_MMIO: 15,
  SYNC_MMU: 16,
  IOMMU: 18,
  DESTROY_MEMORY_REGION_WORKS: 21,
  USER_NMI: 22,
  SET_GUEST_DEBUG: 23,
  REINJECT_CONTROL: 24,
  IRQ_ROUTING: 25,
  IRQ_INJECT_STATUS: 26,
  ASSIGN_DEV_IRQ: 29,
  JOIN_MEMORY_REGIONS_WORKS: 30,
  MCE: 31,
  IRQFD: 32,
  PIT2: 33,
  SET_BOOT_CPU_ID: 34,
  PIT_STATE2: 35,
  IOEVENTFD: 36,
  SET_IDENTITY_MAP_ADDR: 37,
  XEN_HVM: 38,
  ADJUST_CLOCK: 39,
  INTERNAL_ERROR_DATA: 40,
  VCPU_EVENTS: 41,
  HYPERV: 44,
  HYPERV_VAPIC: 45,
  HYPERV_SPIN: 46,
  PCI_SEGMENT: 47,
  INTR_SHADOW: 49,
  DEBUGREGS: 50,
  X86_ROBUST_SINGLESTEP: 51,
  ENABLE_CAP: 54,
  XSAVE: 55,
  XCRS: 56,
  ASYNC_PF: 59,
  TSC_CONTROL: 60,
  GET_TSC_KHZ: 61,
  MAX_VCPUS: 66,
  ONE_REG: 70,
  TSC_DEADLINE_TIMER: 72,
  SYNC_REGS: 74,
  PCI_2_3: 75,
  KVMCLOCK_CTRL: 76,
  SIGNAL_MSI: 77,
  READONLY_MEM: 81,
  IRQFD_RESAMPLE: 82,
  DEVICE_CTRL: 89,
  EXT_EMUL_CPUID: 95,
  HYPERV_TIME: 96,
  IOAPIC_POLARITY_IGNORED: 97,
  ENABLE_CAP_VM: 98,
  IOEVENTFD_NO_LENGTH: 100,
  VM_ATTRIBUTES: 101,
  CHECK_EXTENSION_VM: 105,
  DISABLE_QUIRKS: 116,
  X86_SMM: 117,
  MULTI_ADDRESS_SPACE: 118,
  GUEST_DEBUG_HW_BPS: 119,
  GUEST_DEBUG_HW_WPS: 120,
  SPLIT_IRQCHIP: 121,
  IOEVENTFD_ANY_LENGTH: 122,
  HYPERV_SYNIC: 123,
  VCPU_ATTRIBUTES: 127,
  MAX_VCPU_ID: 128,
  X2APIC_API: 129,
  MSI_DEVID: 131,
  IMMEDIATE_EXIT: 136,
  X86_DISABLE_EXITS: 143,
  HYPERV_SYNIC2: 148,
  HYPERV_VP_INDEX: 149,
  GET_MSR_FEATURES: 153,
  HYPERV_EVENTFD: 154,
  HYPERV_TLBFLUSH: 155,
  NESTED_STATE: 157,
  MSR_PLATFORM_INFO: 159,
  HYPERV_SEND_IPI: 161,
  COALESCED_PIO: 162,
  HYPERV_ENLIGHTENED_VMCS: 163,
  EXCEPTION_PAYLOAD: 164,
  MANUAL_DIRTY_LOG_PROTECT: 166,
  HYPERV_CPUID: 167,
  MANUAL_DIRTY_LOG_PROTECT2: 168,
  PMU_EVENT_FILTER: 173,
  HYPERV_DIRECT_TLBFLUSH: 175,
  HALT_POLL: 182,
  ASYNC_PF_INT: 183,
  SMALLER_MAXPHYADDR: 185,
  STEAL_TIME: 187,
  X86_USER_SPACE_MSR: 188,
  X86_MSR_FILTER: 189,
  ENFORCE_PV_FEATURE_CPUID: 190,
  SYS_HYPERV_CPUID: 191,
  DIRTY_LOG_RING: 192,
  X86_BUS_LOCK_EXIT: 193,
  SET_GUEST_DEBUG2: 195,
  SGX_ATTRIBUTE: 196,
  VM_COPY_ENC_CONTEXT_FROM: 197,
  PTP_KVM: 198,
  HYPERV_ENFORCE_CPUID: 199,
  SREGS2: 200,
  EXIT_HYPERCALL: 201,
  BINARY_STATS_FD: 203,
  EXIT_ON_EMULATION_FAILURE: 204,
  VM_MOVE_ENC_CONTEXT_FROM: 206,
  VM_GPA_BITS: 207,
  XSAVE2: 208,
  SYS_ATTRIBUTES: 209,
  PMU_CAPABILITY: 212,
  DISABLE_QUIRKS2: 213,
  VM_TSC_CONTROL: 214,
  SYSTEM_EVENT_DATA: 215,
  X86_TRIPLE_FAULT_EVENT: 218,
  X86_NOTIFY_VMEXIT: 219,
  VM_DISABLE_NX_HUGE_PAGES: 220,
  DIRTY_LOG_RING_ACQ_REL: 223,
  PMU_EVENT_MASKED_EVENTS: 226,
  USER_MEMORY2: 231,
  MEMORY_FAULT_INFO: 232,
  MEMORY_ATTRIBUTES: 233,
  GUEST_MEMFD: 234,
  VM_TYPES: 235,
  PRE_FAULT_MEMORY: 236,
  X86_APIC_BUS_CYCLES_NS: 237,
  X86_GUEST_MODE: 238,
  GUEST_MEMFD_FLAGS: 244,
} as const;

/** Flags of a memory region: `KVM_MEM_*`. */
export const MemoryFlags = { LOG_DIRTY_PAGES: 1, READONLY: 2, GUEST_MEMFD: 4 } as const;

/** Flags of `createGuestMemfd`: `GUEST_MEMFD_FLAG_*`; `Cap.GUEST_MEMFD_FLAGS` says which the kernel has. */
export const GuestMemfdFlags = { MMAP: 1, INIT_SHARED: 2 } as const;

/** Attributes of `setMemoryAttributes`: `KVM_MEMORY_ATTRIBUTE_*`. */
export const MemoryAttribute = { PRIVATE: 8n } as const;

/** Flags of a `memory-fault` exit: `KVM_MEMORY_EXIT_FLAG_*`. */
export const MemoryExitFlags = { PRIVATE: 8n } as const;

/** Types of VM, for `createVm`: `KVM_X86_*_VM`; `Cap.VM_TYPES` has a bit for each that the kernel has. */
export const VmType = { DEFAULT: 0, SW_PROTECTED: 1, SEV: 2, SEV_ES: 3, SNP: 4, TDX: 5 } as const;

/** What a vCPU is doing: `KVM_MP_STATE_*`. */
export const MpState = {
  RUNNABLE: 0,
  UNINITIALIZED: 1,
  INIT_RECEIVED: 2,
  HALTED: 3,
  SIPI_RECEIVED: 4,
} as const;

/** Control bits of `setGuestDebug`: `KVM_GUESTDBG_*`. */
export const GuestDebugFlags = {
  ENABLE: 0x1,
  SINGLESTEP: 0x2,
  USE_SW_BP: 0x10000,
  USE_HW_BP: 0x20000,
  INJECT_DB: 0x40000,
  INJECT_BP: 0x80000,
  BLOCKIRQ: 0x100000,
} as const;

/** `chip_id` of `getIrqchip`: `KVM_IRQCHIP_*`. */
export const IrqchipId = { PIC_MASTER: 0, PIC_SLAVE: 1, IOAPIC: 2 } as const;

/** Types of an IRQ routing entry: `KVM_IRQ_ROUTING_*`. */
export const IrqRoutingType = { IRQCHIP: 1, MSI: 2 } as const;

/** Register classes of `kvm_valid_regs` and `kvm_dirty_regs`: `KVM_SYNC_X86_*`. */
export const SyncRegsFlags = { REGS: 1n, SREGS: 2n, EVENTS: 4n } as const;

/** Flags of `kvm_vcpu_events`: which optional fields `setVcpuEvents` takes: `KVM_VCPUEVENT_VALID_*`. */
export const VcpuEventsFlags = {
  NMI_PENDING: 1,
  SIPI_VECTOR: 2,
  SHADOW: 4,
  SMM: 8,
  PAYLOAD: 16,
  TRIPLE_FAULT: 32,
} as const;

/** Flags of `kvm_clock_data`: `KVM_CLOCK_*`. */
export const ClockFlags = { TSC_STABLE: 2, REALTIME: 4, HOST_TSC: 8 } as const;

/** Types of in-kernel device: `KVM_DEV_TYPE_*`. x86 has VFIO. */
export const DeviceType = { VFIO: 4 } as const;

/** Flags of an entry of the dirty ring: `KVM_DIRTY_GFN_F_*`. */
export const DirtyGfnFlags = { DIRTY: 1, RESET: 2 } as const;

/** Suberrors of an `internal-error` exit: `KVM_INTERNAL_ERROR_*`. */
export const InternalError = { EMULATION: 1, SIMUL_EX: 2, DELIVERY_EV: 3, UNEXPECTED_EXIT_REASON: 4 } as const;

/** Flags of an `internal-error` exit's data for `InternalError.EMULATION`: `KVM_INTERNAL_ERROR_EMULATION_FLAG_*`. */
export const InternalErrorFlags = { INSTRUCTION_BYTES: 1n } as const;

/** Types of a `system-event` exit: `KVM_SYSTEM_EVENT_*`. */
export const SystemEvent = {
  ...{ SHUTDOWN: 1, RESET: 2, CRASH: 3, WAKEUP: 4, SUSPEND: 5, SEV_TERM: 6, TDX_FATAL: 7 },
} as const;

/** Types of a `hyperv` exit: `KVM_EXIT_HYPERV_*`. */
export const HypervExit = { SYNIC: 1, HCALL: 2, SYNDBG: 3 } as const;

/** `flags` of the run page: `KVM_RUN_X86_*`. */
export const RunFlags = { SMM: 1, BUS_LOCK: 2, GUEST_MODE: 4 } as const;

/** Argument of `Cap.X86_USER_SPACE_MSR`, and `reason` of `rdmsr` and `wrmsr` exits: `KVM_MSR_EXIT_REASON_*`. */
export const MsrExitReason = { INVAL: 1, UNKNOWN: 2, FILTER: 4 } as const;

/** Argument of `Cap.X86_DISABLE_EXITS`: `KVM_X86_DISABLE_EXITS_*`. */
export const DisableExits = { MWAIT: 1, HLT: 2, PAUSE: 4, CSTATE: 8, APERFMPERF: 16 } as const;

/** Argument of `Cap.X2APIC_API`: `KVM_X2APIC_API_*`. */
export const X2apicApi = { USE_32BIT_IDS: 1, DISABLE_BROADCAST_QUIRK: 2 } as const;

/** Argument of `Cap.X86_BUS_LOCK_EXIT`: `KVM_BUS_LOCK_DETECTION_*`. */
export const BusLockDetection = { OFF: 1, EXIT: 2 } as const;

/** Argument of `Cap.X86_NOTIFY_VMEXIT`, under the window in bits 32 to 63: `KVM_X86_NOTIFY_VMEXIT_*`. */
export const NotifyVmexit = { ENABLED: 1, USER: 2 } as const;

/** Argument of `Cap.MANUAL_DIRTY_LOG_PROTECT2`. */
export const DirtyLogProtect = { MANUAL_PROTECT_ENABLE: 1, INITIALLY_SET: 2 } as const;

/** Argument of `Cap.PMU_CAPABILITY`: `KVM_PMU_CAP_*`. */
export const PmuCapability = { DISABLE: 1 } as const;

/** Argument of `Cap.DISABLE_QUIRKS2`, old behaviour that can be switched off: `KVM_X86_QUIRK_*`. */
export const Quirk = {
  LINT0_REENABLED: 1,
  CD_NW_CLEARED: 2,
  LAPIC_MMIO_HOLE: 4,
  OUT_7E_INC_RIP: 8,
  MISC_ENABLE_NO_MWAIT: 16,
  FIX_HYPERCALL_INSN: 32,
  MWAIT_NEVER_UD_FAULTS: 64,
  SLOT_ZAP_ALL: 128,
  STUFF_FEATURE_MSRS: 256,
  IGNORE_GUEST_PAT: 512,
} as const;

const X86_REGISTER = 0x2030_0000_0000_0000n; // KVM_REG_X86 | KVM_REG_SIZE_U64

/** Numbers of registers for `getOneReg` and `setOneReg`. */
export const registerId = {
  /** `KVM_X86_REG_MSR`: the MSR with this index. */
  msr: (index: number): bigint => X86_REGISTER | (2n << 32n) | BigInt.asUintN(32, BigInt(Math.trunc(index) || 0)),
  /** `KVM_X86_REG_KVM`: one of KVM's own, such as `GUEST_SSP`. */
  kvm: (index: number): bigint => X86_REGISTER | (3n << 32n) | BigInt.asUintN(32, BigInt(Math.trunc(index) || 0)),
  /** `KVM_REG_GUEST_SSP`: the shadow-stack pointer. */
  GUEST_SSP: X86_REGISTER | (3n << 32n),
} as const;

/** Ranges of `setMsrFilter`: `KVM_MSR_FILTER_*`. */
export const MsrFilterFlags = { READ: 1, WRITE: 2, DEFAULT_DENY: 1 } as const;

/** The page size of guest and host, in bytes. */
export const PAGE_SIZE = 4096;
