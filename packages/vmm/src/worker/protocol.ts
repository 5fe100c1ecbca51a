import type { MachineConfig, MachineEnd, MachineErrorCode, MachineStatistics } from "../api.js";

/** What the embedding program's thread asks of the machine's thread. */
export type Request =
  | { type: "create"; config: MachineConfig }
  | { type: "start" | "pause" | "resume" | "reset" | "powerButton" | "powerOff"; id: number }
  | { type: "statistics"; id: number }
  /** Bytes for the guest; the next come after `serialConsumed`. */
  | { type: "serialInput"; port: number; bytes: Uint8Array }
  /** The reader has taken this many bytes. */
  | { type: "serialCredit"; port: number; bytes: number };

/** The engine that a machine has. */
export interface EngineChoice {
  accel: "translator" | "kvm";
  /** See `Machine.accelReason`. */
  reason: string;
  /** To be rung with every message after `create`: this engine's thread does not wait at its event loop. */
  doorbell?: DoorbellHandle;
}

/** By which a message is announced to a thread that executes a guest in KVM. */
export interface DoorbellHandle {
  /** The `handle` of the vCPU to kick. */
  vcpu: number;
  /** One word: how many messages have been posted, `create` included. */
  posted: SharedArrayBuffer;
}

/** What the machine's thread reports. */
export type Report =
  | ({ type: "created" } & EngineChoice)
  | { type: "failed"; code: MachineErrorCode; message: string }
  | { type: "done"; id: number; statistics?: MachineStatistics }
  | { type: "serialOutput"; port: number; bytes: Uint8Array<ArrayBuffer> }
  | { type: "serialConsumed"; port: number }
  | { type: "debugConsole"; bytes: Uint8Array<ArrayBuffer> }
  | { type: "reset"; cause: "guest" | "triple-fault" }
  | { type: "ended"; end: MachineEnd; statistics: MachineStatistics };

/** One end of a channel between two threads. */
export interface Endpoint<Out, In> {
  post(message: Out): void;
  listen(listener: (message: In) => void): void;
}
