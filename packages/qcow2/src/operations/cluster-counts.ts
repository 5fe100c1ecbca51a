/** Sparse counters, so that references to far places cost no memory. */
export class ClusterCounts {
  static readonly #CHUNK = 8192;
  readonly #chunks = new Map<number, Uint32Array>();
  /** One more than the greatest index that was counted. */
  end = 0;

  get(cluster: number): number {
    return this.#chunks.get(Math.floor(cluster / ClusterCounts.#CHUNK))?.[cluster % ClusterCounts.#CHUNK] ?? 0;
  }

  add(cluster: number): void {
    const index = Math.floor(cluster / ClusterCounts.#CHUNK);
    let chunk = this.#chunks.get(index);
    if (chunk === undefined) {
      chunk = new Uint32Array(ClusterCounts.#CHUNK);
      this.#chunks.set(index, chunk);
    }
    chunk[cluster % ClusterCounts.#CHUNK]++;
    if (cluster >= this.end) this.end = cluster + 1;
  }

  /** Indexes with a count, ascending. */
  *used(): Generator<number> {
    for (const index of [...this.#chunks.keys()].sort((a, b) => a - b)) {
      const chunk = this.#chunks.get(index)!;
      for (let i = 0; i < chunk.length; i++) if (chunk[i] > 0) yield index * ClusterCounts.#CHUNK + i;
    }
  }
}
