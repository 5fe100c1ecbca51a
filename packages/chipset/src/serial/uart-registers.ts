/** Register bits of the PC16550D (data sheet, table II). */

/** Input clock on a PC; the baud rate is this / 16 / divisor. */
export const CLOCK_HZ = 1_843_200;

export const IER_RDA = 0x01;
export const IER_THRE = 0x02;
export const IER_RLS = 0x04;
export const IER_MSI = 0x08;
export const IIR_NONE = 0x01;
export const IIR_THRE = 0x02;
export const IIR_RDA = 0x04;
export const IIR_RLS = 0x06;
export const IIR_TIMEOUT = 0x0c;
export const FCR_ENABLE = 0x01;
export const LCR_BREAK = 0x40;
export const LCR_DLAB = 0x80;
export const MCR_OUT2 = 0x08;
export const MCR_LOOP = 0x10;
export const LSR_DR = 0x01;
export const LSR_OE = 0x02;
export const LSR_FE = 0x08;
export const LSR_BI = 0x10;
export const LSR_THRE = 0x20;
export const LSR_TEMT = 0x40;
export const LSR_FIFO_ERROR = 0x80;
export const LSR_ERRORS = 0x1e;
export const TRIGGER_LEVELS = [1, 4, 8, 14];
