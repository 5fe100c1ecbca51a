import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import * as constants from "../src/abi/constants.js";
import { Exits } from "../src/exits.js";

const folder = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const files = (path: string, pattern: RegExp) =>
  readdirSync(folder(path), { recursive: true, encoding: "utf8" })
    .filter((name) => pattern.test(name))
    .map((name) => readFileSync(join(folder(path), name), "utf8"));

const HEADER = "/usr/include/linux/kvm.h";
const header = existsSync(HEADER) ? readFileSync(HEADER, "utf8") : undefined;
if (header === undefined) console.warn(`\n*** The comparison with ${HEADER} is skipped: there is none\n`);

const native = files("../native", /\.[ch]$/).join("\n");
const sources = files("../src", /\.ts$/).join("\n");
const readme = readFileSync(folder("../README.md"), "utf8");
const unbound = readme.slice(
  readme.indexOf("## What is not bound"),
  readme.indexOf("## ", readme.indexOf("## What is not bound") + 3),
);

const says = (text: string, name: string) => new RegExp(`\\b${name}\\b`).test(text);
/** Whether the list has the name, or its family: `KVM_S390_*`. */
const listed = (name: string) =>
  [...unbound.matchAll(/^\|.*$/gm)]
    .flatMap(([row]) => [...row.split("|")[1].matchAll(/`(KVM_\w+)(\*?)`/g)])
    .some(([, entry, star]) => (star === "*" ? name.startsWith(entry) : name === entry));

/** The ioctls that a header defines. */
const ioctls = (text: string) => [
  ...new Set(
    [...text.matchAll(/#define\s+(KVM_\w+)\s+(?:\\\s*)?(?:_IO[WR]*\(|__KVM_DEPRECATED)/g)].map(([, name]) => name),
  ),
];

describe("ioctls", () => {
  it.skipIf(header === undefined)("of the kernel's header are bound, or listed with the reason", () => {
    const all = ioctls(header!);
    expect(all.length).toBeGreaterThan(150);
    const bound = all.filter((name) => says(native, name));
    expect(bound.length).toBeGreaterThan(75);
    expect(all.filter((name) => !says(native, name) && !listed(name))).toEqual([]);
    expect(all.filter((name) => says(native, name) && listed(name))).toEqual([]);
  });

  it("that are bound have a method with the kernel's name in its description", () => {
    // In every header, and those of newer ones.
    const names = [...new Set([...(header === undefined ? [] : ioctls(header)), ...ioctls(native)])];
    const bound = names.filter((name) => says(native, name));
    const described = sources.match(/\/\*\*[\s\S]*?\*\//g)!.join("\n");
    expect(bound.filter((name) => !says(described, name))).toEqual([]);
  });

  it("that the header may lack are defined here, and no others", () => {
    expect(ioctls(native).sort()).toEqual([
      "KVM_CREATE_GUEST_MEMFD",
      "KVM_PRE_FAULT_MEMORY",
      "KVM_SET_MEMORY_ATTRIBUTES",
      "KVM_SET_USER_MEMORY_REGION2",
    ]);
  });
});

/** Exits of other architectures, and what C calls something else. */
const foreign = /^KVM_EXIT_(S390_|DCR|OSI|PAPR|EPR|WATCHDOG|ARM_|RISCV_|LOONGARCH_|IO_IN|IO_OUT|HYPERV_|XEN_)/;

describe("exits", () => {
  it.skipIf(header === undefined)("of x86 all have a name of their own", () => {
    const exits = new Exits(new ArrayBuffer(8192));
    const numbers = [...header!.matchAll(/#define\s+(KVM_EXIT_\w+)\s+(\d+)/g)].filter(
      ([, name]) => !foreign.test(name),
    );
    expect(numbers.length).toBeGreaterThanOrEqual(25);
    for (const [, name, number] of numbers) {
      const expected = name.slice("KVM_EXIT_".length).replace(/^X86_/, "").toLowerCase().replaceAll("_", "-");
      expect(exits.of(Number(number)).reason).toBe(expected);
    }
    expect([38, 39, 40, 99].map((number) => exits.of(number).reason)).toEqual([
      "other",
      "memory-fault",
      "tdx",
      "other",
    ]);
  });

  it("are views: what the kernel writes is what they say", () => {
    const buffer = new ArrayBuffer(8192);
    const view = new DataView(buffer);
    const exits = new Exits(buffer);
    const fault = exits.of(39);
    if (fault.reason !== "memory-fault") throw new Error(fault.reason);
    view.setBigUint64(32, 8n, true);
    view.setBigUint64(40, 0x12345000n, true);
    view.setBigUint64(48, 0x1000n, true);
    expect(fault.detail.$object()).toEqual({ flags: 8n, gpa: 0x12345000n, size: 0x1000n });
    const synic = exits.of(27);
    if (synic.reason !== "hyperv") throw new Error(synic.reason);
    view.setUint32(32, constants.HypervExit.SYNIC, true);
    view.setUint32(40, 0x40000080, true);
    view.setBigUint64(48, 1n, true);
    expect([synic.detail.type, synic.detail.u.synic.msr, synic.detail.u.synic.control]).toEqual([1, 0x40000080, 1n]);
  });

  it("have the bytes of an instruction that the kernel cannot emulate, where it says them", () => {
    const buffer = new ArrayBuffer(8192);
    const view = new DataView(buffer);
    const exit = new Exits(buffer).of(17);
    if (exit.reason !== "internal-error") throw new Error(exit.reason);
    const set = (suberror: number, ndata: number, flags: bigint) => {
      view.setUint32(32, suberror, true);
      view.setUint32(36, ndata, true);
      view.setBigUint64(40, flags, true);
    };
    new Uint8Array(buffer, 48).set([3, 0x0f, 0x01, 0xd0]);
    set(constants.InternalError.EMULATION, 3, 1n);
    expect(exit.instructionBytes).toEqual(Uint8Array.of(0x0f, 0x01, 0xd0));
    set(constants.InternalError.EMULATION, 3, 0n);
    expect(exit.instructionBytes).toBeUndefined();
    set(constants.InternalError.EMULATION, 0, 1n);
    expect(exit.instructionBytes).toBeUndefined();
    set(constants.InternalError.SIMUL_EX, 3, 1n);
    expect(exit.instructionBytes).toBeUndefined();
    set(constants.InternalError.EMULATION, 3, 1n);
    view.setUint8(48, 200); // no more than there are
    expect(exit.instructionBytes!.length).toBe(15);
  });
});

const compiler = header !== undefined && spawnSync("gcc", ["--version"]).status === 0;

describe("constants", () => {
  const prefixes: Record<string, string> = {
    ...{ Cap: "KVM_CAP_", MemoryFlags: "KVM_MEM_", GuestMemfdFlags: "GUEST_MEMFD_FLAG_" },
    ...{ MemoryAttribute: "KVM_MEMORY_ATTRIBUTE_", MemoryExitFlags: "KVM_MEMORY_EXIT_FLAG_", MpState: "KVM_MP_STATE_" },
    ...{ GuestDebugFlags: "KVM_GUESTDBG_", IrqchipId: "KVM_IRQCHIP_", IrqRoutingType: "KVM_IRQ_ROUTING_" },
    ...{ SyncRegsFlags: "KVM_SYNC_X86_", VcpuEventsFlags: "KVM_VCPUEVENT_VALID_", ClockFlags: "KVM_CLOCK_" },
    ...{ DirtyGfnFlags: "KVM_DIRTY_GFN_F_", InternalError: "KVM_INTERNAL_ERROR_", HypervExit: "KVM_EXIT_HYPERV_" },
    ...{ InternalErrorFlags: "KVM_INTERNAL_ERROR_EMULATION_FLAG_", SystemEvent: "KVM_SYSTEM_EVENT_" },
    ...{ RunFlags: "KVM_RUN_X86_", MsrExitReason: "KVM_MSR_EXIT_REASON_", DisableExits: "KVM_X86_DISABLE_EXITS_" },
    ...{ X2apicApi: "KVM_X2APIC_API_", BusLockDetection: "KVM_BUS_LOCK_DETECTION_", Quirk: "KVM_X86_QUIRK_" },
    ...{ NotifyVmexit: "KVM_X86_NOTIFY_VMEXIT_", PmuCapability: "KVM_PMU_CAP_", MsrFilterFlags: "KVM_MSR_FILTER_" },
    ...{ DirtyLogProtect: "KVM_DIRTY_LOG_", DeviceType: "KVM_DEV_TYPE_" },
  };
  /** Not numbers under one prefix. */
  const others = ["VmType", "registerId", "PAGE_SIZE"];

  it.skipIf(!compiler)("are the header's", () => {
    expect(Object.keys(constants).filter((name) => !(name in prefixes) && !others.includes(name))).toEqual([]);
    const groups = new Map<string, unknown>(Object.entries(constants));
    const wanted = Object.entries(prefixes).flatMap(([name, prefix]) =>
      Object.entries(groups.get(name) as Record<string, number | bigint>).map(
        ([key, value]) => [prefix + key, BigInt(value)] as const,
      ),
    );
    const place = mkdtempSync(join(tmpdir(), "constants-"));
    try {
      // What a header defines by an enumeration it also defines as a macro, except some of VFIO's kind.
      const lines = wanted.map(
        ([name]) => `#ifdef ${name}\nprintf("${name} %llu\\n", (unsigned long long)${name});\n#endif`,
      );
      writeFileSync(
        join(place, "constants.c"),
        `#include <stdio.h>\n#include "newer.h"\nint main(void) {\n${lines.join("\n")}\n}\n`,
      );
      execFileSync("gcc", [`-I${folder("../native")}`, "-o", join(place, "constants"), join(place, "constants.c")]);
      const printed = execFileSync(join(place, "constants"), { encoding: "utf8" }).trim().split("\n");
      expect(printed.length).toBeGreaterThan(180);
      const byName = new Map(wanted);
      for (const line of printed) {
        const [name, value] = line.split(" ");
        expect(`${name} ${byName.get(name)}`).toBe(`${name} ${value}`);
      }
    } finally {
      rmSync(place, { recursive: true });
    }
  });
});
