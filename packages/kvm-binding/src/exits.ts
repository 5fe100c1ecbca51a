/**
 * Why `Vcpu.run` returned, as a union told apart by `reason`. The objects are made once for each vCPU and read the run
 * page when asked: what they say holds until the next `run`.
 */
import { InternalError, InternalErrorFlags } from "./abi/constants.js";
import { ExitUnion, Run } from "./abi/run.js";
import type { View } from "./abi/struct.js";
import { KvmError, viewFailure } from "./errors.js";

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
    try {
      return this.#view.getUint8(IO + io.direction) === 1 ? "out" : "in";
    } catch (error) {
      throw viewFailure(error, "IoExit.direction", this.#view.buffer);
    }
  }

  /** Bytes of one access: 1, 2 or 4. */
  get size(): number {
    try {
      return this.#view.getUint8(IO + io.size);
    } catch (error) {
      throw viewFailure(error, "IoExit.size", this.#view.buffer);
    }
  }

  get port(): number {
    try {
      return this.#view.getUint16(IO + io.port, true);
    } catch (error) {
      throw viewFailure(error, "IoExit.port", this.#view.buffer);
    }
  }

  /** How many accesses wait: more than 1 for string instructions. */
  get count(): number {
    try {
      return this.#view.getUint32(IO + io.count, true);
    } catch (error) {
      throw viewFailure(error, "IoExit.count", this.#view.buffer);
    }
  }

  /** The data of all `count` accesses, `size` bytes each, in the run page. */
  get data(): Uint8Array {
    try {
      const offset = Number(this.#view.getBigUint64(IO + io.data_offset, true));
      const length = this.size * this.count;
      if (this.#data?.byteOffset !== offset || this.#data.length !== length) {
        this.#data = new Uint8Array(this.#view.buffer, offset, length);
      }
      return this.#data;
    } catch (error) {
      throw viewFailure(error, "IoExit.data", this.#view.buffer);
    }
  }

  /** The first access's data as a number. */
  get value(): number {
    try {
      // The kernel always puts the data on the second page; reading the offset as 64 bits would cost a bigint.
      const offset = this.#view.getUint32(IO + io.data_offset, true);
      const size = this.#view.getUint8(IO + io.size);
      if (size === 1) return this.#view.getUint8(offset);
      return size === 2 ? this.#view.getUint16(offset, true) : this.#view.getUint32(offset, true);
    } catch (error) {
      throw viewFailure(error, "IoExit.value", this.#view.buffer);
    }
  }
  set value(value: number) {
    try {
      const offset = this.#view.getUint32(IO + io.data_offset, true);
      const size = this.#view.getUint8(IO + io.size);
      if (size === 1) this.#view.setUint8(offset, value);
      else if (size === 2) this.#view.setUint16(offset, value, true);
      else this.#view.setUint32(offset, value, true);
    } catch (error) {
      throw viewFailure(error, "IoExit.value", this.#view.buffer);
    }
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
    try {
      const low = this.#view.getUint32(MMIO + mmio.phys_addr, true);
      return this.#view.getUint32(MMIO + mmio.phys_addr + 4, true) * 0x1_0000_0000 + low;
    } catch (error) {
      throw viewFailure(error, "MmioExit.physAddr", this.#view.buffer);
    }
  }

  /** Bytes of the access: 1 to 8. */
  get len(): number {
    try {
      return this.#view.getUint32(MMIO + mmio.len, true);
    } catch (error) {
      throw viewFailure(error, "MmioExit.len", this.#view.buffer);
    }
  }

  get isWrite(): boolean {
    try {
      return this.#view.getUint8(MMIO + mmio.is_write) !== 0;
    } catch (error) {
      throw viewFailure(error, "MmioExit.isWrite", this.#view.buffer);
    }
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
    const { len } = this;
    if (len !== 1 && len !== 2 && len !== 4) {
      throw new KvmError("out-of-range", "MmioExit.value", `an access of ${len} bytes is no such number`);
    }
    try {
      if (len === 1) this.#view.setUint8(MMIO + mmio.data, value);
      else if (len === 2) this.#view.setUint16(MMIO + mmio.data, value, true);
      else this.#view.setUint32(MMIO + mmio.data, value, true);
    } catch (error) {
      throw viewFailure(error, "MmioExit.value", this.#view.buffer);
    }
  }

  /** The data as a number of up to 64 bits. */
  get value64(): bigint {
    const bits = 8 * Math.min(this.len, 8);
    return BigInt.asUintN(bits, this.#view.getBigUint64(MMIO + mmio.data, true));
  }
  set value64(value: bigint) {
    try {
      this.#view.setBigUint64(MMIO + mmio.data, value, true);
    } catch (error) {
      throw viewFailure(error, "MmioExit.value64", this.#view.buffer);
    }
  }
}

/** The kernel cannot go on with the guest (`KVM_EXIT_INTERNAL_ERROR`); `detail.suberror` is one of `InternalError`. */
export class InternalErrorExit {
  readonly reason = "internal-error";
  readonly detail: View<(typeof fields)["internal"]>;
  readonly #emulation: View<(typeof fields)["emulation_failure"]>;

  /** @internal */
  constructor(buffer: ArrayBuffer) {
    this.detail = fields.internal.at(buffer, at("internal"));
    this.#emulation = fields.emulation_failure.at(buffer, at("emulation_failure"));
  }

  /** The bytes of the instruction that the kernel cannot emulate, in the run page, where it says them. */
  get instructionBytes(): Uint8Array | undefined {
    const { suberror, ndata, flags, insn_size, insn_bytes } = this.#emulation;
    // Flags are the first word of data; the size and the bytes are the two after it.
    if (suberror !== InternalError.EMULATION || ndata < 3) return undefined;
    if ((flags & InternalErrorFlags.INSTRUCTION_BYTES) === 0n) return undefined;
    return insn_bytes.subarray(0, insn_size);
  }
}

const INTERNAL_ERROR = 17;

/** The exits that say more than their name, with the member of the union that says it. */
const detailed = {
  0: ["unknown", "hw"],
  1: ["exception", "ex"],
  3: ["hypercall", "hypercall"],
  4: ["debug", "debug"],
  9: ["fail-entry", "fail_entry"],
  12: ["tpr-access", "tpr_access"],
  24: ["system-event", "system_event"],
  26: ["ioapic-eoi", "eoi"],
  27: ["hyperv", "hyperv"],
  29: ["rdmsr", "msr"],
  30: ["wrmsr", "msr"],
  34: ["xen", "xen"],
  37: ["notify", "notify"],
  39: ["memory-fault", "memory_fault"],
  40: ["tdx", "tdx"],
} as const;

const plain = {
  5: "hlt",
  7: "irq-window-open",
  8: "shutdown",
  10: "intr",
  11: "set-tpr",
  16: "nmi",
  31: "dirty-ring-full",
  32: "ap-reset-hold",
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
export type Exit = IoExit | MmioExit | InternalErrorExit | DetailExit | PlainExit | OtherExit;

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
    if (number === INTERNAL_ERROR) return new InternalErrorExit(this.#buffer);
    if (number in plain) return { reason: plain[number as keyof typeof plain] };
    if (!(number in detailed)) return { reason: "other", number };
    const [reason, member] = detailed[number as keyof typeof detailed];
    return { reason, detail: fields[member].at(this.#buffer, at(member)) } as DetailExit;
  }
}
