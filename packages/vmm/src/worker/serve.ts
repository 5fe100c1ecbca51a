import { type MachineConfig, type MachineEnd, MachineError, type MachineStatistics } from "../api.js";
import type { Engine, EngineEvents, Rest } from "../machine/engine.js";
import { loadMachineState, saveMachine } from "../saved-state/index.js";
import type { Answer, Endpoint, EngineChoice, Failure, Report, Request } from "./protocol.js";

/**
 * Makes the machine of a configuration with an engine that this environment has.
 * @throws MachineError
 */
export type MakeEngine = (config: MachineConfig, events: EngineEvents) => EngineChoice & { engine: Engine };

/** Milliseconds that the guest runs before messages get their turn. */
const TURN = 4;
/** The longest a timer of the host is set for. */
const LONGEST_REST = 1000;

/**
 * Lets waiting messages be handled; much faster than a timer. Node has `setImmediate` for it: there, a port that sends
 * to itself would be served a thousand times before any other.
 */
class Turn {
  readonly #channel = typeof setImmediate === "function" ? undefined : new MessageChannel();
  next(): Promise<void> {
    return new Promise((resolve) => {
      if (!this.#channel) {
        setImmediate(resolve);
        return;
      }
      this.#channel.port1.onmessage = () => resolve();
      this.#channel.port2.postMessage(0);
    });
  }
}

/** Runs one machine in this thread, driven by messages. */
export function serve(endpoint: Endpoint<Report, Request>, makeEngine: MakeEngine): void {
  new Server(endpoint, makeEngine);
}

class Server {
  #machine: Engine | undefined;
  #config: MachineConfig | undefined;
  #running = false;
  #looping = false;
  #wake: (() => void) | undefined;
  #debug: number[] = [];
  readonly #turn = new Turn();

  constructor(
    readonly endpoint: Endpoint<Report, Request>,
    readonly makeEngine: MakeEngine,
  ) {
    endpoint.listen((request) => this.#handle(request));
  }

  #handle(request: Request): void {
    if (request.type === "create") return this.#create(request.config);
    const machine = this.#machine;
    if (!machine) return;
    switch (request.type) {
      case "start":
      case "resume":
        machine.resume();
        this.#running = true;
        this.#done(request.id);
        void this.#loop();
        return;
      case "pause":
        this.#running = false;
        machine.pause();
        this.#wakeUp();
        return this.#done(request.id);
      case "reset":
        try {
          machine.reset();
        } catch (error) {
          machine.finish(describe(error));
        }
        this.#wakeUp();
        return this.#done(request.id);
      case "powerButton":
        machine.platform.power.pressPowerButton();
        this.#wakeUp();
        return this.#done(request.id);
      case "powerOff":
        machine.finish({ reason: "poweroff" });
        if (this.#looping) this.#wakeUp();
        else this.#finish(machine);
        return this.#done(request.id);
      case "statistics":
        return this.#done(request.id, { statistics: statistics(machine) });
      case "save":
        return this.#attempt(request.id, machine, () => ({ state: saveMachine(machine, this.#config!) }));
      case "load":
        return this.#attempt(request.id, machine, () => {
          loadMachineState(machine, this.#config!, request.state);
          this.#wakeUp();
          return {};
        });
      case "serialInput":
        machine.serial[request.port].send(request.bytes);
        machine.platform.uarts[request.port].resumeReceive();
        return this.#wakeUp();
      case "serialCredit":
        machine.serial[request.port].addCredit(request.bytes);
        machine.platform.uarts[request.port].resumeTransmit();
        return this.#wakeUp();
    }
  }

  #create(config: MachineConfig): void {
    try {
      const { engine, ...choice } = this.makeEngine(config, this);
      if (config.state) {
        engine.pause();
        loadMachineState(engine, config, config.state);
      }
      const { state: _, ...withoutState } = config;
      this.#config = withoutState;
      this.#machine = engine;
      this.endpoint.post({ type: "created", ...choice });
    } catch (error) {
      this.endpoint.post({ type: "failed", ...failure(error) });
    }
  }

  #done(id: number, answer: Answer = {}): void {
    this.endpoint.post({ type: "done", id, ...answer }, answer.state ? [answer.state.buffer] : []);
  }

  /** Does something while the machine stands still. */
  #attempt(id: number, machine: Engine, action: () => Answer): void {
    let answer: Answer;
    machine.pause();
    try {
      answer = action();
    } catch (error) {
      answer = { failure: failure(error) };
      if (answer.failure?.code === "internal-error") machine.finish(describe(error));
    }
    if (this.#running) machine.resume();
    // What the guest said before it was saved comes before the answer.
    this.#flush(machine);
    this.#done(id, answer);
  }

  // --- events of the machine ---

  debugConsole(byte: number): void {
    this.#debug.push(byte);
  }
  serialConsumed(port: number): void {
    this.endpoint.post({ type: "serialConsumed", port });
  }
  reset(cause: "guest" | "triple-fault"): void {
    this.endpoint.post({ type: "reset", cause });
  }

  #flush(machine: Engine): void {
    machine.serial.forEach((channel, port) => {
      const bytes = channel.takeOutput();
      if (bytes) this.endpoint.post({ type: "serialOutput", port, bytes });
    });
    if (this.#debug.length > 0) {
      this.endpoint.post({ type: "debugConsole", bytes: Uint8Array.from(this.#debug) });
      this.#debug = [];
    }
  }

  async #loop(): Promise<void> {
    const machine = this.#machine;
    if (!machine || this.#looping) return;
    this.#looping = true;
    let turnEnds = performance.now() + TURN;
    while (this.#running && !machine.end) {
      let rest: Rest;
      try {
        rest = machine.runSlice();
      } catch (error) {
        machine.finish(describe(error));
        break;
      }
      if (rest === "run" && performance.now() < turnEnds) continue;
      this.#flush(machine);
      await (typeof rest === "number" ? this.#rest(rest) : this.#turn.next());
      turnEnds = performance.now() + TURN;
    }
    this.#looping = false;
    this.#flush(machine);
    if (machine.end) this.#finish(machine);
  }

  #finish(machine: Engine): void {
    this.endpoint.post({ type: "ended", end: machine.end!, statistics: statistics(machine) });
  }

  /** Sleeps for some milliseconds, or until a message changes something. */
  #rest(milliseconds: number): Promise<void> {
    // A timer of the host is late by up to a millisecond: wake early and spin the rest in slices.
    if (milliseconds < 1) return this.#turn.next();
    return new Promise((resolve) => {
      const finish = () => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
      const timer = setTimeout(finish, Math.min(milliseconds, LONGEST_REST));
      this.#wake = finish;
    });
  }
  #wakeUp(): void {
    this.#wake?.();
  }
}

function statistics(machine: Engine): MachineStatistics {
  return {
    instructions: machine.instructions,
    busyMilliseconds: machine.busyMilliseconds,
    resets: machine.resets,
  };
}

function failure(error: unknown): Failure {
  const code = error instanceof MachineError ? error.code : "internal-error";
  return { code, message: error instanceof Error ? error.message : String(error) };
}

function describe(error: unknown): MachineEnd {
  return { reason: "internal-error", message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
}
