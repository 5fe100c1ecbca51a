import * as check from "./arguments.js";
import { checked, KernelObject } from "./handle.js";
import { type Kind, type NativeHandle, native } from "./native.js";

const SET = 0;
const GET = 1;
const HAS = 2;
const MOST = 4096;

/** The attributes that devices have, and for some groups also VMs, vCPUs and `/dev/kvm`. */
export abstract class DeviceAttributes extends KernelObject {
  readonly #native: NativeHandle;
  readonly #kind: Kind;

  /** @internal */
  constructor(handle: NativeHandle, kind: Kind) {
    super(handle);
    this.#native = handle;
    this.#kind = kind;
  }

  #attribute(
    operation: string,
    number: 0 | 1 | 2,
    group: number,
    attribute: check.Address,
    value?: Uint8Array,
  ): number {
    return native().deviceAttribute(
      this.#native,
      this.#kind,
      number,
      check.u32(operation, "group", group),
      check.u64(operation, "attribute", attribute),
      value,
    );
  }

  /** `KVM_SET_DEVICE_ATTR`: `value` is what the kernel finds at the attribute's address, at most 4096 bytes. */
  setDeviceAttr(group: number, attribute: check.Address, value: Uint8Array): void {
    const operation = "KVM_SET_DEVICE_ATTR";
    check.uint8Array(operation, "value", value);
    checked(operation, this.#attribute(operation, SET, group, attribute, value));
  }

  /** `KVM_GET_DEVICE_ATTR`: the attribute's first `bytes` bytes, at most 4096. */
  getDeviceAttr(group: number, attribute: check.Address, bytes: number): Uint8Array {
    const operation = "KVM_GET_DEVICE_ATTR";
    const value = new Uint8Array(check.integer(operation, "bytes", bytes, MOST));
    checked(operation, this.#attribute(operation, GET, group, attribute, value));
    return value;
  }

  /** `KVM_HAS_DEVICE_ATTR`: whether there is such an attribute. */
  hasDeviceAttr(group: number, attribute: check.Address): boolean {
    const operation = "KVM_HAS_DEVICE_ATTR";
    const result = this.#attribute(operation, HAS, group, attribute);
    // Everything the kernel says means "no"; what the binding says (numbers below every errno) is an error.
    if (result < -4095) checked(operation, result);
    return result === 0;
  }
}
