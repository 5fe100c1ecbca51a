// An initramfs with one program of your own, without root rights or loop devices.
import { writeFileSync } from "node:fs";
import { createInitramfs } from "@softmetal/guest";

const initramfs = createInitramfs([
  { kind: "file", path: "init", mode: 0o755, data: "#!/bin/sh\necho hello\n" },
  { kind: "device", path: "dev/console", type: "character", major: 5, minor: 1 },
  { kind: "symlink", path: "bin", target: "usr/bin" },
]);
writeFileSync(process.argv[2] ?? "initramfs.cpio", initramfs);
console.log(`${initramfs.length} bytes`);
