import { FLAG } from "../semantics/flags.js";
import type { Ops } from "../semantics/ops.js";
import { VECTOR } from "../semantics/ops.js";
import { S, TLB_SUPERVISOR, TLB_SUPERVISOR_SMAP } from "../state/layout.js";
import { SYSTEM_FLAGS } from "../state/state.js";
import { CR4 } from "../system/registers.js";
import { ins, type Row, type Semantics } from "../table/row.js";
import type { Val } from "../wasm/code.js";
import { controlBit, cpl, iopl, isVirtual8086 } from "./system-common.js";

/** CPL <= IOPL; in real-address mode CPL is 0. */
const mayChangeIf = (o: Ops): Val => o.leU(32, cpl(o), iopl(o));

const cli: Semantics = (o) => {
  o.if(
    mayChangeIf(o),
    () => o.setState32(S.systemFlags, o.andNot(32, o.state32(S.systemFlags), o.i32(FLAG.IF))),
    () => o.call("clearInterruptFlag"),
  );
};

/**
 * STI holds interrupts off until after the next instruction, unless they were on already. Only the run loop and HLT
 * look at the shadow: one that is left over holds off one instruction more, which nobody can tell.
 */
const sti: Semantics = (o) => {
  o.if(
    mayChangeIf(o),
    () => {
      const flags = o.variable(32, o.state32(S.systemFlags));
      o.setState32(S.systemFlags, o.or(32, flags.get(), o.i32(FLAG.IF)));
      o.if(o.isNot(o.and(32, flags.get(), o.i32(FLAG.IF))), () => {
        o.setState32(S.shadow, o.i32(1));
        o.if(o.state32(S.attention), () => o.call("flagsChanged", o.i32(0)));
      });
    },
    () => o.call("setInterruptFlag"),
  );
};

/** Virtual-8086 mode with IOPL below 3. */
function restricted(o: Ops): Val {
  return o.both(o.nez(32, isVirtual8086(o)), o.ltU(32, iopl(o), o.i32(3)));
}

const pushf: Semantics = (o) => {
  const w = o.operandSize;
  const system = o.and(32, o.state32(S.systemFlags), o.i32(~(FLAG.VM | FLAG.RF)));
  const image = o.variable(32, o.or(32, o.or(32, o.flagsImage(), system), o.i32(2)));
  if (!o.long) {
    o.if(restricted(o), () => {
      o.call("virtualFlagsImage", o.i32(w / 8));
      image.set(o.result(32));
    });
  }
  const value = image.get();
  o.push(w, w === 64 ? o.zext(32, 64, value) : o.trunc(32, w, value));
};

/** Bits of `S.systemFlags` that POPF may change at any privilege. */
const POPPED = FLAG.TF | FLAG.DF | FLAG.NT;
const POPPED_WIDE = POPPED | FLAG.AC | FLAG.ID;

const popf: Semantics = (o) => {
  const w = o.operandSize;
  const loaded = o.peek(w);
  const image = o.variable(32, w === 64 ? o.trunc(64, 32, loaded) : loaded);
  if (o.long) popAllowed(o, image.get());
  else {
    o.if(
      restricted(o),
      () => {
        o.call("popVirtualFlags", o.i32(w / 8), image.get());
        o.dropStack(o.i64(w / 8));
      },
      () => popAllowed(o, image.get()),
    );
  }
};

function popAllowed(o: Ops, image: Val): void {
  const w = o.operandSize;
  o.dropStack(o.i64(w / 8));
  const level = cpl(o);
  // IOPL changes at CPL 0 only, IF with CPL <= IOPL.
  const ifBit = o.shl(32, o.leU(32, level, iopl(o)), 9);
  const ioplBits = o.select(level, o.i32(0), o.i32(FLAG.IOPL));
  const mask = o.or(32, o.or(32, ifBit, ioplBits), o.i32(w === 16 ? POPPED : POPPED_WIDE));
  const old = o.variable(32, o.state32(S.systemFlags));
  // POPFD and POPFQ clear VIF and VIP outside virtual-8086 mode.
  const cleared = FLAG.RF | (w === 16 ? 0 : FLAG.VIF | FLAG.VIP);
  const kept = o.and(32, o.andNot(32, old.get(), mask), o.i32(SYSTEM_FLAGS & ~cleared));
  const value = o.variable(32, o.or(32, kept, o.and(32, image, mask)));
  o.setState32(S.systemFlags, value.get());
  o.setImage(image);
  const changed = o.variable(32, o.xor(32, old.get(), value.get()));
  const mode = o.and(32, changed.get(), o.i32(FLAG.AC));
  const trap = o.and(32, value.get(), o.i32(FLAG.TF));
  const enabled = o.and(32, o.and(32, changed.get(), value.get()), o.i32(FLAG.IF));
  const waiting = o.both(o.nez(32, enabled), o.nez(32, o.state32(S.attention)));
  o.if(o.or(32, o.or(32, mode, trap), waiting), () => o.call("flagsChanged", o.nez(32, mode)));
}

/** CLAC and STAC: without SMAP in force the flag changes nothing for supervisor code. */
const setAlignmentCheck =
  (value: 0 | 1): Semantics =>
  (o) => {
    o.raiseIf(cpl(o), VECTOR.UD);
    const flags = o.state32(S.systemFlags);
    o.setState32(S.systemFlags, value ? o.or(32, flags, o.i32(FLAG.AC)) : o.andNot(32, flags, o.i32(FLAG.AC)));
    const tlb = o.variable(32, o.state32(S.tlb));
    const [from, to] = value ? [TLB_SUPERVISOR_SMAP, TLB_SUPERVISOR] : [TLB_SUPERVISOR, TLB_SUPERVISOR_SMAP];
    const smap = o.nez(32, controlBit(o, S.cr4, CR4.SMAP));
    const switches = o.both(smap, o.eq(32, tlb.get(), o.i32(from)));
    o.setState32(S.tlb, o.select(switches, o.i32(to), tlb.get()));
  };

const stack = { size: "d64", operandSized: true } as const;

export const systemFlagRows: Row[] = [
  ins("FA", "CLI", "", cli),
  ins("FB", "STI", "", sti),
  ins("9C", "PUSHF", "", pushf, stack),
  ins("9D", "POPF", "MMMMMM", popf, stack),
  ins("NP 0F 01 =CA", "CLAC", "", setAlignmentCheck(0), { feature: "smap" }),
  ins("NP 0F 01 =CB", "STAC", "", setAlignmentCheck(1), { feature: "smap" }),
];
