import type { Device } from "../interfaces.js";
import { copyState } from "../state.js";
import {
  type ApicMessage,
  type ApicTarget,
  BROADCAST8,
  BROADCAST32,
  DeliveryMode,
  type EoiListener,
  widenDestination,
} from "./message.js";

/** Base of the address range whose writes are MSIs (SDM vol. 3A, 11.11). */
export const MSI_BASE = 0xfee0_0000;

/** State of the bus. */
export interface ApicBusState {
  /** Index of the target that won the last lowest-priority arbitration. */
  lastLowest: number;
}

/** Carries interrupt messages to local APICs and EOIs to I/O APICs. */
export class ApicBus implements Device<ApicBusState> {
  readonly #targets: ApicTarget[] = [];
  readonly #listeners: EoiListener[] = [];
  #lastLowest = 0;

  /** Adds a local APIC. */
  addTarget(target: ApicTarget): void {
    this.#targets.push(target);
  }

  /** Adds an I/O APIC, or anything else that wants to hear EOIs. */
  addEoiListener(listener: EoiListener): void {
    this.#listeners.push(listener);
  }

  /** Delivers to every APIC the destination names. Returns whether at least one accepted. */
  send(message: ApicMessage): boolean {
    if (message.deliveryMode === DeliveryMode.Init && !message.level && message.trigger === "level") return false;
    if (message.deliveryMode === DeliveryMode.LowestPriority) return this.#sendLowest(message);
    let accepted = false;
    for (const target of this.#targets) {
      if (this.#matches(target, message)) {
        accepted = target.accept(message.deliveryMode, message.vector, message.trigger) || accepted;
      }
    }
    return accepted;
  }

  /** ICR shorthands "all including self" and, with `except`, "all excluding self". */
  broadcast(message: ApicMessage, except?: ApicTarget): boolean {
    if (message.deliveryMode === DeliveryMode.Init && !message.level && message.trigger === "level") return false;
    let accepted = false;
    for (const target of this.#targets) {
      if (target === except || !target.listening) continue;
      accepted = target.accept(message.deliveryMode, message.vector, message.trigger) || accepted;
    }
    return accepted;
  }

  /**
   * A message-signalled interrupt: a write of `data` to `address` (low 32 bits; its high bits give destination bits
   * 31-8). Address bits 11-5 give destination bits 14-8 as hypervisors without interrupt remapping define them.
   */
  sendMsi(address: number, data: number, addressHigh = 0): boolean {
    const low = ((address >>> 12) & 0xff) | (((address >>> 5) & 0x7f) << 8);
    const destination = (low | (addressHigh & 0xffff_ff00)) >>> 0;
    const mode = (data >> 8) & 7;
    const level = (data & 0x8000) !== 0;
    return this.send({
      destination: widenDestination(destination),
      destinationMode: address & 4 ? "logical" : "physical",
      deliveryMode: mode as DeliveryMode,
      vector: data & 0xff,
      level: level ? (data & 0x4000) !== 0 : true,
      trigger: level ? "level" : "edge",
    });
  }

  /** A local APIC ended a level-triggered interrupt. */
  broadcastEoi(vector: number): void {
    for (const listener of this.#listeners) listener.endOfInterrupt(vector);
  }

  reset(): void {
    this.#lastLowest = 0;
  }

  save(): ApicBusState {
    return { lastLowest: this.#lastLowest };
  }

  load(state: unknown): void {
    this.#lastLowest = copyState(this.save(), state, "apic-bus.state").lastLowest >>> 0;
  }

  #matches(target: ApicTarget, message: ApicMessage): boolean {
    if (!target.listening) return false;
    const { destination } = message;
    if (destination === BROADCAST32 || (destination === BROADCAST8 && !target.x2apic)) return true;
    if (message.destinationMode === "logical") return target.matchesLogical(destination);
    return target.apicId === destination;
  }

  /** Among equals the one after the last winner gets it, so that interrupts spread. */
  #sendLowest(message: ApicMessage): boolean {
    const count = this.#targets.length;
    let best = -1;
    let bestPriority = 0x100;
    for (let i = 1; i <= count; i++) {
      const index = (this.#lastLowest + i) % count;
      const target = this.#targets[index];
      if (!this.#matches(target, message) || target.processorPriority >= bestPriority) continue;
      best = index;
      bestPriority = target.processorPriority;
    }
    if (best < 0) return false;
    this.#lastLowest = best;
    return this.#targets[best].accept(DeliveryMode.Fixed, message.vector, message.trigger);
  }
}
