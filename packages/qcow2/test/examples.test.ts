import { mkdirSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { overlay } from "../examples/overlay.js";
import { quickStart } from "../examples/quick-start.js";
import { temporaryFolder } from "./support.js";

const folder = temporaryFolder();
afterAll(() => folder.remove());

describe("the examples of the README", () => {
  it("quick start", async () => {
    const path = folder.path("quick");
    mkdirSync(path);
    expect(await quickStart(path)).toEqual(["after!", "before", "65536 bytes of data at 0", "0 corruptions, 0 leaks"]);
  });

  it("overlay", async () => {
    const path = folder.path("overlay");
    mkdirSync(path);
    expect(await overlay(path)).toBe("kept");
  });
});
