import { NbdError } from "./errors.js";

/** Where an NBD URI points (NetworkBlockDevice/nbd, doc/uri.md). */
export type NbdAddress = (
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string }
) & {
  readonly exportName: string;
  readonly tls: boolean;
} & NbdUriTls;

/** What an NBD URI says about TLS; the `tls-` parameters are those of nbd_connect_uri(3). */
export interface NbdUriTls {
  /** Who to be for a server with pre-shared keys. */
  readonly username?: string;
  /** `tls-psk-file`: a local file with the user's key. */
  readonly tlsPskFile?: string;
  /** `tls-certificates`: a local folder with ca-cert.pem, client-cert.pem and client-key.pem. */
  readonly tlsCertificates?: string;
  /** `tls-hostname`: the name on the server's certificate, when it is not the host's. */
  readonly tlsHostname?: string;
  /** `tls-verify-peer=false`: accept any certificate. */
  readonly tlsVerifyPeer?: boolean;
}

/** The registered port of NBD. */
export const NBD_DEFAULT_PORT = 10809;

/** Parses `nbd://[user@]host[:port]/export`, `nbds://…`, `nbd+unix://[user@]/export?socket=path` and `nbds+unix://…`. */
export function parseNbdUri(uri: string): NbdAddress {
  const match = /^(nbds?)(\+unix)?:\/\/(?:([^@/?#]*)@)?([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/.exec(uri);
  if (match === null) throw notUri(uri);
  const [, scheme, unix, user, authority, path = "", query = ""] = match;
  const parameters = parseQuery(query, uri);
  const common = {
    exportName: decode(path.slice(1), uri),
    tls: scheme === "nbds",
    ...(user === undefined ? {} : { username: decode(user, uri) }),
    ...tlsParameters(parameters),
  };
  if (unix !== undefined) {
    const socket = parameters.get("socket");
    if (socket === undefined || authority !== "") throw notUri(uri);
    return { kind: "unix", path: socket, ...common };
  }
  const host = /^(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?$/.exec(authority);
  const port = Number(host?.[2] ?? NBD_DEFAULT_PORT);
  if (host === null || port > 65_535) throw notUri(uri);
  return { kind: "tcp", host: decode(host[1].replace(/^\[|\]$/g, ""), uri) || "localhost", port, ...common };
}

function parseQuery(query: string, uri: string): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const part of query.split("&")) {
    const equals = part.indexOf("=");
    if (equals < 0) continue;
    const key = decode(part.slice(0, equals), uri);
    if (!parameters.has(key)) parameters.set(key, decode(part.slice(equals + 1), uri));
  }
  return parameters;
}

function tlsParameters(parameters: ReadonlyMap<string, string>): NbdUriTls {
  const found: { -readonly [K in keyof NbdUriTls]: NbdUriTls[K] } = {};
  for (const [key, value] of parameters) {
    if (key === "tls-psk-file") found.tlsPskFile = value;
    else if (key === "tls-certificates") found.tlsCertificates = value;
    else if (key === "tls-hostname") found.tlsHostname = value;
    else if (key === "tls-verify-peer") found.tlsVerifyPeer = value === "true" || value === "1";
    // Whoever wrote it wanted some protection that would be missing.
    else if (key.startsWith("tls-")) throw new NbdError("unsupported", `NBD URI parameter "${key}" is not known`);
  }
  return found;
}

const notUri = (uri: string): NbdError => new NbdError("unsupported", `not an NBD URI: ${uri}`);

function decode(text: string, uri: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw notUri(uri);
  }
}
