import { copyFileSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DAMAGES, ImageBytes } from "../../../qcow2/test/damaged-images.js";
import { have, type Outcome, Workshop } from "./side-by-side.js";

interface Kind {
  /** Options of `create`. */
  readonly options: string;
  readonly version2?: boolean;
  readonly snapshots?: boolean;
  readonly compressed?: boolean;
  readonly bitmaps?: boolean;
  readonly luks?: boolean;
}

/** What the images have; each kind is made by both programs. */
const KINDS: Readonly<Record<string, Kind>> = {
  "64k clusters, snapshots": { options: "cluster_size=64k", snapshots: true, compressed: true },
  "512-byte clusters": { options: "cluster_size=512", compressed: true },
  "version 2, 1k clusters": { options: "compat=0.10,cluster_size=1k", snapshots: true },
  "zstd, 4k clusters, snapshots": {
    options: "cluster_size=4k,compression_type=zstd",
    snapshots: true,
    compressed: true,
  },
  "4k clusters, bitmaps": { options: "cluster_size=4k", bitmaps: true },
  "subclusters, bitmaps": { options: "cluster_size=16k,extended_l2=on", compressed: true, bitmaps: true },
  "1-bit refcounts": { options: "cluster_size=4k,refcount_bits=1" },
  "2-bit refcounts": { options: "cluster_size=4k,refcount_bits=2", snapshots: true },
  "4-bit refcounts": { options: "cluster_size=4k,refcount_bits=4", compressed: true },
  "8-bit refcounts, lazy": { options: "cluster_size=2k,refcount_bits=8,lazy_refcounts=on", snapshots: true },
  "32-bit refcounts": { options: "cluster_size=8k,refcount_bits=32", snapshots: true },
  "64-bit refcounts": { options: "cluster_size=1k,refcount_bits=64", compressed: true },
  "2M clusters": { options: "cluster_size=2M", snapshots: true },
  LUKS: { options: "cluster_size=4k,encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10", luks: true },
  "external data file": { options: "cluster_size=4k,data_file=ext.data" },
};

/** SOFTMETAL_DAMAGES=all tries every damage on every image; otherwise every image gets some of them. */
const ALL = process.env.SOFTMETAL_DAMAGES === "all";
const SHARE = 20;
/** The kinds that get certain damages in any case. */
const THOROUGH: Readonly<Record<string, RegExp>> = {
  "zstd, 4k clusters, snapshots": /^/,
  "4k clusters, bitmaps": /bitmap/,
  "subclusters, bitmaps": /subcluster/,
};

/** Differences in status and counts that are meant, by their heading in the list. */
const DIVERGENCES: Readonly<Record<string, (damage: string, mode: string, kind: Kind) => boolean>> = {
  "snapshots-lost-on-repair": (damage, mode, kind) =>
    mode !== "" && kind.snapshots === true && damage === "unknown autoclear feature",
  "unreadable-refcount-table": (damage, mode) =>
    mode === "-r all" && /^refcount table (entry not aligned|entry with reserved bits|full of ones)$/.test(damage),
  "block-beyond-the-file": (damage, mode, kind) =>
    mode === "-r all" &&
    (/^refcount table entry .*beyond the file$/.test(damage) ||
      (kind.options.includes("data_file") && damage === "file cut by three clusters")),
  "bitmaps-stored-on-repair": (damage, mode, kind) =>
    mode !== "" &&
    kind.bitmaps === true &&
    /^bitmap (table|data cluster) beyond|^L1 entry names the header$|^refcount table of no clusters$|^refcount block full of ones$/.test(
      damage,
    ),
  "repairs-over-metadata": (damage, mode) => mode !== "" && damage === "L1 entry names the refcount block",
  "beyond-2-53": (damage) => damage === "L1 table far away" || damage === "snapshot's L1 table far beyond the file",
  "damaged-bitmaps": (damage) =>
    [
      "bitmap with an unknown flag",
      "bitmap data cluster not aligned",
      "bitmap data cluster with reserved bits",
    ].includes(damage),
  "snapshot-table-beyond-the-file": (damage, mode, kind) =>
    /^(snapshot table beyond the file|too many snapshots)$/.test(damage) ||
    (kind.snapshots === true && damage === "file cut by three clusters") ||
    // What follows such an entry is, with luck, inside the table.
    (mode === "-r all" && damage === "snapshot with too much extra data" && !kind.options.includes("zstd")),
};

/** Differences in texts that are meant. */
const TEXTS: Readonly<Record<string, (stderr: string) => string>> = {
  "reason-of-failure": (stderr) =>
    stderr
      .replace(
        /^(qemu-img: |qcow2: |You can force-remove |qcow2_free_clusters failed|ERROR could not resize|.*[Oo]verlap check failed|ERROR: Could not write L2 table).*\n?/gm,
        "",
      )
      .replace(/^Repairing (refcount block .* outside)/gm, "ERROR $1"),
  "texts-of-a-rebuild": (stderr) => {
    const [before, after] = stderr.split("Rebuilding refcount structure\n");
    return after === undefined ? stderr : before + after.replace(/^Repairing cluster .*\n?/gm, "");
  },
  "beyond-2-53": (stderr) =>
    stderr
      .replace(/offset 0x[0-9a-f]{14,} size .*/g, "offset beyond 2^53")
      .replace(/refcount=\d{16,}/g, "refcount beyond 2^53")
      .replace(/offset=(0x)?[0-9a-f]{14,}/g, "offset beyond 2^53"),
};

const secret = ["--object", "secret,id=s,data=x"];
const target = (kind: Kind, name: string): string[] =>
  kind.luks
    ? [...secret, "--image-opts", `driver=qcow2,file.filename=${name},encrypt.key-secret=s`]
    : ["-f", "qcow2", name];

async function make(workshop: Workshop, kind: Kind, maker: "ours" | "theirs"): Promise<void> {
  const run = async (program: "qemu-img" | "qemu-io", args: string[]): Promise<void> => {
    const done =
      maker === "theirs"
        ? workshop.peer(program, args, workshop.root)
        : await workshop.own(program, args, workshop.root);
    if (done.status !== 0) throw new Error(`${args.join(" ")}: ${done.stderr}`);
  };
  const name = "base.qcow2";
  const large = kind.options.includes("2M");
  const size = large ? "64M" : "1M";
  const io = (...commands: string[]): Promise<void> =>
    run("qemu-io", [...target(kind, name), ...commands.flatMap((command) => ["-c", command])]);
  await run("qemu-img", ["create", "-q", "-f", "qcow2", ...(kind.luks ? secret : []), "-o", kind.options, name, size]);
  await io(
    "write -q -P 1 0 90k",
    "write -q -P 2 300k 70k",
    "write -q -z 512k 64k",
    "write -q -P 9 960k 3k",
    "write -q -z 364k 4k",
  );
  if (kind.compressed) await io("write -q -c -P 3 128k 64k", "write -q -c -P 4 192k 64k");
  if (kind.snapshots) {
    await run("qemu-img", ["snapshot", "-c", "one", name]);
    await io("write -q -P 5 40k 100k");
    await run("qemu-img", ["snapshot", "-c", "two", name]);
    await io("write -q -P 6 310k 9k");
  }
  if (kind.bitmaps) {
    await run("qemu-img", ["bitmap", "--add", name, "b0"]);
    await run("qemu-img", ["bitmap", "--add", "-g", "4096", name, "b1"]);
    await io("write -q -P 7 700k 30k");
  }
}

const MODES = [[], ["-r", "leaks"], ["-r", "all"]];

/** What of a check's result is compared. */
function result({ status, stdout, stderr }: Outcome): { status: number; counts: unknown; stderr: string } {
  let counts: Record<string, unknown> | undefined;
  try {
    const { "image-end-offset": _end, filename: _name, ...rest } = JSON.parse(stdout);
    counts = rest;
  } catch {
    counts = undefined;
  }
  let text = stderr;
  for (const change of Object.values(TEXTS)) text = change(text);
  // A table that is named twice is examined twice there, and once, for both, here.
  const lines = [...new Set(text.split("\n"))].sort();
  return { status, counts, stderr: lines.join("\n") };
}

describe.skipIf(!have("qemu-img", "qemu-io"))("check of damaged images, as qemu-img", () => {
  it("differs where the list says, and nowhere else", () => {
    const list = readFileSync(new URL("../../../qcow2/DIVERGENCES.md", import.meta.url), "utf8");
    const headings = [...list.matchAll(/^## (.*)$/gm)].map((match) => match[1]);
    // The command has no part in the last one.
    const known = new Set([...Object.keys(DIVERGENCES), ...Object.keys(TEXTS), "flags-over-leaks"]);
    expect([...known].sort()).toEqual(headings.sort());
  });

  let turn = 0;
  for (const [title, kind] of Object.entries(KINDS)) {
    for (const maker of ["theirs", "ours"] as const) {
      if (process.env.CHECK_KIND !== undefined && process.env.CHECK_KIND !== `${title}/${maker}`) continue;
      const offset = turn++;
      describe(`${title}, made by ${maker === "ours" ? "us" : "QEMU"}`, () => {
        const workshop = new Workshop();
        afterAll(() => workshop.remove());
        beforeAll(async () => {
          await make(workshop, kind, maker);
          for (const name of readdirSync(workshop.root).filter((name) => name.includes("."))) {
            for (const folder of [workshop.ours, workshop.theirs])
              copyFileSync(join(workshop.root, name), join(folder, name));
          }
        }, 120_000);
        Object.keys(DAMAGES).forEach((name, index) => {
          const always = maker === "theirs" && THOROUGH[title]?.test(name) === true;
          if (!ALL && !always && (index + offset) % SHARE !== 0) return;
          it(name, { timeout: 120_000 }, () => compareChecks(workshop, kind, name));
        });
      });
    }
  }
});

/** Damages the image and lets both programs check and repair a copy of their own. */
async function compareChecks(workshop: Workshop, kind: Kind, name: string): Promise<void> {
  const hurt = join(workshop.root, "hurt");
  copyFileSync(join(workshop.root, "base.qcow2"), hurt);
  const image = new ImageBytes(hurt);
  if (DAMAGES[name](image) === false) return; // The image has no such structure.
  image.save();
  for (const mode of MODES) {
    for (const folder of [workshop.ours, workshop.theirs]) copyFileSync(hurt, join(folder, "base.qcow2"));
    const args = ["check", "--output=json", ...mode, ...target(kind, "base.qcow2")];
    const { ours, theirs } = await workshop.both("qemu-img", args);
    const where = `${name} ${mode.join(" ")}`;
    const plain = ["check", "--output=json", ...target(kind, "base.qcow2")];
    if (Object.values(DIVERGENCES).some((applies) => applies(name, mode.join(" "), kind))) {
      // Different, but no less strict: what we say is sound is sound.
      expect(ours.status, where).toBeGreaterThanOrEqual(0);
      if (ours.status === 0) expect(workshop.peer("qemu-img", plain, workshop.ours).status, where).toBe(0);
      continue;
    }
    expect(result(ours), where).toEqual(result(theirs));
    if (mode.length === 0 || theirs.status === 1) continue;
    const again = workshop.peer("qemu-img", plain, workshop.ours);
    expect(result(again), `${where}, what qemu-img says of our repair`).toEqual(
      result(workshop.peer("qemu-img", plain)),
    );
    expect(contents(workshop, kind, "ours", "theirs"), `${where}, contents`).toBe(
      contents(workshop, kind, "theirs", "theirs"),
    );
  }
}

/** Exit status of comparing the disks of two repaired images: 0 when equal, 2 and more when damage cannot be read. */
function contents(workshop: Workshop, kind: Kind, ...folders: ("ours" | "theirs")[]): number {
  const names = folders.map((folder) => join(folder, "base.qcow2"));
  const args = kind.luks
    ? [...secret, "--image-opts", ...names.map((name) => `driver=qcow2,file.filename=${name},encrypt.key-secret=s`)]
    : ["-f", "qcow2", "-F", "qcow2", ...names];
  return workshop.peer("qemu-img", ["compare", "-U", ...args], workshop.root).status;
}
