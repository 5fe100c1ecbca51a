import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { loadZstd } from "../compress/zstd.js";
import type { ClusterCodec } from "../platform.js";

/** QEMU compresses with the library's default. */
const LEVEL = 3;

/** Runs in each worker. It is text, so that it needs no file of its own wherever this package is bundled. */
const WORKER = `
const { parentPort, workerData } = require("node:worker_threads");
const zstd = require(workerData);
zstd.isLoaded.then(() => {
  parentPort.on("message", ({ id, cluster }) => {
    try {
      // A copy of its own: small results lie in a buffer that others share.
      const packed = new Uint8Array(zstd.compress(cluster, ${LEVEL}));
      parentPort.postMessage({ id, packed }, [packed.buffer]);
    } catch (error) {
      parentPort.postMessage({ id, error: String(error) });
    }
  });
});
`;

interface Job {
  resolve(packed: Uint8Array): void;
  reject(error: Error): void;
}

interface Reply {
  readonly id: number;
  readonly packed?: Uint8Array;
  readonly error?: string;
}

/** A worker and what it has been asked for. It keeps the process alive only while a job is under way. */
class ZstdWorker {
  readonly jobs = new Map<number, Job>();
  readonly #worker: Worker;
  #next = 0;

  constructor() {
    const module = createRequire(import.meta.url).resolve("@foxglove/wasm-zstd");
    this.#worker = new Worker(WORKER, { eval: true, workerData: module, name: "zstd" });
    this.#worker.unref();
    this.#worker.on("message", ({ id, packed, error }: Reply) => {
      const job = this.jobs.get(id)!;
      this.jobs.delete(id);
      if (this.jobs.size === 0) this.#worker.unref();
      if (packed === undefined) job.reject(new Error(error));
      else job.resolve(packed);
    });
    this.#worker.on("error", (error: Error) => {
      workers.splice(workers.indexOf(this), 1);
      for (const job of this.jobs.values()) job.reject(error);
      this.jobs.clear();
    });
  }

  compress(cluster: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.jobs.set(id, { resolve, reject });
      this.#worker.ref();
      // The caller keeps its buffer; the copy moves to the worker without another one.
      const copy = cluster.slice();
      this.#worker.postMessage({ id, cluster: copy }, [copy.buffer]);
    });
  }
}

const workers: ZstdWorker[] = [];

/** The least busy worker, or a new one while all are busy and there are processors left. */
function pick(): ZstdWorker {
  let best: ZstdWorker | undefined;
  for (const worker of workers) if (best === undefined || worker.jobs.size < best.jobs.size) best = worker;
  if (best !== undefined && (best.jobs.size === 0 || workers.length >= availableParallelism())) return best;
  const worker = new ZstdWorker();
  workers.push(worker);
  return worker;
}

/**
 * zstd with compression in worker threads, by a build that is quicker than the portable one but not for browsers. (The zstd
 * of newer versions of Node sets up a stream for each cluster, which takes longer than this.) Decompression is quick
 * enough to be done at once.
 */
export async function loadZstdPool(): Promise<ClusterCodec> {
  const { decompress } = await loadZstd();
  return {
    async compress(cluster, limit) {
      const packed = await pick().compress(cluster);
      return packed.length < limit ? packed : undefined;
    },
    decompress,
  };
}
