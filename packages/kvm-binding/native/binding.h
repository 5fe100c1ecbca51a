/*
 * Shared declarations of the KVM addon.
 *
 * Three kinds of lifetime meet here and are kept apart:
 *  - an `object` is a kernel object (a file descriptor and what belongs to it), counted, one table per process;
 *  - a `handle` is one thread's hold on an object: a JavaScript external, given up by close(), by garbage collection
 *    or when the thread's environment ends;
 *  - a `mapping` is memory that an ArrayBuffer shows, unmapped when that buffer is detached or collected.
 */
#ifndef SOFTMETAL_KVM_BINDING_H
#define SOFTMETAL_KVM_BINDING_H

#include "newer.h"

#include <node_api.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_BYTES 4096u

/* Results below every -errno; src/errors.ts knows them by the same numbers. */
enum {
  FAILED_CLOSED = -10001,
  FAILED_BUSY = -10002,
  FAILED_ARGUMENT = -10003,
  FAILED_TOO_SMALL = -10004,
  FAILED_NOT_SHARED = -10005,
  FAILED_MISALIGNED = -10006,
  FAILED_RANGE = -10007,
  FAILED_REFUSED = -10008,
};

enum object_kind {
  OBJECT_SYSTEM,
  OBJECT_VM,
  OBJECT_VCPU,
  OBJECT_DEVICE,
  OBJECT_MEMORY,
  OBJECT_EVENTFD,
  OBJECT_STATS,
  OBJECT_GUEST_MEMFD,
};

struct environment;

/* One memory slot of a VM and what keeps its memory alive. */
struct region {
  struct region *next;
  uint32_t slot;
  uint64_t guest_phys_addr;
  uint64_t size;
  /* A descriptor of its own of a guest_memfd, -1 for none: closing the last one would take the memory away. */
  int guest_memfd;
  /* Either a mapping of a memory object that this region owns... */
  void *map;
  /* ...or a reference to a view of a SharedArrayBuffer, which belongs to one thread's environment. */
  struct environment *environment;
  napi_ref reference;
};

struct object {
  struct object *next;
  uint64_t id;
  enum object_kind kind;
  unsigned references; /* guarded by the table's lock */
  int fd;
  struct object *parent;
  union {
    struct {
      pthread_mutex_t lock;
      struct region *regions;
      uint32_t xsave_bytes; /* what KVM_GET_XSAVE2 writes */
      uint32_t dirty_ring_bytes; /* what KVM_CAP_DIRTY_LOG_RING was enabled with */
      uint32_t run_bytes;   /* how much of a vCPU's descriptor is mapped */
    } vm;
    struct {
      struct kvm_run *run;
      size_t run_bytes;
      atomic_int busy;    /* 1 while some thread is inside an ioctl of this vCPU */
      atomic_int running; /* the thread inside KVM_RUN, 0 when none */
    } vcpu;
    struct {
      uint64_t size;
      bool huge_pages;
      bool mappable; /* of a guest_memfd: this process may touch it */
    } memory; /* also of a guest_memfd */
  } u;
};

struct handle {
  uint32_t magic;
  struct object *object; /* NULL once closed */
};

/* object.c */
struct object *object_create(enum object_kind kind, int fd, struct object *parent);
struct object *object_retain(struct object *object);
void object_release(struct object *object);
struct object *object_find(uint64_t id, enum object_kind kind);
void object_for_each_vm(void (*visit)(struct object *vm, void *data), void *data);
napi_value handle_create(napi_env env, struct object *object);
int handle_get(napi_env env, napi_value value, enum object_kind kind, struct object **object);
struct handle *handle_unwrap(napi_env env, napi_value value);
void object_init(napi_env env, napi_value exports);

/* environment.c: what belongs to one thread's Node-API environment. */
struct watcher;
struct environment *environment_of(napi_env env);
int environment_create(napi_env env);
bool environment_may_continue(napi_env env);
void environment_discard_reference(struct environment *environment, napi_ref reference);
void environment_track(struct environment *environment, struct watcher *watcher);
void environment_untrack(struct environment *environment, struct watcher *watcher);

/* values.c */
napi_value value_number(napi_env env, double number);
napi_value value_u64(napi_env env, uint64_t number);
napi_value value_undefined(napi_env env);
bool get_u32(napi_env env, napi_value value, uint32_t *result);
bool get_u64(napi_env env, napi_value value, uint64_t *result);
bool get_bytes(napi_env env, napi_value value, uint8_t **data, size_t *length);
bool is_nullish(napi_env env, napi_value value);
void set_function(napi_env env, napi_value exports, const char *name, napi_callback callback);
/* Fetches exactly `count` arguments, absent ones as undefined. */
bool arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values);

/* mapping.c */
napi_value mapping_create(napi_env env, void *address, size_t length);
void mapping_init(napi_env env, napi_value exports);

/* ioctls.c */
void ioctls_init(napi_env env, napi_value exports);
int kvm_ioctl(int fd, unsigned long request, unsigned long argument);
bool object_enter(struct object *object);
void object_leave(struct object *object);

/* memory.c */
/* Gives up references to JavaScript memory; no vCPU is left that could reach it. The table's lock is held. */
void vm_discard_references(struct object *vm);
/* Unmaps what the regions map; the VM's descriptor is closed. */
void vm_destroy(struct object *vm);
struct region *region_find(struct object *vm, uint32_t slot);
void memory_forget_environment(struct environment *environment);
void memory_init(napi_env env, napi_value exports);

/* interrupt.c: getting a thread out of KVM_RUN. */
int interrupt_prepare(void);
int interrupt_signal(void);
void interrupt_thread(int thread);
void watchdog_enter(void);
void watchdog_leave(void);
bool watchdog_ticked(void);
void watchdog_stop(void);
int thread_id(void);

/* events.c */
void watcher_close(struct watcher *watcher, void (*closed)(struct environment *));
struct watcher **watcher_next(struct watcher *watcher);
struct watcher **watcher_previous(struct watcher *watcher);
void events_init(napi_env env, napi_value exports);

void system_init(napi_env env, napi_value exports);
void vm_init(napi_env env, napi_value exports);
void vcpu_init(napi_env env, napi_value exports);
void vcpu_destroy(struct object *vcpu);
void device_init(napi_env env, napi_value exports);
void stats_init(napi_env env, napi_value exports);

#endif
