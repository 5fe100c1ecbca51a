/* 32-bit paging and PAE: permissions, accessed and dirty bits, reserved bits, page-fault error codes. */
#include "try32.h"

static u32 directory[1024] __attribute__((aligned(4096)));
static u32 table[1024] __attribute__((aligned(4096)));
static u64 pdpt[4] __attribute__((aligned(4096)));
static u64 pae_directory[512] __attribute__((aligned(4096)));
static u64 pae_table[512] __attribute__((aligned(4096)));
static u8 target[4096] __attribute__((aligned(4096)));
enum { TEST = 0x40000000, USER = 0x20000000 };
/* Identity for the supervisor, and the first 32 MiB again at USER for everybody. */
static u32 identity(u32 linear) { return linear >= USER && linear < USER + 0x2000000 ? (linear - USER) | 0x87 : linear | 0x83; }

#define SET_CR(n, v) __asm__ volatile("mov %0, %%cr" #n ::"r"(v) : "memory")
#define GET_CR(n)                                    \
  ({                                                 \
    u32 v_;                                          \
    __asm__ volatile("mov %%cr" #n ", %0" : "=r"(v_)); \
    v_;                                              \
  })
enum { PE = 1, WP = 1 << 16, PG = 1 << 31, PSE = 1 << 4, PAE = 1 << 5, PGE = 1 << 7, SMEP = 1 << 20, SMAP = 1 << 21 };

static void wrmsr(u32 n, u32 low) { __asm__ volatile("wrmsr" ::"c"(n), "a"(low), "d"(0)); }

/* Read, write, read-modify-write and execution at EBX. */
static const struct { const char *name; u8 code[4]; } accesses[] = {
    {"r", {0x8b, 0x03, 0x90, 0x90}}, {"w", {0x89, 0x03, 0x90, 0x90}}, {"m", {0x83, 0x03, 0x00, 0x90}}, {"x", {0xff, 0xe3, 0x90, 0x90}}};

static void all_accesses(u32 linear, u32 ac) {
  for (u32 ring = 0; ring < 4; ring += 3) {
    for (u32 i = 0; i < 4; i++) {
      put_code(accesses[i].code, 4);
      struct context c = flat(ring);
      c.ebx = linear;
      c.eax = 0x80cd; /* what is there already: INT 0x80 */
      if (ac) c.eflags |= 0x40000;
      enter(&c);
      print(" ");
      print(accesses[i].name);
      if (outcome.vector == 0x80) print("+");
      else if (outcome.vector == 14) print_hex(outcome.frame[0]);
      else print_vector();
      if (outcome.vector == 14 && outcome_cr2 != linear) field("cr2", outcome_cr2);
    }
  }
}

static void legacy(u32 cr0, u32 cr4, u32 ac) {
  SET_CR(4, cr4 & ~(SMEP | SMAP));
  for (u32 i = 0; i < 1024; i++) directory[i] = identity(i << 22);
  SET_CR(3, directory);
  SET_CR(0, PE | PG);
  SET_CR(4, cr4);
  SET_CR(0, cr0 | PE | PG);
  for (u32 upper = 0; upper < 8; upper++) {
    for (u32 lower = 0; lower < 8; lower++) {
      fill(target, 0, 16);
      target[0] = 0xcd, target[1] = 0x80;
      directory[TEST >> 22] = (u32)table | upper;
      table[0] = (u32)target | lower;
      SET_CR(3, directory);
      print("legacy");
      field("cr0", cr0), field("cr4", cr4), field("ac", ac), field("pde", upper), field("pte", lower);
      all_accesses(TEST, ac);
      field("pde", directory[TEST >> 22] & 0xfff), field("pte", table[0] & 0xfff);
      line();
    }
    if (!(cr4 & PSE)) continue;
    /* A 4 MiB page over RAM; bits 13-16 are address bits with PSE-36, bit 21 is reserved. */
    static const u32 extra[] = {0, 1 << 21, 0x100, 1 << 12};
    for (u32 i = 0; i < 4; i++) {
      *(u32 *)0x800000 = 0x80cd;
      directory[TEST >> 22] = 0x800080 | upper | extra[i];
      SET_CR(3, directory);
      print("large");
      field("cr0", cr0), field("cr4", cr4), field("ac", ac), field("pde", upper | extra[i]);
      all_accesses(TEST, ac);
      field("pde", directory[TEST >> 22] & 0xfff);
      line();
    }
  }
  SET_CR(4, cr4 & ~(SMEP | SMAP));
  SET_CR(0, PE);
}

static void pae(u32 cr0, u32 cr4, u32 efer, u32 ac) {
  SET_CR(4, (cr4 | PAE) & ~(SMEP | SMAP));
  wrmsr(0xc0000080, efer);
  for (u32 i = 0; i < 512; i++) pae_directory[i] = identity(i << 21);
  fill(pdpt, 0, sizeof pdpt);
  pdpt[0] = (u32)pae_directory | 1;
  pdpt[1] = (u32)pae_directory | 1;
  SET_CR(3, pdpt);
  SET_CR(0, PE | PG);
  SET_CR(4, cr4 | PAE);
  SET_CR(0, cr0 | PE | PG);
  /* 0x40000000 is entry 0 of the second directory, which is the first: 0x40800000 is entry 4. */
  u32 linear = TEST + 0x800000;
  for (u32 upper = 0; upper < 16; upper++) {
    for (u32 lower = 0; lower < 16; lower++) {
      u64 nx = 1ull << 63;
      fill(target, 0, 16);
      target[0] = 0xcd, target[1] = 0x80;
      pae_directory[4] = (u32)pae_table | (upper & 7) | (upper & 8 ? nx : 0);
      pae_table[0] = (u32)target | (lower & 7) | (lower & 8 ? nx : 0);
      SET_CR(3, pdpt);
      print("pae");
      field("cr0", cr0), field("cr4", cr4), field("efer", efer), field("ac", ac), field("pde", upper), field("pte", lower);
      all_accesses(linear, ac);
      field("pde", pae_directory[4] & 0xfff), field("pte", pae_table[0] & 0xfff);
      line();
    }
    static const u64 extra[] = {0, 1 << 13, 1ull << 51, 0x100};
    for (u32 i = 0; i < 4; i++) {
      *(u32 *)0x1000000 = 0x80cd;
      pae_directory[4] = 0x1000080 | (upper & 7) | (upper & 8 ? 1ull << 63 : 0) | extra[i];
      SET_CR(3, pdpt);
      print("pae large");
      field("cr0", cr0), field("cr4", cr4), field("efer", efer), field("ac", ac), field("pde", upper), field("extra", extra[i]);
      all_accesses(linear, ac);
      field("pde", pae_directory[4] & 0xfff);
      line();
    }
  }
  /* Reserved bits of a page table entry. */
  for (u32 bit = 40; bit < 64; bit++) {
    pae_directory[4] = (u32)pae_table | 7;
    pae_table[0] = (u32)target | 7 | 1ull << bit;
    SET_CR(3, pdpt);
    print("pae reserved");
    field("efer", efer), field("bit", bit);
    all_accesses(linear, ac);
    line();
  }
  SET_CR(4, (cr4 | PAE) & ~(SMEP | SMAP));
  SET_CR(0, PE);
  SET_CR(4, 0);
}

/* What the TLB keeps, and what drops it. */
static void caching(void) {
  SET_CR(4, PSE | PGE);
  for (u32 i = 0; i < 1024; i++) directory[i] = identity(i << 22);
  directory[TEST >> 22] = (u32)table | 7;
  SET_CR(3, directory);
  SET_CR(0, PE | PG);
  volatile u32 *p = (u32 *)TEST;
  for (u32 global = 0; global < 2; global++) {
    table[0] = (u32)target | 7 | (global ? 0x100 : 0);
    __asm__ volatile("invlpg (%0)" ::"r"(TEST));
    *(u32 *)target = 0x1111;
    print("tlb");
    field("global", global);
    field("first", *p);
    table[0] = 0x900000 | 7;
    *(u32 *)0x900000 = 0x2222;
    __asm__ volatile("invlpg (%0)" ::"r"(TEST));
    field("invlpg", *p);
    table[0] = (u32)target | 7;
    SET_CR(3, directory);
    u32 cr4 = GET_CR(4);
    SET_CR(4, cr4 & ~PGE);
    SET_CR(4, cr4);
    field("cr4", *p);
    line();
  }
  /* Accesses that cross a page: the second one faults, and nothing is written. */
  static u8 two[8192] __attribute__((aligned(4096)));
  for (u32 i = 0; i < 4; i++) {
    table[0] = (u32)two | (i & 1 ? 7 : 5);
    table[1] = ((u32)two + 4096) | (i & 2 ? 7 : 4);
    SET_CR(3, directory);
    fill(two, 0xee, sizeof two);
    for (u32 offset = 0xffd; offset < 0x1001; offset++) {
      CODE(0x89, 0x03);
      struct context c = flat(3);
      c.ebx = TEST + offset;
      c.eax = 0x44332211;
      print("crossing");
      field("pages", i), field("offset", offset);
      enter(&c);
      print_vector();
      field("low", *(u32 *)(two + 0xffc)), field("high", *(u32 *)(two + 0x1000));
      line();
    }
  }
  SET_CR(0, PE);
  SET_CR(4, 0);
}

int main(void) {
  set_up();
  user_offset = USER;
  print("paging32\n");
  static const u32 cr4s[] = {0, PSE, PSE | SMEP, PSE | SMAP, PSE | SMEP | SMAP};
  for (u32 wp = 0; wp < 2; wp++)
    for (u32 i = 1; i < 5; i++)
      for (u32 ac = 0; ac < (cr4s[i] & SMAP ? 2 : 1); ac++) legacy(wp ? WP : 0, cr4s[i], ac);
  for (u32 wp = 0; wp < 2; wp++)
    for (u32 i = 0; i < 5; i += 4)
      for (u32 nx = 0; nx < 2; nx++)
        if (nx || i == 0 && wp) pae(wp ? WP : 0, cr4s[i] & ~PSE, nx ? 1 << 11 : 0, 0);
  caching();
  finish();
}
