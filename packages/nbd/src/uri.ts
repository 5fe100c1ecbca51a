import { NbdError } from "./errors.js";

/** Where an NBD URI points (NetworkBlockDevice/nbd, doc/uri.md). */
export type NbdAddress = (
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string }
) & { readonly exportName: string; readonly tls: boolean };

/** The registered port of NBD. */
export const NBD_DEFAULT_PORT = 10809;

/** Parses `nbd://host[:port]/export`, `nbds://…`, `nbd+unix:///export?socket=path` and `nbds+unix:///…`. */
export function parseNbdUri(uri: string): NbdAddress {
  const match = /^(nbds?)(\+unix)?:\/\/([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/.exec(uri);
  if (match === null) throw new NbdError("unsupported", `not an NBD URI: ${uri}`);
  const [, scheme, unix, authority, path = "", query = ""] = match;
  const tls = scheme === "nbds";
  const exportName = decode(path.slice(1), uri);
  if (unix !== undefined) {
    const socket = query.split("&").find((part) => part.startsWith("socket="));
    if (socket === undefined || authority !== "") throw new NbdError("unsupported", `not an NBD URI: ${uri}`);
    return { kind: "unix", path: decode(socket.slice("socket=".length), uri), exportName, tls };
  }
  const host = /^(?:[^@]*@)?(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?$/.exec(authority);
  const port = Number(host?.[2] ?? NBD_DEFAULT_PORT);
  if (host === null || port > 65_535) throw new NbdError("unsupported", `not an NBD URI: ${uri}`);
  return { kind: "tcp", host: host[1].replace(/^\[|\]$/g, "") || "localhost", port, exportName, tls };
}

function decode(text: string, uri: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new NbdError("unsupported", `not an NBD URI: ${uri}`);
  }
}
