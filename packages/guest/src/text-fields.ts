/** Archive headers hold numbers as text; these are the readers and writers for ar, tar and cpio. */

import { GuestError } from "./errors.js";

const latin1 = new TextDecoder("latin1");

/** A text field without the NULs and spaces that pad it. */
export function textField(header: Uint8Array, offset: number, length: number): string {
  const field = header.subarray(offset, offset + length);
  const end = field.indexOf(0);
  return latin1.decode(end < 0 ? field : field.subarray(0, end)).trimEnd();
}

/** A number in the given radix; an empty field is 0. @throws GuestError `bad-archive` */
export function numberField(header: Uint8Array, offset: number, length: number, radix: 8 | 10, what: string): number {
  const text = textField(header, offset, length).trim();
  if (text === "") return 0;
  if (!(radix === 8 ? /^[0-7]+$/ : /^[0-9]+$/).test(text)) {
    throw new GuestError("bad-archive", `The archive is damaged: ${what} is not a number (${JSON.stringify(text)}).`);
  }
  return Number.parseInt(text, radix);
}
