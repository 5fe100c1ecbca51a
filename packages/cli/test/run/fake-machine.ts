import type { Machine, MachineEnd, MachineEvents } from "@softmetal/vmm";

/** A machine whose guest is the test. */
export class FakeMachine implements Machine {
  state: Machine["state"] = "created";
  readonly accel = "translator";
  readonly accelReason = "chosen by the test";
  readonly serial: Machine["serial"];
  readonly ended: Promise<MachineEnd>;
  /** What was sent to the guest. */
  received = "";
  readonly calls: string[] = [];

  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #end!: (end: MachineEnd) => void;
  readonly #listeners = new Map<string, (...args: never[]) => void>();

  constructor(readonly onStart: (machine: FakeMachine) => void = () => {}) {
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    const readable = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
    });
    const writable = new WritableStream<Uint8Array>({
      write: (bytes) => {
        this.received += new TextDecoder("latin1").decode(bytes);
      },
    });
    this.serial = [{ readable, writable }];
  }

  print(text: string): void {
    this.#controller.enqueue(new TextEncoder().encode(text));
  }

  finish(end: MachineEnd): void {
    if (this.state === "ended") return;
    this.state = "ended";
    this.#controller.close();
    this.#end(end);
  }

  emit<E extends keyof MachineEvents>(event: E, ...args: Parameters<MachineEvents[E]>): void {
    (this.#listeners.get(event) as ((...args: unknown[]) => void) | undefined)?.(...args);
  }

  on<E extends keyof MachineEvents>(event: E, listener: MachineEvents[E]): () => void {
    this.#listeners.set(event, listener);
    return () => this.#listeners.delete(event);
  }

  async start() {
    this.calls.push("start");
    this.state = "running";
    this.onStart(this);
  }
  async pause() {
    this.calls.push("pause");
  }
  async resume() {
    this.calls.push("resume");
  }
  async reset() {
    this.calls.push("reset");
  }
  async powerButton() {
    this.calls.push("powerButton");
  }
  async powerOff() {
    this.finish({ reason: "poweroff" });
  }
  async destroy() {
    this.calls.push("destroy");
    this.finish({ reason: "destroyed" });
  }
  async saveState() {
    return new Uint8Array();
  }
  async loadState() {}
  async statistics() {
    return { instructions: 2_000_000, busyMilliseconds: 10, resets: 0 };
  }
}
