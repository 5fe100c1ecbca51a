/** What the person asks of Softmetal itself, between the keys that go to the guest. */
export type KeyAction = "quit" | "help" | "power-button" | "reset" | "size";

const CTRL_A = 0x01;
const CTRL_C = 0x03;

const ACTIONS: Readonly<Record<string, KeyAction>> = {
  x: "quit",
  h: "help",
  "?": "help",
  p: "power-button",
  r: "reset",
  s: "size",
};

export const keyHelp = `
Ctrl-A H    this help
Ctrl-A X    quit at once
Ctrl-A P    press the power button
Ctrl-A R    reset the machine
Ctrl-A S    type the command that tells a shell the terminal's size
Ctrl-A C    send Ctrl-C to the guest
Ctrl-A A    send Ctrl-A to the guest
`;

/** Splits what the person types into bytes for the guest and key actions. Ctrl-A begins an action, as in QEMU. */
export class EscapeFilter {
  #escaped = false;

  /** Actions are called in order, with the bytes before each already sent. */
  feed(bytes: Uint8Array, send: (bytes: Uint8Array) => void, act: (action: KeyAction) => void): void {
    let pending: number[] = [];
    const flush = () => {
      if (pending.length > 0) send(Uint8Array.from(pending));
      pending = [];
    };
    for (const byte of bytes) {
      if (!this.#escaped) {
        if (byte === CTRL_A) this.#escaped = true;
        else pending.push(byte);
        continue;
      }
      this.#escaped = false;
      // Ctrl-A with Ctrl still held for the second key counts as the plain key.
      const key = String.fromCharCode(byte < 0x20 ? byte + 0x60 : byte).toLowerCase();
      const action = ACTIONS[key];
      if (key === "a") pending.push(CTRL_A);
      else if (key === "c") pending.push(CTRL_C);
      else if (action !== undefined) {
        flush();
        act(action);
      }
    }
    flush();
  }
}
