import {
  type Machine,
  type MachineConfig,
  type MachineEnd,
  MachineError,
  type MachineEvents,
  type MachineState,
  type MachineStatistics,
  type SerialPort,
} from "../api.js";
import { checkConfig, checkState } from "../machine/config.js";
import type { Answer, Endpoint, Report, Request } from "./protocol.js";

/** The thread that runs a machine. */
export interface MachineThread extends Endpoint<Request, Report> {
  /** The thread has died by itself. */
  onFailure(listener: (message: string) => void): void;
  terminate(): Promise<void>;
}

/**
 * Makes a machine in another thread.
 * @throws MachineError
 */
export async function createInThread(config: MachineConfig, startThread: () => MachineThread): Promise<Machine> {
  const checked = checkConfig(config);
  const thread = startThread();
  const remote = new RemoteMachine(thread, checked);
  try {
    await remote.created;
  } catch (error) {
    await thread.terminate();
    throw error;
  }
  return remote;
}

type Listeners = { [E in keyof MachineEvents]: Set<MachineEvents[E]> };

/** The machine as the embedding program sees it: every call is a message to its thread. */
class RemoteMachine implements Machine {
  #accel: Machine["accel"] = "translator";
  #accelReason = "";
  readonly serial: readonly SerialPort[];
  readonly ended: Promise<MachineEnd>;
  readonly created: Promise<void>;
  #state: MachineState = "created";
  #end!: (end: MachineEnd) => void;
  #settleCreated!: { resolve: () => void; reject: (error: MachineError) => void };
  readonly #channels: SerialStreams[];
  /** Called with nothing when the machine is over instead. */
  readonly #calls = new Map<number, (answer: Answer | undefined) => void>();
  #nextCall = 0;
  #final: MachineStatistics = { instructions: 0, busyMilliseconds: 0, resets: 0 };
  readonly #listeners: Listeners = {
    state: new Set(),
    reset: new Set(),
    debugConsole: new Set(),
    panic: new Set(),
    end: new Set(),
  };

  constructor(
    readonly thread: MachineThread,
    config: MachineConfig,
  ) {
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.created = new Promise((resolve, reject) => {
      this.#settleCreated = { resolve, reject };
    });
    this.#channels = Array.from(
      { length: config.devices?.serialPorts ?? 1 },
      (_, port) => new SerialStreams(port, (request) => thread.post(request)),
    );
    this.serial = this.#channels;
    thread.listen((report) => this.#handle(report));
    thread.onFailure((message) => {
      this.#settleCreated.reject(new MachineError("internal-error", message));
      this.#finish({ reason: "internal-error", message });
    });
    thread.post({ type: "create", config });
  }

  get state(): MachineState {
    return this.#state;
  }

  get accel(): Machine["accel"] {
    return this.#accel;
  }
  get accelReason(): string {
    return this.#accelReason;
  }

  #handle(report: Report): void {
    switch (report.type) {
      case "created":
        this.#accel = report.accel;
        this.#accelReason = report.reason;
        return this.#settleCreated.resolve();
      case "failed":
        return this.#settleCreated.reject(new MachineError(report.code, report.message));
      case "done":
        this.#calls.get(report.id)?.(report);
        this.#calls.delete(report.id);
        return;
      case "serialOutput":
        return this.#channels[report.port].received(report.bytes);
      case "serialConsumed":
        return this.#channels[report.port].consumed();
      case "debugConsole":
        return this.#emit("debugConsole", report.bytes);
      case "reset":
        return this.#emit("reset", report.cause);
      case "ended":
        this.#final = report.statistics;
        return this.#finish(report.end);
    }
  }

  #emit<E extends keyof MachineEvents>(event: E, ...values: Parameters<MachineEvents[E]>): void {
    for (const listener of this.#listeners[event]) (listener as (...values: unknown[]) => void)(...values);
  }

  #setState(state: MachineState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#emit("state", state);
  }

  #finish(end: MachineEnd): void {
    if (this.#state === "ended") return;
    for (const channel of this.#channels) channel.close();
    this.#setState("ended");
    this.#emit("end", end);
    this.#end(end);
    for (const settle of this.#calls.values()) settle(undefined);
    this.#calls.clear();
    void this.thread.terminate();
  }

  #call(
    type: "start" | "pause" | "resume" | "reset" | "powerButton" | "powerOff" | "statistics",
  ): Promise<Answer | undefined> {
    return this.#request((id) => ({ type, id }));
  }
  #request(make: (id: number) => Request): Promise<Answer | undefined> {
    const id = this.#nextCall++;
    return new Promise((resolve) => {
      this.#calls.set(id, resolve);
      this.thread.post(make(id));
    });
  }
  /** @throws MachineError when the machine could not, or was over before */
  async #attempt(make: (id: number) => Request): Promise<Answer> {
    this.#require("created", "running", "paused");
    const answer = await this.#request(make);
    if (!answer) throw this.#notPossible();
    if (answer.failure) throw new MachineError(answer.failure.code, answer.failure.message);
    return answer;
  }

  #require(...states: MachineState[]): void {
    if (!states.includes(this.#state)) throw this.#notPossible();
  }
  #notPossible(): MachineError {
    return new MachineError("bad-state", `This is not possible while the machine is ${this.#state}.`);
  }

  async start(): Promise<void> {
    this.#require("created");
    this.#setState("running");
    await this.#call("start");
  }
  async pause(): Promise<void> {
    this.#require("running", "paused");
    this.#setState("paused");
    await this.#call("pause");
  }
  async resume(): Promise<void> {
    this.#require("running", "paused");
    this.#setState("running");
    await this.#call("resume");
  }
  async reset(): Promise<void> {
    this.#require("running", "paused");
    await this.#call("reset");
    this.#emit("reset", "host");
  }
  async powerButton(): Promise<void> {
    this.#require("running", "paused");
    await this.#call("powerButton");
  }
  async powerOff(): Promise<void> {
    this.#require("created", "running", "paused");
    await this.#call("powerOff");
    await this.ended;
  }
  async destroy(): Promise<void> {
    this.#finish({ reason: "destroyed" });
    await this.thread.terminate();
  }

  async saveState(): Promise<Uint8Array> {
    return (await this.#attempt((id) => ({ type: "save", id }))).state!;
  }
  async loadState(state: Uint8Array): Promise<void> {
    checkState(state);
    await this.#attempt((id) => ({ type: "load", id, state }));
  }

  on<E extends keyof MachineEvents>(event: E, listener: MachineEvents[E]): () => void {
    this.#listeners[event].add(listener);
    return () => this.#listeners[event].delete(listener);
  }

  async statistics(): Promise<MachineStatistics> {
    if (this.#state === "ended") return this.#final;
    return (await this.#call("statistics"))?.statistics ?? this.#final;
  }
}

/** Web streams over the messages of one serial port. */
class SerialStreams implements SerialPort {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #queue: Uint8Array[] = [];
  #wanted = false;
  #consumed: (() => void) | undefined;
  #closed = false;

  constructor(
    readonly port: number,
    readonly post: (request: Request) => void,
  ) {
    this.readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => {
          this.#wanted = true;
          this.#deliver();
        },
        cancel: () => {
          // Nobody reads any more: take everything, so that the guest does not wait.
          this.#wanted = true;
          this.#discard = true;
          this.#deliver();
        },
      },
      { highWaterMark: 0 },
    );
    this.writable = new WritableStream<Uint8Array>({
      write: (bytes) => {
        if (this.#closed || bytes.length === 0) return;
        return new Promise<void>((resolve) => {
          this.#consumed = resolve;
          this.post({ type: "serialInput", port: this.port, bytes: Uint8Array.from(bytes) });
        });
      },
    });
  }
  #discard = false;

  received(bytes: Uint8Array): void {
    this.#queue.push(bytes);
    this.#deliver();
  }

  #deliver(): void {
    while (this.#queue.length > 0 && (this.#wanted || this.#discard)) {
      const bytes = this.#queue.shift()!;
      this.#wanted = false;
      if (!this.#closed) this.post({ type: "serialCredit", port: this.port, bytes: bytes.length });
      if (!this.#discard) this.#controller.enqueue(bytes);
    }
    if (this.#closed && this.#queue.length === 0 && !this.#discard) {
      this.#discard = true;
      this.#controller.close();
    }
  }

  consumed(): void {
    this.#consumed?.();
    this.#consumed = undefined;
  }

  /** The machine is over: what it sent can still be read, then the stream ends. */
  close(): void {
    this.#closed = true;
    this.consumed();
    this.#deliver();
  }
}
