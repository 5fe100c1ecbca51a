/* eventfd objects, their use as ioeventfd and irqfd, and watching them from Node's event loop. */
#include "binding.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <uv.h>

/* createEventFd(initial, semaphore): a handle, or a negative number */
static napi_value js_create(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  uint32_t initial;
  bool semaphore = false;
  if (!arguments(env, info, 2, argv)) return NULL;
  if (!get_u32(env, argv[0], &initial) || napi_get_value_bool(env, argv[1], &semaphore) != napi_ok) {
    return value_number(env, FAILED_ARGUMENT);
  }
  int fd = eventfd(initial, EFD_CLOEXEC | EFD_NONBLOCK | (semaphore ? EFD_SEMAPHORE : 0));
  if (fd < 0) return value_number(env, -errno);
  struct object *event = object_create(OBJECT_EVENTFD, fd, NULL);
  if (event == NULL) {
    close(fd);
    return value_number(env, -ENOMEM);
  }
  return handle_create(env, event);
}

/* eventWrite(event, count) */
static napi_value js_write(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  struct object *event = NULL;
  uint64_t count;
  if (!arguments(env, info, 2, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_EVENTFD, &event);
  if (result != 0) return value_number(env, result);
  if (!get_u64(env, argv[1], &count)) return value_number(env, FAILED_ARGUMENT);
  return value_number(env, write(event->fd, &count, sizeof count) < 0 ? -errno : 0);
}

/* eventRead(event): the count as a bigint, or a negative number (-EAGAIN when it is 0) */
static napi_value js_read(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  struct object *event = NULL;
  uint64_t count;
  if (!arguments(env, info, 1, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_EVENTFD, &event);
  if (result != 0) return value_number(env, result);
  if (read(event->fd, &count, sizeof count) < 0) return value_number(env, -errno);
  return value_u64(env, count);
}

/* eventPoll(event, milliseconds): 1 when it can be read, 0 when the time ran out */
static napi_value js_poll(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  struct object *event = NULL;
  uint32_t timeout;
  if (!arguments(env, info, 2, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_EVENTFD, &event);
  if (result != 0) return value_number(env, result);
  if (!get_u32(env, argv[1], &timeout) || timeout > INT32_MAX) return value_number(env, FAILED_ARGUMENT);
  struct pollfd item = {.fd = event->fd, .events = POLLIN};
  uint64_t end = uv_hrtime() + (uint64_t)timeout * 1000000;
  watchdog_enter();
  for (;;) {
    result = poll(&item, 1, (int)timeout);
    if (result >= 0 || errno != EINTR) break;
    if (watchdog_ticked() && !environment_may_continue(env)) break;
    uint64_t now = uv_hrtime();
    timeout = now >= end ? 0 : (uint32_t)((end - now + 999999) / 1000000);
  }
  if (result < 0) result = -errno;
  watchdog_leave();
  return value_number(env, result);
}

/* ioeventfd(vm, event, address, length, flags, datamatch) */
static napi_value js_ioeventfd(napi_env env, napi_callback_info info) {
  napi_value argv[6];
  struct object *vm = NULL, *event = NULL;
  struct kvm_ioeventfd argument = {0};
  uint64_t address, datamatch;
  if (!arguments(env, info, 6, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_VM, &vm);
  if (result == 0) result = handle_get(env, argv[1], OBJECT_EVENTFD, &event);
  if (result != 0) return value_number(env, result);
  if (!get_u64(env, argv[2], &address) || !get_u32(env, argv[3], &argument.len) ||
      !get_u32(env, argv[4], &argument.flags) || !get_u64(env, argv[5], &datamatch)) {
    return value_number(env, FAILED_ARGUMENT);
  }
  argument.addr = address;
  argument.datamatch = datamatch;
  argument.fd = event->fd;
  return value_number(env, kvm_ioctl(vm->fd, KVM_IOEVENTFD, (uintptr_t)&argument) < 0 ? -errno : 0);
}

/* irqfd(vm, event, gsi, flags, resampleEvent) */
static napi_value js_irqfd(napi_env env, napi_callback_info info) {
  napi_value argv[5];
  struct object *vm = NULL, *event = NULL, *resample = NULL;
  struct kvm_irqfd argument = {0};
  if (!arguments(env, info, 5, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_VM, &vm);
  if (result == 0) result = handle_get(env, argv[1], OBJECT_EVENTFD, &event);
  if (result == 0 && !is_nullish(env, argv[4])) result = handle_get(env, argv[4], OBJECT_EVENTFD, &resample);
  if (result != 0) return value_number(env, result);
  if (!get_u32(env, argv[2], &argument.gsi) || !get_u32(env, argv[3], &argument.flags)) {
    return value_number(env, FAILED_ARGUMENT);
  }
  argument.fd = (uint32_t)event->fd;
  if (resample != NULL) {
    argument.resamplefd = (uint32_t)resample->fd;
    argument.flags |= KVM_IRQFD_FLAG_RESAMPLE;
  }
  return value_number(env, kvm_ioctl(vm->fd, KVM_IRQFD, (uintptr_t)&argument) < 0 ? -errno : 0);
}

/* One listener on the event loop. It has a descriptor of its own, so that closing the event does not pull it away. */
struct watcher {
  uv_poll_t poll;
  struct watcher *next, *previous;
  napi_env env;
  struct environment *environment;
  napi_ref callback;
  napi_async_context context;
  int fd;
  bool open;      /* the poll handle is */
  bool collected; /* the external is */
  void (*closed)(struct environment *);
};

struct watcher **watcher_next(struct watcher *watcher) { return &watcher->next; }
struct watcher **watcher_previous(struct watcher *watcher) { return &watcher->previous; }

static void on_readable(uv_poll_t *poll, int status, int events) {
  struct watcher *watcher = poll->data;
  napi_env env = watcher->env;
  uint64_t count;
  (void)events;
  /* Somebody else may have read it first. */
  if (status != 0 || read(watcher->fd, &count, sizeof count) != sizeof count) return;
  napi_handle_scope scope;
  napi_value callback = NULL, global = NULL, argument = NULL, result = NULL;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  argument = value_u64(env, count);
  if (napi_get_reference_value(env, watcher->callback, &callback) == napi_ok &&
      napi_get_global(env, &global) == napi_ok) {
    napi_make_callback(env, watcher->context, global, callback, 1, &argument, &result);
    bool pending = false;
    napi_value exception = NULL;
    if (napi_is_exception_pending(env, &pending) == napi_ok && pending &&
        napi_get_and_clear_last_exception(env, &exception) == napi_ok) {
      napi_fatal_exception(env, exception);
    }
  }
  napi_close_handle_scope(env, scope);
}

static void on_closed(uv_handle_t *handle) {
  struct watcher *watcher = handle->data;
  void (*closed)(struct environment *) = watcher->closed;
  struct environment *environment = watcher->environment;
  close(watcher->fd);
  watcher->fd = -1;
  watcher->poll.data = NULL;
  if (watcher->collected) free(watcher);
  else watcher->closed = NULL;
  if (closed != NULL) closed(environment);
}

void watcher_close(struct watcher *watcher, void (*closed)(struct environment *)) {
  if (!watcher->open) return;
  watcher->open = false;
  watcher->closed = closed;
  environment_untrack(watcher->environment, watcher);
  napi_delete_reference(watcher->env, watcher->callback);
  napi_async_destroy(watcher->env, watcher->context);
  uv_close((uv_handle_t *)&watcher->poll, on_closed);
}

static void watcher_finalize(napi_env env, void *data, void *hint) {
  struct watcher *watcher = data;
  (void)env;
  (void)hint;
  watcher->collected = true;
  /* An open one is listening: closing frees it later. A closing one is freed by on_closed. */
  if (watcher->open) watcher_close(watcher, NULL);
  else if (watcher->fd < 0) free(watcher);
}

/* watch(event, callback): a watcher, or a negative number */
static napi_value js_watch(napi_env env, napi_callback_info info) {
  napi_value argv[2], external = NULL, name = NULL;
  struct object *event = NULL;
  napi_valuetype type;
  uv_loop_t *loop = NULL;
  if (!arguments(env, info, 2, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_EVENTFD, &event);
  if (result != 0) return value_number(env, result);
  if (napi_typeof(env, argv[1], &type) != napi_ok || type != napi_function) return value_number(env, FAILED_ARGUMENT);
  struct watcher *watcher = calloc(1, sizeof *watcher);
  if (watcher == NULL) return value_number(env, -ENOMEM);
  watcher->env = env;
  watcher->environment = environment_of(env);
  watcher->fd = fcntl(event->fd, F_DUPFD_CLOEXEC, 3);
  if (watcher->fd < 0) {
    result = -errno;
  } else if (watcher->environment == NULL || napi_get_uv_event_loop(env, &loop) != napi_ok) {
    result = FAILED_REFUSED;
  } else {
    result = uv_poll_init(loop, &watcher->poll, watcher->fd); /* a negative errno */
  }
  if (result != 0) {
    if (watcher->fd >= 0) close(watcher->fd);
    free(watcher);
    return value_number(env, result);
  }
  watcher->poll.data = watcher;
  watcher->open = true;
  environment_track(watcher->environment, watcher);
  napi_create_reference(env, argv[1], 1, &watcher->callback);
  napi_create_string_utf8(env, "softmetal:eventfd", NAPI_AUTO_LENGTH, &name);
  napi_async_init(env, NULL, name, &watcher->context);
  uv_poll_start(&watcher->poll, UV_READABLE, on_readable);
  if (napi_create_external(env, watcher, watcher_finalize, NULL, &external) != napi_ok) {
    watcher->collected = true;
    watcher_close(watcher, NULL);
    return value_number(env, -ENOMEM);
  }
  return external;
}

static struct watcher *watcher_argument(napi_env env, napi_value value) {
  napi_valuetype type;
  void *data = NULL;
  if (napi_typeof(env, value, &type) != napi_ok || type != napi_external) return NULL;
  return napi_get_value_external(env, value, &data) == napi_ok ? data : NULL;
}

/* unwatch(watcher) */
static napi_value js_unwatch(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  if (!arguments(env, info, 1, argv)) return NULL;
  struct watcher *watcher = watcher_argument(env, argv[0]);
  if (watcher != NULL) watcher_close(watcher, NULL);
  return NULL;
}

/* watchReference(watcher, keepsLoopAlive) */
static napi_value js_watch_reference(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  bool keep = true;
  if (!arguments(env, info, 2, argv)) return NULL;
  struct watcher *watcher = watcher_argument(env, argv[0]);
  if (watcher == NULL || !watcher->open || napi_get_value_bool(env, argv[1], &keep) != napi_ok) return NULL;
  if (keep) uv_ref((uv_handle_t *)&watcher->poll);
  else uv_unref((uv_handle_t *)&watcher->poll);
  return NULL;
}

void events_init(napi_env env, napi_value exports) {
  set_function(env, exports, "createEventFd", js_create);
  set_function(env, exports, "eventWrite", js_write);
  set_function(env, exports, "eventRead", js_read);
  set_function(env, exports, "eventPoll", js_poll);
  set_function(env, exports, "ioeventfd", js_ioeventfd);
  set_function(env, exports, "irqfd", js_irqfd);
  set_function(env, exports, "watch", js_watch);
  set_function(env, exports, "unwatch", js_unwatch);
  set_function(env, exports, "watchReference", js_watch_reference);
}
