/** Sparse counters of references to clusters, so that references to far places cost no memory. */
export class ClusterCounts {
  static readonly #CHUNK = 8192;
  readonly #chunks = new Map<number, Uint32Array>();
  /** One more than the greatest index that was counted. */
  end = 0;

  /** @param max what a refcount can say; counters stay at it. */
  constructor(readonly max: number) {}

  get(cluster: number): number {
    return this.#chunks.get(Math.floor(cluster / ClusterCounts.#CHUNK))?.[cluster % ClusterCounts.#CHUNK] ?? 0;
  }

  /** Counts `times` references. Returns how many of them the counter could not take. */
  add(cluster: number, times = 1): number {
    const index = Math.floor(cluster / ClusterCounts.#CHUNK);
    let chunk = this.#chunks.get(index);
    if (chunk === undefined) {
      chunk = new Uint32Array(ClusterCounts.#CHUNK);
      this.#chunks.set(index, chunk);
    }
    if (cluster >= this.end) this.end = cluster + 1;
    const at = cluster % ClusterCounts.#CHUNK;
    const wanted = chunk[at] + times;
    chunk[at] = Math.min(wanted, this.max, 0xffff_ffff);
    return wanted - chunk[at];
  }

  clone(): ClusterCounts {
    const copy = new ClusterCounts(this.max);
    for (const [index, chunk] of this.#chunks) copy.#chunks.set(index, chunk.slice());
    copy.end = this.end;
    return copy;
  }

  /** Indexes with a count, ascending. */
  *used(): Generator<number> {
    for (const index of [...this.#chunks.keys()].sort((a, b) => a - b)) {
      const chunk = this.#chunks.get(index)!;
      for (let i = 0; i < chunk.length; i++) if (chunk[i] > 0) yield index * ClusterCounts.#CHUNK + i;
    }
  }
}
