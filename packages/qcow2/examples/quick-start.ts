import { convert, map } from "@softmetal/qcow2";
import { createImage, openImage } from "@softmetal/qcow2/node";

/** Creates an image, writes, takes a snapshot, goes back to it, and packs the result. Returns what was read. */
export async function quickStart(folder: string): Promise<string[]> {
  const path = `${folder}/disk.qcow2`;
  await createImage(path, { size: 1024 ** 3 });

  const image = await openImage(path, { format: "qcow2" });
  await image.write(new TextEncoder().encode("before"), 4096);
  await image.createSnapshot({ name: "clean" });
  await image.write(new TextEncoder().encode("after!"), 4096);

  const buffer = new Uint8Array(6);
  const read: string[] = [];
  await image.read(buffer, 4096);
  read.push(new TextDecoder().decode(buffer));

  await image.applySnapshot("clean");
  await image.read(buffer, 4096);
  read.push(new TextDecoder().decode(buffer));

  for await (const extent of map(image)) {
    if (extent.data) read.push(`${extent.length} bytes of data at ${extent.offset}`);
  }

  const packedPath = `${folder}/packed.qcow2`;
  await createImage(packedPath, { size: image.size, compressionType: "zstd" });
  const packed = await openImage(packedPath, { format: "qcow2", cache: "unsafe" });
  await convert(image, packed, { compress: true, targetIsZero: true });
  const { corruptions, leaks } = await packed.check();
  read.push(`${corruptions} corruptions, ${leaks} leaks`);
  await packed.close();
  await image.close();
  return read;
}
