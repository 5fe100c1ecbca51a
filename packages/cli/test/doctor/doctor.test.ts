import { expect, it } from "vitest";
import { checkHost } from "../../src/doctor/checks.js";
import { gatherFacts, type HostFacts } from "../../src/doctor/facts.js";
import { report } from "../../src/doctor/main.js";

/** A host on which everything is right. */
const good: HostFacts = {
  nodeVersion: "20.19.0",
  platform: "linux",
  architecture: "x64",
  wasm: {
    simd: true,
    threads: true,
    "tail calls": true,
    "bulk memory": true,
    "multi-value": true,
    "saturating conversions": true,
  },
  canReserve4GiB: true,
  totalMemory: 2 ** 33,
  freeMemory: 2 ** 32,
  cpuFlags: new Set(["fpu", "vmx"]),
  kvmModules: new Set(["kvm", "kvm_intel"]),
  kvmDevice: "usable",
  kvm: { usable: true, fast: true, reason: "KVM is usable and fast" },
  isRoot: false,
  hasApt: true,
};
const problems = (change: Partial<HostFacts>) =>
  checkHost({ ...good, ...change })
    .filter(({ verdict }) => verdict !== "ok")
    .map(({ verdict, what, advice }) => `${verdict}: ${what} -> ${advice}`);

it("finds nothing wrong with a good host", () => {
  expect(problems({})).toEqual([]);
  const text = report(checkHost(good));
  expect(text).toContain("  ok  Node 20.19.0\n");
  expect(text).toContain("  ok  /dev/kvm is there and permitted\n");
});

it.each<[string, Partial<HostFacts>, RegExp]>([
  ["an old Node", { nodeVersion: "18.20.4" }, /^missing: Node 18.* -> install Node 20/],
  ["WebAssembly without SIMD", { wasm: { ...good.wasm, simd: false } }, /^missing: WebAssembly lacks simd/],
  ["little address space", { canReserve4GiB: false }, /^missing: .*ulimit/],
  ["little memory", { freeMemory: 2 ** 29 }, /^optional: only 0.5 GiB/],
  ["another system", { platform: "darwin", architecture: "arm64" }, /^optional: KVM needs Linux/],
  ["VT-x switched off", { cpuFlags: new Set() }, /^optional: .*vmx nor svm.* -> .*firmware/],
  ["a virtual machine", { cpuFlags: new Set(["hypervisor"]) }, /-> this host is a virtual machine: .*nested/],
  ["no permission", { kvmDevice: "not-permitted" }, /-> sudo usermod -aG kvm \$USER/],
  ["a container", { kvmDevice: "missing" }, /^optional: \/dev\/kvm is missing -> .*--device \/dev\/kvm/],
  [
    "KVM without hardware support",
    { kvm: { usable: true, fast: false, reason: "KVM is usable, but has no hardware support here" } },
    /^optional: KVM is usable, but.* -> --accel auto chooses the translator/,
  ],
  ["no apt", { hasApt: false }, /--mirror/],
])("says how to mend %s", (_, change, expected) => {
  expect(problems(change)).toEqual([expect.stringMatching(expected)]);
});

it("names the module to load", () => {
  const amd = { cpuFlags: new Set(["svm"]), kvmModules: new Set<string>(), kvmDevice: "missing" } as const;
  expect(problems(amd)[0]).toMatch(/modprobe kvm_amd/);
});

it("finds that this host, which runs the tests, can translate", () => {
  const facts = gatherFacts();
  expect(Object.values(facts.wasm)).not.toContain(false);
  expect(checkHost(facts).filter(({ verdict }) => verdict === "missing")).toEqual([]);
});
