// A very small PC: interrupt controllers, timer and serial port, driven here by hand as a guest's drivers would.
import { COM_PORTS, ManualClock, PicPair, Pit, Ports, Uart16550a } from "@softmetal/chipset";

const clock = new ManualClock();
const ports = new Ports();
let intr = false;
const pic = new PicPair({
  set: (level) => {
    intr = level;
  },
});
const pit = new Pit({ timers: clock, irq: pic.line(0) });
let console_ = "";
const uart = new Uart16550a({
  timers: clock,
  irq: pic.line(COM_PORTS[0].irq),
  link: {
    transmit(byte) {
      console_ += String.fromCharCode(byte);
      return true; // false would keep the byte in the UART until uart.resumeTransmit()
    },
  },
});
pic.attach(ports);
pit.attach(ports);
uart.attach(ports, COM_PORTS[0].base);

const outb = (port, ...bytes) => {
  for (const byte of bytes) ports.writePort(port, 1, byte);
};

// The guest: interrupts at vectors 0x20 and 0x28, only IRQ 0 unmasked; the timer at 100 Hz.
outb(0x20, 0x11);
outb(0x21, 0x20, 0x04, 0x01, 0xfe);
outb(0xa0, 0x11);
outb(0xa1, 0x28, 0x02, 0x01, 0xff);
const count = Math.round(1193182 / 100);
outb(0x43, 0x34);
outb(0x40, count & 0xff, count >> 8);

let ticks = 0;
while (clock.now() < 1e9) {
  clock.advanceTo(Math.min(clock.nextDeadline, 1e9));
  while (intr) {
    const vector = pic.acknowledge();
    if (vector === 0x20) ticks++;
    outb(0x20, 0x20); // end of interrupt
  }
}
outb(0x3f8, ...new TextEncoder().encode(`${ticks} ticks in a second\n`));

console.log(console_.trim());
