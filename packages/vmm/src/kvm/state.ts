import { MpState, type Segment, type Vcpu, VcpuEventsFlags } from "@softmetal/kvm-binding";
import { S, SEGMENTS, type State } from "@softmetal/x86-core";
import { readMsrs, writeMsrs } from "./snapshot.js";

/**
 * The translator's CPU state is the format of both engines; this converts what KVM keeps to and from it. Not in it:
 * an exception or interrupt in the middle of its delivery (see `hasUndelivered`), AVX state, KVM's own MSRs.
 */

const REGISTERS = [
  ...(["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"] as const),
  ...(["r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"] as const),
];
const SEGMENT_NAMES = [
  ...(["es", "cs", "ss", "ds", "fs", "gs", "tr"] as const).map((name) => [name, SEGMENTS[name]] as const),
  ["ldt", SEGMENTS.ldtr] as const,
];
const CONTROL = { cr0: S.cr0, cr2: S.cr2, cr3: S.cr3, cr4: S.cr4, efer: S.efer } as const;

/** MSRs that have a field of their own. */
const MSR_FIELDS: readonly (readonly [index: number, field: number])[] = [
  [0x174, S.sysenterCs],
  [0x175, S.sysenterEsp],
  [0x176, S.sysenterEip],
  [0xc0000081, S.star],
  [0xc0000082, S.lstar],
  [0xc0000083, S.cstar],
  [0xc0000084, S.sfmask],
  [0xc0000102, S.kernelGsBase],
  [0xc0000103, S.tscAux],
  [0x1a0, S.miscEnable],
  [0x277, S.pat],
  [0x2ff, S.mtrrDefType],
  ...[0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f].map(
    (index, at) => [index, S.mtrrFixed + at * 8] as const,
  ),
  ...Array.from({ length: 16 }, (_, at) => [0x200 + at, S.mtrrVariable + at * 8] as const),
];
/** MSRs that are not in the state under their number. */
export const MSR = {
  ...{ tsc: 0x10, apicBase: 0x1b, tscDeadline: 0x6e0 },
  ...{ efer: 0xc0000080, fsBase: 0xc0000100, gsBase: 0xc0000101 },
} as const;

/** The legacy region and the header of the XSAVE area (SDM vol. 1, 13.4). */
const AREA = { fcw: 0, fsw: 2, ftw: 4, fop: 6, fip: 8, fdp: 16, mxcsr: 24, st: 32, xmm: 160, bitmap: 512 } as const;
const X87_AND_SSE = 3n;

/** `activity` of the state. */
const RUNNING = 0;
const HALTED = 1;
const WAITING_FOR_STARTUP = 3;
/** `interrupt.shadow` of KVM. */
const SHADOW_MOV_SS = 1;
const SHADOW_STI = 2;

/** Whether KVM was interrupted while it delivered an event, which the state cannot express: run the vCPU a little more. */
export function hasUndelivered(vcpu: Vcpu): boolean {
  const { exception, interrupt } = vcpu.getVcpuEvents();
  return exception.injected !== 0 || exception.pending !== 0 || interrupt.injected !== 0;
}

/**
 * Reads a vCPU that stands still.
 * @param clock counter of the machine's time source at this moment; the TSC is kept as its difference to it
 */
export function readCpu(vcpu: Vcpu, state: State, clock: bigint): void {
  const regs = vcpu.getRegs();
  REGISTERS.forEach((name, index) => {
    state.set64(S.gpr + index * 8, regs[name]);
  });
  state.set64(S.rip, regs.rip);
  state.rflags = Number(regs.rflags);
  const sregs = vcpu.getSregs();
  for (const [name, field] of Object.entries(CONTROL) as [keyof typeof CONTROL, number][]) {
    state.set64(field, sregs[name]);
  }
  for (const [name, index] of SEGMENT_NAMES) {
    const segment = sregs[name];
    state.setSegment(index, segment.selector, segment.base, segment.limit, attributesOf(segment));
  }
  state.set64(S.gdtBase, sregs.gdt.base);
  state.set32(S.gdtLimit, sregs.gdt.limit);
  state.set64(S.idtBase, sregs.idt.base);
  state.set32(S.idtLimit, sregs.idt.limit);
  readFpu(vcpu.getXsave(), state);
  state.set64(S.xcr0, vcpu.getXcrs().xcrs.get(0).value || 1n);
  const debug = vcpu.getDebugRegs();
  for (let index = 0; index < 4; index++) state.set64(S.dr + index * 8, debug.db.get(index));
  state.set64(S.dr + 6 * 8, debug.dr6);
  state.set64(S.dr + 7 * 8, debug.dr7);
  const msrs = new Map(
    readMsrs(
      vcpu,
      MSR_FIELDS.map(([index]) => index),
    ),
  );
  for (const [index, field] of MSR_FIELDS) state.set64(field, msrs.get(index) ?? 0n);
  state.set64(S.tscOffset, BigInt.asUintN(64, (readMsrs(vcpu, [MSR.tsc])[0]?.[1] ?? 0n) - clock));
  const { interrupt, nmi } = vcpu.getVcpuEvents();
  state.set32(S.shadow, interrupt.shadow & SHADOW_MOV_SS ? 2 : interrupt.shadow & SHADOW_STI ? 1 : 0);
  state.set32(S.nmiBlocked, nmi.masked ? 1 : 0);
  state.set32(S.nmiPending, nmi.pending || nmi.injected ? 1 : 0);
  state.set32(S.debugPending, 0);
  state.set32(S.activity, activityOf(vcpu.getMpState()));
  state.set32(S.a20, 1);
}

/** The MSRs of a state, without the TSC. */
export const msrsOf = (state: State) => MSR_FIELDS.map(([index, field]) => [index, state.get64(field)] as const);

/**
 * Sets a vCPU that stands still; its local APIC stays as it is. Gives the MSRs that this KVM refuses.
 * @param clock as for `readCpu`
 */
export function writeCpu(vcpu: Vcpu, state: State, clock: bigint): number[] {
  writeRegisters(vcpu, state);
  return writeMsrs(vcpu, [...msrsOf(state), [MSR.tsc, BigInt.asUintN(64, state.get64(S.tscOffset) + clock)]]);
}

/** The same without the MSRs. */
export function writeRegisters(vcpu: Vcpu, state: State): void {
  vcpu.setMpState(mpStateOf(state.get32(S.activity)));
  const sregs = vcpu.getSregs();
  for (const [name, field] of Object.entries(CONTROL) as [keyof typeof CONTROL, number][]) {
    sregs[name] = state.get64(field);
  }
  for (const [name, index] of SEGMENT_NAMES) {
    const { selector, base, limit, attributes } = segmentOf(state, index);
    sregs[name].$assign({ selector, base, limit, ...fieldsOf(attributes) });
  }
  sregs.gdt.$assign({ base: state.get64(S.gdtBase), limit: state.get32(S.gdtLimit) });
  sregs.idt.$assign({ base: state.get64(S.idtBase), limit: state.get32(S.idtLimit) });
  sregs.interrupt_bitmap.set(0, 0n);
  vcpu.setSregs(sregs);
  const registers = REGISTERS.map((name, index) => [name, state.get64(S.gpr + index * 8)]);
  vcpu.setRegs({ ...Object.fromEntries(registers), rip: state.get64(S.rip), rflags: BigInt(state.rflags) });
  const xcrs = vcpu.getXcrs();
  if (xcrs.xcrs.get(0).value !== state.get64(S.xcr0)) {
    xcrs.xcrs.get(0).value = state.get64(S.xcr0);
    vcpu.setXcrs(xcrs);
  }
  const area = vcpu.getXsave();
  writeFpu(area, state);
  vcpu.setXsave(area);
  vcpu.setDebugRegs({
    db: [0, 1, 2, 3].map((index) => state.get64(S.dr + index * 8)),
    dr6: state.get64(S.dr + 6 * 8),
    dr7: state.get64(S.dr + 7 * 8),
  });
  const shadow = state.get32(S.shadow);
  vcpu.setVcpuEvents({
    interrupt: { shadow: shadow === 2 ? SHADOW_MOV_SS : shadow === 1 ? SHADOW_STI : 0 },
    nmi: { pending: state.get32(S.nmiPending), masked: state.get32(S.nmiBlocked) },
    flags: VcpuEventsFlags.NMI_PENDING | VcpuEventsFlags.SHADOW,
  });
}

const segmentOf = (state: State, index: number) => ({
  selector: state.selector(index),
  base: state.base(index),
  limit: state.limit(index),
  attributes: state.attributes(index),
});

/** Attributes as in the second word of a descriptor; 0 for a segment that must not be used. */
function attributesOf(segment: Segment): number {
  if (segment.unusable) return 0;
  const { type, s, dpl, present, avl, l, db, g } = segment;
  return (type << 8) | (s << 12) | (dpl << 13) | (present << 15) | (avl << 20) | (l << 21) | (db << 22) | (g << 23);
}
function fieldsOf(attributes: number) {
  const bit = (at: number) => (attributes >> at) & 1;
  return {
    ...{ type: (attributes >> 8) & 15, s: bit(12), dpl: (attributes >> 13) & 3, present: bit(15) },
    ...{ avl: bit(20), l: bit(21), db: bit(22), g: bit(23), unusable: 1 - bit(15) },
  };
}

function activityOf(mpState: number): number {
  if (mpState === MpState.RUNNABLE) return RUNNING;
  return mpState === MpState.HALTED ? HALTED : WAITING_FOR_STARTUP;
}
function mpStateOf(activity: number): number {
  if (activity === HALTED) return MpState.HALTED;
  // KVM takes the start-up IPI after an INIT only, which may have come already.
  return activity === WAITING_FOR_STARTUP ? MpState.INIT_RECEIVED : MpState.RUNNABLE;
}

const viewOf = (area: Uint8Array) => new DataView(area.buffer, area.byteOffset, area.length);

/** The area has ST(i) in order and tags by physical number; the state has both by physical number. */
function readFpu(area: Uint8Array, state: State): void {
  const view = viewOf(area);
  const status = view.getUint16(AREA.fsw, true);
  const top = (status >> 11) & 7;
  state.set32(S.fcw, view.getUint16(AREA.fcw, true));
  state.set32(S.fsw, status & ~0x3800);
  state.set32(S.ftop, top);
  state.set32(S.ftags, area[AREA.ftw]);
  state.set32(S.fop, view.getUint16(AREA.fop, true));
  state.set64(S.fip, view.getBigUint64(AREA.fip, true));
  state.set64(S.fdp, view.getBigUint64(AREA.fdp, true));
  state.set32(S.fcs, 0);
  state.set32(S.fds, 0);
  state.set32(S.mxcsr, view.getUint32(AREA.mxcsr, true));
  for (let index = 0; index < 8; index++) {
    const register = S.fpr + ((top + index) & 7) * 16;
    state.set64(register, view.getBigUint64(AREA.st + index * 16, true));
    state.set64(register + 8, BigInt(view.getUint16(AREA.st + index * 16 + 8, true)));
  }
  for (let at = 0; at < 256; at += 8) state.set64(S.xmm + at, view.getBigUint64(AREA.xmm + at, true));
}

function writeFpu(area: Uint8Array, state: State): void {
  const view = viewOf(area);
  const top = state.get32(S.ftop);
  view.setUint16(AREA.fcw, state.get32(S.fcw), true);
  view.setUint16(AREA.fsw, (state.get32(S.fsw) & ~0x3800) | (top << 11), true);
  area[AREA.ftw] = state.get32(S.ftags);
  view.setUint16(AREA.fop, state.get32(S.fop), true);
  view.setBigUint64(AREA.fip, state.get64(S.fip), true);
  view.setBigUint64(AREA.fdp, state.get64(S.fdp), true);
  view.setUint32(AREA.mxcsr, state.get32(S.mxcsr), true);
  for (let index = 0; index < 8; index++) {
    const register = S.fpr + ((top + index) & 7) * 16;
    view.setBigUint64(AREA.st + index * 16, state.get64(register), true);
    view.setUint16(AREA.st + index * 16 + 8, Number(state.get64(register + 8) & 0xffffn), true);
  }
  for (let at = 0; at < 256; at += 8) view.setBigUint64(AREA.xmm + at, state.get64(S.xmm + at), true);
  view.setBigUint64(AREA.bitmap, view.getBigUint64(AREA.bitmap, true) | X87_AND_SSE, true);
}
