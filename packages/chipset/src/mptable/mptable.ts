import { IO_APIC_BASE } from "../apic/io-apic.js";
import { ascii, checksum, concat, encode, reserved, struct, u8, u16, u32 } from "../binary.js";
import { ChipsetError } from "../error.js";

/** MP floating pointer structure (MultiProcessor Specification 1.4, 4.1). */
export const MpFloatingPointer = struct({
  signature: ascii(4),
  tableAddress: u32,
  length: u8,
  revision: u8,
  checksum: u8,
  feature1: u8,
  feature2: u8,
  reserved: reserved(3),
});

/** MP configuration table header (4.2). */
export const MpHeader = struct({
  signature: ascii(4),
  length: u16,
  revision: u8,
  checksum: u8,
  oemId: ascii(8),
  productId: ascii(12),
  oemTable: u32,
  oemTableSize: u16,
  entryCount: u16,
  localApicAddress: u32,
  extendedLength: u16,
  extendedChecksum: u8,
  reserved: reserved(1),
});

export const MpProcessor = struct({
  type: u8,
  apicId: u8,
  apicVersion: u8,
  flags: u8,
  signature: u32,
  features: u32,
  reserved: reserved(8),
});
export const MpBus = struct({ type: u8, id: u8, name: ascii(6) });
export const MpIoApic = struct({ type: u8, id: u8, version: u8, flags: u8, address: u32 });
/** I/O and local interrupt assignments have the same layout. */
export const MpInterrupt = struct({
  type: u8,
  interruptType: u8,
  flags: u16,
  sourceBus: u8,
  sourceIrq: u8,
  destinationApic: u8,
  destinationPin: u8,
});

const ISA_BUS = 0;
const INT = 0;
const NMI = 1;
const EXT_INT = 3;
/** Active high, level-triggered. */
const HIGH_LEVEL = 0x0d;
const SCI_IRQ = 9;
const EVERY_APIC = 0xff;
const LOCAL_APIC_VERSION = 0x14;

export interface MpOptions {
  /** Where the tables go; 16-byte aligned, in the first KiB of the EBDA, the last KiB of base memory or 0xF0000-0xFFFFF. */
  readonly address: number;
  /** APIC IDs, the bootstrap processor first; those above 254 cannot be described and are left out. */
  readonly apicIds: readonly number[];
  /** CPUID leaf 1 EAX and EDX. */
  readonly cpuSignature?: number;
  readonly cpuFeatures?: number;
  readonly ioApic?: { readonly id: number; readonly address: number };
  readonly localApicAddress?: number;
}

/** FPU, CMPXCHG8B and APIC, the least a processor with an APIC has. */
const DEFAULT_FEATURES = 0x201;

/**
 * MP tables for operating systems that do not read ACPI: the floating pointer, directly followed by the configuration
 * table.
 * @throws ChipsetError `bad-config`
 */
export function buildMpTables(options: MpOptions): { readonly address: number; readonly bytes: Uint8Array } {
  const { address } = options;
  if (!Number.isInteger(address) || address < 0 || address % 16 !== 0 || address >= 0x10_0000) {
    throw new ChipsetError("bad-config", "mptable.address", "the tables go to a multiple of 16 below 1 MiB");
  }
  const ioApic = options.ioApic ?? { id: 0, address: IO_APIC_BASE };
  const interrupt = (type: number, interruptType: number, irq: number, apic: number, pin: number) =>
    encode(MpInterrupt, {
      type,
      interruptType,
      flags: irq === SCI_IRQ && interruptType === INT ? HIGH_LEVEL : 0,
      sourceBus: ISA_BUS,
      sourceIrq: irq,
      destinationApic: apic,
      destinationPin: pin,
    });
  const irqs = [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
  const entries = [
    ...options.apicIds
      .filter((apicId) => apicId < 255)
      .map((apicId, i) =>
        encode(MpProcessor, {
          type: 0,
          apicId,
          apicVersion: LOCAL_APIC_VERSION,
          flags: i === 0 ? 3 : 1,
          signature: options.cpuSignature ?? 0x600,
          features: options.cpuFeatures ?? DEFAULT_FEATURES,
          reserved: 0,
        }),
      ),
    encode(MpBus, { type: 1, id: ISA_BUS, name: "ISA" }),
    encode(MpIoApic, { type: 2, id: ioApic.id, version: 0x20, flags: 1, address: ioApic.address }),
    ...irqs.map((irq) => interrupt(3, INT, irq, ioApic.id, irq === 0 ? 2 : irq)),
    interrupt(4, EXT_INT, 0, EVERY_APIC, 0),
    interrupt(4, NMI, 0, EVERY_APIC, 1),
  ];
  const body = concat(...entries);
  const table = concat(
    encode(MpHeader, {
      signature: "PCMP",
      length: MpHeader.size + body.length,
      revision: 4,
      checksum: 0,
      oemId: "SOFTMETL",
      productId: "PC",
      oemTable: 0,
      oemTableSize: 0,
      entryCount: entries.length,
      localApicAddress: options.localApicAddress ?? 0xfee0_0000,
      extendedLength: 0,
      extendedChecksum: 0,
      reserved: 0,
    }),
    body,
  );
  table[7] = checksum(table);
  const pointer = encode(MpFloatingPointer, {
    signature: "_MP_",
    tableAddress: address + MpFloatingPointer.size,
    length: 1,
    revision: 4,
    checksum: 0,
    // A configuration table is there; no IMCR (bit 7 of byte 2): the machine starts in virtual wire mode.
    feature1: 0,
    feature2: 0,
    reserved: 0,
  });
  pointer[10] = checksum(pointer);
  return { address, bytes: concat(pointer, table) };
}
