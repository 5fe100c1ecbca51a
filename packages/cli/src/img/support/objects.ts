import { readFileSync } from "node:fs";
import { CommandError, type Context, errnoText } from "./context.js";
import { parseOptions } from "./keyval.js";
import { TLS_OPTIONS, tlsObject } from "./tls-objects.js";

/** The options of each type of object, beside `qom-type` and `id`. */
const KNOWN: Readonly<Record<string, readonly string[]>> = {
  secret: ["data", "file", "format", "keyid", "iv"],
  ...TLS_OPTIONS,
};

/** Defines what `--object type,id=...` describes: a secret or TLS credentials. */
export function defineObject(context: Context, text: string): void {
  const options = parseOptions(text, "qom-type");
  const type = options.get("qom-type");
  if (type === undefined || !Object.hasOwn(KNOWN, type)) {
    throw new CommandError(
      type === undefined ? "Parameter 'qom-type' is missing" : `Parameter 'qom-type' does not accept value '${type}'`,
    );
  }
  const id = options.get("id");
  if (id === undefined) throw new CommandError("Parameter 'id' is missing");
  if (!/^[A-Za-z][A-Za-z0-9._-]*$/.test(id)) {
    throw new CommandError(
      "Parameter 'id' expects an identifier\n" +
        "Identifiers consist of letters, digits, '-', '.', '_', starting with a letter.",
    );
  }
  const unexpected = [...options.keys()].find((key) => !["qom-type", "id", ...KNOWN[type]].includes(key));
  if (unexpected !== undefined) throw new CommandError(`Parameter '${unexpected}' is unexpected`);
  if (context.secrets.has(id) || context.tlsObjects.has(id)) {
    throw new CommandError(`attempt to add duplicate property '${id}' to object (type 'container')`);
  }
  if (type === "secret") context.secrets.set(id, secretValue(options));
  else context.tlsObjects.set(id, tlsObject(context, type, options));
}

function secretValue(options: ReadonlyMap<string, string>): string {
  const data = options.get("data");
  const file = options.get("file");
  if (options.has("keyid")) throw new CommandError("Encrypted secrets ('keyid') are not supported");
  if ((data === undefined) === (file === undefined)) {
    throw new CommandError(
      data === undefined ? "Either 'file' or 'data' must be provided" : "'file' and 'data' are mutually exclusive",
    );
  }
  let raw = data ?? "";
  if (file !== undefined) {
    try {
      raw = readFileSync(file, "utf8");
    } catch (error) {
      const reason = errnoText(error) ?? String(error);
      throw new CommandError(`Unable to read ${file}: Failed to open file “${file}”: ${reason}`);
    }
  }
  const format = options.get("format") ?? "raw";
  if (format === "raw") return raw;
  if (format === "base64") return Buffer.from(raw, "base64").toString("utf8");
  throw new CommandError(`Invalid parameter '${format}'`);
}
