// Runs the interpreter generator and writes its module and handler numbers to src/generated/interpreter.js.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));

/** Generates; leaves the file alone when nothing has changed. For `counters` see `generateInterpreter`. */
export default async function generate(options = {}) {
  const bundle = path("node_modules/.cache/generate.mjs");
  await build({
    entryPoints: [path("src/interpreter/generate.ts")],
    outfile: bundle,
    bundle: true,
    format: "esm",
    target: "es2022",
    logLevel: "warning",
  });
  const { generateInterpreter } = await import(`${pathToFileURL(bundle)}?${Date.now()}`);
  const { module, numbers, names, fingerprint } = generateInterpreter(options);
  const base64 = (bytes) => Buffer.from(bytes).toString("base64");
  const text = `export const MODULE = "${base64(module)}";
export const NUMBERS = "${base64(new Uint8Array(numbers.buffer))}";
export const FINGERPRINT = ${fingerprint};
export const NAMES = ${JSON.stringify(names)};
`;
  const target = path("src/generated/interpreter.js");
  mkdirSync(path("src/generated"), { recursive: true });
  if (!existsSync(target) || readFileSync(target, "utf8") !== text) writeFileSync(target, text);
  return { handlers: names.length, bytes: module.length };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { handlers, bytes } = await generate();
  console.log(`interpreter: ${handlers} handlers, ${bytes} bytes`);
}
