import type { SnapshotInfo } from "@softmetal/qcow2";
import { formatSize } from "./sizes.js";

/** The table of `snapshot -l` and `info`. */
export function snapshotTable(snapshots: readonly SnapshotInfo[]): string {
  const line = (id: string, tag: string, size: string, date: string, clock: string, icount: string): string =>
    `${id.padEnd(9)} ${tag.padEnd(16)} ${size.padStart(8)}${date.padStart(20)}${clock.padStart(13)}${icount.padStart(11)}\n`;
  const rows = snapshots.map((snapshot) =>
    line(
      snapshot.id,
      snapshot.name,
      formatSize(snapshot.vmStateSize),
      localDate(snapshot.dateSeconds),
      clockText(snapshot.vmClock),
      snapshot.icount === undefined ? "" : String(snapshot.icount),
    ),
  );
  return line("ID", "TAG", "VM SIZE", "DATE", "VM CLOCK", "ICOUNT") + rows.join("");
}

const two = (value: number): string => String(value).padStart(2, "0");

function localDate(seconds: number): string {
  const date = new Date(seconds * 1000);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

function clockText(nanoseconds: bigint): string {
  const seconds = Number(nanoseconds / 1_000_000_000n);
  const millis = Number((nanoseconds / 1_000_000n) % 1000n);
  const clock = `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return `${clock}.${String(millis).padStart(3, "0")}`;
}
