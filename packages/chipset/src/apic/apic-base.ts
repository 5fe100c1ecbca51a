/** IA32_APIC_BASE (Intel SDM vol. 3A, 11.4.4 and 11.12.1). */

/** MSRs that belong to the local APIC. */
export const APIC_MSR = { base: 0x1b, tscDeadline: 0x6e0, x2apicFirst: 0x800, x2apicLast: 0x8ff } as const;

/** The bootstrap processor. */
export const BASE_BSP = 0x100;
/** x2APIC mode. */
export const BASE_EXTD = 0x400;
/** Enabled. */
export const BASE_EN = 0x800;
/** Address after reset. */
export const DEFAULT_BASE = 0xfee0_0000;

const RESERVED_LOW = 0x2ff;
/** Address bits 51-32. */
const HIGH_MASK = 0xf_ffff;

/** Whether a write is legal: reserved bits clear, and one of the transitions of figure 11-27. Otherwise it is #GP. */
export function isLegalBaseWrite(oldLow: number, low: number, high: number, x2apicSupported: boolean): boolean {
  if (low & RESERVED_LOW || high & ~HIGH_MASK) return false;
  if (!x2apicSupported && low & BASE_EXTD) return false;
  const from = oldLow & (BASE_EN | BASE_EXTD);
  const to = low & (BASE_EN | BASE_EXTD);
  if (to === BASE_EXTD) return false;
  if (to === from) return true;
  if (from === 0) return to === BASE_EN;
  return from === BASE_EN || to === 0;
}
