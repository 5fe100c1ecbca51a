/**
 * Where a KVM without hardware support differs from a processor in the programs that both engines run. Each `id` stands in
 * DIVERGENCES.md with the reason. Every line that is not listed must be equal, and what is listed must come: when a host
 * has learned something, its entry is to go.
 */
export interface Divergence {
  readonly id: string;
  readonly program: string;
  /** The translator's lines that this is about. */
  readonly line: RegExp;
  /** What stands in place of fields; several divergences may meet in a line. A frame in brackets belongs to a field. */
  readonly fields?: readonly (readonly [ours: string | RegExp, theirs: string | RegExp])[];
  /** What stands in place of the line. */
  readonly becomes?: ((ours: string) => string) | RegExp;
  /** It depends on the host's features or on time, and need not come. */
  readonly sometimes?: true;
  /** It comes from what CPUID says, which is the host's: KVM with hardware support has it, too. */
  readonly everywhere?: true;
}

/** A program that such a KVM does not bring to its end. */
export interface EarlyEnd {
  readonly id: string;
  readonly program: string;
  /** Lines that come before. */
  readonly lines: number;
  readonly end: "triple-fault";
}

export const EARLY_ENDS: readonly EarlyEnd[] = [
  { id: "task-gates", program: "x86-core/tasks", lines: 6, end: "triple-fault" },
  { id: "paging-32", program: "paging", lines: 1, end: "triple-fault" },
  { id: "paging-32", program: "x86-core/paging32", lines: 1, end: "triple-fault" },
];

/** Results of user code: an exception, `ok` or a vector, and perhaps a frame. */
const ANY = /^(ok|[0-9a-f]+(\(\w+\))?(@\w+)?)(\[.*)?$/;
const UNDEFINED = /^6(\[.*)?$/;
/** The frame of interrupted code that was no virtual-8086 code: no VM, no segments. */
const NO_VM = / (0|6|d\(\w+\)) \[\w+,\w+,(24)?[0-9a-f]{1,4},\w+,900,0,0,0,0\]/;

const int: Omit<Divergence, "program" | "line"> = { id: "int-user", fields: [[/^ok(\[.*)?$/, UNDEFINED]] };

export const DIVERGENCES: readonly Divergence[] = [
  // --- 32-bit programs: what they do at CPL 3 ---
  { id: "user-32", program: "x86-core/segments", line: /^mov \ws cpl=3/, fields: [["okA", "6"]] },
  {
    id: "user-32",
    program: "x86-core/segments",
    line: /^(lar|lsl|verr|verw) cpl=3/,
    fields: [
      ["ok", "6"],
      [/^cx=\w+Z$/, "cx=5555aaaa-"],
    ],
  },
  { id: "user-32", program: "x86-core/gates", line: /^(jmp|call|int|own) cpl=3/, fields: [[ANY, UNDEFINED]] },
  {
    id: "user-32",
    program: "x86-core/gates",
    line: /^(retf|retf8|iret) [cs]s=\w+ cpl=0/,
    fields: [[/^ok\[5002,(1b|43),/, UNDEFINED]],
  },
  { id: "user-32", program: "x86-core/gates", line: /^(retf|retf8|iret) [cs]s=\w+ cpl=3/, fields: [[ANY, UNDEFINED]] },
  { id: "user-32", program: "x86-core/limits", line: /^stack offset=/, fields: [["ok", "6"]] },
  { id: "user-32", program: "x86-core/debug", line: /^user /, becomes: /^user .*( 6@\w+)+ eax=/ },
  { id: "virtual-8086", program: "x86-core/vm86", line: / iopl=[03] | cpl=0 /, becomes: NO_VM },
  { id: "user-32", program: "x86-core/vm86", line: /^iret to cpl=3/, fields: [[/^ok/, UNDEFINED]] },

  // --- what the interpreter of supervisor code leaves out ---
  {
    id: "limit-wrap",
    program: "x86-core/limits",
    line: /^(load|store) /,
    becomes: (line) => line.replace(/ d\(0\)$/, " ok"),
  },
  {
    id: "trap-shadow",
    program: "x86-core/debug",
    line: /^step mov ss/,
    becomes: (line) => line.replace(" 1@5/4000", " 1@4/4000 1@5/4000").replace(" 1@b", " 1@8/4000 1@a/4000 1@b"),
  },
  {
    id: "trap-shadow",
    program: "x86-core/debug",
    line: /^step pop ss/,
    becomes: (line) => line.replace(" 1@3", " 1@2/4000 1@3"),
  },
  { id: "trap-repeat", program: "x86-core/debug", line: /^step rep/, becomes: (line) => line.replace(" 1@5/4000", "") },
  {
    id: "data-breakpoints",
    program: "x86-core/debug",
    line: /^[rwm]\d kind=[13] /,
    becomes: (line) => line.replace(/ 1 =\w+ =\w+/g, " 80"),
  },
  {
    id: "data-breakpoints",
    program: "x86-core/debug",
    line: /^stosb /,
    becomes: (line) => line.replace(/ 1@\w+\/4/g, ""),
  },
  {
    id: "interrupts-late",
    program: "x86-core/debug",
    line: /^(interrupt|two|second) /,
    becomes: /^(interrupt|two|second)[a-z ]*( [9a]1@\w+)? 80@[6be] eax=\w+$/,
  },

  // --- 64-bit programs ---
  { ...int, program: "x86-core/paging64", line: /^marks / },
  { id: "int-user", program: "x86-core/paging64", line: / [rwmx]/, fields: [[/^[rwmx]\+$/, /^[rwmx]:6$/]] },
  {
    id: "accessed",
    program: "x86-core/paging64",
    line: /^(page|marks) /,
    fields: [
      ["pml4=27", "pml4=7"],
      ["pdpt=27", "pdpt=7"],
      ["pd=27", "pd=7"],
    ],
  },
  {
    id: "pages-1g",
    program: "x86-core/paging64",
    line: /^(page .* level=4|marks .* large=2) /,
    fields: [
      [/^[rwmx](\+|[0-9a-f]+)$/, /^(r[9d]|[wm][bf]|x1?[9d])$/],
      [/^pdpt=[ae][1357]$/, /^pdpt=8[1357]$/],
      ["ok", /^e\((1?[9d]|[bf])\)@20001000000$/],
    ],
    sometimes: true,
    everywhere: true,
  },
  {
    id: "address-width",
    program: "x86-core/paging64",
    line: /^reserved level=[0124] bit=(2[89a-f]|3[0-3]) /,
    fields: [
      ["r9", "r0"],
      [/^[wm]b$/, /^[wm]2$/],
      ["x19", "x10"],
      ["rd", "r4"],
      [/^[wm]f$/, /^[wm]6$/],
      ["x1d", "x14"],
    ],
    sometimes: true,
    everywhere: true,
  },
  {
    id: "address-width",
    program: "x86-core/paging64",
    line: /^reserved level=[35] bit=(2[89a-f]|3[0-3]) /,
    fields: [
      ["r9", "r+"],
      [/^[wm]b$/, /^[wm]\+$/],
      ["rd", /^r(\+|:6)$/],
      [/^[wm]f$/, /^[wm](\+|:6)$/],
    ],
    sometimes: true,
    everywhere: true,
  },
  {
    id: "crossing-writes",
    program: "x86-core/paging64",
    line: /^crossing /,
    fields: [[/^memory=e{16}$/, /^memory=[1-8]+e+$/]],
  },
  {
    id: "iretq-checks",
    program: "x86-core/long",
    line: /^iretq cpl=/,
    fields: [
      ["d(40)", /^(b\(40\)|d\(0\)|(ok|6|e\(15\)@11a010)\[.*)$/],
      [/^(ok|e\(15\)@11a010)\[/, /^(d\(40\)$|ok\[|6\[|e\(15\)@11a010\[)/],
    ],
  },
  { id: "iretd", program: "x86-core/long", line: /^iretd /, fields: [[ANY, "d(0)"]] },
  {
    id: "iretq-checks",
    program: "x86-core/long",
    line: /^iretq ss /,
    fields: [
      ["d(40)", "c(40)"],
      ["d(8)", /^ok\[.*,8\]$/],
      ["d(40)", /^(6|ok\[.*,40\]|e\(15\)@11a010)$/],
    ],
  },
  { ...int, program: "x86-core/long", line: /^(iretq ss|iretq flags|retfq|sysenter|sysexit|opcode|callf|jmpf) / },
  {
    id: "iretq-canonical",
    program: "x86-core/long",
    line: /^iretq rip /,
    becomes: (line) => line.replace(/ to=(\w+) d\(0\) rip=0$/, " to=$1 d(0) rip=$1"),
  },
  {
    id: "upper-half",
    program: "x86-core/long",
    line: /^iretq rip to=ffff800000000000 /,
    fields: [["e(14)@ffff800000000000", "e(1d)@ffff800000000000"]],
    sometimes: true,
  },
  {
    id: "iretq-flags",
    program: "x86-core/long",
    line: /^iretq flags /,
    fields: [
      ["rflags=243cd7", "rflags=240cd7"],
      ["rflags=4002", "rflags=2"],
      ["d(0)", "6"],
    ],
  },
  {
    id: "syscall-user",
    program: "x86-core/long",
    line: /^syscall cpl=3 /,
    becomes: /^syscall cpl=3 sce=[01] e\(15\)@11a040 \[/,
  },
  {
    id: "sysret",
    program: "x86-core/long",
    line: /^sysret cpl=0 /,
    fields: [
      [/^e\(15\)@\w+\[.*,1b,/, /^(6\[.*,2b,|e\(1[4d]\)@\w+\[.*,2b,|d\(0\)$)/],
      [/^(ok|e\(14\)@\w+)\[.*,2b,43cd7,/, /^(6|e\(1[4d]\)@\w+)\[.*,2b,40cd7,/],
    ],
  },
  { id: "sysenter-user", program: "x86-core/long", line: /^sysenter cpl=3 msr=0/, fields: [[/^d\(0\)\[/, /^6\[/]] },
  {
    id: "cr0-high",
    program: "x86-core/long",
    line: /^cr bit=[23]/,
    becomes: (line) => line.replace(" cr0 d(0)", " cr0 ok is=80010033"),
  },
  {
    id: "rdtscp",
    program: "x86-core/long",
    line: /^msr n=c0000103/,
    becomes: () => "msr n=c0000103 d(0) d(0)",
    sometimes: true,
    everywhere: true,
  },
  { id: "int-user", program: "x86-core/long", line: /^int cpl=3 type=/, becomes: /^int cpl=3 type=\w+( 6)+$/ },
  { id: "int-user", program: "x86-core/long", line: /^int cpl=3 how=/, fields: [[ANY, "6"]] },
  {
    id: "far-user",
    program: "x86-core/long",
    line: /^(jmpf|callf) cpl=3 type=[0-9a-f] /,
    becomes: /^\w+ cpl=3 type=\w( 6)+$/,
  },
  { id: "far-call-stack", program: "x86-core/long", line: /^callf cpl=3/, fields: [["e(15)@11a040", "e(7)@1197fc"]] },
  {
    id: "ltr-twice",
    program: "x86-core/long",
    line: /^ltr type=1 /,
    becomes: () => "ltr type=1 ok now=83 b(40) now=1",
  },
  {
    id: "canonical-crossing",
    program: "x86-core/long",
    line: /^(load|store|stack|lods) at=7ffffffffffc /,
    fields: [[/^[cd]\(0\)$/, /^e\([02]\)@7ffffffffffc$/]],
  },
  {
    id: "double-faults",
    program: "x86-core/long",
    line: /^(ud|de|gp|pf|bp) cpl=[03] how=/,
    fields: [
      [/^([bcd]\(\w+\)|e\(2\)@4ffffffff8)$/, "8(0)"],
      [/^([bcd]\(\w+\)|8\(0\))$/, /^([036]|d\(fff8\)|e\([04]\)@6000000000)$/],
    ],
  },
  { id: "int3-rip", program: "x86-core/long", line: /^bp cpl=3 how=/, fields: [["rip=0", "rip=1"]] },
];

/** What is listed for a program on a host of this kind. */
export const listedFor = (program: string, interpreted: boolean) => ({
  divergences: DIVERGENCES.filter((entry) => entry.program === program && (interpreted || entry.everywhere)),
  early: interpreted ? EARLY_ENDS.find((entry) => entry.program === program) : undefined,
});
