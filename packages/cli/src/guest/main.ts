import type { GuestSource } from "@softmetal/guest/node";
import { CliError } from "../command/failure.js";
import { type OptionTable, type OptionValues, optionHelp, parseOptions } from "../command/options.js";
import { parseChoice } from "../command/values.js";
import { obtainWithProgress } from "./obtain.js";

const guestOptions = {
  arch: { argument: "ARCH", help: "amd64 (default) or i386" },
  mirror: { argument: "URL", help: "take the packages from this Debian mirror instead of apt" },
  suite: { argument: "NAME", help: "release on the mirror (default bookworm)" },
  kernel: { argument: "FILE", help: "take this kernel, an image or a .deb" },
  busybox: { argument: "FILE", help: "with --kernel: this static busybox, a program or a .deb" },
  refresh: { help: "obtain it again even when it is there" },
  json: { help: "print the result as JSON" },
} as const satisfies OptionTable;

const usage = `Usage: softmetal guest [options]

Obtains the default guest: Debian's kernel and static busybox, packed into an initramfs and kept in the cache. On Debian
and its relatives apt-get downloads them, without changing the system.

Options:
${optionHelp(guestOptions)}`;

/** `softmetal guest`. Gives the exit status. @throws CliError, GuestError */
export async function main(argv: readonly string[]): Promise<number> {
  const values = parseOptions("guest", guestOptions, argv);
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const source = sourceOf(values);
  const architecture = parseChoice("arch", values.arch ?? "amd64", ["amd64", "i386"]);
  const guest = await obtainWithProgress({
    architecture,
    source,
    // A mirror was named on purpose, so that a guest made from elsewhere must not win.
    refresh: values.refresh || source.kind === "mirror",
  });
  if (values.json) {
    process.stdout.write(`${JSON.stringify(guest, undefined, 2)}\n`);
    return 0;
  }
  const lines = [
    ["kernel", guest.kernel],
    ["initrd", guest.initrd],
    ["command line", guest.commandLine],
    ...guest.packages.map(({ name, version }) => ["made of", `${name} ${version}`.trim()]),
  ];
  process.stdout.write(lines.map(([name, value]) => `${`${name}:`.padEnd(14)}${value}\n`).join(""));
  return 0;
}

function sourceOf(values: OptionValues<typeof guestOptions>): GuestSource {
  if ((values.kernel === undefined) !== (values.busybox === undefined)) {
    throw new CliError("--kernel and --busybox belong together; give both.", 2);
  }
  if (values.kernel !== undefined && values.mirror !== undefined) {
    throw new CliError("--mirror cannot be combined with --kernel and --busybox.", 2);
  }
  if (values.suite !== undefined && values.mirror === undefined) throw new CliError("--suite needs --mirror.", 2);
  if (values.kernel !== undefined) return { kind: "files", kernel: values.kernel, busybox: values.busybox! };
  if (values.mirror !== undefined) return { kind: "mirror", url: values.mirror, suite: values.suite };
  return { kind: "apt" };
}
