/**
 * Where QEMU 7.2 differs from the manual: for one program, turns QEMU's line into the manual's. Each entry stands in
 * DIVERGENCES.md by its `id`, with the page of the manual. `expected` lists exact lines that QEMU gets wrong.
 */
export interface Divergence {
  readonly id: string;
  readonly program: string;
  correct(theirs: string, ours: string): string;
}

/** Lines matched by `pattern` are taken as ours when the rest of the rule holds. */
const rewrite = (id: string, program: string, correct: (theirs: string) => string): Divergence => ({
  id,
  program,
  correct,
});
/** QEMU's field is wrong in lines that start so: each pair is theirs and the manual's. */
const replace = (
  id: string,
  program: string,
  start: string,
  pairs: readonly (readonly [string, string])[],
): Divergence =>
  rewrite(id, program, (line) =>
    line.startsWith(start) ? pairs.reduce((text, [from, to]) => text.replaceAll(from, to), line) : line,
  );

const pageFaultCode = (code: string): string => {
  const value = Number.parseInt(code, 16);
  return (value & 8 ? value | 1 : value).toString(16);
};

const isCanonical = (address: bigint): boolean => BigInt.asUintN(64, BigInt.asIntN(48, address)) === address;
/** Accesses of long.c to addresses that are not canonical, or cross into such: #SS by the stack, else #GP. */
function canonicalLine(line: string): string {
  const match = /^(load|store|stack|jump|push|call|lods|clflush) at=(\w+) /.exec(line);
  if (!match) return line;
  const [, form] = match;
  const stack = form === "stack" || form === "push";
  const first = BigInt(`0x${match[2]}`) - (form === "push" ? 8n : 0n);
  const bytes = form === "jump" || form === "call" || form === "clflush" ? 1n : 8n;
  if (isCanonical(first) && isCanonical(BigInt.asUintN(64, first + bytes - 1n))) return line;
  return `${form} at=${match[2]} ${stack ? "c" : "d"}(0) rip=${form === "push" ? 3 : 0}`;
}

/** Offsets that limits.c tries. */
const OFFSETS = [0, 0xffc, 0xffd, 0xfff, 0x1000, 0x1001, 0xfffc, 0xfffd, 0xffff, 0x10000, 0xfffffffc, 0xffffffff];
/** Accesses of four bytes in segments with limit FFF of every type (SDM vol. 3, 5.3 and 5.5). */
function limitLine(line: string): string {
  const stack = /^stack offset=(\w+)/.exec(line);
  if (stack) return `stack offset=${stack[1]} ${Number.parseInt(stack[1], 16) + 3 <= 0xfff ? "ok" : "c(0)"}`;
  const match = /^(load|store) type=(\w+) big=(\d)/.exec(line);
  if (!match) return line;
  const type = Number.parseInt(match[2], 16);
  const [code, directionOrConforming, readWrite] = [type & 8, type & 4, type & 2];
  const top = match[3] === "1" ? 0xffffffff : 0xffff;
  const results = OFFSETS.map((offset) => {
    // Code that cannot be read cannot be loaded into FS at all.
    if (code && !readWrite) return "d(40)";
    if (match[1] === "store" && (code || !readWrite)) return "d(0)";
    const inside = !code && directionOrConforming ? offset > 0xfff && offset + 3 <= top : offset + 3 <= 0xfff;
    return inside ? "ok" : "d(0)";
  });
  return `${match[0]} ${results.join(" ")}`;
}

export const DIVERGENCES: readonly Divergence[] = [
  ...["paging32", "paging64"].flatMap((program) => [
    rewrite("rsvd-present", program, (line) =>
      line.replace(/ ([rwmx])([0-9a-f]+)\b(?!=)/g, (_all, kind, code) => ` ${kind}${pageFaultCode(code)}`),
    ),
    rewrite("rmw-fault", program, (line) => line.replace(/ (w)(\S+) m\S+/g, " $1$2 m$2")),
  ]),
  rewrite("conforming-gate", "gates", (line) =>
    /^call cpl=3 type=[4c] to=50/.test(line)
      ? line.replace(/5002,50,2,([0-9a-f]+),23,0,0,0,0\]/g, "5002,53,2,$1,23]")
      : line,
  ),
  rewrite("int1", "gates", (line) => line.replace(/^(own cpl=[03] code=f190) 6 \[([0-9a-f]+)0,/, "$1 1 [$21,")),
  replace("stack-absent", "gates", "retf ss=1", [["b(40)", "c(40)"]]),
  replace("stack-absent", "gates", "iret ss=1", [["b(40)", "c(40)"]]),
  rewrite("task-fault-eip", "tasks", (line) =>
    line.startsWith("check") ? line.replace(/ a=(old|other)/, " a=new") : line,
  ),
  replace("task-conforming", "tasks", "check n=e ", [["fault=a(78)", "fault=a(10)"]]),
  replace("stack-absent", "tasks", "check n=12 ", [
    ["tr=88", "tr=90"],
    ["fault=b(78)", "fault=c(78)"],
  ]),
  // The trap comes before the first instruction; QEMU goes on to INT 0x80.
  rewrite("task-trap", "tasks", (line) =>
    line.replace(/^(check n=1a) ok regs=\S+ segs=\S+ \[(\w+)02,(.*) a=\w+,/, "$1 1 [$200,$3 a=new,"),
  ),
  replace("rmw-fault", "paging64", "crossing form=4 ", [["e(0)", "e(2)"]]),
  rewrite("limits", "limits", limitLine),
  {
    id: "iret-vm-user",
    program: "vm86",
    correct: (line, ours) =>
      /^iret to cpl=3 ok \[\w+3,1b,2,/.test(ours) && line.startsWith("iret to cpl=3 d(0)") ? ours : line,
  },
  rewrite("general-detect", "debug", (line) =>
    line.replace(/^general detect ok dr6=0 dr7=2400 eip=5/, "general detect 1 dr6=2000 dr7=400 eip=0"),
  ),
  replace("mov-ss-after-sti", "debug", "interrupt mov ss", [["91@7", "91@8"]]),
  replace("mov-ss-after-sti", "debug", "interrupt sti mov ss", [["91@8", "91@9"]]),
  rewrite("resume-flag", "debug", (line) => line.replace(/^(rf (ud|gp|de) .*flags=)802/, "$110802")),
  // L and D both set: QEMU takes it for 64-bit code.
  {
    id: "code-l-and-d",
    program: "long",
    correct: (line, ours) => (/ type=1[89a-f] ld=3 /.test(line) && !/ok|e\(/.test(ours) ? ours : line),
  },
  // A null SS whose RPL is not CPL.
  rewrite("null-stack-rpl", "long", (line) =>
    /^iretq ss .* cs=8/.test(line) ? line.replaceAll(/ ok (\[\w+,8,2,\w+,[13]\])/g, " d(0)") : line,
  ),
  replace("stack-absent", "long", "iretq ss", [["b(40)", "c(40)"]]),
  rewrite("iret-canonical", "long", (line) => line.replace(/^(iretq rip .* d\(0\)) rip=\w+$/, "$1 rip=0")),
  rewrite("sysexit-width", "long", (line) =>
    /^sysexit .* wide=0/.test(line)
      ? line.replace(/\[(\w+),1b/, (_all, rip) => `[${(BigInt(`0x${rip}`) & 0xffffffffn).toString(16)},1b`)
      : line,
  ),
  rewrite("sysexit-canonical", "long", (line) => line.replace(/^(sysexit cpl=0 msr=8 wide=1 case=2) .*/, "$1 d(0)")),
  rewrite("cr0-checks", "long", (line) =>
    /^cr bit=(0|1d|1f|[23].) /.test(line) ? line.replace(/ cr0 ok is=\w+/, " cr0 d(0)") : line,
  ),
  rewrite("idt-error-code", "long", (line) =>
    /^(int|ud|de|gp|pf|bp) /.test(line)
      ? line.replace(
          /\(([0-9a-f]*[26ae])\)/g,
          (_all, code) => `(${(((Number.parseInt(code, 16) >> 1) & ~7) | 2).toString(16)})`,
        )
      : line,
  ),
  rewrite("ist-stack", "long", (line) => line.replace(/^(int cpl=0.* 90 .* 90 .*) ss=0/, "$1 ss=10")),
  rewrite("far-call-stack", "long", (line) =>
    line.startsWith("callf cpl=3 type=c") ? line.replace(/(,2b,2,)(\w{6},23)/g, "$110000$2") : line,
  ),
  rewrite("clflush-fault", "long", (line) =>
    line.replace(/^clflush at=(7\w+|f\w+) ok rip=6/, "clflush at=$1 e(0)@$1 rip=0"),
  ),
  rewrite("ext", "long", (line) =>
    line.replace(
      /^(ud cpl=[03] how=[0124] [bcd])\((\w+)\)/,
      (_all, start, code) => `${start}(${(Number.parseInt(code, 16) | 1).toString(16)})`,
    ),
  ),
  rewrite("ltr-narrow", "long", (line) =>
    line.replace("ltr type=1 ok now=83 b(40) now=1", "ltr type=1 d(40) now=81 d(40) now=1"),
  ),
  rewrite("canonical", "long", canonicalLine),
  rewrite("cr8-reserved", "long", (line) =>
    /^cr bit=([4-9a-f]|[123].) /.test(line) ? line.replace(/ cr8 ok is=0$/, " cr8 d(0)") : line,
  ),
];

/** QEMU's line as the manual has it. */
export function correct(program: string, theirs: string, ours: string): string {
  return DIVERGENCES.filter((divergence) => divergence.program === program).reduce(
    (line, divergence) => divergence.correct(line, ours),
    theirs,
  );
}
