/** The interpreter module, written by scripts/generate.mjs; base64. */
export const MODULE: string;
/** Handler numbers (u16, little-endian) by row and variant; base64. */
export const NUMBERS: string;
/** What each handler executes, by number. */
export const NAMES: readonly string[];
/** Of the rows it was generated from; see `fingerprint`. */
export const FINGERPRINT: number;
