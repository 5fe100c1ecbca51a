import type { MachineEnd } from "../api.js";
import type { Savable } from "../saved-state/index.js";
import type { Platform } from "./platform.js";
import type { SerialChannel } from "./serial-channel.js";

/**
 * What the thread of a machine does next: `run` on, let waiting messages be handled first (`yield`), or rest for this
 * many milliseconds (infinite: until a message comes).
 */
export type Rest = "run" | "yield" | number;

/** A machine without threads and messages, whatever executes its CPU. */
export interface Engine extends Savable {
  readonly platform: Platform;
  readonly serial: readonly SerialChannel[];
  readonly end: MachineEnd | undefined;
  /** Guest instructions executed, 0 when they cannot be counted. */
  readonly instructions: number;
  readonly busyMilliseconds: number;
  readonly resets: number;
  /** The machine is over, once the instruction under way is. */
  finish(end: MachineEnd): void;
  /** Resets everything and loads the boot source again. */
  reset(): void;
  /** Stop and restart the guest's clock. */
  pause(): void;
  resume(): void;
  /** Executes the guest for some milliseconds at most and does everything that is due. */
  runSlice(): Rest;
}

/** What a machine tells whoever runs it. */
export interface EngineEvents {
  debugConsole(byte: number): void;
  /** A chunk of serial input has been taken. */
  serialConsumed(port: number): void;
  reset(cause: "guest" | "triple-fault"): void;
}
