import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, it } from "vitest";
import { have } from "./side-by-side.js";
import { compareStories } from "./stories.js";

const folder = mkdtempSync(join(tmpdir(), "softmetal-errors-"));

/** A file system of 3 MiB; undefined where we may not mount one. */
function smallFileSystem(): string | undefined {
  const path = join(folder, "full");
  mkdirSync(path);
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=3m", "tmpfs", path]).status === 0) return path;
  console.warn("SKIPPED: not allowed to mount a small file system");
  return undefined;
}

/** The sector that cannot be read or written. */
const BAD = 3 * 1024 * 1024 + 4096;
const hitsBad = `[ $(($4+$3)) -gt ${BAD} ] && [ $4 -lt $((${BAD}+512)) ]`;

/** An export of 8 MiB with a bad sector, as an NBD URI. */
function badExport(name: string, script: Readonly<Record<string, string>>): string {
  const socket = join(folder, `${name}.sock`);
  const args = Object.entries({ get_size: "echo 8M", ...script }).map(([key, value]) => `${key}=${value}`);
  const { status, stderr } = spawnSync("nbdkit", ["-U", socket, "-P", join(folder, `${name}.pid`), "eval", ...args]);
  if (status !== 0) throw new Error(`nbdkit: ${stderr}`);
  return `nbd+unix:///?socket=${socket}`;
}

const servers = have("nbdkit");
const full = smallFileSystem();
const fails = (error: string, otherwise: string): string =>
  `if ${hitsBad}; then echo "${error} failed" >&2; exit 1; else ${otherwise}; fi`;
const source = servers ? badExport("source", { pread: fails("EIO", 'head -c $3 /dev/zero | tr "\\0" a') }) : "";
const target = servers
  ? badExport("target", {
      can_write: "exit 0",
      pread: "head -c $3 /dev/zero",
      // The data has to be taken from standard input all the same.
      pwrite: `if ${hitsBad}; then cat >/dev/null; echo "ENOSPC failed" >&2; exit 1; else cat >/dev/null; fi`,
    })
  : "";

afterAll(() => {
  for (const name of servers ? ["source", "target"] : [])
    process.kill(Number(readFileSync(join(folder, `${name}.pid`), "utf8")));
  if (full !== undefined) spawnSync("umount", [full]);
  rmSync(folder, { recursive: true, force: true });
});

const stories: Record<string, readonly string[]> = {};
if (servers) {
  stories["sectors that cannot be read or written"] = [
    `img convert -f raw -O raw ${source} x.raw`,
    `img convert -f raw -O qcow2 ${source} x.qcow2`,
    `img convert -c -f raw -O qcow2 ${source} x.qcow2`,
    `img convert --salvage -f raw -O raw ${source} x.raw`,
    `img convert --salvage -q -f raw -O raw ${source} x.raw`,
    `img convert --salvage -c -f raw -O qcow2 ${source} x.qcow2`,
    `img dd -f raw if=${source} of=y.raw bs=1M`,
    `img dd -f raw if=${source} of=y.raw bs=3000`,
    `img compare -f raw -F raw ${source} x.raw`,
    `img create -q -f qcow2 -b ${source} -F raw o.qcow2 8M`,
    "io -c 'read 0 64k' o.qcow2",
    "io -c 'read 3M 64k' o.qcow2",
    "io -c 'write 3145728 512' o.qcow2",
    "img rebase -b '' o.qcow2",
    `img create -q -f qcow2 -b ${source} -F raw p.qcow2 8M`,
    "img convert -O raw p.qcow2 z.raw",
    `img bench -f raw -c 10 -d 1 -s 1M ${source}`,
    "img create -q -f raw s.raw 8M",
    "io -f raw -c 'write -P 1 0 8M' s.raw",
    `img convert -n -f raw -O raw s.raw ${target}`,
    `img convert -n -S 0 -f raw -O raw s.raw ${target}`,
    `img bench -w -f raw -c 10 -d 1 -s 1M ${target}`,
    `io -f raw -c 'write 3M 64k' -c 'write 0 64k' ${target}`,
    "io -f raw -c 'write -P 1 0 1M' -c 'write -P 0 1M 5M' s.raw",
    "img resize -q -f raw --shrink s.raw 1M",
    "img resize -q -f raw s.raw 8M",
    "io -f raw -c 'write -P 1 2560k 4M' s.raw",
    `img convert -n -f raw -O raw s.raw ${target}`,
  ];
}
if (full !== undefined) {
  stories["a full file system"] = [
    "img create -q -f raw s.raw 8M",
    "io -f raw -c 'write -P 1 0 8M' s.raw",
    `img convert -f raw -O raw s.raw ${full}/x`,
    `img convert -f raw -O qcow2 s.raw ${full}/x`,
    `img dd -f raw bs=1M if=s.raw of=${full}/x`,
    `img dd -f raw -O qcow2 bs=64k if=s.raw of=${full}/x`,
    `img create -f raw -o preallocation=full ${full}/x 8M`,
    `img create -f raw -o preallocation=falloc ${full}/x 8M`,
    `img create -f qcow2 -o preallocation=full ${full}/x 8M`,
    `img create -f qcow2 -o preallocation=falloc ${full}/x 8M`,
    `img create -f raw ${full}/x 8M`,
    `img resize -f raw --preallocation=full ${full}/x 16M`,
    `img resize -f raw --preallocation=falloc ${full}/x 16M`,
    `img convert -n -f raw -O raw s.raw ${full}/x`,
    `io -f raw -c 'write 0 8M' ${full}/x`,
    `img create -q -f qcow2 ${full}/x 8M`,
    `io -c 'write 0 8M' ${full}/x`,
    `img create -q -f qcow2 ${full}/x 1M`,
    `img resize --preallocation=full ${full}/x 16M`,
    `img create -q -f qcow2 ${full}/x 1M`,
    `img resize --preallocation=falloc ${full}/x 16M`,
    `img create -q -f raw ${full}/x 1M`,
    `img resize -f raw --preallocation=falloc ${full}/x 16M`,
  ];
}
// Two writes are under way at once here, one in QEMU: on a busy host the second may take the last room from the first.
compareStories(stories, (line) => full !== undefined && line.startsWith("img convert") && line.includes(full));

if (Object.keys(stories).length === 0) it.skip("needs nbdkit or the right to mount", () => {});
