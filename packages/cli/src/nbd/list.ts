import { NbdError, TransmissionFlag } from "@softmetal/nbd";
import { type ClientTlsOptions, connectNbd, listExports, listMetaContexts } from "@softmetal/nbd/node";
import { CommandError, type Context, errnoText, messageOf } from "../img/support/context.js";
import { clientCredentials } from "../img/support/tls-objects.js";
import type { NbdSettings } from "./options.js";

/** The names of the transmission flags, in the order of their bits. */
const FLAGS: readonly [number, string][] = [
  [TransmissionFlag.READ_ONLY, "readonly"],
  [TransmissionFlag.SEND_FLUSH, "flush"],
  [TransmissionFlag.SEND_FUA, "fua"],
  [TransmissionFlag.ROTATIONAL, "rotational"],
  [TransmissionFlag.SEND_TRIM, "trim"],
  [TransmissionFlag.SEND_WRITE_ZEROES, "zeroes"],
  [TransmissionFlag.SEND_DF, "df"],
  [TransmissionFlag.CAN_MULTI_CONN, "multi"],
  [TransmissionFlag.SEND_RESIZE, "resize"],
  [TransmissionFlag.SEND_CACHE, "cache"],
  [TransmissionFlag.SEND_FAST_ZERO, "fast-zero"],
];

/** `-L`: what another server offers. */
export async function list(context: Context, settings: NbdSettings): Promise<number> {
  const { tlsCreds, tlsHostname } = settings;
  const tls = tlsCreds === undefined ? {} : { ...(await credentials(context, tlsCreds)), tlsHostname };
  const scheme = tlsCreds === undefined ? "nbd" : "nbds";
  const uri = (name: string): string => {
    const path = encodeURIComponent(name);
    if (settings.socket !== undefined) return `${scheme}+unix:///${path}?socket=${encodeURIComponent(settings.socket)}`;
    return `${scheme}://${settings.bind ?? "localhost"}:${settings.port}/${path}`;
  };
  try {
    const exports = await listExports(uri(""), tls);
    context.out(`exports available: ${exports.length}\n`);
    for (const { name, description } of exports) {
      context.out(` export: '${name}'\n`);
      if (description !== undefined) context.out(`  description: ${description}\n`);
      await describe(context, uri(name), tls);
    }
  } catch (error) {
    if (!(error instanceof NbdError)) throw error;
    const where = settings.socket ?? `${settings.bind ?? "localhost"}:${settings.port}`;
    const system = errnoText(error);
    throw new CommandError(system === undefined ? error.message : `Failed to connect to '${where}': ${system}`);
  }
  return 0;
}

async function credentials(context: Context, id: string): Promise<ClientTlsOptions> {
  try {
    return await clientCredentials(context, id);
  } catch (error) {
    throw new CommandError(`Failed to get TLS creds: ${messageOf(error)}`);
  }
}

async function describe(context: Context, uri: string, tls: ClientTlsOptions): Promise<void> {
  const contexts = await listMetaContexts(uri, tls);
  const client = await connectNbd(uri, tls);
  const names = FLAGS.filter(([flag]) => client.has(flag)).map(([, name]) => name);
  const bits = FLAGS.reduce((sum, [flag]) => sum | (client.has(flag) ? flag : 0), TransmissionFlag.HAS_FLAGS as number);
  const { minimum, preferred, maximum } = client.blockSize;
  context.out(
    `  size:  ${client.size}\n  flags: 0x${bits.toString(16)} ( ${names.join(" ")} )\n` +
      `  min block: ${minimum}\n  opt block: ${preferred}\n  max block: ${maximum}\n` +
      `  available meta contexts: ${contexts.length}\n${contexts.map((name) => `   ${name}\n`).join("")}`,
  );
  await client.close();
}
