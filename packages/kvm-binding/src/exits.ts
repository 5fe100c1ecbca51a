/**
 * Why `Vcpu.run` returned, as a union told apart by `reason`. The objects are made once for each vCPU and read the run
 * page when asked: what they say holds until the next `run`.
 */
import { ExitUnion, Run } from "./abi/run.js";
import type { View } from "./abi/struct.js";
import { KvmError } from "./errors.js";

const { offsets, fields } = ExitUnion;
const at = (member: keyof typeof fields & string) => Run.offsets.exit + offsets[member];

const IO = at("io");
const io = fields.io.offsets;
const MMIO = at("mmio");
const mmio = fields.mmio.offsets;

/** A port access (`KVM_EXIT_IO`). For `direction: "in"`, store the answer in `data` or `value` before the next run. */
export class IoExit {
  readonly reason = "io";
  readonly #view: DataView;
  #data: Uint8Array | undefined;

  /** @internal */
  constructor(view: DataView) {
    this.#view = view;
  }

  /** `in`: the guest reads the port; `out`: it writes. */
  get direction(): "in" | "out" {
    return this.#view.getUint8(IO + io.direction) === 1 ? "out" : "in";
  }

  /** Bytes of one access: 1, 2 or 4. */
  get size(): number {
    return this.#view.getUint8(IO + io.size);
  }

  get port(): number {
    return this.#view.getUint16(IO + io.port, true);
  }

  /** How many accesses wait: more than 1 for string instructions. */
  get count(): number {
    return this.#view.getUint32(IO + io.count, true);
  }

  get #offset(): number {
    return Number(this.#view.getBigUint64(IO + io.data_offset, true));
  }

  /** The data of all `count` accesses, `size` bytes each, in the run page. */
  get data(): Uint8Array {
    const offset = this.#offset;
    const length = this.size * this.count;
    if (this.#data?.byteOffset !== offset || this.#data.length !== length) {
      this.#data = new Uint8Array(this.#view.buffer, offset, length);
    }
    return this.#data;
  }

  /** The first access's data as a number. */
  get value(): number {
    // The kernel always puts the data on the second page; reading the offset as 64 bits would cost a bigint.
    const offset = this.#view.getUint32(IO + io.data_offset, true);
    const size = this.size;
    if (size === 1) return this.#view.getUint8(offset);
    return size === 2 ? this.#view.getUint16(offset, true) : this.#view.getUint32(offset, true);
  }
  set value(value: number) {
    const offset = this.#view.getUint32(IO + io.data_offset, true);
    const size = this.size;
    if (size === 1) this.#view.setUint8(offset, value);
    else if (size === 2) this.#view.setUint16(offset, value, true);
    else this.#view.setUint32(offset, value, true);
  }
}

/** An access to memory that no slot covers (`KVM_EXIT_MMIO`). For a read, store the answer before the next run. */
export class MmioExit {
  readonly reason = "mmio";
  readonly #view: DataView;
  #data: Uint8Array | undefined;

  /** @internal */
  constructor(view: DataView) {
    this.#view = view;
  }

  /** The guest-physical address. */
  get physAddr(): number {
    const low = this.#view.getUint32(MMIO + mmio.phys_addr, true);
    return this.#view.getUint32(MMIO + mmio.phys_addr + 4, true) * 0x1_0000_0000 + low;
  }

  /** Bytes of the access: 1 to 8. */
  get len(): number {
    return this.#view.getUint32(MMIO + mmio.len, true);
  }

  get isWrite(): boolean {
    return this.#view.getUint8(MMIO + mmio.is_write) !== 0;
  }

  /** The `len` bytes of data, in the run page. */
  get data(): Uint8Array {
    const length = Math.min(this.len, 8);
    if (this.#data?.length !== length) this.#data = new Uint8Array(this.#view.buffer, MMIO + mmio.data, length);
    return this.#data;
  }

  /** The data of an access of 1, 2 or 4 bytes as a number; `value64` takes all lengths. */
  get value(): number {
    switch (this.len) {
      case 1:
        return this.#view.getUint8(MMIO + mmio.data);
      case 2:
        return this.#view.getUint16(MMIO + mmio.data, true);
      case 4:
        return this.#view.getUint32(MMIO + mmio.data, true);
      default:
        throw new KvmError("out-of-range", "MmioExit.value", `an access of ${this.len} bytes is no such number`);
    }
  }
  set value(value: number) {
    switch (this.len) {
      case 1:
        this.#view.setUint8(MMIO + mmio.data, value);
        break;
      case 2:
        this.#view.setUint16(MMIO + mmio.data, value, true);
        break;
      case 4:
        this.#view.setUint32(MMIO + mmio.data, value, true);
        break;
      default:
        throw new KvmError("out-of-range", "MmioExit.value", `an access of ${this.len} bytes is no such number`);
    }
  }

  /** The data as a number of up to 64 bits. */
  get value64(): bigint {
    const value = this.#view.getBigUint64(MMIO + mmio.data, true);
    return BigInt.asUintN(8 * Math.min(this.len, 8), value);
  }
  set value64(value: bigint) {
    this.#view.setBigUint64(MMIO + mmio.data, value, true);
  }
}

/** The exits that say more than their name, with the member of the union that says it. */
const detailed = {
  0: ["unknown", "hw"],
  1: ["exception", "ex"],
  3: ["hypercall", "hypercall"],
  4: ["debug", "debug"],
  9: ["fail-entry", "fail_entry"],
  12: ["tpr-access", "tpr_access"],
  17: ["internal-error", "internal"],
  24: ["system-event", "system_event"],
  26: ["ioapic-eoi", "eoi"],
  29: ["rdmsr", "msr"],
  30: ["wrmsr", "msr"],
  37: ["notify", "notify"],
  39: ["memory-fault", "memory_fault"],
} as const;

const plain = {
  5: "hlt",
  7: "irq-window-open",
  8: "shutdown",
  10: "intr",
  11: "set-tpr",
  16: "nmi",
  31: "dirty-ring-full",
  33: "bus-lock",
} as const;

type Detailed = (typeof detailed)[keyof typeof detailed];

/** An exit with a structure of its own: `detail` is a view of it in the run page. */
export type DetailExit = {
  [D in Detailed as D[0]]: { readonly reason: D[0]; readonly detail: View<(typeof fields)[D[1]]> };
}[Detailed[0]];

/** An exit that says it all by its name. `intr`: a kick or another signal took the thread out of the guest. */
export type PlainExit = { readonly reason: (typeof plain)[keyof typeof plain] };

/** An exit this version has no name for, by the kernel's number. */
export type OtherExit = { readonly reason: "other"; readonly number: number };

/** Everything `Vcpu.run` may return. */
export type Exit = IoExit | MmioExit | DetailExit | PlainExit | OtherExit;

/** The exits of one vCPU, made when they first happen. */
export class Exits {
  readonly #buffer: ArrayBuffer;
  readonly #made: (Exit | undefined)[] = [];

  constructor(buffer: ArrayBuffer) {
    this.#buffer = buffer;
    const view = new DataView(buffer);
    this.#made[2] = new IoExit(view);
    this.#made[6] = new MmioExit(view);
  }

  /** The exit for a reason as the kernel numbers it. */
  of(number: number): Exit {
    let exit = this.#made[number];
    if (exit === undefined) {
      exit = this.#make(number);
      this.#made[number] = exit;
    }
    return exit;
  }

  #make(number: number): Exit {
    if (number in plain) return { reason: plain[number as keyof typeof plain] };
    if (!(number in detailed)) return { reason: "other", number };
    const [reason, member] = detailed[number as keyof typeof detailed];
    return { reason, detail: fields[member].at(this.#buffer, at(member)) } as DetailExit;
  }
}
