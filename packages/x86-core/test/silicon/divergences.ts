import type { Shape } from "./shapes.js";

/** A difference from the host that is known and intended; DIVERGENCES.md explains each under the same name. */
interface Divergence {
  readonly name: string;
  readonly applies: (shape: Shape, code: Uint8Array, difference: string) => boolean;
}

/** The last bit of the x87's functions, and C1, which says whether that bit was rounded up. */
const lastBit: Divergence = {
  name: "x87-functions",
  applies: (shape, _code, difference) =>
    shape.row.options.test === "approximate" && difference.split("; ").every(isLastBit),
};

function isLastBit(part: string): boolean {
  const [, name, host, ours] = /^(\w+) ([0-9a-f]+) \/ ([0-9a-f]+)$/.exec(part) ?? [];
  if (name === "FSW") return (Number.parseInt(host, 16) ^ Number.parseInt(ours, 16)) === 0x200;
  if (!/^ST[0-7]$/.test(name)) return false;
  const distance = ordinal(host) - ordinal(ours);
  return distance === 1n || distance === -1n;
}

/** Numbers the values of one sign in order; the integer bit is left out. */
function ordinal(hex: string): bigint {
  const bits = BigInt(`0x${hex}`);
  return ((bits >> 64n) << 63n) | (bits & 0x7fffffffffffffffn);
}

/** The bits of RCPxx and RSQRTxx beyond those that the manual promises: about 2^-11 of the value, in single precision. */
const reciprocals: Divergence = {
  name: "reciprocals",
  applies: ({ row }, _code, difference) => {
    const [, host, ours] = /^XMM\d+ ([0-9a-f]{32}) \/ ([0-9a-f]{32})$/.exec(difference) ?? [];
    if (!/^(RCP|RSQRT)[PS]S$/.test(row.mnemonic) || host === undefined) return false;
    return [0, 8, 16, 24].every((at) => {
      const distance = Number.parseInt(host.slice(at, at + 8), 16) - Number.parseInt(ours.slice(at, at + 8), 16);
      return Math.abs(distance) <= 2 ** 13;
    });
  },
};

/** AMD processors do not ask for aligned operands here. */
const shaAlignment: Divergence = {
  name: "sha-alignment",
  applies: ({ row }, _code, difference) =>
    row.mnemonic.startsWith("SHA") && /^exception (1|3|12|14|17) \/ 13 /.test(difference),
};

/** AMD processors know SYSRET in compatibility mode, where Intel's raise #UD. */
const sysretCompatibility: Divergence = {
  name: "sysret-compatibility",
  applies: ({ row, long }, _code, difference) =>
    /^SYS(RET|EXIT)$/.test(row.mnemonic) && !long && /^exception 13 \/ 6 /.test(difference),
};

/** AMD processors push before they check the target; Intel's manual checks it first. */
const callOrder: Divergence = {
  name: "call-order",
  applies: ({ row, memory }, _code, difference) =>
    row.mnemonic === "CALL" && memory && /^exception (12|14) \/ 13 /.test(difference),
};

/** LOCK MOV CR0 is AMD's MOV CR8 outside 64-bit mode. */
const lockMovCr8: Divergence = {
  name: "lock-mov-cr8",
  applies: ({ row }, code, difference) =>
    row.text.includes("MOV") && row.map === 1 && code.includes(0xf0) && /^exception 13 \/ 6 /.test(difference),
};

/** With alignment checks on: areas of state, and the inner frames of ENTER, are accessed without them. */
const alignmentOfAreas: Divergence = {
  name: "alignment-of-areas",
  applies: ({ row }, _code, difference) =>
    /^(ENTER|FXSAVE|FXRSTOR|FNSAVE|FRSTOR|FNSTENV|FLDENV)$/.test(row.mnemonic) &&
    difference.startsWith("exception 17 /"),
};

/** With alignment checks on: AMD processors ask for 8 bytes only, where 16 are stored. */
const maskmovAlignment: Divergence = {
  name: "maskmov-alignment",
  applies: ({ row }, _code, difference) =>
    row.mnemonic === "MASKMOVDQU" && /^exception (1|3|14) \/ 17 /.test(difference),
};

/** With 66, AMD processors read 32 bits, of which they use 16: only a fault can show it. */
const movsxdSixteen: Divergence = {
  name: "movsxd-16",
  applies: ({ row, operandSize }, _code, difference) =>
    row.mnemonic === "MOVSXD" && operandSize === 16 && /^(exception 1[47] \/|CR2 )/.test(difference),
};

/** With shortened addresses, the whole address of a bit wraps; here only that of the operand. */
const bitAddressWrap: Divergence = {
  name: "bit-address-wrap",
  applies: ({ row, memory }, code) =>
    /^BT[CRS]? Av/.test(row.text.slice(row.text.indexOf(row.mnemonic))) && memory && code.includes(0x67),
};

/** In which order the bytes of a large area are touched, when more than one would fault. */
const orderWithinAreas: Divergence = {
  name: "order-within-areas",
  applies: ({ row }, _code, difference) =>
    /^(FXSAVE|FXRSTOR|FNSAVE|FRSTOR|FNSTENV|FLDENV)$/.test(row.mnemonic) && /^CR2 [^;]*$/.test(difference),
};

/** Which of two operands that both fault comes first is the processor's choice. */
const comparedOrder: Divergence = {
  name: "cmps-order",
  applies: ({ row }, _code, difference) =>
    /^(REPN?E?_)?CMPSB?$/.test(row.mnemonic) && /^(CR2 [^;]*$|exception 1[2347] \/ 1[2347] )/.test(difference),
};

/** With 66 in 64-bit mode, AMD processors cut the target of a near branch to 16 bits; Intel's ignore the prefix. */
const nearBranchSixteen: Divergence = {
  name: "near-branch-16",
  applies: ({ row, long }, code) => long && row.options.size === "f64" && code.includes(0x66),
};

/** F2 and F3 choose the sense of ZF for LOOPE and LOOPNE on AMD processors, undocumented. */
const loopRepeat: Divergence = {
  name: "loop-repeat",
  applies: ({ row }, code) => /^LOOPN?E$/.test(row.mnemonic) && (code.includes(0xf2) || code.includes(0xf3)),
};

export const DIVERGENCES: readonly Divergence[] = [
  lastBit,
  reciprocals,
  shaAlignment,
  sysretCompatibility,
  callOrder,
  lockMovCr8,
  alignmentOfAreas,
  maskmovAlignment,
  movsxdSixteen,
  bitAddressWrap,
  orderWithinAreas,
  comparedOrder,
  nearBranchSixteen,
  loopRepeat,
];

export function isDivergence(shape: Shape, code: Uint8Array, difference: string): boolean {
  return DIVERGENCES.some((divergence) => divergence.applies(shape, code, difference));
}
