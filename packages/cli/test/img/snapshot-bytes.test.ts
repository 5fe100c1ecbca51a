import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MemoryFile, openQcow2 } from "@softmetal/qcow2";
import { afterAll, describe, expect, it } from "vitest";
import { have, Workshop } from "./side-by-side.js";

/** Fields of a snapshot table entry that differ by nature: the time in seconds and nanoseconds. */
const DATE_AT = 16;
const DATE_BYTES = 8;

/** The snapshot table of an image, without dates and without what is behind its last entry. */
function snapshotTable(path: string): Buffer {
  const image = readFileSync(path);
  const table = image.subarray(Number(image.readBigUInt64BE(64)));
  let end = 0;
  for (let at = 0, left = image.readUInt32BE(60); left > 0; left--) {
    table.fill(0, at + DATE_AT, at + DATE_AT + DATE_BYTES);
    end = at + 40 + table.readUInt32BE(at + 36) + table.readUInt16BE(at + 12) + table.readUInt16BE(at + 14);
    at = (end + 7) & ~7;
  }
  return table.subarray(0, end);
}

describe.skipIf(!have("qemu-img", "qemu-io"))("what `snapshot -c` stores", () => {
  const workshop = new Workshop();
  afterAll(() => workshop.remove());

  it("is what qemu-img stores, byte for byte", async () => {
    for (const line of [
      "create -q -f qcow2 a.qcow2 4M",
      "snapshot -c first a.qcow2",
      "snapshot -c another-one a.qcow2",
      "resize -q a.qcow2 5M",
      "snapshot -c third a.qcow2",
      "snapshot -d first a.qcow2",
      "snapshot -c fourth a.qcow2",
    ]) {
      const { ours, theirs } = await workshop.both("qemu-img", line.split(" "));
      expect(ours).toEqual(theirs);
    }
    const [ours, theirs] = [workshop.ours, workshop.theirs].map((folder) => join(folder, "a.qcow2"));
    const tables = [ours, theirs].map(snapshotTable);
    expect(tables[0].length).toBeGreaterThan(200);
    expect(tables[0].toString("hex")).toBe(tables[1].toString("hex"));
  });

  it("an instruction count of the library is shown as QEMU shows it", async () => {
    workshop.peer("qemu-img", ["create", "-q", "-f", "qcow2", "i.qcow2", "1M"], workshop.ours);
    const path = join(workshop.ours, "i.qcow2");
    const file = new MemoryFile("i.qcow2", readFileSync(path));
    const image = await openQcow2(file);
    await image.createSnapshot({ name: "counted", icount: 123_456_789n });
    await image.createSnapshot({ name: "not counted" });
    expect(image.listSnapshots().map(({ icount }) => icount)).toEqual([123_456_789n, undefined]);
    await image.close();
    writeFileSync(path, file.bytes());
    for (const args of [["snapshot", "-l"], ["info"], ["info", "--output=json"]]) {
      const theirs = workshop.peer("qemu-img", [...args, "i.qcow2"], workshop.ours);
      const ours = await workshop.own("qemu-img", [...args, "i.qcow2"]);
      expect(theirs.stdout).toContain("123456789");
      expect(ours).toEqual(theirs);
    }
  });
});
