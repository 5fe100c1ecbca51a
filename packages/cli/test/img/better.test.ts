import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { have, type Outcome, Workshop } from "./side-by-side.js";

// Where qemu-img hangs or damages something, we do not follow it.
describe.skipIf(!have("qemu-img", "qemu-io"))("what qemu-img had better not do", () => {
  const workshop = new Workshop();
  const run = (...args: string[]): Promise<Outcome> => workshop.own("qemu-img", args);
  afterAll(() => workshop.remove());
  beforeAll(async () => {
    for (const line of [
      "create -q -f raw r.raw 1M",
      "create -q -f qcow2 a.qcow2 1M",
      "create -q -f qcow2 -b a.qcow2 -F qcow2 b.qcow2",
      "create -q -f qcow2 -b r.raw -F raw o.qcow2",
    ])
      expect((await run(...line.split(" "))).stderr).toBe("");
  });

  it("benchmarks without a request under way are refused", async () => {
    const { status, stderr } = await run("bench", "-d", "0", "a.qcow2");
    expect({ status, stderr }).toEqual({ status: 1, stderr: "qemu-img: Invalid queue depth specified\n" });
    expect((await run("bench", "-c", "3", "-s", "0", "a.qcow2")).status).toBe(0);
  });

  it("an image is not created over its own backing file, however that is written", async () => {
    const { status, stderr } = await run("create", "-f", "qcow2", "-b", "r.raw", "-F", "raw", "./r.raw");
    expect(status).toBe(1);
    expect(stderr).toContain("same filename as the backing file");
    expect((await run("info", "r.raw")).stdout).toContain("file format: raw");
  });

  it("a backing file is not stored with a format in which it cannot be opened, though it is in the chain", async () => {
    expect((await run("rebase", "-b", "r.raw", "-F", "qcow2", "o.qcow2")).status).toBe(1);
    expect((await run("info", "o.qcow2")).stdout).toContain("backing file format: raw");
  });

  it("a discard of nothing takes no table, whose refcount could be in the way of a snapshot", async () => {
    const create = ["create", "-q", "-f", "qcow2", "-o", "cluster_size=512,refcount_bits=1", "narrow.qcow2", "1M"];
    const discard = ["-d", "unmap", "-c", "discard -q 64k 64k", "narrow.qcow2"];
    const snapshot = ["snapshot", "-c", "s", "narrow.qcow2"];
    await workshop.both("qemu-img", create);
    await workshop.both("qemu-io", discard);
    const { ours, theirs } = await workshop.both("qemu-img", snapshot);
    expect(ours).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(theirs).toMatchObject({ status: 1, stderr: expect.stringContaining("Could not create snapshot") });
    expect(workshop.peer("qemu-img", ["check", "-q", "narrow.qcow2"], workshop.ours).status).toBe(0);
  });

  it("a loop of backing files is one short error", async () => {
    expect((await run("rebase", "-u", "-b", "b.qcow2", "-F", "qcow2", "a.qcow2")).status).toBe(0);
    for (const command of ["map", "check", "bench"]) {
      const { status, stderr } = await run(command, "b.qcow2");
      expect(status).toBe(1);
      expect(stderr).toBe("qemu-img: Could not open 'b.qcow2': The backing chain is too long, or a loop\n");
    }
  });
});
