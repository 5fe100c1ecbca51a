import { Qcow2Error } from "./errors.js";
import { parseQemuJson, type QemuJson } from "./json/index.js";

/** What the name of a backing file says. */
export interface BackingName {
  /** Path or URL. */
  readonly file: string;
  /** The format, when a `json:` name says it. */
  readonly format?: string;
  /** Byte offset and size of a part of the file (raw only). */
  readonly offset?: number;
  readonly size?: number;
}

/** Parses the name stored in a header: a path, `file:path`, a URL, or `json:{...}` as QEMU writes it. */
export function parseBackingName(name: string): BackingName {
  if (name.startsWith("json:")) return parseJson(name);
  return { file: name.startsWith("file:") && !name.startsWith("file://") ? name.slice(5) : name };
}

function parseJson(name: string): BackingName {
  const bad = (reason: string): never => {
    throw new Qcow2Error("corrupt", `backing file name ${JSON.stringify(name)}: ${reason}`);
  };
  let parsed: QemuJson;
  try {
    parsed = parseQemuJson(name.slice("json:".length));
  } catch (error) {
    return bad((error as Error).message);
  }
  if (typeof parsed !== "object" || parsed === null) return bad("not an object");
  const flat = new Map<string, unknown>();
  flatten(parsed as Record<string, unknown>, "", flat, 0);
  const text = (key: string): string | undefined => {
    const value = flat.get(key);
    return typeof value === "string" ? value : undefined;
  };
  const number = (key: string): number | undefined => {
    const value = flat.get(key);
    return value === undefined ? undefined : Number(value);
  };
  const driver = text("driver");
  const file =
    text("file.filename") ?? text("filename") ?? text("file.file.filename") ?? text("file.url") ?? text("url");
  if (file === undefined) return bad("names no file");
  const isProtocol = driver === "file" || driver === "host_device" || driver === "https" || driver === "http";
  return {
    file,
    format: driver === undefined || isProtocol ? undefined : driver,
    offset: number("offset"),
    size: number("size"),
  };
}

function flatten(value: Record<string, unknown>, prefix: string, into: Map<string, unknown>, depth: number): void {
  if (depth > 16) return;
  for (const [key, item] of Object.entries(value)) {
    if (typeof item === "object" && item !== null && !Array.isArray(item)) {
      flatten(item as Record<string, unknown>, `${prefix}${key}.`, into, depth + 1);
    } else {
      into.set(prefix + key, item);
    }
  }
}
