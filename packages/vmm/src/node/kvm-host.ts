import { readFileSync, readlinkSync } from "node:fs";
import { Worker } from "node:worker_threads";
import type { HelperJob, KvmHost } from "../kvm/host.js";

/** What a helper thread is started with. */
export interface HelperData {
  job: HelperJob;
  /** Where it writes its number in /proc. */
  thread: Int32Array;
}

/** The number of this thread in /proc. */
export const threadNumber = (): number => Number(readlinkSync("/proc/thread-self").split("/").pop());

/** The worker thread of a machine, as the KVM engine needs it. */
export class ThreadHost implements KvmHost {
  /** One word: how many messages the embedding program has posted to this thread. */
  readonly posted = new SharedArrayBuffer(4);
  readonly #posted = new Int32Array(this.posted);
  /** Threads of the machine; 0 for those that have not said theirs yet. */
  readonly #threads: Int32Array[] = [Int32Array.of(threadNumber())];

  constructor(
    /** How many messages this thread has handled. */
    readonly handled: () => number,
  ) {
    // The first message, `create`, is being handled now.
    this.#posted[0] = 1;
  }

  readonly now = (): bigint => process.hrtime.bigint();

  messagesWaiting(): boolean {
    return Atomics.load(this.#posted, 0) !== this.handled();
  }

  startHelper(job: HelperJob, onFailure: (error: Error) => void): void {
    const thread = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(new URL("./kvm-thread.js", import.meta.url), {
      workerData: { job, thread } satisfies HelperData,
    });
    worker.on("error", onFailure);
    worker.unref();
    this.#threads.push(thread);
  }

  processorTime(): number {
    let nanoseconds = 0;
    for (const thread of this.#threads) if (thread[0]) nanoseconds += schedulerTime(thread[0]);
    return nanoseconds / 1e6;
  }
}

/** Nanoseconds on a processor: the first field of schedstat (Linux, Documentation/scheduler/sched-stats). */
function schedulerTime(thread: number): number {
  try {
    return Number(readFileSync(`/proc/self/task/${thread}/schedstat`, "latin1").split(" ", 1)[0]);
  } catch {
    // A kernel without these statistics, or a thread that has ended.
    return 0;
  }
}
