import { closeSync, existsSync, openSync, readFileSync, statSync } from "node:fs";
import type { List } from "./abi/list.js";
import { struct, u64 } from "./abi/struct.js";
import { Cpuid, type CpuidEntry, type MsrEntry, MsrList, Msrs } from "./abi/vm.js";
import * as check from "./arguments.js";
import { DeviceAttributes } from "./attributes.js";
import { failure, KvmError, KvmUnavailable } from "./errors.js";
import { attach, ioctl, made } from "./handle.js";
import { kinds, type NativeHandle, native, notLinux } from "./native.js";
import { Vm } from "./vm.js";

const API_VERSION = 12;
const DEVICE = "/dev/kvm";
/** Far more than any kernel lists. */
const MAX_LISTED_MSRS = 4096;
const Quadword = struct("__u64", { value: u64 });

/** `/dev/kvm`: what the kernel and the processor can do, and where VMs come from. */
export class Kvm extends DeviceAttributes {
  readonly #native: NativeHandle;

  /** @internal */
  constructor(handle: NativeHandle) {
    super(handle, kinds.system);
    this.#native = handle;
  }

  /** Opens the device. Throws {@link KvmUnavailable}, with the reason, where KVM cannot be used. */
  static open(path: string = DEVICE): Kvm {
    check.text("Kvm.open", "path", path);
    if (process.platform !== "linux") throw notLinux();
    tryDevice(path);
    const handle = native().openSystem(path);
    if (typeof handle !== "object") throw deviceError(path, failure("open", handle).errno ?? String(handle));
    const kvm = new Kvm(handle);
    try {
      checkVersion(kvm);
    } catch (error) {
      kvm.dispose();
      throw error;
    }
    return kvm;
  }

  /** Why `open` would fail, or undefined when KVM can be used. */
  static unavailable(path: string = DEVICE): KvmUnavailable | undefined {
    try {
      Kvm.open(path).dispose();
      return undefined;
    } catch (error) {
      if (error instanceof KvmUnavailable) return error;
      throw error;
    }
  }

  /** This thread's handle on one that another thread holds, by its `handle`. */
  static attach(handle: number): Kvm {
    return new Kvm(attach(kinds.system, "Kvm.attach", handle));
  }

  /** `KVM_GET_API_VERSION`: 12. */
  getApiVersion(): number {
    return ioctl(this.#native, "KVM_GET_API_VERSION");
  }

  /** `KVM_CHECK_EXTENSION`: 0 when the kernel does not have the capability (see `Cap`), else 1 or what it says. */
  checkExtension(cap: number): number {
    return ioctl(this.#native, "KVM_CHECK_EXTENSION", check.u32("KVM_CHECK_EXTENSION", "cap", cap));
  }

  /** `KVM_GET_VCPU_MMAP_SIZE`: bytes of a vCPU's run pages. */
  getVcpuMmapSize(): number {
    return ioctl(this.#native, "KVM_GET_VCPU_MMAP_SIZE");
  }

  /** `KVM_CREATE_VM`: an empty machine. */
  createVm(type = 0): Vm {
    const operation = "KVM_CREATE_VM";
    return new Vm(made(operation, native().createVm(this.#native, check.u32(operation, "type", type))));
  }

  /** `KVM_GET_SUPPORTED_CPUID`: the CPUID leaves that kernel and processor support for guests. */
  getSupportedCpuid(): List<CpuidEntry> {
    return this.#cpuid("KVM_GET_SUPPORTED_CPUID");
  }

  /** `KVM_GET_EMULATED_CPUID`: what the kernel emulates although the processor does not have it. */
  getEmulatedCpuid(): List<CpuidEntry> {
    return this.#cpuid("KVM_GET_EMULATED_CPUID");
  }

  /** `KVM_GET_SUPPORTED_HV_CPUID`: the leaves of the Hyper-V interface that the kernel offers guests. */
  getSupportedHvCpuid(): List<CpuidEntry> {
    return this.#cpuid("KVM_GET_SUPPORTED_HV_CPUID");
  }

  #cpuid(operation: string): List<CpuidEntry> {
    for (let capacity = 64; ; capacity *= 2) {
      const cpuid = Cpuid.create(capacity);
      try {
        ioctl(this.#native, operation, cpuid.bytes);
        return cpuid;
      } catch (error) {
        // E2BIG: more leaves than there was room for. The kernel's own limit is 256.
        if (!(error instanceof KvmError) || error.code !== "too-big" || capacity >= 1024) throw error;
      }
    }
  }

  /** `KVM_GET_MSR_INDEX_LIST`: the MSRs to save and restore for a guest of this host. */
  getMsrIndexList(): number[] {
    return this.#msrList("KVM_GET_MSR_INDEX_LIST");
  }

  /** `KVM_GET_MSR_FEATURE_INDEX_LIST`: the MSRs that describe features, readable by `getMsrs`. */
  getMsrFeatureIndexList(): number[] {
    return this.#msrList("KVM_GET_MSR_FEATURE_INDEX_LIST");
  }

  #msrList(operation: string): number[] {
    const list = MsrList.create(MAX_LISTED_MSRS);
    ioctl(this.#native, operation, list.bytes);
    return [...list];
  }

  /** `KVM_GET_MSRS` of the device: values of feature MSRs; the kernel stops at the first it does not know. */
  getMsrs(indices: Iterable<number>): List<MsrEntry> {
    const operation = "KVM_GET_MSRS";
    const list = check.iterable(operation, "indices", indices);
    const msrs = Msrs.from(Array.from(list, (index) => ({ index: check.u32(operation, "an index", index) })));
    msrs.length = ioctl(this.#native, "KVM_GET_MSRS (system)", msrs.bytes);
    return msrs;
  }

  /** `KVM_X86_GET_MCE_CAP_SUPPORTED`: machine-check capabilities for `Vcpu.setupMce`. */
  getMceCapSupported(): bigint {
    const capabilities = Quadword.create();
    ioctl(this.#native, "KVM_X86_GET_MCE_CAP_SUPPORTED", capabilities.$bytes);
    return capabilities.value;
  }
}

function checkVersion(kvm: Kvm): void {
  let version: number;
  try {
    version = kvm.getApiVersion();
  } catch (error) {
    const why = error instanceof KvmError ? error.errno : undefined;
    throw new KvmUnavailable("blocked", `the device does not answer as KVM does (${why}); is this a sandbox?`);
  }
  if (version !== API_VERSION) {
    throw new KvmUnavailable("wrong-api-version", `the kernel speaks version ${version}, not ${API_VERSION}`);
  }
}

/** Opening a device needs no addon, so that the reason is known even where there is none. */
function tryDevice(path: string): void {
  try {
    closeSync(openSync(path, "r+"));
  } catch (error) {
    throw deviceError(path, (error as NodeJS.ErrnoException).code ?? String(error));
  }
}

function deviceError(path: string, code: string): KvmUnavailable {
  const contained = inContainer();
  switch (code) {
    case "EACCES": {
      if (modeAllows(path)) return forbidden(path, code);
      const group = groupOf(path);
      const join = group === undefined ? "" : `; join the group ${group}: sudo usermod -aG ${group} "$USER"`;
      return new KvmUnavailable("no-permission", `this user may not open ${path}${join}`, group);
    }
    case "EPERM":
    case "EROFS":
      return forbidden(path, code);
    case "ENOENT":
    case "ENOTDIR":
      return new KvmUnavailable(
        "no-device",
        contained
          ? `the container has no ${path}; give it the host's: --device ${path}`
          : `there is no ${path}; load kvm_intel or kvm_amd, and switch virtualization on in the firmware`,
      );
    case "ENODEV":
    case "ENXIO":
      return new KvmUnavailable("no-device", `nothing is behind ${path} (${code}); load kvm_intel or kvm_amd`);
    default:
      return new KvmUnavailable("blocked", `${path} cannot be opened (${code})`);
  }
}

function forbidden(path: string, code: string): KvmUnavailable {
  return new KvmUnavailable("blocked", `opening ${path} is forbidden (${code}), probably by a container's rules`);
}

/** Whether the device's owner, group and mode let this user use it: if it still cannot, no group will help. */
function modeAllows(path: string): boolean {
  try {
    const { mode, uid, gid } = statSync(path);
    const user = process.geteuid?.();
    if (user === 0) return true;
    const groups = [process.getegid?.(), ...(process.getgroups?.() ?? [])];
    const bits = user === uid ? mode >> 6 : groups.includes(gid) ? mode >> 3 : mode;
    return (bits & 6) === 6;
  } catch {
    return false;
  }
}

function inContainer(): boolean {
  return existsSync("/.dockerenv") || existsSync("/run/.containerenv");
}

/** The name of the group that owns the device. */
function groupOf(path: string): string | undefined {
  try {
    const { gid } = statSync(path);
    const line = readFileSync("/etc/group", "utf8")
      .split("\n")
      .find((entry) => entry.split(":")[2] === String(gid));
    return line?.split(":")[0] ?? `with number ${gid}`;
  } catch {
    return undefined;
  }
}
