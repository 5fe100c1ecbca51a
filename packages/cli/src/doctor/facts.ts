import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { freemem, totalmem } from "node:os";
import { type KvmAvailability, kvmAvailability } from "@softmetal/vmm";
import { type WasmFeature, wasmFeatures } from "./wasm-features.js";

/** What is looked up about the host; the checks are made from these alone. */
export interface HostFacts {
  nodeVersion: string;
  platform: NodeJS.Platform;
  architecture: string;
  wasm: Record<WasmFeature, boolean>;
  /** A shared WebAssembly memory of 4 GiB, the most that a guest needs, can be reserved. */
  canReserve4GiB: boolean;
  totalMemory: number;
  freeMemory: number;
  /** `flags` of /proc/cpuinfo; `undefined` where that cannot be read. */
  cpuFlags: ReadonlySet<string> | undefined;
  /** Loaded or built-in modules among kvm, kvm_intel and kvm_amd. */
  kvmModules: ReadonlySet<string>;
  kvmDevice: "missing" | "not-permitted" | "usable";
  /** What KVM turned out to be when it was tried. */
  kvm: KvmAvailability;
  isRoot: boolean;
  hasApt: boolean;
}

export function gatherFacts(): HostFacts {
  return {
    nodeVersion: process.versions.node,
    platform: process.platform,
    architecture: process.arch,
    wasm: wasmFeatures(),
    canReserve4GiB: canReserve(65536),
    totalMemory: totalmem(),
    freeMemory: freemem(),
    cpuFlags: readCpuFlags(),
    kvmModules: new Set(["kvm", "kvm_intel", "kvm_amd"].filter((name) => existsSync(`/sys/module/${name}`))),
    kvmDevice: lookAtDevice("/dev/kvm"),
    kvm: kvmAvailability(),
    isRoot: process.getuid?.() === 0,
    hasApt: (process.env.PATH ?? "").split(":").some((directory) => existsSync(`${directory}/apt-get`)),
  };
}

/** Memory is only reserved, not used, until somebody writes to it. */
function canReserve(pages: number): boolean {
  try {
    new WebAssembly.Memory({ initial: 1, maximum: pages, shared: true });
    return true;
  } catch {
    return false;
  }
}

function readCpuFlags(): ReadonlySet<string> | undefined {
  try {
    const line = /^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1];
    return line === undefined ? undefined : new Set(line.trim().split(/\s+/));
  } catch {
    return undefined;
  }
}

function lookAtDevice(path: string): HostFacts["kvmDevice"] {
  if (!existsSync(path)) return "missing";
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return "usable";
  } catch {
    return "not-permitted";
  }
}
