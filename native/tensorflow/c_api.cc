#include "tensorflow/c_api.h"

#ifndef _WIN32
#include <dlfcn.h>

#include <string_view>
#include <vector>
#ifdef __APPLE__
#include <mach-o/dyld.h>
#else
#include <link.h>
#endif
#endif

namespace perception::tensorflow {

#ifdef _WIN32

bool find_api(Api&, std::string&, std::string& reason) {
  reason = "TensorFlow ops are not supported on Windows";
  return false;
}

#else

namespace {

// Files of all shared objects of this process. TensorFlow is a dependency of a Node add-on, so it is in no
// global scope where dlsym(RTLD_DEFAULT) would see it.
std::vector<std::string> loaded_files() {
  std::vector<std::string> files;
#ifdef __APPLE__
  for (uint32_t i = 0; i < _dyld_image_count(); ++i)
    if (const char* file = _dyld_get_image_name(i)) files.emplace_back(file);
#else
  dl_iterate_phdr(
      [](dl_phdr_info* object, size_t, void* result) {
        try {
          if (object->dlpi_name)
            static_cast<std::vector<std::string>*>(result)->emplace_back(object->dlpi_name);
          return 0;
        } catch (...) {  // no memory: no exception may pass the loader's frame, which holds its lock
          return 1;
        }
      },
      &files);
#endif
  return files;
}

struct Library {
  std::string file;
  void* handle;
};

std::vector<Library> open_candidates() {
  std::vector<Library> candidates;
  for (std::string& file : loaded_files()) {
    const std::string_view name = std::string_view(file).substr(file.find_last_of('/') + 1);
    if (name.find("tensorflow") == std::string_view::npos) continue;
    if (void* handle = dlopen(file.c_str(), RTLD_NOLOAD | RTLD_LAZY))
      candidates.push_back({std::move(file), handle});
  }
  return candidates;
}

// Resolves every function by `lookup`; the name of the first one missing, or null.
template <class Lookup>
const char* resolve(Api& api, Lookup&& lookup) {
#define PERCEPTION_RESOLVE(result, name, arguments)                \
  api.name = reinterpret_cast<result(*) arguments>(lookup(#name)); \
  if (!api.name) return #name;
  PERCEPTION_TENSORFLOW_FUNCTIONS(PERCEPTION_RESOLVE)
#undef PERCEPTION_RESOLVE
  return nullptr;
}

bool resolve_from(const std::vector<Library>& candidates, Api& api, std::string& reason) {
  // One library, with those it depends on, that has everything: the usual case. Two TensorFlows in one
  // process are not mixed then.
  for (const Library& library : candidates)
    if (!resolve(api, [&](const char* name) { return dlsym(library.handle, name); })) return true;
  const char* missing = resolve(api, [&](const char* name) -> void* {
    for (const Library& library : candidates)
      if (void* symbol = dlsym(library.handle, name)) return symbol;
    return nullptr;
  });
  if (!missing) return true;
  reason = std::string(missing) + " is missing in";
  for (const Library& library : candidates) reason += " " + library.file;
  return false;
}

}  // namespace

bool find_api(Api& api, std::string& library, std::string& reason) {
  const std::vector<Library> candidates = open_candidates();
  if (candidates.empty()) {
    reason = "no libtensorflow is loaded in this process";
    return false;
  }
  if (!resolve_from(candidates, api, reason)) {
    for (const Library& candidate : candidates) dlclose(candidate.handle);
    return false;
  }
  // The handles stay open: TensorFlow must not go away when the worker_thread ends that imported tfjs-node.
  Dl_info info;
  library = dladdr(reinterpret_cast<void*>(api.TF_RegisterKernelBuilder), &info) != 0 && info.dli_fname
                ? info.dli_fname
                : candidates.front().file;
  return true;
}

#endif

}  // namespace perception::tensorflow
