import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { bundled } from "./support.js";

const root = process.platform === "linux" && process.getuid?.() === 0;
const nobody = "process.setgroups([]); process.setgid(65534); process.setuid(65534);";

/** Runs something with the path of a device in a folder of its own. */
async function inFolder(action: (device: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "kvm-"));
  try {
    chmodSync(folder, 0o755);
    await action(join(folder, "kvm"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The error that opening a file gives. */
function opens(path: string): string | undefined {
  try {
    closeSync(openSync(path, "r+"));
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
}

/** What `Kvm.unavailable` says in a process of its own, after some preparation there; `wrap` makes its command line. */
async function reason(
  preparation: string,
  path = "/dev/kvm",
  env: NodeJS.ProcessEnv = {},
  wrap?: (program: string) => readonly [string, readonly string[]],
) {
  const script = `${preparation}
    const { Kvm } = await import(${JSON.stringify(await bundled())});
    const error = Kvm.unavailable(${JSON.stringify(path)});
    console.log(JSON.stringify(error ? [error.name, error.reason, error.group ?? null, error.message] : null));`;
  const args = ["--input-type=module", "-e", script];
  const [command, parameters] = wrap?.(`"${process.execPath}" --input-type=module -e "$SCRIPT"`) ?? [
    process.execPath,
    args,
  ];
  const run = spawnSync(command, parameters, {
    encoding: "utf8",
    env: { ...process.env, ...env, SCRIPT: script },
  });
  expect(run.stderr).toBe("");
  return JSON.parse(run.stdout) as [string, string, string | null, string];
}

describe("KvmUnavailable", () => {
  it("says not-linux elsewhere, and importing works", async () => {
    for (const platform of ["darwin", "win32"]) {
      const [name, why, , message] = await reason(
        `Object.defineProperty(process, "platform", { value: "${platform}" });`,
      );
      expect([name, why]).toEqual(["KvmUnavailable", "not-linux"]);
      expect(message).toContain(platform);
    }
  });

  it.runIf(process.platform === "linux")("says no-device where there is none", async () => {
    for (const path of ["/dev/no-such-kvm", "/dev/null/kvm"]) {
      const [name, why, , message] = await reason("", path);
      expect([name, why]).toEqual(["KvmUnavailable", "no-device"]);
      expect(message).toContain(path);
    }
  });

  it.runIf(root)("says no-device where nothing is behind it", async () => {
    await inFolder(async (device) => {
      // A misc device whose number nobody has. Some file systems have no devices.
      if (spawnSync("mknod", [device, "c", "10", "65535"]).status !== 0) return;
      expect((await reason("", device)).slice(1, 2)).toEqual([opens(device) === "EACCES" ? "blocked" : "no-device"]);
    });
  });

  it.runIf(root)("names the group to join", async () => {
    const groups = readFileSync("/etc/group", "utf8")
      .trim()
      .split("\n")
      .map((line) => line.split(":"));
    const [known, , id] = groups.find(([name]) => name === "kvm") ?? groups.find(([, , id]) => Number(id) > 0)!;
    const number = 54321;
    for (const [gid, expected] of [
      [Number(id), known],
      [number, `with number ${number}`],
    ] as const) {
      await inFolder(async (device) => {
        writeFileSync(device, "");
        chmodSync(device, 0o660);
        chownSync(device, 0, gid);
        const [name, why, group, message] = await reason(nobody, device);
        expect([name, why, group]).toEqual(["KvmUnavailable", "no-permission", expected]);
        expect(message).toContain(`usermod -aG ${expected}`);
        // Who is in the group may open it: what is wrong then is another matter.
        const member = nobody.replace("[]", `[${gid}]`);
        expect((await reason(member, device))[1]).not.toBe("no-permission");
      });
    }
  });

  it.runIf(root)("says blocked where something else than the mode forbids it", async () => {
    const ways: [string, (device: string) => string][] = [
      // What a container's device rules answer too.
      ["EPERM", (device) => `touch ${device} && chattr +i ${device}`],
      [
        "EROFS",
        (device) =>
          `mount -t tmpfs none ${dirname(device)} && touch ${device} && mount -o remount,ro ${dirname(device)}`,
      ],
      ["EACCES", (device) => `mount -t tmpfs -o nodev none ${dirname(device)} && mknod ${device} c 10 232`],
    ];
    for (const [errno, prepare] of ways) {
      await inFolder(async (device) => {
        const shell = (rest: string) => ["unshare", ["-m", "sh", "-c", `${prepare(device)} && ${rest}`]] as const;
        try {
          if (spawnSync(...shell("true")).status !== 0) {
            console.warn(
              `\n*** Not tested: ${errno} when /dev/kvm is opened (this system does not let it be provoked)\n`,
            );
            return;
          }
          if (errno === "EPERM") spawnSync("chattr", ["-i", device]);
          const [name, why, , message] = await reason("", device, {}, (program) => shell(program));
          expect([name, why]).toEqual(["KvmUnavailable", "blocked"]);
          expect(message).toContain(errno);
        } finally {
          spawnSync("chattr", ["-i", device], { stdio: "ignore" });
        }
      });
    }
  });

  it.runIf(process.platform === "linux")("says blocked where the device does not answer as KVM does", async () => {
    expect((await reason("", "/dev/null"))[1]).toMatch(/blocked|no-addon/);
  });

  it.runIf(process.platform === "linux")("says no-addon without a binary", async () => {
    const folder = mkdtempSync(join(tmpdir(), "kvm-"));
    try {
      const device = join(folder, "kvm");
      writeFileSync(device, "");
      const [, why, , message] = await reason("", device, { KVM_BINDING_ADDON_ROOT: folder });
      expect(why).toBe("no-addon");
      expect(message).toContain("gcc");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
