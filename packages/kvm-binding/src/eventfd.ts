import * as check from "./arguments.js";
import { failure, KvmError } from "./errors.js";
import { attach, checked, describe, KernelObject, made } from "./handle.js";
import { kinds, type NativeHandle, native } from "./native.js";

/**
 * A Linux eventfd: a counter that one side raises and the other takes. The guest raises it through `Vm.ioeventfd`, and by
 * `Vm.irqfd` raising it interrupts the guest.
 */
export class EventFd extends KernelObject {
  readonly #native: NativeHandle;
  #watcher: NativeHandle | undefined;

  /** @internal */
  constructor(handle: NativeHandle) {
    super(handle);
    this.#native = handle;
  }

  /** A new one, with its counter at `initial`; a semaphore's `read` takes 1 at a time. */
  static create(options: { initial?: number; semaphore?: boolean } = {}): EventFd {
    const operation = "EventFd.create";
    const { initial = 0, semaphore = false } = check.object(operation, "options", options);
    return new EventFd(
      made(operation, native().createEventFd(check.u32(operation, "initial", initial), Boolean(semaphore))),
    );
  }

  /** This thread's handle on one that another thread holds, by its `handle`. */
  static attach(handle: number): EventFd {
    return new EventFd(attach(kinds.eventfd, "EventFd.attach", handle));
  }

  /** Adds to the counter. Fails with `would-block` when that would take it beyond 2^64 - 2. */
  signal(count: check.Address = 1): void {
    const operation = "EventFd.signal";
    checked(operation, native().eventWrite(this.#native, check.u64(operation, "count", count)));
  }

  /** Takes the counter (a semaphore: 1 of it) without waiting; 0 when there is nothing. */
  read(): bigint {
    const result = native().eventRead(this.#native);
    if (typeof result === "bigint") return result;
    const error = failure("EventFd.read", result);
    if (error.code === "would-block") return 0n;
    throw error;
  }

  /** Keeps the thread until the counter is not 0; false when the time (in milliseconds) ran out. For workers. */
  wait(milliseconds: number): boolean {
    const operation = "EventFd.wait";
    return (
      checked(
        operation,
        native().eventPoll(this.#native, check.integer(operation, "milliseconds", milliseconds, 0x7fffffff)),
      ) > 0
    );
  }

  /** Calls `listener` on this thread's event loop with every count, in place of an earlier listener. */
  watch(listener: (count: bigint) => void): void {
    const operation = "EventFd.watch";
    if (typeof listener !== "function") {
      throw new KvmError("invalid-argument", operation, `expected a function, got ${describe(listener)}`);
    }
    // The callback refers to this object, which therefore lives as long as it listens.
    const watcher = made(
      operation,
      native().watch(this.#native, (count) => {
        if (this.#watcher !== undefined) listener(count);
      }),
    );
    this.unwatch();
    this.#watcher = watcher;
  }

  /** Ends `watch`; nothing to do after `dispose`, which does it too. */
  unwatch(): void {
    if (this.#watcher !== undefined) native().unwatch(this.#watcher);
    this.#watcher = undefined;
  }

  /** Lets the process end although this is being watched. */
  unref(): void {
    checked("EventFd.unref", native().fd(this.#native)); // not of a closed one
    if (this.#watcher !== undefined) native().watchReference(this.#watcher, false);
  }

  /** Undoes `unref`. */
  ref(): void {
    checked("EventFd.ref", native().fd(this.#native));
    if (this.#watcher !== undefined) native().watchReference(this.#watcher, true);
  }

  override dispose(): void {
    this.unwatch();
    super.dispose();
  }
}
