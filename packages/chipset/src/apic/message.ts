/** Delivery modes of interrupt messages and local vector table entries (Intel SDM vol. 3A, 11.5.1 and 11.6.1). */
export const DeliveryMode = {
  Fixed: 0,
  LowestPriority: 1,
  Smi: 2,
  RemoteRead: 3,
  Nmi: 4,
  Init: 5,
  Startup: 6,
  ExtInt: 7,
} as const;
export type DeliveryMode = (typeof DeliveryMode)[keyof typeof DeliveryMode];

/** Fixed or lowest priority: the modes whose vector goes through IRR. */
export function isFixed(mode: DeliveryMode): boolean {
  return mode === DeliveryMode.Fixed || mode === DeliveryMode.LowestPriority;
}

export type DestinationMode = "physical" | "logical";

/** One interrupt message, as an I/O APIC, a local APIC's ICR or an MSI sends it. */
export interface ApicMessage {
  /** APIC ID, or set of logical IDs. 8 bits from an xAPIC, I/O APIC or MSI; 32 bits from an x2APIC. */
  readonly destination: number;
  readonly destinationMode: DestinationMode;
  readonly deliveryMode: DeliveryMode;
  readonly vector: number;
  /** Only INIT with `level` false means something: the arbitration ID message that modern APICs ignore. */
  readonly level: boolean;
  readonly trigger: "edge" | "level";
}

/** What a message goes to: a local APIC, or its stand-in when it lives on another thread. */
export interface ApicTarget {
  /** xAPIC: 8-bit ID; x2APIC: 32-bit ID. */
  readonly apicId: number;
  /** Takes 32-bit destinations (x2APIC mode) rather than 8-bit ones. */
  readonly x2apic: boolean;
  /** The APIC is enabled in IA32_APIC_BASE and so listens to messages. */
  readonly listening: boolean;
  /** Whether a logical destination includes this APIC (flat, cluster or x2APIC cluster). */
  matchesLogical(destination: number): boolean;
  /** Processor priority, for lowest-priority arbitration. */
  readonly processorPriority: number;
  /** Takes the message. Returns whether it was accepted (a software-disabled APIC takes no fixed interrupts). */
  accept(deliveryMode: DeliveryMode, vector: number, trigger: "edge" | "level"): boolean;
}

/** What hears an EOI of a level-triggered interrupt. */
export interface EoiListener {
  endOfInterrupt(vector: number): void;
}

/** "Everybody" among 8-bit destinations. */
export const BROADCAST8 = 0xff;
/** "Everybody" among 32-bit destinations. */
export const BROADCAST32 = 0xffff_ffff;

/** The destination of an 8-bit sender (xAPIC, I/O APIC, MSI) as receivers in both modes understand it. */
export function widenDestination(destination: number): number {
  return destination === BROADCAST8 ? BROADCAST32 : destination;
}
