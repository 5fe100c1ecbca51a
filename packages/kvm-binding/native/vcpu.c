/* A vCPU: running it, kicking it out of the guest, its run page and dirty ring. */
#include "binding.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

void vcpu_destroy(struct object *vcpu) {
  if (vcpu->u.vcpu.run != NULL) munmap(vcpu->u.vcpu.run, vcpu->u.vcpu.run_bytes);
}

static int run(napi_env env, struct object *vcpu) {
  struct kvm_run *page = vcpu->u.vcpu.run;
  for (;;) {
    if (ioctl(vcpu->fd, KVM_RUN, 0) == 0) return (int)page->exit_reason;
    int error = errno;
    /* A processor that was waiting for its start-up message got it: the kernel wants to be called again. */
    if (error == EAGAIN) continue;
    /* The one exit that comes with an error; after any other error the reason is an older one's. */
    if ((error == EFAULT || error == EHWPOISON) && page->exit_reason == KVM_EXIT_MEMORY_FAULT) {
      return KVM_EXIT_MEMORY_FAULT;
    }
    if (error != EINTR) return -error;
    bool kicked = __atomic_exchange_n(&page->immediate_exit, 0, __ATOMIC_SEQ_CST) != 0;
    /* The watchdog's signals stay in here; a kick and anybody else's signal are the caller's business. */
    if (!kicked && watchdog_ticked() && environment_may_continue(env)) continue;
    page->exit_reason = KVM_EXIT_INTR;
    return KVM_EXIT_INTR;
  }
}

/* The function that createRunner makes: () => exit reason, or a negative number. */
static napi_value js_run(napi_env env, napi_callback_info info) {
  void *data = NULL;
  napi_value value = NULL;
  size_t argc = 0;
  if (napi_get_cb_info(env, info, &argc, NULL, NULL, &data) != napi_ok) return NULL;
  struct object *vcpu = ((struct handle *)data)->object;
  int result = FAILED_CLOSED;
  if (vcpu != NULL) {
    result = FAILED_BUSY;
    if (object_enter(vcpu)) {
      /* Before the kernel reads immediate_exit: a kick stores the flag and then reads this. */
      atomic_store(&vcpu->u.vcpu.running, thread_id());
      watchdog_enter();
      result = run(env, vcpu);
      watchdog_leave();
      atomic_store(&vcpu->u.vcpu.running, 0);
      object_leave(vcpu);
    }
  }
  napi_create_int32(env, result, &value);
  return value;
}

/* createRunner(vcpu): a function of its own for the hot path, with nothing to look up */
static napi_value js_create_runner(napi_env env, napi_callback_info info) {
  napi_value argv[1], function = NULL;
  struct object *vcpu = NULL;
  if (!arguments(env, info, 1, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_VCPU, &vcpu);
  if (result != 0) return value_number(env, result);
  struct handle *handle = handle_unwrap(env, argv[0]);
  if (napi_create_function(env, "run", NAPI_AUTO_LENGTH, js_run, handle, &function) != napi_ok) {
    return value_number(env, -ENOMEM);
  }
  /* The function keeps the handle it points to. */
  napi_property_descriptor keep = {.utf8name = "handle", .value = argv[0], .attributes = napi_default};
  if (napi_define_properties(env, function, 1, &keep) != napi_ok) return value_number(env, -ENOMEM);
  return function;
}

/* kick(vcpu): the current KVM_RUN, or else the next one, returns at once */
static napi_value js_kick(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  struct object *vcpu = NULL;
  if (!arguments(env, info, 1, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_VCPU, &vcpu);
  if (result != 0) return value_number(env, result);
  __atomic_store_n(&vcpu->u.vcpu.run->immediate_exit, 1, __ATOMIC_SEQ_CST);
  int thread = atomic_load(&vcpu->u.vcpu.running);
  if (thread != 0) interrupt_thread(thread);
  return value_number(env, 0);
}

/* mapRun(vcpu): an ArrayBuffer over the run pages */
static napi_value js_map_run(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  struct object *vcpu = NULL;
  if (!arguments(env, info, 1, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_VCPU, &vcpu);
  if (result != 0) return value_number(env, result);
  size_t length = vcpu->u.vcpu.run_bytes;
  void *map = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
  if (map == MAP_FAILED) return value_number(env, -errno);
  napi_value buffer = mapping_create(env, map, length);
  return buffer != NULL ? buffer : value_number(env, -ENOMEM);
}

/* mapDirtyRing(vcpu): an ArrayBuffer over the ring of struct kvm_dirty_gfn */
static napi_value js_map_dirty_ring(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  struct object *vcpu = NULL;
  if (!arguments(env, info, 1, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_VCPU, &vcpu);
  if (result != 0) return value_number(env, result);
  size_t length = vcpu->parent->u.vm.dirty_ring_bytes;
  if (length == 0) return value_number(env, -ENOENT);
  void *map = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd,
                   (off_t)KVM_DIRTY_LOG_PAGE_OFFSET * PAGE_BYTES);
  if (map == MAP_FAILED) return value_number(env, -errno);
  napi_value buffer = mapping_create(env, map, length);
  return buffer != NULL ? buffer : value_number(env, -ENOMEM);
}

/* setSignalMask(vcpu, mask): eight bytes of a signal set, or null for the thread's own */
static napi_value js_set_signal_mask(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  struct object *vcpu = NULL;
  uint8_t *data = NULL;
  size_t length = 0;
  union {
    struct kvm_signal_mask mask;
    uint8_t bytes[sizeof(struct kvm_signal_mask) + 8];
  } argument = {.mask.len = 8};
  if (!arguments(env, info, 2, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_VCPU, &vcpu);
  if (result != 0) return value_number(env, result);
  bool clear = is_nullish(env, argv[1]);
  if (!clear) {
    if (!get_bytes(env, argv[1], &data, &length)) return value_number(env, FAILED_ARGUMENT);
    if (length < 8) return value_number(env, FAILED_TOO_SMALL);
    uint64_t set;
    memcpy(&set, data, sizeof set);
    /* Blocking it would make kicks and the end of the worker wait for the guest. */
    set &= ~(UINT64_C(1) << (interrupt_signal() - 1));
    memcpy(argument.bytes + sizeof(struct kvm_signal_mask), &set, sizeof set);
  }
  if (!object_enter(vcpu)) return value_number(env, FAILED_BUSY);
  if (kvm_ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, clear ? 0 : (uintptr_t)&argument) < 0) result = -errno;
  object_leave(vcpu);
  return value_number(env, result);
}

/* oneReg(vcpu, set, id, bytes): the register's value goes from or to the bytes, as many as the id says */
static napi_value js_one_reg(napi_env env, napi_callback_info info) {
  napi_value argv[4];
  struct object *vcpu = NULL;
  bool set = false;
  uint64_t id;
  uint8_t *data = NULL;
  size_t length = 0;
  if (!arguments(env, info, 4, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_VCPU, &vcpu);
  if (result != 0) return value_number(env, result);
  if (napi_get_value_bool(env, argv[1], &set) != napi_ok || !get_u64(env, argv[2], &id) ||
      !get_bytes(env, argv[3], &data, &length)) {
    return value_number(env, FAILED_ARGUMENT);
  }
  if (length < (size_t)1 << ((id & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT)) {
    return value_number(env, FAILED_TOO_SMALL);
  }
  struct kvm_one_reg argument = {.id = id, .addr = (uintptr_t)data};
  if (!object_enter(vcpu)) return value_number(env, FAILED_BUSY);
  if (kvm_ioctl(vcpu->fd, set ? KVM_SET_ONE_REG : KVM_GET_ONE_REG, (uintptr_t)&argument) < 0) result = -errno;
  object_leave(vcpu);
  return value_number(env, result);
}

void vcpu_init(napi_env env, napi_value exports) {
  set_function(env, exports, "createRunner", js_create_runner);
  set_function(env, exports, "kick", js_kick);
  set_function(env, exports, "mapRun", js_map_run);
  set_function(env, exports, "mapDirtyRing", js_map_dirty_ring);
  set_function(env, exports, "setSignalMask", js_set_signal_mask);
  set_function(env, exports, "oneReg", js_one_reg);
}
