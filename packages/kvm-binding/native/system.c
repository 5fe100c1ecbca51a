/* /dev/kvm: opening it and making VMs. */
#include "binding.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* openSystem(path): a handle, or a negative errno */
static napi_value js_open(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  char path[4096];
  size_t length = 0;
  if (!arguments(env, info, 1, argv)) return NULL;
  if (napi_get_value_string_utf8(env, argv[0], path, sizeof path, &length) != napi_ok || length >= sizeof path - 1) {
    return value_number(env, FAILED_ARGUMENT);
  }
  int result = interrupt_prepare();
  if (result != 0) return value_number(env, result);
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return value_number(env, -errno);
  struct object *object = object_create(OBJECT_SYSTEM, fd, NULL);
  if (object == NULL) {
    close(fd);
    return value_number(env, -ENOMEM);
  }
  return handle_create(env, object);
}

/* createVm(system, type): a handle, or a negative number */
static napi_value js_create_vm(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  struct object *system = NULL;
  uint64_t type;
  if (!arguments(env, info, 2, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_SYSTEM, &system);
  if (result != 0) return value_number(env, result);
  if (!get_u64(env, argv[1], &type)) return value_number(env, FAILED_ARGUMENT);
  int run_bytes = kvm_ioctl(system->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
  if (run_bytes < (int)sizeof(struct kvm_run)) return value_number(env, run_bytes < 0 ? -errno : FAILED_REFUSED);
  int fd = kvm_ioctl(system->fd, KVM_CREATE_VM, (unsigned long)type);
  if (fd < 0) return value_number(env, -errno);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  struct object *vm = object_create(OBJECT_VM, fd, NULL);
  if (vm == NULL) {
    close(fd);
    return value_number(env, -ENOMEM);
  }
  vm->u.vm.run_bytes = (uint32_t)run_bytes;
  int xsave = kvm_ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
  vm->u.vm.xsave_bytes = xsave > 0 ? (uint32_t)xsave : 0;
  return handle_create(env, vm);
}

void system_init(napi_env env, napi_value exports) {
  set_function(env, exports, "openSystem", js_open);
  set_function(env, exports, "createVm", js_create_vm);
}
