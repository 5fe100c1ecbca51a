/*
 * What belongs to one thread: its event watchers, and references to JavaScript values that other threads may have
 * finished with and that only this thread can delete.
 */
#include "binding.h"

#include <stdlib.h>
#include <uv.h>

struct discarded {
  struct discarded *next;
  napi_ref reference;
};

struct environment {
  napi_env env;
  napi_async_cleanup_hook_handle hook;
  uv_async_t wake;
  pthread_mutex_t lock;
  struct discarded *discarded; /* guarded by lock */
  struct watcher *watchers;
  unsigned closing;
  bool ended; /* guarded by lock */
};

struct environment *environment_of(napi_env env) {
  void *data = NULL;
  return napi_get_instance_data(env, &data) == napi_ok ? data : NULL;
}

static void delete_discarded(struct environment *environment) {
  pthread_mutex_lock(&environment->lock);
  struct discarded *list = environment->discarded;
  environment->discarded = NULL;
  pthread_mutex_unlock(&environment->lock);
  while (list != NULL) {
    struct discarded *next = list->next;
    napi_delete_reference(environment->env, list->reference);
    free(list);
    list = next;
  }
}

static void on_wake(uv_async_t *wake) { delete_discarded(wake->data); }

/* From any thread: the reference is deleted soon, on the thread it belongs to. */
void environment_discard_reference(struct environment *environment, napi_ref reference) {
  struct discarded *discarded = malloc(sizeof *discarded);
  if (discarded == NULL) return; /* the memory stays referenced, which is safe */
  discarded->reference = reference;
  pthread_mutex_lock(&environment->lock);
  discarded->next = environment->discarded;
  environment->discarded = discarded;
  if (!environment->ended) uv_async_send(&environment->wake);
  pthread_mutex_unlock(&environment->lock);
}

void environment_track(struct environment *environment, struct watcher *watcher) {
  *watcher_next(watcher) = environment->watchers;
  *watcher_previous(watcher) = NULL;
  if (environment->watchers != NULL) *watcher_previous(environment->watchers) = watcher;
  environment->watchers = watcher;
}

void environment_untrack(struct environment *environment, struct watcher *watcher) {
  struct watcher *next = *watcher_next(watcher), *previous = *watcher_previous(watcher);
  if (next != NULL) *watcher_previous(next) = previous;
  if (previous != NULL) *watcher_next(previous) = next;
  else environment->watchers = next;
}

static void closed_one(struct environment *environment) {
  if (--environment->closing == 0) napi_remove_async_cleanup_hook(environment->hook);
}

static void on_wake_closed(uv_handle_t *handle) { closed_one(handle->data); }

static void end(napi_async_cleanup_hook_handle hook, void *data) {
  struct environment *environment = data;
  (void)hook;
  watchdog_stop();
  memory_forget_environment(environment);
  pthread_mutex_lock(&environment->lock);
  environment->ended = true;
  pthread_mutex_unlock(&environment->lock);
  delete_discarded(environment);
  environment->closing = 1;
  while (environment->watchers != NULL) {
    environment->closing++;
    watcher_close(environment->watchers, closed_one);
  }
  uv_close((uv_handle_t *)&environment->wake, on_wake_closed);
}

static void finalize(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  struct environment *environment = data;
  pthread_mutex_destroy(&environment->lock);
  free(environment);
}

/* 0, or a negative number when the environment cannot be set up. */
int environment_create(napi_env env) {
  uv_loop_t *loop = NULL;
  struct environment *environment = calloc(1, sizeof *environment);
  if (environment == NULL) return -1;
  environment->env = env;
  pthread_mutex_init(&environment->lock, NULL);
  if (napi_get_uv_event_loop(env, &loop) != napi_ok || uv_async_init(loop, &environment->wake, on_wake) != 0) {
    finalize(env, environment, NULL);
    return -1;
  }
  environment->wake.data = environment;
  uv_unref((uv_handle_t *)&environment->wake);
  napi_set_instance_data(env, environment, finalize, NULL);
  napi_add_async_cleanup_hook(env, end, environment, &environment->hook);
  return 0;
}

/* Whether this thread's JavaScript may go on: false when its worker is being terminated. */
bool environment_may_continue(napi_env env) {
  napi_handle_scope scope;
  napi_value result;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return false;
  bool alive = napi_coerce_to_bool(env, value_undefined(env), &result) == napi_ok;
  napi_close_handle_scope(env, scope);
  return alive;
}
