import { describe, expect, it } from "vitest";
import type { SessionEnd } from "../../src/run/exit-status.js";
import { runSession, type SessionConsole } from "../../src/run/session.js";
import { FakeMachine } from "./fake-machine.js";

type Signal = Extract<SessionEnd, { kind: "signal" }>;

class TestConsole implements SessionConsole {
  output = "";
  messages = "";
  broken = false;
  readonly signalled: Promise<Signal>;
  readonly input: AsyncIterable<Uint8Array>;
  signal!: (end: Signal) => void;

  constructor(
    readonly interactive: boolean,
    typed: string[],
  ) {
    this.signalled = new Promise((resolve) => {
      this.signal = resolve;
    });
    this.input = (async function* () {
      for (const text of typed) yield Uint8Array.from(text, (character) => character.charCodeAt(0));
    })();
  }
  async write(bytes: Uint8Array) {
    if (this.broken) throw new Error("EPIPE");
    this.output += new TextDecoder().decode(bytes);
  }
  message(text: string) {
    this.messages += text;
  }
  size() {
    return { rows: 30, columns: 100 };
  }
}

const soon = () => new Promise((resolve) => setTimeout(resolve, 20));

describe("a session", () => {
  it("shows all of the guest's output, also the last, and destroys the machine", async () => {
    const machine = new FakeMachine((self) => {
      self.print("hello ");
      self.print("and goodbye");
      self.finish({ reason: "poweroff" });
    });
    const host = new TestConsole(false, []);
    const { end, tail } = await runSession(machine, host);
    expect(end).toEqual({ kind: "machine", end: { reason: "poweroff" }, panicked: false });
    expect(host.output).toBe("hello and goodbye");
    expect(tail).toBe("hello and goodbye");
    expect(machine.calls).toEqual(["start", "destroy"]);
  });

  it("passes on keys, and acts on those after Ctrl-A", async () => {
    const machine = new FakeMachine();
    const host = new TestConsole(true, [
      "ls\r",
      "\x01",
      "a|\x01c|\x01\x01|\x01q",
      "\x01p\x01r\x01s\x01h",
      "\x03\x01x",
      "unread",
    ]);
    const { end } = await runSession(machine, host);
    expect(end).toEqual({ kind: "quit" });
    expect(machine.received).toBe("ls\r\x01|\x03|\x01|stty rows 30 cols 100\r\x03");
    expect(machine.calls).toEqual(["start", "powerButton", "reset", "destroy"]);
    expect(host.messages).toContain("Ctrl-A X");
  });

  it("passes piped input on as it is", async () => {
    const machine = new FakeMachine();
    const host = new TestConsole(false, ["\x01x", "poweroff\n"]);
    const running = runSession(machine, host);
    await soon();
    expect(machine.received).toBe("\x01xpoweroff\n");
    machine.finish({ reason: "poweroff" });
    await running;
  });

  it("ends by a signal, and when nobody reads its output any more", async () => {
    const host = new TestConsole(false, []);
    const machine = new FakeMachine();
    const running = runSession(machine, host);
    host.signal({ kind: "signal", name: "SIGTERM", number: 15 });
    expect((await running).end).toEqual({ kind: "signal", name: "SIGTERM", number: 15 });
    expect(machine.state).toBe("ended");

    const deaf = new TestConsole(false, []);
    deaf.broken = true;
    const talking = new FakeMachine((self) => self.print("anybody there?"));
    expect((await runSession(talking, deaf)).end).toEqual({ kind: "quit" });
  });

  it("notices a panic, also one that arrives in pieces", async () => {
    const machine = new FakeMachine((self) => {
      self.print("[    1.0] Kernel panic - not ");
      self.print("syncing: Attempted to kill init!\r\n");
      self.print("x".repeat(10_000));
      self.finish({ reason: "reset" });
    });
    const { end, tail } = await runSession(machine, new TestConsole(false, []));
    expect(end).toEqual({ kind: "machine", end: { reason: "reset" }, panicked: true });
    expect(tail.length).toBeLessThanOrEqual(4096);
  });

  it("destroys the machine when it cannot start", async () => {
    const machine = new FakeMachine(() => {
      throw new Error("no");
    });
    await expect(runSession(machine, new TestConsole(false, []))).rejects.toThrow("no");
    expect(machine.calls).toEqual(["start", "destroy"]);
  });
});
