/** A ring of 16 bytes with a flag byte each, as plain state. */
export interface ByteFifoState {
  bytes: number[];
  flags: number[];
  head: number;
  count: number;
}

export const FIFO_SIZE = 16;

export function emptyFifo(): ByteFifoState {
  return {
    bytes: new Array<number>(FIFO_SIZE).fill(0),
    flags: new Array<number>(FIFO_SIZE).fill(0),
    head: 0,
    count: 0,
  };
}

/** Appends; the caller has checked that there is room. */
export function pushByte(fifo: ByteFifoState, byte: number, flags: number): void {
  const at = (fifo.head + fifo.count) & (FIFO_SIZE - 1);
  fifo.bytes[at] = byte;
  fifo.flags[at] = flags;
  fifo.count++;
}

/** Drops the oldest byte. */
export function dropByte(fifo: ByteFifoState): void {
  if (fifo.count === 0) return;
  fifo.head = (fifo.head + 1) & (FIFO_SIZE - 1);
  fifo.count--;
}

export function clearFifo(fifo: ByteFifoState): void {
  fifo.head = 0;
  fifo.count = 0;
}

/** Whether any byte in it carries one of these flags. */
export function anyFlag(fifo: ByteFifoState, mask: number): boolean {
  for (let i = 0; i < fifo.count; i++) if (fifo.flags[(fifo.head + i) & (FIFO_SIZE - 1)] & mask) return true;
  return false;
}

/** Brings the indices of a loaded state into range. */
export function repairFifo(fifo: ByteFifoState): void {
  fifo.head &= FIFO_SIZE - 1;
  fifo.count = Math.min(Math.max(0, fifo.count | 0), FIFO_SIZE);
}
