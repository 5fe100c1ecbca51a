/** Modem status inputs, true = asserted. */
export interface ModemInputs {
  cts: boolean;
  dsr: boolean;
  ri: boolean;
  dcd: boolean;
}

/** CTS, DSR, RI and DCD in bits 4-7, as MSR has them. */
export function modemBits(inputs: ModemInputs): number {
  return (inputs.cts ? 0x10 : 0) | (inputs.dsr ? 0x20 : 0) | (inputs.ri ? 0x40 : 0) | (inputs.dcd ? 0x80 : 0);
}

/** In loopback RTS, DTR, OUT1 and OUT2 drive CTS, DSR, RI and DCD. */
export function loopedModem(mcr: number): number {
  return modemBits({ cts: (mcr & 2) !== 0, dsr: (mcr & 1) !== 0, ri: (mcr & 4) !== 0, dcd: (mcr & 8) !== 0 });
}
