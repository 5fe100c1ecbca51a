/*
 * Runs single instructions on the host processor.
 *
 * The argument names a file of cases, which becomes a file of results. For each count (u32) on standard input, so many
 * cases from its start are run and a byte is written to standard output, until the input ends. Each case is a whole user-mode state; the instruction stands in a page full of INT3, which is where
 * it normally ends. The signal handler takes the state at the end of one case from its ucontext and puts the state of
 * the next case there, so that one signal per case does everything.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>
#include <asm/prctl.h>

/* The same numbers stand in layout.ts. */
#define CODE_ADDRESS 0x10000000u
#define CODE_SIZE 0x2000u
#define DATA_ADDRESS 0x20000000u
#define WINDOW_ADDRESS 0x20000f00u
#define WINDOW_SIZE 512u
#define READ_ONLY_ADDRESS 0x20002000u
#define GS_BASE 0x20000f80u
#define CODE_BYTES 64

struct state {
  uint64_t gpr[16]; /* RAX RCX RDX RBX RSP RBP RSI RDI R8-R15 */
  uint64_t rip;
  uint64_t rflags;
  uint32_t trap;       /* result: vector, 255 for a time-out */
  uint32_t error_code; /* result */
  uint64_t cr2;        /* result */
  uint8_t code[CODE_BYTES];
  uint32_t code_length;
  uint32_t compatibility; /* run in 32-bit compatibility mode */
  uint64_t reserved;
  uint8_t fx[512]; /* FXSAVE64 image */
  uint8_t window[WINDOW_SIZE];
};

static const int registers[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static struct state *cases;
static uint32_t case_count, current;
static int running;
static gregset_t driver_registers;
static uint8_t driver_fx[512];

static void die(const char *what) {
  dprintf(2, "%s: %s\n", what, strerror(errno));
  _exit(1);
}

/* NT, ID and AC would survive sigreturn or disturb the handler. */
static inline void reset_flags(void) {
  uint64_t flags;
  __asm__ volatile("pushfq; pop %0" : "=r"(flags));
  flags &= ~((1ull << 14) | (1ull << 18) | (1ull << 21));
  __asm__ volatile("push %0; popfq" : : "r"(flags) : "cc");
}

static void load_case(ucontext_t *uc) {
  struct state *s = &cases[current];
  greg_t *g = uc->uc_mcontext.gregs;
  memcpy((void *)(uintptr_t)WINDOW_ADDRESS, s->window, WINDOW_SIZE);
  memcpy((void *)(uintptr_t)s->rip, s->code, s->code_length);
  for (int i = 0; i < 16; i++) g[registers[i]] = s->gpr[i];
  g[REG_RIP] = s->rip;
  g[REG_EFL] = s->rflags;
  /* CS in bits 0-15, GS 16-31, FS 32-47, SS 48-63. */
  uint64_t selectors = s->compatibility ? 0x23 : 0x33;
  g[REG_CSGSFS] = (g[REG_CSGSFS] & 0x0000ffffffff0000ull) | selectors | (0x2bull << 48);
  memcpy(uc->uc_mcontext.fpregs, s->fx, 464); /* the rest belongs to the kernel */
  uint64_t *features = (uint64_t *)((uint8_t *)uc->uc_mcontext.fpregs + 512);
  *features |= 3;
}

static void store_result(ucontext_t *uc, uint32_t trap) {
  struct state *s = &cases[current];
  greg_t *g = uc->uc_mcontext.gregs;
  uint64_t start = s->rip;
  for (int i = 0; i < 16; i++) s->gpr[i] = g[registers[i]];
  s->rip = g[REG_RIP];
  s->rflags = g[REG_EFL];
  s->trap = trap;
  s->error_code = g[REG_ERR];
  s->cr2 = g[REG_CR2];
  memcpy(s->fx, uc->uc_mcontext.fpregs, 464);
  memcpy(s->window, (void *)(uintptr_t)WINDOW_ADDRESS, WINDOW_SIZE);
  memset((void *)(uintptr_t)start, 0xcc, s->code_length);
  memset((void *)(uintptr_t)(READ_ONLY_ADDRESS - 64), 0, 64);
}

static void handler(int signal, siginfo_t *info, void *context) {
  (void)info;
  ucontext_t *uc = context;
  reset_flags();
  if (running) {
    store_result(uc, signal == SIGVTALRM ? 255 : (uint32_t)uc->uc_mcontext.gregs[REG_TRAPNO]);
    current++;
  } else {
    if (signal == SIGVTALRM) return;
    if (uc->uc_mcontext.gregs[REG_TRAPNO] != 3) {
      dprintf(2, "unexpected signal %d outside of a case\n", signal);
      _exit(1);
    }
    memcpy(driver_registers, uc->uc_mcontext.gregs, sizeof(gregset_t));
    memcpy(driver_fx, uc->uc_mcontext.fpregs, 464);
    running = 1;
  }
  if (current < case_count) return load_case(uc);
  running = 0;
  memcpy(uc->uc_mcontext.gregs, driver_registers, sizeof(gregset_t));
  memcpy(uc->uc_mcontext.fpregs, driver_fx, 464);
}

static void map(uintptr_t address, size_t size, int protection) {
  void *p = mmap((void *)address, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (p != (void *)address) die("mmap");
}

int main(int argc, char **argv) {
  map(CODE_ADDRESS, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC);
  memset((void *)(uintptr_t)CODE_ADDRESS, 0xcc, CODE_SIZE);
  map(DATA_ADDRESS, 0x2000, PROT_READ | PROT_WRITE);
  map(READ_ONLY_ADDRESS, 0x1000, PROT_READ);
  /* Page faults must show protection, not that the kernel has not yet filled the page in. */
  memset((void *)(uintptr_t)DATA_ADDRESS, 0, 0x2000);
  (void)*(volatile uint8_t *)(uintptr_t)READ_ONLY_ADDRESS;
  if (syscall(SYS_arch_prctl, ARCH_SET_GS, (unsigned long)GS_BASE)) die("arch_prctl");

  /* Compatibility mode needs data segments; 64-bit mode ignores them. */
  __asm__ volatile("mov %0, %%ds; mov %0, %%es" : : "r"(0x2b));

  stack_t stack = {.ss_size = 1 << 16, .ss_sp = malloc(1 << 16)};
  if (sigaltstack(&stack, NULL)) die("sigaltstack");
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigfillset(&action.sa_mask); /* the timer must not interrupt the handler */
  int signals[] = {SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGBUS, SIGVTALRM};
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) {
    if (sigaction(signals[i], &action, NULL)) die("sigaction");
  }

  int file = argc == 2 ? open(argv[1], O_RDWR) : -1;
  struct stat status;
  if (file < 0 || fstat(file, &status)) die("the file of cases");
  cases = mmap(NULL, status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (cases == MAP_FAILED) die("mmap");

  uint32_t count;
  while (read(0, &count, sizeof count) == sizeof count) {
    if (count > status.st_size / sizeof *cases) die("too many cases");
    if (count > 0) {
      /* A case that loops ends by this signal; every half second (of processor time) one more. */
      struct itimerval timer = {{0, 500000}, {2, 0}};
      setitimer(ITIMER_VIRTUAL, &timer, NULL);
      case_count = count;
      current = 0;
      __asm__ volatile("int3" ::: "memory");
      struct itimerval off = {0};
      setitimer(ITIMER_VIRTUAL, &off, NULL);
    }
    if (write(1, "", 1) != 1) die("write");
  }
  return 0;
}
