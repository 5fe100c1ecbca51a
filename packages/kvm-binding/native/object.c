/* The process-wide table of kernel objects, and the handles that threads hold on them. */
#include "binding.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HANDLE_MAGIC 0x4b564d48u /* "KVMH" */
#define BUCKETS 1024u

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct object *table[BUCKETS];
static uint64_t last_id;

struct object *object_create(enum object_kind kind, int fd, struct object *parent) {
  struct object *object = calloc(1, sizeof *object);
  if (object == NULL) return NULL;
  object->kind = kind;
  object->fd = fd;
  object->references = 1;
  object->parent = parent == NULL ? NULL : object_retain(parent);
  if (kind == OBJECT_VM) pthread_mutex_init(&object->u.vm.lock, NULL);
  pthread_mutex_lock(&table_lock);
  /* Numbers are never used twice, so a number of something closed can only be refused, not mistaken. */
  object->id = ++last_id;
  struct object **bucket = &table[object->id % BUCKETS];
  object->next = *bucket;
  *bucket = object;
  pthread_mutex_unlock(&table_lock);
  return object;
}

struct object *object_retain(struct object *object) {
  pthread_mutex_lock(&table_lock);
  object->references++;
  pthread_mutex_unlock(&table_lock);
  return object;
}

static void object_destroy(struct object *object) {
  if (object->kind == OBJECT_VCPU) vcpu_destroy(object);
  if (object->fd >= 0) close(object->fd);
  if (object->kind == OBJECT_VM) vm_destroy(object);
  free(object);
}

void object_release(struct object *object) {
  while (object != NULL) {
    pthread_mutex_lock(&table_lock);
    bool last = --object->references == 0;
    if (last) {
      struct object **link = &table[object->id % BUCKETS];
      while (*link != object) link = &(*link)->next;
      *link = object->next;
      /* Still under the lock, which a thread that ends takes before its environment goes. */
      if (object->kind == OBJECT_VM) vm_discard_references(object);
    }
    pthread_mutex_unlock(&table_lock);
    if (!last) return;
    struct object *parent = object->parent;
    object_destroy(object);
    object = parent;
  }
}

struct object *object_find(uint64_t id, enum object_kind kind) {
  pthread_mutex_lock(&table_lock);
  struct object *object = table[id % BUCKETS];
  while (object != NULL && !(object->id == id && object->kind == kind)) object = object->next;
  if (object != NULL) object->references++;
  pthread_mutex_unlock(&table_lock);
  return object;
}

void object_for_each_vm(void (*visit)(struct object *vm, void *data), void *data) {
  pthread_mutex_lock(&table_lock);
  for (unsigned i = 0; i < BUCKETS; i++) {
    for (struct object *object = table[i]; object != NULL; object = object->next) {
      if (object->kind == OBJECT_VM) visit(object, data);
    }
  }
  pthread_mutex_unlock(&table_lock);
}

static void handle_finalize(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  struct handle *handle = data;
  if (handle->object != NULL) object_release(handle->object);
  handle->magic = 0;
  free(handle);
}

/* Takes over the caller's reference, also when it fails (with NULL). */
napi_value handle_create(napi_env env, struct object *object) {
  struct handle *handle = malloc(sizeof *handle);
  napi_value value = NULL;
  if (handle == NULL) {
    object_release(object);
    return NULL;
  }
  handle->magic = HANDLE_MAGIC;
  handle->object = object;
  if (napi_create_external(env, handle, handle_finalize, NULL, &value) != napi_ok) {
    object_release(object);
    free(handle);
    return NULL;
  }
  return value;
}

struct handle *handle_unwrap(napi_env env, napi_value value) {
  napi_valuetype type;
  void *data = NULL;
  if (napi_typeof(env, value, &type) != napi_ok || type != napi_external) return NULL;
  if (napi_get_value_external(env, value, &data) != napi_ok || data == NULL) return NULL;
  struct handle *handle = data;
  return handle->magic == HANDLE_MAGIC ? handle : NULL;
}

int handle_get(napi_env env, napi_value value, enum object_kind kind, struct object **object) {
  struct handle *handle = handle_unwrap(env, value);
  if (handle == NULL) return FAILED_ARGUMENT;
  if (handle->object == NULL) return FAILED_CLOSED;
  if (handle->object->kind != kind) return FAILED_ARGUMENT;
  *object = handle->object;
  return 0;
}

static napi_value js_close(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  if (!arguments(env, info, 1, argv)) return NULL;
  struct handle *handle = handle_unwrap(env, argv[0]);
  if (handle != NULL && handle->object != NULL) {
    struct object *object = handle->object;
    handle->object = NULL;
    object_release(object);
  }
  return NULL;
}

static napi_value js_id(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  if (!arguments(env, info, 1, argv)) return NULL;
  struct handle *handle = handle_unwrap(env, argv[0]);
  if (handle == NULL || handle->object == NULL) return value_number(env, FAILED_CLOSED);
  return value_number(env, (double)handle->object->id);
}

static napi_value js_fd(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  if (!arguments(env, info, 1, argv)) return NULL;
  struct handle *handle = handle_unwrap(env, argv[0]);
  if (handle == NULL || handle->object == NULL) return value_number(env, FAILED_CLOSED);
  return value_number(env, handle->object->fd);
}

/* attach(kind, id): a handle of this thread on an object that some thread still holds. */
static napi_value js_attach(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  uint32_t kind;
  uint64_t id;
  if (!arguments(env, info, 2, argv)) return NULL;
  if (!get_u32(env, argv[0], &kind) || !get_u64(env, argv[1], &id)) return value_number(env, FAILED_ARGUMENT);
  struct object *object = object_find(id, (enum object_kind)kind);
  if (object == NULL) return value_number(env, FAILED_CLOSED);
  return handle_create(env, object);
}

void object_init(napi_env env, napi_value exports) {
  set_function(env, exports, "close", js_close);
  set_function(env, exports, "id", js_id);
  set_function(env, exports, "fd", js_fd);
  set_function(env, exports, "attach", js_attach);
}
