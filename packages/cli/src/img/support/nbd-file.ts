import { type NbdClient, NbdError, StateFlag } from "@softmetal/nbd";
import { type ClientTlsOptions, connectNbd } from "@softmetal/nbd/node";
import type { FileExtent, RandomAccessFile } from "@softmetal/qcow2";
import { CommandError, errnoText } from "./context.js";

/** An NBD export as the file under an image. */
export class NbdFile implements RandomAccessFile {
  private constructor(
    readonly name: string,
    readonly client: NbdClient,
    readonly readOnly: boolean,
  ) {}

  static async open(name: string, uri: string, readOnly: boolean, tls: ClientTlsOptions = {}): Promise<NbdFile> {
    let client: NbdClient;
    try {
      // Who may name an NBD server as the image, or in one, may as well name a local file.
      client = await connectNbd(uri, { ...tls, allowLocalFiles: true });
    } catch (error) {
      throw new CommandError(connectMessage(uri, error));
    }
    if (!readOnly && client.readOnly) {
      await client.close();
      throw new CommandError("request on a read-only NBD export: the server does not allow writes");
    }
    return new NbdFile(name, client, readOnly);
  }

  async read(buffer: Uint8Array, offset: number): Promise<number> {
    const count = Math.max(0, Math.min(buffer.length, this.client.size - offset));
    if (count > 0) await this.client.read(offset, buffer.subarray(0, count));
    return count;
  }
  write(data: Uint8Array, offset: number): Promise<void> {
    return this.client.write(offset, data);
  }
  size(): number {
    return this.client.size;
  }
  truncate(size: number): void {
    // An export has the size it has; formats may "extend" it to anything up to that.
    if (size > this.client.size) throw new CommandError("Cannot grow NBD nodes");
  }
  flush(): Promise<void> {
    return this.client.flush();
  }
  async punchHole(offset: number, length: number): Promise<void> {
    const count = Math.min(length, this.client.size - offset);
    if (count > 0) await this.client.writeZeroes(offset, count);
  }
  async extent(offset: number, length: number): Promise<FileExtent> {
    const [first] = await this.client.blockStatus(offset, Math.min(length, this.client.size - offset));
    return { length: first.length, data: (first.flags & StateFlag.ZERO) === 0 };
  }
  close(): Promise<void> {
    return this.client.close();
  }
}

function connectMessage(uri: string, error: unknown): string {
  if (!(error instanceof NbdError)) return String(error);
  const system = errnoText(error);
  if (system === undefined) return error.message;
  const socket = /[?&]socket=([^&]*)/.exec(uri)?.[1];
  const host = /^nbds?:\/\/([^/]*)/.exec(uri)?.[1] ?? "";
  return `Failed to connect to '${socket ?? (/:\d+$/.test(host) ? host : `${host}:10809`)}': ${system}`;
}
