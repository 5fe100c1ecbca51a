import type { MachineEnd } from "@softmetal/vmm";

/** How a session ended: with the machine, or because the person or a signal ended it. */
export type SessionEnd =
  | { kind: "machine"; end: MachineEnd; panicked: boolean }
  | { kind: "quit" }
  | { kind: "signal"; name: "SIGTERM" | "SIGHUP" | "SIGINT"; number: number };

/** Statuses other than 0 to 2 are even, so that they differ from every status of isa-debug-exit, which are odd. */
const STATUS = { reset: 4, "triple-fault": 6, panic: 8, quit: 10 } as const;

export const exitStatusHelp = `Exit status:
  0    the guest powered off
  1    Softmetal could not do it: a bad kernel or image, a failing host
  2    wrong command line
  4    the guest rebooted, with --no-reboot
  6    triple fault, with --no-reboot
  8    the guest's kernel panicked
  10   ended with Ctrl-A X
  odd  (v << 1) | 1, with --isa-debug-exit
  N    the command's own status, with --command
  128+ ended by that signal
`;

/** The process's exit status, and a sentence about an end that the person may not expect. */
export function exitStatusOf(session: SessionEnd): { status: number; message?: string } {
  if (session.kind === "quit") return { status: STATUS.quit };
  if (session.kind === "signal") return { status: 128 + session.number };
  const { end, panicked } = session;
  switch (end.reason) {
    case "poweroff":
      return { status: 0 };
    case "debug-exit":
      return { status: end.code & 0xff };
    case "reset":
      return panicked
        ? { status: STATUS.panic, message: "the guest's kernel panicked" }
        : { status: STATUS.reset, message: "the guest rebooted" };
    case "triple-fault":
      return { status: STATUS["triple-fault"], message: "the guest's CPU shut down after a triple fault" };
    case "destroyed":
      return { status: STATUS.quit };
    case "internal-error":
      return { status: 1, message: `internal error: ${end.message}` };
  }
}
