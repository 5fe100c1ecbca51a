/* Virtual-8086 mode without its extensions: sensitive instructions by IOPL, interrupts, exceptions, ports, segments. */
#include "try32.h"

enum { CODE_AT = 0x8000, STACK_AT = 0x9000 };

static struct context v86(u32 iopl) {
  struct context c;
  fill(&c, 0, sizeof c);
  c.eip = 0x10, c.cs = (CODE_AT >> 4) - 1;
  c.eflags = 0x20002 | iopl << 12;
  c.esp = 0x100, c.ss = STACK_AT >> 4;
  c.ds = 0x900, c.es = 0x901, c.fs = 0x902, c.gs = 0x903;
  c.eax = 0x12345678, c.ecx = 3;
  return c;
}

static void frames(void) {
  for (u32 i = 0; i < 9; i++) {
    print(i ? "," : " [");
    print_hex(i == 2 ? without_rf(frame()[i]) : frame()[i]);
  }
  print("]");
}

static void run(const char *name, const u8 *code, u32 length) {
  for (u32 iopl = 0; iopl < 4; iopl++) {
    if (iopl == 1 || iopl == 2) continue;
    u8 *at = (u8 *)CODE_AT;
    move(at, code, length);
    at[length] = 0xcc;
    u16 *stack = (u16 *)(STACK_AT + 0x100);
    /* For POPF and IRET: IP, CS, FLAGS; a flags image first. */
    stack[0] = 0x0010 + length, stack[1] = (CODE_AT >> 4) - 1, stack[2] = 0x7ed7 & ~0x100, stack[3] = 0x2222;
    stack[-1] = stack[-2] = stack[-3] = stack[-4] = 0;
    struct context c = v86(iopl);
    print(name);
    field("iopl", iopl);
    enter(&c);
    if (outcome.vector == 3) print(" end");
    else print_vector();
    frames();
    field("ax", outcome.eax);
    field("pushed", stack[-1]), field("", stack[-2]);
    line();
  }
}
#define RUN(name, ...) \
  do { \
    static const u8 bytes_[] = {__VA_ARGS__}; \
    run(name, bytes_, sizeof bytes_); \
  } while (0)

int main(void) {
  set_up();
  idt[3] |= (u64)0x60 << 40;
  idt[0x90] |= (u64)0x60 << 40;
  idt[4] |= (u64)0x60 << 40;
  tss.io[0x80 / 8] = 0;
  print("vm86\n");
  RUN("nop", 0x90);
  RUN("cli", 0xfa);
  RUN("sti", 0xfb);
  RUN("pushf", 0x9c);
  RUN("pushfd", 0x66, 0x9c);
  RUN("popf", 0x9d);
  RUN("popfd", 0x66, 0x9d);
  RUN("iret", 0xcf);
  RUN("int 90", 0xcd, 0x90);
  RUN("int 91", 0xcd, 0x91);
  RUN("int3 by cd", 0xcd, 0x03);
  RUN("into", 0x04, 0x7f, 0x04, 0x7f, 0xce);
  RUN("in 80", 0xe4, 0x80);
  RUN("in 90", 0xe4, 0x90);
  RUN("in word 87", 0xe5, 0x87);
  RUN("hlt", 0xf4);
  RUN("mov cr0", 0x0f, 0x20, 0xc0);
  RUN("mov dr7", 0x0f, 0x21, 0xf8);
  RUN("lgdt", 0x0f, 0x01, 0x16, 0, 0);
  RUN("sgdt", 0x0f, 0x01, 0x06, 0, 0);
  RUN("smsw", 0x0f, 0x01, 0xe0);
  RUN("lmsw", 0x0f, 0x01, 0xf0);
  RUN("clts", 0x0f, 0x06);
  RUN("lar", 0x0f, 0x02, 0xc0);
  RUN("sldt", 0x0f, 0x00, 0xc0);
  RUN("verr", 0x0f, 0x00, 0xe0);
  RUN("arpl", 0x63, 0xc0);
  RUN("invd", 0x0f, 0x08);
  RUN("rdmsr", 0x0f, 0x32);
  RUN("ud2", 0x0f, 0x0b);
  RUN("divide", 0x31, 0xc0, 0xf6, 0xf0);
  RUN("mov ds", 0xb8, 0x45, 0x23, 0x8e, 0xd8, 0x8c, 0xd8);
  RUN("mov ss", 0x8c, 0xd0, 0x8e, 0xd0, 0x90);
  RUN("pop es", 0x07, 0x8c, 0xc0);
  RUN("les", 0xbb, 0x00, 0x01, 0xc4, 0x07);
  RUN("jmp far", 0xea, 0x07, 0x00, 0x00, 0x08, 0x90, 0x90);
  RUN("call far", 0x9a, 0x07, 0x00, 0x00, 0x08, 0x90, 0x90);
  RUN("retf", 0xcb);
  RUN("load", 0xbb, 0x34, 0x12, 0x89, 0x07, 0x8b, 0x07);
  RUN("load 32", 0x66, 0x67, 0x8b, 0x04, 0x24);
  RUN("enter", 0xc8, 0x10, 0x00, 0x00, 0xc9);
  RUN("push all", 0x60, 0x61);
  RUN("call near", 0xe8, 0x00, 0x00, 0x58);
  RUN("rep", 0xbf, 0x80, 0x00, 0xf3, 0xaa);
  /* IRET to it with other frames, at CPL 3 and with a bad one. */
  for (u32 ring = 0; ring < 4; ring += 3) {
    CODE(0xcf);
    *(u8 *)CODE_AT = 0xcc;
    struct context c = flat(ring);
    u32 *s = (u32 *)c.esp;
    s[0] = 0x12340000, s[1] = CODE_AT >> 4 | 0x56780000, s[2] = 0x20202, s[3] = 0x80, s[4] = 0x900, s[5] = 1, s[6] = 2, s[7] = 3, s[8] = 4;
    if (ring) s[0] = (u32)code_page + 1, s[1] = CODE3;
    print("iret to");
    field("cpl", ring);
    enter(&c);
    if (outcome.vector == 3) print(" end");
    else print_vector();
    frames();
    line();
  }
  finish();
}
