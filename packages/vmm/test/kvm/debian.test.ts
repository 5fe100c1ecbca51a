import { readFileSync } from "node:fs";
import { obtainGuest } from "@softmetal/guest/node";
import { createMachine } from "@softmetal/vmm";
import { describe, expect, it } from "vitest";
import { unpackLegacyLz4 } from "./lz4.js";
import { describeKvm, interpreted } from "./support.js";

/** Minutes for the boot. Without hardware support most of it is interpreted, at a million instructions a second. */
const minutes = Number(process.env.SOFTMETAL_KVM_BOOT_MINUTES ?? 0);
/** How far it is to get: without hardware support the boot goes on for a very long time. */
const goal =
  process.env.SOFTMETAL_KVM_BOOT_GOAL ??
  (interpreted ? "Switched to clocksource kvm-clock" : "Run /init as init process");

/**
 * KVM without hardware support shows XSAVE whatever CPUID was set to, and cannot interpret it. There the self-tests of
 * public key ciphers would take hours.
 */
const INTERPRETED = " noxsave cryptomgr.notests=1 mitigations=off";

if (minutes === 0) console.warn("*** SKIPPED: booting Debian's kernel in KVM: set SOFTMETAL_KVM_BOOT_MINUTES");

/** The ELF file inside a bzImage (Linux, Documentation/arch/x86/boot.rst, payload_offset and payload_length). */
function uncompressed(bzImage: Uint8Array): Uint8Array {
  const view = new DataView(bzImage.buffer, bzImage.byteOffset, bzImage.length);
  const start = (view.getUint8(0x1f1) + 1) * 512 + view.getUint32(0x248, true);
  const end = start + view.getUint32(0x24c, true);
  // The size stands behind the data.
  return unpackLegacyLz4(bzImage.subarray(start, end - 4), view.getUint32(end - 4, true));
}

(minutes === 0 ? describe.skip : describeKvm)("Debian's cloud kernel in KVM", () => {
  it(`says "${goal}"`, { timeout: (minutes + 2) * 60_000 }, async () => {
    const guest = await obtainGuest({ architecture: "amd64" });
    const machine = await createMachine({
      memory: 256 << 20,
      accel: "kvm",
      boot: {
        kind: "linux",
        kernel: uncompressed(readFileSync(guest.kernel)),
        initrd: readFileSync(guest.initrd),
        commandLine: `console=ttyS0 earlyprintk=ttyS0 panic=-1${interpreted ? INTERPRETED : ""}`,
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
