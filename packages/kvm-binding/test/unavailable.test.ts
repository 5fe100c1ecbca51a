import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { bundled } from "./support.js";

/** What `Kvm.unavailable` says in a process of its own, after some preparation there. */
async function reason(preparation: string, path = "/dev/kvm", env: NodeJS.ProcessEnv = {}) {
  const script = `${preparation}
    const { Kvm } = await import(${JSON.stringify(await bundled())});
    const error = Kvm.unavailable(${JSON.stringify(path)});
    console.log(JSON.stringify(error ? [error.name, error.reason, error.group ?? null, error.message] : null));`;
  const run = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    encoding: "utf8",
    env: { ...process.env, ...env },
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

  it.runIf(process.platform === "linux" && process.getuid?.() === 0)("names the group to join", async () => {
    const folder = mkdtempSync(join(tmpdir(), "kvm-"));
    try {
      chmodSync(folder, 0o755);
      const device = join(folder, "kvm");
      writeFileSync(device, "", { mode: 0o660 });
      const [, why, group, message] = await reason("process.setgid(65534); process.setuid(65534);", device);
      expect([why, group]).toEqual(["no-permission", "root"]);
      expect(message).toContain("usermod -aG root");
    } finally {
      rmSync(folder, { recursive: true });
    }
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
