import type { HostFacts } from "./facts.js";

/** `missing` stops the translator, `optional` only costs speed or comfort. */
export type Verdict = "ok" | "optional" | "missing";

export interface Check {
  group: "translator" | "kvm" | "guest";
  verdict: Verdict;
  what: string;
  /** How to mend it. */
  advice?: string;
}

const GIB = 2 ** 30;
const MIN_NODE = 20;

/** What this host can do, and how to mend what it cannot. */
export function checkHost(facts: HostFacts): Check[] {
  return [...checkTranslator(facts), ...checkKvm(facts), checkGuest(facts)];
}

function* checkTranslator(facts: HostFacts): Generator<Check> {
  const group = "translator";
  const major = Number.parseInt(facts.nodeVersion, 10);
  yield major >= MIN_NODE
    ? { group, verdict: "ok", what: `Node ${facts.nodeVersion}` }
    : {
        group,
        verdict: "missing",
        what: `Node ${facts.nodeVersion} is too old`,
        advice: `install Node ${MIN_NODE} or newer`,
      };
  const lacking = Object.entries(facts.wasm).flatMap(([feature, there]) => (there ? [] : [feature]));
  yield lacking.length === 0
    ? { group, verdict: "ok", what: `WebAssembly with ${Object.keys(facts.wasm).join(", ")}` }
    : {
        group,
        verdict: "missing",
        what: `WebAssembly lacks ${lacking.join(", ")}`,
        advice: `use Node ${MIN_NODE} or newer, without flags that turn WebAssembly features off`,
      };
  yield facts.canReserve4GiB
    ? { group, verdict: "ok", what: "4 GiB of shared memory can be reserved" }
    : {
        group,
        verdict: "missing",
        what: "4 GiB of shared memory cannot be reserved",
        advice: "raise the limit on address space (ulimit -v unlimited)",
      };
  const free = (facts.freeMemory / GIB).toFixed(1);
  yield facts.freeMemory >= GIB
    ? { group, verdict: "ok", what: `${free} GiB of memory are free` }
    : {
        group,
        verdict: "optional",
        what: `only ${free} GiB of memory are free`,
        advice: "give guests little memory with --memory, or close other programs",
      };
}

function* checkKvm(facts: HostFacts): Generator<Check> {
  const group = "kvm";
  const optional = (what: string, advice: string): Check => ({ group, verdict: "optional", what, advice });
  if (facts.platform !== "linux" || facts.architecture !== "x64") {
    yield optional(
      `KVM needs Linux on x86-64, this is ${facts.platform} on ${facts.architecture}`,
      "nothing to do: the translator works here",
    );
    return;
  }
  const flags = facts.cpuFlags ?? new Set<string>();
  const extension = flags.has("vmx") ? "vmx" : flags.has("svm") ? "svm" : undefined;
  if (extension) {
    yield { group, verdict: "ok", what: `the CPU has ${extension === "vmx" ? "VT-x (vmx)" : "AMD-V (svm)"}` };
  } else {
    yield optional(
      "the CPU shows neither vmx nor svm in /proc/cpuinfo",
      flags.has("hypervisor")
        ? "this host is a virtual machine: turn on nested virtualization for it in its hypervisor"
        : "turn on VT-x or SVM in the firmware's setup",
    );
  }
  const vendorModule = extension === "svm" ? "kvm_amd" : "kvm_intel";
  const loaded = ["kvm_intel", "kvm_amd"].filter((name) => facts.kvmModules.has(name));
  if (facts.kvmModules.has("kvm") && loaded.length > 0) {
    yield { group, verdict: "ok", what: `kernel modules kvm and ${loaded.join(", ")} are there` };
  } else if (facts.kvmDevice === "missing") {
    yield optional(
      "the kernel modules kvm and kvm_intel or kvm_amd are not loaded",
      extension
        ? `sudo modprobe ${vendorModule}; if that fails, sudo dmesg | grep -i kvm says why (often: disabled by BIOS)`
        : "they load once the CPU shows vmx or svm",
    );
  }
  if (facts.kvmDevice === "usable") {
    yield { group, verdict: "ok", what: "/dev/kvm is there and permitted" };
    const { kvm } = facts;
    if (kvm.usable && kvm.fast) yield { group, verdict: "ok", what: `${kvm.reason}: --accel auto chooses it` };
    else if (kvm.usable) {
      yield optional(
        kvm.reason,
        "--accel auto chooses the translator, which is faster; --accel kvm and --cpus work, slowly",
      );
    } else yield optional(kvm.reason, "--accel auto chooses the translator");
  } else if (facts.kvmDevice === "not-permitted") {
    yield optional("/dev/kvm is there, but not permitted", "sudo usermod -aG kvm $USER, then log in again");
  } else {
    yield optional(
      "/dev/kvm is missing",
      "it appears with the modules; in a container it must be passed in (docker run --device /dev/kvm)",
    );
  }
}

function checkGuest(facts: HostFacts): Check {
  return facts.hasApt
    ? { group: "guest", verdict: "ok", what: "apt-get is there, which obtains the default guest" }
    : {
        group: "guest",
        verdict: "optional",
        what: "there is no apt-get",
        advice: "softmetal guest --mirror URL takes the default guest from a Debian mirror",
      };
}
