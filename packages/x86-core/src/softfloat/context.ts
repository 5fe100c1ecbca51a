/** Invalid operation (MXCSR and FSW bit 0). */
export const IE = 0x01;
/** Denormal operand (bit 1). */
export const DE = 0x02;
/** Division by zero (bit 2). */
export const ZE = 0x04;
/** Numeric overflow (bit 3). */
export const OE = 0x08;
/** Numeric underflow (bit 4). */
export const UE = 0x10;
/** Inexact result, "precision" (bit 5). */
export const PE = 0x20;

/**
 * The exceptions that are detected before computing: when one of them is unmasked the operation stops, nothing is
 * written and no post-computation flag is set. A packed instruction has to apply this over all its elements: if any
 * element raises an unmasked one, only `flags & PRE_COMPUTATION` of all elements are reported (SDM vol. 1, 11.5.3).
 */
export const PRE_COMPUTATION = IE | DE | ZE;

/** Rounding control, encoded as in MXCSR.RC and FCW.RC. */
export const Rounding = { Nearest: 0, Down: 1, Up: 2, Zero: 3 } as const;

/** What an operation reads from MXCSR or from the x87 control word, and the flags it leaves behind. */
export interface FloatContext {
  /** Rounding control: 0 to nearest even, 1 down, 2 up, 3 toward zero. */
  rounding: number;
  /** Bits of significand that x87 add, subtract, multiply, divide and square root keep: 24, 53 or 64. */
  precision: number;
  /** MXCSR.FZ; ignored by the 80-bit format. Keep it off in the context of the x87. */
  flushToZero: boolean;
  /** MXCSR.DAZ; ignored by the 80-bit format. Keep it off in the context of the x87. */
  denormalsAreZero: boolean;
  /** Exception masks in the order IE DE ZE OE UE PE from bit 0; a set bit masks. */
  masks: number;
  /** Exception flags; operations only set bits. Clear before an operation to learn what it raised. */
  flags: number;
  /** x87 only: whether the last 80-bit operation rounded the magnitude up (status word C1). */
  roundedUp: boolean;
}

/** A context with the power-up behaviour: to nearest, 64 bits, everything masked, no flag set. */
export function createContext(init: Partial<FloatContext> = {}): FloatContext {
  return {
    rounding: Rounding.Nearest,
    precision: 64,
    flushToZero: false,
    denormalsAreZero: false,
    masks: 0x3f,
    flags: 0,
    roundedUp: false,
    ...init,
  };
}

/**
 * Whether an unmasked pre-computation exception (IE, DE, ZE) is among the context's flags: the destination stays
 * unchanged and nothing is pushed or popped. Only meaningful when the flags were cleared before the operation.
 */
export function isAborted(context: FloatContext): boolean {
  return (context.flags & ~context.masks & PRE_COMPUTATION) !== 0;
}
