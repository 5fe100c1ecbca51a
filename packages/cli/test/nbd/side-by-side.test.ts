import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { reachable, run } from "../../../nbd/test/peers.js";
import { CapturedTerminal } from "../../src/img/support/terminal.js";
import { main as nbd } from "../../src/nbd/main.js";
import { have, mask, Workshop } from "../img/side-by-side.js";

const workshop = new Workshop();
afterAll(() => workshop.remove());
const image = (name: string) => join(workshop.ours, name);
const socket = join(workshop.root, "s");
const uri = (name = "") => `nbd+unix:///${name}?socket=${socket}`;

/** What clients see, in one text: nothing in it depends on who serves. */
async function look(commands: readonly (readonly string[])[]): Promise<string[]> {
  const seen: string[] = [];
  for (const [program, ...args] of commands) {
    const { stdout, stderr } = await run(program, args).catch((error: { stdout: string; stderr: string }) => error);
    seen.push(`${args.join(" ")}\n${mask({ status: 0, stdout, stderr }).stdout}${stderr}`);
  }
  return seen;
}

async function ours(args: readonly string[], work: () => Promise<string[]>, name: string): Promise<string[]> {
  const terminal = new CapturedTerminal();
  const serving = nbd(["-t", "-k", socket, ...args], "qemu-nbd", terminal);
  try {
    await reachable(uri(name));
    return await work();
  } finally {
    process.emit("SIGTERM", "SIGTERM");
    expect(await serving).toBe(0);
    expect(terminal.stderr).toBe("");
    expect(existsSync(socket)).toBe(false);
  }
}

async function theirs(args: readonly string[], work: () => Promise<string[]>, name: string): Promise<string[]> {
  const child = spawn("qemu-nbd", ["-t", "-k", socket, ...args], { stdio: "ignore" });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  try {
    await reachable(uri(name));
    return await work();
  } finally {
    child.kill();
    await exited;
    rmSync(socket, { force: true });
  }
}

beforeAll(() => {
  if (!have("qemu-img", "qemu-io")) return;
  const qemu = (program: "qemu-img" | "qemu-io", ...args: string[]) => {
    expect(workshop.peer(program, args, workshop.ours)).toMatchObject({ status: 0 });
  };
  qemu("qemu-img", "create", "-q", "-f", "qcow2", "base.qcow2", "8M");
  qemu("qemu-io", "-c", "write -P 1 0 1M", "-c", "write -z 6M 128k", "base.qcow2");
  qemu("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "a.qcow2");
  qemu("qemu-io", "-c", "write -P 2 3M 100k", "a.qcow2");
  qemu("qemu-img", "snapshot", "-c", "old", "a.qcow2");
  qemu("qemu-img", "bitmap", "--add", "a.qcow2", "b0");
  qemu("qemu-io", "-c", "write -P 3 4M 64k", "-c", "write -z -u 3M 64k", "-c", "write -c -P 9 5M 64k", "a.qcow2");
  qemu("qemu-img", "bitmap", "--add", "a.qcow2", "b1");
  qemu("qemu-img", "bitmap", "--disable", "a.qcow2", "b0");
  qemu("qemu-img", "create", "-q", "-f", "raw", "odd.raw", "1000001");
  qemu("qemu-io", "-f", "raw", "-c", "write -P 5 64k 100001", "odd.raw");
});

/** Everything that can be asked without changing the image. */
const questions = (name: string, contexts: readonly string[] = []): string[][] => [
  ["nbdinfo", "--json", uri(name)],
  ["nbdinfo", uri(name)],
  ["nbdinfo", "--list", "--json", uri(name)],
  ["nbdinfo", "--map", "--json", uri(name)],
  ["nbdinfo", "--map", uri(name)],
  ["nbdinfo", "--map", "--totals", uri(name)],
  ["nbdinfo", "--size", uri(name)],
  ["nbdinfo", "--is", "read-only", uri(name)],
  ["nbdinfo", "--can", "multi-conn", uri(name)],
  ["nbdinfo", uri("other")],
  ...contexts.map((context) => ["nbdinfo", `--map=${context}`, "--json", uri(name)]),
  ["qemu-nbd", "-L", "-k", socket],
  ["qemu-img", "map", "--output=json", "-f", "raw", uri(name)],
  ["qemu-img", "info", "--output=json", "-f", "raw", uri(name)],
  ["qemu-io", "-f", "raw", "-r", "-c", "read -v 3M 32", "-c", "read -P 3 4M 64k", "-c", "read -P 9 5M 64k", uri(name)],
];

describe.skipIf(!have("qemu-nbd", "qemu-img", "qemu-io", "nbdinfo"))("clients see what qemu-nbd shows them", () => {
  it.each<[string, string[], string, string[]]>([
    ["a chain", [image("a.qcow2")], "", []],
    ["with a name and a description", ["-x", "na me", "-D", "a text", image("a.qcow2")], "na%20me", []],
    ["read-only", ["-r", image("a.qcow2")], "", []],
    ["shared", ["-e", "5", image("a.qcow2")], "", []],
    ["shared by all, read-only", ["-e", "0", "-r", image("a.qcow2")], "", []],
    [
      "bitmaps and the allocation depth",
      ["-A", "-B", "b0", "-B", "b1", "-r", image("a.qcow2")],
      "",
      ["qemu:dirty-bitmap:b0", "qemu:dirty-bitmap:b1", "qemu:allocation-depth", "qemu:none"],
    ],
    // Without a backing file: QEMU's raw format, which does the offset, knows nothing of those.
    ["an offset", ["-o", "1048576", image("base.qcow2")], "", []],
    ["an offset in hexadecimal", ["-o", "0x10000", image("base.qcow2")], "", []],
    ["an offset in octal", ["-o", "0200000", image("base.qcow2")], "", []],
    ["an offset at the end", ["-o", "8388608", image("base.qcow2")], "", []],
    ["a temporary overlay", ["-s", image("base.qcow2")], "", []],
    ["a temporary overlay with its depth", ["-s", "-A", image("base.qcow2")], "", ["qemu:allocation-depth"]],
    ["a snapshot by name", ["-l", "old", image("a.qcow2")], "", []],
    ["a snapshot by identifier", ["--load-snapshot=snapshot.id=1", image("a.qcow2")], "", []],
    ["a snapshot by both", ["-l", "snapshot.id=1,snapshot.name=old", image("a.qcow2")], "", []],
    ["a format", ["-f", "raw", image("a.qcow2")], "", []],
    ["image options", ["--image-opts", `driver=qcow2,file.driver=file,file.filename=${image("base.qcow2")}`], "", []],
    ["a raw image of odd size", ["-f", "raw", image("odd.raw")], "", []],
    ["discard", ["--discard=unmap", "--detect-zeroes=unmap", image("a.qcow2")], "", []],
    ["no cache", ["-n", image("a.qcow2")], "", []],
    ["writethrough", ["--cache=writethrough", "--aio=threads", image("a.qcow2")], "", []],
  ])("%s", async (_, args, name, contexts) => {
    const work = () => look(questions(name, contexts));
    expect(await ours(args, work, name)).toEqual(await theirs(args, work, name));
  });
});

describe.skipIf(!have("qemu-nbd", "qemu-img", "qemu-io", "nbdcopy"))(
  "clients leave the image that qemu-nbd would",
  () => {
    const writes = [
      "write -z 0 64k",
      "write -z -u 64k 64k",
      "write -P 0 128k 64k",
      "write -P 0 200k 1k",
      "discard 256k 128k",
      "write -P 7 2M 64k",
      "write -z -u 2M 64k",
      "write -P 8 3M 64k",
      "discard 3M 64k",
      "write -P 0 5M 128k",
      "write -f -P 9 6M 512",
      "flush",
    ].flatMap((command) => ["-c", command]);

    /** What the image holds, and for qcow2 in which clusters; where a raw image has holes is the file system's affair. */
    const contents = async (): Promise<string[]> => {
      const file = image("w.img");
      await run("qemu-img", ["convert", "-f", format, "-O", "raw", file, image("w.raw")]);
      const hash = createHash("sha256")
        .update(readFileSync(image("w.raw")))
        .digest("hex");
      if (format === "raw") return [hash];
      expect((await run("qemu-img", ["check", file])).stdout).toContain("No errors were found");
      return [hash, (await run("qemu-io", ["-r", "-f", format, "-c", "map", file])).stdout];
    };
    let format = "qcow2";

    it.each<[string, string[]]>([
      ["qcow2", []],
      ["qcow2", ["--discard=unmap"]],
      ["qcow2", ["--discard=unmap", "--detect-zeroes=unmap"]],
      ["qcow2", ["--discard=on", "--detect-zeroes=on"]],
      ["qcow2", ["--detect-zeroes=on", "--cache=writethrough"]],
      ["qcow2", ["--cache=unsafe"]],
      ["qcow2", ["-o", "65536"]],
      ["raw", []],
      ["raw", ["--discard=unmap"]],
      ["raw", ["--discard=unmap", "--detect-zeroes=unmap"]],
      ["raw", ["--detect-zeroes=on", "--cache=directsync"]],
      ["raw", ["-o", "512"]],
    ])("%s %j", async (kind, args) => {
      format = kind;
      const work = async (): Promise<string[]> => {
        const { stdout } = await run("qemu-io", ["-f", "raw", ...writes, uri()]);
        return [mask({ status: 0, stdout, stderr: "" }).stdout];
      };
      const prepare = (): void => {
        rmSync(image("w.img"), { force: true });
        workshop.peer("qemu-img", ["create", "-q", "-f", kind, "w.img", "8M"], workshop.ours);
        workshop.peer("qemu-io", ["-f", kind, "-c", "write -P 1 0 1M", "w.img"], workshop.ours);
      };
      prepare();
      const own = [...(await ours(["-f", kind, ...args, image("w.img")], work, "")), ...(await contents())];
      prepare();
      const peer = [...(await theirs(["-f", kind, ...args, image("w.img")], work, "")), ...(await contents())];
      expect(own).toEqual(peer);
    });
  },
);
