import { CommandError, type Context, Exit } from "./context.js";

const HEXADECIMAL = /^\s*\+?0x([0-9a-f]+)([kmgtp]?)$/i;

/** A size string of QEMU: decimal with an optional fraction and suffix, or hexadecimal. Exact in 64 bits. */
export function parseSize(text: string): bigint | "invalid" | "range" {
  const hex = HEXADECIMAL.exec(text);
  if (hex) return inRange(BigInt(`0x${hex[1]}`) * multiplier(hex[2]));
  const match = /^\s*\+?(\d+)(?:\.(\d*))?([bkmgtpe]?)$/i.exec(text);
  if (match === null) return "invalid";
  const [, whole, fraction = "", suffix] = match;
  const scale = multiplier(suffix);
  // The fraction as a double, in 64 binary places; what rounds up to 1 is gone. Halves of a byte are rounded up.
  const places = BigInt(Math.trunc(Number(`0.${fraction}`) * 2 ** 64)) & 0xffff_ffff_ffff_ffffn;
  if (places !== 0n && scale === 1n) return "invalid";
  return inRange(BigInt(whole) * scale + ((places * scale + (1n << 63n)) >> 64n));
}

/** A number as strtoull(3) reads it with base 0, of any length: hexadecimal behind 0x, octal behind 0; undefined for others. */
export function parseWhole(text: string): bigint | undefined {
  const match = /^\s*([-+]?)(0x[0-9a-f]+|0[0-7]*|[1-9]\d*)$/i.exec(text);
  if (match === null) return undefined;
  const [, sign, digits] = match;
  const value = BigInt(/^0\d/.test(digits) ? `0o${digits.slice(1)}` : digits);
  return sign === "-" ? -value : value;
}

/** The warning that a size deserves, although it is understood. */
export function sizeWarning(text: string): string | undefined {
  const suffix = HEXADECIMAL.exec(text)?.[2];
  return suffix ? `Using a multiplier suffix on hex numbers is deprecated: ${text}` : undefined;
}

const inRange = (value: bigint): bigint | "range" => (value > 0xffff_ffff_ffff_ffffn ? "range" : value);

function multiplier(suffix: string): bigint {
  const power = "bkmgtpe".indexOf(suffix.toLowerCase());
  return 1n << BigInt(10 * Math.max(0, power));
}

const INT64_MAX = (1n << 63n) - 1n;

/**
 * A size from the command line, between bounds; reports and ends the command otherwise. Sizes beyond 2^53 are refused by the
 * image formats; the nearest double is refused just the same.
 */
export function sizeArgument(context: Context, what: string, text: string, min = 0n, max = INT64_MAX): number {
  return Number(exactSizeArgument(context, what, text, min, max));
}

/** The same in all its digits. */
export function exactSizeArgument(context: Context, what: string, text: string, min = 0n, max = INT64_MAX): bigint {
  const value = parseSize(text);
  const warning = sizeWarning(text);
  if (warning !== undefined) context.warn(warning);
  if (value === "invalid") {
    context.error(`Invalid ${what} specified. You may use k, M, G, T, P or E suffixes for`);
    context.error("kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.");
    throw new Exit(1);
  }
  if (value === "range" || value < min || value > max) {
    throw new CommandError(`Invalid ${what} specified. Must be between ${min} and ${max}.`);
  }
  return value;
}

/** The size of a `-o` option or operand that QEMU parses as an option. */
export function sizeOption(name: string, text: string): number {
  const value = parseSize(text);
  if (typeof value === "bigint") return Number(value);
  if (value === "range") throw new CommandError(`Value '${text}' is out of range for parameter '${name}'`);
  throw new CommandError(
    `Parameter '${name}' expects a non-negative number below 2^64\n` +
      "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively.",
  );
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/** Bytes for people, three significant digits: "1.5 GiB". */
export function formatSize(bytes: number): string {
  let unit = 0;
  // The next unit starts at 1000, not 1024, so that three digits are enough.
  while (unit < 6 && bytes >= 1000 * 1024 ** unit) unit++;
  return `${formatG(bytes / 1024 ** unit, 3)} ${UNITS[unit]}`;
}

/** printf's %.{precision}g for ordinary magnitudes. */
export function formatG(value: number, precision: number): string {
  if (value === 0) return "0";
  const exponent = Number(value.toExponential(precision - 1).split("e")[1]);
  if (exponent < -4 || exponent >= precision) {
    const [mantissa, power] = value.toExponential(precision - 1).split("e");
    const digits = mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa;
    return `${digits}e${power[0]}${power.slice(1).padStart(2, "0")}`;
  }
  const fixed = value.toFixed(precision - 1 - exponent);
  return fixed.includes(".") ? fixed.replace(/\.?0+$/, "") : fixed;
}
