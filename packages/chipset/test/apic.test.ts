import { beforeEach, describe, expect, it } from "vitest";
import { APIC_MSR, ApicBus, DeliveryMode, IoApic, LocalApic, ManualClock, MSI_BASE } from "../src/index.js";

class Cpu {
  readonly log: string[] = [];
  changes = 0;
  interruptChanged = () => {
    this.changes++;
  };
  nmi = () => this.log.push("nmi");
  smi = () => this.log.push("smi");
  init = () => this.log.push("init");
  startup = (vector: number) => this.log.push(`sipi ${vector.toString(16)}`);
}

let clock: ManualClock;
let bus: ApicBus;
let apics: LocalApic[];
let cpus: Cpu[];
let ioApic: IoApic;
let pics: number[];
const TSC_HZ = 2e9;

const read = (apic: LocalApic, offset: number) => apic.readMmio(offset, 4) >>> 0;
const write = (apic: LocalApic, offset: number, value: number) => apic.writeMmio(offset, 4, value);
const msr = { low: 0, high: 0 };
const rdmsr = (apic: LocalApic, index: number) => (apic.readMsr(index, msr) ? msr.low >>> 0 : -1);
const toX2apic = (apic: LocalApic) => {
  apic.readMsr(APIC_MSR.base, msr);
  expect(apic.writeMsr(APIC_MSR.base, msr.low | 0xc00, msr.high)).toBe(true);
};
const route = (pin: number, low: number, destination = 0) => {
  ioApic.writeMmio(0, 4, 0x11 + pin * 2);
  ioApic.writeMmio(0x10, 4, destination << 24);
  ioApic.writeMmio(0, 4, 0x10 + pin * 2);
  ioApic.writeMmio(0x10, 4, low);
};
const entry = (pin: number) => {
  ioApic.writeMmio(0, 4, 0x10 + pin * 2);
  return ioApic.readMmio(0x10, 4);
};

beforeEach(() => {
  clock = new ManualClock();
  bus = new ApicBus();
  cpus = [0, 1, 2, 3].map(() => new Cpu());
  pics = [];
  apics = cpus.map(
    (cpu, apicId) =>
      new LocalApic({
        apicId,
        bootstrap: apicId === 0,
        timers: clock,
        bus,
        cpu,
        externalInterrupts: { acknowledge: () => pics.shift() ?? 0x27 },
        tsc: { timeOfTsc: (tsc) => (tsc * 1e9) / TSC_HZ },
      }),
  );
  for (const apic of apics) {
    bus.addTarget(apic);
    write(apic, 0xf0, 0x1ff);
  }
  ioApic = new IoApic({ bus, id: 0 });
  bus.addEoiListener(ioApic);
});

describe("local APIC interrupts", () => {
  it("delivers by priority and nests by class", () => {
    const [apic] = apics;
    for (const vector of [0x31, 0x52, 0x41]) bus.send(fixed(vector));
    expect(apic.pending()).toBe(true);
    expect(apic.acknowledge()).toBe(0x52);
    expect(apic.pending()).toBe(false);
    expect(read(apic, 0xa0)).toBe(0x50);
    expect(read(apic, 0x100 + 0x20)).toBe(1 << 0x12);
    bus.send(fixed(0x5f)); // same class: waits
    expect(apic.pending()).toBe(false);
    bus.send(fixed(0x61));
    expect(apic.acknowledge()).toBe(0x61);
    write(apic, 0xb0, 0);
    expect(apic.pending()).toBe(false);
    write(apic, 0xb0, 0);
    expect([apic.acknowledge(), apic.pending()]).toEqual([0x5f, false]);
    write(apic, 0xb0, 0);
    expect(apic.acknowledge()).toBe(0x41);
    write(apic, 0xb0, 0);
    expect(apic.acknowledge()).toBe(0x31);
    write(apic, 0xb0, 0);
    expect(apic.acknowledge()).toBe(-1);
    expect(read(apic, 0xa0)).toBe(0);
  });

  it("holds classes up to TPR back, and CR8 is TPR", () => {
    const [apic] = apics;
    apic.setCr8(4);
    expect(read(apic, 0x80)).toBe(0x40);
    bus.send(fixed(0x4f));
    expect([apic.pending(), apic.acknowledge()]).toEqual([false, -1]);
    write(apic, 0x80, 0x3f);
    expect(apic.getCr8()).toBe(3);
    expect(apic.pending()).toBe(true);
  });

  it("records illegal vectors and registers, and reports them by LVT error and ESR", () => {
    const [apic] = apics;
    write(apic, 0x370, 0xfe);
    bus.send(fixed(5));
    expect(apic.acknowledge()).toBe(0xfe);
    write(apic, 0xb0, 0);
    write(apic, 0x300, 0x4_0003);
    read(apic, 0x40);
    expect(read(apic, 0x280)).toBe(0);
    write(apic, 0x280, 0);
    expect(read(apic, 0x280)).toBe(0xe0);
    write(apic, 0x280, 0);
    expect(read(apic, 0x280)).toBe(0);
  });

  it("refuses fixed interrupts and masks its LVT while disabled by SVR", () => {
    const [apic] = apics;
    write(apic, 0x320, 0x40);
    write(apic, 0xf0, 0xff);
    expect(read(apic, 0x320)).toBe(0x1_0040);
    write(apic, 0x320, 0x40);
    expect(read(apic, 0x320)).toBe(0x1_0040);
    expect(bus.send(fixed(0x50))).toBe(false);
    bus.send({ ...fixed(0), deliveryMode: DeliveryMode.Nmi });
    expect(cpus[0].log).toEqual(["nmi"]);
  });

  it("passes the 8259A through LINT0 in ExtINT mode, and directly while globally disabled", () => {
    const [apic] = apics;
    write(apic, 0x350, 0x700);
    pics = [0x20, 0x21];
    apic.lint(0).set(true);
    expect(apic.pending()).toBe(true);
    expect(apic.acknowledge()).toBe(0x20);
    write(apic, 0x350, 0x1_0700);
    expect(apic.pending()).toBe(false);
    apic.writeMsr(APIC_MSR.base, 0xfee00000, 0);
    expect(apic.mode).toBe("disabled");
    expect(apic.acknowledge()).toBe(0x21);
    apic.lint(0).set(false);
    expect(apic.pending()).toBe(false);
    apic.lint(1).set(true);
    expect(cpus[0].log).toEqual(["nmi"]);
  });

  it("starts the bootstrap processor in virtual wire mode, others masked", () => {
    apics[0].reset();
    expect([read(apics[0], 0x350), read(apics[0], 0x360)]).toEqual([0x700, 0x400]);
    expect(read(apics[1], 0x350)).toBe(0x1_0000);
    apics[0].lint(0).set(true);
    expect(apics[0].pending()).toBe(true);
    apics[0].lint(1).set(true);
    expect(cpus[0].log).toEqual(["nmi"]);
  });

  it("repeats a level-triggered LINT0 until its wire falls", () => {
    const [apic] = apics;
    write(apic, 0x350, 0x8031);
    apic.lint(0).set(true);
    expect(apic.acknowledge()).toBe(0x31);
    expect(read(apic, 0x350)).toBe(0xc031);
    write(apic, 0xb0, 0);
    expect(apic.acknowledge()).toBe(0x31);
    apic.lint(0).set(false);
    write(apic, 0xb0, 0);
    expect(apic.pending()).toBe(false);
    expect(read(apic, 0x350)).toBe(0x8031);
  });

  it("calls the CPU only when pending changes", () => {
    const before = cpus[0].changes;
    bus.send(fixed(0x31));
    bus.send(fixed(0x32));
    expect(cpus[0].changes).toBe(before + 1);
  });
});

describe("IPIs", () => {
  it("INIT and SIPI reach the others; deassert does nothing", () => {
    write(apics[0], 0x300, 0xc_4500);
    write(apics[0], 0x300, 0xc_8500);
    write(apics[0], 0x300, 0xc_4609);
    expect(cpus.map((cpu) => cpu.log.join())).toEqual(["", "init,sipi 9", "init,sipi 9", "init,sipi 9"]);
    expect(read(apics[1], 0xf0)).toBe(0xff);
  });

  it("go by physical and logical destinations and shorthands", () => {
    apics.forEach((apic, i) => {
      write(apic, 0xd0, (1 << i) << 24);
    });
    const taken = () => apics.map((apic) => apic.acknowledge());
    write(apics[0], 0x310, 2 << 24);
    write(apics[0], 0x300, 0x4031);
    expect(taken()).toEqual([-1, -1, 0x31, -1]);
    write(apics[0], 0x310, 0b1010 << 24);
    write(apics[0], 0x300, 0x4842);
    expect(taken()).toEqual([-1, 0x42, -1, 0x42]);
    write(apics[1], 0x300, 0x4_4053);
    expect(taken()).toEqual([-1, 0x53, -1, -1]);
    write(apics[1], 0x300, 0x8_4064);
    expect(taken()).toEqual([0x64, 0x64, 0x64, 0x64]);
    write(apics[1], 0x310, 0xff000000);
    write(apics[1], 0x300, 0x4075);
    expect(taken()).toEqual([0x75, 0x75, 0x75, 0x75]);
    write(apics[2], 0x300, 0xc_4400);
    expect(cpus.map((cpu) => cpu.log.length)).toEqual([1, 1, 0, 1]);
    expect(read(apics[1], 0x300)).toBe(0x4075);
  });

  it("match cluster destinations", () => {
    for (const apic of apics) write(apic, 0xe0, 0);
    write(apics[0], 0xd0, 0x11 << 24);
    write(apics[1], 0xd0, 0x12 << 24);
    write(apics[2], 0xd0, 0x21 << 24);
    expect(apics.map((apic) => apic.matchesLogical(0x13))).toEqual([true, true, false, false]);
    expect(apics.map((apic) => apic.matchesLogical(0xf1))).toEqual([true, false, true, false]);
  });

  it("lowest priority goes to the least busy processor and spreads among equals", () => {
    apics.forEach((apic, i) => {
      write(apic, 0xd0, (1 << i) << 24);
    });
    write(apics[0], 0x80, 0x20);
    const message = { ...fixed(0x31), destination: 0b0111, destinationMode: "logical" as const };
    const lowest = { ...message, deliveryMode: DeliveryMode.LowestPriority };
    bus.send(lowest);
    bus.send({ ...lowest, vector: 0x32 });
    expect(apics.map((apic) => apic.acknowledge())).toEqual([-1, 0x31, 0x32, -1]);
    bus.send({ ...lowest, vector: 0x33 });
    expect(apics.map((apic) => apic.acknowledge())).toEqual([0x33, -1, -1, -1]);
  });
});

describe("x2APIC", () => {
  it("has the legal transitions only", () => {
    const [apic] = apics;
    apic.readMsr(APIC_MSR.base, msr);
    expect(msr.low >>> 0).toBe(0xfee00900);
    expect(apic.writeMsr(APIC_MSR.base, 0xfee00500, 0)).toBe(false);
    expect(apic.writeMsr(APIC_MSR.base, 0xfee00901, 0)).toBe(false);
    toX2apic(apic);
    expect(apic.mode).toBe("x2apic");
    expect(apic.writeMsr(APIC_MSR.base, 0xfee00900, 0)).toBe(false);
    expect(apic.writeMsr(APIC_MSR.base, 0xfee00100, 0)).toBe(true);
    expect(apic.writeMsr(APIC_MSR.base, 0xfee00d00, 0)).toBe(false);
    expect(apic.writeMsr(APIC_MSR.base, 0xfee00900, 0)).toBe(true);
    expect(apic.mode).toBe("xapic");
  });

  it("moves the register page", () => {
    const [apic] = apics;
    expect(apic.baseAddress).toBe(0xfee00000);
    expect(apic.writeMsr(APIC_MSR.base, 0x1234_5900, 0x8)).toBe(true);
    expect(apic.baseAddress).toBe(0x8_1234_5000);
    expect(apic.writeMsr(APIC_MSR.base, 0xfee00900, 0x100000)).toBe(false);
  });

  it("keeps the state and closes the register page", () => {
    const [apic] = apics;
    write(apic, 0x80, 0x30);
    toX2apic(apic);
    expect(rdmsr(apic, 0x808)).toBe(0x30);
    expect(read(apic, 0x80)).toBe(0xffffffff);
    expect(rdmsr(apics[1], 0x802)).toBe(-1);
  });

  it("has wide IDs, derived logical IDs and a one-write ICR", () => {
    const cpu = new Cpu();
    const far = new LocalApic({ apicId: 0x123, bootstrap: false, timers: clock, bus, cpu });
    bus.addTarget(far);
    toX2apic(far);
    toX2apic(apics[0]);
    far.writeMsr(0x80f, 0x1ff, 0);
    expect([rdmsr(far, 0x802), rdmsr(far, 0x80d)]).toEqual([0x123, 0x0012_0008]);
    expect(apics[0].writeMsr(0x830, 0x31, 0x123)).toBe(true);
    expect(far.acknowledge()).toBe(0x31);
    apics[0].readMsr(0x830, msr);
    expect(msr).toEqual({ low: 0x31, high: 0x123 });
    apics[0].writeMsr(0x830, 0x842, 0x0012_0008);
    expect(far.acknowledge()).toBe(0x42);
    apics[0].writeMsr(0x830, 0x53, 0xffffffff);
    expect(far.acknowledge()).toBe(0x53);
    far.writeMsr(0x83f, 0x64, 0);
    expect(far.acknowledge()).toBe(0x64);
    // Without TSC there is no deadline timer.
    expect(far.writeMsr(APIC_MSR.tscDeadline, 1, 0)).toBe(false);
  });

  it("answers reserved bits and missing registers with #GP", () => {
    const [apic] = apics;
    toX2apic(apic);
    const bad: [number, number, number][] = [
      [0x802, 0, 0],
      [0x80d, 1, 0],
      [0x80e, 0, 0],
      [0x831, 0, 0],
      [0x80b, 1, 0],
      [0x828, 1, 0],
      [0x808, 0x100, 0],
      [0x808, 0, 1],
      [0x830, 0x2000, 0],
      [0x83f, 0x100, 0],
      [0x8ff, 0, 0],
    ];
    for (const [index, low, high] of bad) expect([index, apic.writeMsr(index, low, high)]).toEqual([index, false]);
    for (const index of [0x80b, 0x80e, 0x831, 0x83f, 0x804]) expect(rdmsr(apic, index)).toBe(-1);
    expect(apic.writeMsr(0x80b, 0, 0)).toBe(true);
    expect(apic.writeMsr(0x835, 0x5_4700 & ~0x4_0000, 0)).toBe(true);
  });

  it("can be missing", () => {
    const apic = new LocalApic({ apicId: 0, bootstrap: true, timers: clock, bus, cpu: new Cpu(), x2apic: false });
    expect(apic.writeMsr(APIC_MSR.base, 0xfee00d00, 0)).toBe(false);
  });
});

describe("APIC timer", () => {
  it("counts down once, divided", () => {
    const [apic] = apics;
    write(apic, 0x3e0, 0x3); // by 16
    write(apic, 0x320, 0x40);
    write(apic, 0x380, 1000);
    clock.advance(8000);
    expect(read(apic, 0x390)).toBe(500);
    clock.advance(7999);
    expect([read(apic, 0x390), apic.pending()]).toEqual([1, false]);
    clock.advance(1);
    expect([read(apic, 0x390), apic.acknowledge()]).toEqual([0, 0x40]);
    write(apic, 0xb0, 0);
    clock.advance(1e9);
    expect(apic.pending()).toBe(false);
  });

  it("divides by 1 to 128", () => {
    const [apic] = apics;
    const divisors: number[] = [];
    for (const code of [0xb, 0, 1, 2, 3, 8, 9, 0xa]) {
      write(apic, 0x3e0, code);
      write(apic, 0x380, 100_000);
      clock.advance(12_800);
      divisors.push(12_800 / (100_000 - read(apic, 0x390)));
    }
    expect(divisors).toEqual([1, 2, 4, 8, 16, 32, 64, 128]);
  });

  it("is periodic without drift, and coalesces tiny periods", () => {
    const [apic] = apics;
    const ticks = () => {
      let count = 0;
      const end = clock.now() + 1e9;
      while (clock.nextDeadline <= end) {
        clock.advanceTo(clock.nextDeadline);
        if (apic.acknowledge() === 0x40) count++;
        write(apic, 0xb0, 0);
      }
      clock.advanceTo(end);
      return count;
    };
    write(apic, 0x3e0, 0xb);
    write(apic, 0x320, 0x2_0040);
    write(apic, 0x380, 3_333_333);
    expect(ticks()).toBe(300);
    write(apic, 0x380, 1);
    expect(ticks()).toBe(50_000);
  });

  it("is silent while masked but goes on counting", () => {
    const [apic] = apics;
    write(apic, 0x3e0, 0xb);
    write(apic, 0x320, 0x3_0040);
    write(apic, 0x380, 1_000_000);
    clock.advance(2_500_000);
    expect(apic.pending()).toBe(false);
    expect(read(apic, 0x390)).toBe(500_000);
    write(apic, 0x320, 0x2_0040);
    clock.advance(500_000);
    expect(apic.pending()).toBe(true);
  });

  it("fires at a TSC deadline and disarms by zero or a mode change", () => {
    const [apic] = apics;
    expect(apic.writeMsr(APIC_MSR.tscDeadline, 5, 0)).toBe(true);
    expect(rdmsr(apic, APIC_MSR.tscDeadline)).toBe(0);
    write(apic, 0x320, 0x4_0040);
    apic.writeMsr(APIC_MSR.tscDeadline, 2_000_000, 0);
    expect(rdmsr(apic, APIC_MSR.tscDeadline)).toBe(2_000_000);
    clock.advance(999_999);
    expect(apic.pending()).toBe(false);
    clock.advance(1);
    expect(apic.acknowledge()).toBe(0x40);
    expect(rdmsr(apic, APIC_MSR.tscDeadline)).toBe(0);
    write(apic, 0xb0, 0);
    for (const disarm of [() => apic.writeMsr(APIC_MSR.tscDeadline, 0, 0), () => write(apic, 0x320, 0x40)]) {
      apic.writeMsr(APIC_MSR.tscDeadline, 0xffffffff, 0);
      disarm();
      clock.advance(10e9);
      expect(apic.pending()).toBe(false);
    }
    write(apic, 0x320, 0x4_0041);
    apic.writeMsr(APIC_MSR.tscDeadline, 1, 0); // in the past
    clock.advance(0);
    expect(apic.acknowledge()).toBe(0x41);
  });
});

describe("I/O APIC", () => {
  it("identifies itself", () => {
    ioApic.writeMmio(0, 4, 1);
    expect(ioApic.readMmio(0x10, 4)).toBe(0x0017_0020);
    ioApic.writeMmio(0, 4, 0);
    ioApic.writeMmio(0x10, 4, 0xff00_0000);
    expect(ioApic.readMmio(0x10, 4) >>> 0).toBe(0x0f00_0000);
    expect(entry(5)).toBe(0x1_0000);
  });

  it("sends edges once and loses those on masked pins", () => {
    const line = ioApic.line(2);
    line.set(true);
    route(2, 0x30);
    expect(apics[0].pending()).toBe(false);
    line.set(false);
    line.set(true);
    expect(apics[0].acknowledge()).toBe(0x30);
    expect(entry(2)).toBe(0x30);
    write(apics[0], 0xb0, 0);
    expect(apics[0].pending()).toBe(false);
  });

  it("repeats levels after the broadcast EOI while the line is up", () => {
    const line = ioApic.line(10);
    route(10, 0x8031, 1);
    line.set(true);
    expect(entry(10)).toBe(0xc031);
    expect(apics[1].acknowledge()).toBe(0x31);
    expect(read(apics[1], 0x180 + 0x10)).toBe(1 << 0x11);
    write(apics[1], 0xb0, 0);
    expect(apics[1].acknowledge()).toBe(0x31);
    line.set(false);
    write(apics[1], 0xb0, 0);
    expect(entry(10)).toBe(0x8031);
    expect(apics[1].pending()).toBe(false);
  });

  it("serves a level that came while masked, once unmasked", () => {
    ioApic.line(10).set(true);
    route(10, 0x1_8031);
    expect(apics[0].pending()).toBe(false);
    route(10, 0x8031);
    expect(apics[0].pending()).toBe(true);
  });

  it("has the EOI register, for APICs that suppress the broadcast", () => {
    write(apics[0], 0xf0, 0x11ff);
    route(10, 0x8031);
    ioApic.line(10).set(true);
    apics[0].acknowledge();
    write(apics[0], 0xb0, 0);
    expect(entry(10)).toBe(0xc031);
    ioApic.writeMmio(0x40, 4, 0x31);
    expect(apics[0].acknowledge()).toBe(0x31);
  });

  it("clears Remote IRR when a pin is made edge-triggered for a moment", () => {
    route(10, 0x8031);
    ioApic.line(10).set(true);
    ioApic.line(10).set(false);
    expect(entry(10)).toBe(0xc031);
    route(10, 0x1_0031);
    route(10, 0x1_8031);
    expect(entry(10)).toBe(0x1_8031);
  });

  it("does not set Remote IRR for messages nobody took", () => {
    route(10, 0x8031, 9);
    ioApic.line(10).set(true);
    expect(entry(10)).toBe(0x8031);
    route(10, 0x8031, 0);
    expect(apics[0].pending()).toBe(true);
  });

  it("passes the 8259A through a pin in ExtINT mode, and NMI and INIT", () => {
    pics = [0x22];
    route(0, 0x700, 3);
    ioApic.line(0).set(true);
    expect(apics[3].acknowledge()).toBe(0x22);
    expect(apics[3].pending()).toBe(false);
    route(1, 0x400, 3);
    ioApic.line(1).set(true);
    route(3, 0x8500, 3);
    ioApic.line(3).set(true);
    expect(cpus[3].log).toEqual(["nmi", "init"]);
  });

  it("has 24 pins", () => {
    expect(() => ioApic.line(24)).toThrowError(expect.objectContaining({ code: "bad-range" }));
  });
});

describe("MSI", () => {
  it("carries destination, mode and vector", () => {
    apics.forEach((apic, i) => {
      write(apic, 0xd0, (1 << i) << 24);
    });
    expect(bus.sendMsi(MSI_BASE | (2 << 12), 0x0041)).toBe(true);
    expect(apics[2].acknowledge()).toBe(0x41);
    bus.sendMsi(MSI_BASE | (0b11 << 12) | 4, 0x0052);
    expect(apics.map((apic) => apic.acknowledge())).toEqual([0x52, 0x52, -1, -1]);
    bus.sendMsi(MSI_BASE | (0b1100 << 12) | 12, 0x0163);
    expect(apics.filter((apic) => apic.acknowledge() === 0x63)).toHaveLength(1);
    bus.sendMsi(MSI_BASE | (0xff << 12), 0x0074);
    expect(apics.map((apic) => apic.acknowledge())).toEqual([0x74, 0x74, 0x74, 0x74]);
    expect(bus.sendMsi(MSI_BASE | (9 << 12), 0x0041)).toBe(false);
  });
});

describe("state", () => {
  it("continues from a saved state", () => {
    const [apic] = apics;
    write(apic, 0x3e0, 0xb);
    write(apic, 0x320, 0x2_0040);
    write(apic, 0x380, 1_000_000);
    bus.send(fixed(0x31));
    apic.acknowledge();
    clock.advance(1_500_000);
    const copy = new LocalApic({ apicId: 0, bootstrap: true, timers: clock, bus: new ApicBus(), cpu: new Cpu() });
    copy.load(JSON.parse(JSON.stringify(apic.save())));
    expect(copy.pending()).toBe(true);
    clock.advance(3_000_000);
    expect(copy.save()).toEqual(apic.save());
    route(10, 0x8031);
    ioApic.line(10).set(true);
    const other = new IoApic({ bus: new ApicBus() });
    other.load(JSON.parse(JSON.stringify(ioApic.save())));
    expect(other.save()).toEqual(ioApic.save());
    expect(() => copy.load({})).toThrowError(expect.objectContaining({ code: "bad-state" }));
  });

  it("survives INIT with its mode, and loses the rest", () => {
    const [apic] = apics;
    toX2apic(apic);
    apic.writeMsr(0x808, 0x30, 0);
    apic.init();
    expect(apic.mode).toBe("x2apic");
    expect(rdmsr(apic, 0x808)).toBe(0);
  });
});

function fixed(vector: number) {
  return {
    destination: 0,
    destinationMode: "physical",
    deliveryMode: DeliveryMode.Fixed,
    vector,
    level: true,
    trigger: "edge",
  } as const;
}
