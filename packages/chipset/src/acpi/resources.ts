import { concat, encode, struct, u8, u16, u32 } from "../binary.js";
import { type Aml, buffer } from "./aml.js";

/** Resource descriptors (ACPI 6.3, section 6.4), to be put into a {@link resourceTemplate}. */
export type Resource = Uint8Array;

const IoDescriptor = struct({ tag: u8, decode: u8, minimum: u16, maximum: u16, alignment: u8, length: u8 });
const IrqDescriptor = struct({ tag: u8, mask: u16 });
const Memory32Fixed = struct({ tag: u8, size: u16, writable: u8, base: u32, length: u32 });
const ExtendedInterrupt = struct({ tag: u8, size: u16, flags: u8, count: u8, interrupt: u32 });
const EndTag = struct({ tag: u8, checksum: u8 });

/** `IO (Decode16, base, base, 1, length)` */
export function io(base: number, length: number): Resource {
  return encode(IoDescriptor, { tag: 0x47, decode: 1, minimum: base, maximum: base, alignment: 1, length });
}

/** `IRQNoFlags () { irq }`: edge-triggered, active high, exclusive, as ISA has it. */
export function irq(number: number): Resource {
  return encode(IrqDescriptor, { tag: 0x22, mask: 1 << number });
}

/** `Memory32Fixed (ReadWrite, base, length)` */
export function memory32(base: number, length: number): Resource {
  return encode(Memory32Fixed, { tag: 0x86, size: Memory32Fixed.size - 3, writable: 1, base, length });
}

/** `Interrupt (ResourceConsumer, trigger, ActiveHigh, sharing) { gsi }` */
export function interrupt(gsi: number, options: { trigger?: "level" | "edge"; shared?: boolean } = {}): Resource {
  const flags = 0x01 | (options.trigger === "edge" ? 0x02 : 0) | (options.shared ? 0x08 : 0);
  return encode(ExtendedInterrupt, { tag: 0x89, size: ExtendedInterrupt.size - 3, flags, count: 1, interrupt: gsi });
}

/** `ResourceTemplate () { ... }`, the value of a `_CRS`. */
export function resourceTemplate(...resources: readonly Resource[]): Aml {
  // A checksum of zero says that there is none.
  return buffer(concat(...resources, encode(EndTag, { tag: 0x79, checksum: 0 })));
}
