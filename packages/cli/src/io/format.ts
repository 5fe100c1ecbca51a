import { formatG } from "../img/support/sizes.js";

const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/** A size with up to three decimals: "63.750 MiB", "512 bytes". */
export function bytesText(value: number, fraction = false): string {
  let unit = 0;
  while (unit < 6 && value >= 1024 ** (unit + 1)) unit++;
  if (unit === 0) return `${fraction ? formatG(value, 6) : Math.trunc(value)} bytes`;
  return `${thousandths(value / 1024 ** unit).replace(/\.000$/, "")} ${UNITS[unit]}`;
}

/** printf's %.3f: a tie goes to the even digit, where toFixed() goes up. */
function thousandths(value: number): string {
  const scaled = value * 1000;
  const tie = scaled - Math.floor(scaled) === 0.5 && Math.floor(scaled) % 2 === 0;
  return (tie ? Math.floor(scaled) / 1000 : value).toFixed(3);
}

const two = (value: number): string => String(Math.trunc(value)).padStart(2, "0");

/** Elapsed time: "00.01 sec", from a minute on (or when `long`) "0:01:02.03". */
function timeText(seconds: number, long: boolean): string {
  const hundredths = two((seconds % 1) * 100);
  if (seconds < 60 && !long) return `${two(seconds)}.${hundredths} sec`;
  return `${Math.trunc(seconds / 3600)}:${two((seconds / 60) % 60)}:${two(seconds % 60)}.${hundredths}`;
}

/** The two lines after a request, or one with `machine`. */
export function report(
  verb: string,
  request: { seconds: number; offset: number; bytes: number; machine: boolean },
): string {
  const { offset, bytes, machine } = request;
  const seconds = Math.max(request.seconds, 1e-6);
  const rate = bytes / seconds;
  const operations = 1 / seconds;
  if (machine) return `${bytes},1,${timeText(seconds, true)},${rate.toFixed(3)},${operations.toFixed(3)}\n`;
  return (
    `${verb} ${bytes}/${bytes} bytes at offset ${offset}\n` +
    `${bytesText(bytes)}, 1 ops; ${timeText(seconds, false)} (${bytesText(rate, true)}/sec and ${operations.toFixed(4)} ops/sec)\n`
  );
}

/** Sixteen bytes a line, in hexadecimal and as text. */
export function dump(data: Uint8Array, offset: number): string {
  const lines: string[] = [];
  for (let at = 0; at < data.length; at += 16) {
    const row = [...data.subarray(at, at + 16)];
    const bytes = row.map((byte) => `${byte.toString(16).padStart(2, "0")} `).join("");
    const text = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${(offset + at).toString(16).padStart(8, "0")}:  ${bytes} ${text}\n`);
  }
  return lines.join("");
}
