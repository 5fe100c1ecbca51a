import { S } from "../state/layout.js";

/** Helpers of system instructions; implemented in system/. */
export const systemHelpers = [
  // (port, bytes)
  "ioCheck",
  // (port, bytes) -> value
  "ioIn",
  // (port, bytes, value)
  "ioOut",
  // (vector, kind: index in INTERRUPT_KINDS)
  "interrupt",
  // (bytes)
  "interruptReturn",
  // (bytes), and the frame from LONG_FRAME on
  "interruptReturnLong",
  // (selector, offset)
  "farJump",
  // (selector, offset, bytes)
  "farCall",
  // (bytes, parameter bytes to drop)
  "farReturn",
  "syscall",
  "sysenter",
  // (1 for 64-bit operand size)
  "sysret",
  "sysexit",
  // (register) -> value
  "readControl",
  "readDebug",
  // (register, value)
  "writeControl",
  "writeDebug",
  // (value)
  "loadMachineStatus",
  "clearTaskSwitched",
  "getExtendedControl",
  "setExtendedControl",
  "rdmsr",
  "wrmsr",
  "cpuid",
  // (1 for RDTSCP)
  "readTimeStamp",
  // (segment, selector)
  "loadSegment",
  // (segment, selector, bytes)
  "popSegment",
  // (segment and bytes * 256, selector, state offset of the register, value)
  "loadFarPointer",
  // (0 GDT, 1 IDT; limit; base)
  "loadTable",
  // (selector)
  "loadLdt",
  "loadTaskRegister",
  // (selector) -> value, validity
  "loadAccessRights",
  "loadSegmentLimit",
  // (selector, 1 to write) -> ZF
  "verify",
  "requireProtected",
  "halt",
  // (linear address)
  "monitor",
  "mwait",
  // (linear address)
  "invalidatePage",
  // (type, linear address of the descriptor)
  "invalidateContext",
  // (linear address): a read of one byte
  "probeByte",
  "clearInterruptFlag",
  "setInterruptFlag",
  // (bytes) -> image
  "virtualFlagsImage",
  // (bytes, image)
  "popVirtualFlags",
  // (1 when the mode depends on what changed)
  "flagsChanged",
  // () -> 64 bits
  "randomNumber",
  // (bytes, size, level)
  "enterNested",
  // (linear address, 1 for 64-bit pointers)
  "fxsave",
  "fxrstor",
  // (linear address, 1 for 64-bit pointers, kind: index in XSAVE_KINDS)
  "xsave",
  "xrstor",
] as const;

/** What INT, INT3 and INTO, and INT1 deliver. */
export const INTERRUPT_KINDS = ["software", "breakpoint", "int1"] as const;
export const XSAVE_KINDS = ["xsave", "xsaveopt", "xsavec"] as const;

/** Where generated code puts the frame that IRET of 64-bit mode pops: behind the first argument. */
export const LONG_FRAME = S.arguments + 16;
