/**
 * What a disk may hold after a power loss. Every sector has a history of values; a flush that returned says how much
 * of each history is certain. A value is one number that fills the sector.
 */
export class Model {
  readonly history: { from: number; value: number }[][];
  readonly sizes: { from: number; sectors: number }[];
  readonly snapshots: { from: number; list: SnapshotState[] }[];
  readonly bitmaps: { from: number; list: BitmapState[] }[];
  readonly flushed: Floor[] = [];

  /** @param initial value of every sector the disk may ever have */
  constructor(initial: readonly number[], sectors: number, moment: number) {
    this.history = initial.map((value) => [{ from: moment, value }]);
    this.sizes = [{ from: moment, sectors }];
    this.snapshots = [{ from: moment, list: [] }];
    this.bitmaps = [{ from: moment, list: [] }];
    this.flush(this.completed(), moment);
  }

  get sectors(): number {
    return this.sizes.at(-1)!.sectors;
  }

  get currentSnapshots(): SnapshotState[] {
    return this.snapshots.at(-1)!.list;
  }

  get currentBitmaps(): BitmapState[] {
    return this.bitmaps.at(-1)!.list;
  }

  /** Present values of all sectors, also of those behind the end. */
  current(): number[] {
    return this.history.map((list) => list.at(-1)!.value);
  }

  set(sector: number, value: number, moment: number): void {
    this.history[sector].push({ from: moment, value });
  }

  /** How much has been done by now; for a flush that starts. */
  completed(): Progress {
    return {
      lengths: this.history.map((list) => list.length),
      sizes: this.sizes.length,
      snapshots: this.snapshots.length,
      bitmaps: this.bitmaps.length,
    };
  }

  /** A flush that began at `progress` has returned. */
  flush(progress: Progress, moment: number): void {
    this.flushed.push({ ...progress, moment });
  }

  /** The last flush that returned before `moment`; -1 when there is none. */
  floor(moment: number): number {
    let index = this.flushed.length - 1;
    while (index >= 0 && this.flushed[index].moment >= moment) index--;
    return index;
  }

  /** Whether a sector may hold `value` when everything up to `floor` is there, and nothing that began after `moment`. */
  allows(sector: number, value: number, floor: number, moment: number): boolean {
    const list = this.history[sector];
    for (let i = this.flushed[floor].lengths[sector] - 1; i < list.length && list[i].from <= moment; i++) {
      if (list[i].value === value) return true;
    }
    return false;
  }

  allowed(sector: number, floor: number, moment: number): number[] {
    const first = this.flushed[floor].lengths[sector] - 1;
    return this.history[sector]
      .slice(first)
      .filter(({ from }, i) => i === 0 || from <= moment)
      .map(({ value }) => value);
  }

  /** The states of a list (sizes, snapshots, bitmaps) that are possible. */
  possible<T extends { from: number }>(list: readonly T[], certain: number, moment: number): T[] {
    return list.slice(certain - 1).filter(({ from }, i) => i === 0 || from <= moment);
  }
}

export interface Progress {
  readonly lengths: readonly number[];
  readonly sizes: number;
  readonly snapshots: number;
  readonly bitmaps: number;
}

export interface Floor extends Progress {
  readonly moment: number;
}

export interface SnapshotState {
  readonly id: string;
  readonly sectors: number;
  readonly values: readonly number[];
  /** Sectors of machine state. */
  readonly state: readonly number[];
}

export interface BitmapState {
  readonly name: string;
  readonly enabled: boolean;
  /** How long the history of each sector was when the bitmap was created or cleared; later changes are marked. */
  readonly since: readonly number[];
  /** Sectors whose changes it missed because it was switched off. */
  readonly missed: ReadonlySet<number>;
}
