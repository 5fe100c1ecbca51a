/*
 * Evaluates floating-point instructions on the real processor.
 *
 * Reads 40-byte requests from standard input until it ends and answers each with 40 bytes:
 *   request   u16 op, u16 imm, u32 control (MXCSR or FCW), u8 a[16], u8 b[16]
 *   response  u8 r[16], u8 r2[16], u32 status (MXCSR or FSW), u32 extra (EFLAGS, or 1 when an SSE exception trapped)
 * The operation numbers are those of the tables in the tests.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

struct request {
  uint16_t op, imm;
  uint32_t control;
  uint8_t a[16], b[16];
};
struct response {
  uint8_t r[16], r2[16];
  uint32_t status, extra;
};

static volatile uint32_t trapped_mxcsr;
static volatile int trapped;

/* Notes the flags at the trap, then lets the instruction run again with everything masked. */
static void on_sigfpe(int signal, siginfo_t *info, void *context) {
  (void)signal;
  (void)info;
  ucontext_t *uc = context;
  trapped_mxcsr = uc->uc_mcontext.fpregs->mxcsr;
  trapped = 1;
  uc->uc_mcontext.fpregs->mxcsr = 0x1f80;
}

#define SSE(code)                                                                            \
  __asm__ volatile("ldmxcsr %[control]\n\t" code "\n\tstmxcsr %[status]\n\tldmxcsr %[safe]"  \
                   : [r] "+x"(x), [status] "=m"(status), [n] "+r"(n), [fl] "+r"(flags)       \
                   : [b] "x"(y), [control] "m"(q->control), [safe] "m"(safe), [m] "r"(m)     \
                   : "memory", "cc");                                                        \
  break

typedef float v4 __attribute__((vector_size(16)));

#define SSE_PAIR(base, suffix)                                                    \
  case base + 0: SSE("add" suffix " %[b], %[r]");                                 \
  case base + 1: SSE("sub" suffix " %[b], %[r]");                                 \
  case base + 2: SSE("mul" suffix " %[b], %[r]");                                 \
  case base + 3: SSE("div" suffix " %[b], %[r]");                                 \
  case base + 4: SSE("sqrt" suffix " %[r], %[r]");                                \
  case base + 5: SSE("min" suffix " %[b], %[r]");                                 \
  case base + 6: SSE("max" suffix " %[b], %[r]");                                 \
  case base + 7: SSE("comi" suffix " %[b], %[r]\n\tpushf\n\tpop %[fl]");          \
  case base + 8: SSE("ucomi" suffix " %[b], %[r]\n\tpushf\n\tpop %[fl]");         \
  case base + 9: SSE("cvt" suffix "2si %[r], %k[n]");                             \
  case base + 10: SSE("cvt" suffix "2si %[r], %[n]");                             \
  case base + 11: SSE("cvtt" suffix "2si %[r], %k[n]");                           \
  case base + 12: SSE("cvtt" suffix "2si %[r], %[n]");                            \
  case base + 13: SSE("cvtsi2" suffix "l %k[m], %[r]");                           \
  case base + 14: SSE("cvtsi2" suffix "q %[m], %[r]");                            \
  case base + 16: SSE("round" suffix " $0, %[r], %[r]");                          \
  case base + 17: SSE("round" suffix " $1, %[r], %[r]");                          \
  case base + 18: SSE("round" suffix " $2, %[r], %[r]");                          \
  case base + 19: SSE("round" suffix " $3, %[r], %[r]");                          \
  case base + 20: SSE("round" suffix " $4, %[r], %[r]");                          \
  case base + 21: SSE("round" suffix " $8, %[r], %[r]");                          \
  case base + 22: SSE("round" suffix " $12, %[r], %[r]")

static void run_sse(const struct request *q, struct response *p) {
  v4 x, y;
  uint64_t n = 0, m, flags = 0;
  uint32_t status = 0, safe = 0x1f80;
  memcpy(&x, q->a, 16);
  memcpy(&y, q->b, 16);
  memcpy(&m, q->a, 8);
  trapped = 0;
  switch (q->op) {
    SSE_PAIR(0, "ss");
    SSE_PAIR(32, "sd");
    case 15: SSE("cvtss2sd %[r], %[r]");
    case 47: SSE("cvtsd2ss %[r], %[r]");
    case 64: SSE("vcvtph2ps %[r], %[r]");
    case 65: SSE("vcvtps2ph $0, %[r], %[r]");
    case 66: SSE("vcvtps2ph $1, %[r], %[r]");
    case 67: SSE("vcvtps2ph $2, %[r], %[r]");
    case 68: SSE("vcvtps2ph $3, %[r], %[r]");
    case 69: SSE("vcvtps2ph $4, %[r], %[r]");
    case 70: SSE("rcpss %[r], %[r]");
    case 71: SSE("rsqrtss %[r], %[r]");
  }
  memcpy(p->r, &x, 16);
  memcpy(p->r2, &n, 8);
  p->status = trapped ? trapped_mxcsr : status;
  p->extra = trapped ? 1 : (uint32_t)flags << 1;
}

/* Two operands: b in ST(1), a in ST(0). After the instruction ST(0) and ST(1) are stored. */
#define X87_2(code)                                                                                  \
  __asm__ volatile("fninit\n\tfldcw %[cw]\n\tfldt %[b]\n\tfldt %[a]\n\t" code                        \
                   "\n\tfnstsw %[sw]\n\tfnclex\n\tfstpt %[r]\n\tfstpt %[r2]\n\tfninit"               \
                   : [r] "=m"(p->r), [r2] "=m"(p->r2), [sw] "=m"(sw), [mem] "+m"(mem), [fl] "+r"(flags) \
                   : [a] "m"(q->a), [b] "m"(q->b), [cw] "m"(cw)                                      \
                   : "memory", "cc", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)"); \
  break
/* No operand on the stack beforehand. */
#define X87_0(code)                                                                                  \
  __asm__ volatile("fninit\n\tfldcw %[cw]\n\t" code                                                  \
                   "\n\tfnstsw %[sw]\n\tfnclex\n\tfstpt %[r]\n\tfninit"                              \
                   : [r] "=m"(p->r), [sw] "=m"(sw)                                                   \
                   : [a] "m"(q->a), [cw] "m"(cw)                                                     \
                   : "memory", "cc", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)"); \
  break

static void run_x87(const struct request *q, struct response *p) {
  uint16_t cw = q->control, sw = 0;
  uint64_t flags = 0;
  uint8_t mem[16];
  memcpy(mem, q->b, 16);
  switch (q->op) {
    case 100: X87_2("fadd %%st(1), %%st");
    case 101: X87_2("fsub %%st(1), %%st");
    case 102: X87_2("fmul %%st(1), %%st");
    case 103: X87_2("fdiv %%st(1), %%st");
    case 104: X87_2("fsqrt");
    case 105: X87_2("fprem");
    case 106: X87_2("fprem1");
    case 107: X87_2("fscale");
    case 108: X87_2("fxtract");
    case 109: X87_2("frndint");
    case 110: X87_2("fcom %%st(1)");
    case 111: X87_2("fucom %%st(1)");
    case 112: X87_2("fcomi %%st(1), %%st\n\tpushf\n\tpop %[fl]");
    case 113: X87_2("fucomi %%st(1), %%st\n\tpushf\n\tpop %[fl]");
    case 114: X87_2("ftst");
    case 115: X87_2("fxam");
    case 120: X87_2("fadds %[mem]");
    case 121: X87_2("fsubs %[mem]");
    case 122: X87_2("fmuls %[mem]");
    case 123: X87_2("fdivs %[mem]");
    case 124: X87_2("fdivrs %[mem]");
    case 125: X87_2("fcoms %[mem]");
    case 126: X87_2("faddl %[mem]");
    case 127: X87_2("fsubl %[mem]");
    case 128: X87_2("fmull %[mem]");
    case 129: X87_2("fdivl %[mem]");
    case 130: X87_2("fdivrl %[mem]");
    case 131: X87_2("fcoml %[mem]");
    case 132: X87_0("flds %[a]");
    case 133: X87_0("fldl %[a]");
    case 134: X87_2("fsts %[mem]");
    case 135: X87_2("fstl %[mem]");
    case 136: X87_0("filds %[a]");
    case 137: X87_0("fildl %[a]");
    case 138: X87_0("fildll %[a]");
    case 139: X87_2("fistps %[mem]");
    case 140: X87_2("fistpl %[mem]");
    case 141: X87_2("fistpll %[mem]");
    case 142: X87_2("fisttps %[mem]");
    case 143: X87_2("fisttpl %[mem]");
    case 144: X87_2("fisttpll %[mem]");
    case 145: X87_0("fbld %[a]");
    case 146: X87_2("fbstp %[mem]");
    case 150: X87_2("f2xm1");
    case 151: X87_2("fyl2x");
    case 152: X87_2("fyl2xp1");
    case 153: X87_2("fsin");
    case 154: X87_2("fcos");
    case 155: X87_2("fsincos");
    case 156: X87_2("fptan");
    case 157: X87_2("fpatan");
    case 160: X87_0("fld1");
    case 161: X87_0("fldl2t");
    case 162: X87_0("fldl2e");
    case 163: X87_0("fldpi");
    case 164: X87_0("fldlg2");
    case 165: X87_0("fldln2");
    case 166: X87_0("fldz");
  }
  if (q->op >= 134 && q->op <= 146 && q->op != 136 && q->op != 137 && q->op != 138 && q->op != 145)
    memcpy(p->r, mem, 16);
  p->status = sw;
  p->extra = (uint32_t)flags << 1;
}

int main(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_sigfpe;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGFPE, &action, NULL);
  enum { BATCH = 1024 };
  static struct request in[BATCH];
  static struct response out[BATCH];
  size_t got;
  while ((got = fread(in, sizeof in[0], BATCH, stdin)) > 0) {
    memset(out, 0, sizeof out);
    for (size_t i = 0; i < got; i++) {
      if (in[i].op < 100) run_sse(&in[i], &out[i]);
      else run_x87(&in[i], &out[i]);
    }
    if (fwrite(out, sizeof out[0], got, stdout) != got) return 1;
  }
  return fflush(stdout) ? 1 : 0;
}
