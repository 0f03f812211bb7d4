// Edit distance: decides how many words a lane takes and where the tables are.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

#include "core/base/status.h"
#include "cuda/edit_distance.cuh"
#include "cuda/launch.h"
#include "cuda/operations.h"
#include "cuda/vector.h"

namespace perception::cuda {
namespace {

constexpr int kWarp = 32;
// Steps of the wavefront are counted in 32 bits: this, and the words of a strip.
constexpr int64_t kLongestText = std::numeric_limits<int32_t>::max() - 1024;
// Enough to hide each other's latencies.
constexpr int64_t kWarpsPerMultiprocessor = 16;
// For all warps, whatever the batch; but one warp gets what it needs.
constexpr size_t kMostWorkspaceBytes = size_t{256} << 20;

template <int kWords>
Status launch_distances(int32_t device, const TextPairs& pairs, int32_t* distances) {
  using Kernel = EditDistances<kWords>;
  Stream stream;
  PERCEPTION_RETURN_IF_ERROR(use_device(device, stream));

  const auto longest_pattern = static_cast<int32_t>(pairs.longest_pattern);
  const int32_t width = Kernel::width_for(longest_pattern, kWarp);
  const size_t table_bytes = up_to_16(Kernel::table_bytes(pairs.most_symbols, width));
  const bool table_in_shared = table_bytes * kWarpsPerBlock <= shared_memory_limit(device);
  const size_t workspace_bytes = (table_in_shared ? 0 : table_bytes) +
                                 up_to_16(Kernel::border_bytes(longest_pattern, pairs.longest_text, kWarp));
  const auto fitting = static_cast<int64_t>(kMostWorkspaceBytes / std::max<size_t>(workspace_bytes, 1));
  const int64_t groups = std::min(
      {pairs.count, multiprocessors(device) * kWarpsPerMultiprocessor, std::max<int64_t>(fitting, 1)});
  Workspace workspace(device);
  PERCEPTION_RETURN_IF_ERROR(workspace.allocate(static_cast<size_t>(groups) * workspace_bytes));
  return launch<kWarp>(stream, groups, table_in_shared ? table_bytes : 0,
                       Kernel{pairs, distances, groups, width, workspace.as<unsigned char>(), workspace_bytes,
                              table_in_shared});
}

int32_t edit_distance(int32_t device, const TextPairs* pairs, int32_t* distances) {
  return reported([&]() -> Status {
    if (pairs->longest_text > kLongestText)
      return {Code::kTooLarge, "strings: expected at most " + std::to_string(kLongestText) +
                                   " code points, received " + std::to_string(pairs->longest_text)};
    return pairs->longest_pattern <= kWarp * kRowsPerWord ? launch_distances<1>(device, *pairs, distances)
                                                          : launch_distances<2>(device, *pairs, distances);
  });
}

}  // namespace

void add_edit_distance(Plugin& plugin) { plugin.edit_distance = edit_distance; }

}  // namespace perception::cuda
