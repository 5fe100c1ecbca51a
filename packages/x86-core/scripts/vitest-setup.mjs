import generate from "./generate.mjs";

/** vitest's global set-up: generates the interpreter from the sources as they are. */
export default async function setup() {
  await generate();
}
