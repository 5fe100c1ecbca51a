import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import {
  convert,
  createQcow2,
  type Disk,
  keepOpen,
  MemoryFile,
  openQcow2,
  openRaw,
  type Qcow2CreateOptions,
} from "@softmetal/qcow2";
import { openBlob } from "@softmetal/qcow2/browser";

// The README's example.
const { openChosen, openDisk } = await import("../../examples/browser-worker.mjs" as string);

const MIB = 1024 * 1024;

const get = async (url: string): Promise<Blob> => (await fetch(url)).blob();
const put = (url: string, body: BodyInit) => fetch(url, { method: "PUT", body });

async function hash(disk: Disk): Promise<string> {
  const digest = sha256.create();
  const part = new Uint8Array(MIB);
  for (let at = 0; at < disk.size; at += MIB) {
    await disk.read(part, at);
    digest.update(part);
  }
  return bytesToHex(digest.digest());
}

/** What a test asks of this worker. URLs are of the test's server. */
const calls = {
  hasWebCrypto: () => globalThis.crypto.subtle !== undefined,

  /** Writes `data` to an image in the origin private file system, takes a snapshot, changes it, and puts the file. */
  async writeDisk(size: number, data: string, offset: number, target: string) {
    const disk = await openDisk("disk.qcow2", size);
    await disk.write(new Uint8Array(await (await get(data)).arrayBuffer()), offset);
    await disk.flush();
    await disk.createSnapshot({ name: "clean" });
    await disk.write(new Uint8Array(100_000).fill(0x5a), offset + 70_000);
    await disk.writeZeroes(offset + 300_000, 50_000);
    await disk.discard(2 * MIB, MIB);
    const active = await hash(disk);
    await disk.close();
    const folder = await navigator.storage.getDirectory();
    await put(target, await (await folder.getFileHandle("disk.qcow2")).getFile());
    return active;
  },

  /** Opens that image again, checks it, goes back to the snapshot and grows it. */
  async reopenDisk() {
    const disk = await openDisk("disk.qcow2", 0);
    const active = await hash(disk);
    const { corruptions, leaks } = await disk.check();
    await disk.applySnapshot("clean");
    const clean = await hash(disk);
    await disk.deleteSnapshot("clean");
    const after = await disk.check();
    await disk.close();
    return { active, clean, problems: corruptions + leaks + after.corruptions + after.leaks };
  },

  /** Reads an image out of files, as if a user had chosen them. */
  async readChosen(urls: Record<string, string>, name: string, passphrase?: string) {
    const files = await Promise.all(Object.entries(urls).map(async ([file, url]) => new File([await get(url)], file)));
    const disk = await openChosen(files, name, { passphrase });
    const result = await hash(disk);
    await disk.close();
    return result;
  },

  /** Converts a raw disk to a qcow2 image in memory, and puts that. */
  async convert(source: string, target: string, options: Partial<Qcow2CreateOptions>, compress: boolean) {
    const raw = await openRaw(openBlob(await get(source)));
    const file = new MemoryFile();
    await createQcow2(file, { size: raw.size, ...options });
    const image = await openQcow2(keepOpen(file), { passphrase: options.encryption?.passphrase });
    await convert(raw, image, { compress, targetIsZero: true });
    await image.close();
    await put(target, file.bytes() as BodyInit);
  },
};

Object.assign(globalThis, calls);
postMessage("ready");
