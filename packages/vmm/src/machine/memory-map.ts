import type { MemoryMapEntry } from "../boot/index.js";

const MIB = 1024 * 1024;

/** Where the ACPI tables lie: in the BIOS area, where an operating system finds the RSDP by itself. */
export const FIRMWARE_TABLES = 0xe0000;
/** Where the MP tables lie: in the last 64 KiB below 1 MiB, which kernels search for them. */
export const MP_TABLES = 0xf0000;
/** Where devices' memory begins: the I/O APIC, the local APIC and what PCI will need. */
export const DEVICE_HOLE = 0xe0000000;

/** Smallest and largest RAM of a machine, in bytes. */
export const SMALLEST_RAM = 16 * MIB;
export const LARGEST_RAM = DEVICE_HOLE;

/** What the guest is told of its memory: conventional memory, the hole from 640 KiB to 1 MiB, and the rest. */
export function memoryMap(ram: number): MemoryMapEntry[] {
  return [
    { address: 0, size: 0x9fc00, type: "usable" },
    { address: 0x9fc00, size: 0x400, type: "reserved" },
    { address: FIRMWARE_TABLES, size: 0x100000 - FIRMWARE_TABLES, type: "reserved" },
    { address: MIB, size: ram - MIB, type: "usable" },
  ];
}
