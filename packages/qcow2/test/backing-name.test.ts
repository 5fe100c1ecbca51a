import { afterAll, describe, expect, it } from "vitest";
import { parseBackingName } from "../src/index.js";
import { createImage, openImage, resolveName } from "../src/node/index.js";
import { temporaryFolder } from "./support.js";

const folder = temporaryFolder();
afterAll(() => folder.remove());

describe("names of backing files", () => {
  it.each([
    ["base.img", { file: "base.img" }],
    ["file:base.img", { file: "base.img" }],
    ["nbd://host/export", { file: "nbd://host/export" }],
    ['json:{"driver":"qcow2","file":{"driver":"file","filename":"a b"}}', { file: "a b", format: "qcow2" }],
    ['json:{"driver":"qcow2","file.filename":"x"}', { file: "x", format: "qcow2" }],
    [
      'json:{"driver":"raw","offset":512,"size":"1024","file.filename":"x"}',
      { file: "x", format: "raw", offset: 512, size: 1024 },
    ],
    ['json:{"driver":"file","filename":"x"}', { file: "x" }],
  ])("%s", (name, expected) => {
    expect(parseBackingName(name)).toEqual(expected);
  });

  it.each(["json:", "json:[1", "json:7", "json:{}", 'json:{"file":{"file":{}}}'])("%s is refused", (name) => {
    expect(() => parseBackingName(name)).toThrow(expect.objectContaining({ code: "corrupt" }));
  });

  it("are relative to the image", () => {
    expect(resolveName("base.img", "/images/top.qcow2")).toBe("/images/base.img");
    expect(resolveName("/base.img", "/images/top.qcow2")).toBe("/base.img");
    expect(resolveName("nbd://host", "/images/top.qcow2")).toBe("nbd://host");
  });

  it("a chain that bites its tail ends in an error", async () => {
    const path = folder.path("loop.qcow2");
    await createImage(path, { size: 65536, backing: { name: "loop.qcow2", format: "qcow2" } });
    await expect(openImage(path, { readOnly: true })).rejects.toMatchObject({ code: "too-large" });
  });

  it("a missing backing file fails, unless the chain is left closed", async () => {
    const path = folder.path("orphan.qcow2");
    await createImage(path, { size: 65536, backing: { name: "missing.img", format: "raw" } });
    await expect(openImage(path)).rejects.toMatchObject({ code: "ENOENT" });
    const image = await openImage(path, { backingChain: false, format: "qcow2" });
    expect(image.info()).toMatchObject({ backingFile: "missing.img", backingFormat: "raw" });
    await image.close();
  });
});
