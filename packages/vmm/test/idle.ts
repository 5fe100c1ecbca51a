import type { Machine } from "../src/api.js";

export const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * Whether a machine is busy for less than `most` milliseconds in a while of so many. Time for which a busy host lets the
 * machine wait counts as the machine's own, so a few whiles are looked at, and one is enough.
 */
export async function idle(machine: Machine, milliseconds: number, most: number): Promise<boolean> {
  for (let attempt = 0; attempt < 20; attempt++) {
    const before = (await machine.statistics()).busyMilliseconds;
    await sleep(milliseconds);
    if ((await machine.statistics()).busyMilliseconds - before < most) return true;
  }
  return false;
}
