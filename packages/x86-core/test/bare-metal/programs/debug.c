/* Single steps, breakpoints, interrupts and NMI: where they come in the stream of instructions. */
#include "try32.h"

#define SET_DR(n, v) __asm__ volatile("mov %0, %%db" #n ::"r"(v))
#define GET_DR(n)                                    \
  ({                                                 \
    u32 v_;                                          \
    __asm__ volatile("mov %%db" #n ", %0" : "=r"(v_)); \
    v_;                                              \
  })
#define SET_CR4(v) __asm__ volatile("mov %0, %%cr4" ::"r"(v))

static u8 data[64] __attribute__((aligned(64)));

/* Goes on after each exception or interrupt but 0x80, from where it happened. */
static void trace_from(const char *name, struct context c, u32 most) {
  print(name);
  u32 ring = c.cs & 3;
  for (u32 i = 0; i < most; i++) {
    SET_DR(6, 0xffff0ff0);
    u32 dr7 = GET_DR(7);
    enter(&c);
    print(" ");
    print_hex(outcome.vector);
    u32 *f = frame();
    print("@");
    print_hex(f[0] - (u32)code_page);
    if (outcome.vector == 1) {
      print("/");
      print_hex(GET_DR(6) & 0xe00f);
    }
    if (outcome.vector == 0x80) break;
    c.eip = f[0], c.cs = f[1], c.eflags = f[2];
    if (ring) c.esp = f[3], c.ss = f[4];
    else c.esp = (u32)(f + 3) - (u32)&outcome + outcome_esp;
    c.eax = outcome.eax, c.ecx = outcome.ecx, c.edx = outcome.edx, c.ebx = outcome.ebx, c.ebp = outcome.ebp, c.esi = outcome.esi, c.edi = outcome.edi;
    c.ds = outcome.ds & 0xffff, c.es = outcome.es & 0xffff, c.fs = outcome.fs & 0xffff, c.gs = outcome.gs & 0xffff;
    /* The manual: a handler of an instruction breakpoint sets RF itself. */
    if (outcome.vector == 1 && !(GET_DR(6) & 0x4000) && (GET_DR(6) & 0xf)) c.eflags |= 0x10000;
    SET_DR(7, dr7);
  }
  field("eax", outcome.eax);
  line();
}

static void steps(int ring) {
  static const struct { const char *name; u8 code[16]; } codes[] = {
      {"nops", {0x90, 0x90, 0x40, 0x90}},
      {"jump", {0xeb, 0x01, 0x90, 0x75, 0x00, 0x74, 0x00, 0x90}},
      {"mov ss", {0x8c, 0xd2, 0x8e, 0xd2, 0x90, 0x90, 0x8e, 0xd2, 0x8e, 0xd2, 0x90}},
      {"pop ss", {0x16, 0x17, 0x90, 0x90}},
      {"lss", {0x90, 0x90, 0x90}},
      {"pushf popf", {0x9c, 0x58, 0x50, 0x9d, 0x90}},
      {"popf clears", {0x6a, 0x02, 0x9d, 0x90, 0x90}},
      {"rep", {0xb9, 3, 0, 0, 0, 0xf3, 0xac, 0x90}},
      {"ud", {0x90, 0x0f, 0x0b}},
      {"int", {0x90, 0xcd, 0x91, 0x90}},
      {"int3", {0xcc, 0x90}},
      {"cpuid", {0x31, 0xc0, 0x31, 0xc9, 0x0f, 0xa2, 0x31, 0xc0, 0x90}},
      {"segments", {0x8c, 0xda, 0x8e, 0xda, 0x90}},
      {"call ret", {0xe8, 1, 0, 0, 0, 0x90, 0x83, 0xc4, 0x04, 0x90}}};
  for (u32 i = 0; i < sizeof codes / sizeof *codes; i++) {
    put_code(codes[i].code, 14);
    for (u32 k = 13; k > 0 && !code_page[k]; k--) code_page[k] = 0x90;
    struct context c = flat(ring);
    c.eflags = 0x102;
    c.esi = (u32)data;
    print(ring ? "user step " : "step ");
    trace_from(codes[i].name, c, i == 8 ? 4 : 24);
  }
  /* TF set by POPF, by IRET to this level, and not at all. */
  CODE(0x68, 0x02, 0x01, 0, 0, 0x9d, 0x90, 0x90, 0x90, 0x90, 0x6a, 0x02, 0x9d, 0x90);
  trace_from(ring ? "user popf sets" : "popf sets", flat(ring), 12);
}

static void breakpoints(void) {
  /* Execution: each length, several at once, in a jump's path. */
  static const u32 places[] = {0, 1, 3, 4};
  CODE(0x90, 0xeb, 0x01, 0x90, 0x40, 0x90);
  for (u32 i = 0; i < 4; i++) {
    SET_DR(0, (u32)code_page + places[i]);
    SET_DR(1, (u32)code_page + 5);
    for (u32 enable = 0; enable < 4; enable++) {
      SET_DR(7, 0x400 | (enable & 1 ? 2 : 0) | (enable & 2 ? 4 : 0));
      print("execute");
      field("at", places[i]), field("enable", enable);
      trace_from("", flat(0), 8);
    }
  }
  SET_DR(7, 0x400);
  struct context c;
  /* Data: reads and writes of 1, 2 and 4 bytes around a watched place. */
  static const struct { const char *name; u8 code[3]; } accesses[] = {
      {"r1", {0x8a, 0x03, 0x90}}, {"r4", {0x8b, 0x03, 0x90}}, {"w1", {0x88, 0x03, 0x90}}, {"w2", {0x66, 0x89, 0x03}}, {"w4", {0x89, 0x03, 0x90}}, {"m4", {0x83, 0x03, 0x00}}};
  for (u32 kind = 1; kind < 4; kind += 2) {
    for (u32 length = 0; length < 4; length++) {
      if (length == 2) continue;
      SET_DR(2, (u32)data + 16);
      SET_DR(7, 0x400 | 0x20 | kind << 24 | length << 26);
      for (u32 a = 0; a < 6; a++) {
        put_code(accesses[a].code, 3);
        print(accesses[a].name);
        field("kind", kind), field("length", length);
        /* QEMU splits accesses that are not aligned: breakpoints.test.ts has those. */
        u32 size = accesses[a].name[1] - '0';
        for (u32 offset = 12; offset < 24; offset += size) {
          c = flat(0);
          c.ebx = (u32)data + offset;
          SET_DR(6, 0xffff0ff0);
          enter(&c);
          print(" ");
          print_hex(outcome.vector);
          if (outcome.vector == 1) field("", GET_DR(6) & 0xe00f), field("", frame()[0] - (u32)code_page);
        }
        line();
      }
    }
  }
  /* Strings. */
  SET_DR(0, 0);
  SET_DR(1, 0);
  SET_DR(7, 0x400 | 0x20 | 1 << 24 | 3 << 26);
  CODE(0xb9, 4, 0, 0, 0, 0xf3, 0xaa, 0x90);
  c = flat(0);
  c.edi = (u32)data + 14;
  trace_from("stosb", c, 8);
  SET_DR(7, 0x400);
  /* General detect. */
  static const u8 moves[][3] = {{0x0f, 0x21, 0xc0}, {0x0f, 0x23, 0xc0}, {0x0f, 0x21, 0xf8}};
  for (u32 i = 0; i < 3; i++) {
    put_code(moves[i], 3);
    SET_DR(6, 0xffff0ff0);
    SET_DR(7, 0x2400);
    c = flat(0);
    enter(&c);
    u32 dr6 = GET_DR(6), dr7 = GET_DR(7);
    print("general detect");
    print_vector();
    field("dr6", dr6 & 0xe00f), field("dr7", dr7), field("eip", frame()[0] - (u32)code_page);
    line();
    SET_DR(7, 0x400);
  }
  SET_DR(6, 0xffff0ff0);
  /* DR4 and DR5. */
  for (u32 de = 0; de < 2; de++) {
    SET_CR4(de ? 8 : 0);
    for (u32 n = 4; n < 6; n++) {
      const u8 code[] = {0x0f, 0x21, 0xc0 | n << 3};
      put_code(code, 3);
      c = flat(0);
      print("dr");
      field("n", n), field("de", de);
      try(c);
      if (outcome.vector == 0x80) field("is", outcome.eax & 0xe00f);
      line();
    }
  }
  SET_CR4(0);
}

#define ICR (*(volatile u32 *)0xfee00300)
static void interrupts(void) {
  *(volatile u32 *)0xfee000f0 = 0x1ff;
  /* EBX: the interrupt command register; EAX: the command. 89 03: send. */
  static const struct { const char *name; u8 code[16]; } codes[] = {
      {"sti", {0x89, 0x03, 0x90, 0xfb, 0x90, 0x90, 0x90}},
      {"sti cli", {0x89, 0x03, 0xfb, 0xfa, 0x90, 0xfb, 0x90, 0x90}},
      {"sti sti", {0x89, 0x03, 0xfb, 0xfb, 0x90, 0x90}},
      {"popf", {0x89, 0x03, 0x68, 0x02, 0x02, 0, 0, 0x9d, 0x90, 0x90}},
      {"mov ss", {0x89, 0x03, 0x8c, 0xd2, 0xfb, 0x8e, 0xd2, 0x90, 0x90}},
      {"sti mov ss", {0x8c, 0xd2, 0x89, 0x03, 0x90, 0xfb, 0x8e, 0xd2, 0x90, 0x90}},
      {"sti hlt", {0x89, 0x03, 0xfb, 0xf4, 0x90, 0x90}},
      {"iret", {0x89, 0x03, 0x9c, 0x80, 0x4c, 0x24, 0x01, 0x02, 0x0e, 0xe8, 0, 0, 0, 0, 0x90, 0x90}}};
  for (u32 i = 0; i < 7; i++) {
    put_code(codes[i].code, 12);
    for (u32 k = 11; k > 0 && !code_page[k]; k--) code_page[k] = 0x90;
    struct context c = flat(0);
    c.ebx = 0xfee00300, c.eax = 0x00040091;
    print("interrupt ");
    trace_from(codes[i].name, c, 2);
    *(volatile u32 *)0xfee000b0 = 0;
  }
  /* Two at once: by priority, the second when the first has ended. */
  CODE(0x89, 0x03, 0x89, 0x0b, 0xfb, 0x90, 0x90, 0x90, 0x90);
  struct context c = flat(0);
  c.ebx = 0xfee00300, c.eax = 0x00040091, c.ecx = 0x000400a1;
  trace_from("two", c, 2);
  *(volatile u32 *)0xfee000b0 = 0;
  CODE(0xfb, 0x90, 0x90, 0x90);
  trace_from("second", flat(0), 2);
  *(volatile u32 *)0xfee000b0 = 0;
}

/* RF in what exceptions push; QEMU differs. */
static void resume_flag(void) {
  static const struct { const char *name; u8 code[3]; } codes[] = {
      {"ud", {0x0f, 0x0b, 0x90}}, {"gp", {0x8e, 0xd8, 0x90}}, {"int3", {0xcc, 0x90, 0x90}}, {"int", {0xcd, 0x91, 0x90}}, {"de", {0xf7, 0xf6, 0x90}}, {"into", {0xce, 0x90, 0x90}}};
  for (u32 i = 0; i < 6; i++) {
    put_code(codes[i].code, 3);
    struct context c = flat(0);
    c.eax = 0xfff8, c.eflags = 0x802;
    print("rf "), print(codes[i].name);
    enter(&c);
    print_vector();
    field("flags", frame()[2]);
    line();
  }
}

int main(void) {
  set_up();
  print("debug\n");
  idt[0x91] |= (u64)0x60 << 40;
  idt[3] |= (u64)0x60 << 40;
  steps(0);
  steps(3);
  breakpoints();
  interrupts();
  resume_flag();
  finish();
}
