import { asNbdError, NbdError } from "../errors.js";
import { MAX_STRING } from "../protocol.js";
import { type ByteStream, Wire } from "../stream.js";
import type { NbdExport } from "./export.js";
import { ServerHandshake } from "./handshake.js";
import { ServerTransmission } from "./transmission.js";

export interface NbdServerOptions {
  /** What can be chosen, by unique names. */
  readonly exports: readonly NbdExport[];
  /** How to encrypt a connection after NBD_OPT_STARTTLS; `required` refuses everything before it. */
  readonly tls?: { readonly required: boolean; upgrade(stream: ByteStream): Promise<ByteStream> };
  /** Milliseconds a peer may stay silent inside a message, and for each handshake step; 30 000 unless given. */
  readonly timeout?: number;
}

/** How a connection ended without a protocol error. */
export interface NbdConnectionEnd {
  /** The export that was used; undefined when the client left during the handshake. */
  readonly exportName?: string;
}

/** An NBD server for any number of byte streams; listening is the caller's (or `@softmetal/nbd/node`'s) part. */
export class NbdServer {
  readonly #options: NbdServerOptions;

  constructor(options: NbdServerOptions) {
    const names = new Set<string>();
    for (const { name } of options.exports) {
      if (name.length > MAX_STRING) throw new NbdError("limit", `export name of ${name.length} characters`);
      if (names.has(name)) throw new NbdError("refused", `two exports are called "${name}"`);
      names.add(name);
    }
    this.#options = options;
  }

  /**
   * Serves one connection until the client leaves, and closes the stream.
   * Rejects with {@link NbdError} when the client breaks the protocol, stays silent inside a message or vanishes in one.
   */
  async serve(stream: ByteStream, onExport?: (name: string) => void): Promise<NbdConnectionEnd> {
    const wire = new Wire(stream, this.#options.timeout ?? 30_000);
    try {
      const session = await new ServerHandshake(wire, this.#options).run();
      if (session === undefined) return {};
      onExport?.(session.target.name);
      await new ServerTransmission(wire, session).run();
      return { exportName: session.target.name };
    } catch (error) {
      throw asNbdError(error, "connection");
    } finally {
      wire.close();
    }
  }
}
