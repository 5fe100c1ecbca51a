import { describe, expect, it } from "vitest";
import { displayName, fileOptions, nbdUri, resolveBacking } from "../../src/img/support/filename.js";
import { flag, getopt, valued } from "../../src/img/support/getopt.js";
import { nestOptions, parseJsonName, parseOptions, splitOptions } from "../../src/img/support/keyval.js";
import { ordered, toHuman, toJson } from "../../src/img/support/qdict.js";
import { formatG, formatSize, parseSize } from "../../src/img/support/sizes.js";
import { bytesText, dump } from "../../src/io/format.js";

describe("sizes", () => {
  it.each<[string, bigint | string]>([
    ["0", 0n],
    ["512", 512n],
    ["1k", 1024n],
    ["1.5G", 1610612736n],
    ["0.1M", 104858n],
    ["0x1f", 31n],
    ["0x10k", 16384n],
    ["16E", "range"],
    ["15E", 15n << 60n],
    ["1GB", "invalid"],
    ["1.5", "invalid"],
    ["-1", "invalid"],
    ["", "invalid"],
    ["k", "invalid"],
    ["1 k", "invalid"],
  ])("%s is %s", (text, value) => expect(parseSize(text)).toBe(value));

  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1000, "0.977 KiB"],
    [1536, "1.5 KiB"],
    [200_704, "196 KiB"],
    [1 << 30, "1 GiB"],
    [5_136_384, "4.9 MiB"],
    [2 ** 62, "4 EiB"],
  ])("%d bytes are %s", (bytes, text) => expect(formatSize(bytes)).toBe(text));

  it("prints like %g", () => {
    expect([formatG(1234.5, 3), formatG(0.00001234, 3), formatG(100, 3), formatG(0.376595, 6)]).toEqual([
      "1.23e+03",
      "1.23e-05",
      "100",
      "0.376595",
    ]);
  });

  it("of the exerciser have three decimals", () => {
    expect([bytesText(512), bytesText(1536), bytesText(65_536), bytesText(66_846_720)]).toEqual([
      "512 bytes",
      "1.500 KiB",
      "64 KiB",
      "63.750 MiB",
    ]);
    expect(dump(new TextEncoder().encode("abc\n"), 16)).toBe("00000010:  61 62 63 0a  abc.\n");
  });
});

describe("command lines", () => {
  const spec = { short: "pf:q", long: { format: valued("f"), quiet: flag("q"), output: valued("o") } };
  it("take options anywhere, grouped, abbreviated and with or without an equals sign", () => {
    const { options, operands } = getopt(["a", "-pqf", "raw", "--form=x", "--output", "json", "b", "--", "-z"], spec);
    expect(options.map(({ key, value }) => key + value)).toEqual(["p", "q", "fraw", "fx", "ojson"]);
    expect(operands).toEqual(["a", "b", "-z"]);
  });
  it.each([
    [["-x"], "unrecognized option '-x'"],
    [["--nope"], "unrecognized option '--nope'"],
    [["--quiet=1"], "unrecognized option '--quiet=1'"],
    [["-f"], "missing argument for option '-f'"],
    [["--output"], "missing argument for option '--output'"],
  ])("%j is refused", (args, message) => expect(() => getopt(args, spec)).toThrow(message));
});

describe("option strings", () => {
  it("split at single commas", () => {
    expect(splitOptions("a=1,,2,b,c=x=y")).toEqual([
      { key: "a", value: "1,2" },
      { key: "b", value: undefined },
      { key: "c", value: "x=y" },
    ]);
    expect([...parseOptions("secret,id=s,nofoo,bar", "qom-type")]).toEqual([
      ["qom-type", "secret"],
      ["id", "s"],
      ["foo", "off"],
      ["bar", "on"],
    ]);
  });
  it("nest by dots, and refuse contradictions and inherited names", () => {
    expect(
      JSON.parse(JSON.stringify(nestOptions(parseOptions("driver=raw,file.driver=nbd,file.server.host=h")))),
    ).toEqual({
      driver: "raw",
      file: { driver: "nbd", server: { host: "h" } },
    });
    expect(() => nestOptions(parseOptions("file=x,file.driver=y"))).toThrow("Cannot mix");
    nestOptions(parseOptions("__proto__.polluted=1"));
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    parseJsonName('json:{"__proto__":{"polluted":1}}');
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe("file names", () => {
  it.each([
    ["disk.qcow2", { driver: "file", filename: "disk.qcow2" }],
    ["file:a:b", { driver: "file", filename: "a:b" }],
    ["./a:b", { driver: "file", filename: "./a:b" }],
    ["nbd:h:1:exportname=x y", { driver: "nbd", uri: "nbd://h:1/x%20y" }],
    ["nbd:unix:/s", { driver: "nbd", uri: "nbd+unix:///?socket=%2Fs" }],
    ["https://h/x", { driver: "https", url: "https://h/x" }],
  ])("%s is %j", (name, options) => expect({ ...fileOptions(name) }).toEqual(options));

  it("of backing files are relative to the image", () => {
    expect(resolveBacking("b", "dir/o")).toBe("dir/b");
    expect(resolveBacking("/b", "dir/o")).toBe("/b");
    expect(resolveBacking("nbd://h", "dir/o")).toBe("nbd://h");
  });

  it("are shown plain where that says everything", () => {
    const file = { driver: "file", filename: "a" };
    expect(displayName(file, "qcow2", {})).toBe("a");
    expect(displayName(file, "raw", { offset: 5 })).toBe(
      'json:{"offset": 5, "driver": "raw", "file": {"driver": "file", "filename": "a"}}',
    );
    expect(nbdUri({ driver: "nbd", host: "h", port: "7", export: "e" })).toBe("nbd://h:7/e");
  });
});

describe("dictionaries", () => {
  it("come in QEMU's order", () => {
    const keys = [
      "virtual-size",
      "filename",
      "cluster-size",
      "format",
      "actual-size",
      "dirty-flag",
      "backing-filename-format",
    ];
    expect(ordered(Object.fromEntries(keys.map((key) => [key, 1]))).map(([key]) => key)).toEqual([
      "backing-filename-format",
      "virtual-size",
      "filename",
      "cluster-size",
      "format",
      "actual-size",
      "dirty-flag",
    ]);
  });
  it("are printed with four spaces, or indented", () => {
    expect(toJson({ a: [1, "é"], b: {} })).toBe(
      '{\n    "a": [\n        1,\n        "\\u00E9"\n    ],\n    "b": {\n    }\n}',
    );
    expect(toHuman({ "a-b": [true, { c: 1 }] }, 1)).toBe(
      "    a b:\n        [0]: true\n        [1]:\n            c: 1\n",
    );
  });
});
