/** A keyboard or mouse on a PS/2 port, as the controller sees it. */
export interface Ps2Device {
  /** The controller sends a byte. */
  receive(byte: number): void;
  /** The next byte for the controller; -1 when there is none. */
  shift(): number;
}

/** Answers and commands both devices share. */
export const Ps2 = {
  Ack: 0xfa,
  Resend: 0xfe,
  SelfTestPassed: 0xaa,
  Identify: 0xf2,
  EnableReporting: 0xf4,
  DisableReporting: 0xf5,
  SetDefaults: 0xf6,
  ResendCommand: 0xfe,
  Reset: 0xff,
} as const;
