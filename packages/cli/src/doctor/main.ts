import { type OptionTable, optionHelp, parseOptions } from "../command/options.js";
import { type Check, checkHost } from "./checks.js";
import { gatherFacts } from "./facts.js";

const doctorOptions = { json: { help: "print the result as JSON" } } as const satisfies OptionTable;

const usage = `Usage: softmetal doctor [--json]

Says what this host can do and how to mend what is missing. The exit status is 1 when the translator cannot run.

Options:
${optionHelp(doctorOptions)}`;

const TITLES: Record<Check["group"], string> = {
  translator: "Translator (needs no hardware virtualization)",
  kvm: "KVM (optional, faster)",
  guest: "Default guest",
};
const MARKS: Record<Check["verdict"], string> = { ok: "ok", optional: "--", missing: "NO" };

/** The report as text. */
export function report(checks: readonly Check[]): string {
  let text = "";
  for (const [group, title] of Object.entries(TITLES)) {
    text += `${title}\n`;
    for (const check of checks.filter((candidate) => candidate.group === group)) {
      text += `  ${MARKS[check.verdict]}  ${check.what}\n`;
      if (check.advice !== undefined) text += `      -> ${check.advice}\n`;
    }
  }
  return text;
}

/** `softmetal doctor`. Gives the exit status. @throws CliError */
export async function main(argv: readonly string[]): Promise<number> {
  const values = parseOptions("doctor", doctorOptions, argv);
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const checks = checkHost(gatherFacts());
  process.stdout.write(values.json ? `${JSON.stringify(checks, undefined, 2)}\n` : report(checks));
  return checks.some((check) => check.verdict === "missing") ? 1 : 0;
}
