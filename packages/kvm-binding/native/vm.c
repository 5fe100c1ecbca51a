/* A VM's ioctls that make descriptors or carry pointers; memory slots are in memory.c, event descriptors in events.c. */
#include "binding.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* createVcpu(vm, id): a handle, or a negative number */
static napi_value js_create_vcpu(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  struct object *vm = NULL;
  uint32_t id;
  if (!arguments(env, info, 2, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_VM, &vm);
  if (result != 0) return value_number(env, result);
  if (!get_u32(env, argv[1], &id)) return value_number(env, FAILED_ARGUMENT);
  size_t run_bytes = vm->u.vm.run_bytes;
  int fd = kvm_ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)id);
  if (fd < 0) return value_number(env, -errno);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  void *run = mmap(NULL, run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (run == MAP_FAILED) {
    int error = -errno;
    close(fd);
    return value_number(env, error);
  }
  struct object *vcpu = object_create(OBJECT_VCPU, fd, vm);
  if (vcpu == NULL) {
    munmap(run, run_bytes);
    close(fd);
    return value_number(env, -ENOMEM);
  }
  vcpu->u.vcpu.run = run;
  vcpu->u.vcpu.run_bytes = run_bytes;
  return handle_create(env, vcpu);
}

/* createDevice(vm, type, flags): a handle, undefined for a successful test, or a negative number */
static napi_value js_create_device(napi_env env, napi_callback_info info) {
  napi_value argv[3];
  struct object *vm = NULL;
  struct kvm_create_device argument = {0};
  if (!arguments(env, info, 3, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_VM, &vm);
  if (result != 0) return value_number(env, result);
  if (!get_u32(env, argv[1], &argument.type) || !get_u32(env, argv[2], &argument.flags)) {
    return value_number(env, FAILED_ARGUMENT);
  }
  if (kvm_ioctl(vm->fd, KVM_CREATE_DEVICE, (uintptr_t)&argument) < 0) return value_number(env, -errno);
  if (argument.flags & KVM_CREATE_DEVICE_TEST) return value_undefined(env);
  struct object *device = object_create(OBJECT_DEVICE, (int)argument.fd, vm);
  if (device == NULL) {
    close((int)argument.fd);
    return value_number(env, -ENOMEM);
  }
  return handle_create(env, device);
}

/* What a dirty bitmap of `pages` pages occupies: the kernel writes whole 64-bit words. */
static uint64_t bitmap_bytes(uint64_t pages) { return (pages + 63) / 64 * 8; }

/* getDirtyLog(vm, slot, bitmap) */
static napi_value js_get_dirty_log(napi_env env, napi_callback_info info) {
  napi_value argv[3];
  struct object *vm = NULL;
  struct kvm_dirty_log argument = {0};
  uint8_t *bitmap = NULL;
  size_t length = 0;
  if (!arguments(env, info, 3, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_VM, &vm);
  if (result != 0) return value_number(env, result);
  if (!get_u32(env, argv[1], &argument.slot) || !get_bytes(env, argv[2], &bitmap, &length)) {
    return value_number(env, FAILED_ARGUMENT);
  }
  argument.dirty_bitmap = bitmap;
  pthread_mutex_lock(&vm->u.vm.lock);
  const struct region *region = region_find(vm, argument.slot);
  if (region == NULL) result = -ENOENT;
  else if (length < bitmap_bytes(region->size / PAGE_BYTES)) result = FAILED_TOO_SMALL;
  else if (kvm_ioctl(vm->fd, KVM_GET_DIRTY_LOG, (uintptr_t)&argument) < 0) result = -errno;
  pthread_mutex_unlock(&vm->u.vm.lock);
  return value_number(env, result);
}

/* clearDirtyLog(vm, slot, firstPage, pages, bitmap) */
static napi_value js_clear_dirty_log(napi_env env, napi_callback_info info) {
  napi_value argv[5];
  struct object *vm = NULL;
  struct kvm_clear_dirty_log argument = {0};
  uint8_t *bitmap = NULL;
  uint64_t first_page;
  size_t length = 0;
  if (!arguments(env, info, 5, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_VM, &vm);
  if (result != 0) return value_number(env, result);
  if (!get_u32(env, argv[1], &argument.slot) || !get_u64(env, argv[2], &first_page) ||
      !get_u32(env, argv[3], &argument.num_pages) || !get_bytes(env, argv[4], &bitmap, &length)) {
    return value_number(env, FAILED_ARGUMENT);
  }
  if (length < bitmap_bytes(argument.num_pages)) return value_number(env, FAILED_TOO_SMALL);
  argument.first_page = first_page;
  argument.dirty_bitmap = bitmap;
  if (kvm_ioctl(vm->fd, KVM_CLEAR_DIRTY_LOG, (uintptr_t)&argument) < 0) result = -errno;
  return value_number(env, result);
}

/* setMsrFilter(vm, flags, ranges): ranges are [flags, base, count, bitmap] one after another in one array */
static napi_value js_set_msr_filter(napi_env env, napi_callback_info info) {
  napi_value argv[3];
  struct object *vm = NULL;
  struct kvm_msr_filter argument = {0};
  uint32_t length = 0;
  if (!arguments(env, info, 3, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_VM, &vm);
  if (result != 0) return value_number(env, result);
  if (!get_u32(env, argv[1], &argument.flags) || napi_get_array_length(env, argv[2], &length) != napi_ok) {
    return value_number(env, FAILED_ARGUMENT);
  }
  if (length > 4 * KVM_MSR_FILTER_MAX_RANGES || length % 4 != 0) return value_number(env, FAILED_RANGE);
  for (uint32_t i = 0; i < length / 4; i++) {
    struct kvm_msr_filter_range *range = &argument.ranges[i];
    napi_value items[4];
    size_t bytes = 0;
    for (uint32_t j = 0; j < 4; j++) {
      if (napi_get_element(env, argv[2], i * 4 + j, &items[j]) != napi_ok) return value_number(env, FAILED_ARGUMENT);
    }
    if (!get_u32(env, items[0], &range->flags) || !get_u32(env, items[1], &range->base) ||
        !get_u32(env, items[2], &range->nmsrs) || !get_bytes(env, items[3], &range->bitmap, &bytes)) {
      return value_number(env, FAILED_ARGUMENT);
    }
    if (bytes < bitmap_bytes(range->nmsrs)) return value_number(env, FAILED_TOO_SMALL);
  }
  if (kvm_ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, (uintptr_t)&argument) < 0) result = -errno;
  return value_number(env, result);
}

void vm_init(napi_env env, napi_value exports) {
  set_function(env, exports, "createVcpu", js_create_vcpu);
  set_function(env, exports, "createDevice", js_create_device);
  set_function(env, exports, "getDirtyLog", js_get_dirty_log);
  set_function(env, exports, "clearDirtyLog", js_clear_dirty_log);
  set_function(env, exports, "setMsrFilter", js_set_msr_filter);
}
