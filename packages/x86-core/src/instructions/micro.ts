import { S } from "../state/layout.js";
import { micro, type Row } from "../table/row.js";

/**
 * Micro-operations: records that the decoder puts between instructions. They are rows like any other, but no bytes
 * encode them.
 */

/** Address = base + index + displacement + the register in `a` + immediate: addresses too large for one record. */
export const address64 = micro("address64", (o) => {
  const sum = o.add(64, o.effectiveAddress(), o.register(64, "a"));
  o.setState64(S.address, o.add(64, sum, o.immediate(64)));
});

/** The offset cut to 32 bits, plus the register in `a`: 32-bit addresses, with a flat segment or FS and GS in 64-bit mode. */
export const address32 = micro("address32", (o) => {
  const offset = o.and(64, o.effectiveAddress(), o.i64(0xffffffffn));
  o.setState64(S.address, o.add(64, offset, o.register(64, "a")));
});

/** The offset cut to 16 bits, without a segment (LEA). */
export const address16 = micro("address16", (o) => {
  o.setState64(S.address, o.and(64, o.effectiveAddress(), o.i64(0xffffn)));
});

/** An address outside 64-bit mode in a segment that needs its checks: `b` is the segment, `c` size and ACCESS bits. */
const checked = (mask: bigint, name: string) =>
  micro(name, (o) => {
    const offset = o.and(64, o.effectiveAddress(), o.i64(mask));
    const { around } = o;
    const [linear, ok] = o.code.call(
      around.functions.segment,
      ["i64", "i32"],
      around.field("b"),
      offset,
      around.field("c"),
      around.record,
    );
    o.exitIf(o.isNot(ok));
    o.setState64(S.address, linear);
  });
export const addressChecked16 = checked(0xffffn, "addressChecked16");
export const addressChecked32 = checked(0xffffffffn, "addressChecked32");

/** The end of a block that does not end in a jump: goes on at its own address. */
export const goOn = micro("goOn", (o) => o.jumpRelative(), { endsBlock: true });

/** An instruction that cannot be executed: the immediate is the exception's vector. */
export const fault = micro(
  "fault",
  (o) => {
    o.code.call(o.around.functions.raise, [], o.immediate(32), o.i32(0), o.around.record);
    o.exit();
  },
  { endsBlock: true },
);

/** Replaces the records of code that has been overwritten: counts what came before in its block, decodes anew from here. */
export const stale = micro(
  "stale",
  (o) => {
    o.countBefore();
    o.setState64(S.rip, o.ip());
    o.around.goto(o.code.call(o.around.functions.link, ["i32"], o.i32(0))[0]);
  },
  { endsBlock: true },
);

export const microRows: Row[] = [
  address64,
  address32,
  address16,
  addressChecked16,
  addressChecked32,
  goOn,
  fault,
  stale,
];
