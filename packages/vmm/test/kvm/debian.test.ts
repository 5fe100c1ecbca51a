import { readFileSync } from "node:fs";
import { type Compression, decompress, streamOf } from "@softmetal/guest";
import { obtainGuest } from "@softmetal/guest/node";
import { createMachine } from "@softmetal/vmm";
import { describe, expect, it } from "vitest";
import { describeKvm, interpreted } from "./support.js";

/** Minutes for the boot. Without hardware support most of it is interpreted, at a million instructions a second. */
const minutes = Number(process.env.SOFTMETAL_KVM_BOOT_MINUTES ?? 0);
/** How far it is to get: without hardware support the boot goes on for a very long time. */
const goal = process.env.SOFTMETAL_KVM_BOOT_GOAL ?? (interpreted ? "kvm-clock" : "Run /init as init process");

if (minutes === 0) console.warn("*** SKIPPED: booting Debian's kernel in KVM: set SOFTMETAL_KVM_BOOT_MINUTES");

/** First bytes of compressed data. */
const MAGIC: Record<number, Compression> = { 31: "gzip", 253: "xz", 40: "zstd" };
const LARGEST_KERNEL = 256 << 20;

/** The ELF file inside a bzImage (Linux, Documentation/arch/x86/boot.rst, payload_offset and payload_length). */
async function uncompressed(bzImage: Uint8Array): Promise<Uint8Array> {
  const view = new DataView(bzImage.buffer, bzImage.byteOffset, bzImage.length);
  const protectedMode = (view.getUint8(0x1f1) + 1) * 512;
  const start = protectedMode + view.getUint32(0x248, true);
  const payload = bzImage.subarray(start, start + view.getUint32(0x24c, true));
  const compression = MAGIC[payload[0]];
  if (!compression) throw new Error("the kernel is compressed in an unknown way");
  // Other formats than gzip are followed by the size, which is the decoder's business no more.
  const end = compression === "gzip" ? payload.length : payload.length - 4;
  const stream = decompress(streamOf(payload.subarray(0, end)), compression, LARGEST_KERNEL);
  return new Uint8Array(await new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer());
}

(minutes === 0 ? describe.skip : describeKvm)("Debian's cloud kernel in KVM", () => {
  it(`says "${goal}"`, { timeout: (minutes + 2) * 60_000 }, async () => {
    const guest = await obtainGuest({ architecture: "amd64" });
    const machine = await createMachine({
      memory: 256 << 20,
      accel: "kvm",
      boot: {
        kind: "linux",
        kernel: await uncompressed(readFileSync(guest.kernel)),
        initrd: readFileSync(guest.initrd),
        commandLine: "console=ttyS0 earlyprintk=ttyS0 panic=-1",
      },
    });
    const limit = setTimeout(() => machine.destroy(), minutes * 60_000);
    let text = "";
    await machine.start();
    for await (const bytes of machine.serial[0].readable) {
      text += new TextDecoder().decode(bytes);
      if (process.env.SOFTMETAL_KVM_BOOT_LOG) process.stderr.write(bytes);
      if (text.includes(goal)) break;
    }
    clearTimeout(limit);
    await machine.destroy();
    expect(text).toContain("Linux version");
    expect(text).toContain("Hypervisor detected: KVM");
    expect(text, `ended: ${JSON.stringify(await machine.ended)}`).toContain(goal);
  });
});
