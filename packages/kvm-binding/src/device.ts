import { DeviceAttributes } from "./attributes.js";
import { attach } from "./handle.js";
import { kinds, type NativeHandle } from "./native.js";

/** A device that the kernel emulates (`KVM_CREATE_DEVICE`), driven by its attributes. */
export class Device extends DeviceAttributes {
  /** @internal */
  constructor(handle: NativeHandle) {
    super(handle, kinds.device);
  }

  /** This thread's handle on a device that another thread holds, by its `handle`. */
  static attach(handle: number): Device {
    return new Device(attach(kinds.device, "Device.attach", handle));
  }
}
