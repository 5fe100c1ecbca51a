/** The public shape of a machine: what `createMachine` takes and what it gives back. Types and the error class only. */

/** How the guest's instructions are executed. `auto` means KVM when it is usable and fast, else the translator. */
export type Accelerator = "translator" | "kvm" | "auto";

/** A file that a Multiboot kernel gets besides itself (Multiboot 1, section 3.3, `mods_*`). */
export interface BootModule {
  data: Uint8Array;
  /** The string passed with the module; Multiboot calls it the module's command line. */
  commandLine?: string;
}

/** What the machine runs when it starts and after every reset. */
export type BootSource =
  | {
      /** A Linux kernel: a bzImage (64-bit protocol, else 32-bit), or an ELF file with a PVH entry. */
      kind: "linux";
      kernel: Uint8Array;
      initrd?: Uint8Array;
      commandLine?: string;
    }
  | {
      /** A Multiboot 1 kernel: ELF, or any format with the address fields in its header. */
      kind: "multiboot";
      kernel: Uint8Array;
      modules?: BootModule[];
      commandLine?: string;
    }
  | {
      /** Bytes copied to `loadAddress` as they are. */
      kind: "flat";
      image: Uint8Array;
      /** Guest-physical address of the first byte. */
      loadAddress: number;
      /** Guest-physical address of the first instruction; `loadAddress` when left out. */
      entry?: number;
      /** State of the CPU at the entry: 16-bit real mode, flat 32-bit protected mode, or identity-mapped 64-bit mode. */
      mode: "real" | "protected" | "long";
    };

export interface MachineDevices {
  /** QEMU's `isa-debug-exit`: a write of `v` ends the machine with code `(v << 1) | 1`. Port 0xF4 unless given. */
  isaDebugExit?: { port?: number };
  /** Debug console at port 0xE9; what the guest writes arrives as `debugConsole` events. */
  debugConsole?: boolean;
  /** Number of 16550A serial ports, 0 to 4 (COM1 to COM4). Default 1. */
  serialPorts?: number;
}

export interface KvmOptions {
  /**
   * `kernel` (default): 8259As, I/O APIC and PIT are the kernel's, which is fastest. `split`: they are the same devices as
   * under the translator, and only the local APICs are the kernel's.
   */
  irqchip?: "kernel" | "split";
}

export interface MachineConfig {
  /** Size of the guest's RAM in bytes: 16 MiB to 3.5 GiB, a multiple of 4 KiB. */
  memory: number;
  /** CPU model and feature changes, for example `x86-64-v2` or `max,-sse4.2`. Default `x86-64-v2`. */
  cpu?: string;
  /** Number of processors. Default 1. */
  cpus?: number;
  /** Default `auto`. */
  accel?: Accelerator;
  /** What only concerns KVM. */
  kvm?: KvmOptions;
  boot: BootSource;
  devices?: MachineDevices;
  /** What a triple fault does: `reset` as real machines do (default), or `stop`, which ends the machine. */
  onTripleFault?: "reset" | "stop";
  /** With `true` a reset asked for by the guest ends the machine with the reason `reset`. Default `false`. */
  noReboot?: boolean;
  /** Clock that the guest sees: the host's (default), or the count of executed instructions, which is repeatable. */
  time?: "host" | "instructions";
  /** A machine from `saveState`, in whose state this one begins. The boot source is for resets then. */
  state?: Uint8Array;
}

/** Why a machine is over. */
export type MachineEnd =
  /** The guest entered ACPI S5, or `powerOff()` was called. */
  | { reason: "poweroff" }
  /** The guest asked for a reset and the machine was configured with `noReboot`. */
  | { reason: "reset" }
  /** A triple fault with `onTripleFault: "stop"`, or with `noReboot`. */
  | { reason: "triple-fault" }
  /** The guest wrote to the `isa-debug-exit` device; `code` is `(value << 1) | 1`. */
  | { reason: "debug-exit"; code: number }
  /** `destroy()` was called before the guest ended. */
  | { reason: "destroyed" }
  /** Softmetal itself failed; the guest's state is lost. */
  | { reason: "internal-error"; message: string };

export type MachineState = "created" | "running" | "paused" | "ended";

/** Both directions of one serial port, seen from outside: `readable` is what the guest sends. */
export interface SerialPort {
  readable: ReadableStream<Uint8Array>;
  writable: WritableStream<Uint8Array>;
}

export interface MachineEvents {
  /** The machine's state changed. */
  state: (state: MachineState) => void;
  /** The guest was reset, by itself, by a triple fault or by `reset()`. */
  reset: (cause: "guest" | "triple-fault" | "host") => void;
  /** The guest wrote these bytes to port 0xE9. */
  debugConsole: (bytes: Uint8Array) => void;
  /** The kernel reported a panic (through the `pvpanic` port), which need not end the machine. */
  panic: () => void;
  /** The machine is over; the same value as `ended`. */
  end: (end: MachineEnd) => void;
}

/** Counters since the machine was created. */
export interface MachineStatistics {
  /** Guest instructions executed; 0 with an accelerator that cannot count them. */
  instructions: number;
  /** Milliseconds during which guest instructions ran (not halted, not paused). */
  busyMilliseconds: number;
  /** Resets since creation. */
  resets: number;
}

export interface Machine {
  readonly state: MachineState;
  /** The accelerator in use, after `auto` was resolved. */
  readonly accel: "translator" | "kvm";
  /** Why this accelerator is in use, in one clause: what `auto` found. */
  readonly accelReason: string;
  /** Serial ports, COM1 first. */
  readonly serial: readonly SerialPort[];
  /** Settles once, when the machine is over; never rejects. */
  readonly ended: Promise<MachineEnd>;
  /** Begins executing at the boot source's entry. */
  start(): Promise<void>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Resets the hardware and loads the boot source again. */
  reset(): Promise<void>;
  /** Presses the ACPI power button: a request which the guest may ignore. */
  powerButton(): Promise<void>;
  /** Cuts the power: the machine ends with the reason `poweroff`. */
  powerOff(): Promise<void>;
  /** Frees everything the machine holds. Safe to call more than once and at any time. */
  destroy(): Promise<void>;
  /**
   * Everything that the guest can notice of the machine, as bytes for `loadState` or the configuration's `state`: RAM,
   * processors, devices and their time. The machine goes on afterwards. Output of serial ports that was not read yet,
   * and input that the guest has not taken yet, stay with this machine.
   * @throws MachineError `bad-state`, `out-of-memory`
   */
  saveState(): Promise<Uint8Array>;
  /**
   * Makes this machine what another was at its `saveState`, whichever accelerator that had; both have equal RAM,
   * processors and serial ports, and this one's CPU model has the other's features. A machine that runs goes on from
   * there; one that does not waits for `start` or `resume`. When it fails the machine stays as it was.
   * @throws MachineError `bad-saved-state`, `bad-state`
   */
  loadState(state: Uint8Array): Promise<void>;
  /** Listens to an event; the returned function removes the listener. */
  on<E extends keyof MachineEvents>(event: E, listener: MachineEvents[E]): () => void;
  statistics(): Promise<MachineStatistics>;
}

export type MachineErrorCode =
  /** A field of the configuration is not acceptable. */
  | "bad-config"
  /** The CPU model or a feature name is unknown. */
  | "bad-cpu"
  /** The kernel or image cannot be booted (format, truncation, no usable entry). */
  | "bad-boot-image"
  /** Kernel, initrd and tables do not fit into the guest's memory. */
  | "does-not-fit"
  /** The chosen accelerator cannot be used on this host. */
  | "accelerator-unavailable"
  /** The host gave no memory for the guest. */
  | "out-of-memory"
  /** The call is not possible in the machine's present state. */
  | "bad-state"
  /** What was given as a saved machine is none, is damaged, or belongs to a machine of another configuration. */
  | "bad-saved-state"
  /** Softmetal itself failed. */
  | "internal-error";

/** Every failure that this package reports. The message is one sentence which says what is wrong and what to do. */
export class MachineError extends Error {
  override readonly name = "MachineError";
  constructor(
    readonly code: MachineErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

export type CreateMachine = (config: MachineConfig) => Promise<Machine>;
