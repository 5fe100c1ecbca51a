import { NbdError } from "../errors.js";
import { be16, be32, lengthAndText, readName, readShorts, readStrings } from "../option-data.js";
import {
  BASE_ALLOCATION,
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
  NBD_REP_MAGIC,
  NBDMAGIC,
  Opt,
  optionHeader,
  optionReply,
  Rep,
  RepErr,
  serverGreeting,
} from "../protocol.js";
import type { Wire } from "../stream.js";
import { concat } from "../struct.js";
import { type NbdExport, transmissionFlags } from "./export.js";
import type { NbdServerOptions } from "./server.js";

/** What the two sides agreed on. */
export interface Session {
  readonly target: NbdExport;
  readonly structured: boolean;
  /** Metadata contexts by the identifier given to the client; empty unless negotiated for this export. */
  readonly contexts: ReadonlyMap<number, string>;
}

/** Options one client may send before it must enter transmission: bounds a peer that never finishes. */
const MAX_OPTIONS = 256;
/** Option data: a name and a bounded list of queries. */
const MAX_OPTION_LENGTH = 64 * 1024;

/** Names of the metadata contexts of an export. */
const contextNames = (target: NbdExport): string[] => [BASE_ALLOCATION, ...Object.keys(target.contexts ?? {})];

/** Fixed newstyle handshake, server side; undefined when the client left without choosing an export. */
export class ServerHandshake {
  #structured = false;
  #tls = false;
  #contexts: { exportName: string; ids: Map<number, string> } | undefined;

  constructor(
    private readonly wire: Wire,
    private readonly options: NbdServerOptions,
  ) {}

  async run(): Promise<Session | undefined> {
    const { wire } = this;
    const flags = HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES;
    await wire.write([serverGreeting.encode({ magic: NBDMAGIC, optionMagic: IHAVEOPT, flags })], serverGreeting.name);
    const first = await wire.readOrEnd(clientFlags.size, clientFlags.name, false);
    if (first === undefined) return undefined;
    const client = clientFlags.decode(first).flags;
    if ((client & ~flags) !== 0) {
      throw new NbdError("protocol", `client flags: unknown bits 0x${(client & ~flags).toString(16)}`);
    }
    const noZeroes = (client & HandshakeFlag.NO_ZEROES) !== 0;
    for (let count = 0; count < MAX_OPTIONS; count++) {
      const bytes = await wire.readOrEnd(optionHeader.size, optionHeader.name, false);
      if (bytes === undefined) return undefined;
      const header = optionHeader.decode(bytes);
      if (header.magic !== IHAVEOPT) throw new NbdError("protocol", "option: bad magic", { structure: "option" });
      if (header.length > MAX_OPTION_LENGTH) {
        throw new NbdError("limit", `option ${header.option}: ${header.length} bytes of data`, { structure: "option" });
      }
      const data = await wire.read(header.length, optionHeader.name);
      const result = await this.#option(header.option, data, noZeroes);
      if (result === "end") return undefined;
      if (result !== "more") return result;
    }
    throw new NbdError("limit", `more than ${MAX_OPTIONS} options`, { structure: "option" });
  }

  async #option(option: number, data: Uint8Array, noZeroes: boolean): Promise<Session | "more" | "end"> {
    if (option === Opt.ABORT) {
      // The client may already be gone; its ACK is a courtesy.
      await this.#reply(option, Rep.ACK).catch(() => {});
      return "end";
    }
    if (option === Opt.EXPORT_NAME) return this.#exportName(data, noZeroes);
    if (this.options.tls?.required && !this.#tls && option !== Opt.STARTTLS) {
      await this.#reply(option, RepErr.TLS_REQD, encodeText("this server requires TLS"));
      return "more";
    }
    switch (option) {
      case Opt.LIST:
        await this.#list(data);
        return "more";
      case Opt.STARTTLS:
        await this.#startTls(data);
        return "more";
      case Opt.INFO:
      case Opt.GO:
        return this.#infoOrGo(option, data);
      case Opt.STRUCTURED_REPLY:
        if (data.length > 0) await this.#reply(option, RepErr.INVALID);
        else {
          this.#structured = true;
          await this.#reply(option, Rep.ACK);
        }
        return "more";
      case Opt.LIST_META_CONTEXT:
      case Opt.SET_META_CONTEXT:
        await this.#metaContext(option, data);
        return "more";
      default:
        await this.#reply(option, RepErr.UNSUP);
        return "more";
    }
  }

  #reply(option: number, type: number, data: Uint8Array = new Uint8Array(0)): Promise<void> {
    const header = optionReply.encode({ magic: NBD_REP_MAGIC, option, type, length: data.length });
    return this.wire.write([header, data], optionReply.name);
  }

  #find(name: string): NbdExport | undefined {
    return this.options.exports.find((candidate) => candidate.name === name);
  }

  #session(target: NbdExport): Session {
    const contexts = this.#contexts?.exportName === target.name ? this.#contexts.ids : new Map<number, string>();
    return { target, structured: this.#structured, contexts };
  }

  async #exportName(data: Uint8Array, noZeroes: boolean): Promise<Session> {
    // NBD_OPT_EXPORT_NAME has no error reply: the only refusal is to close.
    if (this.options.tls?.required && !this.#tls) throw new NbdError("refused", "a client without TLS was refused");
    const name = decodeText(data);
    const target = this.#find(name);
    if (target === undefined) throw new NbdError("refused", `export "${name}" does not exist`);
    const size = BigInt(target.disk.size);
    const chunks = [exportNameReply.encode({ size, flags: transmissionFlags(target, this.#structured) })];
    if (!noZeroes) chunks.push(new Uint8Array(124));
    await this.wire.write(chunks, exportNameReply.name);
    return this.#session(target);
  }

  async #list(data: Uint8Array): Promise<void> {
    if (data.length > 0) return this.#reply(Opt.LIST, RepErr.INVALID);
    for (const { name, description } of this.options.exports) {
      await this.#reply(Opt.LIST, Rep.SERVER, concat([lengthAndText(name), encodeText(description ?? "")]));
    }
    await this.#reply(Opt.LIST, Rep.ACK);
  }

  async #startTls(data: Uint8Array): Promise<void> {
    const { tls } = this.options;
    if (data.length > 0) return this.#reply(Opt.STARTTLS, RepErr.INVALID);
    if (tls === undefined) return this.#reply(Opt.STARTTLS, RepErr.POLICY, encodeText("TLS is not configured"));
    if (this.#tls) return this.#reply(Opt.STARTTLS, RepErr.INVALID, encodeText("TLS is already in use"));
    if (this.wire.buffered > 0) throw new NbdError("protocol", "bytes sent in the clear after NBD_OPT_STARTTLS");
    await this.#reply(Opt.STARTTLS, Rep.ACK);
    this.wire.upgrade(await tls.upgrade(this.wire.stream));
    this.#tls = true;
    // Everything negotiated in the clear is forgotten (protocol document, "NBD_OPT_STARTTLS").
    this.#structured = false;
    this.#contexts = undefined;
  }

  async #infoOrGo(option: number, data: Uint8Array): Promise<Session | "more"> {
    const name = readName(data);
    const wanted = name === undefined ? undefined : readShorts(data, name.end);
    if (name === undefined || wanted === undefined) {
      await this.#reply(option, RepErr.INVALID);
      return "more";
    }
    const target = this.#find(name.text);
    if (target === undefined) {
      await this.#reply(option, RepErr.UNKNOWN, encodeText(`export '${name.text}' not present`));
      return "more";
    }
    if (wanted.includes(Info.NAME))
      await this.#reply(option, Rep.INFO, concat([be16(Info.NAME), encodeText(name.text)]));
    if (wanted.includes(Info.DESCRIPTION) && target.description) {
      await this.#reply(option, Rep.INFO, concat([be16(Info.DESCRIPTION), encodeText(target.description)]));
    }
    const preferred = target.preferredBlockSize ?? 4096;
    const sizes = { type: Info.BLOCK_SIZE, minimum: 1, preferred, maximum: MAX_PAYLOAD };
    await this.#reply(option, Rep.INFO, infoBlockSize.encode(sizes));
    const flags = transmissionFlags(target, this.#structured);
    await this.#reply(
      option,
      Rep.INFO,
      infoExport.encode({ type: Info.EXPORT, size: BigInt(target.disk.size), flags }),
    );
    await this.#reply(option, Rep.ACK);
    return option === Opt.GO ? this.#session(target) : "more";
  }

  async #metaContext(option: number, data: Uint8Array): Promise<void> {
    if (option === Opt.SET_META_CONTEXT) this.#contexts = undefined;
    const name = readName(data);
    const queries = name === undefined ? undefined : readStrings(data, name.end);
    if (!this.#structured || name === undefined || queries === undefined) {
      return this.#reply(option, RepErr.INVALID, encodeText("malformed, or structured replies not negotiated"));
    }
    const target = this.#find(name.text);
    if (target === undefined) return this.#reply(option, RepErr.UNKNOWN);
    const listing = option === Opt.LIST_META_CONTEXT;
    const names = contextNames(target);
    const chosen = names.filter(
      (candidate) =>
        (listing && queries.length === 0) ||
        queries.some((query) => query === candidate || (listing && query.endsWith(":") && candidate.startsWith(query))),
    );
    const ids = new Map<number, string>();
    for (const context of chosen) {
      const id = names.indexOf(context);
      ids.set(id, context);
      await this.#reply(option, Rep.META_CONTEXT, concat([be32(listing ? 0 : id), encodeText(context)]));
    }
    if (!listing) this.#contexts = { exportName: name.text, ids };
    await this.#reply(option, Rep.ACK);
  }
}
