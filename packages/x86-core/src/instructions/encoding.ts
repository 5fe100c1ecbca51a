/** Names of the condition codes 0-15 (SDM vol. 1, appendix B). */
export const CONDITIONS = [
  "O",
  "NO",
  "B",
  "AE",
  "E",
  "NE",
  "BE",
  "A",
  "S",
  "NS",
  "P",
  "NP",
  "L",
  "GE",
  "LE",
  "G",
] as const;

/** A number as encodings spell it: hexadecimal, capitals, at least this many digits. */
export const hex = (value: number, digits = 1): string => value.toString(16).toUpperCase().padStart(digits, "0");
