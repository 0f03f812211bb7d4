// Group-relative advantages: picks the kernel for the groups' sizes.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>

#include "core/base/status.h"
#include "cuda/advantages.cuh"
#include "cuda/launch.h"
#include "cuda/operations.h"

namespace perception::cuda {
namespace {

// Groups of more rewards have a block each, others a warp or a lane.
constexpr int32_t kMostByWarp = 4096;

// Queues what computes the standard deviation of all rewards. The workspace holds it.
Status batch_std(int32_t device, Stream stream, const float* rewards, int64_t count, int ddof,
                 Workspace& workspace, const double*& std) {
  constexpr int kLanes = 256;
  const int64_t chunks = (count + kRewardsPerChunk - 1) / kRewardsPerChunk;
  PERCEPTION_RETURN_IF_ERROR(workspace.allocate(static_cast<size_t>(3 * chunks + 1) * sizeof(double)));
  double* const result = workspace.as<double>();
  double* const sums = result + 1;
  const RewardChunks batch = {rewards, count, chunks, sums, sums + chunks, sums + 2 * chunks};
  PERCEPTION_RETURN_IF_ERROR(launch<kLanes>(stream, chunks, 0, SumChunks{batch}));
  PERCEPTION_RETURN_IF_ERROR(launch<kLanes>(stream, chunks, 0, SquareChunks{batch}));
  std = result;
  return launch<kLanes>(stream, 1, 0, FinishBatchStd{batch, ddof, result});
}

template <int kSize>
Status in_registers(Stream stream, const AdvantageBatch& batch) {
  const AdvantageOptions& options = batch.options;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const bool plain = options.baseline == AdvantageBaseline::kMean && options.clip_low == -kInfinity &&
                     options.clip_high == kInfinity;
  const int64_t problems = (batch.groups.count + 31) / 32;
  return plain ? launch<32>(stream, problems, 0, GroupsInRegisters<kSize, true>{batch})
               : launch<32>(stream, problems, 0, GroupsInRegisters<kSize, false>{batch});
}

// Groups of `least` to `most` rewards, `tile` of them to so many lanes.
template <int kLanes>
Status tiles(Stream stream, const AdvantageBatch& batch, int64_t tile, int32_t least, int32_t most) {
  const GroupTiles kernel = {batch, static_cast<int32_t>(tile), least, most};
  const size_t shared_bytes = least <= kMostInOrder ? GroupTiles::shared_bytes(kernel.tile) : 0;
  return launch<kLanes>(stream, (batch.groups.count + tile - 1) / tile, shared_bytes, kernel);
}

Status advantages(int32_t device, Stream stream, int64_t count, const AdvantageBatch& batch) {
  const Groups& groups = batch.groups;
  if (groups.count == 0) return {};
  if (!groups.offsets && !groups.order && is_aligned(batch.rewards) && is_aligned(batch.advantages)) {
    if (groups.size == 4) return in_registers<4>(stream, batch);
    if (groups.size == 8) return in_registers<8>(stream, batch);
    if (groups.size == 16) return in_registers<16>(stream, batch);
  }
  const int64_t average = count / groups.count;
  const int64_t longest = groups.offsets ? count : groups.size;  // at most
  if (groups.offsets || groups.size <= kMostByWarp)
    PERCEPTION_RETURN_IF_ERROR(tiles<32>(stream, batch, average <= kMostInOrder ? 32 : 1, 0, kMostByWarp));
  if (longest <= kMostByWarp) return {};
  // Few groups are so large: blocks look for them among several, as long as there are blocks for the device.
  constexpr int kLanes = 1024;
  const int64_t blocks = int64_t{8} * multiprocessors(device);
  const int64_t tile = std::clamp<int64_t>((groups.count + blocks - 1) / blocks, 1, kLanes);
  return tiles<kLanes>(stream, batch, tile, kMostByWarp + 1, std::numeric_limits<int32_t>::max());
}

int32_t group_advantages(int32_t device, const float* rewards, int64_t count, const Groups* groups,
                         const AdvantageOptions* options, float* advantages, float* mean, float* std,
                         Fault* fault) {
  return reported([&] {
    return queue_group_advantages(device, rewards, count, *groups, *options, advantages, mean, std, fault);
  });
}

}  // namespace

Status queue_group_advantages(int32_t device, const float* rewards, int64_t count, const Groups& groups,
                              const AdvantageOptions& options, float* advantages, float* mean, float* std,
                              Fault* fault) {
  if (!groups.offsets && groups.count * groups.size != count)
    return {Code::kShapeMismatch, "rewards: expected " + std::to_string(groups.count) + " groups of " +
                                      std::to_string(groups.size) + ", received " + std::to_string(count)};
  if (count > std::numeric_limits<int32_t>::max())
    return {Code::kTooLarge, "rewards: expected at most " +
                                 std::to_string(std::numeric_limits<int32_t>::max()) + " numbers, received " +
                                 std::to_string(count)};
  Stream stream;
  PERCEPTION_RETURN_IF_ERROR(use_device(device, stream));
  AdvantageBatch batch = {rewards, groups, options, nullptr, advantages, mean, std, fault};
  Workspace workspace(device);
  if (options.scale == AdvantageScale::kBatch)
    PERCEPTION_RETURN_IF_ERROR(
        batch_std(device, stream, rewards, count, options.ddof, workspace, batch.batch_std));
  return cuda::advantages(device, stream, count, batch);
}

void add_advantages(Plugin& plugin) { plugin.group_advantages = group_advantages; }

}  // namespace perception::cuda
