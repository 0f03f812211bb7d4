// The plug-in's one export: its table.
#include "cuda/operations.h"
#include "cuda/plugin.h"

namespace perception::cuda {
namespace {

Plugin make_plugin() {
  Plugin plugin{};
  plugin.version = kPluginVersion;
  plugin.size = sizeof(Plugin);
  add_runtime(plugin);
  plugin.allocate = [](int32_t device, uint64_t bytes, void** memory) {
    return reported([&] { return allocate(device, bytes, memory); });
  };
  plugin.release = [](int32_t device, void* memory) {
    return reported([&] { return release(device, memory); });
  };
  plugin.fill = [](int32_t device, void* memory, int32_t byte, uint64_t bytes) {
    return reported([&] { return fill(device, memory, byte, bytes); });
  };
  add_pairwise(plugin);
  add_iou_gradient(plugin);
  add_assignment(plugin);
  add_advantages(plugin);
  add_edit_distance(plugin);
  add_score(plugin);
  return plugin;
}

}  // namespace
}  // namespace perception::cuda

#ifdef _WIN32
#define PERCEPTION_EXPORT extern "C" __declspec(dllexport)
#else
#define PERCEPTION_EXPORT extern "C" __attribute__((visibility("default")))
#endif

PERCEPTION_EXPORT const perception::cuda::Plugin* perception_r1_cuda() {
  static const perception::cuda::Plugin plugin = perception::cuda::make_plugin();
  return &plugin;
}
