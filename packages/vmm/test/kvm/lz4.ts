/**
 * Unpacks LZ4's legacy frame, in which Debian compresses its cloud kernel (lz4_Frame_format.md, "Legacy frame";
 * lz4_Block_format.md).
 */
export function unpackLegacyLz4(input: Uint8Array, size: number): Uint8Array {
  const view = new DataView(input.buffer, input.byteOffset, input.length);
  const output = new Uint8Array(size);
  let to = 0;
  for (let at = 4; at + 4 < input.length; ) {
    const end = at + 4 + view.getUint32(at, true);
    to = unpackBlock(input.subarray(at + 4, end), output, to);
    at = end;
  }
  if (to !== size) throw new Error(`${to} bytes unpacked, not ${size}`);
  return output;
}

function unpackBlock(input: Uint8Array, output: Uint8Array, start: number): number {
  let at = 0;
  let to = start;
  /** A length of which 15 means that further bytes follow. */
  const extended = (length: number) => {
    let total = length;
    if (length !== 15) return total;
    for (;;) {
      const byte = input[at++];
      total += byte;
      if (byte !== 255) return total;
    }
  };
  while (at < input.length) {
    const token = input[at++];
    const literals = extended(token >> 4);
    output.set(input.subarray(at, at + literals), to);
    at += literals;
    to += literals;
    if (at >= input.length) break;
    const distance = input[at] | (input[at + 1] << 8);
    at += 2;
    const length = extended(token & 15) + 4;
    // Byte by byte: a match may overlap what it produces.
    for (let index = 0; index < length; index++, to++) output[to] = output[to - distance];
  }
  return to;
}
