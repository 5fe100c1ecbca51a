import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Fadt } from "../src/acpi/fadt.js";
import { Facs, Header, isSound, Rsdp } from "../src/acpi/tables.js";
import { checksum, decode } from "../src/binary.js";
import {
  acpiTable,
  aml,
  buildAcpiTables,
  buildMpTables,
  COM_PORTS,
  mmioDevice,
  resources,
  simpleDevice,
} from "../src/index.js";
import { MpFloatingPointer, MpHeader } from "../src/mptable/mptable.js";

const built = buildAcpiTables({
  address: 0xe0000,
  apicIds: [0, 1, 2, 300],
  serialPorts: COM_PORTS.slice(0, 2),
  devices: [
    mmioDevice({ name: "VR00", hid: "LNRO0005", uid: 0, base: 0xfeb00000, length: 0x1000, gsi: 16 }),
    mmioDevice({ name: "VR01", hid: "LNRO0005", uid: 1, base: 0xfeb01000, length: 0x1000, gsi: 17 }),
  ],
});
const find = (signature: string) => built.tables.find((table) => table.signature === signature)!;

describe("ACPI tables", () => {
  it("hang together from the RSDP, with right checksums", () => {
    const { bytes, address } = built;
    const rsdp = decode(Rsdp, bytes);
    expect(rsdp).toMatchObject({ signature: "RSD PTR", revision: 2, length: 36 });
    expect(checksum(bytes.subarray(0, 20))).toBe(0);
    expect(checksum(bytes.subarray(0, 36))).toBe(0);
    const view = new DataView(bytes.buffer);
    const roots = (at: number, entry: number) => {
      const { length, signature } = decode(Header, bytes, at - address);
      expect(isSound(bytes.subarray(at - address))).toBe(true);
      const list: number[] = [];
      for (let i = Header.size; i < length; i += entry) list.push(view.getUint32(at - address + i, true));
      return [signature, list] as const;
    };
    const [, rsdt] = roots(rsdp.rsdtAddress, 4);
    const [, xsdt] = roots(rsdp.xsdtAddress, 8);
    expect(xsdt).toEqual(rsdt);
    const signatures = rsdt.map((at) => {
      expect(isSound(bytes.subarray(at - address))).toBe(true);
      return decode(Header, bytes, at - address).signature;
    });
    expect(signatures).toEqual(["FACP", "APIC"]);

    const fadt = decode(Fadt, find("FACP").bytes, Header.size);
    expect(find("FACP").bytes.length).toBe(276);
    expect(decode(Header, bytes, fadt.dsdt - address).signature).toBe("DSDT");
    expect(isSound(bytes.subarray(fadt.dsdt - address))).toBe(true);
    expect(fadt.xDsdt).toBe(fadt.dsdt);
    expect(fadt.firmwareCtrl % 64).toBe(0);
    expect(decode(Facs, bytes, fadt.firmwareCtrl - address)).toMatchObject({ signature: "FACS", length: 64 });
    expect(fadt).toMatchObject({ sciInt: 9, pm1aEvtBlk: 0x600, resetValue: 6, iapcBootArch: 7 });
    expect(fadt.resetReg).toEqual({ space: 1, bitWidth: 8, bitOffset: 0, accessSize: 1, address: 0xcf9 });
  });

  it("list further tables in both roots", () => {
    const extra = acpiTable("TEST", 1, Uint8Array.of(1, 2, 3));
    const more = buildAcpiTables({ address: 0x7f000000, apicIds: [0], tables: [extra] });
    expect(more.tables.map((table) => table.signature)).toEqual([
      "FACS",
      "DSDT",
      "FACP",
      "APIC",
      "TEST",
      "RSDT",
      "XSDT",
    ]);
    expect(more.tables.at(-1)!.bytes.length).toBe(36 + 3 * 8);
  });

  it("refuses impossible places and names", () => {
    expect(() => buildAcpiTables({ address: 8, apicIds: [0] })).toThrowError(
      expect.objectContaining({ code: "bad-config" }),
    );
    expect(() => buildAcpiTables({ address: 0xe0000, apicIds: [] })).toThrow("processors");
    expect(() => simpleDevice({ name: "lower", hid: "PNP0501" })).toThrow("not an ACPI name");
    expect(() => aml.eisaId("PNP05")).toThrow("hex digits");
  });
});

describe("AML encoder", () => {
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

  it("encodes the forms of the specification", () => {
    expect(hex(aml.integer(0))).toBe("00");
    expect(hex(aml.integer(0x1234))).toBe("0b3412");
    expect(hex(aml.integer(0x1_0000_0000n))).toBe("0e0000000001000000");
    expect(hex(aml.eisaId("PNP0501"))).toBe("0c41d00501");
    expect(hex(aml.nameString("\\_SB.PCI0.S1"))).toBe("5c2f035f53425f5043493053315f5f");
    expect(hex(aml.name("FOO", aml.string("hi")))).toBe("08464f4f5f0d686900");
    // A PkgLength of two bytes from 63 bytes of contents on.
    expect(hex(aml.buffer(new Uint8Array(60))).slice(0, 8)).toBe("113f0a3c");
    expect(hex(aml.buffer(new Uint8Array(61))).slice(0, 10)).toBe("1141040a3d");
  });
});

const iasl = spawnSync("iasl", ["-v"]).error ? undefined : "iasl";
if (!iasl)
  console.warn("SKIPPED: iasl (Debian package acpica-tools) is not installed; the ACPI tables are not cross-checked");

describe.skipIf(!iasl)("iasl", () => {
  const run = (dir: string, ...args: string[]) => {
    const result = spawnSync("iasl", args, { cwd: dir, encoding: "utf8", timeout: 20_000 });
    return `${result.stdout}${result.stderr}`;
  };

  it("disassembles and recompiles the DSDT without an error or warning, to the same bytes", () => {
    const dir = mkdtempSync(join(tmpdir(), "acpi-"));
    try {
      const tested = buildAcpiTables({
        address: 0xe0000,
        apicIds: [0, 1, 2, 3],
        serialPorts: COM_PORTS,
        devices: [
          mmioDevice({ name: "VR00", hid: "LNRO0005", uid: 0, base: 0xfeb00000, length: 0x1000, gsi: 16 }),
          simpleDevice({
            name: "TST0",
            hid: "QEMU0002",
            resources: [resources.interrupt(20, { trigger: "edge", shared: true })],
            more: [
              aml.operationRegion("REG", aml.RegionSpace.SystemIo, aml.integer(0x510), aml.integer(4)),
              aml.field("REG", 1, [
                { name: "SEL", bits: 16 },
                { name: "", bits: 8 },
                { name: "DATA", bits: 8 },
              ]),
              aml.method(
                "GET",
                { argumentCount: 1, serialized: true },
                aml.store(aml.arg(0), aml.nameString("SEL")),
                aml.notify("COM1", 0x80),
                aml.store(aml.nameString("DATA"), aml.local(0)),
                aml.ret(aml.local(0)),
              ),
            ],
          }),
        ],
      });
      const dsdt = tested.tables.find((table) => table.signature === "DSDT")!.bytes;
      writeFileSync(join(dir, "dsdt.aml"), dsdt);
      run(dir, "-d", "dsdt.aml");
      const source = readFileSync(join(dir, "dsdt.dsl"), "utf8");
      expect(source).toContain('Name (_HID, EisaId ("PNP0501")');
      expect(source).toMatch(/IO \(Decode16,\s+0x03F8,/);
      expect(source).toMatch(/Memory32Fixed \(ReadWrite,\s+0xFEB00000,/);
      expect(source).toMatch(/Interrupt \(ResourceConsumer, Level, ActiveHigh, Exclusive/);
      expect(source).toMatch(/Name \(\\?_S5/);
      const output = run(dir, "-ve", "-on", "-p", "again", "dsdt.dsl");
      expect(output).not.toMatch(/^Error|^Warning/m);
      const again = readFileSync(join(dir, "again.aml"));
      // The compiler's own name and version in the header differ, so compare what follows it.
      expect(again.subarray(36).equals(Buffer.from(dsdt.subarray(36)))).toBe(true);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it.each(["FACP", "APIC", "FACS", "RSDT", "XSDT"])("reads the %s as meant", (signature) => {
    const dir = mkdtempSync(join(tmpdir(), "acpi-"));
    try {
      writeFileSync(join(dir, "t.aml"), find(signature).bytes);
      expect(run(dir, "-d", "t.aml")).not.toMatch(/Error|Warning|Invalid|incorrect/i);
      const text = readFileSync(join(dir, "t.dsl"), "utf8");
      expect(text).not.toMatch(/\*\*\*\*|Invalid|Unknown|should be/i);
      if (signature === "FACP") {
        expect(text).toMatch(/SCI Interrupt : 0009/);
        expect(text).toMatch(/32-bit PM Timer \(V1\) : 1/);
        expect(text).toMatch(/Reset Register Supported \(V2\) : 1/);
        expect(text).toMatch(/Value to cause reset : 06/);
      }
      if (signature === "APIC") {
        expect(text.match(/\[Processor Local APIC\]/g)).toHaveLength(3);
        expect(text.match(/\[Processor Local x2APIC\]/g)).toHaveLength(1);
        expect(text.match(/\[Interrupt Source Override\]/g)).toHaveLength(2);
      }
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

describe("MP tables", () => {
  it("have the counts and checksums of the specification", () => {
    const { bytes } = buildMpTables({ address: 0xf0000, apicIds: [0, 1, 300] });
    const pointer = decode(MpFloatingPointer, bytes);
    expect(pointer).toMatchObject({ signature: "_MP_", tableAddress: 0xf0010, length: 1, revision: 4 });
    expect(checksum(bytes.subarray(0, 16))).toBe(0);
    const header = decode(MpHeader, bytes, 16);
    expect(header).toMatchObject({ signature: "PCMP", revision: 4, localApicAddress: 0xfee00000 });
    expect(header.length).toBe(bytes.length - 16);
    expect(checksum(bytes.subarray(16))).toBe(0);
    // Walk the entries by their sizes; the walk must end exactly at the end.
    const counts = [0, 0, 0, 0, 0];
    let at = 16 + 44;
    let entries = 0;
    while (at < bytes.length) {
      counts[bytes[at]]++;
      at += bytes[at] === 0 ? 20 : 8;
      entries++;
    }
    expect(at).toBe(bytes.length);
    expect(entries).toBe(header.entryCount);
    expect(counts).toEqual([2, 1, 1, 15, 2]);
  });
});
