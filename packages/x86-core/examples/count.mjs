import { Cpu, createMemory, parseModel, RAM_BASE, S, SEGMENTS } from "@softmetal/x86-core";

// 64 KiB of RAM at guest-physical address 0, and a device that prints what is written to port 0xE9.
const memory = createMemory(0x10000);
let output = "";
const cpu = new Cpu({
  memory,
  ram: [{ address: 0, size: 0x10000, offset: RAM_BASE }],
  model: parseModel("x86-64-v2"),
  bus: {
    readPort: () => 0xff,
    writePort: (port, _size, value) => {
      if (port === 0xe9) output += String.fromCharCode(value);
    },
    readPhysical: () => 0xffffffff,
    writePhysical: () => {},
  },
  // No interrupts in this machine.
  apic: {
    acknowledge: () => -1,
    pending: () => false,
    taskPriority: 0,
    readMsr: () => undefined,
    writeMsr: () => false,
  },
  time: { ticks: () => 0n, frequency: 1e9 },
});

// A real-mode program at 0x7C00: mov al,'0'; again: out 0xE9,al; inc al; cmp al,'9'; jbe again; hlt
const program = [0xb0, 0x30, 0xe6, 0xe9, 0xfe, 0xc0, 0x3c, 0x39, 0x76, 0xf8, 0xf4];
new Uint8Array(memory.buffer).set(program, RAM_BASE + 0x7c00);
cpu.state.setSegment(SEGMENTS.cs, 0, 0n, 0xffff, 0x9b00);
cpu.state.set64(S.rip, 0x7c00n);
cpu.stateChanged();

const reason = cpu.run(1_000_000);
console.log(`${output}: ${reason} after ${cpu.instructions} instructions`);
