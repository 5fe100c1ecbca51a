import type { CpuContext } from "../cpu/context.js";

/** Bits of the immediate of PCMPxSTRx (SDM vol. 2, 4.1), then what the semantics add. */
const MODE = {
  words: 0x01,
  signed: 0x02,
  aggregation: 0x0c,
  negate: 0x10,
  validOnly: 0x20,
  /** Index form: the most significant bit; mask form: a mask of whole elements. */
  last: 0x40,
  mask: 0x100,
  explicit: 0x200,
} as const;

interface Text {
  readonly elements: number[];
  /** Elements before the end. */
  readonly length: number;
}

/** PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM. Argument 0: see the rows; 1 and 2: the strings. */
export function sseCompareStrings(cpu: CpuContext): void {
  const mode = cpu.arg32(0);
  const count = mode & MODE.words ? 8 : 16;
  const a = text(cpu, 1, mode, (mode >>> 16) & 0xff);
  const b = text(cpu, 2, mode, (mode >>> 24) & 0xff);
  let result = aggregate(mode, count, a, b);
  if (mode & MODE.negate) {
    for (let j = 0; j < count; j++) if (!(mode & MODE.validOnly) || j < b.length) result ^= 1 << j;
  }
  const carry = result !== 0 ? 1 : 0;
  const zero = b.length < count ? 0x40 : 0;
  const sign = a.length < count ? 0x80 : 0;
  const overflow = result & 1 ? 0x800 : 0;
  cpu.setResult32(carry | zero | sign | overflow, 1);
  if (mode & MODE.mask) return storeMask(cpu, mode, count, result);
  const index = result === 0 ? count : mode & MODE.last ? 31 - Math.clz32(result) : 31 - Math.clz32(result & -result);
  cpu.setResult32(index);
}

function text(cpu: CpuContext, argument: number, mode: number, explicitLength: number): Text {
  const address = cpu.argAddress(argument);
  const { u8, u16 } = cpu.state;
  const words = (mode & MODE.words) !== 0;
  const count = words ? 8 : 16;
  const elements = Array.from({ length: count }, (_, i) => {
    const value = words ? u16[(address >> 1) + i] : u8[address + i];
    if (!(mode & MODE.signed)) return value;
    return words ? (value << 16) >> 16 : (value << 24) >> 24;
  });
  if (mode & MODE.explicit) return { elements, length: Math.min(explicitLength, count) };
  const end = elements.indexOf(0);
  return { elements, length: end < 0 ? count : end };
}

/** The intermediate result: one bit for each element of the second string. */
function aggregate(mode: number, count: number, a: Text, b: Text): number {
  let result = 0;
  const bit = (j: number, set: boolean) => {
    if (set) result |= 1 << j;
  };
  for (let j = 0; j < count; j++) {
    const valid = j < b.length;
    const element = b.elements[j];
    switch ((mode & MODE.aggregation) >> 2) {
      case 0: // Equal any.
        bit(j, valid && a.elements.some((x, i) => i < a.length && x === element));
        break;
      case 1: // Ranges: pairs of bounds.
        for (let i = 0; valid && i + 1 < a.length; i += 2) {
          bit(j, a.elements[i] <= element && element <= a.elements[i + 1]);
        }
        break;
      case 2: // Equal each: both past their ends counts as equal.
        bit(j, valid && j < a.length ? a.elements[j] === element : !valid && j >= a.length);
        break;
      default: // Equal ordered: the first string as a substring that begins here.
        bit(j, isSubstringAt(j, count, a, b));
    }
  }
  return result;
}

function isSubstringAt(start: number, count: number, a: Text, b: Text): boolean {
  for (let i = 0; i < a.length && start + i < count; i++) {
    if (start + i >= b.length || a.elements[i] !== b.elements[start + i]) return false;
  }
  return true;
}

function storeMask(cpu: CpuContext, mode: number, count: number, result: number): void {
  const { u8, u32 } = cpu.state;
  const address = cpu.resultAddress();
  if (!(mode & MODE.last)) {
    u32.fill(0, address >> 2, (address >> 2) + 4);
    u32[address >> 2] = result;
    return;
  }
  const size = 16 / count;
  for (let j = 0; j < count; j++) u8.fill((result >> j) & 1 ? 0xff : 0, address + j * size, address + (j + 1) * size);
}
