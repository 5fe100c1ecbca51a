import { Cpu, createMemory, loadInterpreter, parseModel, RAM_BASE, S, type StopReason } from "../../src/index.js";
import { readImage } from "./image.js";

const RAM = 64 << 20;
/** SOFTMETAL_TIER=blocks runs the programs in emitted blocks, which takes minutes. */
const TIER = process.env.SOFTMETAL_TIER === "blocks" ? "blocks" : "interpreter";
const APIC = 0xfee00000;

/** The part of a local APIC that the programs use: IPIs to itself by ICR, EOI, the task priority. */
class SelfApic {
  readonly #requests = new Set<number>();
  #inService: number[] = [];
  taskPriority = 0;
  #command = 0;
  nmi: () => void = () => undefined;
  attention: () => void = () => undefined;

  #next(): number {
    const highest = Math.max(-1, ...this.#requests);
    const floor = Math.max(this.taskPriority, ...this.#inService.map((vector) => vector >> 4));
    return highest >> 4 > floor ? highest : -1;
  }
  pending(): boolean {
    return this.#next() >= 0;
  }
  acknowledge(): number {
    const vector = this.#next();
    if (vector >= 0) {
      this.#requests.delete(vector);
      this.#inService.push(vector);
    }
    return vector;
  }
  readMsr(index: number): bigint | undefined {
    return index === 0x1b ? BigInt(APIC | 0x900) : undefined;
  }
  writeMsr(index: number, value: bigint): boolean {
    return index === 0x1b && value === BigInt(APIC | 0x900);
  }
  read(offset: number): number {
    return offset === 0x300 ? this.#command : offset === 0x80 ? this.taskPriority << 4 : 0;
  }
  write(offset: number, value: number): void {
    if (offset === 0xb0) this.#inService = this.#inService.sort((a, b) => a - b).slice(0, -1);
    if (offset === 0x80) this.taskPriority = (value >> 4) & 15;
    if (offset === 0x300) {
      this.#command = value & ~0x1000;
      if (((value >> 8) & 7) === 4) this.nmi();
      else this.#requests.add(value & 0xff);
    }
    this.attention();
  }
}

/** Runs a Multiboot image in the translator; what it wrote to port 0xE9, and how it ended. */
export function runInTranslator(image: string, model: string, seconds = TIER === "blocks" ? 110 : 30) {
  const { bytes, address, entry } = readImage(image);
  const memory = createMemory(RAM);
  const output: string[] = [];
  const apic = new SelfApic();
  let ended = false;
  const cpu = new Cpu({
    memory,
    ram: [{ address: 0, size: RAM, offset: RAM_BASE }],
    model: parseModel(model),
    bus: {
      readPhysical: (at, _size) => (at >= APIC && at < APIC + 4096 ? apic.read(at - APIC) : 0xffffffff),
      writePhysical(at, _size, value) {
        if (at >= APIC && at < APIC + 4096) apic.write(at - APIC, value);
      },
      readPort: (port) => (port === 0xe9 ? 0xe9 : 0xffffffff),
      writePort(port, _size, value) {
        if (port === 0xe9) output.push(String.fromCharCode(value & 0xff));
        if (port === 0xf4) {
          ended = true;
          cpu.stop("requested");
        }
      },
    },
    apic,
    time: { ticks: () => BigInt(Math.round(performance.now() * 1e6)), frequency: 1e9 },
    interpreter: loadInterpreter(),
    tier: TIER,
  });
  apic.nmi = () => cpu.nmi();
  apic.attention = () => cpu.attention();
  cpu.physical.u8.set(bytes, RAM_BASE + address);
  enterMultiboot(cpu, entry);
  let reason: StopReason = "budget";
  const end = performance.now() + seconds * 1000;
  while (!ended && performance.now() < end) {
    reason = cpu.run(100_000);
    if (reason === "shutdown" || (reason === "halted" && !apic.pending())) break;
  }
  return { output: output.join(""), reason: ended ? ("end" as const) : reason, cpu };
}

/** The machine state of Multiboot 0.6.96, 3.2: 32-bit protected mode, flat segments. */
function enterMultiboot(cpu: Cpu, entry: number): void {
  const { state } = cpu;
  for (const segment of [0, 2, 3, 4, 5]) state.setSegment(segment, 0x10, 0n, 0xffffffff, 0xc09300);
  state.setSegment(1, 8, 0n, 0xffffffff, 0xc09b00);
  state.set64(S.cr0, 0x11n);
  state.set64(S.gpr, 0x2badb002n);
  state.set64(S.rip, BigInt(entry));
  cpu.stateChanged();
}
