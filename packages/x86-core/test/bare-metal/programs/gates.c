/* Far jumps, calls and returns, interrupts and IRET through every kind of descriptor and gate. */
#include "try32.h"

enum { SLOT2 = 0x48, CONFORMING0 = 0x50, CONFORMING3 = 0x58, DATA1 = 0x60, CODE1 = 0x68, STACK1 = 0x70 };
/* Below 64 KiB, for 16-bit gates: INT 0x80 at LANDING, and a stub for vector 0x90 at LOW_STUB. */
enum { LANDING = 0x5000, LOW_STUB = 0x5100 };

static void low_code(void) {
  u8 *landing = (u8 *)LANDING, *stub = (u8 *)LOW_STUB;
  landing[0] = 0xcd, landing[1] = 0x80;
  /* As stub 0x90, which is 10 bytes long and ends in a relative jump. */
  move(stub, stubs + 0x90 * 10, 10);
  *(u32 *)(stub + 6) += (u32)(stubs + 0x90 * 10) - LOW_STUB;
}

static void print_frame(u32 count) {
  for (u32 i = 0; i < count; i++) {
    print(i ? "," : " [");
    print_hex(i == 2 && has_error_code(outcome.vector) ? without_rf(frame()[i]) : frame()[i]);
  }
  print("]");
}

/* Slot: code of every type, gates to it; reached by EA (JMP) or 9A (CALL). */
static void transfers(const char *name, u8 opcode) {
  u8 code[7] = {opcode, LANDING & 0xff, LANDING >> 8, 0, 0, 0, 0};
  for (u32 ring = 0; ring < 4; ring += 3) {
    for (u32 type = 0; type < 32; type++) {
      /* TSS and task gates have a program of their own. */
      if (type == 1 || type == 3 || type == 5 || type == 9 || type == 11) continue;
      u32 gates = type == 4 || type == 12;
      static const u32 targets[] = {CODE0, CODE3, CONFORMING0, CONFORMING3, DATA0, 0, 0x7f8, CODE1};
      for (u32 t = 0; t < (gates ? 8 : 1); t++) {
        print(name);
        field("cpl", ring);
        field("type", type);
        if (gates) field("to", targets[t]);
        for (u32 k = 0; k < 16; k++) {
          u32 dpl = k & 3, present = ~k >> 2 & 1, rpl = k & 8 ? 3 : 0;
          u32 access = type | (dpl << 5) | (present << 7);
          gdt[SLOT / 8] = gates ? gate(targets[t], LANDING, access, 2) : descriptor(0, 0xfffff, access, 0xc);
          u32 selector = SLOT | rpl;
          code[5] = selector, code[6] = selector >> 8;
          put_code(code, 7);
          struct context c = flat(ring);
          ((u32 *)c.esp)[0] = 0x11111111, ((u32 *)c.esp)[1] = 0x22222222;
          enter(&c);
          print_vector();
          if (outcome.vector == 0x80) {
            /* EIP, CS, EFLAGS, and what the call left on the stack. */
            if (opcode == 0xea) print_frame(3);
            else print_frame(ring && !(frame()[1] & 3) ? 9 : 5);
          }
        }
        line();
      }
    }
  }
}

/* INT 0x90 through gates of every kind. */
static void interrupts(void) {
  static const u32 targets[] = {CODE0, CODE3, CONFORMING0, CONFORMING3, DATA0, 0, 0x7f8, CODE1, SLOT2};
  CODE(0xcd, 0x90);
  for (u32 ring = 0; ring < 4; ring += 3) {
    for (u32 type = 0; type < 32; type++) {
      if (type == 5) continue;
      u32 known = type == 6 || type == 7 || type == 14 || type == 15;
      for (u32 t = 0; t < (known ? 9 : 1); t++) {
        print("int");
        field("cpl", ring);
        field("type", type);
        if (known) field("to", targets[t]);
        for (u32 k = 0; k < 8; k++) {
          u32 dpl = k & 3, present = ~k >> 2 & 1;
          idt[0x90] = gate(targets[t], LOW_STUB, type | (dpl << 5) | (present << 7), 0);
          struct context c = flat(ring);
          c.eflags = 0x202;
          enter(&c);
          print_vector();
          if (outcome.vector == 0x90) {
            print_frame(ring ? 5 : 3);
          }
        }
        line();
      }
    }
  }
  /* Other vectors of the program's own, and the limit of the table. */
  struct context c;
  for (u32 ring = 0; ring < 4; ring += 3) {
    static const u8 codes[][2] = {{0xcc, 0x90}, {0xf1, 0x90}, {0xce, 0x90}, {0xcd, 3}, {0xcd, 1}, {0xcd, 13}};
    for (u32 i = 0; i < 6; i++) {
      put_code(codes[i], 2);
      c = flat(ring);
      c.eflags = 0x802;
      print("own");
      field("cpl", ring);
      field("code", codes[i][0] << 8 | codes[i][1]);
      enter(&c);
      print_vector();
      print_frame(4);
      line();
    }
  }
}

/* CB, CA, CF with a frame of `count` words below SLOT's descriptor. */
static void returns(const char *name, const u8 *code, u32 length, u32 flags, u32 to_stack) {
  put_code(code, length);
  for (u32 ring = 0; ring < 4; ring += 3) {
    for (u32 type = 0; type < 32; type++) {
      print(name);
      field(to_stack ? "ss" : "cs", type);
      field("cpl", ring);
      for (u32 k = 0; k < 32; k++) {
        u32 dpl = k & 3, present = ~k >> 2 & 1, rpl = k >> 3 & 3;
        u32 limit = type == 0x14 || type == 0x15 || type == 0x16 || type == 0x17 ? 0 : 0xfffff;
        gdt[SLOT / 8] = descriptor(0, limit, type | (dpl << 5) | (present << 7), 0xc);
        struct context c = flat(ring);
        u32 *stack = (u32 *)c.esp;
        *stack++ = LANDING;
        *stack++ = to_stack ? CODE3 : SLOT | rpl;
        if (flags) *stack++ = 0x3202;
        else if (code[0] == 0xca) *stack++ = 0x33333333, *stack++ = 0x44444444;
        *stack++ = (u32)user_stack + 1024;
        *stack++ = to_stack ? SLOT | rpl : rpl == 3 ? DATA3 : rpl == 1 ? STACK1 | 1 : DATA0 | rpl;
        enter(&c);
        print_vector();
        if (outcome.vector == 0x80) print_frame(frame()[1] & 3 ? 5 : 3);
      }
      line();
    }
  }
}

int main(void) {
  set_up();
  low_code();
  gdt[CONFORMING0 / 8] = descriptor(0, 0xfffff, 0x9e, 0xc);
  gdt[CONFORMING3 / 8] = descriptor(0, 0xfffff, 0xfe, 0xc);
  gdt[DATA1 / 8] = descriptor(0, 0xfffff, 0xb2, 0xc);
  gdt[CODE1 / 8] = descriptor(0, 0xfffff, 0xba, 0xc);
  gdt[STACK1 / 8] = descriptor(0, 0xfffff, 0xb2, 0xc);
  tss.ss1 = STACK1 | 1;
  tss.esp1 = (u32)ring0_stack - 4096;
  print("gates\n");
  transfers("jmp", 0xea);
  transfers("call", 0x9a);
  interrupts();
  static const u8 retf[] = {0xcb}, retf8[] = {0xca, 8, 0}, iret[] = {0xcf};
  returns("retf", retf, 1, 0, 0);
  returns("retf8", retf8, 3, 0, 0);
  returns("iret", iret, 1, 1, 0);
  returns("retf", retf, 1, 0, 1);
  returns("iret", iret, 1, 1, 1);
  finish();
}
