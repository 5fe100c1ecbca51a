import type { InterpreterCode } from "../cpu/cpu.js";
import { MODULE, NUMBERS } from "../generated/interpreter.js";

function bytes(base64: string): Uint8Array<ArrayBuffer> {
  const text = atob(base64);
  const result = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) result[index] = text.charCodeAt(index);
  return result;
}

let loaded: InterpreterCode | undefined;

/** Compiles the interpreter that was generated when the package was built; all CPUs of a thread share it. */
export function loadInterpreter(): InterpreterCode {
  loaded ??= {
    module: new WebAssembly.Module(bytes(MODULE)),
    numbers: new Uint16Array(bytes(NUMBERS).buffer),
  };
  return loaded;
}
