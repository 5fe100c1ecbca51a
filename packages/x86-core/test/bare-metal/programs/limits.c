/* Segment limits and access rights. QEMU does not check them: its lines are no oracle here, the manual's rules are. */
#include "try32.h"

/* Accesses through segments of every kind, at and beyond the limit. */
static void limits(void) {
  static const u32 offsets[] = {0, 0xffc, 0xffd, 0xfff, 0x1000, 0x1001, 0xfffc, 0xfffd, 0xffff, 0x10000, 0xfffffffc, 0xffffffff};
  for (u32 write = 0; write < 2; write++) {
    for (u32 type = 16; type < 32; type++) {
      /* MOV FS, AX; then a load or store of ECX at FS:[EBX]. */
      const u8 code[] = {0x8e, 0xe0, 0x64, write ? 0x89 : 0x8b, 0x0b};
      put_code(code, sizeof code);
      for (u32 big = 0; big < 2; big++) {
        gdt[SLOT / 8] = descriptor(0x800000, 0xfff, type | 0x80, big ? 4 : 0);
        print(write ? "store" : "load");
        field("type", type);
        field("big", big);
        for (u32 i = 0; i < sizeof offsets / sizeof *offsets; i++) {
          struct context c = flat(0);
          c.eax = SLOT;
          c.ebx = offsets[i];
          enter(&c);
          print_vector();
        }
        line();
      }
    }
  }
  /* The same through SS, which gives #SS; at CPL 3, so that the handler has a stack. */
  gdt[SLOT / 8] = descriptor(0x800000, 0xfff, 0xf3, 4);
  CODE(0x8e, 0xd0, 0x36, 0x8b, 0x0b);
  for (u32 i = 0; i < 5; i++) {
    struct context c = flat(3);
    c.eax = SLOT | 3;
    c.ebx = offsets[i];
    print("stack");
    field("offset", offsets[i]);
    try(c);
    line();
  }
}

int main(void) {
  set_up();
  print("limits\n");
  limits();
  finish();
}
