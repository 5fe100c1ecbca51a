import { Vcpu } from "@softmetal/kvm-binding";
import type { DoorbellHandle } from "../worker/protocol.js";

/** Announces messages to a machine's thread that may sit in KVM_RUN. */
export class Doorbell {
  readonly #vcpu: Vcpu;
  readonly #posted: Int32Array;

  constructor(handle: DoorbellHandle) {
    this.#vcpu = Vcpu.attach(handle.vcpu);
    this.#posted = new Int32Array(handle.posted);
  }

  /** Posts a message and takes the thread out of the guest. */
  ring(post: () => void): void {
    // Counted first: the thread may look for the message before it is there, but never misses it.
    Atomics.add(this.#posted, 0, 1);
    post();
    this.#vcpu.kick();
  }

  dispose(): void {
    this.#vcpu.dispose();
  }
}
