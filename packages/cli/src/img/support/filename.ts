import { CommandError } from "./context.js";
import { isTree, type OptionTree, parseJsonName } from "./keyval.js";
import { type Printable, toJson } from "./qdict.js";

/** Whether the name starts with a protocol, as in `nbd:` or `https:`. */
const hasProtocol = (name: string): boolean => /^[A-Za-z0-9+.-]+:/.test(name) && !/^\.{0,2}\//.test(name);

/** The options of the file below the image that a plain name stands for. */
export function fileOptions(name: string): OptionTree {
  if (name.startsWith("json:")) return parseJsonName(name);
  if (name.startsWith("file:")) return { driver: "file", filename: name.slice("file:".length) };
  if (/^nbds?(\+unix)?:\/\//.test(name)) return { driver: "nbd", uri: name };
  if (name.startsWith("nbd:")) return { driver: "nbd", uri: legacyNbd(name) };
  if (/^https?:\/\//.test(name)) return { driver: name.slice(0, name.indexOf(":")), url: name };
  if (hasProtocol(name)) throw new CommandError(`Unknown protocol '${name.slice(0, name.indexOf(":"))}'`);
  return { driver: "file", filename: name };
}

/** `nbd:host:port[:exportname=x]` and `nbd:unix:path[:exportname=x]` as URIs. */
function legacyNbd(name: string): string {
  const match = /^nbd:(?:unix:([^:]+)|([^:]+|\[[^\]]*\]):(\d+))(?::exportname=(.*))?$/s.exec(name);
  if (match === null) throw new CommandError(`error parsing address '${name.slice("nbd:".length)}'`);
  const [, socket, host, port, exportName = ""] = match;
  const path = encodeURIComponent(exportName);
  return socket === undefined
    ? `nbd://${host}:${port}/${path}`
    : `nbd+unix:///${path}?socket=${encodeURIComponent(socket)}`;
}

/** The NBD URI that the options of an `nbd` node stand for. */
export function nbdUri(options: OptionTree): string {
  if (typeof options.uri === "string") return options.uri;
  const server = isTree(options.server) ? options.server : options;
  const name = encodeURIComponent(String(options.export ?? ""));
  const scheme = options["tls-creds"] === undefined ? "nbd" : "nbds";
  const path = server.path;
  if (typeof path === "string") return `${scheme}+unix:///${name}?socket=${encodeURIComponent(path)}`;
  if (typeof server.host !== "string") throw new CommandError("NBD server address missing");
  return `${scheme}://${server.host}:${server.port ?? 10809}/${name}`;
}

/** A backing file's name as seen from the directory of the program: relative to the image that names it. */
export function resolveBacking(name: string, from: string): string {
  if (name.startsWith("/") || hasProtocol(name)) return name;
  const base = from.startsWith("file:") ? from.slice("file:".length) : from;
  return base.slice(0, base.lastIndexOf("/") + 1) + name;
}

/** The options of a file that decide what it holds. */
function wholeFile(below: OptionTree): OptionTree {
  if (below.driver === "raw" && isTree(below.file)) return { ...below, file: wholeFile(below.file) };
  return below.driver === undefined || below.driver === "file" ? { driver: "file", filename: below.filename } : below;
}

/**
 * How a node is called in output: the name of the file below it, unless the format's own options decide what it holds;
 * then all of that.
 */
export function displayName(below: OptionTree, format: string, strong: { readonly [name: string]: Printable }): string {
  const isHostFile = below.driver === undefined || below.driver === "file";
  if (Object.keys(strong).length === 0) {
    if (isHostFile && typeof below.filename === "string") return below.filename;
    if (typeof below.uri === "string") return below.uri;
    if (typeof below.url === "string") return below.url;
    if (below.driver === "nbd") return nbdUri(below);
  }
  const whole = { driver: format, ...strong, file: wholeFile(below) } as Printable;
  // One line, as JSON inside of a file name is printed.
  return `json:${toJson(whole).replace(/\n\s*/g, (gap, at: number, text: string) => (/[{[]/.test(text[at - 1]) || /[}\]]/.test(text[at + gap.length]) ? "" : " "))}`;
}
