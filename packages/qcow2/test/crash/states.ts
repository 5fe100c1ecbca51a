import type { Event, Recorder } from "./recorder.js";
import { SECTOR } from "./scratch-file.js";

/** A part of an event that reached the disk: bytes of a write or of a punched hole; the whole of a truncation. */
export interface Piece {
  readonly event: Event;
  readonly from: number;
  readonly to: number;
}

/** The time between two flushes that completed. */
export interface Epoch {
  readonly start: number;
  readonly end: number;
  /** Changes that became certain when it began, in the order of issue. */
  readonly settled: readonly Event[];
  /** Changes of which any part may be on the disk. */
  readonly open: readonly Event[];
}

/** Splits a log at its completed flushes. */
export function* epochs(recorder: Recorder, born: number): Generator<Epoch> {
  const flushes = recorder.events
    .filter(({ kind, done }) => kind === "flush" && done > born)
    .sort((a, b) => a.done - b.done);
  let waiting = recorder.events.filter(({ kind }) => kind !== "flush");
  /** For each file, everything that was done before this moment is certain. */
  const certain = new Map<number, number>();
  const starts = [born, ...flushes.map(({ done }) => done)];
  for (const [index, start] of starts.entries()) {
    const end = starts[index + 1] ?? Number.POSITIVE_INFINITY;
    const flush = flushes[index - 1];
    if (flush !== undefined) certain.set(flush.file, Math.max(certain.get(flush.file) ?? 0, flush.issued));
    const isSettled = ({ file, done }: Event): boolean => done <= Math.max(born, certain.get(file) ?? 0);
    const settled = waiting.filter(isSettled);
    waiting = waiting.filter((event) => !isSettled(event));
    yield { start, end, settled, open: waiting.filter(({ issued }) => issued < end) };
  }
}

export interface Effort {
  /** All subsets are enumerated when there are at most two to this power. */
  readonly exhaustive: number;
  /** Random subsets of changes, and of sectors, for each epoch that has more. */
  readonly samples: number;
  /** All pairs are enumerated for at most this many changes. */
  readonly pairs: number;
}

const whole = (event: Event): Piece => ({ event, from: 0, to: event.length });

/** The pieces of an event that the disk writes at once. */
function sectorsOf(event: Event): Piece[] {
  if (event.kind === "truncate") return [whole(event)];
  const pieces: Piece[] = [];
  for (let at = 0; at < event.length; ) {
    const to = Math.min(event.length, at + SECTOR - ((event.offset + at) % SECTOR));
    pieces.push({ event, from: at, to });
    at = to;
  }
  return pieces;
}

/** Every moment of the epoch: all changes up to it, the last one also torn at every sector. */
export function* prefixes({ open }: Epoch): Generator<Piece[]> {
  for (let count = 0; count <= open.length; count++) {
    const list = open.slice(0, count).map(whole);
    yield list;
    if (count === open.length) continue;
    const sectors = sectorsOf(open[count]);
    const stride = Math.max(1, Math.floor(sectors.length / 8));
    for (let torn = 1; torn < sectors.length; torn += stride) yield [...list, ...sectors.slice(0, torn)];
  }
}

/** What the disk may have made of the changes in another order than that of the writes: all of it, or samples. */
export function* reorderings({ open }: Epoch, effort: Effort, next: (limit: number) => number): Generator<Piece[]> {
  const events = open.map(whole);
  const sectors = open.flatMap(sectorsOf);
  const units = sectors.length <= effort.exhaustive ? sectors : events;
  if (units.length <= effort.exhaustive) {
    for (let mask = 0; mask < 2 ** units.length; mask++) yield units.filter((_, i) => ((mask >>> i) & 1) !== 0);
  } else {
    yield* singlesAndPairs(units, effort, next);
    for (let i = 0; i < effort.samples; i++) yield randomSubset(units, next);
  }
  // Overlapping changes in the wrong order.
  yield [...events].reverse();
  if (units === sectors) return;
  for (const event of open) {
    const own = sectorsOf(event);
    if (own.length < 2) continue;
    const others = events.filter((piece) => piece.event !== event);
    const rests = [others, [], randomSubset(others, next)];
    const half = own.length >> 1;
    const kept = [own.slice(half), own.filter((_, i) => i % 2 === 0), own.filter((_, i) => i % 2 === 1)];
    const stride = Math.max(1, Math.floor(own.length / 8));
    for (let i = next(stride); i < own.length; i += stride) kept.push([own[i]], own.toSpliced(i, 1));
    for (const part of kept) for (const rest of rests) yield inOrder([...rest, ...part]);
  }
  for (let i = 0; i < effort.samples; i++) yield randomSubset(sectors, next);
}

function* singlesAndPairs(units: Piece[], effort: Effort, next: (limit: number) => number): Generator<Piece[]> {
  for (let i = 0; i < units.length; i++) {
    yield [units[i]];
    yield units.toSpliced(i, 1);
  }
  const pairs: [number, number][] = [];
  if (units.length <= effort.pairs) {
    for (let i = 0; i < units.length; i++) for (let j = 0; j < i; j++) pairs.push([j, i]);
  } else {
    // Neighbours are what the code means to order; of the others, each has one partner.
    for (let i = 1; i < units.length; i++) pairs.push([i - 1, i]);
    for (let i = 0; i < units.length; i++) pairs.push([next(units.length), i]);
  }
  for (const [a, b] of pairs) {
    yield a === b ? [units[a]] : [units[a], units[b]];
    yield units.filter((_, i) => i !== a && i !== b);
  }
}

/** Dense, sparse or even. */
function randomSubset(pieces: Piece[], next: (limit: number) => number): Piece[] {
  const share = [1, 4, 7][next(3)];
  return pieces.filter(() => next(8) < share);
}

function inOrder(pieces: Piece[]): Piece[] {
  return pieces.sort((a, b) => a.event.issued - b.event.issued || a.from - b.from);
}
