import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { have, Workshop } from "./side-by-side.js";

/** Random text; more of it with SOFTMETAL_JSON_CASES. */
const CASES = Number(process.env.SOFTMETAL_JSON_CASES ?? 150);

/** Pieces of which random text is made: all that the dialect knows, and what is wrong in it. (QEMU's messages cut bytes.) */
const PIECES = [" ", "\t", '"\t"'].concat(
  String.raw`{ } [ ] : , "a" 'b' "driver" "raw" {'x':1} [] {} true null tru 0 -1 1.5 01 1. 2e - 1e+9 "\u00e9" "\ud83d\ude00"
    "\ud800" "\uFFFE" "\u12" "\n" "\q" " ' %d & A '"' "'" "\" '\''`.split(/\s+/),
);

describe.skipIf(!have("qemu-img"))("names in JSON", () => {
  let workshop: Workshop;
  beforeAll(() => {
    workshop = new Workshop();
  });
  afterAll(() => workshop.remove());

  async function same(...args: string[]): Promise<void> {
    const { ours, theirs } = await workshop.both("qemu-img", args);
    expect(ours, args.join(" ")).toEqual(theirs);
  }

  it.each([
    "{'driver':'raw','file':{'driver':'file','filename':'none'}}",
    `{"driver":"raw",'file.filename':"none"}`,
    "",
    " x",
    "{",
    '{"a":',
    '{"a":1} x',
    '{"a":1}{',
    '{"a":1,"a":2}',
    '{"driver":"raw",}',
    '{"a" 1}',
    "{1:2}",
    "{]",
    "}",
    '{"a":[1 2]}',
    '{"a":[1,]}',
    '{"a":01}',
    '{"a":1.}',
    '{"a":-x}',
    '{"a":1.5.}',
    '{"a":1e}',
    '{"a":"\\u00zz"}',
    '{"a":"\\u0"}',
    '{"a":"\\ud800\\u0041"}',
    '{"a":"\\ud800\\udc00"}',
    '{"a":"\\q"}',
    '{"a":"x',
    "{'a':'x\"}",
    '{"a":%d}',
    '"x"',
    "5",
    "null",
    "[]",
    '{"a":"\x7f"}',
    '{"a":"\x1f"}',
    '{"filename":"x"}',
    '{"file":"x"}',
    '{"file":{}}',
    '{"driver":1}',
    '{"driver":"qcow2","file":{"a":1}}',
    '{"é":"é"}',
  ])("json:%s", (text) => same("info", `json:${text}`));

  it.each([1023, 1024])("brackets %i deep in braces", (depth) => same("info", `json:{"a":${"[".repeat(depth)}`));

  it("random ones", { timeout: 60_000 + 100 * CASES }, async () => {
    const pieces = fc.array(fc.constantFrom(...PIECES), { maxLength: 9 });
    const texts = fc.oneof(
      pieces.map((list) => list.join("")),
      pieces.map((list) => `{"a":${list.join("")}}`),
    );
    await fc.assert(
      fc.asyncProperty(texts, (text) => same("info", `json:${text}`)),
      { numRuns: CASES },
    );
  });

  it.each([
    "{'qom-type':'secret','id':'s','data':'x'}",
    "{'qom-type':'secret',}",
    "{'qom-type':'secret','id':'s','id':'t'}",
  ])("--object %s", (object) => same("info", "--object", object, "none"));
});
