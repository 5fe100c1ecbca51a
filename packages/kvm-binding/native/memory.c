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

/* `extended`: by KVM_SET_USER_MEMORY_REGION2, whose structure begins with that of its predecessor. */
static int set_slot(struct object *vm, const struct region *region, uint32_t flags, uint64_t address, bool extended,
                    uint64_t guest_memfd_offset) {
  struct kvm_userspace_memory_region2 argument = {
      .slot = region->slot,
      .flags = flags,
      .guest_phys_addr = region->guest_phys_addr,
      .memory_size = region->size,
      .userspace_addr = address,
  };
  if (region->guest_memfd >= 0) {
    argument.guest_memfd = (uint32_t)region->guest_memfd;
    argument.guest_memfd_offset = guest_memfd_offset;
  }
  unsigned long request = extended ? KVM_SET_USER_MEMORY_REGION2 : KVM_SET_USER_MEMORY_REGION;
  return kvm_ioctl(vm->fd, request, (uintptr_t)&argument) < 0 ? -errno : 0;
}

static void region_release(struct region *region) {
  if (region->map != NULL) munmap(region->map, region->size);
  if (region->guest_memfd >= 0) close(region->guest_memfd);
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
  struct region empty = {.slot = region->slot, .guest_phys_addr = region->guest_phys_addr, .guest_memfd = -1};
  int result = set_slot(vm, &empty, 0, 0, false, 0);
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

/* What a slot over a memory object shows: a mapping that the region owns. */
static int map_region(struct region *wanted, const struct object *memory, uint64_t offset, uint64_t *address) {
  if (offset > memory->u.memory.size || wanted->size > memory->u.memory.size - offset) return FAILED_RANGE;
  void *map = map_memory(memory, offset, wanted->size);
  if (map == MAP_FAILED) return -errno;
  wanted->map = map;
  *address = (uintptr_t)map;
  return 0;
}

/* A slot whose memory only the guest may touch still has addresses in this process: some that lead nowhere. */
static int reserve_region(struct region *wanted, uint64_t *address) {
  void *map = mmap(NULL, wanted->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED) return -errno;
  wanted->map = map;
  *address = (uintptr_t)map;
  return 0;
}

/* The region's memory in this process: `view` is a view, a memory object, or nothing beside a guest_memfd. */
static int place_region(napi_env env, struct region *wanted, napi_value view, uint64_t offset,
                        const struct object *guest_memfd, uint64_t guest_memfd_offset, uint64_t *address) {
  struct object *memory = NULL;
  if (guest_memfd != NULL && is_nullish(env, view)) {
    return guest_memfd->u.memory.mappable ? map_region(wanted, guest_memfd, guest_memfd_offset, address)
                                          : reserve_region(wanted, address);
  }
  if (handle_unwrap(env, view) != NULL) {
    int result = handle_get(env, view, OBJECT_MEMORY, &memory);
    return result != 0 ? result : map_region(wanted, memory, offset, address);
  }
  int result = shared_address(env, view, offset, wanted->size, address);
  if (result != 0) return result;
  wanted->environment = environment_of(env);
  if (wanted->environment == NULL || napi_create_reference(env, view, 1, &wanted->reference) != napi_ok) return -ENOMEM;
  return 0;
}

/* Makes the slot, in place of one with its number. */
static int install_region(struct object *vm, const struct region *wanted, uint32_t flags, uint64_t address,
                          bool extended, uint64_t guest_memfd_offset) {
  struct region *region = malloc(sizeof *region);
  if (region == NULL) return -ENOMEM;
  pthread_mutex_lock(&vm->u.vm.lock);
  int result = set_slot(vm, wanted, flags, address, extended, guest_memfd_offset);
  if (result != 0) {
    pthread_mutex_unlock(&vm->u.vm.lock);
    free(region);
    return result;
  }
  struct region *old = region_find(vm, wanted->slot);
  if (old != NULL) region_remove(vm, old);
  *region = *wanted;
  region->next = vm->u.vm.regions;
  vm->u.vm.regions = region;
  pthread_mutex_unlock(&vm->u.vm.lock);
  return 0;
}

/*
 * setUserMemoryRegion(vm, slot, flags, guestPhysAddr, memory, offset, size, extended, guestMemfd, guestMemfdOffset);
 * extended: KVM_SET_USER_MEMORY_REGION2, which can have a guest_memfd
 */
static napi_value js_set_region(napi_env env, napi_callback_info info) {
  napi_value argv[10];
  struct object *vm = NULL, *guest_memfd = NULL;
  struct region wanted = {.guest_memfd = -1};
  uint32_t flags;
  uint64_t offset, guest_memfd_offset, address = 0;
  bool extended = false;
  if (!arguments(env, info, 10, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_VM, &vm);
  if (result != 0) return value_number(env, result);
  if (!get_u32(env, argv[1], &wanted.slot) || !get_u32(env, argv[2], &flags) ||
      !get_u64(env, argv[3], &wanted.guest_phys_addr) || !get_u64(env, argv[5], &offset) ||
      !get_u64(env, argv[6], &wanted.size) || napi_get_value_bool(env, argv[7], &extended) != napi_ok ||
      !get_u64(env, argv[9], &guest_memfd_offset)) {
    return value_number(env, FAILED_ARGUMENT);
  }
  if (wanted.size == 0) return value_number(env, FAILED_RANGE);
  if (extended && !is_nullish(env, argv[8])) {
    result = handle_get(env, argv[8], OBJECT_GUEST_MEMFD, &guest_memfd);
    if (result != 0) return value_number(env, result);
    flags |= (uint32_t)KVM_MEM_GUEST_MEMFD;
  }
  if ((guest_memfd != NULL || handle_unwrap(env, argv[4]) != NULL) &&
      (wanted.size | wanted.guest_phys_addr | offset | guest_memfd_offset) % PAGE_BYTES != 0) {
    return value_number(env, FAILED_MISALIGNED);
  }
  if (guest_memfd != NULL) {
    wanted.guest_memfd = fcntl(guest_memfd->fd, F_DUPFD_CLOEXEC, 3);
    if (wanted.guest_memfd < 0) return value_number(env, -errno);
  }
  result = place_region(env, &wanted, argv[4], offset, guest_memfd, guest_memfd_offset, &address);
  if (result == 0) result = install_region(vm, &wanted, flags, address, extended, guest_memfd_offset);
  if (result != 0) {
    if (wanted.guest_memfd >= 0) close(wanted.guest_memfd);
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

/* createGuestMemfd(vm, size, flags): a handle, or a negative number */
static napi_value js_create_guest_memfd(napi_env env, napi_callback_info info) {
  napi_value argv[3];
  struct object *vm = NULL;
  uint64_t size, flags;
  if (!arguments(env, info, 3, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_VM, &vm);
  if (result != 0) return value_number(env, result);
  if (!get_u64(env, argv[1], &size) || !get_u64(env, argv[2], &flags)) return value_number(env, FAILED_ARGUMENT);
  if (size == 0 || size > MEMORY_LIMIT) return value_number(env, FAILED_RANGE);
  if (size % PAGE_BYTES != 0) return value_number(env, FAILED_MISALIGNED);
  struct kvm_create_guest_memfd argument = {.size = size, .flags = flags};
  int fd = kvm_ioctl(vm->fd, KVM_CREATE_GUEST_MEMFD, (uintptr_t)&argument);
  if (fd < 0) return value_number(env, -errno);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  struct object *memory = object_create(OBJECT_GUEST_MEMFD, fd, NULL);
  if (memory == NULL) {
    close(fd);
    return value_number(env, -ENOMEM);
  }
  memory->u.memory.size = size;
  /* Memory that is private to the guest at first can be mapped too, but touching it would be a SIGBUS. */
  const uint64_t touchable = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED;
  memory->u.memory.mappable = (flags & touchable) == touchable;
  return handle_create(env, memory);
}

/* A memory object of either kind. */
static int memory_get(napi_env env, napi_value value, struct object **memory) {
  int result = handle_get(env, value, OBJECT_MEMORY, memory);
  return result == FAILED_ARGUMENT ? handle_get(env, value, OBJECT_GUEST_MEMFD, memory) : result;
}

/* memorySize(memory) */
static napi_value js_memory_size(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  struct object *memory = NULL;
  if (!arguments(env, info, 1, argv)) return NULL;
  int result = memory_get(env, argv[0], &memory);
  return value_number(env, result != 0 ? result : (double)memory->u.memory.size);
}

/* memoryWindow(memory, offset, length): an ArrayBuffer over a mapping of its own, or a negative number */
static napi_value js_memory_window(napi_env env, napi_callback_info info) {
  napi_value argv[3];
  struct object *memory = NULL;
  uint64_t offset, length;
  if (!arguments(env, info, 3, argv)) return NULL;
  int result = memory_get(env, argv[0], &memory);
  if (result != 0) return value_number(env, result);
  if (!get_u64(env, argv[1], &offset) || !get_u64(env, argv[2], &length)) return value_number(env, FAILED_ARGUMENT);
  if (length == 0 || offset > memory->u.memory.size || length > memory->u.memory.size - offset) {
    return value_number(env, FAILED_RANGE);
  }
  if ((offset | length) % PAGE_BYTES != 0) return value_number(env, FAILED_MISALIGNED);
  if (memory->kind == OBJECT_GUEST_MEMFD && !memory->u.memory.mappable) return value_number(env, FAILED_REFUSED);
  void *map = map_memory(memory, offset, length);
  if (map == MAP_FAILED) return value_number(env, -errno);
  napi_value buffer = mapping_create(env, map, length);
  return buffer != NULL ? buffer : value_number(env, -ENOMEM);
}

void memory_init(napi_env env, napi_value exports) {
  set_function(env, exports, "setUserMemoryRegion", js_set_region);
  set_function(env, exports, "deleteUserMemoryRegion", js_delete_region);
  set_function(env, exports, "createMemory", js_create_memory);
  set_function(env, exports, "createGuestMemfd", js_create_guest_memfd);
  set_function(env, exports, "memorySize", js_memory_size);
  set_function(env, exports, "memoryWindow", js_memory_window);
}
