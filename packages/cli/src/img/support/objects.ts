import { createDecipheriv } from "node:crypto";
import { readFileSync } from "node:fs";
import { parseQemuJson, type QemuJson } from "@softmetal/qcow2/json";
import { CommandError, type Context, Exit, errnoText } from "./context.js";
import { splitOptions } from "./keyval.js";
import { TLS_OPTIONS, tlsObject } from "./tls-objects.js";

/** The options of each type of object, beside `qom-type` and `id`. */
const KNOWN: Readonly<Record<string, readonly string[]>> = {
  secret: ["data", "file", "format", "keyid", "iv"],
  ...TLS_OPTIONS,
};

/** What properties other than strings are called in help. */
const TYPES: Readonly<Record<string, string>> = {
  format: "QCryptoSecretFormat",
  endpoint: "QCryptoTLSCredsEndpoint",
  "verify-peer": "bool",
  "sanity-check": "bool",
};

function explain(context: Context, title: string, lines: readonly string[]): never {
  context.out(`${[title, ...[...lines].sort().map((line) => `  ${line}`)].join("\n")}\n`);
  throw new Exit(0);
}

/** Defines what `--object type,id=...` or `--object {...}` describes: a secret or TLS credentials. */
export function defineObject(context: Context, text: string): void {
  const options = text.startsWith("{") ? jsonProperties(text) : properties(text);
  const type = options.get("qom-type");
  if (type === "help" || type === "?") explain(context, "List of user creatable objects:", Object.keys(KNOWN));
  if (type === undefined || !Object.hasOwn(KNOWN, type)) {
    throw new CommandError(
      type === undefined ? "Parameter 'qom-type' is missing" : `Parameter 'qom-type' does not accept value '${type}'`,
    );
  }
  if (options.has("help") || options.has("?")) {
    const lines = KNOWN[type].map((name) => `${name}=<${TYPES[name] ?? "string"}>`);
    explain(context, `${type} options:`, lines);
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
  if (type === "secret") defineSecret(context, id, secretValue(context, options));
  else context.tlsObjects.set(id, tlsObject(context, type, options));
}

/** `type,name=value,...`: every property needs a value. */
function properties(text: string): Map<string, string> {
  const options = new Map<string, string>();
  for (const { key, value } of splitOptions(text, "qom-type")) {
    if (key === "" || text.startsWith(",")) throw new CommandError("Invalid parameter ''");
    if (value === undefined && key !== "help" && key !== "?")
      throw new CommandError(`Expected '=' after parameter '${key}'`);
    options.set(key, value ?? "");
  }
  return options;
}

function jsonProperties(text: string): Map<string, string> {
  let value: QemuJson;
  try {
    value = parseQemuJson(text);
  } catch (error) {
    throw new CommandError((error as Error).message);
  }
  return new Map(
    Object.entries(value as object).map(([name, property]) => {
      if (typeof property !== "string")
        throw new CommandError(`Invalid parameter type for '${name}', expected: string`);
      return [name, property];
    }),
  );
}

function defineSecret(context: Context, id: string, bytes: Buffer): void {
  context.secrets.set(id, bytes.toString("utf8"));
  context.secretBytes.set(id, bytes);
}

function secretValue(context: Context, options: ReadonlyMap<string, string>): Buffer {
  const format = options.get("format") ?? "raw";
  if (format !== "raw" && format !== "base64")
    throw new CommandError(`Parameter 'format' does not accept value '${format}'`);
  const raw = secretInput(options);
  const keyId = options.get("keyid");
  if (keyId === undefined) return format === "base64" ? fromBase64(raw) : raw;
  return decrypt(context, format === "base64" ? fromBase64(raw) : raw, keyId, options.get("iv"));
}

function secretInput(options: ReadonlyMap<string, string>): Buffer {
  const data = options.get("data");
  const file = options.get("file");
  if ((data === undefined) === (file === undefined)) {
    throw new CommandError(
      data === undefined ? "Either 'file' or 'data' must be provided" : "'file' and 'data' are mutually exclusive",
    );
  }
  if (file === undefined) return Buffer.from(data!);
  try {
    return readFileSync(file);
  } catch (error) {
    const reason = errnoText(error) ?? String(error);
    const what = (error as NodeJS.ErrnoException).code === "EISDIR" ? "Error reading file" : "Failed to open file";
    throw new CommandError(`Unable to read ${file}: ${what} “${file}”: ${reason}`);
  }
}

function fromBase64(text: Buffer): Buffer {
  const digits = text.toString("latin1");
  if (!/^[A-Za-z0-9+/=\n]*$/.test(digits)) throw new CommandError("Base64 data contains invalid characters");
  return Buffer.from(digits, "base64");
}

/** A secret encrypted by another one: AES-256 in CBC mode, padded; the vector in Base64. */
function decrypt(context: Context, content: Buffer, keyId: string, vector: string | undefined): Buffer {
  const key = context.secretBytes.get(keyId);
  if (key === undefined) throw new CommandError(`No secret with id '${keyId}'`);
  if (key.length !== 32) throw new CommandError("Key should be 32 bytes in length");
  if (vector === undefined) throw new CommandError("IV is required to decrypt secret");
  const iv = fromBase64(Buffer.from(vector));
  if (iv.length !== 16) throw new CommandError(`IV should be 16 bytes in length not ${iv.length}`);
  if (content.length % 16 !== 0) throw new CommandError(`Length ${content.length} must be a multiple of block size 16`);
  try {
    const cipher = createDecipheriv("aes-256-cbc", key, iv);
    return Buffer.concat([cipher.update(content), cipher.final()]);
  } catch {
    throw new CommandError(`Secret with keyid '${keyId}' cannot be decrypted`);
  }
}
