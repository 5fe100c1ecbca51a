import { bad } from "./container.js";

/** Readers of plain data that may be anything. All throw MachineError `bad-saved-state`. */

export type Plain = { readonly [name: string]: unknown };

export function object(value: unknown, where: string): Plain {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(where, "an object");
  return value as Plain;
}

export function array(value: unknown, where: string, length: number): readonly unknown[] {
  if (!Array.isArray(value) || value.length !== length) throw wrong(where, `an array of ${length}`);
  return value;
}

/** A number between two others, both included. */
export function number(value: unknown, where: string, least: number, most: number): number {
  if (typeof value !== "number" || !(value >= least && value <= most)) {
    throw wrong(where, `a number from ${least} to ${most}`);
  }
  return value;
}

export function integer(value: unknown, where: string, least: number, most: number): number {
  if (!Number.isInteger(value)) throw wrong(where, "a whole number");
  return number(value, where, least, most);
}

export const u32 = (value: unknown, where: string): number => integer(value, where, 0, 0xffffffff);

export function oneOf<T extends string>(value: unknown, where: string, choices: readonly T[]): T {
  const choice = choices.find((name) => name === value);
  if (choice === undefined) throw wrong(where, choices.join(" or "));
  return choice;
}

export function text(value: unknown, where: string): string {
  if (typeof value !== "string") throw wrong(where, "text");
  return value;
}

/** 64 bits, which JSON has no number for, as text: `0x` and hexadecimal digits. */
export const hex = (value: bigint): string => `0x${value.toString(16)}`;
export function u64(value: unknown, where: string): bigint {
  if (typeof value !== "string" || !/^0x[0-9a-f]{1,16}$/.test(value)) throw wrong(where, "a hexadecimal number");
  return BigInt(value);
}

const wrong = (where: string, expected: string) => bad(`The saved machine's ${where} is not ${expected}.`);
