import type { Event, Recorder } from "./recorder.js";
import { ScratchFile } from "./scratch-file.js";
import { type Effort, type Epoch, epochs, type Piece, prefixes, reorderings } from "./states.js";

/** Applies part of an event. */
export function apply(file: ScratchFile, { event, from, to }: Piece): void {
  if (event.kind === "write") file.write(event.data!.subarray(from, to), event.offset + from);
  else if (event.kind === "truncate") file.truncate(event.offset);
  else file.punchHole(event.offset + from, to - from);
}

/** The whole of an event. */
export const all = (event: Event): Piece => ({ event, from: 0, to: event.length });

/** The moment of the last change of which something is there. */
export function latestOf(epoch: Epoch, pieces: readonly Piece[]): number {
  return pieces.reduce((last, { event }) => Math.max(last, event.issued), epoch.start);
}

export interface LossPlan extends Effort {
  readonly next: (limit: number) => number;
  /** What the files held when the recording began. */
  readonly initial: readonly (Uint8Array | undefined)[];
  /** Power is not lost before this moment. */
  readonly born: number;
  /** Every how manieth state is examined (default 1: all). */
  readonly stride?: number;
}

/**
 * Shows `examine` the files as power loss at each moment of a recording may leave them, equal ones once between two
 * flushes. It may write to them. Returns how many states there were.
 */
export async function losePower(
  recorder: Recorder,
  plan: LossPlan,
  examine: (files: readonly ScratchFile[], epoch: Epoch, latest: number) => Promise<void>,
): Promise<number> {
  const files = recorder.files.map(({ name }) => new ScratchFile(name));
  plan.initial.forEach((content, i) => {
    if (content !== undefined) files[i].write(content, 0);
  });
  let count = 0;
  let index = 0;
  for (const epoch of epochs(recorder, plan.born)) {
    for (const event of epoch.settled) apply(files[event.file], all(event));
    const seen = new Set<string>();
    for (const states of [prefixes(epoch), reorderings(epoch, plan, plan.next)]) {
      for (const pieces of states) {
        for (const file of files) file.mark();
        for (const piece of pieces) apply(files[piece.event.file], piece);
        const latest = latestOf(epoch, pieces);
        const key = `${latest}:${files.map((file) => file.fingerprint()).join(":")}`;
        if (!seen.has(key) && index++ % (plan.stride ?? 1) === 0) {
          count++;
          await examine(files, epoch, latest);
        }
        seen.add(key);
        for (const file of files) file.restore();
      }
    }
  }
  return count;
}
