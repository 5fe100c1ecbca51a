import type { TimerSource } from "../interfaces.js";
import type { TscClock } from "./apic-timer.js";
import type { ApicMessage, ApicTarget } from "./message.js";

/** Where a local APIC's messages go. */
export interface IpiBus {
  send(message: ApicMessage): boolean;
  broadcast(message: ApicMessage, except?: ApicTarget): boolean;
  broadcastEoi(vector: number): void;
}

/** What a local APIC does to its CPU. */
export interface LocalApicCpu {
  /** `pending()` has changed: wake a halted CPU, make a running one look. */
  interruptChanged?(pending: boolean): void;
  nmi?(): void;
  smi?(): void;
  /** INIT: the APIC has already reset itself. */
  init?(): void;
  /** Start at physical address `vector << 12`, if waiting for a SIPI. */
  startup?(vector: number): void;
  /** The mode or the address of the register page has changed. */
  baseChanged?(): void;
}

/** A 64-bit MSR value in two unsigned halves. */
export interface MsrValue {
  low: number;
  high: number;
}

export interface LocalApicOptions {
  readonly apicId: number;
  /** The bootstrap processor: IA32_APIC_BASE bit 8, and LINT0 = ExtINT, LINT1 = NMI after reset as firmware leaves them. */
  readonly bootstrap: boolean;
  readonly timers: TimerSource;
  readonly bus: IpiBus;
  readonly cpu: LocalApicCpu;
  /** What answers the acknowledge cycle of an ExtINT: the 8259A pair. */
  readonly externalInterrupts?: { acknowledge(): number };
  /** Undivided timer frequency, Hz; 1 GHz when absent. */
  readonly timerHz?: number;
  /** Absent: no TSC-deadline mode. */
  readonly tsc?: TscClock;
  /** False: no x2APIC mode (a CPU model without it). */
  readonly x2apic?: boolean;
  /** Shortest period at which the periodic timer interrupts (ns); 20 us when absent. */
  readonly minimumTimerPeriodNs?: number;
}
