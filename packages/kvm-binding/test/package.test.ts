import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const path = (process.env.PATH ?? "").split(delimiter);
const which = (program: string) => path.map((folder) => join(folder, program)).find((file) => existsSync(file));

const missing = ["gcc", "make", "python3", "npm", "pnpm", "tar"].filter((program) => which(program) === undefined);
const built = existsSync(join(root, "dist/index.js"));
const usable = process.platform === "linux" && process.arch === "x64" && missing.length === 0 && built;
if (!usable) {
  const why = built ? `no ${missing.join(", no ") || "Linux on x86-64"}` : "the package is not built";
  console.warn(`\n*** The packed package is not tested: ${why}\n`);
}

function run(command: string, args: string[], cwd: string, env: NodeJS.ProcessEnv = {}) {
  const settings = { npm_config_audit: "false", npm_config_fund: "false", npm_config_update_notifier: "false" };
  const { status, stdout, stderr } = spawnSync(command, args, {
    ...{ cwd, encoding: "utf8", env: { ...process.env, ...settings, ...env } },
  });
  return { status, stdout, output: `${stdout}${stderr}` };
}

describe.skipIf(!usable)("the packed package", () => {
  const folder = mkdtempSync(join(tmpdir(), "packed-"));
  const dependency = dirname(createRequire(import.meta.url).resolve("node-gyp-build/package.json"));
  const packed = (pattern: RegExp) => join(folder, readdirSync(folder).find((name) => pattern.test(name))!);
  let prebuilt = "";
  let sourceOnly = "";
  let gypBuild = "";

  beforeAll(() => {
    expect(run("pnpm", ["pack", "--pack-destination", folder], root)).toMatchObject({ status: 0 });
    expect(run("npm", ["pack", "--pack-destination", folder, realpathSync(dependency)], folder)).toMatchObject({
      status: 0,
    });
    gypBuild = packed(/^node-gyp-build/);
    prebuilt = packed(/^softmetal-kvm-binding/);
    // The same without the binary, as on a platform that has no prebuilt one.
    sourceOnly = join(folder, "source-only.tgz");
    expect(run("tar", ["xzf", prebuilt], folder)).toMatchObject({ status: 0 });
    rmSync(join(folder, "package/prebuilds"), { recursive: true });
    expect(run("tar", ["czf", sourceOnly, "package"], folder)).toMatchObject({ status: 0 });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** Installs it as a user does, with the programs of this machine or with those that npm itself needs. */
  function install(name: string, tarball: string, compiler: boolean) {
    const project = join(folder, name);
    mkdirSync(project);
    writeFileSync(join(project, "package.json"), '{ "private": true, "type": "module" }');
    const programs = join(folder, `${name}-bin`);
    mkdirSync(programs);
    for (const program of ["node", "npm", "sh", "env", "uname"]) {
      const file = program === "node" ? process.execPath : which(program);
      if (file !== undefined) symlinkSync(realpathSync(file), join(programs, program));
    }
    const env = compiler ? {} : { PATH: programs, CC: undefined };
    const installed = run("npm", ["install", "--offline", "--foreground-scripts", tarball, gypBuild], project, env);
    const script = `
      import { Kvm } from "@softmetal/kvm-binding";
      const error = Kvm.unavailable("/dev/null");
      console.log(JSON.stringify([error.name, error.reason, Kvm.unavailable()?.reason ?? "usable"]));`;
    const used = run(process.execPath, ["--input-type=module", "-e", script], project, env);
    const folderOf = join(project, "node_modules/@softmetal/kvm-binding");
    return {
      installed: installed.status,
      output: installed.output,
      used: used.status === 0 ? (JSON.parse(used.stdout) as string[]) : used.output,
      compiled: existsSync(join(folderOf, "build")),
      prebuilt: existsSync(join(folderOf, "prebuilds/linux-x64/kvm-binding.napi.glibc.node")),
    };
  }

  // What /dev/null is no KVM for is only found by the addon.
  const loaded = ["KvmUnavailable", "blocked"];

  for (const compiler of [true, false]) {
    it(`loads its binary ${compiler ? "with" : "without"} a compiler`, { timeout: 120_000 }, () => {
      const { installed, used, compiled, prebuilt: there } = install(`prebuilt-${compiler}`, prebuilt, compiler);
      expect({ installed, used: used.slice(0, 2), compiled, there }).toEqual({
        ...{ installed: 0, used: loaded, compiled: false, there: true },
      });
      if (existsSync("/dev/kvm")) expect(used[2]).not.toBe("no-addon");
    });
  }

  it("is compiled when it is installed without a binary", { timeout: 300_000 }, () => {
    const { installed, used, compiled, prebuilt: there } = install("compiled", sourceOnly, true);
    expect({ installed, used: used.slice(0, 2), compiled, there }).toEqual({
      ...{ installed: 0, used: loaded, compiled: true, there: false },
    });
  });

  it("installs and says why it cannot work without a binary and a compiler", { timeout: 120_000 }, () => {
    const { installed, used, output, compiled } = install("neither", sourceOnly, false);
    expect({ installed, used: used.slice(0, 2), compiled }).toEqual({
      ...{ installed: 0, used: ["KvmUnavailable", "no-addon"], compiled: false },
    });
    expect(output).toMatch(/gcc not found, the addon was not compiled/);
  });

  it("has what it needs and nothing of its making", () => {
    const { stdout } = run("tar", ["tzf", prebuilt], folder);
    const names = stdout.trim().split("\n");
    expect(names).toContain("package/native/newer.h");
    expect(names).toContain("package/dist/index.d.ts");
    expect(names).toContain("package/binding.gyp");
    expect(names.filter((name) => /\/(test|src|bench|build|node_modules)\//.test(name))).toEqual([]);
  });
});
