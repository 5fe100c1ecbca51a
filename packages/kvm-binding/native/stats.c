/* KVM_GET_STATS_FD: the descriptor behind which a VM's or vCPU's statistics are read. src/stats.ts decodes them. */
#include "binding.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* getStatsFd(handle, kind): a handle, or a negative number */
static napi_value js_get_stats_fd(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  struct object *object = NULL;
  uint32_t kind;
  if (!arguments(env, info, 2, argv)) return NULL;
  if (!get_u32(env, argv[1], &kind) || (kind != OBJECT_VM && kind != OBJECT_VCPU)) {
    return value_number(env, FAILED_ARGUMENT);
  }
  int result = handle_get(env, argv[0], (enum object_kind)kind, &object);
  if (result != 0) return value_number(env, result);
  if (!object_enter(object)) return value_number(env, FAILED_BUSY);
  int fd = kvm_ioctl(object->fd, KVM_GET_STATS_FD, 0);
  if (fd < 0) result = -errno;
  object_leave(object);
  if (fd < 0) return value_number(env, result);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  struct object *stats = object_create(OBJECT_STATS, fd, NULL);
  if (stats == NULL) {
    close(fd);
    return value_number(env, -ENOMEM);
  }
  return handle_create(env, stats);
}

/* readStats(stats, offset, bytes): how many bytes there were, or a negative number */
static napi_value js_read_stats(napi_env env, napi_callback_info info) {
  napi_value argv[3];
  struct object *stats = NULL;
  uint32_t offset;
  uint8_t *data = NULL;
  size_t length = 0, filled = 0;
  if (!arguments(env, info, 3, argv)) return NULL;
  int result = handle_get(env, argv[0], OBJECT_STATS, &stats);
  if (result != 0) return value_number(env, result);
  if (!get_u32(env, argv[1], &offset) || !get_bytes(env, argv[2], &data, &length)) {
    return value_number(env, FAILED_ARGUMENT);
  }
  while (filled < length) {
    ssize_t got = pread(stats->fd, data + filled, length - filled, (off_t)offset + (off_t)filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return value_number(env, -errno);
    if (got == 0) break;
    filled += (size_t)got;
  }
  return value_number(env, (double)filled);
}

void stats_init(napi_env env, napi_value exports) {
  set_function(env, exports, "getStatsFd", js_get_stats_fd);
  set_function(env, exports, "readStats", js_read_stats);
}
