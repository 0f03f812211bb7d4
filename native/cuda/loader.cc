#include "cuda/loader.h"

#ifdef _WIN32
#include <windows.h>
#else
#include <dlfcn.h>
#endif

#include <cstdio>
#include <cstdlib>

namespace perception::cuda {
namespace {

constexpr char kEntry[] = "perception_r1_cuda";

#ifdef _WIN32
constexpr char kFile[] = "perception_r1_cuda.dll";

std::string own_folder() {
  HMODULE module;
  char path[MAX_PATH];
  if (!GetModuleHandleExA(
          GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
          reinterpret_cast<LPCSTR>(&own_folder), &module) ||
      GetModuleFileNameA(module, path, sizeof(path)) == 0)
    return "";
  const std::string file = path;
  return file.substr(0, file.find_last_of("\\/") + 1);
}

PluginEntry open(const std::string& path, std::string& problem) {
  HMODULE module = LoadLibraryA(path.c_str());
  if (!module) {
    problem = "error " + std::to_string(GetLastError());
    return nullptr;
  }
  const auto entry = reinterpret_cast<PluginEntry>(GetProcAddress(module, kEntry));
  if (!entry) problem = std::string("it does not export ") + kEntry;
  return entry;
}
#else
constexpr char kFile[] = "perception_r1_cuda.so";

std::string own_folder() {
  Dl_info library;
  if (dladdr(reinterpret_cast<void*>(&own_folder), &library) == 0 || !library.dli_fname) return "";
  const std::string file = library.dli_fname;
  return file.substr(0, file.find_last_of('/') + 1);
}

PluginEntry open(const std::string& path, std::string& problem) {
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!library) {
    const char* const message = dlerror();
    problem = message ? message : "unknown";
    return nullptr;
  }
  const auto entry = reinterpret_cast<PluginEntry>(dlsym(library, kEntry));
  if (!entry) problem = std::string("it does not export ") + kEntry;
  return entry;
}
#endif

bool exists(const std::string& path) {
  std::FILE* const file = std::fopen(path.c_str(), "rb");
  if (file) std::fclose(file);
  return file != nullptr;
}

Loaded load() {
  Loaded result;
  const char* const setting = std::getenv("PERCEPTION_R1_CUDA");
  if (setting && std::string(setting) == "0") {
    result.reason = "PERCEPTION_R1_CUDA=0";
    return result;
  }
  const bool named = setting && *setting;
  std::string path = named ? setting : own_folder() + kFile;
  if (!exists(path)) {
    result.reason = named ? "PERCEPTION_R1_CUDA: " + path + " was not found"
                          : "this build has no CUDA plug-in (" + path +
                                " was not found); it is built where nvcc of CUDA 12 or newer is found";
    return result;
  }
  // A bare name would be looked for where the system keeps its libraries.
  if (path.find_first_of("/\\") == std::string::npos) path = "./" + path;
  std::string problem;
  const PluginEntry entry = open(path, problem);
  if (!entry) {
    result.reason = path + " could not be loaded: " + problem;
    return result;
  }
  result.path = path;
  const Plugin* const plugin = entry();
  if (!plugin || plugin->version != kPluginVersion || plugin->size != sizeof(Plugin)) {
    result.reason = path + " is of another version than the add-on; build both again";
    return result;
  }
  const Status status = said_by(*plugin, plugin->device_count(&result.devices));
  if (!status.ok())
    result.reason = "no GPU can be used: " + status.message();
  else if (result.devices == 0)
    result.reason = "no GPU was found";
  else
    result.plugin = plugin;
  return result;
}

}  // namespace

const Loaded& load_plugin() {
  static const Loaded& loaded = *new Loaded(load());
  return loaded;
}

}  // namespace perception::cuda
