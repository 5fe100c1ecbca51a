import { spawn, spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { Board } from "./board.js";

/**
 * The same register accesses here and in QEMU (stopped, driven through its test protocol): every value read must agree.
 *
 * Where the two are known to differ, the sequences keep away from it, and this package follows the data sheet:
 * - 16550A: QEMU leaves OUT2 set after reset, gives no modem status changes in loopback, and does not loop a break back;
 * - i8042: QEMU starts as before firmware, this package as after it; QEMU shows the command/data status bit as constant,
 *   and drops the byte in the output buffer when a new command comes;
 * - 8254: QEMU keeps a latched count when a control word reprograms the counter, and never sets the null count flag;
 * - I/O APIC: QEMU keeps reserved bits of the redirection table;
 * - RTC: dates that do not exist normalise differently.
 */

/** Accesses per family; longer runs by `CHIPSET_QEMU_ACCESSES`. */
const ACCESSES = Number(process.env.CHIPSET_QEMU_ACCESSES ?? 2500);
const SEED = Number(process.env.CHIPSET_QEMU_SEED ?? 1);

type Access =
  | readonly ["inb", number]
  | readonly ["outb", number, number]
  | readonly ["readl", number]
  | readonly ["writel", number, number];

class Random {
  constructor(private state: number) {}
  below(n: number): number {
    this.state = (Math.imul(this.state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.state / 2 ** 32) * n);
  }
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)];
  }
}

interface Family {
  readonly start: readonly Access[];
  /** One access, or several that belong together. */
  next(random: Random): readonly Access[];
  /** Bits that are compared; all when absent. */
  mask?(port: number): number;
}

const out = (port: number, ...values: number[]): Access[] => values.map((value) => ["outb", port, value]);
const bcd = (value: number) => (Math.floor(value / 10) << 4) | (value % 10);

const pic: Family = {
  start: [...out(0x20, 0x11), ...out(0x21, 0x20, 4, 1, 0), ...out(0xa0, 0x11), ...out(0xa1, 0x28, 2, 1, 0)],
  next(random) {
    const port = random.pick([0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1]);
    if (random.below(3) === 0) return [["inb", port]];
    const commands = [0x20, 0x0a, 0x0b, 0x60, 0x61, 0xa0, 0xc3, 0xe2, 0x68, 0x48, 0x0c, 0x80, 0x00];
    return out(port, port === 0x20 || port === 0xa0 ? random.pick(commands) : random.below(256));
  },
};

const pit: Family = {
  start: [...out(0x43, 0x34), ...out(0x40, 0, 1), ...out(0x43, 0xb6), ...out(0x42, 7, 2), ...out(0x61, 0)],
  next(random) {
    const counter = random.pick([0, 2]);
    const port = 0x40 + counter;
    const digits = () => (random.below(10) << 4) | random.below(10);
    const word: Access[] = [
      ["inb", port],
      ["inb", port],
    ];
    switch (random.below(4)) {
      case 0: {
        const mode = random.pick([0, 2, 3, 4]);
        const control = (counter << 6) | 0x30 | (mode << 1) | random.below(2);
        return [...out(0x43, control), ...out(port, digits(), digits())];
      }
      case 1:
        return [...out(0x43, counter << 6), ...word];
      case 2:
        return [...out(0x43, 0xd0 | (2 << counter)), ...word];
      default:
        return out(0x61, random.below(4));
    }
  },
};

const rtc: Family = {
  start: [],
  next(random) {
    const index = random.pick([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 0x40]);
    const values: Record<number, number> = {
      4: bcd(random.below(24)),
      5: bcd(random.below(24)),
      7: bcd(1 + random.below(28)),
      8: bcd(1 + random.below(12)),
      9: bcd(random.below(100)),
      10: 0x20 | random.below(16),
      11: random.pick([0x02, 0x82]),
      64: random.below(256),
    };
    const read: Access[] = [...out(0x70, index), ["inb", 0x71]];
    if (index === 6 || random.below(2)) return read;
    return [...out(0x70, index), ...out(0x71, values[index] ?? bcd(random.below(60)))];
  },
};

const uart: Family = {
  start: [...pic.start, ...out(0x3fc, 0x08), ...out(0x3fa, 0x01)],
  next(random) {
    const register = random.pick([0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 7]);
    if (random.below(2)) return [["inb", 0x3f8 + register]];
    const values: Record<number, () => number> = {
      1: () => random.below(8),
      2: () => random.pick([0x01, 0x81, 0xc1, 0x41]),
      3: () => random.pick([0x03, 0x03, 0x83, 0x1b]),
      4: () => random.pick([0x0b, 0x1b, 0x18, 0x1f, 0x0f, 0x1a]),
    };
    return out(0x3f8 + register, (values[register] ?? (() => random.below(256)))());
  },
  mask: (port) => (port === 0x3fe ? 0xf0 : 0xff),
};

const readAll: Access[] = Array.from({ length: 12 }, (_, i) => ["inb", i & 1 ? 0x60 : 0x64]);
const kbc: Family = {
  start: [
    ...out(0x64, 0x60),
    ...out(0x60, 0x47),
    ...out(0x64, 0xd4),
    ...out(0x60, 0xff),
    ...readAll,
    ...out(0x60, 0xff),
    ...readAll,
  ],
  next(random) {
    if (random.below(2)) return [...out(0x60, random.pick([0xf2, 0xee, 0xf4, 0xf5, 0xf6, 0xff])), ...readAll];
    const single = [0x20, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xad, 0xae];
    const double = [
      [0xd3, 0x55],
      [0xd2, 0x66],
      [0xd4, 0xf2],
      [0xd4, 0xe9],
      [0xd4, 0xf4],
      [0xd4, 0xff],
      [0xd4, 0xe7],
      [0xd4, 0xeb],
      [0x60, 0x47],
      [0x60, 0x65],
      [0x60, 0x03],
    ];
    if (random.below(2)) return [...out(0x64, random.pick(single)), ...readAll];
    const [command, data] = random.pick(double);
    return [...out(0x64, command), ...out(0x60, data), ...readAll];
  },
  mask: (port) => (port === 0x64 ? 0xf3 : 0xff),
};

const ioApic: Family = {
  start: [],
  next(random) {
    const register = random.pick([0, 1, 2, 0x10, 0x11, 0x14, 0x15, 0x18, 0x19, 0x3e, 0x3f, 0x40, 0x99]);
    const select: Access = ["writel", 0xfec00000, register];
    if (random.below(2)) return [select, ["readl", 0xfec00010]];
    // Without reserved bits, and always masked so that nothing is sent.
    const low = (random.below(0x10000) & 0xafff) | 0x1_0000;
    const high = random.below(16) << 24;
    return [select, ["writel", 0xfec00010, register >= 0x10 && !(register & 1) ? low : high]];
  },
  mask: () => 0xffff_ffff,
};

const qemu = "qemu-system-x86_64";
const available = !spawnSync(qemu, ["--version"]).error;
if (!available)
  console.warn(`SKIPPED: ${qemu} (Debian package qemu-system-x86) is not installed; no comparison with it`);

/** What QEMU answers to each access. */
function ask(accesses: readonly Access[]): Promise<(number | undefined)[]> {
  return new Promise((resolve, reject) => {
    const process = spawn(
      qemu,
      // biome-ignore format: one option and its value after the other
      ["-M", "pc", "-accel", "tcg", "-S", "-qtest", "stdio", "-qtest-log", "/dev/null", "-display", "none", "-nodefaults",
        "-serial", "null", "-rtc", "base=2023-11-14T22:13:20,clock=vm"],
      { stdio: ["pipe", "pipe", "ignore"] },
    );
    const answers: (number | undefined)[] = [];
    let text = "";
    const timeout = setTimeout(() => process.kill("SIGKILL"), 30_000);
    process.stdout.on("data", (chunk) => {
      const lines = (text + chunk).split("\n");
      text = lines.pop()!;
      for (const line of lines)
        if (line.startsWith("OK")) answers.push(line.length > 2 ? Number(line.slice(3)) : undefined);
      if (answers.length >= accesses.length) process.kill("SIGKILL");
    });
    process.on("error", reject);
    process.stdin.on("error", () => {});
    process.on("close", () => {
      clearTimeout(timeout);
      resolve(answers);
    });
    process.stdin.write(
      `${accesses.map(([what, ...numbers]) => [what, ...numbers.map((n) => `0x${n.toString(16)}`)].join(" ")).join("\n")}\n`,
    );
  });
}

function perform(board: Board, access: Access): number | undefined {
  switch (access[0]) {
    case "inb":
      return board.ports.readPort(access[1], 1);
    case "outb":
      board.ports.writePort(access[1], 1, access[2]);
      return undefined;
    case "readl":
      return board.mmio.read(access[1], 4);
    case "writel":
      board.mmio.write(access[1], 4, access[2]);
      return undefined;
  }
}

describe.skipIf(!available)("agrees with QEMU's", () => {
  it.each(Object.entries({ pic, pit, rtc, uart, kbc, ioApic }))("%s", async (_name, family) => {
    const random = new Random(SEED);
    const accesses: Access[] = [...family.start];
    while (accesses.length < ACCESSES) accesses.push(...family.next(random));
    const answers = await ask(accesses);
    expect(answers.length).toBe(accesses.length);
    const board = new Board();
    board.room = Number.POSITIVE_INFINITY;
    let compared = 0;
    for (const [i, access] of accesses.entries()) {
      const value = perform(board, access);
      if (value === undefined) continue;
      const mask = family.mask?.(access[1]) ?? 0xff;
      compared++;
      if ((value & mask) === (answers[i]! & mask)) continue;
      const show = (list: readonly Access[]) =>
        list.map((a) => a.map((x) => (typeof x === "number" ? x.toString(16) : x)).join(" "));
      expect({ access: i, value, before: show(accesses.slice(Math.max(0, i - 15), i + 1)) }).toEqual({
        value: answers[i],
      });
    }
    expect(compared).toBeGreaterThan(ACCESSES / 8);
  });
});
