/** Deflate window of 4 KiB: readers of qcow2 inflate with this size. */
export const WINDOW_BITS = 12;
