import type { Ports } from "../bus/ports.js";
import type { PortDevice } from "../interfaces.js";

/** Where Bochs and QEMU have their debug console; reads give the port number, by which firmware detects it. */
export const DEBUG_CONSOLE_PORT = 0xe9;

/** A console of one port for firmware and bare-metal programs. It has no state. */
export class DebugConsole implements PortDevice {
  readonly #output: (byte: number) => void;

  constructor(output: (byte: number) => void) {
    this.#output = output;
  }

  attach(ports: Ports, port = DEBUG_CONSOLE_PORT): void {
    ports.add(port, 1, this, { name: "debug console" });
  }

  readPort(): number {
    return 0xe9;
  }

  writePort(_port: number, _size: number, value: number): void {
    this.#output(value);
  }
}

/** Default base of QEMU's `isa-debug-exit`. */
export const DEBUG_EXIT_PORT = 0xf4;

/** QEMU's `isa-debug-exit`: a write ends the machine with exit status `value * 2 + 1`. It has no state. */
export class DebugExit implements PortDevice {
  readonly #exit: (status: number) => void;

  constructor(exit: (status: number) => void) {
    this.#exit = exit;
  }

  attach(ports: Ports, port = DEBUG_EXIT_PORT, length = 4): void {
    ports.add(port, length, this, { width: 4, name: "isa-debug-exit" });
  }

  readPort(): number {
    return 0;
  }

  writePort(_port: number, _size: number, value: number): void {
    this.#exit(((value << 1) | 1) >>> 0);
  }
}
