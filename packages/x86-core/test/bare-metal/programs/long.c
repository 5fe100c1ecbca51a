/* 64-bit mode: transfers, system calls, control registers, MSRs, canonical addresses, gates with IST. */
#include "try64.h"

static void named(const char *name, u32 ring) {
  print(name);
  field("cpl", ring);
}

static void iretq_frames(void) {
  /* IRETQ with a frame for code of every type and size, null and other stacks. */
  static const u8 iretq[] = {0x48, 0xcf}, iretd[] = {0xcf}, retfq[] = {0x48, 0xcb}, retf[] = {0xcb};
  static const struct { const char *name; const u8 *code; u32 length, size, flags; } forms[] = {
      {"iretq", iretq, 2, 8, 1}, {"iretd", iretd, 1, 4, 1}, {"retfq", retfq, 2, 8, 0}, {"retf", retf, 1, 4, 0}};
  for (u32 f = 0; f < 4; f++) {
    put_code(forms[f].code, forms[f].length);
    for (u32 ring = 0; ring < 4; ring += 3) {
      for (u32 type = 16; type < 32; type++) {
        for (u32 size = 0; size < 4; size++) { /* L and D */
          named(forms[f].name, ring);
          field("type", type), field("ld", size);
          for (u32 k = 0; k < 8; k++) {
            u32 dpl = k & 1 ? 3 : 0, present = ~k >> 1 & 1, rpl = k & 4 ? 3 : 0;
            gdt[SLOT / 8] = descriptor(0, 0xfffff, type | dpl << 5 | present << 7, 8 | size << 1);
            struct context c = flat(ring);
            u64 offset = forms[f].size == 8 && size == 1 && rpl ? USER : 0;
            u64 words[5] = {(u64)code_page + 16 + offset, SLOT | rpl, 0x3202 - 0x200, (u64)kernel_stack + 1024, rpl ? DATA3 : DATA0};
            code_page[16] = 0xcd, code_page[17] = 0x80;
            u32 n = 0;
            u8 *stack = (u8 *)(c.rsp - (ring ? USER : 0));
            for (u32 i = 0; i < 5; i++) {
              if (i == 2 && !forms[f].flags) continue;
              if (forms[f].size == 8) ((u64 *)stack)[n++] = words[i];
              else ((u32 *)stack)[n++] = words[i];
            }
            enter(&c);
            print_vector();
            if (outcome.vector != 13 && outcome.vector != 11) print_frame();
          }
          line();
        }
      }
    }
  }
  /* Stacks. */
  put_code(iretq, 2);
  static const u32 stacks[] = {0, 3, DATA0, DATA3, SLOT, SLOT | 3, CODE0, 0xfff8, 1};
  for (u32 type = 16; type < 24; type += 2) {
    for (u32 present = 0; present < 2; present++) {
      for (u32 to = 0; to < 3; to++) {
        static const u32 codes[] = {CODE0, CODE3, CODE3_32};
        print("iretq");
        field("ss type", type), field("present", present), field("cs", codes[to]);
        for (u32 i = 0; i < 9; i++) {
          gdt[SLOT / 8] = descriptor(0, 0xfffff, type | (to ? 0x60 : 0) | present << 7, 0xc);
          struct context c = flat(0);
          u64 *s = (u64 *)c.rsp;
          s[0] = (u64)code_page + 16 + (to == 1 ? USER : 0), s[1] = codes[to], s[2] = 2, s[3] = (u64)kernel_stack + 1024, s[4] = stacks[i];
          enter(&c);
          print_vector();
          if (outcome.vector == 0x80) print_frame();
        }
        line();
      }
    }
  }
  /* Addresses that are not canonical, NT, flags. */
  static const u64 addresses[] = {0x7fffffffffff, 0x800000000000, 0xffff7fffffffffff, 0xffff800000000000, 1ull << 63};
  for (u32 i = 0; i < 5; i++) {
    struct context c = flat(0);
    u64 *s = (u64 *)c.rsp;
    s[0] = addresses[i], s[1] = CODE3, s[2] = 2, s[3] = 0, s[4] = DATA3;
    print("iretq rip");
    field("to", addresses[i]);
    try(c);
    field("rip", frame()[0] == (u64)code_page ? 0 : frame()[0]);
    line();
    c = flat(0);
    s[0] = (u64)code_page + 16, s[1] = CODE0, s[3] = addresses[i], s[4] = DATA0;
    print("iretq rsp");
    field("to", addresses[i]);
    set_gate(0x80, CODE0, (u64)stubs + 0x80 * 10, 0xee, 1);
    set_gate(8, CODE0, (u64)stubs + 8 * 10, 0x8e, 1);
    set_gate(12, CODE0, (u64)stubs + 12 * 10, 0x8e, 1);
    try(c);
    field("rsp", frame()[3]);
    line();
  }
  set_gate(0x80, CODE0, (u64)stubs + 0x80 * 10, 0xee, 0);
  static const u64 flags[] = {0x4002, 0x27ffd7 & ~0x124300, 0xffe7ffff & ~0x124300 & ~0x4000, 0x20002};
  for (u32 ring = 0; ring < 4; ring += 3) {
    for (u32 i = 0; i < 4; i++) {
      put_code(iretq, 2);
      code_page[16] = 0xcd;
      struct context c = flat(ring);
      u64 *s = (u64 *)(c.rsp - (ring ? USER : 0));
      s[0] = (u64)code_page + 16 + (ring ? USER : 0), s[1] = ring ? CODE3 : CODE0, s[2] = flags[i], s[3] = c.rsp, s[4] = ring ? DATA3 : DATA0;
      named("iretq flags", ring);
      field("flags", flags[i]);
      try(c);
      field("rflags", frame()[2] & ~0x10000);
      c.rflags = 0x4002;
      try(c);
      line();
    }
  }
}

static void system_calls(void) {
  CODE(0x0f, 0x05);
  u8 *landing = code_page + 64;
  landing[0] = 0xcd, landing[1] = 0x80;
  wrmsr(0xc0000081, (u64)0x18 << 48 | (u64)CODE0 << 32);
  wrmsr(0xc0000082, (u64)landing);
  wrmsr(0xc0000084, 0x47700);
  for (u32 ring = 0; ring < 4; ring += 3) {
    for (u32 sce = 0; sce < 2; sce++) {
      wrmsr(0xc0000080, 0x900 | sce);
      struct context c = flat(ring);
      c.rflags = 0x40602;
      named("syscall", ring);
      field("sce", sce);
      try(c);
      print_frame();
      if (outcome.vector == 0x80) field("rcx", outcome.rcx), field("r11", outcome.r11 & ~0x10000ull);
      line();
    }
  }
  /* SYSRET to 64- and 32-bit code, with good and bad addresses. */
  static const u64 addresses[] = {0, 0x7fffffffffff, 0x800000000000, 0xffff800000000000};
  for (u32 ring = 0; ring < 4; ring += 3) {
    for (u32 wide = 0; wide < 2; wide++) {
      for (u32 i = 0; i < 4; i++) {
        static const u8 sysretq[] = {0x48, 0x0f, 0x07}, sysretl[] = {0x0f, 0x07};
        put_code(wide ? sysretq : sysretl, wide ? 3 : 2);
        struct context c = flat(ring);
        c.rcx = i ? addresses[i] : (u64)landing + USER;
        c.r11 = 0x247fd7 & ~0x204300;
        /* In 32-bit code the landing is not mapped for user mode: a page fault says where it went. */
        named("sysret", ring);
        field("wide", wide), field("rcx", c.rcx);
        try(c);
        if (outcome.vector != 13) print_frame();
        line();
      }
    }
  }
  /* SYSENTER and SYSEXIT. */
  for (u32 selector = 0; selector < 12; selector += 8) {
    wrmsr(0x174, selector);
    wrmsr(0x175, (u64)kernel_stack + 1024);
    wrmsr(0x176, (u64)landing);
    for (u32 ring = 0; ring < 4; ring += 3) {
      CODE(0x0f, 0x34);
      struct context c = flat(ring);
      c.rflags = 0x246;
      named("sysenter", ring);
      field("msr", selector);
      try(c);
      print_frame();
      line();
      for (u32 wide = 0; wide < 2; wide++) {
        static const u8 sysexitq[] = {0x48, 0x0f, 0x35}, sysexitl[] = {0x0f, 0x35};
        for (u32 i = 0; i < 3; i++) {
          put_code(wide ? sysexitq : sysexitl, wide ? 3 : 2);
          c = flat(ring);
          c.rdx = i == 1 ? 0x800000000000 : (u64)landing + USER;
          c.rcx = i == 2 ? 0x800000000000 : (u64)user_stack + USER + 1024;
          named("sysexit", ring);
          field("msr", selector), field("wide", wide), field("case", i);
          try(c);
          if (outcome.vector != 13) print_frame();
          line();
        }
      }
    }
  }
}

static void control_registers(void) {
  /* Writes to CR0, CR3, CR4 and CR8 that must fail, one bit at a time; good ones are undone by their own code. */
  u64 cr0 = GET_CR(0), cr4 = GET_CR(4), cr3 = GET_CR(3);
  /* mov %crN, %rbx; mov %rax, %crN; mov %crN, %rcx; mov %rbx, %crN */
  static const u8 code0[] = {0x0f, 0x20, 0xc3, 0x0f, 0x22, 0xc0, 0x0f, 0x20, 0xc1, 0x0f, 0x22, 0xc3};
  static const u8 code3[] = {0x0f, 0x20, 0xdb, 0x0f, 0x22, 0xd8, 0x0f, 0x20, 0xd9, 0x0f, 0x22, 0xdb};
  static const u8 code4[] = {0x0f, 0x20, 0xe3, 0x0f, 0x22, 0xe0, 0x0f, 0x20, 0xe1, 0x0f, 0x22, 0xe3};
  static const u8 code8[] = {0x44, 0x0f, 0x20, 0xc3, 0x44, 0x0f, 0x22, 0xc0, 0x44, 0x0f, 0x20, 0xc1, 0x44, 0x0f, 0x22, 0xc3};
  for (u32 bit = 0; bit < 64; bit++) {
    print("cr");
    field("bit", bit);
    struct context c = flat(0);
    /* PCID, UMIP and later bits depend on the processor: left out. */
    if (bit != 16) {
      put_code(code0, sizeof code0);
      c.rax = cr0 ^ 1ull << bit;
      print(" cr0"), try(c);
      /* QEMU keeps reserved bits. */
      if (outcome.vector == 0x80) field("is", outcome.rcx & 0xe005003f);
    }
    put_code(code3, sizeof code3);
    c.rax = cr3 ^ 1ull << bit;
    if (bit < 5) print(" cr3"), try(c);
    /* QEMU lets PAE be cleared, and stops for good at reserved bits. */
    if (bit < 11 && bit != 5) {
      put_code(code4, sizeof code4);
      c.rax = cr4 ^ 1ull << bit;
      print(" cr4"), try(c);
      if (outcome.vector == 0x80) field("is", outcome.rcx);
    }
    put_code(code8, sizeof code8);
    c.rax = 1ull << bit;
    print(" cr8"), try(c);
    if (outcome.vector == 0x80) field("is", outcome.rcx);
    line();
  }
  /* Registers that do not exist, privilege. */
  static const u8 opcodes[][3] = {{0x0f, 0x20, 0xc0}, {0x0f, 0x22, 0xd8},
                                  {0x0f, 0x21, 0xc0}, {0x0f, 0x21, 0xe0}, {0x0f, 0x23, 0xe8}, {0x0f, 0x01, 0xe0}, {0x0f, 0x01, 0xf0}, {0x0f, 0x06, 0x90},
                                  {0x0f, 0x08, 0x90}, {0x0f, 0x09, 0x90}, {0x0f, 0x32, 0x90}, {0x0f, 0x00, 0xc0}, {0x0f, 0x00, 0xc8}, {0xf4, 0x90, 0x90}, {0xfa, 0x90, 0x90},
                                  {0xfb, 0x90, 0x90}, {0x0f, 0x01, 0x38}, {0xe4, 0x80, 0x90}, {0xe6, 0x80, 0x90}, {0x0f, 0x31, 0x90}, {0x0f, 0x01, 0xf8},
                                  {0x0f, 0x01, 0x10}, {0x0f, 0x00, 0xd0}, {0x0f, 0x00, 0xd8}, {0x0f, 0xaa, 0x90}, {0x0f, 0x0b, 0x90}, {0x0f, 0xb9, 0xc0}, {0x0f, 0xff, 0xc0},
                                  {0x06, 0x90, 0x90}, {0x27, 0x90, 0x90}, {0x60, 0x90, 0x90}, {0x62, 0x90, 0x90}, {0x9a, 0x90, 0x90}, {0xce, 0x90, 0x90}, {0xd4, 0x0a, 0x90},
                                  {0xd6, 0x90, 0x90}, {0xea, 0x90, 0x90}, {0x82, 0xc0, 0x90}, {0x0f, 0x04, 0x90}, {0xf0, 0x90, 0x90}, {0xf0, 0x01, 0xc0}, {0x8e, 0xc8, 0x90}};
  for (u32 i = 0; i < sizeof opcodes / 3; i++) {
    for (u32 ring = 0; ring < 4; ring += 3) {
      /* HLT would stop, LTR and LGDT would stick at CPL 0. */
      if (!ring && (opcodes[i][0] == 0xf4 || (opcodes[i][0] == 0x0f && opcodes[i][1] <= 1 && opcodes[i][2] != 0x38 && opcodes[i][2] != 0xe0))) continue;
      put_code(opcodes[i], 3);
      struct context c = flat(ring);
      c.rax = ring ? (u64)user_stack + USER : (u64)user_stack;
      if (opcodes[i][1] == 0x32) c.rcx = 0x10;
      if (opcodes[i][1] == 0x22) c.rax = cr3;
      named("opcode", ring);
      for (u32 k = 0; k < 3; k++) field("", opcodes[i][k]);
      try(c);
      line();
    }
  }
}

static void msrs(void) {
  static const u32 numbers[] = {0x1b, 0x174, 0x175, 0x176, 0x277, 0x2ff, 0x200, 0x201, 0x250, 0x26f, 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083,
                                0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102, 0xc0000103};
  /* QEMU checks no values: only good ones here, bad ones in msr.test.ts. */
  static const u64 values[] = {0, 6, 0x7fffffffffff, 0xffff800000000000};
  for (u32 n = 0; n < sizeof numbers / sizeof *numbers; n++) {
    if (numbers[n] == 0x1b || numbers[n] == 0xc0000080) continue;
    print("msr");
    field("n", numbers[n]);
    u32 addresses = numbers[n] == 0x175 || numbers[n] == 0x176 || (numbers[n] >= 0xc0000082 && numbers[n] <= 0xc0000102 && numbers[n] != 0xc0000084);
    for (u32 v = 0; v < (addresses ? 4 : numbers[n] == 0x201 ? 1 : 2); v++) {
      /* wrmsr; rdmsr */
      CODE(0x0f, 0x30, 0x0f, 0x32);
      struct context c = flat(0);
      c.rcx = numbers[n], c.rax = (u32)values[v], c.rdx = values[v] >> 32;
      u64 gs = rdmsr(0xc0000101);
      enter(&c);
      print_vector();
      if (outcome.vector == 0x80) field("", outcome.rdx << 32 | outcome.rax);
    }
    line();
  }
  for (u32 bit = 0; bit < 64; bit++) {
    CODE(0x0f, 0x30);
    struct context c = flat(0);
    u64 value = 0xd01 ^ 1ull << bit;
    c.rcx = 0xc0000080, c.rax = (u32)value, c.rdx = value >> 32;
    /* LME must not change under paging; QEMU lets it. */
    if (bit != 0 && bit != 10 && bit != 11) continue;
    print("efer");
    field("bit", bit);
    try(c);
    field("is", rdmsr(0xc0000080));
    line();
    wrmsr(0xc0000080, 0xd01);
  }
  /* SWAPGS, and the bases through FS and GS. */
  wrmsr(0xc0000101, 0x1111), wrmsr(0xc0000102, 0x2222);
  CODE(0x0f, 0x01, 0xf8);
  struct context c = flat(0);
  print("swapgs"), try(c);
  field("gs", rdmsr(0xc0000101)), field("kernel", rdmsr(0xc0000102));
  line();
  wrmsr(0xc0000100, (u64)user_stack), *(u64 *)(user_stack + 8) = 0x123456789abcdef;
  CODE(0x64, 0x48, 0x8b, 0x43, 0x08);
  c = flat(0), print("fs"), try(c), field("rax", outcome.rax), line();
  /* A null selector clears the base; one that is not null loads it from the descriptor. */
  CODE(0x8e, 0xe0);
  c = flat(0), c.rax = 0, print("null fs"), try(c), field("base", rdmsr(0xc0000100)), line();
  gdt[SLOT / 8] = descriptor(0x12345678, 0, 0x93, 4);
  c.rax = SLOT, print("fs"), try(c), field("base", rdmsr(0xc0000100)), line();
}

static void gates(void) {
  /* Gate types, code sizes, IST, misaligned stacks. */
  CODE(0xcd, 0x90);
  for (u32 ring = 0; ring < 4; ring += 3) {
    for (u32 type = 0; type < 32; type++) {
      named("int", ring);
      field("type", type);
      for (u32 k = 0; k < 16; k++) {
        u32 dpl = k & 1 ? 3 : 0, present = ~k >> 1 & 1, size = k >> 2 & 3;
        gdt[SLOT / 8] = descriptor(0, 0xfffff, 0x9a, 8 | size << 1);
        set_gate(0x90, SLOT, (u64)stubs + 0x90 * 10, type | dpl << 5 | present << 7, k & 1);
        struct context c = flat(ring);
        c.rsp -= 3;
        c.rflags = 0x202;
        enter(&c);
        print_vector();
        if (outcome.vector == 0x90) print_frame(), field("rsp", outcome_rsp), field("ss", outcome_ss & 0xffff);
      }
      line();
    }
  }
  /* Far jumps and calls through memory, to code and 64-bit call gates. */
  for (u32 ring = 0; ring < 4; ring += 3) {
    for (u32 call = 0; call < 2; call++) {
      for (u32 type = 0; type < 32; type++) {
        named(call ? "callf" : "jmpf", ring);
        field("type", type);
        for (u32 k = 0; k < 32; k++) {
          u32 dpl = k & 1 ? 3 : 0, present = ~k >> 1 & 1, size = k >> 2 & 3, rpl = k & 16 ? 3 : 0;
          /* L and D together: iretq_frames has it. */
          if (type >= 16 && size == 3) continue;
          const u8 code[] = {0xff, call ? 0x18 : 0x28}; /* far through (%rax) */
          put_code(code, 2);
          u8 *landing = code_page + 64;
          landing[0] = 0xcd, landing[1] = 0x80;
          u32 access = type | dpl << 5 | present << 7;
          if (type < 16) {
            u64 target = (u64)landing + (size & 1 && ring ? USER : 0);
            gdt[SLOT / 8] = ((target & 0xffff0000) << 32) | ((u64)access << 40) | ((size & 1 ? CODE3 : CODE0) << 16) | (target & 0xffff);
            gdt[SLOT / 8 + 1] = (target >> 32) | (size & 2 ? 1ull << 40 : 0);
          } else gdt[SLOT / 8] = descriptor(0, 0xfffff, access, 8 | size << 1);
          u8 *pointer = user_stack;
          *(u32 *)pointer = (u32)(u64)landing, *(u16 *)(pointer + 4) = SLOT | rpl;
          struct context c = flat(ring);
          c.rax = (u64)pointer + (ring ? USER : 0);
          enter(&c);
          print_vector();
          if (outcome.vector == 0x80) print_frame();
        }
        line();
      }
    }
  }
  gdt[SLOT / 8 + 1] = 0;
  /* LTR and LLDT of 16-byte descriptors. */
  for (u32 type = 0; type < 16; type++) {
    for (u32 ltr = 0; ltr < 2; ltr++) {
      print(ltr ? "ltr" : "lldt");
      field("type", type);
      for (u32 k = 0; k < 2; k++) {
        gdt[SLOT / 8] = descriptor((u32)(u64)&tss, sizeof tss - 1, type | (k & 1 ? 0 : 0x80), 0);
        const u8 code[] = {0x0f, 0x00, ltr ? 0xd8 : 0xd0};
        put_code(code, 3);
        struct context c = flat(0);
        c.rax = SLOT;
        enter(&c);
        print_vector();
        field("now", gdt[SLOT / 8] >> 40 & 0xff);
      }
      line();
    }
  }
  gdt[SLOT / 8 + 1] = 0;
}

static void addresses(void) {
  static const u64 list[] = {0x7ffffffffff8, 0x7ffffffffffc, 0x800000000000, 0xffff7ffffffffffc, 0xffff800000000000, 0x8000000000000000, 0xfffffffffffffffc};
  static const struct { const char *name; u8 code[4]; } forms[] = {
      {"load", {0x48, 0x8b, 0x03, 0x90}}, {"store", {0x48, 0x89, 0x03, 0x90}}, {"stack", {0x48, 0x8b, 0x45, 0x00}}, {"jump", {0xff, 0xe3, 0x90, 0x90}},
      {"push", {0x48, 0x89, 0xdc, 0x50}}, {"call", {0xff, 0xd3, 0x90, 0x90}}, {"lods", {0x48, 0xad, 0x90, 0x90}}, {"invlpg", {0x0f, 0x01, 0x3b, 0x90}}, {"clflush", {0x0f, 0xae, 0x3b, 0x90}}};
  /* #SS and #DF get a good stack. */
  for (u32 f = 0; f < 9; f++) {
    for (u32 i = 0; i < 7; i++) {
      put_code(forms[f].code, 4);
      for (u32 v = 0; v < 15; v++) set_gate(v, CODE0, (u64)stubs + v * 10, 0x8e, 1);
      struct context c = flat(0);
      c.rbx = c.rbp = c.rsi = list[i];
      print(forms[f].name);
      field("at", list[i]);
      try(c);
      field("rip", frame()[0] - (u64)code_page < 64 ? frame()[0] - (u64)code_page : frame()[0]);
      line();
    }
  }
  for (u32 v = 0; v < 15; v++) set_gate(v, CODE0, (u64)stubs + v * 10, 0x8e, 0);
}

/* Contributory faults during delivery. */
static void double_faults(void) {
  static const struct { const char *name; u8 code[4]; } first[] = {
      {"ud", {0x0f, 0x0b, 0x90, 0x90}}, {"de", {0x31, 0xc9, 0xf7, 0xf1}}, {"gp", {0x8e, 0xd8, 0x90, 0x90}}, {"pf", {0x8b, 0x03, 0x90, 0x90}}, {"int", {0xcd, 0x0d, 0x90, 0x90}}, {"bp", {0xcc, 0x90, 0x90, 0x90}}};
  static const u8 vectors[] = {6, 0, 13, 14, 13, 3};
  /* The gate of the first is absent, of a bad type, has a bad selector, or its stack is not mapped. */
  for (u32 f = 0; f < 6; f++) {
    for (u32 how = 0; how < 5; how++) {
      u32 v = vectors[f];
      put_code(first[f].code, 4);
      for (u32 i = 0; i < 15; i++) set_gate(i, CODE0, (u64)stubs + i * 10, 0xee, 1);
      if (how == 0) set_gate(v, CODE0, (u64)stubs + v * 10, 0x6e, 0);
      if (how == 1) set_gate(v, CODE0, (u64)stubs + v * 10, 0xe5, 0);
      if (how == 2) set_gate(v, 0xff8, (u64)stubs + v * 10, 0xee, 0);
      if (how == 3) set_gate(v, CODE0, (u64)stubs + v * 10, 0xee, 2), tss.ist[1] = 0x5000000000;
      if (how == 4) set_gate(v, CODE0, (u64)stubs + v * 10, 0xee, 2), tss.ist[1] = 0x800000000000;
      for (u32 ring = 0; ring < 4; ring += 3) {
        struct context c = flat(ring);
        c.rax = 0xfff8, c.rbx = 0x6000000000;
        named(first[f].name, ring);
        field("how", how);
        try(c);
        field("rip", frame()[0] & 0xfff);
        line();
      }
    }
  }
  for (u32 i = 0; i < 15; i++) set_gate(i, CODE0, (u64)stubs + i * 10, 0x8e, 0);
}

int main(void) {
  set_up();
  print("long\n");
  iretq_frames();
  system_calls();
  control_registers();
  msrs();
  gates();
  addresses();
  double_faults();
  finish();
}
