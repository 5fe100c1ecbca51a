/** What the engine needs of the thread it runs on and of the process around it. */
export interface KvmHost {
  /** A clock that all threads share, in nanoseconds. */
  now(): bigint;
  /** Starts a thread that does the job, until this thread ends. */
  startHelper(job: HelperJob, onFailure: (error: Error) => void): void;
  /** Messages for this thread wait: the engine is to return, so that they are handled. */
  messagesWaiting(): boolean;
  /** Milliseconds of processor time that this thread and its helpers have used. */
  processorTime(): number;
}

/** What a helper thread is for. Numbers are `handle`s of the binding. */
export type HelperJob =
  /** Kicks a vCPU at the times that `Alarm` sets. */
  | { kind: "alarm"; vcpu: number; buffer: SharedArrayBuffer }
  /** Executes a further vCPU; the boot processor's thread has the devices. */
  | { kind: "vcpu"; vcpu: number; bootVcpu: number; index: number; buffer: SharedArrayBuffer };
