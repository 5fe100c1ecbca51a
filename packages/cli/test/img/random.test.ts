import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { have, Workshop } from "./side-by-side.js";

/** Sequences and their length; longer runs are a matter of the environment. */
const SEQUENCES = Number(process.env.IMG_RANDOM_SEQUENCES ?? 4);
const STEPS = Number(process.env.IMG_RANDOM_STEPS ?? 25);
const SEED = Number(process.env.IMG_RANDOM_SEED ?? 1);

function random(seed: number): (limit: number) => number {
  let state = seed * 2654435761;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}

/** Options an image can be made with. */
const OPTIONS = [
  "cluster_size=64k",
  "cluster_size=512,refcount_bits=1",
  "cluster_size=4k,compat=0.10",
  "cluster_size=2M,lazy_refcounts=on",
  "extended_l2=on,cluster_size=32k",
  "refcount_bits=64,compression_type=zstd",
  "preallocation=metadata",
  "cluster_size=16k,preallocation=falloc,refcount_bits=8",
];

interface Step {
  readonly program: "qemu-img" | "qemu-io";
  readonly args: readonly string[];
}

const FIRST: Step = { program: "qemu-io", args: ["-c", "write -q 0 512", "a.qcow2"] };

/** One random command; `state` keeps what has to be known to stay within the image. */
function step(next: (limit: number) => number, state: { size: number; snapshots: string[]; count: number }): Step {
  const io = (command: string): Step => ({ program: "qemu-io", args: ["-d", "unmap", "-c", command, "a.qcow2"] });
  const offset = next(state.size >> 9) << 9;
  const length = Math.min(512 * (1 + next(600)), state.size - offset);
  const kind = next(12);
  if (kind < 5) return io(`write -q -P ${1 + next(255)} ${offset} ${length}`);
  if (kind === 5) return io(`write -q -z ${offset} ${length}`);
  if (kind === 6) return io(`write -q -z -u ${offset} ${length}`);
  if (kind === 7) return io(`discard -q ${offset} ${length}`);
  if (kind === 8 && state.snapshots.length < 4) {
    const name = `s${state.count++}`;
    state.snapshots.push(name);
    return { program: "qemu-img", args: ["snapshot", "-c", name, "a.qcow2"] };
  }
  if (kind === 9 && state.snapshots.length > 0) {
    const [name] = state.snapshots.splice(next(state.snapshots.length), 1);
    return { program: "qemu-img", args: ["snapshot", "-d", name, "a.qcow2"] };
  }
  if (kind === 10 && state.snapshots.length > 0) {
    const name = state.snapshots[next(state.snapshots.length)];
    return { program: "qemu-img", args: ["snapshot", "-a", name, "a.qcow2"] };
  }
  if (kind === 11 && state.snapshots.length === 0) {
    state.size += 512 * next(2000);
    return { program: "qemu-img", args: ["resize", "-q", "a.qcow2", String(state.size)] };
  }
  return io(`write -q -P ${1 + next(255)} ${offset} 512`);
}

/** A map without host offsets: what a guest can tell. */
function guestView(json: string): unknown[] {
  const merged: Record<string, unknown>[] = [];
  for (const { start, length, depth, data, zero } of JSON.parse(json) as Record<string, unknown>[]) {
    const last = merged.at(-1);
    if (last && last.depth === depth && last.zero === zero && last.data === data)
      last.length = (last.length as number) + (length as number);
    else merged.push({ start, length, depth, zero, data });
  }
  return merged;
}

describe.skipIf(!have("qemu-img", "qemu-io"))("random histories", () => {
  const workshop = new Workshop();
  afterAll(() => workshop.remove());
  const ours = join(workshop.ours, "a.qcow2");
  const theirs = join(workshop.theirs, "a.qcow2");

  for (let sequence = 0; sequence < SEQUENCES; sequence++) {
    const options = OPTIONS[(SEED + sequence) % OPTIONS.length];
    it(`${options}: the same content and map as QEMU's, and its check passes`, async () => {
      const next = random(SEED * 1000 + sequence + 1);
      const state = { size: 4 << 20, snapshots: [] as string[], count: 0 };
      const create = ["create", "-q", "-f", "qcow2", "-o", options, "a.qcow2", String(state.size)];
      for (const { ours: mine, theirs: other } of [await workshop.both("qemu-img", create)])
        expect(mine).toEqual(other);
      const history: string[] = [];
      for (let count = 0; count < STEPS; count++) {
        // A discard of nothing takes an L2 table in QEMU and none here, which one-bit refcounts show: they forbid a
        // snapshot of a table. So there is one from the beginning.
        const first = count === 0 && options.includes("refcount_bits=1");
        const { program, args } = first ? FIRST : step(next, state);
        history.push(`${program} ${args.join(" ")}`);
        const outcome = await workshop.both(program, args);
        expect({ history, ...outcome.ours }).toEqual({ history, ...outcome.theirs });
        // One-bit refcounts allow no snapshots: refused on both sides.
        if (outcome.ours.status !== 0 && args[1] === "-c") state.snapshots.pop();
      }
      const compared = workshop.peer("qemu-img", ["compare", ours, theirs]);
      expect({ history, ...compared }).toEqual({ history, status: 0, stdout: "Images are identical.\n", stderr: "" });
      const check = workshop.peer("qemu-img", ["check", ours]);
      expect({ history, status: check.status, stderr: check.stderr }).toEqual({ history, status: 0, stderr: "" });
      // Both programs agree about the map of one image.
      const map = ["map", "--output=json", ours];
      expect(guestView((await workshop.own("qemu-img", map)).stdout)).toEqual(
        guestView(workshop.peer("qemu-img", map).stdout),
      );
      for (const name of state.snapshots) {
        const convert = ["convert", "-l", name, "-O", "raw"];
        workshop.peer("qemu-img", [...convert, theirs, "snapshot.raw"]);
        await workshop.own("qemu-img", [...convert, ours, "snapshot.raw"]);
        const same = workshop.peer("qemu-img", [
          "compare",
          "-f",
          "raw",
          "-F",
          "raw",
          "snapshot.raw",
          join(workshop.ours, "snapshot.raw"),
        ]);
        expect({ history, name, stdout: same.stdout }).toEqual({ history, name, stdout: "Images are identical.\n" });
      }
    });
  }
});
