/* Device attributes, which devices have and, for some groups, also VMs, vCPUs and /dev/kvm itself. */
#include "binding.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

/*
 * The kernel is told an address and no size, and each attribute has its own; all of x86 are smaller than this. The value
 * goes through a buffer of this size, so that a caller's shorter one is never written past its end.
 */
#define ATTRIBUTE_BYTES 4096

/* deviceAttribute(handle, kind, operation, group, attribute, value): operation 0 is set, 1 is get, 2 is has */
static napi_value js_attribute(napi_env env, napi_callback_info info) {
  static const unsigned long requests[] = {KVM_SET_DEVICE_ATTR, KVM_GET_DEVICE_ATTR, KVM_HAS_DEVICE_ATTR};
  napi_value argv[6];
  struct object *object = NULL;
  uint32_t kind, operation;
  uint64_t attribute;
  uint8_t *value = NULL, buffer[ATTRIBUTE_BYTES] = {0};
  size_t length = 0;
  struct kvm_device_attr argument = {.addr = (uintptr_t)buffer};
  if (!arguments(env, info, 6, argv)) return NULL;
  if (!get_u32(env, argv[1], &kind) || !get_u32(env, argv[2], &operation) || operation > 2) {
    return value_number(env, FAILED_ARGUMENT);
  }
  int result = handle_get(env, argv[0], (enum object_kind)kind, &object);
  if (result != 0) return value_number(env, result);
  if (kind > OBJECT_DEVICE) return value_number(env, FAILED_ARGUMENT);
  if (!get_u32(env, argv[3], &argument.group) || !get_u64(env, argv[4], &attribute)) {
    return value_number(env, FAILED_ARGUMENT);
  }
  argument.attr = attribute;
  if (operation != 2) {
    if (!get_bytes(env, argv[5], &value, &length)) return value_number(env, FAILED_ARGUMENT);
    if (length > sizeof buffer) return value_number(env, FAILED_RANGE);
    if (length > 0) memcpy(buffer, value, length);
  }
  if (!object_enter(object)) return value_number(env, FAILED_BUSY);
  if (kvm_ioctl(object->fd, requests[operation], (uintptr_t)&argument) < 0) result = -errno;
  object_leave(object);
  if (result == 0 && operation == 1 && length > 0) memcpy(value, buffer, length);
  return value_number(env, result);
}

void device_init(napi_env env, napi_value exports) { set_function(env, exports, "deviceAttribute", js_attribute); }
