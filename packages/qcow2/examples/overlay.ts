import { commit, openRaw } from "@softmetal/qcow2";
import { createImage, openFile, openImage } from "@softmetal/qcow2/node";

/** Puts an overlay over a raw disk, writes to it, and commits what was written to the disk. */
export async function overlay(folder: string): Promise<string> {
  const base = await openFile(`${folder}/base.raw`, { create: true });
  await base.truncate(1024 * 1024);
  await base.close();
  await createImage(`${folder}/top.qcow2`, { size: 1024 * 1024, backing: { name: "base.raw", format: "raw" } });

  const top = await openImage(`${folder}/top.qcow2`, { format: "qcow2" });
  await top.write(new TextEncoder().encode("kept"), 512);
  const disk = await openRaw(await openFile(`${folder}/base.raw`));
  await commit(top, disk);
  await top.close();

  const buffer = new Uint8Array(4);
  await disk.read(buffer, 512);
  await disk.close();
  return new TextDecoder().decode(buffer);
}
