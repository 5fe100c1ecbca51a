/** Whether all bytes are zero. */
export function isZero(data: Uint8Array): boolean {
  let at = 0;
  const end = data.length;
  while (at < end && (data.byteOffset + at) % 4 !== 0) if (data[at++] !== 0) return false;
  const words = new Uint32Array(data.buffer, data.byteOffset + at, (end - at) >> 2);
  const whole = words.length - (words.length % 8);
  let i = 0;
  for (; i < whole; i += 8) {
    const any =
      words[i] | words[i + 1] | words[i + 2] | words[i + 3] | words[i + 4] | words[i + 5] | words[i + 6] | words[i + 7];
    if (any !== 0) return false;
  }
  for (; i < words.length; i++) if (words[i] !== 0) return false;
  for (at += words.length * 4; at < end; at++) if (data[at] !== 0) return false;
  return true;
}

/** Splits data into runs of zeros and others, in units of `unit` bytes. */
export function zeroRuns(data: Uint8Array, unit: number): { start: number; end: number; zero: boolean }[] {
  const runs: { start: number; end: number; zero: boolean }[] = [];
  for (let start = 0; start < data.length; start += unit) {
    const end = Math.min(data.length, start + unit);
    // Most data show in their first bytes that they are none.
    const zero = data[start] === 0 && data[start + 1] === 0 && isZero(data.subarray(start, end));
    const last = runs.at(-1);
    if (last !== undefined && last.zero === zero) last.end = end;
    else runs.push({ start, end, zero });
  }
  return runs;
}
