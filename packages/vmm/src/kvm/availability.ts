import { Cap, createSharedMemory, Kvm, KvmError } from "@softmetal/kvm-binding";

/** What this host's KVM is good for. */
export type KvmAvailability =
  | { usable: false; reason: string }
  | {
      usable: true;
      /** The processor executes the guest's kernel; else the host interprets it, far slower than the translator. */
      fast: boolean;
      reason: string;
    };

/** Without one of these the engine cannot work. */
const NEEDED = ["IRQCHIP", "USER_MEMORY", "PIT2", "IRQ_ROUTING", "IMMEDIATE_EXIT", "MP_STATE", "VCPU_EVENTS"] as const;

/** Iterations of the probe's loop, two instructions each: some microseconds on a processor with virtualization. */
const ITERATIONS = 3000;
/** Interpreters take several milliseconds; a host that is only busy less than that in one of three tries. */
const LONGEST_MS = 1;

/** Looks at KVM and measures how it executes supervisor code, which takes some milliseconds. Never throws. */
export function kvmAvailability(): KvmAvailability {
  const unavailable = Kvm.unavailable();
  if (unavailable) return { usable: false, reason: unavailable.message.replace(/^KVM: /, "") };
  try {
    const kvm = Kvm.open();
    try {
      const missing = NEEDED.filter((name) => kvm.checkExtension(Cap[name]) === 0);
      if (missing.length > 0) return { usable: false, reason: `this kernel's KVM lacks ${missing.join(", ")}` };
      const milliseconds = timeProbe(kvm);
      if (milliseconds <= LONGEST_MS) return { usable: true, fast: true, reason: "KVM is usable and fast" };
      const mips = ((2 * ITERATIONS) / milliseconds / 1000).toFixed(1);
      return {
        usable: true,
        fast: false,
        reason: `KVM is usable, but has no hardware support here (${mips} million instructions a second)`,
      };
    } finally {
      kvm.dispose();
    }
  } catch (error) {
    if (!(error instanceof KvmError)) throw error;
    return { usable: false, reason: `KVM does not work: ${error.message}` };
  }
}

/** Milliseconds that a supervisor-mode loop takes, the best of three. */
function timeProbe(kvm: Kvm): number {
  const program = [
    ...[0xb9, ITERATIONS & 0xff, ITERATIONS >> 8, 0, 0], // start: mov ecx, ITERATIONS
    ...[0x49], //                                           next: dec ecx
    ...[0x75, 0xfd], //                                     jnz next
    ...[0xe6, 0x10], //                                     out 0x10, al
    ...[0xeb, 0xf4], //                                     jmp start
  ];
  const vm = kvm.createVm();
  const vcpu = vm.createVcpu(0);
  try {
    const memory = createSharedMemory(0x10000);
    memory.set(program, 0x1000);
    vm.setUserMemoryRegion({ slot: 0, guestPhysAddr: 0, memory });
    const sregs = vcpu.getSregs();
    const flat = { base: 0n, limit: 0xffffffff, present: 1, s: 1, g: 1, db: 1 };
    sregs.cs.$assign({ ...flat, selector: 8, type: 11 });
    for (const name of ["ds", "es", "fs", "gs", "ss"] as const) sregs[name].$assign({ ...flat, selector: 16, type: 3 });
    sregs.cr0 |= 1n;
    vcpu.setSregs(sregs);
    vcpu.setRegs({ rip: 0x1000n, rflags: 2n });
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 3 && best > LONGEST_MS; round++) {
      const start = performance.now();
      let exit = vcpu.run();
      while (exit.reason === "intr") exit = vcpu.run();
      if (exit.reason !== "io") throw new KvmError("failed", "KVM_RUN", `the probe ended with ${exit.reason}`);
      best = Math.min(best, performance.now() - start);
    }
    return best;
  } finally {
    vcpu.dispose();
    vm.dispose();
  }
}
