import { concat, encode, reserved, struct, u8, u16, u32 } from "../binary.js";
import { table } from "./tables.js";

/** Body of the multiple APIC description table before its entries (ACPI 6.3, 5.2.12). */
export const Madt = struct({ localApicAddress: u32, flags: u32 });

export const MadtLocalApic = struct({ type: u8, length: u8, processorUid: u8, apicId: u8, flags: u32 });
export const MadtIoApic = struct({
  type: u8,
  length: u8,
  ioApicId: u8,
  reserved: reserved(1),
  address: u32,
  gsiBase: u32,
});
export const MadtOverride = struct({ type: u8, length: u8, bus: u8, source: u8, gsi: u32, flags: u16 });
export const MadtLocalNmi = struct({ type: u8, length: u8, processorUid: u8, flags: u16, lint: u8 });
export const MadtX2Apic = struct({
  type: u8,
  length: u8,
  reserved: reserved(2),
  x2apicId: u32,
  flags: u32,
  processorUid: u32,
});
export const MadtX2ApicNmi = struct({
  type: u8,
  length: u8,
  flags: u16,
  processorUid: u32,
  lint: u8,
  reserved: reserved(3),
});

const PCAT_COMPAT = 1;
const ENABLED = 1;
/** MPS INTI flags: active high, level-triggered. */
const HIGH_LEVEL = 0x0d;

export interface MadtOptions {
  readonly localApicAddress: number;
  /** APIC IDs in the order of the processors' UIDs. */
  readonly apicIds: readonly number[];
  readonly ioApics: readonly { readonly id: number; readonly address: number; readonly gsiBase: number }[];
}

export function madt(options: MadtOptions): Uint8Array {
  const processors = options.apicIds.map((apicId, uid) =>
    apicId < 255 && uid < 255
      ? encode(MadtLocalApic, { type: 0, length: MadtLocalApic.size, processorUid: uid, apicId, flags: ENABLED })
      : encode(MadtX2Apic, {
          type: 9,
          length: MadtX2Apic.size,
          reserved: 0,
          x2apicId: apicId,
          flags: ENABLED,
          processorUid: uid,
        }),
  );
  const ioApics = options.ioApics.map(({ id, address, gsiBase }) =>
    encode(MadtIoApic, { type: 1, length: MadtIoApic.size, ioApicId: id, reserved: 0, address, gsiBase }),
  );
  const override = (source: number, gsi: number, flags: number) =>
    encode(MadtOverride, { type: 2, length: MadtOverride.size, bus: 0, source, gsi, flags });
  const nmis = [
    encode(MadtLocalNmi, { type: 4, length: MadtLocalNmi.size, processorUid: 0xff, flags: 0, lint: 1 }),
    encode(MadtX2ApicNmi, {
      type: 10,
      length: MadtX2ApicNmi.size,
      flags: 0,
      processorUid: 0xffff_ffff,
      lint: 1,
      reserved: 0,
    }),
  ];
  const big = options.apicIds.some((apicId, uid) => apicId >= 255 || uid >= 255);
  return table(
    "APIC",
    4,
    concat(
      encode(Madt, { localApicAddress: options.localApicAddress, flags: PCAT_COMPAT }),
      ...processors,
      ...ioApics,
      // The PIT comes in on pin 2, as pin 0 is the 8259A's; the SCI is level-triggered.
      override(0, 2, 0),
      override(9, 9, HIGH_LEVEL),
      ...(big ? nmis : nmis.slice(0, 1)),
    ),
  );
}
