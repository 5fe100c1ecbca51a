/*
 * Guest memory: memory objects (memfd, shown through windows) and the memory slots of a VM.
 *
 * A region's memory must stay as long as the guest can reach it. A slot over a memory object has a mapping of its own;
 * a slot over a SharedArrayBuffer holds a reference to a view of it, and when the thread that made that reference ends
 * before the VM does, the slot is deleted.
 */
#include "binding.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY_LIMIT (UINT64_C(1) << 46) /* less than the address space of a process */

static int set_slot(struct object *vm, const struct region *region, uint32_t flags, uint64_t address) {
  struct kvm_userspace_memory_region argument = {
      .slot = region->slot,
      .flags = flags,
      .guest_phys_addr = region->guest_phys_addr,
      .memory_size = region->size,
      .userspace_addr = address,
  };
  return kvm_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, (uintptr_t)&argument) < 0 ? -errno : 0;
}

static void region_release(struct region *region) {
  if (region->map != NULL) munmap(region->map, region->size);
  if (region->reference != NULL) environment_discard_reference(region->environment, region->reference);
  free(region);
}

/* The VM's lock is held. */
struct region *region_find(struct object *vm, uint32_t slot) {
  struct region *region = vm->u.vm.regions;
  while (region != NULL && region->slot != slot) region = region->next;
  return region;
}

static void region_remove(struct object *vm, struct region *region) {
  struct region **link = &vm->u.vm.regions;
  while (*link != region) link = &(*link)->next;
  *link = region->next;
  region_release(region);
}

void vm_discard_references(struct object *vm) {
  for (struct region *region = vm->u.vm.regions; region != NULL; region = region->next) {
    if (region->reference != NULL) environment_discard_reference(region->environment, region->reference);
    region->reference = NULL;
  }
}

void vm_destroy(struct object *vm) {
  while (vm->u.vm.regions != NULL) region_remove(vm, vm->u.vm.regions);
  pthread_mutex_destroy(&vm->u.vm.lock);
}

static int region_delete(struct object *vm, struct region *region) {
  struct region empty = {.slot = region->slot, .guest_phys_addr = region->guest_phys_addr};
  int result = set_slot(vm, &empty, 0, 0);
  if (result == 0) region_remove(vm, region);
  return result;
}

static void forget_in_vm(struct object *vm, void *environment) {
  pthread_mutex_lock(&vm->u.vm.lock);
  for (struct region *region = vm->u.vm.regions, *next; region != NULL; region = next) {
    next = region->next;
    if (region->reference != NULL && region->environment == environment) region_delete(vm, region);
  }
  pthread_mutex_unlock(&vm->u.vm.lock);
}

void memory_forget_environment(struct environment *environment) { object_for_each_vm(forget_in_vm, environment); }

static void *map_memory(const struct object *memory, uint64_t offset, uint64_t length) {
  /* Huge pages are reserved now: one that is missing later would be a SIGBUS. */
  int flags = MAP_SHARED | (memory->u.memory.huge_pages ? 0 : MAP_NORESERVE);
  return mmap(NULL, length, PROT_READ | PROT_WRITE, flags, memory->fd, (off_t)offset);
}

/* The start of bytes [offset, offset + size) of a Uint8Array over a SharedArrayBuffer. */
static int shared_address(napi_env env, napi_value view, uint64_t offset, uint64_t size, uint64_t *address) {
  uint8_t *data = NULL;
  size_t length = 0;
  napi_value buffer = NULL;
  bool detachable = true;
  if (!get_bytes(env, view, &data, &length)) return FAILED_ARGUMENT;
  if (napi_get_typedarray_info(env, view, NULL, NULL, NULL, &buffer, NULL) != napi_ok) return FAILED_ARGUMENT;
  /* An ordinary ArrayBuffer can be transferred away and freed while the guest uses it; a shared one cannot. */
  if (napi_is_arraybuffer(env, buffer, &detachable) != napi_ok || detachable) return FAILED_NOT_SHARED;
  if (offset > length || size > length - offset) return FAILED_RANGE;
  *address = (uintptr_t)data + offset;
  return *address % PAGE_BYTES != 0 ? FAILED_MISALIGNED : 0;
}

/* setUserMemoryRegion(vm, slot, flags, guestPhysAddr, memory, offset, size) */
static napi_value js_set_region(napi_env env, napi_callback_info info) {
  napi_value argv[7];
  struct object *vm = NULL, *memory = NULL;
  struct region wanted = {0};
  uint32_t flags;
  uint64_t offset, address = 0;
  if (!arguments(env, info, 7, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_VM, &vm);
  if (result != 0) return value_number(env, result);
  if (!get_u32(env, argv[1], &wanted.slot) || !get_u32(env, argv[2], &flags) ||
      !get_u64(env, argv[3], &wanted.guest_phys_addr) || !get_u64(env, argv[5], &offset) ||
      !get_u64(env, argv[6], &wanted.size)) {
    return value_number(env, FAILED_ARGUMENT);
  }
  if (wanted.size == 0) return value_number(env, FAILED_RANGE);
  if ((wanted.size | wanted.guest_phys_addr | offset) % PAGE_BYTES != 0 && handle_unwrap(env, argv[4]) != NULL) {
    return value_number(env, FAILED_MISALIGNED);
  }
  if (handle_unwrap(env, argv[4]) != NULL) {
    result = handle_get(env, argv[4], OBJECT_MEMORY, &memory);
    if (result != 0) return value_number(env, result);
    if (offset > memory->u.memory.size || wanted.size > memory->u.memory.size - offset) {
      return value_number(env, FAILED_RANGE);
    }
    void *map = map_memory(memory, offset, wanted.size);
    if (map == MAP_FAILED) return value_number(env, -errno);
    wanted.map = map;
    address = (uintptr_t)map;
  } else {
    result = shared_address(env, argv[4], offset, wanted.size, &address);
    if (result != 0) return value_number(env, result);
    wanted.environment = environment_of(env);
    if (wanted.environment == NULL || napi_create_reference(env, argv[4], 1, &wanted.reference) != napi_ok) {
      return value_number(env, -ENOMEM);
    }
  }
  struct region *region = malloc(sizeof *region);
  pthread_mutex_lock(&vm->u.vm.lock);
  result = region == NULL ? -ENOMEM : set_slot(vm, &wanted, flags, address);
  if (result == 0) {
    struct region *old = region_find(vm, wanted.slot);
    if (old != NULL) region_remove(vm, old);
    *region = wanted;
    region->next = vm->u.vm.regions;
    vm->u.vm.regions = region;
  }
  pthread_mutex_unlock(&vm->u.vm.lock);
  if (result != 0) {
    free(region);
    if (wanted.map != NULL) munmap(wanted.map, wanted.size);
    if (wanted.reference != NULL) napi_delete_reference(env, wanted.reference);
  }
  return value_number(env, result);
}

/* deleteUserMemoryRegion(vm, slot) */
static napi_value js_delete_region(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  struct object *vm = NULL;
  uint32_t slot;
  if (!arguments(env, info, 2, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_VM, &vm);
  if (result != 0) return value_number(env, result);
  if (!get_u32(env, argv[1], &slot)) return value_number(env, FAILED_ARGUMENT);
  pthread_mutex_lock(&vm->u.vm.lock);
  struct region *region = region_find(vm, slot);
  result = region == NULL ? -ENOENT : region_delete(vm, region);
  pthread_mutex_unlock(&vm->u.vm.lock);
  return value_number(env, result);
}

/* createMemory(size, hugePages): a handle, or a negative number */
static napi_value js_create_memory(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  uint64_t size;
  bool huge_pages = false;
  if (!arguments(env, info, 2, argv)) return NULL;
  if (!get_u64(env, argv[0], &size) || napi_get_value_bool(env, argv[1], &huge_pages) != napi_ok) {
    return value_number(env, FAILED_ARGUMENT);
  }
  if (size == 0 || size > MEMORY_LIMIT) return value_number(env, FAILED_RANGE);
  if (size % PAGE_BYTES != 0) return value_number(env, FAILED_MISALIGNED);
  int fd = memfd_create("guest-memory", MFD_CLOEXEC | (huge_pages ? MFD_HUGETLB : MFD_ALLOW_SEALING));
  if (fd < 0) return value_number(env, -errno);
  if (ftruncate(fd, (off_t)size) != 0) {
    int error = -errno;
    close(fd);
    return value_number(env, error);
  }
  /* A shrunk file would turn every access into SIGBUS. */
  if (!huge_pages) fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  struct object *memory = object_create(OBJECT_MEMORY, fd, NULL);
  if (memory == NULL) {
    close(fd);
    return value_number(env, -ENOMEM);
  }
  memory->u.memory.size = size;
  memory->u.memory.huge_pages = huge_pages;
  return handle_create(env, memory);
}

/* memorySize(memory) */
static napi_value js_memory_size(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  struct object *memory = NULL;
  if (!arguments(env, info, 1, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_MEMORY, &memory);
  return value_number(env, result != 0 ? result : (double)memory->u.memory.size);
}

/* memoryWindow(memory, offset, length): an ArrayBuffer over a mapping of its own, or a negative number */
static napi_value js_memory_window(napi_env env, napi_callback_info info) {
  napi_value argv[3];
  struct object *memory = NULL;
  uint64_t offset, length;
  if (!arguments(env, info, 3, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_MEMORY, &memory);
  if (result != 0) return value_number(env, result);
  if (!get_u64(env, argv[1], &offset) || !get_u64(env, argv[2], &length)) return value_number(env, FAILED_ARGUMENT);
  if (length == 0 || offset > memory->u.memory.size || length > memory->u.memory.size - offset) {
    return value_number(env, FAILED_RANGE);
  }
  if ((offset | length) % PAGE_BYTES != 0) return value_number(env, FAILED_MISALIGNED);
  void *map = map_memory(memory, offset, length);
  if (map == MAP_FAILED) return value_number(env, -errno);
  napi_value buffer = mapping_create(env, map, length);
  return buffer != NULL ? buffer : value_number(env, -ENOMEM);
}

void memory_init(napi_env env, napi_value exports) {
  set_function(env, exports, "setUserMemoryRegion", js_set_region);
  set_function(env, exports, "deleteUserMemoryRegion", js_delete_region);
  set_function(env, exports, "createMemory", js_create_memory);
  set_function(env, exports, "memorySize", js_memory_size);
  set_function(env, exports, "memoryWindow", js_memory_window);
}
