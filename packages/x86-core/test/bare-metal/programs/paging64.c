/* 4-level paging: permissions through all levels, large pages, accessed and dirty bits, reserved bits, the TLB. */
#include "try64.h"

static u64 tables[3][512] __attribute__((aligned(4096)));
static u8 target[4096] __attribute__((aligned(4096)));
/* Entry 4 of the PML4, the rest 0. */
#define TEST 0x20000000000ull
enum { NX = 8, WP = 1 << 16, SMEP = 1 << 20, SMAP = 1 << 21 };

static const struct { const char *name; u8 code[4]; } accesses[] = {
    {"r", {0x8b, 0x03, 0x90, 0x90}}, {"w", {0x89, 0x03, 0x90, 0x90}}, {"m", {0x83, 0x03, 0x00, 0x90}}, {"x", {0xff, 0xe3, 0x90, 0x90}}};
static void all_accesses(u64 linear) {
  for (u32 ring = 0; ring < 4; ring += 3) {
    for (u32 i = 0; i < 4; i++) {
      put_code(accesses[i].code, 4);
      struct context c = flat(ring);
      c.rbx = linear;
      c.rax = 0x80cd;
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

/* Bits 0-2 of an entry, and NX as bit 3. */
static u64 entry(u64 address, u32 bits) { return address | (bits & 7) | (bits & NX ? 1ull << 63 : 0); }

/* One level at a time takes every combination; the others allow everything. */
static void permissions(u32 cr0, u32 cr4, u64 efer) {
  SET_CR(0, GET_CR(0) & ~WP | cr0);
  SET_CR(4, GET_CR(4) & ~(u64)(SMEP | SMAP) | cr4);
  wrmsr(0xc0000080, efer);
  for (u32 level = 0; level < 6; level++) {
    for (u32 bits = 0; bits < 16; bits++) {
      if (bits & NX && !(efer & 0x800) && level != 3) continue;
      fill(target, 0, 16);
      target[0] = 0xcd, target[1] = 0x80;
      *(u32 *)0x1000000 = 0x80cd;
      /* Levels 4 and 5: 1 GiB and 2 MiB pages. */
      u32 each[4];
      for (u32 i = 0; i < 4; i++) each[i] = i == level || level == 4 && i == 1 || level == 5 && i == 2 ? bits : 7;
      pml4[4] = entry((u64)tables[0], each[0]);
      tables[0][0] = level == 4 ? entry(0x80, bits) : entry((u64)tables[1], each[1]);
      tables[1][0] = level == 5 ? entry(0x1000080, bits) : entry((u64)tables[2], each[2]);
      tables[2][0] = entry((u64)target, each[3]);
      SET_CR(3, GET_CR(3));
      print("page");
      field("cr0", cr0), field("cr4", cr4), field("efer", efer), field("level", level), field("bits", bits);
      all_accesses(TEST + (level == 4 ? 0x1000000 : 0));
      field("pml4", pml4[4] & 0xfff), field("pdpt", tables[0][0] & 0xfff), field("pd", tables[1][0] & 0xfff), field("pt", tables[2][0] & 0xfff);
      line();
    }
  }
}

static void reserved(void) {
  for (u32 level = 0; level < 6; level++) {
    for (u32 bit = 8; bit < 64; bit++) {
      /* Bits 12-39 are the address but for the low ones of large pages; 52-62 are ignored; 63 is NX. */
      u32 low = level == 4 ? bit >= 13 && bit < 30 : level == 5 ? bit >= 13 && bit < 21 : 0;
      if (!low && !(bit >= 40 && bit < 52)) continue;
      pml4[4] = (u64)tables[0] | 7;
      tables[0][0] = level == 4 ? 0x87 : (u64)tables[1] | 7;
      tables[1][0] = level == 5 ? 0x1000087 : (u64)tables[2] | 7;
      tables[2][0] = (u64)target | 7;
      u64 *e = level == 0 ? &pml4[4] : level == 1 || level == 4 ? &tables[0][0] : level == 2 || level == 5 ? &tables[1][0] : &tables[2][0];
      *e |= 1ull << bit;
      SET_CR(3, GET_CR(3));
      print("reserved");
      field("level", level), field("bit", bit);
      all_accesses(TEST);
      line();
    }
  }
  /* PS in a PML4 entry. */
  pml4[4] = (u64)tables[0] | 0x87;
  SET_CR(3, GET_CR(3));
  print("reserved ps");
  all_accesses(TEST);
  line();
}

/* The dirty and accessed bits of single accesses, from clean tables. */
static void marks(void) {
  for (u32 ring = 0; ring < 4; ring += 3) {
    for (u32 i = 0; i < 4; i++) {
      for (u32 large = 0; large < 3; large++) {
        fill(target, 0, 16);
        target[0] = 0xcd, target[1] = 0x80;
        *(u32 *)0x1000000 = 0x80cd;
        pml4[4] = (u64)tables[0] | 7;
        tables[0][0] = large == 2 ? 0x87 : (u64)tables[1] | 7;
        tables[1][0] = large == 1 ? 0x1000087 : (u64)tables[2] | 7;
        tables[2][0] = (u64)target | 7;
        SET_CR(3, GET_CR(3));
        put_code(accesses[i].code, 4);
        struct context c = flat(ring);
        c.rbx = TEST + (large == 2 ? 0x1000000 : 0);
        c.rax = 0x80cd;
        print("marks ");
        print(accesses[i].name);
        field("cpl", ring), field("large", large);
        try(c);
        field("pml4", pml4[4] & 0xfff), field("pdpt", tables[0][0] & 0xfff), field("pd", tables[1][0] & 0xfff), field("pt", tables[2][0] & 0xfff);
        line();
      }
    }
  }
}

/* Turns global pages off and on. */
static void drop_all(void) {
  u64 cr4 = GET_CR(4);
  SET_CR(4, cr4 ^ 0x80);
  SET_CR(4, cr4);
}

static void tlb(void) {
  pml4[4] = (u64)tables[0] | 7;
  tables[0][0] = (u64)tables[1] | 7;
  tables[1][0] = (u64)tables[2] | 7;
  SET_CR(4, GET_CR(4) | 0x80);
  volatile u32 *p = (u32 *)TEST;
  for (u32 global = 0; global < 2; global++) {
    tables[2][0] = (u64)target | 7 | (global ? 0x100 : 0);
    drop_all();
    *(u32 *)target = 0x1111, *(u32 *)0x1800000 = 0x2222;
    print("tlb");
    field("global", global);
    field("first", *p);
    tables[2][0] = 0x1800007 | (global ? 0x100 : 0);
    __asm__ volatile("invlpg (%0)" ::"r"(TEST));
    field("invlpg", *p);
    tables[2][0] = (u64)target | 7;
    drop_all();
    field("cr4", *p);
    line();
  }
  /* A page made read-only, then dirty tracking: a write through a clean entry sets D again. */
  tables[2][0] = (u64)target | 7;
  SET_CR(3, GET_CR(3));
  *p = 1;
  tables[2][0] &= ~0x60ull;
  SET_CR(3, GET_CR(3));
  u32 value = *p;
  print("dirty");
  field("read", tables[2][0] & 0xfff);
  *p = value;
  field("write", tables[2][0] & 0xfff);
  line();
  /* Crossing from a present page into one that is not, with every size. */
  static u8 two[4096] __attribute__((aligned(4096)));
  static const u8 codes[][4] = {{0x88, 0x03, 0x90, 0x90}, {0x66, 0x89, 0x03, 0x90}, {0x89, 0x03, 0x90, 0x90}, {0x48, 0x89, 0x03, 0x90}, {0x48, 0x87, 0x03, 0x90}, {0x48, 0xff, 0x33, 0x90}};
  for (u32 k = 0; k < 6; k++) {
    for (u32 offset = 0xff9; offset < 0x1001; offset++) {
      tables[2][0] = (u64)two | 7, tables[2][1] = 0;
      SET_CR(3, GET_CR(3));
      fill(two + 0xff0, 0xee, 16);
      put_code(codes[k], 4);
      struct context c = flat(0);
      c.rbx = TEST + offset, c.rax = 0x8877665544332211;
      print("crossing");
      field("form", k), field("offset", offset);
      try(c);
      field("memory", *(u64 *)(two + 0xff8)), field("rax", outcome.rax);
      line();
    }
  }
}

int main(void) {
  set_up();
  print("paging64\n");
  static const u32 cr4s[] = {0, SMEP | SMAP};
  for (u32 wp = 0; wp < 2; wp++)
    for (u32 i = 0; i < 2; i++)
      for (u32 nx = 0; nx < 2; nx++) permissions(wp ? WP : 0, cr4s[i], nx ? 0xd01 : 0x501);
  SET_CR(4, GET_CR(4) & ~(u64)(SMEP | SMAP));
  wrmsr(0xc0000080, 0xd01);
  reserved();
  marks();
  tlb();
  finish();
}
