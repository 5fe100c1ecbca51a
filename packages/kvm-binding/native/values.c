/* Conversions between JavaScript values and C, each refusing what does not fit. */
#include "binding.h"

#include <math.h>

napi_value value_number(napi_env env, double number) {
  napi_value value = NULL;
  napi_create_double(env, number, &value);
  return value;
}

napi_value value_u64(napi_env env, uint64_t number) {
  napi_value value = NULL;
  napi_create_bigint_uint64(env, number, &value);
  return value;
}

napi_value value_undefined(napi_env env) {
  napi_value value = NULL;
  napi_get_undefined(env, &value);
  return value;
}

bool get_u32(napi_env env, napi_value value, uint32_t *result) {
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok) return false;
  if (!(number >= 0 && number <= UINT32_MAX) || number != floor(number)) return false;
  *result = (uint32_t)number;
  return true;
}

bool get_u64(napi_env env, napi_value value, uint64_t *result) {
  double number;
  if (napi_get_value_double(env, value, &number) == napi_ok) {
    if (!(number >= 0 && number <= 9007199254740991.0) || number != floor(number)) return false;
    *result = (uint64_t)number;
    return true;
  }
  bool lossless = false;
  return napi_get_value_bigint_uint64(env, value, result, &lossless) == napi_ok && lossless;
}

bool get_bytes(napi_env env, napi_value value, uint8_t **data, size_t *length) {
  bool is_view = false;
  if (napi_is_typedarray(env, value, &is_view) != napi_ok || !is_view) return false;
  napi_typedarray_type type;
  void *address = NULL;
  if (napi_get_typedarray_info(env, value, &type, length, &address, NULL, NULL) != napi_ok) return false;
  if (type != napi_uint8_array) return false;
  *data = address;
  return true;
}

bool is_nullish(napi_env env, napi_value value) {
  napi_valuetype type;
  if (napi_typeof(env, value, &type) != napi_ok) return false;
  return type == napi_undefined || type == napi_null;
}

void set_function(napi_env env, napi_value exports, const char *name, napi_callback callback) {
  napi_value function = NULL;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, NULL, &function) == napi_ok) {
    napi_set_named_property(env, exports, name, function);
  }
}

bool arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values) {
  size_t got = count;
  return napi_get_cb_info(env, info, &got, values, NULL, NULL) == napi_ok;
}
