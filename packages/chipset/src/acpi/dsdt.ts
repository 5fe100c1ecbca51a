import { concat } from "../binary.js";
import { ACPI_PM_PORTS, GPE0_LENGTH, S5_SLEEP_TYPE } from "../power/acpi-pm.js";
import { RESET_CONTROL_PORT } from "../power/reset-ports.js";
import { type Aml, device, eisaId, integer, name, pkg, scope, string } from "./aml.js";
import { interrupt, io, irq, memory32, type Resource, resourceTemplate } from "./resources.js";
import { table } from "./tables.js";

/** `_STA`: present, enabled, shown, working. */
const PRESENT = 0x0f;

/** A device below \_SB with the objects every operating system asks for. */
export function simpleDevice(options: {
  /** One to four capital letters and digits, unique below \_SB. */
  readonly name: string;
  /** `PNP0501` and its like, or a longer ACPI ID such as `ACPI0007`. */
  readonly hid: string;
  readonly uid?: number;
  readonly resources?: readonly Resource[];
  /** Further objects inside the device. */
  readonly more?: readonly Aml[];
}): Aml {
  const id = /^[A-Z]{3}[0-9A-F]{4}$/.test(options.hid) ? eisaId(options.hid) : string(options.hid);
  return device(
    options.name,
    name("_HID", id),
    ...(options.uid === undefined ? [] : [name("_UID", integer(options.uid))]),
    name("_STA", integer(PRESENT)),
    ...(options.resources ? [name("_CRS", resourceTemplate(...options.resources))] : []),
    ...(options.more ?? []),
  );
}

/** A device with one register window and one level-triggered interrupt: virtio-mmio (`LNRO0005`) and its like. */
export function mmioDevice(options: {
  readonly name: string;
  readonly hid: string;
  readonly uid: number;
  readonly base: number;
  readonly length: number;
  readonly gsi: number;
}): Aml {
  const { base, length, gsi } = options;
  return simpleDevice({ ...options, resources: [memory32(base, length), interrupt(gsi)] });
}

export interface DsdtOptions {
  readonly cpuCount: number;
  readonly serialPorts: readonly { readonly base: number; readonly irq: number }[];
  readonly i8042: boolean;
  readonly devices: readonly Aml[];
}

export function dsdt(options: DsdtOptions): Uint8Array {
  const cpus = Array.from({ length: options.cpuCount }, (_, uid) =>
    simpleDevice({ name: `C${uid.toString(16).toUpperCase().padStart(3, "0")}`, hid: "ACPI0007", uid }),
  );
  const serial = options.serialPorts.map((port, i) =>
    simpleDevice({ name: `COM${i + 1}`, hid: "PNP0501", uid: i + 1, resources: [io(port.base, 8), irq(port.irq)] }),
  );
  const keyboard = options.i8042
    ? [
        simpleDevice({ name: "KBD", hid: "PNP0303", resources: [io(0x60, 1), io(0x64, 1), irq(1)] }),
        simpleDevice({ name: "MOU", hid: "PNP0F13", resources: [irq(12)] }),
      ]
    : [];
  const s5 = pkg(integer(S5_SLEEP_TYPE), integer(S5_SLEEP_TYPE), integer(0), integer(0));
  return table(
    "DSDT",
    2,
    concat(
      name("_S5", s5),
      scope(
        "_SB",
        ...cpus,
        simpleDevice({ name: "PIC", hid: "PNP0000", resources: [io(0x20, 2), io(0xa0, 2), io(0x4d0, 2), irq(2)] }),
        simpleDevice({ name: "TIMR", hid: "PNP0100", resources: [io(0x40, 4), irq(0)] }),
        simpleDevice({ name: "RTC", hid: "PNP0B00", resources: [io(0x70, 2), irq(8)] }),
        simpleDevice({ name: "SPKR", hid: "PNP0800", resources: [io(0x61, 1)] }),
        // Ports that belong to the board itself, so that nobody puts anything else there.
        simpleDevice({
          name: "MBRD",
          hid: "PNP0C02",
          resources: [
            io(0x92, 1),
            io(ACPI_PM_PORTS.pm1aEvent, 0x0c),
            io(ACPI_PM_PORTS.gpe0, GPE0_LENGTH),
            io(RESET_CONTROL_PORT, 1),
          ],
        }),
        ...keyboard,
        ...serial,
        ...options.devices,
      ),
    ),
  );
}
