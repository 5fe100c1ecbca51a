import { AES_OPERATIONS, SHA_OPERATIONS } from "../semantics/sse-codes.js";
import { highHalf, lowHalf } from "../semantics/vectors.js";
import type { Feature } from "../table/features.js";
import { ins, type Row, type Semantics } from "../table/row.js";

const row = (encoding: string, syntax: string, feature: Feature, semantics: Semantics): Row =>
  ins(encoding, syntax, "", semantics, { feature, unit: "sse", aligned: true });

/** PCLMULQDQ: immediate bit 0 chooses the half of the first operand, bit 4 that of the second. */
const carrylessMultiply: Semantics = (o, a, b, immediate) => {
  const x = o.select(o.bit(8, immediate, 0), highHalf(o, a), lowHalf(o, a));
  const y = o.select(o.bit(8, immediate, 4), highHalf(o, b), lowHalf(o, b));
  o.call("sseCarrylessMultiply", x, y);
  return o.resultVector();
};

/** One round or key step on (state, round key). */
const aes =
  (operation: (typeof AES_OPERATIONS)[number]): Semantics =>
  (o, a, b) => {
    o.call("sseAes", o.i32(AES_OPERATIONS.indexOf(operation)), a, b);
    return o.resultVector();
  };
/** AESIMC and AESKEYGENASSIST have one source; the immediate is the round constant. */
const aesImc: Semantics = (o, source) => {
  o.call("sseAes", o.i32(AES_OPERATIONS.indexOf("imc")), source);
  return o.resultVector();
};
const aesKeygen: Semantics = (o, source, immediate) => {
  o.call("sseAes", o.or(32, o.shl(32, immediate, 8), o.i32(AES_OPERATIONS.indexOf("keygen"))), source);
  return o.resultVector();
};

const sha =
  (operation: (typeof SHA_OPERATIONS)[number]): Semantics =>
  (o, a, b) => {
    const number = o.i32(SHA_OPERATIONS.indexOf(operation));
    if (operation === "sha256rnds2") o.call("sseSha", number, a, b, o.xmm(0));
    else o.call("sseSha", number, a, b);
    return o.resultVector();
  };
const shaRounds4: Semantics = (o, a, b, immediate) => {
  const kind = o.or(32, o.shl(32, o.and(32, immediate, o.i32(3)), 8), o.i32(SHA_OPERATIONS.indexOf("sha1rnds4")));
  o.call("sseSha", kind, a, b);
  return o.resultVector();
};

/** Rows of PCLMULQDQ, AES-NI and the SHA extensions. */
export const cryptoRows: Row[] = [
  row("66 0F 3A 44 /r", "PCLMULQDQ Vx:rw Wx Ib", "pclmulqdq", carrylessMultiply),
  row("66 0F 38 DB /r", "AESIMC Vx:w Wx", "aes", aesImc),
  row("66 0F 38 DC /r", "AESENC Vx:rw Wx", "aes", aes("enc")),
  row("66 0F 38 DD /r", "AESENCLAST Vx:rw Wx", "aes", aes("enclast")),
  row("66 0F 38 DE /r", "AESDEC Vx:rw Wx", "aes", aes("dec")),
  row("66 0F 38 DF /r", "AESDECLAST Vx:rw Wx", "aes", aes("declast")),
  row("66 0F 3A DF /r", "AESKEYGENASSIST Vx:w Wx Ib", "aes", aesKeygen),
  row("NP 0F 38 C8 /r", "SHA1NEXTE Vx:rw Wx", "sha", sha("sha1nexte")),
  row("NP 0F 38 C9 /r", "SHA1MSG1 Vx:rw Wx", "sha", sha("sha1msg1")),
  row("NP 0F 38 CA /r", "SHA1MSG2 Vx:rw Wx", "sha", sha("sha1msg2")),
  row("NP 0F 38 CB /r", "SHA256RNDS2 Vx:rw Wx", "sha", sha("sha256rnds2")),
  row("NP 0F 38 CC /r", "SHA256MSG1 Vx:rw Wx", "sha", sha("sha256msg1")),
  row("NP 0F 38 CD /r", "SHA256MSG2 Vx:rw Wx", "sha", sha("sha256msg2")),
  row("NP 0F 3A CC /r", "SHA1RNDS4 Vx:rw Wx Ib", "sha", shaRounds4),
];
