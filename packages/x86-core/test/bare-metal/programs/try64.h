/* Runs pieces of machine code in a chosen context and says what they raised: for the 64-bit programs. */
#pragma once
#include "print.h"

/* Offsets are known to start64.S. */
struct context {
  u64 rip, cs, rflags, rsp, ss, ds;
  u64 rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13;
};
struct outcome {
  u64 rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13;
  u64 vector;
  u64 frame[10];
};
extern struct outcome outcome;
extern u64 outcome_rsp, outcome_cr2, outcome_ss, saved_rsp;
extern u64 gdt[64];
extern u64 idt[512];
extern u64 pml4[512], pdpt[512], page_directories[2048], user_pdpt[512], user_directory[512];
extern u8 ring0_stack[], main_stack[], ist_stack[], stubs[];
void enter(struct context *);

enum { CODE0 = 0x08, DATA0 = 0x10, CODE3_32 = 0x1b, DATA3 = 0x23, CODE3 = 0x2b, TSS_MAIN = 0x30, SLOT = 0x40 };
/* Where user mode sees the first 32 MiB. */
#define USER 0x10000000000ull

struct tss64 {
  u32 reserved;
  u64 rsp[3], reserved2, ist[7], reserved3;
  u16 reserved4, iomap;
  u8 io[256];
} __attribute__((packed));
static struct tss64 tss __attribute__((aligned(4096)));

static u8 code_page[4096] __attribute__((aligned(4096)));
static u8 user_stack[4096] __attribute__((aligned(4096)));
static u8 kernel_stack[4096] __attribute__((aligned(4096)));

#define SET_CR(n, v) __asm__ volatile("mov %0, %%cr" #n ::"r"((u64)(v)) : "memory")
#define GET_CR(n)                                    \
  ({                                                 \
    u64 v_;                                          \
    __asm__ volatile("mov %%cr" #n ", %0" : "=r"(v_)); \
    v_;                                              \
  })
static inline u64 rdmsr(u32 n) {
  u32 low, high;
  __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(n));
  return (u64)high << 32 | low;
}
static inline void wrmsr(u32 n, u64 v) { __asm__ volatile("wrmsr" ::"c"(n), "a"((u32)v), "d"((u32)(v >> 32))); }

static inline u64 descriptor(u32 base, u32 limit, u32 access, u32 flags) {
  u32 low = (base << 16) | (limit & 0xffff);
  u32 high = (base & 0xff000000) | ((base >> 16) & 0xff) | (limit & 0xf0000) | (access << 8) | (flags << 20);
  return ((u64)high << 32) | low;
}
static inline void set_gate(u32 vector, u32 selector, u64 offset, u32 access, u32 ist) {
  idt[vector * 2] = ((offset & 0xffff0000) << 32) | ((u64)access << 40) | ((u64)ist << 32) | (selector << 16) | (offset & 0xffff);
  idt[vector * 2 + 1] = offset >> 32;
}
static inline void set_up(void) {
  outb(0x21, 0xff);
  outb(0xa1, 0xff);
  tss.rsp[0] = (u64)ring0_stack;
  tss.ist[0] = (u64)ist_stack;
  tss.iomap = 104;
  fill(tss.io, 0xff, sizeof tss.io);
  gdt[TSS_MAIN / 8] = descriptor((u32)(u64)&tss, sizeof tss - 1, 0x89, 0);
  gdt[TSS_MAIN / 8 + 1] = 0;
  __asm__ volatile("ltr %w0" ::"r"(TSS_MAIN));
  set_gate(0x80, CODE0, (u64)stubs + 0x80 * 10, 0xee, 0);
}

static inline struct context flat(int ring) {
  struct context c;
  fill(&c, 0, sizeof c);
  c.rip = (u64)code_page + (ring ? USER : 0);
  c.rflags = 2;
  c.cs = ring ? CODE3 : CODE0;
  c.ss = c.ds = ring ? DATA3 : DATA0;
  c.rsp = (u64)(ring ? user_stack : kernel_stack) + 2048 + (ring ? USER : 0);
  return c;
}
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

static inline int has_error_code(u64 v) { return v == 8 || (v >= 10 && v <= 14) || v == 17; }
static inline u64 *frame(void) { return outcome.frame + has_error_code(outcome.vector); }
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
/* RIP CS RFLAGS RSP SS; RF apart (see without_rf in try32.h). */
static inline void print_frame(void) {
  for (u32 i = 0; i < 5; i++) {
    print(i ? "," : " [");
    /* The upper half of RSP is undefined in compatibility mode. */
    u64 value = frame()[i];
    print_hex(i == 2 ? value & ~0x10000ull : i == 3 && outcome.vector == 14 ? (u32)value : value);
  }
  print("]");
}
static inline void try(struct context c) {
  enter(&c);
  print_vector();
}
