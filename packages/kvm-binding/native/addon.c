/* The addon's entry: what JavaScript sees of it. Only src/native.ts uses this interface. */
#include "binding.h"

NAPI_MODULE_INIT() {
  if (environment_create(env) != 0) {
    napi_throw_error(env, NULL, "the addon could not be set up");
    return NULL;
  }
  object_init(env, exports);
  ioctls_init(env, exports);
  system_init(env, exports);
  vm_init(env, exports);
  vcpu_init(env, exports);
  device_init(env, exports);
  stats_init(env, exports);
  memory_init(env, exports);
  mapping_init(env, exports);
  events_init(env, exports);
  return exports;
}
