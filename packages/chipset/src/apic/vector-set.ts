/** 256 bits, one per vector, as eight words: the layout of IRR, ISR and TMR. */
export type VectorSet = number[];

export function emptyVectorSet(): VectorSet {
  return [0, 0, 0, 0, 0, 0, 0, 0];
}

export function addVector(set: VectorSet, vector: number): void {
  set[vector >> 5] |= 1 << (vector & 31);
}

export function removeVector(set: VectorSet, vector: number): void {
  set[vector >> 5] &= ~(1 << (vector & 31));
}

export function hasVector(set: VectorSet, vector: number): boolean {
  return ((set[vector >> 5] >>> (vector & 31)) & 1) !== 0;
}

/** The highest vector in the set, -1 when it is empty. */
export function highestVector(set: VectorSet): number {
  for (let word = 7; word >= 0; word--) {
    if (set[word] !== 0) return word * 32 + 31 - Math.clz32(set[word]);
  }
  return -1;
}
