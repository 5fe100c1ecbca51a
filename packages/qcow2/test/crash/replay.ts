import { random } from "../support.js";
import { openImages } from "./configurations.js";
import { BrokenPromise, examine, type Moment } from "./examine.js";
import { all, apply, latestOf, losePower } from "./lose-power.js";
import { type Event, Recorder } from "./recorder.js";
import { ScratchFile } from "./scratch-file.js";
import { type Effort, type Epoch, epochs, type Piece, prefixes, reorderings } from "./states.js";
import type { Recording } from "./workload.js";

/** How much is done with one recording. */
export interface Plan extends Effort {
  /** About so many different states in other orders than that of the writes, spread over the epochs. */
  readonly states: number;
  /** Of how many states one is written on; of how many the snapshots are read. */
  readonly goOnEvery: number;
  readonly snapshotsEvery: number;
  /** Of how many states one loses power again while it is opened and repaired. */
  readonly recoverEvery: number;
  /** Of how many states one is shown to `inspect`. */
  readonly inspectEvery: number;
  readonly inspect: (files: readonly ScratchFile[], moment: Moment, snapshots: boolean) => Promise<void>;
}

/** Examines the states that power loss may leave of a recording; equal ones once. Returns how many there were. */
export async function replay(recording: Recording, seed: number, plan: Plan): Promise<number> {
  return new Replay(recording, random(seed + 99), plan).run();
}

class Replay {
  readonly #recording: Recording;
  readonly #next: (limit: number) => number;
  readonly #plan: Plan;
  readonly #seen = new Set<string>();
  /** States of images that lost power a second time. */
  #again = 0;

  constructor(recording: Recording, next: (limit: number) => number, plan: Plan) {
    this.#recording = recording;
    this.#next = next;
    this.#plan = plan;
  }

  async run(): Promise<number> {
    const { recorder, born, configuration } = this.#recording;
    const list = [...epochs(recorder, born)];
    // Twice through the log: first every prefix, however many there are, then what has to be limited.
    const files = this.#emptyFiles();
    const stride = configuration.stride ?? 1;
    let index = 0;
    for (const epoch of list) {
      for (const pieces of this.#enter(files, epoch, prefixes(epoch))) {
        if (index++ % stride === 0) await this.#state(files, epoch, pieces);
      }
    }
    const again = this.#emptyFiles();
    let budget = this.#plan.states;
    for (const [index, epoch] of list.entries()) {
      // Epochs with many changes get what those with few leave.
      const limit = this.#seen.size + Math.ceil((3 * budget) / (list.length - index));
      const before = this.#seen.size;
      for (const pieces of this.#enter(again, epoch, reorderings(epoch, this.#plan, this.#next))) {
        if (this.#seen.size >= limit) break;
        await this.#state(again, epoch, pieces);
      }
      budget -= this.#seen.size - before;
    }
    return this.#seen.size + this.#again;
  }

  #emptyFiles(): ScratchFile[] {
    return this.#recording.recorder.files.map(({ name }) => new ScratchFile(name));
  }

  #enter<T>(files: readonly ScratchFile[], epoch: Epoch, states: T): T {
    for (const event of epoch.settled) apply(files[event.file], all(event));
    return states;
  }

  async #state(files: readonly ScratchFile[], epoch: Epoch, pieces: readonly Piece[]): Promise<void> {
    const { model, baseModel } = this.#recording;
    const latest = latestOf(epoch, pieces);
    const moment = { floor: model.floor(epoch.end), baseFloor: baseModel?.floor(epoch.end) ?? 0, latest };
    for (const file of files) file.mark();
    for (const piece of pieces) apply(files[piece.event.file], piece);
    const key = `${moment.floor}:${moment.baseFloor}:${files.map((file) => file.fingerprint()).join(":")}`;
    if (!this.#seen.has(key)) {
      this.#seen.add(key);
      try {
        await this.#examine(files, moment);
      } catch (error) {
        throw new BrokenPromise(describe(error, this.#recording, pieces, epoch, moment), { cause: error });
      }
    }
    for (const file of files) file.restore();
  }

  async #examine(files: readonly ScratchFile[], moment: Moment): Promise<void> {
    const { model } = this.#recording;
    const count = this.#seen.size;
    const plan = this.#plan;
    if (count % plan.inspectEvery === 0) {
      await plan.inspect(files, moment, model.snapshots.length > 1);
    }
    if (count % plan.recoverEvery === 0) await this.#loseAgain(files, moment);
    const depth = { snapshots: count % plan.snapshotsEvery === 0, goOn: count % plan.goOnEvery === 0 };
    await examine(this.#recording, files, moment, depth);
  }

  /** Opens and repairs the images, and examines what is left when power is lost in the middle of that. */
  async #loseAgain(files: readonly ScratchFile[], moment: Moment): Promise<void> {
    const contents = files.map((file) => file.bytes());
    const recorder = new Recorder(contents, this.#next);
    const { image, base } = await openImages(this.#recording.configuration, recorder.files);
    await base?.check({ repair: "leaks" });
    await image.check({ repair: "leaks" });
    const plan = { initial: contents, born: 0, next: this.#next, exhaustive: 3, samples: 3, pairs: 0 };
    this.#again += await losePower(recorder, plan, (scratch) =>
      examine(this.#recording, scratch, moment, { snapshots: false, goOn: false }),
    );
  }
}

function describe(
  error: unknown,
  { steps }: Recording,
  pieces: readonly Piece[],
  epoch: Epoch,
  moment: Moment,
): string {
  const text = (event: Event): string => {
    const own = pieces.filter((piece) => piece.event === event);
    const bytes = own.reduce((sum, { from, to }) => sum + to - from, 0);
    const parts = own.map(({ from, to }) => `${from}-${to}`).join(" ");
    const there = own.length === 0 ? "lost" : bytes === event.length ? "there" : parts;
    return `  ${event.issued}: file ${event.file} ${event.kind} 0x${event.offset.toString(16)}+${event.length}: ${there}`;
  };
  return [
    error instanceof Error ? `${error.name}: ${error.message}` : String(error),
    `epoch ${epoch.start} to ${epoch.end}, flush ${moment.floor} returned; of the changes since then:`,
    ...epoch.open.map(text),
    "steps (with the moment when each began):",
    ...steps.filter(({ from }) => from <= epoch.end).map((step) => `  ${step.from}: ${step.text}`),
  ].join("\n");
}
