import { roundDown, roundUp } from "../format/binary.js";
import { SECTOR } from "../format/constants.js";
import type { HostFile } from "./host.js";
import type { Table, TableCache } from "./table-cache.js";

/** What has to be written of a table, as it was when the snapshot was taken. */
export interface TableWrite {
  readonly table: Table;
  readonly from: number;
  readonly data: Uint8Array;
  readonly fresh: boolean;
}

/** Copies the dirty part of a table (whole sectors) and marks the table clean. Undo with `undoSnapshot`. */
export function snapshotTable(cache: TableCache, table: Table): TableWrite {
  const from = roundDown(table.dirtyFrom, SECTOR);
  const data = table.data.slice(from, roundUp(table.dirtyTo, SECTOR));
  const { fresh } = table;
  cache.markClean(table);
  table.writing++;
  table.fresh = false;
  return { table, from, data, fresh };
}

export function undoSnapshot(cache: TableCache, write: TableWrite): void {
  write.table.fresh ||= write.fresh;
  cache.markDirty(write.table, write.from, write.from + write.data.length);
}

/** Writes a table now. Only one write per table may be under way. */
export async function writeBack(cache: TableCache, table: Table, host: HostFile): Promise<void> {
  const write = snapshotTable(cache, table);
  try {
    await host.write(write.data, table.offset + write.from);
  } catch (error) {
    undoSnapshot(cache, write);
    throw error;
  } finally {
    table.writing--;
  }
}
