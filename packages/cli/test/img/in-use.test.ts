import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { openImage } from "@softmetal/qcow2/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { have, mask, Workshop } from "./side-by-side.js";

const INFO = [
  ["info", "-U", "a.qcow2"],
  ["info", "-U", "--output=json", "a.qcow2"],
  ["info", "a.qcow2"],
];

describe.skipIf(!have("qemu-img", "qemu-io"))("bitmaps of an image that is open elsewhere", () => {
  const workshop = new Workshop();
  const { theirs: folder } = workshop;
  afterAll(() => workshop.remove());
  beforeAll(() => {
    for (const line of [
      "create -q -f qcow2 a.qcow2 4M",
      "bitmap --add a.qcow2 on",
      "bitmap --add --disable -g 4k a.qcow2 off",
    ])
      expect(workshop.peer("qemu-img", line.split(" ")).stderr).toBe("");
  });

  /** Both programs say the same about the image; returns what they say first. */
  const same = async (): Promise<string> => {
    const outcomes: string[] = [];
    for (const args of INFO) {
      const theirs = mask(workshop.peer("qemu-img", args));
      expect(mask(await workshop.own("qemu-img", args, folder))).toEqual(theirs);
      outcomes.push(theirs.stdout);
    }
    return outcomes[0];
  };

  it("are in use while QEMU writes to it, and are not afterwards", async () => {
    const writer = spawn("qemu-io", ["a.qcow2"], { cwd: folder, stdio: ["pipe", "pipe", "inherit"] });
    try {
      writer.stdin.write("write 0 64k\n");
      for await (const chunk of writer.stdout) if (String(chunk).includes("wrote")) break;
      expect((await same()).match(/in-use/g)).toHaveLength(2);
    } finally {
      writer.stdin.end("quit\n");
      if (writer.exitCode === null) await once(writer, "exit");
    }
    expect(await same()).not.toContain("in-use");
  });

  it("are in use while we write to it, and are not afterwards", async () => {
    const image = await openImage(join(folder, "a.qcow2"), { format: "qcow2" });
    try {
      await image.write(new Uint8Array(512), 0);
      await image.flush();
      expect(workshop.peer("qemu-img", INFO[0]).stdout).toContain("in-use");
    } finally {
      await image.close();
    }
    expect(await same()).not.toContain("in-use");
  });
});
