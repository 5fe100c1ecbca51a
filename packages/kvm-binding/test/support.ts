import { on } from "node:events";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { build } from "esbuild";
import { describe } from "vitest";
import { createSharedMemory, type Exit, Kvm, type Vcpu, type Vm } from "../src/index.js";

const why = Kvm.unavailable();
if (why !== undefined) console.warn(`\n*** Tests that need KVM are skipped: ${why.reason}: ${why.message}\n`);

/** As `describe`, skipped where KVM cannot be used. */
export const describeKvm = why === undefined ? describe : describe.skip;

/** A VM of one vCPU and 64 KiB, with a program at 0x1000. */
export class Machine {
  readonly kvm = Kvm.open();
  readonly vm: Vm;
  readonly memory = createSharedMemory(0x10000);
  readonly vcpu: Vcpu;

  constructor(program: Uint8Array, prepare: (vm: Vm, kvm: Kvm) => void = () => {}) {
    this.vm = this.kvm.createVm();
    prepare(this.vm, this.kvm);
    this.memory.set(program, 0x1000);
    this.vm.setUserMemoryRegion({ slot: 0, guestPhysAddr: 0, memory: this.memory });
    this.vcpu = this.vm.createVcpu(0);
  }

  [Symbol.dispose](): void {
    this.vcpu.dispose();
    this.vm.dispose();
    this.kvm.dispose();
  }
}

/** Real mode, at 0x1000. */
export function realMode(vcpu: Vcpu): void {
  const sregs = vcpu.getSregs();
  sregs.cs.$assign({ base: 0n, selector: 0 });
  vcpu.setSregs(sregs);
  vcpu.setRegs({ rip: 0x1000n, rflags: 2n, rsp: 0x8000n });
}

function flat(vcpu: Vcpu, privilege: number, long: boolean) {
  const sregs = vcpu.getSregs();
  const segment = { base: 0n, limit: 0xffffffff, present: 1, dpl: privilege, s: 1, g: 1 };
  const data = { ...segment, selector: 0x10 | privilege, type: 3, db: 1 };
  sregs.cs.$assign({ ...segment, selector: 8 | privilege, type: 11, db: long ? 0 : 1, l: long ? 1 : 0 });
  for (const name of ["ds", "es", "fs", "gs", "ss"] as const) sregs[name].$assign(data);
  sregs.cr0 |= 1n;
  return sregs;
}

/** 32-bit protected mode with flat segments, at 0x1000. */
export function protectedMode(vcpu: Vcpu, regs: { rcx?: bigint } = {}): void {
  const sregs = flat(vcpu, 0, false);
  sregs.idt.$assign({ base: 0n, limit: 0 });
  vcpu.setSregs(sregs);
  vcpu.setRegs({ rip: 0x1000n, rflags: 2n, rsp: 0x8000n, ...regs });
}

/**
 * 64-bit mode, at 0x1000. Page tables from 0x9000 on map the first GiB, the third, and the one RDI points to, to
 * themselves, in 2 MiB pages (not every host has larger ones).
 */
export function longMode(
  vcpu: Vcpu,
  memory: Uint8Array,
  regs: { rdi?: bigint; rcx?: bigint } = {},
  privilege = 0,
): void {
  const tables = new BigUint64Array(memory.buffer, memory.byteOffset + 0x9000, 5 * 512);
  tables[0] = 0xa007n;
  for (const [index, gibibyte] of [0, 2, Number((regs.rdi ?? 0n) >> 30n)].entries()) {
    tables[512 + gibibyte] = BigInt(0xb000 + index * 0x1000) | 7n;
    for (let i = 0; i < 512; i++)
      tables[(2 + index) * 512 + i] = (BigInt(gibibyte) << 30n) | (BigInt(i) << 21n) | 0x87n;
  }
  const sregs = flat(vcpu, privilege, true);
  sregs.$assign({ cr0: 0x80000011n, cr3: 0x9000n, cr4: 0x20n, efer: 0x500n });
  vcpu.setSregs(sregs);
  const iopl = privilege === 3 ? 0x3000n : 0n;
  vcpu.setRegs({ rip: 0x1000n, rflags: 2n | iopl, rsp: 0x8000n, ...regs });
}

/** Runs until an exit of another kind than `intr`. */
export function runOn(vcpu: Vcpu): Exit {
  let exit = vcpu.run();
  while (exit.reason === "intr") exit = vcpu.run();
  return exit;
}

/** What this process holds: threads, descriptors, and of maps those that are the package's. */
export function resources() {
  const maps = readFileSync("/proc/self/maps", "utf8");
  return {
    descriptors: readdirSync("/proc/self/fd").length,
    kvmDescriptors: readlinks().filter((link) => /kvm|eventfd|guest-memory/.test(link)).length,
    threads: readdirSync("/proc/self/task").length,
    kvmMaps: (maps.match(/kvm-vcpu|kvm-gmem|guest-memory/g) ?? []).length,
  };
}

function readlinks(): string[] {
  return readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return "";
    }
  });
}

let bundle: Promise<string> | undefined;

/** The package as one file that a worker can import: the sources as they are, not an older build. */
export function bundled(): Promise<string> {
  bundle ??= (async () => {
    const outfile = fileURLToPath(new URL(`../build/test/kvm-binding-${process.pid}.mjs`, import.meta.url));
    const source = fileURLToPath(new URL("../src/index.ts", import.meta.url));
    await build({ entryPoints: [source], outfile, bundle: true, platform: "node", format: "esm", target: "node20" });
    return outfile;
  })();
  return bundle;
}

/** What each worker has said, kept until somebody asks: of one that has ended, all messages come at once. */
const said = new WeakMap<Worker, AsyncIterator<unknown[]>>();

/** Starts a worker with this body, in which `kvm` is the package and `data` what is passed. */
export async function startWorker(body: string, data: unknown): Promise<Worker> {
  const text = `
    const { parentPort, workerData } = require("node:worker_threads");
    import(workerData.file).then(async (kvm) => { const data = workerData.data; ${body} });
  `;
  const worker = new Worker(text, { eval: true, workerData: { file: await bundled(), data } });
  said.set(worker, on(worker, "message", { close: ["exit"] }));
  return worker;
}

/** The next message of a worker of `startWorker`; its error if it fails, or has failed, before. */
export async function message(worker: Worker): Promise<unknown> {
  const next = await said.get(worker)?.next();
  if (next === undefined || next.done) throw new Error("the worker has ended");
  return next.value[0];
}

/** Waits until something holds, at most ten seconds. */
export async function eventually(what: () => boolean): Promise<void> {
  const end = Date.now() + 10_000;
  while (!what()) {
    if (Date.now() > end) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
