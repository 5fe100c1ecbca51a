/** Converts the arithmetic flags of the state to and from their places in RFLAGS. */
export interface FlagsCodec {
  /** CF PF AF ZF SF OF; all other bits 0. */
  get(): number;
  set(rflags: number): void;
}
