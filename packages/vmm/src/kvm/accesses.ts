import type { MmioBus, Ports } from "@softmetal/chipset";

/** Access sizes that buses know. */
type Size = 1 | 2 | 4;

function read(bytes: Uint8Array, at: number, size: number): number {
  let value = 0;
  for (let index = size - 1; index >= 0; index--) value = value * 256 + bytes[at + index];
  return value;
}
function write(bytes: Uint8Array, at: number, size: number, value: number): void {
  for (let index = 0; index < size; index++) bytes[at + index] = value >>> (index * 8);
}

/** Carries out the port accesses of one exit, several for string instructions; `bytes` holds the data of all. */
export function accessPorts(ports: Ports, out: boolean, port: number, size: number, bytes: Uint8Array): void {
  for (let at = 0; at + size <= bytes.length; at += size) {
    if (out) ports.writePort(port, size, read(bytes, at, size));
    else write(bytes, at, size, ports.readPort(port, size));
  }
}

/** Carries out a memory access of 1 to 8 bytes that is not to RAM, in the largest pieces that buses take. */
export function accessMmio(mmio: MmioBus, isWrite: boolean, address: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) {
    const left = bytes.length - at;
    const size: Size = left >= 4 ? 4 : left >= 2 ? 2 : 1;
    if (isWrite) mmio.write(address + at, size, read(bytes, at, size));
    else write(bytes, at, size, mmio.read(address + at, size));
    at += size;
  }
}
