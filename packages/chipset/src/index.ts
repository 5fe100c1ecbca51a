export {
  type AcpiOptions,
  type AcpiTables,
  acpiTable,
  aml,
  buildAcpiTables,
  mmioDevice,
  resources,
  simpleDevice,
} from "./acpi/index.js";
export { APIC_MSR } from "./apic/apic-base.js";
export { ApicBus, type ApicBusState, MSI_BASE } from "./apic/apic-bus.js";
export type { ApicTimerState, TscClock } from "./apic/apic-timer.js";
export { IO_APIC_BASE, IoApic, type IoApicOptions, type IoApicState, type MessageSink } from "./apic/io-apic.js";
export { LocalApic, type LocalApicState } from "./apic/local-apic.js";
export type { IpiBus, LocalApicCpu, LocalApicOptions, MsrValue } from "./apic/local-apic-options.js";
export {
  type ApicMessage,
  type ApicTarget,
  DeliveryMode,
  type DestinationMode,
  type EoiListener,
} from "./apic/message.js";
export { fanOut, SharedLine, unconnected } from "./bus/lines.js";
export { MmioBus } from "./bus/mmio-bus.js";
export { Ports, type PortWidth } from "./bus/ports.js";
export { DEBUG_CONSOLE_PORT, DEBUG_EXIT_PORT, DebugConsole, DebugExit } from "./debug/debug-ports.js";
export { ChipsetError, type ChipsetErrorCode } from "./error.js";
export { I8042, type I8042Options, type I8042State } from "./i8042/i8042.js";
export { type Keyboard, type KeyboardState, Led } from "./i8042/keyboard.js";
export type { Mouse, MouseState } from "./i8042/mouse.js";
export { KEY_CODES, type KeyCode } from "./i8042/scancodes.js";
export type { Clock, Device, InterruptLine, MmioDevice, PortDevice, Timer, TimerSource } from "./interfaces.js";
export { ManualClock } from "./manual-clock.js";
export { buildMpTables, type MpOptions } from "./mptable/mptable.js";
export type { I8259aState } from "./pic/i8259a.js";
export { PIC_PORTS, PicPair, type PicPairState } from "./pic/pic-pair.js";
export { type CounterState, PIT_HZ } from "./pit/counter.js";
export { Pit, type PitOptions, type PitState, type Speaker } from "./pit/pit.js";
export { A20Gate, type A20State } from "./power/a20.js";
export {
  ACPI_PM_PORTS,
  AcpiPm,
  type AcpiPmOptions,
  type AcpiPmState,
  PM_TIMER_HZ,
  S5_SLEEP_TYPE,
} from "./power/acpi-pm.js";
export {
  Port92,
  type Port92State,
  RESET_CONTROL_PORT,
  RESET_CONTROL_VALUE,
  ResetControl,
  type ResetControlState,
} from "./power/reset-ports.js";
export type { CmosMemory } from "./rtc/cmos-memory.js";
export { Rtc, type RtcOptions, type RtcState } from "./rtc/rtc.js";
export type { ModemInputs } from "./serial/modem.js";
export {
  COM_PORTS,
  type SerialLink,
  Uart16550a,
  type UartOptions,
  type UartState,
} from "./serial/uart16550a.js";
