/** Numbers by which semantics tell the SSE helpers what to do; one definition for both sides. */

export const FLOAT_FORMATS = ["f32", "f64", "f32x4", "f64x2"] as const;
export type FloatFormat = (typeof FLOAT_FORMATS)[number];

export const FLOAT_OPERATIONS = ["add", "sub", "mul", "div", "sqrt", "min", "max", "addsub"] as const;
export type FloatOperation = (typeof FLOAT_OPERATIONS)[number];

export const arithmeticCode = (operation: FloatOperation, format: FloatFormat): number =>
  FLOAT_OPERATIONS.indexOf(operation) * 4 + FLOAT_FORMATS.indexOf(format);

export type LaneFormat = "f32" | "f64" | "i32" | "i64";

/** A conversion of `lanes` elements from the low lanes of the source. */
export interface Conversion {
  readonly from: LaneFormat;
  readonly to: LaneFormat;
  readonly lanes: 1 | 2 | 4;
  /** Toward zero, whatever MXCSR says. */
  readonly truncate: boolean;
}

const conversion = (from: LaneFormat, to: LaneFormat, lanes: 1 | 2 | 4, truncate = false): Conversion => ({
  from,
  to,
  lanes,
  truncate,
});

/** The conversions that can raise an exception. */
export const CONVERSIONS = {
  CVTSI2SS: conversion("i32", "f32", 1),
  CVTSI2SSQ: conversion("i64", "f32", 1),
  CVTSI2SDQ: conversion("i64", "f64", 1),
  CVTSS2SI: conversion("f32", "i32", 1),
  CVTSS2SIQ: conversion("f32", "i64", 1),
  CVTSD2SI: conversion("f64", "i32", 1),
  CVTSD2SIQ: conversion("f64", "i64", 1),
  CVTTSS2SI: conversion("f32", "i32", 1, true),
  CVTTSS2SIQ: conversion("f32", "i64", 1, true),
  CVTTSD2SI: conversion("f64", "i32", 1, true),
  CVTTSD2SIQ: conversion("f64", "i64", 1, true),
  CVTSS2SD: conversion("f32", "f64", 1),
  CVTSD2SS: conversion("f64", "f32", 1),
  CVTPS2PD: conversion("f32", "f64", 2),
  CVTPD2PS: conversion("f64", "f32", 2),
  CVTPI2PS: conversion("i32", "f32", 2),
  CVTDQ2PS: conversion("i32", "f32", 4),
  CVTPS2DQ: conversion("f32", "i32", 4),
  CVTTPS2DQ: conversion("f32", "i32", 4, true),
  CVTPD2DQ: conversion("f64", "i32", 2),
  CVTTPD2DQ: conversion("f64", "i32", 2, true),
  CVTPS2PI: conversion("f32", "i32", 2),
  CVTTPS2PI: conversion("f32", "i32", 2, true),
} as const satisfies Record<string, Conversion>;
export type ConversionName = keyof typeof CONVERSIONS;

const CONVERSION_NAMES = Object.keys(CONVERSIONS) as ConversionName[];
export const conversionCode = (name: ConversionName): number => CONVERSION_NAMES.indexOf(name);
export const conversionOf = (code: number): Conversion => CONVERSIONS[CONVERSION_NAMES[code]];

export const AES_OPERATIONS = ["enc", "enclast", "dec", "declast", "imc", "keygen"] as const;
export const SHA_OPERATIONS = [
  "sha1nexte",
  "sha1msg1",
  "sha1msg2",
  "sha256rnds2",
  "sha256msg1",
  "sha256msg2",
  "sha1rnds4",
] as const;
