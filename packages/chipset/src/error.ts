/** What went wrong; every case is the embedder's doing, never the guest's. */
export type ChipsetErrorCode =
  /** Two devices claim the same port or address. */
  | "overlap"
  /** A port, address, length or register number outside what the bus or device has. */
  | "bad-range"
  /** A state handed to `load` does not have the shape that `save` gives. */
  | "bad-state"
  /** A constructor or builder option that makes no sense. */
  | "bad-config";

/** The only error this package throws. */
export class ChipsetError extends Error {
  override readonly name = "ChipsetError";

  /**
   * @param where the device or field concerned, e.g. `ports 0x3f8` or `uart.state.ier`
   */
  constructor(
    readonly code: ChipsetErrorCode,
    readonly where: string,
    message: string,
  ) {
    super(`${where}: ${message}`);
  }
}
