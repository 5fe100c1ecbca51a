/* Runs pieces of machine code in a chosen context and says what they raised: for the 32-bit programs. */
#pragma once
#include "print.h"

/* Offsets are known to start32.S. */
struct context {
  u32 eip, cs, eflags, esp, ss, ds, es, fs, gs;
  u32 eax, ecx, edx, ebx, ebp, esi, edi;
};
/* As `caught` pushes it, from the last push up. */
struct outcome {
  u32 handler_ss, gs, fs, es, ds;
  u32 edi, esi, ebp, handler_esp, ebx, edx, ecx, eax;
  u32 vector;
  u32 frame[18];
};
extern struct outcome outcome;
extern u32 outcome_esp, outcome_cr2, saved_esp;
extern u64 gdt[64];
extern u64 idt[256];
extern u8 ring0_stack[], main_stack[], stubs[];
void enter(struct context *);

enum { CODE0 = 0x08, DATA0 = 0x10, CODE3 = 0x1b, DATA3 = 0x23, TSS_MAIN = 0x28, LDT_MAIN = 0x30, SLOT = 0x40 };

struct tss32 {
  u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
  u32 es, cs, ss, ds, fs, gs, ldt;
  u16 trap, iomap;
  u8 redirection[32];
  u8 io[256];
} __attribute__((packed));
static struct tss32 tss __attribute__((aligned(4096)));

static inline u64 descriptor(u32 base, u32 limit, u32 access, u32 flags) {
  u32 low = (base << 16) | (limit & 0xffff);
  u32 high = (base & 0xff000000) | ((base >> 16) & 0xff) | (limit & 0xf0000) | (access << 8) | (flags << 20);
  return ((u64)high << 32) | low;
}
static inline u64 gate(u32 selector, u32 offset, u32 access, u32 parameters) {
  return ((u64)((offset & 0xffff0000) | (access << 8) | parameters) << 32) | (selector << 16) | (offset & 0xffff);
}
/* Vector 0x80 ends a piece of code at any privilege level. */
static inline void set_up(void) {
  /* No interrupts from the machine's timer. */
  outb(0x21, 0xff);
  outb(0xa1, 0xff);
  tss.esp0 = (u32)ring0_stack;
  tss.ss0 = DATA0;
  tss.iomap = 104 + 32;
  fill(tss.io, 0xff, sizeof tss.io);
  gdt[TSS_MAIN / 8] = descriptor((u32)&tss, sizeof tss - 1, 0x89, 0);
  __asm__ volatile("ltr %w0" ::"r"(TSS_MAIN));
  u8 *g = (u8 *)&idt[0x80];
  g[5] = 0xee;
}

/* Where pieces of code are put, and stacks for them. */
static u8 code_page[4096] __attribute__((aligned(4096)));
static u8 user_stack[4096] __attribute__((aligned(4096)));
static u8 kernel_stack[4096] __attribute__((aligned(4096)));

/* Under paging, code at CPL 3 sees memory this much higher, where it is mapped for user mode. */
static u32 user_offset;

static inline struct context flat(int ring) {
  struct context c;
  fill(&c, 0, sizeof c);
  c.eip = (u32)code_page + (ring ? user_offset : 0);
  c.eflags = 2;
  c.cs = ring ? CODE3 : CODE0;
  c.ss = c.ds = c.es = c.fs = c.gs = ring ? DATA3 : DATA0;
  c.esp = (u32)(ring ? user_stack + user_offset : kernel_stack) + 2048;
  return c;
}

/* Copies code to the code page, followed by INT 0x80. */
static inline void put_code(const u8 *code, u32 length) {
  move(code_page, code, length);
  code_page[length] = 0xcd;
  code_page[length + 1] = 0x80;
}
#define CODE(...) \
  do { \
    static const u8 bytes_[] = {__VA_ARGS__}; \
    put_code(bytes_, sizeof bytes_); \
  } while (0)

static inline int has_error_code(u32 v) { return v == 8 || (v >= 10 && v <= 14) || v == 17; }
/* QEMU 7 does not push RF as the manual says; debug.c looks at it. */
static inline u32 without_rf(u32 flags) { return flags & ~0x10000u; }
/* What the frame holds, past the error code if there is one. */
static inline u32 *frame(void) { return outcome.frame + has_error_code(outcome.vector); }

/* Prints a vector with its error code: "0d(58)", or "ok" when the piece of code came to its end. */
static inline void print_vector(void) {
  if (outcome.vector == 0x80) {
    print(" ok");
    return;
  }
  print(" ");
  print_hex(outcome.vector);
  if (has_error_code(outcome.vector)) {
    print("(");
    print_hex(outcome.frame[0]);
    print(")");
  }
  if (outcome.vector == 14) {
    print("@");
    print_hex(outcome_cr2);
  }
}
/* Runs the context and prints what happened. */
static inline void try(struct context c) {
  enter(&c);
  print_vector();
}
