/* Mapped memory shown as an ArrayBuffer: unmapped when the buffer is detached, collected, or its thread ends. */
#include "binding.h"

#include <stdlib.h>
#include <sys/mman.h>

struct mapping {
  struct mapping *next;
  void *address;
  size_t length;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mapping *mappings;

/* Takes the mapping out of the list: whoever gets true unmaps it, once. */
static bool take(struct mapping *mapping) {
  bool found = false;
  pthread_mutex_lock(&lock);
  for (struct mapping **link = &mappings; *link != NULL; link = &(*link)->next) {
    if (*link == mapping) {
      *link = mapping->next;
      found = true;
      break;
    }
  }
  pthread_mutex_unlock(&lock);
  return found;
}

static void put(struct mapping *mapping) {
  pthread_mutex_lock(&lock);
  mapping->next = mappings;
  mappings = mapping;
  pthread_mutex_unlock(&lock);
}

static void finalize(napi_env env, void *data, void *hint) {
  (void)env;
  (void)data;
  struct mapping *mapping = hint;
  if (take(mapping)) munmap(mapping->address, mapping->length);
  free(mapping);
}

/* Takes over the mapped range, also when it fails (with NULL). */
napi_value mapping_create(napi_env env, void *address, size_t length) {
  struct mapping *mapping = malloc(sizeof *mapping);
  if (mapping == NULL) {
    munmap(address, length);
    return NULL;
  }
  mapping->address = address;
  mapping->length = length;
  put(mapping);
  napi_value buffer = NULL;
  if (napi_create_external_arraybuffer(env, address, length, finalize, mapping, &buffer) != napi_ok) {
    take(mapping);
    free(mapping);
    munmap(address, length);
    return NULL;
  }
  return buffer;
}

/* unmap(buffer): detaches the buffer, so that no view can reach the memory any more, and unmaps it. */
static napi_value js_unmap(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  bool is_buffer = false;
  void *address = NULL;
  size_t length = 0;
  if (!arguments(env, info, 1, argv)) return NULL;
  if (napi_is_arraybuffer(env, argv[0], &is_buffer) != napi_ok || !is_buffer) return NULL;
  if (napi_get_arraybuffer_info(env, argv[0], &address, &length) != napi_ok || address == NULL) return NULL;
  pthread_mutex_lock(&lock);
  struct mapping *mapping = mappings;
  while (mapping != NULL && mapping->address != address) mapping = mapping->next;
  pthread_mutex_unlock(&lock);
  /* Out of the list first: from the detaching on, the finalizer may run and free the record. */
  if (mapping == NULL || !take(mapping)) return NULL;
  if (napi_detach_arraybuffer(env, argv[0]) == napi_ok) {
    munmap(address, length);
  } else {
    /* A buffer that cannot be detached keeps its memory until it is collected. */
    put(mapping);
  }
  return NULL;
}

void mapping_init(napi_env env, napi_value exports) { set_function(env, exports, "unmap", js_unmap); }
