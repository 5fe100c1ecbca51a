import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type NbdClient, NbdError, StateFlag } from "@softmetal/nbd";
import { connectNbd, type TlsCredentials } from "@softmetal/nbd/node";
import type { FileExtent, RandomAccessFile } from "@softmetal/qcow2";
import { CommandError, type Context, errnoText } from "./context.js";

/** An NBD export as the file under an image. */
export class NbdFile implements RandomAccessFile {
  private constructor(
    readonly name: string,
    readonly client: NbdClient,
    readonly readOnly: boolean,
  ) {}

  static async open(name: string, uri: string, readOnly: boolean, tls?: TlsCredentials): Promise<NbdFile> {
    let client: NbdClient;
    try {
      client = await connectNbd(uri, { tls });
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

/** The PEM files of a `tls-creds-x509` object: `ca-cert.pem`, and `client-` or `server-cert.pem` and `-key.pem`. */
export function readTlsCredentials(context: Context, id: string, endpoint: "client" | "server"): TlsCredentials {
  const object = context.tlsCredentials.get(id);
  if (object === undefined) throw new CommandError(`No TLS credentials with id '${id}'`);
  if (object.endpoint !== endpoint) {
    throw new CommandError(`Expecting TLS credentials with a ${endpoint} endpoint`);
  }
  const read = (name: string, required: boolean): Uint8Array | undefined => {
    const path = join(object.dir, name);
    try {
      return readFileSync(path);
    } catch (error) {
      if (!required && (error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw new CommandError(`Unable to access credentials ${path}: ${errnoText(error) ?? String(error)}`);
    }
  };
  const required = endpoint === "server";
  return {
    ca: read("ca-cert.pem", true),
    cert: read(`${endpoint}-cert.pem`, required),
    key: read(`${endpoint}-key.pem`, required),
  };
}
