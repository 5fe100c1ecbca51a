import { IO_APIC_BASE } from "../apic/io-apic.js";
import { concat, encode, u32, u64 } from "../binary.js";
import { ChipsetError } from "../error.js";
import type { Aml } from "./aml.js";
import { dsdt } from "./dsdt.js";
import { fadt } from "./fadt.js";
import { madt } from "./madt.js";
import { Facs, facs, Rsdp, rsdp, table } from "./tables.js";

export interface AcpiOptions {
  /** Where the tables go; 16-byte aligned, below 4 GiB. In 0xE0000-0xFFFFF operating systems find the RSDP by itself. */
  readonly address: number;
  /** APIC IDs of the processors, the bootstrap processor first. */
  readonly apicIds: readonly number[];
  /** One at 0xFEC00000 with ID 0 when absent. */
  readonly ioApics?: readonly { readonly id: number; readonly address: number; readonly gsiBase: number }[];
  readonly localApicAddress?: number;
  /** COM1, COM2, ... in order. */
  readonly serialPorts?: readonly { readonly base: number; readonly irq: number }[];
  /** The keyboard controller is there; true when absent. */
  readonly i8042?: boolean;
  /** A VGA adapter is there; false when absent. */
  readonly vga?: boolean;
  /** Width of the PM timer; 32 when absent. */
  readonly timerBits?: 24 | 32;
  /** Further AML for \_SB: {@link simpleDevice}, {@link mmioDevice}, or terms of one's own. */
  readonly devices?: readonly Aml[];
  /** Further whole tables (MCFG, SPCR, ...), with header and checksum. */
  readonly tables?: readonly Uint8Array[];
}

/** The tables in memory. */
export interface AcpiTables {
  /** Guest-physical address of `bytes`, and of the RSDP, which comes first. */
  readonly address: number;
  readonly bytes: Uint8Array;
  /** Each table by signature, in the order in which they lie there. */
  readonly tables: readonly { readonly signature: string; readonly address: number; readonly bytes: Uint8Array }[];
}

const align = (value: number, to: number) => Math.ceil(value / to) * to;

/**
 * Builds all ACPI tables as one block of memory that starts with the RSDP. The block must be reserved in the memory
 * map, and writable (the FACS is).
 * @throws ChipsetError `bad-config`
 */
export function buildAcpiTables(options: AcpiOptions): AcpiTables {
  const { address } = options;
  if (!Number.isInteger(address) || address < 0 || address % 16 !== 0 || address >= 0xffff_0000) {
    throw new ChipsetError("bad-config", "acpi.address", "the tables go to a multiple of 16 below 4 GiB");
  }
  if (options.apicIds.length === 0 || options.apicIds.length > 0x1000) {
    throw new ChipsetError("bad-config", "acpi.apicIds", "there must be 1 to 4096 processors");
  }
  const placed: { signature: string; address: number; bytes: Uint8Array }[] = [];
  let end = address + Rsdp.size;
  const place = (signature: string, bytes: Uint8Array, alignment = 16): number => {
    const at = align(end, alignment);
    placed.push({ signature, address: at, bytes });
    end = at + bytes.length;
    return at;
  };

  const i8042 = options.i8042 ?? true;
  const facsAddress = place("FACS", facs(), Facs.size);
  const dsdtAddress = place(
    "DSDT",
    dsdt({
      cpuCount: options.apicIds.length,
      serialPorts: options.serialPorts ?? [],
      i8042,
      devices: options.devices ?? [],
    }),
  );
  const roots = [
    place(
      "FACP",
      fadt({ facsAddress, dsdtAddress, i8042, vga: options.vga ?? false, timerBits: options.timerBits ?? 32 }),
    ),
    place(
      "APIC",
      madt({
        localApicAddress: options.localApicAddress ?? 0xfee0_0000,
        apicIds: options.apicIds,
        ioApics: options.ioApics ?? [{ id: 0, address: IO_APIC_BASE, gsiBase: 0 }],
      }),
    ),
    ...(options.tables ?? []).map((bytes) => place(String.fromCharCode(...bytes.subarray(0, 4)), bytes)),
  ];
  const rsdtAddress = place("RSDT", table("RSDT", 1, concat(...roots.map((root) => encode(u32, root)))));
  const xsdtAddress = place("XSDT", table("XSDT", 1, concat(...roots.map((root) => encode(u64, root)))));

  const bytes = new Uint8Array(end - address);
  bytes.set(rsdp(rsdtAddress, xsdtAddress));
  for (const item of placed) bytes.set(item.bytes, item.address - address);
  return { address, bytes, tables: placed };
}
