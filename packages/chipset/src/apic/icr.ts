import { type ApicMessage, DeliveryMode } from "./message.js";

/** The interrupt command register (Intel SDM vol. 3A, 11.6.1). */

const LOGICAL = 0x800;
const ASSERT = 0x4000;
const LEVEL = 0x8000;

/** Destination shorthands, bits 19-18. */
export const Shorthand = { None: 0, Self: 1, All: 2, Others: 3 } as const;

export function icrShorthand(low: number): number {
  return (low >> 18) & 3;
}

/** The message that ICR bits 31-0 describe. */
export function decodeIcr(low: number, destination: number): ApicMessage {
  const deliveryMode = ((low >> 8) & 7) as DeliveryMode;
  return {
    destination,
    destinationMode: low & LOGICAL ? "logical" : "physical",
    deliveryMode,
    vector: low & 0xff,
    level: (low & ASSERT) !== 0,
    // Only INIT deassert looks at the trigger mode; IPIs themselves are edges.
    trigger: deliveryMode === DeliveryMode.Init && low & LEVEL ? "level" : "edge",
  };
}
