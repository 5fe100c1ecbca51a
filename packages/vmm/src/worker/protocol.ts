import type { MachineConfig, MachineEnd, MachineErrorCode, MachineStatistics } from "../api.js";

/** What the embedding program's thread asks of the machine's thread. */
export type Request =
  | { type: "create"; config: MachineConfig }
  | { type: "start" | "pause" | "resume" | "reset" | "powerButton" | "powerOff"; id: number }
  | { type: "statistics" | "save"; id: number }
  | { type: "load"; id: number; state: Uint8Array }
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

/** A MachineError between threads. */
export interface Failure {
  code: MachineErrorCode;
  message: string;
}

/** What a request brought about. */
export interface Answer {
  statistics?: MachineStatistics;
  state?: Uint8Array<ArrayBuffer>;
  failure?: Failure;
}

/** What the machine's thread reports. */
export type Report =
  | ({ type: "created" } & EngineChoice)
  | ({ type: "failed" } & Failure)
  | ({ type: "done"; id: number } & Answer)
  | { type: "serialOutput"; port: number; bytes: Uint8Array<ArrayBuffer> }
  | { type: "serialConsumed"; port: number }
  | { type: "debugConsole"; bytes: Uint8Array<ArrayBuffer> }
  | { type: "reset"; cause: "guest" | "triple-fault" }
  | { type: "ended"; end: MachineEnd; statistics: MachineStatistics };

/** One end of a channel between two threads. */
export interface Endpoint<Out, In> {
  /** @param transfer buffers that the sender gives up, so that they are not copied */
  post(message: Out, transfer?: ArrayBuffer[]): void;
  listen(listener: (message: In) => void): void;
}
