import { NbdError } from "../errors.js";
import { get32, infoRequest, metaContextQueries, readName } from "../option-data.js";
import {
  BASE_ALLOCATION,
  CLISERV_MAGIC,
  clientFlags,
  decodeText,
  encodeText,
  exportNameReply,
  HandshakeFlag,
  IHAVEOPT,
  Info,
  infoBlockSize,
  infoExport,
  MAX_PAYLOAD,
  MAX_STRING,
  NBD_REP_MAGIC,
  NBDMAGIC,
  Opt,
  optionHeader,
  optionReply,
  Rep,
  RepErr,
  serverGreeting,
  TransmissionFlag,
} from "../protocol.js";
import type { ByteStream, Wire } from "../stream.js";
import { toSafe } from "../struct.js";

/** What a server says about an export. */
export interface NbdExportInfo {
  readonly name: string;
  readonly description?: string;
}

/** The outcome of the handshake. */
export interface Negotiated {
  /** Bytes. */
  readonly size: number;
  /** {@link TransmissionFlag} bits. */
  readonly flags: number;
  readonly structured: boolean;
  readonly blockSize: { readonly minimum: number; readonly preferred: number; readonly maximum: number };
  /** Metadata contexts: identifier to name. */
  readonly contexts: ReadonlyMap<number, string>;
  readonly tls: boolean;
}

export interface NbdHandshakeOptions {
  /** Empty for the server's default export. */
  readonly exportName?: string;
  /** Metadata contexts to ask for; `base:allocation` unless given. */
  readonly contexts?: readonly string[];
  /** Encrypt before anything else; fails when the server has no TLS. */
  readonly tls?: { upgrade(stream: ByteStream): Promise<ByteStream> };
}

/** The largest option reply that is kept, bytes; a name, a description and their lengths. */
const MAX_REPLY = 4 * MAX_STRING;
/** Replies to one option, to bound a list without an end. */
const MAX_REPLIES = 16_384;

const REASONS: Readonly<Record<number, string>> = {
  [RepErr.UNSUP]: "unsupported by the server",
  [RepErr.POLICY]: "forbidden by the server's policy",
  [RepErr.INVALID]: "called invalid by the server",
  [RepErr.PLATFORM]: "unsupported on the server's platform",
  [RepErr.TLS_REQD]: "the server requires TLS",
  [RepErr.UNKNOWN]: "the export is not known to the server",
  [RepErr.SHUTDOWN]: "the server is shutting down",
  [RepErr.BLOCK_SIZE_REQD]: "the server requires block sizes to be negotiated",
  [RepErr.TOO_BIG]: "too big for the server",
};

interface Reply {
  readonly type: number;
  readonly data: Uint8Array;
}

const failed = (reply: Reply): boolean => reply.type >= 0x80000000;

/** Fixed newstyle handshake, client side. */
export class ClientHandshake {
  #tls = false;
  #noZeroes = false;

  constructor(
    private readonly wire: Wire,
    private readonly options: NbdHandshakeOptions,
  ) {}

  /** Greeting and TLS; options follow. */
  async begin(): Promise<void> {
    const { wire } = this;
    const greeting = serverGreeting.decode(await wire.read(serverGreeting.size, serverGreeting.name));
    if (greeting.magic !== NBDMAGIC) throw new NbdError("protocol", "not an NBD server (bad magic)");
    if (greeting.optionMagic === CLISERV_MAGIC)
      throw new NbdError("unsupported", "the server speaks the old style handshake");
    if (greeting.optionMagic !== IHAVEOPT) throw new NbdError("protocol", "server greeting: bad option magic");
    if ((greeting.flags & HandshakeFlag.FIXED_NEWSTYLE) === 0) {
      throw new NbdError("unsupported", "the server does not speak the fixed newstyle handshake");
    }
    this.#noZeroes = (greeting.flags & HandshakeFlag.NO_ZEROES) !== 0;
    const flags = HandshakeFlag.FIXED_NEWSTYLE | (this.#noZeroes ? HandshakeFlag.NO_ZEROES : 0);
    await wire.write([clientFlags.encode({ flags })], clientFlags.name);
    if (this.options.tls) {
      this.#expectAck(await this.#ask(Opt.STARTTLS), "NBD_OPT_STARTTLS");
      wire.upgrade(await this.options.tls.upgrade(wire.stream));
      this.#tls = true;
    }
  }

  /** Names and descriptions of all exports; ends the session. */
  async list(): Promise<NbdExportInfo[]> {
    const replies = await this.#ask(Opt.LIST);
    this.#expectAck(replies, "NBD_OPT_LIST");
    const exports = replies.slice(0, -1).map(({ type, data }) => {
      if (type !== Rep.SERVER) throw new NbdError("protocol", `NBD_OPT_LIST: reply of type ${type}`);
      const name = readName(data);
      if (name === undefined) throw new NbdError("protocol", "NBD_REP_SERVER: malformed");
      const description = decodeText(data.subarray(name.end));
      return { name: name.text, ...(description ? { description } : {}) };
    });
    await this.#send(Opt.ABORT);
    return exports;
  }

  /** Names of the metadata contexts an export offers; ends the session. */
  async listContexts(): Promise<string[]> {
    if ((await this.#ask(Opt.STRUCTURED_REPLY)).at(-1)!.type !== Rep.ACK) return [];
    const replies = await this.#ask(Opt.LIST_META_CONTEXT, metaContextQueries(this.options.exportName ?? "", []));
    if (replies.at(-1)!.type === RepErr.UNSUP) return [];
    this.#expectAck(replies, "NBD_OPT_LIST_META_CONTEXT");
    await this.#send(Opt.ABORT);
    return replies.slice(0, -1).map(({ type, data }) => {
      if (type !== Rep.META_CONTEXT || data.length < 4) {
        throw new NbdError("protocol", `NBD_OPT_LIST_META_CONTEXT: reply of type ${type}`);
      }
      return decodeText(data.subarray(4));
    });
  }

  /** Enters the transmission phase. */
  async go(): Promise<Negotiated> {
    const name = this.options.exportName ?? "";
    const { length } = encodeText(name);
    if (length > MAX_STRING) throw new NbdError("limit", `export name of ${length} bytes`);
    const structured = (await this.#ask(Opt.STRUCTURED_REPLY)).at(-1)!.type === Rep.ACK;
    const contexts = structured ? await this.#contexts(name) : new Map<number, string>();
    const replies = await this.#ask(Opt.GO, infoRequest(name, [Info.BLOCK_SIZE]));
    const last = replies.at(-1)!;
    if (last.type === RepErr.UNSUP) return this.#exportName(name, structured, contexts);
    this.#expectAck(replies, "NBD_OPT_GO");
    let size: number | undefined;
    let flags = 0;
    let blockSize = { minimum: 1, preferred: 4096, maximum: MAX_PAYLOAD };
    for (const { type, data } of replies.slice(0, -1)) {
      if (type !== Rep.INFO || data.length < 2) throw new NbdError("protocol", `NBD_OPT_GO: reply of type ${type}`);
      const kind = (data[0] << 8) | data[1];
      if (kind === Info.EXPORT) {
        const value = infoExport.decode(data);
        size = toSafe(value.size, infoExport.name);
        flags = value.flags;
      } else if (kind === Info.BLOCK_SIZE) {
        blockSize = checkBlockSize(infoBlockSize.decode(data));
      }
    }
    if (size === undefined) throw new NbdError("protocol", "NBD_OPT_GO: the server did not send NBD_INFO_EXPORT");
    return this.#negotiated(size, flags, structured, blockSize, contexts);
  }

  async #exportName(name: string, structured: boolean, contexts: Map<number, string>): Promise<Negotiated> {
    await this.#send(Opt.EXPORT_NAME, encodeText(name));
    const bytes = await this.wire.read(exportNameReply.size, exportNameReply.name);
    const { size, flags } = exportNameReply.decode(bytes);
    if (!this.#noZeroes) await this.wire.skip(124, exportNameReply.name);
    // Without negotiation 512 is the size every server accepts (protocol document, "Block size constraints").
    const blockSize = { minimum: 512, preferred: 4096, maximum: MAX_PAYLOAD };
    return this.#negotiated(toSafe(size, exportNameReply.name), flags, structured, blockSize, contexts);
  }

  #negotiated(
    size: number,
    flags: number,
    structured: boolean,
    blockSize: Negotiated["blockSize"],
    contexts: Map<number, string>,
  ): Negotiated {
    if ((flags & TransmissionFlag.HAS_FLAGS) === 0)
      throw new NbdError("protocol", "transmission flags without HAS_FLAGS");
    return { size, flags, structured, blockSize, contexts, tls: this.#tls };
  }

  async #contexts(name: string): Promise<Map<number, string>> {
    const wanted = this.options.contexts ?? [BASE_ALLOCATION];
    const replies = await this.#ask(Opt.SET_META_CONTEXT, metaContextQueries(name, wanted));
    const ids = new Map<number, string>();
    if (replies.at(-1)!.type !== Rep.ACK) return ids;
    for (const { type, data: body } of replies.slice(0, -1)) {
      if (type !== Rep.META_CONTEXT || body.length < 4) {
        throw new NbdError("protocol", `NBD_OPT_SET_META_CONTEXT: reply of type ${type}`);
      }
      const context = decodeText(body.subarray(4));
      if (wanted.includes(context)) ids.set(get32(body), context);
    }
    return ids;
  }

  #send(option: number, data: Uint8Array = new Uint8Array(0)): Promise<void> {
    const header = optionHeader.encode({ magic: IHAVEOPT, option, length: data.length });
    return this.wire.write([header, data], optionHeader.name);
  }

  /** All replies to an option; the last one is the acknowledgement or the error. */
  async #ask(option: number, data?: Uint8Array): Promise<Reply[]> {
    await this.#send(option, data);
    const replies: Reply[] = [];
    for (;;) {
      const header = optionReply.decode(await this.wire.read(optionReply.size, optionReply.name));
      if (header.magic !== NBD_REP_MAGIC) throw new NbdError("protocol", "option reply: bad magic");
      if (header.option !== option) {
        throw new NbdError("protocol", `option reply: to option ${header.option} where ${option} was sent`);
      }
      if (header.length > MAX_REPLY) throw new NbdError("limit", `option reply of ${header.length} bytes`);
      const reply = { type: header.type, data: await this.wire.read(header.length, optionReply.name) };
      replies.push(reply);
      if (reply.type === Rep.ACK || failed(reply)) return replies;
      if (replies.length >= MAX_REPLIES) throw new NbdError("limit", `more than ${MAX_REPLIES} replies to an option`);
    }
  }

  #expectAck(replies: readonly Reply[], structure: string): void {
    const last = replies.at(-1)!;
    if (!failed(last)) return;
    const said = decodeText(last.data).replace(/[^\x20-\x7e]/g, "?");
    const reason = REASONS[last.type] ?? `error 0x${last.type.toString(16)}`;
    const code = last.type === RepErr.UNSUP ? "unsupported" : "refused";
    throw new NbdError(code, `${structure}: ${reason}${said ? ` (${said})` : ""}`, { structure, errno: last.type });
  }
}

function checkBlockSize(size: { minimum: number; preferred: number; maximum: number }): Negotiated["blockSize"] {
  const { minimum, preferred } = size;
  const powerOfTwo = (value: number): boolean => value > 0 && (value & (value - 1)) === 0;
  if (!powerOfTwo(minimum) || minimum > 65_536 || preferred < minimum) {
    throw new NbdError("protocol", `NBD_INFO_BLOCK_SIZE: minimum ${minimum}, preferred ${preferred}`);
  }
  const maximum = Math.min(size.maximum, MAX_PAYLOAD);
  if (maximum < minimum) throw new NbdError("protocol", `NBD_INFO_BLOCK_SIZE: maximum ${size.maximum}`);
  return { minimum, preferred, maximum: maximum - (maximum % minimum) };
}
