import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** An ar archive of small members. */
export function makeAr(members: Record<string, string | Uint8Array>): Uint8Array {
  const parts: Buffer[] = [Buffer.from("!<arch>\n")];
  for (const [name, contents] of Object.entries(members)) {
    const data = Buffer.from(contents);
    const field = (text: string | number, width: number) => String(text).padEnd(width);
    const header = field(name, 16) + field(0, 12) + field(0, 6) + field(0, 6) + field(100644, 8);
    parts.push(Buffer.from(`${header}${field(data.length, 10)}\`\n`), data);
    if (data.length % 2 === 1) parts.push(Buffer.from("\n"));
  }
  return new Uint8Array(Buffer.concat(parts));
}

/** A Debian package with these control fields and files. */
export function makeDeb(control: Record<string, string>, files: Record<string, string | Uint8Array>): Uint8Array {
  const lines = Object.entries(control).map(([name, value]) => `${name}: ${value}\n`);
  return makeAr({
    "debian-binary": "2.0\n",
    "control.tar.gz": tar({ "./control": lines.join("") }),
    "data.tar.gz": tar(files),
  });
}

function tar(files: Record<string, string | Uint8Array>): Uint8Array {
  const directory = mkdtempSync(join(tmpdir(), "softmetal-make-deb-"));
  try {
    for (const [path, data] of Object.entries(files)) {
      mkdirSync(dirname(join(directory, path)), { recursive: true });
      writeFileSync(join(directory, path), data);
    }
    return execFileSync("tar", ["-C", directory, "-cz", ...Object.keys(files)], { maxBuffer: 1e8 });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
