/* Output for bare-metal programs: text to port 0xE9, the end through port 0xF4. */
#pragma once
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned long word;

static inline void outb(u16 port, u8 value) { __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }
static inline u8 inb(u16 port) {
  u8 value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static inline void print(const char *text) {
  while (*text) outb(0xe9, (u8)*text++);
}
static inline void print_hex(u64 value) {
  int shift = 60;
  while (shift > 0 && !(value >> shift)) shift -= 4;
  for (; shift >= 0; shift -= 4) outb(0xe9, "0123456789abcdef"[(value >> shift) & 15]);
}
/* One field of a line: " name=hex". */
static inline void field(const char *name, u64 value) {
  print(" ");
  print(name);
  print("=");
  print_hex(value);
}
static inline void line(void) { print("\n"); }
static inline void finish(void) {
  print("end\n");
  for (;;) outb(0xf4, 0);
}

static inline void *fill(void *to, int value, u32 size) {
  u8 *p = to;
  for (u32 i = 0; i < size; i++) p[i] = (u8)value;
  return to;
}
static inline void move(void *to, const void *from, u32 size) {
  u8 *t = to;
  const u8 *f = from;
  for (u32 i = 0; i < size; i++) t[i] = f[i];
}
