/** The rings a vCPU shares with its user: writes that did not exit, and pages the guest has written. */
import { DirtyGfnFlags, PAGE_SIZE } from "./abi/constants.js";
import { CoalescedRing, CoalescedWrite, DirtyGfn } from "./abi/vm.js";
import { KvmError } from "./errors.js";

/** The buffer of a vCPU that was disposed is detached. */
function checkOpen(operation: string, buffer: ArrayBuffer): void {
  if (buffer.byteLength === 0) throw new KvmError("closed", operation, "the vCPU is closed");
}

/** A write that the kernel put aside instead of leaving the guest. */
export interface CoalescedAccess {
  /** The guest-physical address, or the port. */
  readonly address: number;
  readonly pio: boolean;
  readonly data: Uint8Array;
}

/**
 * The ring of coalesced writes (`KVM_CAP_COALESCED_MMIO`), one for all vCPUs of a VM. Drain it after every exit of any of
 * them: what is in it happened before.
 */
export class CoalescedMmioRing {
  readonly #ring;
  readonly #buffer: ArrayBuffer;
  readonly #offset: number;
  /** How many entries the page has room for; one always stays free. */
  readonly capacity = Math.floor((PAGE_SIZE - CoalescedRing.size) / CoalescedWrite.size);

  /** @internal */
  constructor(buffer: ArrayBuffer, offset: number) {
    this.#buffer = buffer;
    this.#offset = offset;
    this.#ring = CoalescedRing.at(buffer, offset);
  }

  /** Takes out all writes that wait, oldest first, as copies. */
  drain(): CoalescedAccess[] {
    checkOpen("CoalescedMmioRing.drain", this.#buffer);
    const taken: CoalescedAccess[] = [];
    let first = this.#ring.first % this.capacity;
    const last = this.#ring.last % this.capacity;
    while (first !== last) {
      const entry = CoalescedWrite.at(this.#buffer, this.#offset + CoalescedRing.size + first * CoalescedWrite.size);
      const data = entry.data.slice(0, entry.len);
      taken.push({ address: Number(entry.phys_addr), pio: entry.pio !== 0, data });
      first = (first + 1) % this.capacity;
    }
    this.#ring.first = first;
    return taken;
  }
}

/** A page the guest has written. */
export interface DirtyPage {
  /** The memory slot; from bit 16 the address space. */
  readonly slot: number;
  /** The page's number within the slot. */
  readonly page: number;
}

/** A vCPU's ring of written pages (`KVM_CAP_DIRTY_LOG_RING`). */
export class DirtyRing {
  readonly #buffer: ArrayBuffer;
  readonly #capacity: number;
  #next = 0;

  /** @internal */
  constructor(buffer: ArrayBuffer) {
    this.#buffer = buffer;
    this.#capacity = buffer.byteLength / DirtyGfn.size;
  }

  /** Takes out the pages written since the last call; `Vm.resetDirtyRings` then lets the kernel track them again. */
  harvest(): DirtyPage[] {
    checkOpen("DirtyRing.harvest", this.#buffer);
    const pages: DirtyPage[] = [];
    for (let taken = 0; taken < this.#capacity; taken++) {
      const entry = DirtyGfn.at(this.#buffer, this.#next * DirtyGfn.size);
      if ((entry.flags & DirtyGfnFlags.DIRTY) === 0) break;
      pages.push({ slot: entry.slot, page: Number(entry.offset) });
      entry.flags = DirtyGfnFlags.RESET;
      this.#next = (this.#next + 1) % this.#capacity;
    }
    return pages;
  }
}
