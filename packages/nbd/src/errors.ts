/**
 * What went wrong on an NBD connection.
 *
 * - `protocol`: the peer broke the NBD protocol (bad magic, impossible length, unknown cookie)
 * - `limit`: the peer asked for, or announced, more than this side is willing to hold
 * - `closed`: the connection ended before the answer was complete
 * - `timeout`: the peer stayed silent in the middle of a message
 * - `refused`: the server refused the handshake (unknown export, TLS required, policy)
 * - `unsupported`: the peer does not speak something that was asked for
 * - `range`: the caller's range lies outside the export
 * - `readonly`: the export does not accept writes
 * - `io`: the server answered a request with an error
 */
export type NbdErrorCode =
  | "protocol"
  | "limit"
  | "closed"
  | "timeout"
  | "refused"
  | "unsupported"
  | "range"
  | "readonly"
  | "io";

/** Where an {@link NbdError} happened; fields that do not apply are absent. */
export interface NbdErrorPlace {
  /** The structure of the protocol, in the specification's words. */
  readonly structure?: string;
  /** Byte offset into the export. */
  readonly offset?: number;
  /** The error number the server sent (`NBD_EINVAL` and the like, or `NBD_REP_ERR_*`). */
  readonly errno?: number;
}

/** Every failure of this package. */
export class NbdError extends Error {
  override readonly name = "NbdError";
  readonly code: NbdErrorCode;
  readonly structure?: string;
  readonly offset?: number;
  readonly errno?: number;

  constructor(code: NbdErrorCode, message: string, place: NbdErrorPlace = {}, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.structure = place.structure;
    this.offset = place.offset;
    this.errno = place.errno;
  }
}

/** The same failure as an {@link NbdError}, whatever was thrown. */
export function asNbdError(error: unknown, structure: string): NbdError {
  if (error instanceof NbdError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new NbdError("closed", `${structure}: ${message}`, { structure }, { cause: error });
}
