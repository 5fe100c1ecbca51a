import type { HelperName } from "../semantics/helpers.js";
import type { Ops } from "../semantics/ops.js";
import { XSAVE_KINDS } from "../semantics/system-helpers.js";
import type { Width } from "../semantics/values.js";
import { S, SS } from "../state/layout.js";
import { ins, type Row, type Semantics } from "../table/row.js";
import { privileged } from "./system-common.js";
import { systemFlagRows } from "./system-flags.js";
import { systemFlowRows } from "./system-flow.js";
import { systemSegmentRows } from "./system-segments.js";

/** Instructions that are a helper and nothing else. */
const plain =
  (helper: HelperName): Semantics =>
  (o) =>
    o.call(helper);

const read =
  (helper: "readControl" | "readDebug"): Semantics =>
  (o, number) => {
    o.call(helper, number);
    return o.result(o.w);
  };
const write =
  (helper: "writeControl" | "writeDebug"): Semantics =>
  (o, number, value) =>
    o.call(helper, number, o.zext(o.w, 64, value));

const storeStatus: Semantics = (o) => o.trunc(64, o.w, o.state64(S.cr0));
const onlyPrivileged: Semantics = (o) => privileged(o);
const addressed =
  (helper: "probeByte" | "invalidatePage"): Semantics =>
  (o, address) =>
    o.call(helper, address);
const timeStamp =
  (withId: 0 | 1): Semantics =>
  (o) =>
    o.call("readTimeStamp", o.i32(withId));

/** MONITOR: the address is in DS:rAX. */
const monitor: Semantics = (o) => o.call("monitor", o.linearInSource(o.addressRegister(0), 1));

/** INVPCID: the type in a register, the descriptor in memory. */
const invalidateContext: Semantics = (o, type, address) => o.call("invalidateContext", o.zext(o.w, 64, type), address);

/** RDRAND and RDSEED: always enough, so CF is 1 and the other flags 0. */
const random: Semantics = (o) => {
  o.call("randomNumber");
  o.setImage(o.i32(1));
  return o.result(o.w);
};
const processorId: Semantics = (o) => o.trunc(64, o.w, o.state64(S.tscAux));

/** Ports move 8 bits or the operand size, at most 32. */
const portWidth = (o: Ops, byte: boolean): Width => (byte ? 8 : o.operandSize === 16 ? 16 : 32);
const input =
  (byte: boolean): Semantics =>
  (o, port) => {
    const w = portWidth(o, byte);
    o.call("ioIn", port, o.i32(w / 8));
    return o.result(w);
  };
const output =
  (byte: boolean): Semantics =>
  (o, port, value) =>
    o.call("ioOut", port, o.i32(portWidth(o, byte) / 8), value);

const enter: Semantics = (o, size, level) => {
  const w = o.operandSize;
  const depth = o.and(32, level, o.i32(31));
  o.if(depth, () => {
    o.call("enterNested", o.i32(w / 8), size, depth);
    o.jumpUnchecked(o.nextIp());
  });
  const frame = o.variable(64, o.stackOffset(o.sub(64, o.stackPointer(), o.i64(w / 8))));
  const end = o.variable(64, o.stackOffset(o.sub(64, frame.get(), o.zext(32, 64, size))));
  o.storeBelowStack(w, w / 8, o.gpr(w, 5));
  // The new frame must be writable at its end (SDM vol. 2, ENTER).
  o.loadForWrite(w, o.linear(SS, end.get(), w / 8, true));
  o.setStackPointer(end.get());
  o.setGpr(w, 5, o.trunc(64, w, frame.get()));
};

const area =
  (helper: "fxsave" | "fxrstor" | "xrstor", kind?: undefined): Semantics =>
  (o, address) =>
    o.call(helper, address, o.i32(o.operandSize === 64 ? 1 : 0), o.i32(kind ?? 0));
const xsave =
  (kind: (typeof XSAVE_KINDS)[number]): Semantics =>
  (o, address) =>
    o.call("xsave", address, o.i32(o.operandSize === 64 ? 1 : 0), o.i32(XSAVE_KINDS.indexOf(kind)));

const skip = { test: "skip" } as const;
const sized = { ...skip, operandSized: true } as const;
const control = { size: "f64" } as const;

export const systemRows: Row[] = [
  ...systemFlowRows,
  ...systemSegmentRows,
  ...systemFlagRows,
  ins("0F 20 /r", "MOV Ry:w C", "", read("readControl"), control),
  ins("0F 22 /r", "MOV C Ry", "", write("writeControl"), control),
  ins("0F 21 /r", "MOV Ry:w D", "", read("readDebug"), control),
  ins("0F 23 /r", "MOV D Ry", "", write("writeDebug"), control),
  ins("0F 01 /4", "SMSW Rv:w", "", storeStatus, skip),
  ins("0F 01 /4", "SMSW Mw:w", "", storeStatus, skip),
  ins("0F 01 /6", "LMSW Ew", "", (o, value) => o.call("loadMachineStatus", value), { privileged: true }),
  ins("0F 06", "CLTS", "", plain("clearTaskSwitched")),
  ins("NP 0F 01 =D0", "XGETBV", "", plain("getExtendedControl"), { ...skip, feature: "xsave" }),
  ins("NP 0F 01 =D1", "XSETBV", "", plain("setExtendedControl"), { feature: "xsave" }),
  ins("0F 32", "RDMSR", "", plain("rdmsr"), { feature: "msr" }),
  ins("0F 30", "WRMSR", "", plain("wrmsr"), { feature: "msr" }),
  ins("0F 31", "RDTSC", "", timeStamp(0), { ...skip, feature: "tsc" }),
  ins("0F 01 =F9", "RDTSCP", "", timeStamp(1), { ...skip, feature: "rdtscp" }),
  // There are no performance counters: every number is wrong.
  ins("0F 33", "RDPMC", "", (o) => o.raise(13, 0)),
  ins("F3 0F C7 /7", "RDPID Ry:w", "", processorId, { ...skip, size: "f64", feature: "rdpid" }),
  ins("0F A2", "CPUID", "", plain("cpuid"), skip),
  ins("F4", "HLT", "", plain("halt")),
  ins("NP 0F 01 =C8", "MONITOR", "", monitor, { ...skip, addressSized: true, feature: "monitor" }),
  ins("NP 0F 01 =C9", "MWAIT", "", plain("mwait"), { ...skip, feature: "monitor" }),
  ins("0F 01 /7", "INVLPG A", "", addressed("invalidatePage")),
  ins("66 0F 38 82 /r", "INVPCID Gy A", "", invalidateContext, { size: "f64", feature: "invpcid" }),
  ins("0F 08", "INVD", "", onlyPrivileged),
  ins("0F 09", "WBINVD", "", onlyPrivileged),
  ins("NP 0F AE /7", "CLFLUSH A", "", addressed("probeByte"), { feature: "clflush" }),
  ins("66 0F AE /7", "CLFLUSHOPT A", "", addressed("probeByte"), { feature: "clflushopt" }),
  ins("66 0F AE /6", "CLWB A", "", addressed("probeByte"), { feature: "clwb" }),
  ins("NP 0F C7 /6", "RDRAND Rv:w", "00000M", random, { ...skip, feature: "rdrand" }),
  ins("66 0F C7 /6", "RDRAND Rv:w", "00000M", random, { ...skip, feature: "rdrand" }),
  ins("NP 0F C7 /7", "RDSEED Rv:w", "00000M", random, { ...skip, feature: "rdseed" }),
  ins("66 0F C7 /7", "RDSEED Rv:w", "00000M", random, { ...skip, feature: "rdseed" }),
  ins("E4", "IN AL:w Ib", "", input(true)),
  ins("E5", "IN zAX:w Ib", "", input(false)),
  ins("EC", "IN AL:w DX", "", input(true)),
  ins("ED", "IN zAX:w DX", "", input(false)),
  ins("E6", "OUT Ib AL", "", output(true)),
  ins("E7", "OUT Ib zAX", "", output(false)),
  ins("EE", "OUT DX AL", "", output(true)),
  ins("EF", "OUT DX zAX", "", output(false)),
  ins("C8", "ENTER Iw Ib", "", enter, { size: "d64", operandSized: true }),
  ins("NP 0F AE /0", "FXSAVE A:w", "", area("fxsave"), { operandSized: true, feature: "fxsr" }),
  ins("NP 0F AE /1", "FXRSTOR A", "", area("fxrstor"), { operandSized: true, feature: "fxsr" }),
  ins("NP 0F AE /4", "XSAVE A:w", "", xsave("xsave"), { ...sized, feature: "xsave" }),
  ins("NP 0F AE /5", "XRSTOR A", "", area("xrstor"), { ...sized, feature: "xsave" }),
  ins("NP 0F AE /6", "XSAVEOPT A:w", "", xsave("xsaveopt"), { ...sized, feature: "xsaveopt" }),
  ins("NP 0F C7 /4", "XSAVEC A:w", "", xsave("xsavec"), { ...sized, feature: "xsavec" }),
];
