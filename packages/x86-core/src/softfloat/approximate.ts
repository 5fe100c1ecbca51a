// RCPSS and RSQRTSS. The manual bounds their relative error by 1.5 * 2^-12 and leaves the bits to the processor, and
// processors differ. Here the result is the true value rounded to 12 significant bits, which is the same everywhere.
// No exception is raised, MXCSR has no influence, denormal operands count as zeros and tiny results become zeros.

const floats = new Float32Array(1);
const bits = new Uint32Array(floats.buffer);

const INFINITY = 0x7f800000;
const INDEFINITE = 0xffc00000;
const SIGN = 0x80000000;
/** The significand bits below the twelve that are kept. */
const DROPPED = 12;

/** The pattern of a positive double rounded to 12 bits, zero below the normal range. */
function round(value: number): number {
  floats[0] = value;
  const pattern = (bits[0] + (1 << (DROPPED - 1))) & (-1 << DROPPED);
  return (pattern & INFINITY) === 0 ? 0 : pattern;
}

/** RCPSS, one element of RCPPS: about 1 / a. */
export function f32Reciprocal(a: number): number {
  const sign = a & SIGN;
  const magnitude = a & 0x7fffffff;
  if (magnitude > INFINITY) return (a | 0x400000) >>> 0;
  if ((magnitude & INFINITY) === 0) return (sign | INFINITY) >>> 0;
  bits[0] = magnitude;
  return (sign | round(1 / floats[0])) >>> 0;
}

/** RSQRTSS, one element of RSQRTPS: about 1 / sqrt(a). */
export function f32ReciprocalSqrt(a: number): number {
  const magnitude = a & 0x7fffffff;
  if (magnitude > INFINITY) return (a | 0x400000) >>> 0;
  if ((magnitude & INFINITY) === 0) return ((a & SIGN) | INFINITY) >>> 0;
  if (a & SIGN) return INDEFINITE;
  bits[0] = magnitude;
  return round(1 / Math.sqrt(floats[0]));
}
