/**
 * A guest exception on its way out of a helper. One object is reused: throwing must not cost a stack trace, and only
 * one exception is ever under way.
 */
export class Fault {
  vector = 0;
  errorCode = 0;
  hasErrorCode = false;
}
export const FAULT = new Fault();

/** Vectors that push an error code (SDM vol. 3, table 6-1). */
const WITH_ERROR_CODE = new Set([8, 10, 11, 12, 13, 14, 17, 21]);

/** Raises a guest exception from a helper; never returns. For #PF, set CR2 first. */
export function raise(vector: number, errorCode = 0): never {
  FAULT.vector = vector;
  FAULT.errorCode = errorCode;
  FAULT.hasErrorCode = WITH_ERROR_CODE.has(vector);
  throw FAULT;
}
