import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import {
  Cap,
  createSharedMemory,
  DirtyLogProtect,
  DisableExits,
  dirtyBitmapBytes,
  EventFd,
  GuestMemfdFlags,
  type Kvm,
  KvmError,
  MemoryAttribute,
  MemoryFlags,
  MsrExitReason,
  MsrFilterFlags,
  NestedStateHeader,
  Quirk,
  registerId,
  Stats,
  type Vm,
  VmType,
  X2apicApi,
} from "../src/index.js";
import * as guests from "./guests.js";
import {
  bundled,
  describeKvm,
  longMode,
  Machine,
  message,
  protectedMode,
  realMode,
  resources,
  runOn,
  startWorker,
} from "./support.js";

const code = (code: string) => expect.objectContaining({ name: "KvmError", code });
const compiler = spawnSync("gcc", ["--version"]).status === 0;
const LOW = 0x174; // IA32_SYSENTER_CS

/** Whether the kernel has it; else says that the rest of the test is not run. */
function has(at: Kvm | Vm, name: keyof typeof Cap, wanted = 1): boolean {
  if ((at.checkExtension(Cap[name]) & wanted) === wanted) return true;
  console.warn(`\n*** Not tested: this kernel has no KVM_CAP_${name}${wanted === 1 ? "" : ` ${wanted}`}\n`);
  return false;
}

describeKvm("what only some kernels have", () => {
  it("statistics of a VM and a vCPU", async () => {
    using machine = new Machine(guests.portIo);
    const { vm, vcpu } = machine;
    if (!has(vm, "BINARY_STATS_FD")) {
      expect(() => vm.getStatsFd()).toThrow(code("unsupported"));
      return;
    }
    using ofVm = vm.getStatsFd();
    using ofVcpu = vcpu.getStatsFd();
    expect(ofVm.id).toBe(`kvm-${process.pid}`);
    expect(ofVcpu.id).toBe(`kvm-${process.pid}/vcpu-0`);
    expect(readlinkSync(`/proc/self/fd/${ofVcpu.fd}`)).toContain("stats");
    const named = (stats: Stats, name: string) => stats.statistics.find((item) => item.name === name);
    // By the kernel's documentation: a count, a time, a histogram of times, a truth.
    expect(named(ofVcpu, "exits")).toEqual({
      ...{ name: "exits", type: "cumulative", unit: "none", base: 10, exponent: 0, size: 1, bucketSize: 0 },
    });
    expect(named(ofVcpu, "halt_wait_ns")).toMatchObject({ type: "cumulative", unit: "seconds", exponent: -9 });
    expect(named(ofVcpu, "halt_wait_hist")).toMatchObject({ type: "logarithmic-histogram", unit: "seconds", size: 32 });
    expect(named(ofVcpu, "guest_mode")).toMatchObject({ type: "instant", unit: "boolean" });
    expect(named(ofVm, "max_mmu_page_hash_collisions")).toMatchObject({ type: "peak" });
    realMode(vcpu);
    const before = ofVcpu.read();
    expect(before.size).toBe(ofVcpu.statistics.length);
    for (const { name, size } of ofVcpu.statistics) expect(before.get(name)!.length).toBe(size);
    let exits = 0;
    for (let exit = runOn(vcpu); exit.reason !== "hlt"; exit = runOn(vcpu)) exits++;
    const after = ofVcpu.read();
    const grown = (name: string) => Number(after.get(name)![0] - before.get(name)![0]);
    expect(grown("exits") + grown("insn_emulation") + grown("io_exits")).toBeGreaterThanOrEqual(exits);
    // Another thread reads them too, and they outlive what they are of.
    const worker = await startWorker(
      "parentPort.postMessage(kvm.Stats.attach(data).read().size); setInterval(() => {}, 1e6);",
      ofVcpu.handle,
    );
    expect(await message(worker)).toBe(before.size);
    await worker.terminate();
    machine[Symbol.dispose]();
    expect(ofVcpu.read().size).toBe(before.size);
    expect(() => Stats.attach(ofVm.handle + 1000)).toThrow(code("closed"));
  });

  it("single registers", () => {
    using machine = new Machine(guests.spin);
    const { vm, vcpu } = machine;
    if (!has(vm, "ONE_REG")) {
      expect(() => vcpu.getOneReg(registerId.msr(LOW))).toThrow(KvmError);
      return;
    }
    vcpu.setOneReg(registerId.msr(LOW), 0x1234);
    expect(vcpu.getOneReg(registerId.msr(LOW))).toBe(0x1234n);
    expect(vcpu.getMsrs([LOW]).get(0).data).toBe(0x1234n);
    for (const id of vcpu.getRegList()) expect(vcpu.getOneReg(id)).toBeTypeOf("bigint");
    expect(() => vcpu.getOneReg(registerId.msr(0xffff0000))).toThrow(KvmError);
    expect(() => vcpu.getOneReg(5)).toThrow(code("invalid-argument")); // of no architecture
    expect(() => vcpu.getOneReg(registerId.msr(LOW) | (15n << 52n))).toThrow(code("too-small")); // of 2^15 bytes
    expect(() => vcpu.setOneReg(registerId.msr(LOW), 2n ** 64n)).toThrow(code("out-of-range"));
  });

  it("memory that belongs to a VM, mapped and not", () => {
    const before = resources();
    {
      using machine = new Machine(guests.spin);
      const { vm, vcpu } = machine;
      if (!has(vm, "USER_MEMORY2")) {
        expect(() =>
          vm.setUserMemoryRegion2({ slot: 9, guestPhysAddr: 0x100000, memory: createSharedMemory(4096) }),
        ).toThrow(code("unsupported"));
        return;
      }
      vm.deleteUserMemoryRegion(0);
      vm.setUserMemoryRegion2({ slot: 0, guestPhysAddr: 0, memory: machine.memory });
      if (!has(vm, "GUEST_MEMFD")) return;
      expect(() => vm.createGuestMemfd(4095)).toThrow(code("misaligned"));
      expect(() => vm.createGuestMemfd(4096, 2 ** 40)).toThrow(code("invalid-argument"));
      const touchable = GuestMemfdFlags.MMAP | GuestMemfdFlags.INIT_SHARED;
      if (!has(vm, "GUEST_MEMFD_FLAGS", touchable)) return;
      const address = 0x100000;
      const far = vm.createGuestMemfd(0x4000, touchable);
      vm.setUserMemoryRegion2({
        ...{ slot: 1, guestPhysAddr: address, guestMemfd: far, guestMemfdOffset: 0x1000, size: 0x2000 },
      });
      const window = far.window(0x1000, 0x1000);
      machine.memory.set(guests.longFar, 0x1000);
      longMode(vcpu, machine.memory, { rdi: BigInt(address + 8) });
      expect(runOn(vcpu).reason).toBe("hlt");
      expect(new BigUint64Array(window)[1]).toBe(0x1122334455667788n);
      // The slot keeps it, whatever becomes of the handle.
      far.dispose();
      expect(window.byteLength).toBe(0);
      longMode(vcpu, machine.memory, { rdi: BigInt(address + 0x1ff8) });
      expect(runOn(vcpu).reason).toBe("hlt");
      expect(vcpu.getRegs().rbx).toBe(0x1122334455667788n);

      using hidden = vm.createGuestMemfd(0x4000);
      expect(() => hidden.window()).toThrow(code("unsupported"));
      using early = vm.createGuestMemfd(0x4000, GuestMemfdFlags.MMAP);
      expect(() => early.window()).toThrow(code("unsupported")); // touching it would end the process
      const set = (region: object) => () =>
        vm.setUserMemoryRegion2({ slot: 2, guestPhysAddr: 0x200000, guestMemfd: hidden, ...region });
      expect(set({ guestMemfdOffset: 0x10 })).toThrow(code("misaligned"));
      expect(set({ guestMemfdOffset: 0x8000 })).toThrow(code("out-of-range"));
      expect(set({ size: 0x8000 })).toThrow(KvmError);
      expect(set({ guestMemfd: machine.memory })).toThrow(code("invalid-argument"));
      expect(set({ guestMemfd: undefined })).toThrow(code("invalid-argument"));
      expect(set({ guestPhysAddr: address })).toThrow(code("overlap"));
      set({})();
    }
    const after = resources();
    expect(after.kvmMaps).toBe(before.kvmMaps);
    expect(after.kvmDescriptors).toBe(before.kvmDescriptors);
  });

  it("memory attributes and private memory", () => {
    using machine = new Machine(guests.spin);
    const { kvm, vm } = machine;
    if (!has(kvm, "VM_TYPES", 1 << VmType.SW_PROTECTED) || !has(kvm, "MEMORY_ATTRIBUTES")) {
      expect(() => vm.setMemoryAttributes(0, 4096, MemoryAttribute.PRIVATE)).toThrow(KvmError);
      expect(() => kvm.createVm(VmType.SW_PROTECTED)).toThrow(KvmError);
      return;
    }
    using guarded = kvm.createVm(VmType.SW_PROTECTED);
    using memory = guarded.createGuestMemfd(0x10000);
    guarded.setUserMemoryRegion2({
      ...{ slot: 0, guestPhysAddr: 0, memory: createSharedMemory(0x10000), guestMemfd: memory },
    });
    guarded.setMemoryAttributes(0, 0x10000, MemoryAttribute.PRIVATE);
    expect(() => guarded.setMemoryAttributes(1, 4096, 0)).toThrow(code("invalid-argument"));
    expect(() => guarded.setMemoryAttributes(0, 4096, 0xff)).toThrow(code("invalid-argument"));
  });

  it("mapping guest memory before it is touched", () => {
    using machine = new Machine(guests.spin);
    const { kvm, vcpu } = machine;
    if (!has(kvm, "PRE_FAULT_MEMORY")) {
      expect(() => vcpu.preFaultMemory(0, 4096)).toThrow(KvmError);
      return;
    }
    expect(vcpu.preFaultMemory(0, 0x4000)).toBe(0x4000n);
  });

  it("a filter of MSRs, whose refusals come here", () => {
    using machine = new Machine(guests.cpuidMsr);
    const { vm, vcpu } = machine;
    if (!has(vm, "X86_MSR_FILTER") || !has(vm, "X86_USER_SPACE_MSR")) return;
    vm.enableCap(Cap.X86_USER_SPACE_MSR, [BigInt(MsrExitReason.FILTER | MsrExitReason.UNKNOWN | MsrExitReason.INVAL)]);
    const bitmap = new Uint8Array(8).fill(0xff);
    bitmap[6] &= ~(1 << 6); // 0x140 + 54 = 0x176, IA32_SYSENTER_EIP
    vm.setMsrFilter([{ flags: MsrFilterFlags.READ, base: 0x140, count: 64, bitmap }]);
    protectedMode(vcpu);
    const reasons: unknown[] = [];
    for (let exit = runOn(vcpu); exit.reason !== "hlt"; exit = runOn(vcpu)) {
      if (exit.reason === "rdmsr") {
        reasons.push([exit.detail.index, exit.detail.reason]);
        exit.detail.data = 0n;
      } else if (exit.reason === "wrmsr") exit.detail.error = 0;
      else if (exit.reason !== "io") throw new Error(exit.reason);
    }
    expect(reasons[0]).toEqual([0x176, MsrExitReason.FILTER]);
    expect(() => vm.setMsrFilter([{ flags: 0xff, base: 0, count: 64, bitmap }])).toThrow(code("invalid-argument"));
    expect(() => vm.setMsrFilter([{ flags: 1, base: 0, count: 640, bitmap }])).toThrow(code("too-small"));
  });

  it("a filter of performance events", () => {
    using machine = new Machine(guests.spin);
    const { vm } = machine;
    if (!has(vm, "PMU_EVENT_FILTER")) return;
    vm.setPmuEventFilter([0xc0n, 0x3cn], { allow: true });
    vm.setPmuEventFilter([0xc0n], { allow: false, fixedCounters: 7 });
    if (has(vm, "PMU_EVENT_MASKED_EVENTS")) vm.setPmuEventFilter([0xffn << 56n], { allow: true, flags: 1 });
    expect(() => vm.setPmuEventFilter([], { allow: true, flags: 0xff })).toThrow(code("invalid-argument"));
    const many = Array.from({ length: 10_000 }, () => 1n);
    expect(() => vm.setPmuEventFilter(many, { allow: true })).toThrow(code("too-big"));
  });

  it("capabilities of a VM that are switched on", () => {
    using machine = new Machine(guests.writer, (vm, kvm) => {
      const enable = (name: keyof typeof Cap, arg: number) => {
        // What the kernel says it has of the capability is what it accepts.
        if (has(kvm, name, arg)) vm.enableCap(Cap[name], [BigInt(arg)]);
        expect(() => vm.enableCap(Cap[name], [2n ** 63n]), name).toThrow(KvmError);
      };
      enable("X86_DISABLE_EXITS", DisableExits.HLT);
      enable("X2APIC_API", X2apicApi.USE_32BIT_IDS | X2apicApi.DISABLE_BROADCAST_QUIRK);
      enable("DISABLE_QUIRKS2", Quirk.OUT_7E_INC_RIP);
      enable("MANUAL_DIRTY_LOG_PROTECT2", DirtyLogProtect.MANUAL_PROTECT_ENABLE | DirtyLogProtect.INITIALLY_SET);
      for (const name of ["EXCEPTION_PAYLOAD", "EXIT_ON_EMULATION_FAILURE", "X86_TRIPLE_FAULT_EVENT"] as const) {
        if (has(kvm, name)) vm.enableCap(Cap[name], [1n]);
      }
    });
    const { vm, memory } = machine;
    vm.setUserMemoryRegion({ slot: 0, guestPhysAddr: 0, memory, flags: MemoryFlags.LOG_DIRTY_PAGES });
    if ((vm.checkExtension(Cap.MANUAL_DIRTY_LOG_PROTECT2) & DirtyLogProtect.INITIALLY_SET) !== 0) {
      // The log begins with everything dirty.
      const bitmap = new Uint8Array(dirtyBitmapBytes(memory.length));
      vm.getDirtyLog(0, bitmap);
      expect([...bitmap.subarray(0, 2)]).toEqual([0xff, 0xff]);
    }
  });

  it("an instruction that the kernel cannot emulate, with its bytes", () => {
    // VMOVDQA to memory that is not there: AVX is beyond the kernel's emulator.
    const program = Uint8Array.from([0xc5, 0xf9, 0x7f, 0x05, 0x00, 0x00, 0x00, 0xa0]); // vmovdqa [0xa0000000], xmm0
    using machine = new Machine(program, (vm, kvm) => {
      if (has(kvm, "EXIT_ON_EMULATION_FAILURE")) vm.enableCap(Cap.EXIT_ON_EMULATION_FAILURE, [1n]);
    });
    const { vm, vcpu, kvm } = machine;
    vcpu.setCpuid2(kvm.getSupportedCpuid());
    protectedMode(vcpu);
    const exit = runOn(vcpu);
    // Without the capability, or where the processor has no AVX, the guest gets an exception, which ends this one.
    expect(["internal-error", "shutdown"]).toContain(exit.reason);
    if (exit.reason !== "internal-error" || vm.checkExtension(Cap.EXIT_ON_EMULATION_FAILURE) === 0) return;
    expect(exit.detail.suberror).toBe(1);
    const bytes = exit.instructionBytes;
    expect(bytes).toBeDefined();
    expect([...bytes!.subarray(0, 4)]).toEqual([...program.subarray(0, 4)]);
  });

  it("a page that nothing is behind, as a memory fault or a typed error", () => {
    using machine = new Machine(guests.longFar);
    const { vm, vcpu, memory } = machine;
    if (!has(vm, "GUEST_MEMFD")) return;
    using hidden = vm.createGuestMemfd(0x200000);
    const address = 0x400000;
    vm.setUserMemoryRegion2({ slot: 3, guestPhysAddr: address, guestMemfd: hidden });
    // In user mode the processor itself, not an emulator, meets the page.
    longMode(vcpu, memory, { rdi: BigInt(address + 0x1000) }, 3);
    try {
      const exit = runOn(vcpu);
      if (exit.reason !== "memory-fault") throw new Error(exit.reason);
      expect(exit.detail.gpa & ~0xfffn).toBe(BigInt(address + 0x1000));
    } catch (error) {
      expect(error).toEqual(code("bad-address"));
    }
  });

  it.skipIf(!compiler)("the memory-fault exit, which comes together with an error", async () => {
    const folder = mkdtempSync(join(tmpdir(), "fault-"));
    try {
      // Answers KVM_RUN as the kernel does then, once with each of the two errors and once with another.
      const source = `
        #include <errno.h>
        #include <linux/kvm.h>
        #include <stdarg.h>
        #include <sys/mman.h>
        #include <sys/syscall.h>
        #include <unistd.h>
        int ioctl(int fd, unsigned long request, ...) {
          static const int errors[] = {EFAULT, EHWPOISON, EINVAL};
          static int calls;
          va_list list;
          va_start(list, request);
          unsigned long argument = va_arg(list, unsigned long);
          va_end(list);
          if (request != KVM_RUN) return (int)syscall(SYS_ioctl, fd, request, argument);
          struct kvm_run *run = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
          unsigned long long *fault = (unsigned long long *)((char *)run + 32);
          run->exit_reason = 39;
          fault[0] = 8, fault[1] = 0x5000, fault[2] = 4096;
          munmap(run, 4096);
          errno = errors[calls++ % 3];
          return -1;
        }`;
      writeFileSync(join(folder, "fault.c"), source);
      execFileSync("gcc", ["-shared", "-fPIC", "-o", join(folder, "fault.so"), join(folder, "fault.c")]);
      const script = `
        const { Kvm } = await import(${JSON.stringify(await bundled())});
        const vcpu = Kvm.open().createVm().createVcpu(0);
        for (let i = 0; i < 3; i++) {
          try {
            const { reason, detail } = vcpu.run();
            console.log(reason, detail.flags, detail.gpa, detail.size);
          } catch (error) {
            console.log(error.code);
          }
        }`;
      const output = execFileSync(process.execPath, ["--input-type=module", "-e", script], {
        encoding: "utf8",
        env: { ...process.env, LD_PRELOAD: join(folder, "fault.so") },
      });
      const fault = "memory-fault 8n 20480n 4096n\n";
      expect(output).toBe(`${fault}${fault}invalid-argument\n`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("nested state", () => {
    using machine = new Machine(guests.spin);
    const { kvm, vcpu } = machine;
    const bytes = kvm.checkExtension(Cap.NESTED_STATE);
    if (!has(kvm, "NESTED_STATE", 0) || bytes === 0) {
      expect(() => vcpu.getNestedState(4096)).toThrow(KvmError);
      return;
    }
    vcpu.setCpuid2(kvm.getSupportedCpuid());
    const state = vcpu.getNestedState(bytes);
    const header = NestedStateHeader.at(state.buffer, state.byteOffset);
    expect(header.size).toBe(state.length);
    expect([0, 1]).toContain(header.format);
    vcpu.setNestedState(state);
  });

  it("Hyper-V's leaves and event descriptors, system management", () => {
    using machine = new Machine(guests.spin, (vm) => vm.createIrqchip());
    const { kvm, vm, vcpu } = machine;
    using event = EventFd.create();
    if (has(kvm, "HYPERV_EVENTFD")) {
      vm.hypervEventfd(1, event);
      expect(() => vm.hypervEventfd(1, event)).toThrow(code("exists"));
      vm.deassignHypervEventfd(1);
      expect(() => vm.deassignHypervEventfd(1)).toThrow(code("not-found"));
    } else {
      expect(() => vm.hypervEventfd(1, event)).toThrow(KvmError);
    }
    if (has(kvm, "HYPERV_CPUID")) expect(vcpu.getSupportedHvCpuid().length).toBeGreaterThan(2);
    else expect(() => vcpu.getSupportedHvCpuid()).toThrow(KvmError);
    if (has(kvm, "X86_SMM")) vcpu.smi();
    else expect(() => vcpu.smi()).toThrow(code("unsupported"));
  });
});
