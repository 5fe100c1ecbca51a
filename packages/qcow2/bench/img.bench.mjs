/**
 * `softmetal img convert` against qemu-img on a mixed image, and 4 KiB requests through the library against
 * `qemu-img bench`. The sides alternate; figures are medians, ratios those of the rounds.
 */
import { spawnSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import {
  closeSync,
  copyFileSync,
  existsSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { openImage } from "@softmetal/qcow2/node";

export const title = "Disk images: softmetal img and @softmetal/qcow2 against qemu-img (mixed 1 GiB image)";

const MB = 1024 * 1024;
const CLI = fileURLToPath(new URL("../../cli/dist/softmetal.cjs", import.meta.url));
const IMG = fileURLToPath(new URL("../../cli/dist/softmetal-img.cjs", import.meta.url));
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
/** The median of the rounds' own ratios: what disturbs the machine for a while disturbs both sides of a round. */
const ratioOf = (values, others) => median(values.map((value, round) => value / others[round]));

/** 384 MiB of the system's files, 256 MiB of noise, 384 MiB of holes. */
function makeMixed(path) {
  const fd = openSync(path, "w");
  let at = 0;
  const folders = ["/usr/lib", "/usr/bin", "/usr/share", dirname(process.execPath)];
  while (folders.length > 0 && at < 384 * MB) {
    const folder = folders.shift();
    if (!existsSync(folder)) continue;
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const name = join(folder, entry.name);
      if (entry.isDirectory()) folders.push(name);
      if (!entry.isFile() || at >= 384 * MB) continue;
      try {
        const data = readFileSync(name).subarray(0, 384 * MB - at);
        writeSync(fd, data, 0, data.length, at);
        at += data.length;
      } catch {
        // Not every file of the system is readable.
      }
    }
  }
  const noise = Buffer.alloc(MB);
  for (let i = 0; i < 256; i++) writeSync(fd, randomFillSync(noise), 0, MB, (384 + i) * MB);
  ftruncateSync(fd, 1024 * MB);
  closeSync(fd);
}

/** Certificates that a host gives to every Node take longer to read than Node takes to start; images need none. */
const { NODE_EXTRA_CA_CERTS: _certificates, ...env } = process.env;

function timed(command, args) {
  // What an earlier run wrote is not to be written back during this one.
  spawnSync("sync");
  const start = performance.now();
  const result = spawnSync(command, args, { encoding: "utf8", env });
  if (result.status !== 0) throw new Error(`${command} ${args.join(" ")}: ${result.stderr}`);
  return (performance.now() - start) / 1000;
}

/**
 * Requests of 4 KiB, 64 at a time, with a stride that visits all clusters. Gives thousands per second. As in
 * `qemu-img bench`, the time until the disk has everything is not part of it.
 */
async function requests(path, write, count, span) {
  const image = await openImage(path, { format: "qcow2", readOnly: !write });
  const start = performance.now();
  let next = 0;
  const worker = async () => {
    const buffer = Buffer.alloc(4096, 0x55);
    while (next < count) {
      const offset = (next++ * 1_052_672) % span;
      if (write) await image.write(buffer, offset);
      else await image.read(buffer, offset);
    }
  };
  await Promise.all(Array.from({ length: 64 }, worker));
  const rate = count / (performance.now() - start);
  await image.close();
  return rate;
}

function qemuRequests(path, write, count) {
  const args = ["bench", "-f", "qcow2", "-c", String(count), "-d", "64", "-s", "4096", "-S", "1052672"];
  const { stdout } = spawnSync("qemu-img", [...args, ...(write ? ["-w"] : []), path], { encoding: "utf8" });
  return count / (Number(/completed in ([\d.]+)/.exec(stdout)[1]) * 1000);
}

/** Reads both images from start to end in turns. Gives MiB per second of each, pass by pass. */
async function sequential(paths, length, passes) {
  const buffer = new Uint8Array(MB);
  const images = [];
  for (const [format, path] of Object.entries(paths)) images.push(await openImage(path, { format, readOnly: true }));
  const rates = images.map(() => []);
  spawnSync("sync");
  for (let pass = 0; pass < passes; pass++) {
    const turn = [...images.entries()];
    for (const [index, image] of pass % 2 === 0 ? turn : turn.toReversed()) {
      const start = performance.now();
      for (let at = 0; at < length; at += MB) await image.read(buffer, at);
      // The first pass brings the files into the page cache.
      if (pass > 0) rates[index].push(length / MB / ((performance.now() - start) / 1000));
    }
  }
  for (const image of images) await image.close();
  return rates;
}

export async function run({ runs, say }) {
  const folder = mkdtempSync(join(tmpdir(), "softmetal-bench-"));
  const path = (name) => join(folder, name);
  try {
    say("making the mixed image");
    makeMixed(path("mixed.raw"));
    spawnSync("qemu-img", ["convert", "-O", "qcow2", path("mixed.raw"), path("mixed.qcow2")]);
    const rows = [];
    const conversions = [
      ["raw to qcow2", ["-f", "raw", "-O", "qcow2"], "mixed.raw", 1.3],
      ["qcow2 to raw", ["-f", "qcow2", "-O", "raw"], "mixed.qcow2", 1.3],
      ["qcow2 to qcow2", ["-f", "qcow2", "-O", "qcow2"], "mixed.qcow2", 1.3],
      ["convert -c (zlib)", ["-c", "-f", "raw", "-O", "qcow2"], "mixed.raw", 0.5],
      ["convert -c (zstd)", ["-c", "-f", "raw", "-O", "qcow2", "-o", "compression_type=zstd"], "mixed.raw", 1],
    ];
    for (const [what, options, source, limit] of conversions) {
      say(what);
      const ours = [];
      const peer = [];
      const sides = [
        () => ours.push(timed(process.execPath, [CLI, "img", "convert", ...options, path(source), path("ours")])),
        () => peer.push(timed("qemu-img", ["convert", ...options, path(source), path("theirs")])),
      ];
      // The short ones vary by a third from run to run.
      const rounds = options.includes("-c") ? runs : 4 * runs + 1;
      for (let i = 0; i < rounds; i++) for (const side of i % 2 === 0 ? sides : sides.toReversed()) side();
      const size = (name) => `${(statSync(path(name)).size / MB).toFixed(0)} MiB`;
      const note = `at most ${limit}; files ${size("ours")} and ${size("theirs")}`;
      rows.push({ what, ours: median(ours), peer: median(peer), unit: "s", ratio: ratioOf(ours, peer), note });
    }
    say("img info");
    const info = { ours: [], peer: [] };
    for (let i = 0; i < 5 * runs; i++) {
      const sides = [
        () => info.ours.push(timed(process.execPath, [IMG, "info", path("mixed.qcow2")]) * 1000),
        () => info.peer.push(timed(process.execPath, ["-e", "0"]) * 1000),
      ];
      for (const side of i % 2 === 0 ? sides : sides.toReversed()) side();
    }
    rows.push({
      what: "img info",
      ours: median(info.ours),
      peer: median(info.peer),
      unit: "ms",
      ratio: ratioOf(info.ours, info.peer),
      note: "peer: node -e 0; at most 2",
    });
    for (const write of [false, true]) {
      const what = `4 KiB ${write ? "writes" : "reads"}, 64 at a time`;
      say(what);
      const ours = [];
      const peer = [];
      for (let i = 0; i < runs; i++) {
        ours.push(await requests(path("mixed.qcow2"), write, 50_000, 640 * MB));
        peer.push(qemuRequests(path("mixed.qcow2"), write, 50_000));
      }
      rows.push({
        what,
        ours: median(ours),
        peer: median(peer),
        unit: "k/s",
        ratio: ratioOf(peer, ours),
        note: "time, at most 1.5",
      });
    }
    say("sequential reading");
    // Written in the same way, so that the page cache holds both alike.
    for (const format of ["raw", "qcow2"]) copyFileSync(path(`mixed.${format}`), path(`copy.${format}`));
    const [ours, peer] = await sequential({ qcow2: path("copy.qcow2"), raw: path("copy.raw") }, 640 * MB, 5 * runs + 1);
    const note = "peer: raw through this library; time, at most 1.05";
    const rates = { ours: median(ours), peer: median(peer) };
    rows.push({ what: "sequential reading", ...rates, unit: "MiB/s", ratio: ratioOf(peer, ours), note });
    return rows;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
