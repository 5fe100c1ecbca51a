import { Vcpu } from "@softmetal/kvm-binding";

const NEVER = 2n ** 63n - 1n;
/** Milliseconds; the longest that one wait is. */
const LONGEST_WAIT = 60_000;

/** The words that the machine's thread and the alarm's share. */
function views(buffer: SharedArrayBuffer) {
  return {
    /** Counts changes of the deadline; the alarm waits on it. */
    changes: new Int32Array(buffer, 0, 1),
    /** When to kick, in nanoseconds of the host's clock. */
    deadline: new BigInt64Array(buffer, 8, 1),
  };
}

/**
 * Takes a vCPU out of the guest when a device's timer is due: its thread sits in KVM_RUN, where no timer of the event
 * loop reaches it. This is the machine's side; `runAlarm` is the thread.
 */
export class Alarm {
  readonly buffer = new SharedArrayBuffer(16);
  readonly #views = views(this.buffer);

  constructor(readonly now: () => bigint) {
    this.#views.deadline[0] = NEVER;
  }

  /** Kicks in this many nanoseconds at the latest; an earlier deadline stays. */
  setIn(nanoseconds: number): void {
    const { changes, deadline } = this.#views;
    const at = this.now() + BigInt(Math.max(0, Math.round(nanoseconds)));
    if (at >= Atomics.load(deadline, 0)) return;
    Atomics.store(deadline, 0, at);
    Atomics.add(changes, 0, 1);
    Atomics.notify(changes, 0);
  }
}

/** The alarm's thread; never returns. */
export function runAlarm(vcpuHandle: number, buffer: SharedArrayBuffer, now: () => bigint): never {
  const vcpu = Vcpu.attach(vcpuHandle);
  const { changes, deadline } = views(buffer);
  for (;;) {
    const seen = Atomics.load(changes, 0);
    const at = Atomics.load(deadline, 0);
    const wait = Number(at - now()) / 1e6;
    if (wait > 0) Atomics.wait(changes, 0, seen, Math.min(wait, LONGEST_WAIT));
    else if (Atomics.compareExchange(deadline, 0, at, NEVER) === at) vcpu.kick();
  }
}
