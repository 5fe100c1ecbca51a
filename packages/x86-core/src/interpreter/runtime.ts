import { Flags } from "../semantics/flags.js";
import type { RuntimeFunctions } from "../semantics/ops.js";
import { ACCESS } from "../semantics/ops.js";
import {
  JUMP_CACHE,
  JUMP_CACHE_ENTRIES,
  JUMP_CACHE_ENTRY,
  JUMP_CACHE_ENTRY_SIZE,
  S,
  SEGMENT,
  SEGMENT_STRIDE,
  STATE,
} from "../state/layout.js";
import { Code } from "../wasm/code.js";
import type { Module } from "../wasm/module.js";
import { JUMP_CACHE_MIX } from "./jump-cache-index.js";

/** The imports of the module, with their signatures; each is documented in `RuntimeFunctions`. */
export function importRuntime(
  module: Module,
): Omit<RuntimeFunctions, "lookup" | "segment"> & { resolve: number; segmentFault: number } {
  const i32s = (count: number) => new Array<"i32">(count).fill("i32");
  return {
    helper: module.import("helper", i32s(2), ["i32"]),
    slowLoad: module.import("slowLoad", i32s(4), ["i32"]),
    slowStore: module.import("slowStore", i32s(4), ["i32"]),
    slowLoadForWrite: module.import("slowLoadForWrite", i32s(4), ["i32"]),
    raise: module.import("raise", i32s(3), []),
    link: module.import("link", i32s(1), ["i32"]),
    /** () -> record for `S.rip`, decoded if need be; 0 to leave. */
    resolve: module.import("resolve", [], ["i32"]),
    /** (segment, low and high half of the offset, size and ACCESS bits, record) -> 1 when it has raised a fault. */
    segmentFault: module.import("segmentFault", i32s(5), ["i32"]),
  };
}

/** `() -> record`: finds the code at `S.rip` in the jump cache, or asks. Leaves execution when the budget is used up. */
export function lookupFunction(resolve: number): Code {
  const code = new Code();
  const zero = code.constant("i32", 0);
  const i32 = (value: number) => code.constant("i32", value);
  const budget = code.load("i32.load", zero, STATE + S.budget);
  code.if(code.op("i32.lt_s", budget, zero), () => code.return(zero));
  const rip = code.load("i64.load", zero, STATE + S.rip);
  const low = code.op("i32.wrap_i64", rip);
  const mixed = code.op("i32.xor", low, code.op("i32.shr_u", low, i32(JUMP_CACHE_MIX)));
  const index = code.op("i32.and", mixed, i32(JUMP_CACHE_ENTRIES - 1));
  const entry = code.op("i32.mul", index, i32(JUMP_CACHE_ENTRY_SIZE));
  const sameRip = code.op("i64.eq", code.load("i64.load", entry, JUMP_CACHE + JUMP_CACHE_ENTRY.rip), rip);
  const mode = code.load("i32.load", zero, STATE + S.mode);
  const sameMode = code.op("i32.eq", code.load("i32.load", entry, JUMP_CACHE + JUMP_CACHE_ENTRY.mode), mode);
  code.if(code.op("i32.and", sameRip, sameMode), () => {
    code.store("i64.store", zero, code.load("i64.load", entry, JUMP_CACHE + JUMP_CACHE_ENTRY.page), STATE + S.page);
    code.return(code.load("i32.load", entry, JUMP_CACHE + JUMP_CACHE_ENTRY.record));
  });
  code.return(code.call(resolve, ["i32"])[0]);
  return code;
}

/**
 * `(segment, offset, size and ACCESS bits, record) -> (linear, ok)`: the checks of an access through a segment outside
 * 64-bit mode (SDM vol. 3, 5.3-5.5). The common case is decided here: present, expand-up, within the limit, writable
 * when it must be. Everything else is left to `segmentFault`, which may also find the access right.
 */
export function segmentFunction(segmentFault: number): Code {
  const code = new Code();
  const i32 = (value: number) => code.constant("i32", value);
  const segment = code.parameter("i32", 0);
  const offset = code.parameter("i64", 1);
  const access = code.parameter("i32", 2);
  const record = code.parameter("i32", 3);
  const cache = code.op("i32.mul", segment, i32(SEGMENT_STRIDE));
  const at = STATE + S.segments;
  const attributes = code.load("i32.load", cache, at + SEGMENT.attributes);
  const limit = code.op("i64.extend_i32_u", code.load("i32.load", cache, at + SEGMENT.limit));
  const bytes = code.op("i64.extend_i32_u", code.op("i32.and", access, i32(ACCESS.size)));
  const last = code.op("i64.sub", code.op("i64.add", offset, bytes), code.constant("i64", 1n));
  const write = code.op("i32.and", access, i32(ACCESS.write));
  // Type bits of a descriptor: 8 accessed, 9 writable (readable for code), 10 expand-down (conforming), 11 code.
  const kind = code.op("i32.and", attributes, i32(0x9e00));
  const dataWritable = code.op("i32.eq", kind, i32(0x9200));
  const dataReadOnly = code.op("i32.eq", kind, i32(0x9000));
  const readable = code.op("i32.or", dataWritable, dataReadOnly);
  const permitted = code.op("i32.or", dataWritable, code.op("i32.and", readable, code.op("i32.eqz", write)));
  const inside = code.op("i64.le_u", last, limit);
  const base = code.load("i64.load", cache, at + SEGMENT.base);
  const linear = code.op("i64.and", code.op("i64.add", base, offset), code.constant("i64", 0xffffffffn));
  const ok = code.variable("i32", i32(1));
  code.if(code.op("i32.eqz", code.op("i32.and", permitted, inside)), () => {
    const low = code.op("i32.wrap_i64", offset);
    const high = code.op("i32.wrap_i64", code.op("i64.shr_u", offset, code.constant("i64", 32n)));
    const [raised] = code.call(segmentFault, ["i32"], segment, low, high, access, record);
    ok.set(code.op("i32.eqz", raised));
  });
  code.returnMany([linear, ok.get()]);
  return code;
}

/** `() -> flags` and `(flags) -> ()`: the arithmetic flags as an RFLAGS image, for code outside. */
export function getFlagsFunction(): Code {
  const code = new Code();
  code.return(new Flags(code).flagsImage());
  return code;
}
export function setFlagsFunction(): Code {
  const code = new Code();
  new Flags(code).setImage(code.parameter("i32", 0));
  code.return();
  return code;
}
