/* Hardware task switches: JMP, CALL, IRET, interrupts; 16- and 32-bit TSS; what they save, load and check. */
#include "try32.h"

enum { TSS_A = 0x48, TSS_B16 = 0x50, TASK_GATE = 0x58, LDT_A = 0x60, CODE16 = 0x68, DATA16 = 0x70, SLOT2 = 0x78, TSS_FAULT = 0x80 };

struct tss16 {
  u16 link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags, ax, cx, dx, bx, sp, bp, si, di, es, cs, ss, ds, ldt;
} __attribute__((packed));
static struct tss32 a __attribute__((aligned(4096)));
/* 16-bit tasks live below 64 KiB. */
enum { LOW_CODE = 0x6000, LOW_STACK = 0x7000, LOW_TSS = 0x6800 };
static u8 a_code[256] __attribute__((aligned(256)));
static u8 a_stack[1024] __attribute__((aligned(256)));

static void fill_tss(int ring) {
  fill(&a, 0, sizeof a);
  a.esp0 = (u32)ring0_stack - 2048, a.ss0 = DATA0;
  a.eip = (u32)a_code, a.eflags = 2;
  a.eax = 0xa0, a.ecx = 0xa1, a.edx = 0xa2, a.ebx = 0xa3, a.esp = (u32)a_stack + 512, a.ebp = 0xa5, a.esi = 0xa6, a.edi = 0xa7;
  a.cs = ring ? CODE3 : CODE0;
  a.ss = a.ds = a.es = a.fs = a.gs = ring ? DATA3 : DATA0;
  a.iomap = 0x68;
}
static void slots(void) {
  gdt[TSS_A / 8] = descriptor((u32)&a, 0x67, 0x89, 0);
  gdt[TASK_GATE / 8] = gate(TSS_A, 0, 0xe5, 0);
  gdt[TSS_MAIN / 8] = descriptor((u32)&tss, sizeof tss - 1, 0x89, 0);
  __asm__ volatile("ltr %w0" ::"r"(TSS_MAIN));
  __asm__ volatile("lldt %w0" ::"r"(0));
  tss.link = 0;
}
static u32 task_register(void) {
  u32 value;
  __asm__ volatile("str %0" : "=r"(value));
  return value & 0xffff;
}
static void report(void) {
  u32 cr0;
  __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
  field("tr", task_register());
  field("busy", (gdt[TSS_A / 8] >> 41 & 1) | (gdt[TSS_MAIN / 8] >> 41 & 1) << 1 | (gdt[TSS_B16 / 8] >> 41 & 1) << 2);
  field("link", a.link);
  field("ts", cr0 >> 3 & 1);
  __asm__ volatile("clts");
}
static void registers(void) {
  print(" regs");
  const u32 r[] = {outcome.eax, outcome.ecx, outcome.edx, outcome.ebx, outcome.ebp, outcome.esi, outcome.edi};
  for (u32 i = 0; i < 7; i++) print(i ? "," : "="), print_hex(r[i]);
  print(" segs");
  const u32 s[] = {outcome.ds, outcome.es, outcome.fs, outcome.gs};
  for (u32 i = 0; i < 4; i++) print(i ? "," : "="), print_hex(s[i] & 0xffff);
}
static void frames(u32 count) {
  for (u32 i = 0; i < count; i++) {
    print(i ? "," : " [");
    print_hex(i == 2 ? without_rf(frame()[i]) : frame()[i]);
  }
  print("]");
}
static void saved(const char *name, struct tss32 *t) {
  print(name);
  u32 *p = (u32 *)t;
  /* EIP: at the new task's first instruction, or that of the old one. */
  print(p[8] == (u32)a_code ? "=new" : (p[8] & ~0xfff) == (u32)code_page ? "=old" : "=other");
  for (u32 i = 9; i < 25; i++) print(","), print_hex(i == 9 ? without_rf(p[i]) : i < 18 ? p[i] : p[i] & 0xffff);
}

/* One switch from the main task: `code` runs at `ring`. */
static void one(const char *name, int ring) {
  struct context c = flat(ring);
  c.eax = 0xe0, c.ecx = 0xe1, c.edx = 0xe2, c.ebx = 0xe3, c.ebp = 0xe5, c.esi = 0xe6, c.edi = 0xe7;
  print(name);
  enter(&c);
  print_vector();
  if (outcome.vector == 0x80) registers();
  frames(3);
  report();
}

static void switches(void) {
  static const u8 jmp_tss[] = {0xea, 0, 0, 0, 0, TSS_A, 0}, call_tss[] = {0x9a, 0, 0, 0, 0, TSS_A, 0};
  static const u8 jmp_gate[] = {0xea, 0, 0, 0, 0, TASK_GATE, 0}, call_gate[] = {0x9a, 0, 0, 0, 0, TASK_GATE | 3, 0};
  static const u8 int_gate[] = {0xcd, 0x91}, ud[] = {0x0f, 0x0b}, gp[] = {0x8e, 0xd8};
  a_code[0] = 0xcd, a_code[1] = 0x80;
  for (int ring = 0; ring < 4; ring += 3) {
    for (int to = 0; to < 4; to += 3) {
      static const struct { const char *name; const u8 *code; u32 length; } ways[] = {
          {"jmp tss", jmp_tss, 7}, {"call tss", call_tss, 7}, {"jmp gate", jmp_gate, 7}, {"call gate", call_gate, 7}, {"int", int_gate, 2}};
      for (u32 i = 0; i < 5; i++) {
        slots();
        fill_tss(to);
        idt[0x91] = gate(TSS_A, 0, 0xe5, 0);
        put_code(ways[i].code, ways[i].length);
        one(ways[i].name, ring);
        saved(" main", &tss);
        line();
      }
      /* An exception through a task gate, with an error code on the new stack. */
      u64 old = idt[13];
      slots();
      fill_tss(to);
      idt[13] = gate(TSS_A, 0, 0x85, 0);
      put_code(gp, 2);
      struct context c = flat(ring);
      c.eax = 0xfff8;
      print("gp gate");
      enter(&c);
      print_vector();
      field("sp", outcome_esp);
      field("error", *(u32 *)((u32)a_stack + 508));
      report();
      line();
      idt[13] = old;
    }
  }
  /* There and back: CALL, then IRET in the new task; the main task goes on to its INT 0x80. */
  for (int to = 0; to < 4; to += 3) {
    slots();
    fill_tss(to);
    a_code[0] = 0x90, a_code[1] = 0xcf;
    put_code(call_gate, 7);
    one("call and iret", 0);
    saved(" a", &a);
    line();
  }
  slots();
  fill_tss(0);
  put_code(int_gate, 2);
  one("int and iret", 3);
  saved(" a", &a);
  line();
  a_code[0] = 0xcd, a_code[1] = 0x80;
}

/* Tasks for the exceptions 10-13, since those of a new task may find no stack. */
static struct tss32 faults[4] __attribute__((aligned(4096)));
static u8 fault_stacks[4][256] __attribute__((aligned(256)));
static u64 old_gates[4];
static void fault_tasks(void) {
  for (u32 i = 0; i < 4; i++) {
    struct tss32 *f = &faults[i];
    fill(f, 0, sizeof *f);
    fill(fault_stacks[i], 0, 256);
    f->eip = (u32)a_code, f->eflags = 2, f->esp = (u32)fault_stacks[i] + 128, f->iomap = 0x68;
    f->cs = CODE0, f->ss = f->ds = f->es = f->fs = f->gs = DATA0;
    gdt[TSS_FAULT / 8 + i] = descriptor((u32)f, 0x67, 0x89, 0);
    idt[10 + i] = gate(TSS_FAULT + i * 8, 0, 0x85, 0);
  }
}
static void fault_report(void) {
  for (u32 i = 0; i < 4; i++) {
    if (!(gdt[TSS_FAULT / 8 + i] >> 41 & 1)) continue;
    print(" fault=");
    print_hex(10 + i);
    print("(");
    print_hex(*(u32 *)(fault_stacks[i] + 124));
    print(")");
    field("from", faults[i].link);
  }
  saved(" a", &a);
}

/* Checks before and after the point of no return. */
static void checks(void) {
  for (u32 i = 0; i < 4; i++) old_gates[i] = idt[10 + i];
  static const u8 jmp_tss[] = {0xea, 0, 0, 0, 0, TSS_A, 0};
  for (u32 which = 0; which < 34; which++) {
    slots();
    fill_tss(0);
    fault_tasks();
    put_code(jmp_tss, 7);
    switch (which) {
      case 0: gdt[TSS_A / 8] = descriptor((u32)&a, 0x66, 0x89, 0); break;
      case 1: gdt[TSS_A / 8] = descriptor((u32)&a, 0x67, 0x09, 0); break;
      case 2: gdt[TSS_A / 8] = descriptor((u32)&a, 0x67, 0x8b, 0); break;
      case 3: a.ldt = 0xfff8; break;
      case 4: a.ldt = DATA0; break;
      case 5: a.ldt = LDT_A | 4; break;
      case 6: gdt[LDT_A / 8] = descriptor((u32)gdt, 0x7f, 0x02, 0), a.ldt = LDT_A; break;
      case 7: gdt[LDT_A / 8] = descriptor((u32)gdt, 0x7f, 0x82, 0), a.ldt = LDT_A, a.ds = DATA0 | 4; break;
      case 8: a.cs = 0; break;
      case 9: a.cs = DATA0; break;
      case 10: a.cs = 0xfff8; break;
      case 11: a.cs = CODE3 & ~3; break;
      case 12: a.cs = SLOT2, gdt[SLOT2 / 8] = descriptor(0, 0xfffff, 0x1b, 0xc); break;
      case 13: a.cs = SLOT2, gdt[SLOT2 / 8] = descriptor(0, 0xfffff, 0x9e, 0xc); break;
      case 14: a.cs = SLOT2 | 3, gdt[SLOT2 / 8] = descriptor(0, 0xfffff, 0x9e, 0xc), a.ss = DATA3; break;
      case 15: a.ss = 0; break;
      case 16: a.ss = CODE0; break;
      case 17: a.ss = DATA3; break;
      case 18: a.ss = SLOT2, gdt[SLOT2 / 8] = descriptor(0, 0xfffff, 0x13, 0xc); break;
      case 19: a.ss = 0xfff8; break;
      case 20: a.ds = 0; break;
      case 21: a.ds = 0xfff8; break;
      case 22: a.es = SLOT2, gdt[SLOT2 / 8] = descriptor(0, 0xfffff, 0x98, 0xc); break;
      case 23: a.fs = SLOT2, gdt[SLOT2 / 8] = descriptor(0, 0xfffff, 0x13, 0xc); break;
      case 24: a.cs = CODE3, a.ss = DATA3, a.ds = DATA0; break;
      case 25: a.gs = TSS_MAIN; break;
      case 26: a.trap = 1; break;
      case 27: a.eflags = 0x4002; break;
      case 28: a.eflags = 0x10102; break;
      case 29: a.eflags = 0x3ed7; break;
      case 30: gdt[TSS_A / 8] = descriptor((u32)&a, 0x67, 0xe9, 0); break;
      case 31: a.cs = CODE3 - 1; break;
      case 32: a.cs = SLOT2, gdt[SLOT2 / 8] = descriptor(0, 0xff, 0x9b, 4); break;
      case 33: a.ds = SLOT2 | 3, gdt[SLOT2 / 8] = descriptor(0, 0xfffff, 0x93, 0xc); break;
    }
    print("check");
    field("n", which);
    one("", 0);
    fault_report();
    line();
  }
  for (u32 i = 0; i < 4; i++) idt[10 + i] = old_gates[i];
  /* IRET to a task: the back link. */
  static const u32 links[] = {0, DATA0, TSS_A, 0xfff8, TSS_A | 4};
  for (u32 i = 0; i < 6; i++) {
    slots();
    fill_tss(0);
    gdt[TSS_A / 8] = descriptor((u32)&a, 0x67, i == 5 ? 0x8b : 0x89, 0);
    CODE(0xcf);
    tss.link = i == 5 ? TSS_A : links[i];
    struct context c = flat(0);
    c.eflags = 0x4002;
    print("iret");
    field("link", tss.link);
    enter(&c);
    print_vector();
    frames(3);
    report();
    field("flags", tss.eflags);
    line();
  }
}

/* Tasks of 16 bits. */
static void narrow(void) {
  struct tss16 *b = (struct tss16 *)LOW_TSS;
  u8 *low = (u8 *)LOW_CODE;
  static const u8 jmp_tss[] = {0xea, 0, 0, 0, 0, TSS_B16, 0}, call_tss[] = {0x9a, 0, 0, 0, 0, TSS_B16, 0};
  gdt[CODE16 / 8] = descriptor(0, 0xfffff, 0x9b, 8);
  gdt[DATA16 / 8] = descriptor(0, 0xffff, 0x93, 0);
  for (u32 i = 0; i < 4; i++) {
    slots();
    fill(b, 0, sizeof *b);
    gdt[TSS_B16 / 8] = descriptor(LOW_TSS, i == 3 ? 0x2a : 0x2b, 0x81, 0);
    b->ip = LOW_CODE, b->flags = 0x0002, b->sp = LOW_STACK;
    b->ax = 0xb0, b->cx = 0xb1, b->dx = 0xb2, b->bx = 0xb3, b->bp = 0xb5, b->si = 0xb6, b->di = 0xb7;
    b->es = b->ss = b->ds = DATA0, b->cs = i == 2 ? CODE16 : CODE0;
    low[0] = i == 1 ? 0xcf : 0xcd, low[1] = 0x80;
    put_code(i == 1 ? call_tss : jmp_tss, 7);
    if (i == 1) b->flags |= 0x4000;
    one("16-bit", 0);
    field("link", b->link);
    line();
  }
  /* From a 16-bit task into a 32-bit one: the halves that are saved. */
  slots();
  fill(b, 0, sizeof *b);
  fill_tss(0);
  gdt[TSS_B16 / 8] = descriptor(LOW_TSS, 0x2b, 0x81, 0);
  __asm__ volatile("ltr %w0" ::"r"(TSS_B16));
  static const u8 jmp_a[] = {0xea, 0, 0, 0, 0, TSS_A, 0};
  put_code(jmp_a, 7);
  one("from 16-bit", 0);
  u16 *p = (u16 *)b;
  for (u32 i = 7; i < 22; i++) print(i == 7 ? " saved=" : ","), print_hex(p[i]);
  line();
}

int main(void) {
  set_up();
  print("tasks\n");
  switches();
  checks();
  narrow();
  finish();
}
