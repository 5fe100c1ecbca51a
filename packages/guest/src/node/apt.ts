import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dependencyNames, parseControl } from "../control.js";
import { GuestError } from "../errors.js";
import { cancelled } from "./cancelled.js";
import type { PackageSource, SourceContext } from "./types.js";

const SHOW_TIMEOUT = 60_000;
const UPDATE_TIMEOUT = 10 * 60_000;
const DOWNLOAD_TIMEOUT = 30 * 60_000;
const PROGRESS_INTERVAL = 200;

/**
 * Debian's archives through apt, without changing the system: downloads go to a temporary directory, and package lists
 * that the system lacks (another architecture, or none fetched yet) go to a private state directory in the cache.
 * @throws GuestError `apt-failed`, `no-package`
 */
export async function aptSource(context: SourceContext): Promise<PackageSource> {
  const { architecture, onProgress } = context;
  const work = await mkdtemp(join(tmpdir(), "softmetal-apt-"));
  const dispose = () => rm(work, { recursive: true, force: true });
  // Without a user to change to, apt as root does not complain that its download user cannot write here.
  const common = process.getuid?.() === 0 ? ["-o", "APT::Sandbox::User=root"] : [];
  const privateState = join(context.cacheDirectory, "apt", architecture);
  const privateOptions = [
    ...["-o", `APT::Architecture=${architecture}`, "-o", `APT::Architectures=${architecture}`],
    ...["-o", `Dir::State=${join(privateState, "state")}`, "-o", "Dir::State::status=/dev/null"],
    ...["-o", `Dir::Cache=${join(privateState, "cache")}`],
  ];
  const apt = (program: string, options: string[], args: string[], timeout: number) =>
    run(program, [...common, ...options, ...args], { cwd: work, timeout, signal: context.signal });

  let updated = false;
  const update = async () => {
    onProgress({ stage: "lists", message: `fetching Debian's package lists for ${architecture}` });
    await mkdir(join(privateState, "state", "lists", "partial"), { recursive: true });
    await mkdir(join(privateState, "cache", "archives", "partial"), { recursive: true });
    updated = true;
    // One archive of several may fail without harm, so that what counts is whether the package is found afterwards.
    return apt("apt-get", privateOptions, ["update", "-qq"], UPDATE_TIMEOUT);
  };

  const show = async (options: string[], candidates: readonly string[]) => {
    for (const name of candidates) {
      const { status, stdout } = await apt("apt-cache", options, ["show", "--no-all-versions", name], SHOW_TIMEOUT);
      const [paragraph] = status === 0 ? parseControl(stdout) : [];
      if (paragraph?.has("package")) return { name, depends: dependencyNames(paragraph.get("depends") ?? "") };
    }
    return undefined;
  };

  try {
    const system = await run("dpkg", ["--print-architecture"], { cwd: work, timeout: SHOW_TIMEOUT }).catch(
      () => undefined,
    );
    const useSystem = system?.status === 0 && system.stdout.trim() === architecture;
    // Options that make apt use the lists in which the package was found.
    let options = useSystem ? [] : privateOptions;
    return {
      async find(candidates) {
        const known = await show(options, candidates);
        if (known) return known;
        options = privateOptions;
        const result = updated ? undefined : await update();
        const found = await show(options, candidates);
        if (found) return found;
        const reason = result && result.status !== 0 ? ` (apt-get update: ${lastError(result.stderr)})` : "";
        throw new GuestError(
          "no-package",
          `apt knows no package ${candidates.join(" or ")} for ${architecture}${reason}: give a Debian mirror with --mirror, or files.`,
        );
      },
      async fetch(name) {
        const directory = await mkdtemp(join(work, "download-"));
        const total = await sizeOf((args) => apt("apt-get", options, args, SHOW_TIMEOUT), name);
        onProgress({ stage: "download", package: name, received: 0, total });
        const timer = setInterval(() => {
          downloaded(directory).then(
            (received) => onProgress({ stage: "download", package: name, received, total }),
            () => {},
          );
        }, PROGRESS_INTERVAL);
        const download = () =>
          run("apt-get", [...common, ...options, "download", "-qq", name], {
            cwd: directory,
            timeout: DOWNLOAD_TIMEOUT,
            signal: context.signal,
          });
        try {
          let result = await download();
          if (result.status !== 0 && !updated) {
            // Old lists name versions which the archive has since replaced.
            await update();
            options = privateOptions;
            result = await download();
          }
          const file = (await readdir(directory)).find((entry) => entry.endsWith(".deb"));
          if (result.status !== 0 || file === undefined) {
            throw new GuestError("apt-failed", `apt-get could not download ${name}: ${lastError(result.stderr)}.`);
          }
          const bytes = await readFile(join(directory, file));
          onProgress({ stage: "download", package: name, received: bytes.length, total: bytes.length });
          return { name, bytes };
        } finally {
          clearInterval(timer);
        }
      },
      dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function sizeOf(apt: (args: string[]) => Promise<Finished>, name: string): Promise<number | undefined> {
  const { stdout } = await apt(["download", "--print-uris", name]);
  const size = /^'[^']*' \S+ (\d+)/m.exec(stdout)?.[1];
  return size === undefined ? undefined : Number(size);
}

async function downloaded(directory: string): Promise<number> {
  let total = 0;
  for (const entry of await readdir(directory)) total += (await stat(join(directory, entry))).size;
  return total;
}

/** apt's last complaint, without its prefix and full stop. */
function lastError(stderr: string): string {
  const lines = stderr.split("\n").filter((line) => line.trim() !== "");
  const error = lines.find((line) => line.startsWith("E: ")) ?? lines.at(-1) ?? "no reason given";
  return error
    .replace(/^[EW]: /, "")
    .replace(/\s+/g, " ")
    .replace(/\.$/, "");
}

interface Finished {
  status: number;
  stdout: string;
  stderr: string;
}

/** Enough for every answer of apt that is used here; more is cut off. */
const OUTPUT_LIMIT = 16 * 2 ** 20;

function run(
  program: string,
  args: string[],
  options: { cwd: string; timeout: number; signal?: AbortSignal },
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      ...options,
      env: { ...process.env, LC_ALL: "C", DEBIAN_FRONTEND: "noninteractive" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      if (stdout.length < OUTPUT_LIMIT) stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text) => {
      if (stderr.length < OUTPUT_LIMIT) stderr += text;
    });
    child.on("error", (error: NodeJS.ErrnoException) => {
      if (options.signal?.aborted) return reject(cancelled());
      reject(
        error.code === "ENOENT"
          ? new GuestError(
              "apt-failed",
              `This host has no ${program}, so it is not Debian or a relative: give a Debian mirror with --mirror, or files with --kernel and --busybox.`,
            )
          : new GuestError("apt-failed", `${program} could not be run: ${error.message}.`, { cause: error }),
      );
    });
    child.on("close", (status) => resolve({ status: status ?? 1, stdout, stderr }));
  });
}
