/* The peer of exits.mjs: the same guest, the same ioctls, in C. usage: exits <io|mmio> <count>; prints ns per exit. */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e9 + time.tv_nsec;
}

int main(int argc, char **argv) {
  /* mov al, 1; mov dx, 0x10; out dx, al; jmp to it */
  static const unsigned char io[] = {0xb0, 0x01, 0xba, 0x10, 0x00, 0xee, 0xeb, 0xfd};
  /* mov ax, 0xa000; mov ds, ax; mov al, 1; mov [0], al; jmp to it */
  static const unsigned char mmio[] = {0xb8, 0x00, 0xa0, 0x8e, 0xd8, 0xb0, 0x01, 0xa2, 0x00, 0x00, 0xeb, 0xfb};
  if (argc < 3) return 2;
  int is_io = strcmp(argv[1], "io") == 0;
  long count = atol(argv[2]);
  unsigned char *memory = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(memory + 0x1000, is_io ? io : mmio, is_io ? sizeof io : sizeof mmio);
  int kvm = open("/dev/kvm", O_RDWR);
  int vm = ioctl(kvm, KVM_CREATE_VM, 0);
  struct kvm_userspace_memory_region region = {.memory_size = 0x10000, .userspace_addr = (unsigned long)memory};
  if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) != 0) return 1;
  int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
  struct kvm_run *run =
      mmap(NULL, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  struct kvm_sregs sregs;
  if (ioctl(vcpu, KVM_GET_SREGS, &sregs) != 0) return 1;
  sregs.cs.base = 0;
  sregs.cs.selector = 0;
  if (ioctl(vcpu, KVM_SET_SREGS, &sregs) != 0) return 1;
  struct kvm_regs regs = {.rip = 0x1000, .rflags = 2};
  if (ioctl(vcpu, KVM_SET_REGS, &regs) != 0) return 1;
  long sum = 0;
  double start = 0;
  for (long i = -count / 10; i < count; i++) {
    if (i == 0) start = now();
    if (ioctl(vcpu, KVM_RUN, 0) != 0) return 1;
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
      sum += ((unsigned char *)run)[run->io.data_offset];
      break;
    case KVM_EXIT_MMIO:
      sum += run->mmio.data[0];
      break;
    default:
      return 1;
    }
  }
  printf("%.1f\n", (now() - start) / count);
  return sum == count + count / 10 ? 0 : 1;
}
