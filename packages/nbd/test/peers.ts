import { type ChildProcess, type ExecFileOptions, execFile, spawn, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { type ConnectOptions, connectNbd } from "../src/node/index.js";

/** Whether peers are installed; says so when one is not, because a silent skip looks like a pass. */
export function have(...programs: string[]): boolean {
  const missing = programs.filter((program) => spawnSync("sh", ["-c", `command -v ${program}`]).status !== 0);
  if (missing.length > 0) console.warn(`SKIPPED: ${missing.join(", ")} not installed`);
  return missing.length === 0;
}

/** Runs a peer beside a server in this process: never synchronously, and never forever. */
export const run = (program: string, args: readonly string[], options: ExecFileOptions = {}) =>
  promisify(execFile)(program, [...args], { timeout: 30_000, ...options, encoding: "utf8" });

/** Waits until a server answers. */
export async function reachable(uri: string, options: ConnectOptions = {}): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await (await connectNbd(uri, options)).close();
    } catch (error) {
      if (attempt >= 200) throw error;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }
}

/** Runs a server program while `work` uses it. */
export async function withServer(
  program: string,
  args: readonly string[],
  uri: string,
  work: () => Promise<void>,
  options: ConnectOptions = {},
): Promise<void> {
  const child: ChildProcess = spawn(program, args, { stdio: "ignore" });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  try {
    await reachable(uri, options);
    await work();
  } finally {
    child.kill();
    await exited;
  }
}

/** A certificate authority and what it signed, for "localhost", under the names that GnuTLS's programs look for. */
export async function makeCertificates(folder: string): Promise<void> {
  const openssl = (line: string) => run("openssl", line.split(" "), { cwd: folder });
  const key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
  const authority = "-addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign";
  await openssl(`req -x509 ${key} -keyout ca-key.pem -out ca-cert.pem -subj /CN=authority -days 2 ${authority}`);
  for (const name of ["server", "client"]) {
    const names = "-addext subjectAltName=DNS:localhost,IP:127.0.0.1";
    await openssl(`req ${key} -keyout ${name}-key.pem -out ${name}.csr -subj /CN=localhost ${names}`);
    const signer = "-CA ca-cert.pem -CAkey ca-key.pem -CAcreateserial -copy_extensions copy";
    await openssl(`x509 -req -in ${name}.csr -out ${name}-cert.pem -days 2 ${signer}`);
  }
}

/** Users of {@link writePskKeys}, and their keys in hexadecimal. */
export const PSK_USERS = {
  alice: "8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3d",
  qemu: "00112233445566778899aabbccddeeff",
} as const;

/** A file of pre-shared keys under the name that QEMU looks for; returns its path. */
export function writePskKeys(folder: string): string {
  const path = join(folder, "keys.psk");
  writeFileSync(
    path,
    Object.entries(PSK_USERS)
      .map(([user, key]) => `${user}:${key}\n`)
      .join(""),
  );
  return path;
}
