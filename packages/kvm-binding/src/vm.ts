import type { List } from "./abi/list.js";
import { type Input, struct, u64, type Values } from "./abi/struct.js";
import {
  ClockData,
  CoalescedZone,
  EnableCap,
  HypervEventfd,
  Irqchip,
  IrqLevel,
  IrqRouting,
  type IrqRoutingEntry,
  MemoryAttributes,
  Msi,
  PitConfig,
  PitState,
  PmuEventFilter,
  ReinjectControl,
} from "./abi/vm.js";
import * as check from "./arguments.js";
import { DeviceAttributes } from "./attributes.js";
import { Device } from "./device.js";
import { KvmError } from "./errors.js";
import { EventFd } from "./eventfd.js";
import { attach, checked, ioctl, made, nativeOf } from "./handle.js";
import { GuestMemfd, GuestMemory } from "./memory.js";
import { kinds, type NativeHandle, native } from "./native.js";
import { Stats } from "./stats.js";
import { Vcpu } from "./vcpu.js";

const Quadword = struct("__u64", { value: u64 });

const DATAMATCH = 1;
const PIO = 2;
const DEASSIGN = 4;
const IRQFD_DEASSIGN = 1;
const HYPERV_EVENTFD_DEASSIGN = 1;
const DEVICE_TEST = 1;

/** A memory slot (`struct kvm_userspace_memory_region`). */
export interface UserMemoryRegion {
  /** The slot's number; from bit 16 the address space. Setting a slot again replaces it. */
  readonly slot: number;
  /** Where the guest sees it: a multiple of 4096. */
  readonly guestPhysAddr: check.Address;
  /** A view over a SharedArrayBuffer that starts at a page (see `createSharedMemory`), or a GuestMemory. */
  readonly memory: Uint8Array | GuestMemory;
  /** From which byte of the memory on; a multiple of 4096, 0 unless given. */
  readonly offset?: number;
  /** Bytes; a multiple of 4096, all of the memory from `offset` on unless given. */
  readonly size?: number;
  /** `MemoryFlags`. */
  readonly flags?: number;
}

/** A memory slot with memory that only the guest may reach (`struct kvm_userspace_memory_region2`). */
export interface UserMemoryRegion2 extends Omit<UserMemoryRegion, "memory"> {
  /**
   * What this process and the guest share. Beside a guest_memfd it may be left out: then the guest_memfd itself, if it
   * can have windows, or else nothing, so that accesses to what is not private exit as `memory-fault`.
   */
  readonly memory?: Uint8Array | GuestMemory;
  readonly guestMemfd?: GuestMemfd;
  /** From which byte of the guest_memfd on; a multiple of 4096, 0 unless given. */
  readonly guestMemfdOffset?: number;
}

/** An eventfd raised by guest writes (`struct kvm_ioeventfd`). */
export interface IoEventFd {
  readonly event: EventFd;
  /** The guest-physical address, or with `pio` the port. */
  readonly address: check.Address;
  /** Bytes of the access: 1, 2, 4, 8, or 0 for any. */
  readonly length: number;
  readonly pio?: boolean;
  /** Only writes of this value; any value unless given. */
  readonly datamatch?: check.Address;
}

/** An eventfd that interrupts the guest (`struct kvm_irqfd`). */
export interface IrqFd {
  readonly event: EventFd;
  readonly gsi: number;
  /** For level-triggered interrupts: raised by the kernel when the guest acknowledges. */
  readonly resample?: EventFd;
}

/** A virtual machine: its memory, its processors, its interrupt controllers. */
export class Vm extends DeviceAttributes {
  readonly #native: NativeHandle;

  /** @internal */
  constructor(handle: NativeHandle) {
    super(handle, kinds.vm);
    this.#native = handle;
  }

  /** This thread's handle on a VM that another thread holds, by its `handle`. */
  static attach(handle: number): Vm {
    return new Vm(attach(kinds.vm, "Vm.attach", handle));
  }

  /** `KVM_CREATE_VCPU`: a processor with this number (its APIC id). */
  createVcpu(id: number): Vcpu {
    const operation = "KVM_CREATE_VCPU";
    return new Vcpu(made(operation, native().createVcpu(this.#native, check.u32(operation, "id", id))));
  }

  /** `KVM_CREATE_DEVICE`: see `DeviceType`. */
  createDevice(type: number): Device {
    const operation = "KVM_CREATE_DEVICE";
    return new Device(made(operation, native().createDevice(this.#native, check.u32(operation, "type", type), 0)));
  }

  /** `KVM_CREATE_DEVICE` with `KVM_CREATE_DEVICE_TEST`: whether the kernel has such a device. */
  testDevice(type: number): boolean {
    const operation = "KVM_CREATE_DEVICE";
    const result = native().createDevice(this.#native, check.u32(operation, "type", type), DEVICE_TEST);
    if (typeof result === "number" && result < -4095) checked(operation, result);
    return result === undefined;
  }

  /**
   * `KVM_SET_USER_MEMORY_REGION`: gives the guest memory. The VM keeps it until the slot is replaced or deleted, or the
   * VM is gone. A slot over a SharedArrayBuffer is deleted when the thread that set it ends.
   */
  setUserMemoryRegion(region: UserMemoryRegion): void {
    const operation = "KVM_SET_USER_MEMORY_REGION";
    check.object(operation, "memory", check.object(operation, "region", region).memory);
    this.#setRegion(operation, region, undefined);
  }

  /**
   * `KVM_SET_USER_MEMORY_REGION2` (`KVM_CAP_USER_MEMORY2`): as `setUserMemoryRegion`, and can have a guest_memfd
   * (`KVM_CAP_GUEST_MEMFD`; it sets `MemoryFlags.GUEST_MEMFD`), which such a slot keeps for its life.
   */
  setUserMemoryRegion2(region: UserMemoryRegion2): void {
    const operation = "KVM_SET_USER_MEMORY_REGION2";
    const { memory, guestMemfd, guestMemfdOffset = 0 } = check.object(operation, "region", region);
    if (guestMemfd === undefined) check.object(operation, "memory", memory as object);
    this.#setRegion(operation, region, { guestMemfd, guestMemfdOffset });
  }

  #setRegion(
    operation: string,
    region: UserMemoryRegion2,
    extension: { guestMemfd?: GuestMemfd; guestMemfdOffset: number } | undefined,
  ): void {
    const { slot, guestPhysAddr, memory, offset = 0, flags = 0 } = region;
    const guestMemfd =
      extension?.guestMemfd === undefined ? undefined : nativeOf(extension.guestMemfd, GuestMemfd, operation);
    const guestMemfdOffset = check.size(operation, "guestMemfdOffset", extension?.guestMemfdOffset ?? 0);
    check.size(operation, "offset", offset);
    const rest =
      memory === undefined
        ? (extension?.guestMemfd?.size ?? 0) - guestMemfdOffset
        : (memory instanceof GuestMemory ? memory.size : memory.byteLength) - offset;
    const size = check.size(operation, "size", region.size ?? rest);
    const result = native().setUserMemoryRegion(
      this.#native,
      check.u32(operation, "slot", slot),
      check.u32(operation, "flags", flags),
      check.u64(operation, "guestPhysAddr", guestPhysAddr),
      memory instanceof GuestMemory ? nativeOf(memory, GuestMemory, operation) : memory,
      offset,
      size,
      extension !== undefined,
      guestMemfd,
      guestMemfdOffset,
    );
    try {
      checked(operation, result);
    } catch (error) {
      if (!(error instanceof KvmError) || error.code !== "exists") throw error;
      throw new KvmError("overlap", operation, "the region overlaps another slot", error.errno);
    }
  }

  /** `KVM_SET_USER_MEMORY_REGION` with size 0: takes a slot away. */
  deleteUserMemoryRegion(slot: number): void {
    const operation = "KVM_SET_USER_MEMORY_REGION";
    checked(operation, native().deleteUserMemoryRegion(this.#native, check.u32(operation, "slot", slot)));
  }

  /** `KVM_CREATE_GUEST_MEMFD` (`KVM_CAP_GUEST_MEMFD`): `size` bytes of memory that belong to this VM; `GuestMemfdFlags`. */
  createGuestMemfd(size: number, flags = 0): GuestMemfd {
    const operation = "KVM_CREATE_GUEST_MEMFD";
    check.size(operation, "size", size);
    return new GuestMemfd(
      made(operation, native().createGuestMemfd(this.#native, size, check.size(operation, "flags", flags))),
    );
  }

  /** `KVM_SET_MEMORY_ATTRIBUTES` (`KVM_CAP_MEMORY_ATTRIBUTES`): of a range of guest memory, see `MemoryAttribute`. */
  setMemoryAttributes(guestPhysAddr: check.Address, size: check.Address, attributes: check.Address): void {
    const operation = "KVM_SET_MEMORY_ATTRIBUTES";
    const range = MemoryAttributes.create({
      address: BigInt(check.u64(operation, "guestPhysAddr", guestPhysAddr)),
      size: BigInt(check.u64(operation, "size", size)),
      attributes: BigInt(check.u64(operation, "attributes", attributes)),
    });
    ioctl(this.#native, operation, range.$bytes);
  }

  /** `KVM_GET_DIRTY_LOG`: fills a bitmap (see `dirtyBitmapBytes`) with the pages written since the last call. */
  getDirtyLog(slot: number, bitmap: Uint8Array): void {
    const operation = "KVM_GET_DIRTY_LOG";
    check.uint8Array(operation, "bitmap", bitmap);
    checked(operation, native().getDirtyLog(this.#native, check.u32(operation, "slot", slot), bitmap));
  }

  /** `KVM_CLEAR_DIRTY_LOG`: tracks these pages again (`KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2`). */
  clearDirtyLog(slot: number, firstPage: number, pages: number, bitmap: Uint8Array): void {
    const operation = "KVM_CLEAR_DIRTY_LOG";
    const result = native().clearDirtyLog(
      this.#native,
      check.u32(operation, "slot", slot),
      check.size(operation, "firstPage", firstPage),
      check.u32(operation, "pages", pages),
      check.uint8Array(operation, "bitmap", bitmap),
    );
    checked(operation, result);
  }

  /** `KVM_RESET_DIRTY_RINGS`: tracks harvested pages again; returns how many. */
  resetDirtyRings(): number {
    return ioctl(this.#native, "KVM_RESET_DIRTY_RINGS");
  }

  /** `KVM_CHECK_EXTENSION` of this VM: 0 when it does not have the capability. */
  checkExtension(cap: number): number {
    return ioctl(this.#native, "KVM_CHECK_EXTENSION (vm)", check.u32("KVM_CHECK_EXTENSION", "cap", cap));
  }

  /** `KVM_ENABLE_CAP` of a VM: for example `Cap.SPLIT_IRQCHIP` with `[24n]`. */
  enableCap(cap: number, args: Iterable<bigint> = [], flags = 0): void {
    const operation = "KVM_ENABLE_CAP";
    ioctl(this.#native, "KVM_ENABLE_CAP (vm)", check.structure(operation, EnableCap, { cap, flags, args }));
  }

  /** `KVM_SET_TSS_ADDR`: three pages below 4 GiB for Intel processors' real mode; before the first vCPU. */
  setTssAddr(address: number): void {
    ioctl(this.#native, "KVM_SET_TSS_ADDR", check.u32("KVM_SET_TSS_ADDR", "address", address));
  }

  /** `KVM_SET_IDENTITY_MAP_ADDR`: one page below 4 GiB for Intel processors' real mode; before the first vCPU. */
  setIdentityMapAddr(address: check.Address): void {
    const value = BigInt(check.u64("KVM_SET_IDENTITY_MAP_ADDR", "address", address));
    ioctl(this.#native, "KVM_SET_IDENTITY_MAP_ADDR", Quadword.create({ value }).$bytes);
  }

  /** `KVM_SET_BOOT_CPU_ID`: which vCPU is the bootstrap processor; before the first vCPU. */
  setBootCpuId(id: number): void {
    ioctl(this.#native, "KVM_SET_BOOT_CPU_ID", check.u32("KVM_SET_BOOT_CPU_ID", "id", id));
  }

  /** `KVM_SET_NR_MMU_PAGES`: how many pages of shadow page tables the kernel keeps. */
  setNrMmuPages(pages: number): void {
    ioctl(this.#native, "KVM_SET_NR_MMU_PAGES", check.u32("KVM_SET_NR_MMU_PAGES", "pages", pages));
  }

  /** `KVM_CREATE_IRQCHIP`: two PICs, an I/O APIC and a local APIC for each vCPU, in the kernel; before the first vCPU. */
  createIrqchip(): void {
    ioctl(this.#native, "KVM_CREATE_IRQCHIP");
  }

  /** `KVM_GET_IRQCHIP`: the state of a PIC or the I/O APIC, see `IrqchipId`. */
  getIrqchip(chipId: number): Irqchip {
    const chip = Irqchip.create({ chip_id: check.u32("KVM_GET_IRQCHIP", "chipId", chipId) });
    ioctl(this.#native, "KVM_GET_IRQCHIP", chip.$bytes);
    return chip;
  }

  /** `KVM_SET_IRQCHIP`. */
  setIrqchip(chip: Irqchip): void {
    ioctl(this.#native, "KVM_SET_IRQCHIP", check.structure("KVM_SET_IRQCHIP", Irqchip, chip));
  }

  /** `KVM_IRQ_LINE`: sets the level of a GSI's line. */
  irqLine(gsi: number, level: boolean): void {
    const irq = check.integer("KVM_IRQ_LINE", "gsi", gsi, 0x7fffffff);
    ioctl(this.#native, "KVM_IRQ_LINE", IrqLevel.create({ irq, level: level ? 1 : 0 }).$bytes);
  }

  /** `KVM_IRQ_LINE_STATUS`: as `irqLine`; above 0 when delivered, 0 when coalesced, below 0 when masked. */
  irqLineStatus(gsi: number, level: boolean): number {
    const irq = check.integer("KVM_IRQ_LINE_STATUS", "gsi", gsi, 0x7fffffff);
    const line = IrqLevel.create({ irq, level: level ? 1 : 0 });
    ioctl(this.#native, "KVM_IRQ_LINE_STATUS", line.$bytes);
    return line.irq;
  }

  /** `KVM_SET_GSI_ROUTING`: replaces the whole table of where GSIs lead. */
  setGsiRouting(routes: List<IrqRoutingEntry> | Iterable<Input<IrqRoutingEntry> | IrqRoutingEntry>): void {
    ioctl(this.#native, "KVM_SET_GSI_ROUTING", check.elements("KVM_SET_GSI_ROUTING", IrqRouting, routes).bytes);
  }

  /** `KVM_SIGNAL_MSI`: delivers a message-signalled interrupt; above 0 when delivered, 0 when the guest blocked it. */
  signalMsi(msi: Msi | Values<typeof Msi.fields>): number {
    return ioctl(this.#native, "KVM_SIGNAL_MSI", check.structure("KVM_SIGNAL_MSI", Msi, msi));
  }

  /** `KVM_CREATE_PIT2`: the 8254 timer in the kernel; flag 1 leaves port 61h's speaker bits to it. */
  createPit2(flags = 0): void {
    const config = PitConfig.create({ flags: check.u32("KVM_CREATE_PIT2", "flags", flags) });
    ioctl(this.#native, "KVM_CREATE_PIT2", config.$bytes);
  }

  /** `KVM_GET_PIT2`. */
  getPit2(): PitState {
    const pit = PitState.create();
    ioctl(this.#native, "KVM_GET_PIT2", pit.$bytes);
    return pit;
  }

  /** `KVM_SET_PIT2`. */
  setPit2(pit: PitState): void {
    ioctl(this.#native, "KVM_SET_PIT2", check.structure("KVM_SET_PIT2", PitState, pit));
  }

  /** `KVM_REINJECT_CONTROL`: whether the kernel's PIT delivers ticks late that the guest missed. */
  reinjectControl(reinject: boolean): void {
    const control = ReinjectControl.create({ pit_reinject: reinject ? 1 : 0 });
    ioctl(this.#native, "KVM_REINJECT_CONTROL", control.$bytes);
  }

  /** `KVM_REGISTER_COALESCED_MMIO`: writes to this range wait in a ring instead of leaving the guest. */
  registerCoalescedMmio(address: check.Address, size: number, pio = false): void {
    this.#coalesced("KVM_REGISTER_COALESCED_MMIO", address, size, pio);
  }

  /** `KVM_UNREGISTER_COALESCED_MMIO`. */
  unregisterCoalescedMmio(address: check.Address, size: number, pio = false): void {
    this.#coalesced("KVM_UNREGISTER_COALESCED_MMIO", address, size, pio);
  }

  #coalesced(operation: string, address: check.Address, size: number, pio: boolean): void {
    const zone = CoalescedZone.create({
      addr: BigInt(check.u64(operation, "address", address)),
      size: check.u32(operation, "size", size),
      pio: pio ? 1 : 0,
    });
    ioctl(this.#native, operation, zone.$bytes);
  }

  /** `KVM_IOEVENTFD`: the guest's writes to an address or port raise an eventfd instead of leaving the guest. */
  ioeventfd(options: IoEventFd): void {
    this.#ioeventfd(options, 0);
  }

  /** `KVM_IOEVENTFD` with `KVM_IOEVENTFD_FLAG_DEASSIGN`: ends what the same options began. */
  deassignIoeventfd(options: IoEventFd): void {
    this.#ioeventfd(options, DEASSIGN);
  }

  #ioeventfd(options: IoEventFd, flags: number): void {
    const operation = "KVM_IOEVENTFD";
    const { event, address, length, pio = false, datamatch } = check.object(operation, "options", options);
    const result = native().ioeventfd(
      this.#native,
      nativeOf(event, EventFd, operation),
      check.u64(operation, "address", address),
      check.u32(operation, "length", length),
      flags | (pio ? PIO : 0) | (datamatch === undefined ? 0 : DATAMATCH),
      check.u64(operation, "datamatch", datamatch ?? 0),
    );
    checked(operation, result);
  }

  /** `KVM_IRQFD`: raising the eventfd interrupts the guest, from any thread or process, without a call. */
  irqfd(options: IrqFd): void {
    this.#irqfd(options, 0);
  }

  /** `KVM_IRQFD` with `KVM_IRQFD_FLAG_DEASSIGN`. */
  deassignIrqfd(options: IrqFd): void {
    this.#irqfd(options, IRQFD_DEASSIGN);
  }

  #irqfd(options: IrqFd, flags: number): void {
    const operation = "KVM_IRQFD";
    const { event, gsi, resample } = check.object(operation, "options", options);
    const result = native().irqfd(
      this.#native,
      nativeOf(event, EventFd, operation),
      check.u32(operation, "gsi", gsi),
      flags,
      resample === undefined ? null : nativeOf(resample, EventFd, operation),
    );
    checked(operation, result);
  }

  /** `KVM_HYPERV_EVENTFD` (`KVM_CAP_HYPERV_EVENTFD`): the guest's signals to a Hyper-V connection raise the eventfd. */
  hypervEventfd(connectionId: number, event: EventFd): void {
    const operation = "KVM_HYPERV_EVENTFD";
    nativeOf(event, EventFd, operation);
    const conn_id = check.u32(operation, "connectionId", connectionId);
    ioctl(this.#native, operation, HypervEventfd.create({ conn_id, fd: event.fd }).$bytes);
  }

  /** `KVM_HYPERV_EVENTFD` with `KVM_HYPERV_EVENTFD_DEASSIGN`. */
  deassignHypervEventfd(connectionId: number): void {
    const operation = "KVM_HYPERV_EVENTFD";
    const conn_id = check.u32(operation, "connectionId", connectionId);
    ioctl(this.#native, operation, HypervEventfd.create({ conn_id, fd: -1, flags: HYPERV_EVENTFD_DEASSIGN }).$bytes);
  }

  /** `KVM_GET_STATS_FD` of a VM (`KVM_CAP_BINARY_STATS_FD`). */
  getStatsFd(): Stats {
    return Stats.of(this.#native, kinds.vm);
  }

  /** `KVM_GET_CLOCK`: kvm-clock, in nanoseconds. */
  getClock(): ClockData {
    const clock = ClockData.create();
    ioctl(this.#native, "KVM_GET_CLOCK", clock.$bytes);
    return clock;
  }

  /** `KVM_SET_CLOCK`. */
  setClock(clock: ClockData | Values<typeof ClockData.fields>): void {
    ioctl(this.#native, "KVM_SET_CLOCK", check.structure("KVM_SET_CLOCK", ClockData, clock));
  }

  /** `KVM_GET_TSC_KHZ` of a VM: the frequency new vCPUs start with, in kHz. */
  getTscKhz(): number {
    return ioctl(this.#native, "KVM_GET_TSC_KHZ (vm)");
  }

  /** `KVM_SET_TSC_KHZ` of a VM (`KVM_CAP_VM_TSC_CONTROL`); before the first vCPU. */
  setTscKhz(khz: number): void {
    ioctl(this.#native, "KVM_SET_TSC_KHZ (vm)", check.u32("KVM_SET_TSC_KHZ", "khz", khz));
  }

  /**
   * `KVM_X86_SET_MSR_FILTER`: which MSRs the guest may use; a 1 in a range's bitmap (in whole 64-bit words) allows the
   * accesses its flags name. With `Cap.X86_USER_SPACE_MSR` enabled, denied ones exit as `rdmsr` and `wrmsr`.
   */
  setMsrFilter(
    ranges: Iterable<{ flags: number; base: number; count: number; bitmap: Uint8Array }>,
    options: { defaultDeny?: boolean } = {},
  ): void {
    const operation = "KVM_X86_SET_MSR_FILTER";
    const { defaultDeny = false } = check.object(operation, "options", options);
    const items: (number | Uint8Array)[] = [];
    for (const range of check.iterable(operation, "ranges", ranges)) {
      const { flags, base, count, bitmap } = check.object(operation, "a range", range);
      items.push(
        check.u32(operation, "flags", flags),
        check.u32(operation, "base", base),
        check.u32(operation, "count", count),
        check.uint8Array(operation, "bitmap", bitmap),
      );
    }
    checked(operation, native().setMsrFilter(this.#native, defaultDeny ? 1 : 0, items));
  }

  /**
   * `KVM_SET_PMU_EVENT_FILTER`: which performance events the guest may count (`allow`), or may not. Flag 1
   * (`KVM_PMU_EVENT_FLAG_MASKED_EVENTS`) makes the events match by masks.
   */
  setPmuEventFilter(
    events: Iterable<bigint>,
    options: { allow: boolean; fixedCounters?: number; flags?: number },
  ): void {
    const operation = "KVM_SET_PMU_EVENT_FILTER";
    const { allow, fixedCounters = 0, flags = 0 } = check.object(operation, "options", options);
    const list = Array.from(check.iterable(operation, "events", events), (event) =>
      BigInt(check.u64(operation, "an event", event)),
    );
    const filter = new Uint8Array(PmuEventFilter.size + 8 * list.length);
    PmuEventFilter.at(filter.buffer).$assign({
      action: allow ? 0 : 1,
      nevents: list.length,
      fixed_counter_bitmap: check.u32(operation, "fixedCounters", fixedCounters),
      flags: check.u32(operation, "flags", flags),
    });
    new BigUint64Array(filter.buffer, PmuEventFilter.size).set(list);
    ioctl(this.#native, operation, filter);
  }
}
