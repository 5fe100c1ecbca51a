/** What the boot loaders need from a machine, and what they give it. */

/** The guest's RAM, from guest-physical address 0 without holes. */
export interface GuestRam {
  /** Bytes of RAM. */
  readonly size: number;
  /** Copies bytes to a guest-physical address; the loaders only call it inside the RAM. */
  write(address: number, bytes: Uint8Array): void;
}

/** The meaning of a memory-map entry, with ACPI's names (ACPI 6.5, table 15.1). */
export type MemoryMapType = "usable" | "reserved" | "acpi-reclaimable" | "acpi-nvs";

/** One entry of the memory map that the guest is told (e820). */
export interface MemoryMapEntry {
  address: number;
  /** In bytes. */
  size: number;
  type: MemoryMapType;
}

/** ACPI's number for each kind, the same in e820, PVH and Multiboot (ACPI 6.5, table 15.1). */
export const memoryMapTypeNumber: Readonly<Record<MemoryMapType, number>> = {
  usable: 1,
  reserved: 2,
  "acpi-reclaimable": 3,
  "acpi-nvs": 4,
};

/** Where a loader puts things. */
export interface BootEnvironment {
  ram: GuestRam;
  /** What the guest is told about its memory; loaders place data in `usable` entries only. */
  memoryMap: readonly MemoryMapEntry[];
  /** Guest-physical address of the ACPI RSDP, when there is one. */
  rsdpAddress?: number;
}

/** A segment register with its hidden part. */
export interface SegmentState {
  selector: number;
  base: number;
  /** In bytes, after the granularity bit was applied. */
  limit: number;
  /**
   * Access rights as VMX has them (Intel SDM volume 3, "Guest Register State"): bits 0-3 type, 4 S, 5-6 DPL, 7 present,
   * 12 AVL, 13 L, 14 D/B, 15 G, and 16 "unusable".
   */
  access: number;
}

/** GDTR or IDTR. */
export interface TableRegister {
  base: number;
  limit: number;
}

export type GeneralRegister = "rax" | "rbx" | "rcx" | "rdx" | "rsi" | "rdi" | "rsp" | "rbp";
export type SegmentRegister = "cs" | "ds" | "es" | "fs" | "gs" | "ss" | "tr" | "ldtr";

/** State of the boot processor at the entry point. Everything not named here is as after reset; RFLAGS is 2. */
export interface InitialCpuState {
  mode: "real" | "protected" | "long";
  rip: number;
  /** Registers which are not 0. */
  registers: Partial<Record<GeneralRegister, number>>;
  cr0: number;
  cr3: number;
  cr4: number;
  /** IA32_EFER. */
  efer: number;
  segments: Record<SegmentRegister, SegmentState>;
  gdtr: TableRegister;
  idtr: TableRegister;
}

/** The protocol by which the guest was loaded. */
export type BootProtocol = "linux64" | "linux32" | "pvh" | "multiboot" | "flat";

export interface BootResult {
  protocol: BootProtocol;
  cpu: InitialCpuState;
}
