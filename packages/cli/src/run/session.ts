import type { Machine } from "@softmetal/vmm";
import { EscapeFilter, type KeyAction, keyHelp } from "./escape.js";
import type { SessionEnd } from "./exit-status.js";
import { OutputWatch } from "./output-watch.js";

/** What the session needs of the terminal; `HostConsole` is the real one. */
export interface SessionConsole {
  /** Both ends are a terminal in raw mode, so that Ctrl-A is a key for Softmetal. */
  readonly interactive: boolean;
  /** What the person types, or the input that is piped in. */
  readonly input: AsyncIterable<Uint8Array>;
  /** Settles when the bytes are taken; rejects when nobody reads any more. */
  write(bytes: Uint8Array): Promise<void>;
  /** For Softmetal's own messages. */
  message(text: string): void;
  size(): { rows: number; columns: number } | undefined;
  /** Settles when the session is to end because of a signal. */
  readonly signalled: Promise<Extract<SessionEnd, { kind: "signal" }>>;
}

/** What a session leaves behind. */
export interface SessionResult {
  end: SessionEnd;
  /** The last of the guest's output, for what is read out of it. */
  tail: string;
}

/** Connects a machine's first serial port to a console until one of them ends. The machine is destroyed afterwards. */
export async function runSession(machine: Machine, host: SessionConsole): Promise<SessionResult> {
  const watch = new OutputWatch();
  let quit: (end: SessionEnd) => void;
  const asked = new Promise<SessionEnd>((resolve) => {
    quit = resolve;
  });
  const [serial] = machine.serial;
  try {
    await machine.start();
    const output = pumpOutput(serial.readable, host, watch).catch(() => quit({ kind: "quit" }));
    pumpInput(serial.writable.getWriter(), machine, host, () => quit({ kind: "quit" })).catch(() => {
      // The port is gone because the machine ended, which `ended` tells.
    });
    const end = await Promise.race([
      asked,
      host.signalled,
      machine.ended.then((end): SessionEnd => ({ kind: "machine", end, panicked: false })),
    ]);
    if (end.kind === "machine") {
      // What the guest said last is still on its way.
      await output;
      return { end: { ...end, panicked: watch.panicked }, tail: watch.tail };
    }
    return { end, tail: watch.tail };
  } finally {
    await machine.destroy();
  }
}

async function pumpOutput(
  readable: ReadableStream<Uint8Array>,
  host: SessionConsole,
  watch: OutputWatch,
): Promise<void> {
  const reader = readable.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    watch.feed(value);
    await host.write(value);
  }
}

async function pumpInput(
  writer: WritableStreamDefaultWriter<Uint8Array>,
  machine: Machine,
  host: SessionConsole,
  quit: () => void,
): Promise<void> {
  const filter = new EscapeFilter();
  let stopped = false;
  // Not awaited for each key: a guest that does not read must not keep Ctrl-A X from working.
  const send = (bytes: Uint8Array) => {
    writer.write(bytes).catch(() => {});
  };
  const act = (action: KeyAction) => {
    if (action === "quit") {
      stopped = true;
      quit();
    } else if (action === "help") host.message(keyHelp);
    else if (action === "power-button") machine.powerButton().catch(() => {});
    else if (action === "reset") machine.reset().catch(() => {});
    else {
      const size = host.size();
      if (size) send(new TextEncoder().encode(`stty rows ${size.rows} cols ${size.columns}\r`));
    }
  };
  for await (const bytes of host.input) {
    if (host.interactive) filter.feed(bytes, send, act);
    // Piped input waits until the guest takes it, so that a large file is not held in memory.
    else await writer.write(bytes);
    if (stopped) return;
  }
}
