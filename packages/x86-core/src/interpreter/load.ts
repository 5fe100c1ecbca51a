import type { InterpreterCode } from "../cpu/cpu.js";
import { FINGERPRINT, MODULE, NUMBERS } from "../generated/interpreter.js";
import { rows } from "../instructions/index.js";
import { fingerprint } from "../table/row.js";

function bytes(base64: string): Uint8Array<ArrayBuffer> {
  const text = atob(base64);
  const result = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) result[index] = text.charCodeAt(index);
  return result;
}

let loaded: InterpreterCode | undefined;

/** Compiles the interpreter that was generated when the package was built; all CPUs of a thread share it. */
export function loadInterpreter(): InterpreterCode {
  if (!loaded && FINGERPRINT !== fingerprint(rows)) {
    throw new Error(
      "the generated interpreter is older than the instruction tables: run the package's generate script",
    );
  }
  loaded ??= {
    module: new WebAssembly.Module(bytes(MODULE)),
    numbers: new Uint16Array(bytes(NUMBERS).buffer),
  };
  return loaded;
}
