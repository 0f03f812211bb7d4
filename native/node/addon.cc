// The add-on's entry point: what it is, its threads, and the exports of its sisters.
#include <napi.h>

#ifdef _WIN32
#include <windows.h>
#else
#include <dlfcn.h>
#endif

#include "core/base/isa.h"
#include "core/base/thread_pool.h"
#include "node/arguments.h"
#include "node/exports.h"
#include "node/job.h"

namespace perception::node {
namespace {

// Node unloads an add-on when the worker_thread that loaded it ends. The pool's threads outlive every
// environment, so the library has to stay mapped.
void pin_library() {
#ifdef _WIN32
  HMODULE module;
  GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN,
                     reinterpret_cast<LPCWSTR>(&pin_library), &module);
#else
  Dl_info library;
  if (dladdr(reinterpret_cast<void*>(&pin_library), &library) != 0 && library.dli_fname)
    dlopen(library.dli_fname, RTLD_NOW | RTLD_NODELETE);
#endif
}

Napi::Value info(const Napi::CallbackInfo& call) {
  Napi::Object result = Napi::Object::New(call.Env());
  result.Set("threads", thread_count());
  result.Set("hardwareThreads", hardware_threads());
  result.Set("variant", isa_name(isa()));
#ifdef __VERSION__
  result.Set("compiler", __VERSION__);
#else
  result.Set("compiler", "unknown");
#endif
  return result;
}

Napi::Value set_threads(const Napi::CallbackInfo& call) {
  return exported(call, [](const Napi::CallbackInfo& arguments) -> Napi::Value {
    set_thread_count(static_cast<int>(integer(arguments[0], "threads", 1, 1024)));
    return arguments.Env().Undefined();
  });
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  pin_library();
  exports.Set("info", Napi::Function::New(env, info, "info"));
  exports.Set("setThreads", Napi::Function::New(env, set_threads, "setThreads"));
  export_kernels(env, exports);
  export_scoring(env, exports);
  export_metrics(env, exports);
  export_tensorflow(env, exports);
  export_cuda(env, exports);
  return exports;
}

}  // namespace
}  // namespace perception::node

static Napi::Object initialize_addon(Napi::Env env, Napi::Object exports) {
  return perception::node::initialize(env, exports);
}

NODE_API_MODULE(perception_r1, initialize_addon)
