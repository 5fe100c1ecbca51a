/* Runs the ioctls of ioctl_table.h: every buffer is as large as the kernel will read or write, or the call is refused. */
#include "binding.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#define CAP_DIRTY_LOG_RING 192
#define CAP_DIRTY_LOG_RING_ACQ_REL 223
/* Its argument is the address of something for the kernel to write; callers here have no addresses. */
#define CAP_HYPERV_ENLIGHTENED_VMCS 163

enum shape { SHAPE_NONE, SHAPE_INTEGER, SHAPE_STRUCT, SHAPE_ARRAY, SHAPE_LONG_ARRAY, SHAPE_SIZED, SHAPE_XSAVE };

struct row {
  const char *name;
  unsigned long request;
  enum object_kind kind;
  enum shape shape;
  uint32_t fixed;
  uint32_t element;
  uint32_t count_offset;
};

static const struct row rows[] = {
#define ROW(name, kind, shape, fixed, element, count) {#name, name, kind, shape, fixed, element, count},
#define ROW_AS(text, name, kind, shape, fixed, element, count) {text, name, kind, shape, fixed, element, count},
#include "ioctl_table.h"
#undef ROW
#undef ROW_AS
};
#define ROWS (sizeof rows / sizeof rows[0])

/* The watchdog's signals (and others) may interrupt what the kernel does outside KVM_RUN too: it is asked again. */
int kvm_ioctl(int fd, unsigned long request, unsigned long argument) {
  int result;
  do {
    result = ioctl(fd, request, argument);
  } while (result < 0 && errno == EINTR);
  return result;
}

/*
 * A vCPU's ioctls wait for each other in the kernel, those of a running vCPU until it leaves the guest, which may be
 * never. So a second thread is turned away instead.
 */
bool object_enter(struct object *object) {
  if (object->kind != OBJECT_VCPU) return true;
  int expected = 0;
  return atomic_compare_exchange_strong(&object->u.vcpu.busy, &expected, 1);
}

void object_leave(struct object *object) {
  if (object->kind == OBJECT_VCPU) atomic_store(&object->u.vcpu.busy, 0);
}

static uint64_t long_word_at(const uint8_t *data, uint32_t offset) {
  uint64_t word;
  memcpy(&word, data + offset, sizeof word);
  return word;
}

static uint32_t word_at(const uint8_t *data, uint32_t offset) {
  uint32_t word;
  memcpy(&word, data + offset, sizeof word);
  return word;
}

static int check_buffer(const struct row *row, const struct object *object, const uint8_t *data, size_t length) {
  uint64_t needed = row->fixed;
  if (length < needed) return FAILED_TOO_SMALL;
  if (row->shape == SHAPE_ARRAY) needed += (uint64_t)word_at(data, row->count_offset) * row->element;
  if (row->shape == SHAPE_LONG_ARRAY) {
    uint64_t count = long_word_at(data, row->count_offset);
    if (count > UINT32_MAX) return FAILED_TOO_SMALL;
    needed += count * row->element;
  }
  if (row->shape == SHAPE_SIZED && word_at(data, row->count_offset) > needed) {
    needed = word_at(data, row->count_offset);
  }
  if (row->shape == SHAPE_XSAVE && object->parent->u.vm.xsave_bytes > needed) {
    needed = object->parent->u.vm.xsave_bytes;
  }
  if (length < needed) return FAILED_TOO_SMALL;
  if (row->request == KVM_ENABLE_CAP && word_at(data, 0) == CAP_HYPERV_ENLIGHTENED_VMCS) return FAILED_REFUSED;
  return 0;
}

/* How large the vCPUs' dirty rings will be: mapping more of them would fault. */
static void remember_capability(struct object *object, unsigned long argument) {
  const struct kvm_enable_cap *cap = (const void *)argument;
  if (object->kind != OBJECT_VM) return;
  if (cap->cap == CAP_DIRTY_LOG_RING || cap->cap == CAP_DIRTY_LOG_RING_ACQ_REL) {
    object->u.vm.dirty_ring_bytes = (uint32_t)cap->args[0];
  }
}

/* ioctl(handle, index, argument): the ioctl's result, -errno, or one of the binding's own failures */
static napi_value js_ioctl(napi_env env, napi_callback_info info) {
  napi_value argv[3];
  uint32_t index;
  struct object *object = NULL;
  unsigned long argument = 0;
  if (!arguments(env, info, 3, argv)) return NULL;
  if (!get_u32(env, argv[1], &index) || index >= ROWS) return value_number(env, FAILED_ARGUMENT);
  const struct row *row = &rows[index];
  int result = handle_get(env, argv[0], row->kind, &object);
  if (result != 0) return value_number(env, result);
  if (row->shape == SHAPE_INTEGER) {
    uint64_t number;
    if (!get_u64(env, argv[2], &number)) return value_number(env, FAILED_ARGUMENT);
    argument = number;
  } else if (row->shape != SHAPE_NONE) {
    uint8_t *data = NULL;
    size_t length = 0;
    if (!get_bytes(env, argv[2], &data, &length)) return value_number(env, FAILED_ARGUMENT);
    result = check_buffer(row, object, data, length);
    if (result != 0) return value_number(env, result);
    argument = (uintptr_t)data;
  }
  if (!object_enter(object)) return value_number(env, FAILED_BUSY);
  result = kvm_ioctl(object->fd, row->request, argument);
  if (result < 0) result = -errno;
  object_leave(object);
  if (result == 0 && row->request == KVM_ENABLE_CAP) remember_capability(object, argument);
  return value_number(env, result);
}

void ioctls_init(napi_env env, napi_value exports) {
  napi_value names = NULL;
  if (napi_create_object(env, &names) != napi_ok) return;
  for (size_t i = 0; i < ROWS; i++) napi_set_named_property(env, names, rows[i].name, value_number(env, (double)i));
  napi_set_named_property(env, exports, "ioctls", names);
  set_function(env, exports, "ioctl", js_ioctl);
}
