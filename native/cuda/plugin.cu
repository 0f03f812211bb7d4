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
