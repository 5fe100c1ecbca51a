import type { Executor } from "../cpu/executor.js";
import type { RecordArena } from "../decode/records.js";
import { RECORD_SIZE } from "../state/layout.js";
import { type Block, BlockEmitter } from "./block-emitter.js";

/** Compiled blocks at most; then all are dropped. Each is a module of its own. */
const MAX_BLOCKS = 2000;

/** Executes everything as emitted blocks, each compiled when it is first reached. */
export class BlockTier implements Executor {
  readonly #emitter: BlockEmitter;
  /** By first record. */
  readonly #blocks = new Map<number, Block>();

  constructor(arena: RecordArena, numbers: Uint16Array, imports: WebAssembly.ModuleImports) {
    this.#emitter = new BlockEmitter(arena, numbers, imports);
    arena.dropped = (start, end) => this.#drop(start, end);
  }

  run(first: number): void {
    for (let record = first; record !== 0; ) {
      let block = this.#blocks.get(record);
      if (!block) {
        if (this.#blocks.size >= MAX_BLOCKS) this.#blocks.clear();
        block = this.#emitter.compile(record);
        this.#blocks.set(record, block);
      }
      record = block();
    }
  }

  #drop(start: number, end: number): void {
    if ((end - start) / RECORD_SIZE > this.#blocks.size) {
      for (const record of this.#blocks.keys()) if (record >= start && record < end) this.#blocks.delete(record);
    } else {
      for (let record = start; record < end; record += RECORD_SIZE) this.#blocks.delete(record);
    }
  }
}
