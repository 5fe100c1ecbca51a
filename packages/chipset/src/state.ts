import { ChipsetError } from "./error.js";

/**
 * Copies `given` into a fresh object of exactly the shape of `shape` (same keys, same array lengths, finite numbers).
 * Used by `save` (shape and value are the same object) and by `load` (the shape is the device's present state), so that
 * no device spells its fields twice.
 * @throws ChipsetError `bad-state` naming the first field that differs.
 */
export function copyState<T>(shape: T, given: unknown, where: string): T {
  return copy(shape, given, where) as T;
}

function copy(shape: unknown, given: unknown, where: string): unknown {
  if (Array.isArray(shape)) {
    if (!Array.isArray(given) || given.length !== shape.length) {
      throw new ChipsetError("bad-state", where, `expected an array of ${shape.length}`);
    }
    return shape.map((item, i) => copy(item, given[i], `${where}[${i}]`));
  }
  if (typeof shape === "object" && shape !== null) {
    if (typeof given !== "object" || given === null || Array.isArray(given)) {
      throw new ChipsetError("bad-state", where, "expected an object");
    }
    const source = given as Record<string, unknown>;
    const result: Record<string, unknown> = {};
    for (const [key, value] of Object.entries(shape)) result[key] = copy(value, source[key], `${where}.${key}`);
    return result;
  }
  if (typeof given !== typeof shape) throw new ChipsetError("bad-state", where, `expected a ${typeof shape}`);
  if (typeof given === "number" && !Number.isFinite(given)) {
    throw new ChipsetError("bad-state", where, "expected a finite number");
  }
  return given;
}
