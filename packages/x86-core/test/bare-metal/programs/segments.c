/* Segment loads and inspections: every descriptor type, privilege and presence, at CPL 0 and 3. */
#include "try32.h"

static void set_slot(u32 type, u32 dpl, u32 present) {
  /* Base 0, limit 4 GiB for code and data (0 when they expand down); small for system types. */
  u32 flags = type & 16 ? 0xc : 0;
  u32 limit = !(type & 16) ? 0x1234 : (type & 0xc) == 4 ? 0 : 0xfffff;
  gdt[SLOT / 8] = descriptor(0, limit, type | (dpl << 5) | (present << 7), flags);
}

/* MOV of AX to a segment register. */
static void moves(const char *name, u8 modrm) {
  const u8 code[] = {0x8e, modrm};
  put_code(code, sizeof code);
  for (u32 ring = 0; ring < 4; ring += 3) {
    for (u32 type = 0; type < 32; type++) {
      print(name);
      field("cpl", ring);
      field("type", type);
      for (u32 k = 0; k < 16; k++) {
        u32 dpl = k & 3, present = ~k >> 2 & 1, rpl = k & 8 ? 3 : 0;
        set_slot(type, dpl, present);
        struct context c = flat(ring);
        c.eax = SLOT | rpl;
        enter(&c);
        print_vector();
        /* The accessed bit in memory, and the selector that was loaded. */
        if (outcome.vector == 0x80) print((gdt[SLOT / 8] >> 40) & 1 ? "A" : "-");
      }
      line();
    }
  }
}

/* Instructions that look at a descriptor: result register and ZF. */
static void inspect(const char *name, const u8 *code, u32 length) {
  put_code(code, length);
  for (u32 ring = 0; ring < 4; ring += 3) {
    for (u32 type = 0; type < 32; type++) {
      print(name);
      field("cpl", ring);
      field("type", type);
      for (u32 k = 0; k < 16; k++) {
        u32 dpl = k & 3, present = ~k >> 2 & 1, rpl = k & 8 ? 3 : 0;
        set_slot(type, dpl, present);
        struct context c = flat(ring);
        c.eax = SLOT | rpl;
        c.ecx = 0x5555aaaa;
        enter(&c);
        print_vector();
        field("cx", outcome.ecx);
        print(frame()[2] & 0x40 ? "Z" : "-");
      }
      line();
    }
  }
}
#define INSPECT(name, ...) \
  do { \
    static const u8 bytes_[] = {__VA_ARGS__}; \
    inspect(name, bytes_, sizeof bytes_); \
  } while (0)

static void special(const char *name, u32 ring, u32 eax) {
  struct context c = flat(ring);
  c.eax = eax;
  print(name);
  field("cpl", ring);
  field("ax", eax);
  try(c);
  line();
}

int main(void) {
  set_up();
  print("segments\n");
  moves("mov ds", 0xd8);
  moves("mov gs", 0xe8);
  /* SS at CPL 0 and 3; at the end it is the stack of INT 0x80's frame only for CPL 0. */
  moves("mov ss", 0xd0);
  special("null ds", 0, 0), special("null ds", 3, 3), special("null ss", 0, 0), special("null ss", 3, 3);
  CODE(0x8e, 0xd8);
  special("beyond gdt", 0, 0xfff8), special("beyond gdt", 3, 0x200), special("no ldt", 0, 0x44);
  CODE(0x8e, 0xc8);
  special("mov cs", 0, SLOT);
  CODE(0x8e, 0xf0);
  special("segment 6", 0, SLOT);
  CODE(0x8c, 0xf8);
  special("segment 7", 0, SLOT);
  gdt[LDT_MAIN / 8] = descriptor((u32)gdt, 0x47, 0x82, 0);
  CODE(0x0f, 0x00, 0xd0);
  special("lldt", 3, LDT_MAIN), special("lldt", 0, DATA0), special("lldt", 0, LDT_MAIN | 4), special("lldt", 0, LDT_MAIN);
  CODE(0x8e, 0xd8);
  set_slot(0x12, 0, 1);
  special("ldt entry", 0, 0x44), special("ldt entry", 0, 0x14), special("beyond ldt", 0, 0x4c);
  CODE(0x0f, 0x00, 0xd0);
  special("null ldt", 0, 0);
  gdt[LDT_MAIN / 8] = descriptor((u32)gdt, 0x47, 0x02, 0);
  special("absent ldt", 0, LDT_MAIN);
  CODE(0x0f, 0x00, 0xd8);
  special("ltr busy", 0, TSS_MAIN), special("ltr data", 0, DATA0), special("ltr", 3, TSS_MAIN);
  INSPECT("lar", 0x0f, 0x02, 0xc8);
  INSPECT("lsl", 0x0f, 0x03, 0xc8);
  INSPECT("verr", 0x0f, 0x00, 0xe0);
  INSPECT("verw", 0x0f, 0x00, 0xe8);
  finish();
}
