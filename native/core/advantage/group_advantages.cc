#include "core/advantage/group_advantages.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "core/advantage/formula.h"
#include "core/base/isa.h"
#include "core/base/ragged.h"
#include "core/base/thread_pool.h"

namespace perception {
namespace {

// Rewards a chunk of parallel_for should hold at least: some tens of microseconds.
constexpr int64_t kRewardsPerChunk = 16384;

// Groups that are computed side by side, the rewards that each may have, and how few are faster one by one.
constexpr int kColumn = 32, kMostColumns = 64, kFewGroups = 6;

struct Batch {
  const float* rewards;
  const int32_t* offsets;
  const AdvantageOptions& options;
  double batch_std;  // used with scale batch alone
  float *advantages, *mean, *std;
};

}  // namespace

#define PERCEPTION_KERNELS "core/advantage/group_advantages_kernels.inc"
#include "core/base/each_isa.inc"

namespace {

Status infinite_reward(std::span<const float> rewards) {
  const auto first =
      std::find_if(rewards.begin(), rewards.end(), [](float reward) { return std::isinf(reward); });
  return {Code::kInvalidValue,
          std::string("rewards: expected finite numbers or NaN (not scored), received ") +
              (*first > 0 ? "inf" : "-inf") + " at index " + std::to_string(first - rewards.begin())};
}

// kInvalidValue where a reward is infinite, of which the sums tell.
Status advantages_of_groups(std::span<const float> rewards, std::span<const int32_t> offsets,
                            const AdvantageOptions& options, std::span<float> advantages,
                            std::span<float> mean, std::span<float> std, Isa set) {
  Moments all;
  if (options.scale == AdvantageScale::kBatch)
    all = moments_of(rewards.data(), static_cast<int32_t>(rewards.size()), options.ddof);
  if (!std::isfinite(all.sum)) return infinite_reward(rewards);
  const Batch batch = {rewards.data(),    offsets.data(), options,   all.std,
                       advantages.data(), mean.data(),    std.data()};
  const auto groups = static_cast<int64_t>(mean.size());
  const int64_t per_chunk = groups * kRewardsPerChunk / std::max<int64_t>(1, int64_t(rewards.size()));
  const int64_t grain = std::max<int64_t>(1, (per_chunk + kColumn - 1) / kColumn) * kColumn;
  std::atomic<bool> finite = true;
  parallel_for(groups, grain, [&](int64_t begin, int64_t end) {
    if (!PERCEPTION_KERNEL(set, write_advantages)(batch, static_cast<size_t>(begin),
                                                  static_cast<size_t>(end)))
      finite.store(false, std::memory_order_relaxed);
  });
  return finite.load(std::memory_order_relaxed) ? Status() : infinite_reward(rewards);
}

// --- Checks. ---

Status check_options(const AdvantageOptions& options) {
  if (options.ddof != 0 && options.ddof != 1)
    return {Code::kInvalidArgument, "ddof: expected 0 or 1, received " + std::to_string(options.ddof)};
  if (!(options.epsilon >= 0) || !std::isfinite(options.epsilon))
    return {Code::kInvalidArgument,
            "epsilon: expected a finite number of at least 0, received " + std::to_string(options.epsilon)};
  if (!(options.clip_low <= options.clip_high))
    return {Code::kInvalidArgument, "clip: expected [low, high] with low <= high, received [" +
                                        std::to_string(options.clip_low) + ", " +
                                        std::to_string(options.clip_high) + "]"};
  return {};
}

}  // namespace

Status group_advantages(std::span<const float> rewards, std::span<const int32_t> offsets,
                        const AdvantageOptions& options, std::span<float> advantages, std::span<float> mean,
                        std::span<float> std, Isa set) {
  PERCEPTION_RETURN_IF_ERROR(check_options(options));
  PERCEPTION_RETURN_IF_ERROR(validate_offsets(offsets, rewards.size(), "offsets"));
  PERCEPTION_RETURN_IF_ERROR(check_length(advantages.size(), rewards.size(), "advantages"));
  PERCEPTION_RETURN_IF_ERROR(check_length(mean.size(), offsets.size() - 1, "mean"));
  PERCEPTION_RETURN_IF_ERROR(check_length(std.size(), offsets.size() - 1, "std"));
  return advantages_of_groups(rewards, offsets, options, advantages, mean, std, set);
}

Status group_advantages_by_id(std::span<const float> rewards, std::span<const int32_t> group_of,
                              int32_t groups, const AdvantageOptions& options, std::span<float> advantages,
                              std::span<float> mean, std::span<float> std, Isa set) {
  PERCEPTION_RETURN_IF_ERROR(check_options(options));
  if (groups < 0)
    return {Code::kInvalidArgument, "groups: expected 0 or more, received " + std::to_string(groups)};
  if (rewards.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max()))
    return {Code::kTooLarge, "rewards: expected at most " +
                                 std::to_string(std::numeric_limits<int32_t>::max()) + " numbers, received " +
                                 std::to_string(rewards.size())};
  PERCEPTION_RETURN_IF_ERROR(check_length(group_of.size(), rewards.size(), "group_of"));
  PERCEPTION_RETURN_IF_ERROR(check_length(advantages.size(), rewards.size(), "advantages"));
  PERCEPTION_RETURN_IF_ERROR(check_length(mean.size(), static_cast<size_t>(groups), "mean"));
  PERCEPTION_RETURN_IF_ERROR(check_length(std.size(), static_cast<size_t>(groups), "std"));
  for (size_t i = 0; i < group_of.size(); ++i)
    if (group_of[i] < 0 || group_of[i] >= groups)
      return {Code::kInvalidValue, "group_of: expected numbers from 0 to " +
                                       std::to_string(int64_t{groups} - 1) + ", received " +
                                       std::to_string(group_of[i]) + " at index " + std::to_string(i)};

  // A stable counting sort makes the groups contiguous; their order is undone on the way out.
  std::vector<int32_t> offsets(static_cast<size_t>(groups) + 1);
  for (const int32_t group : group_of) ++offsets[static_cast<size_t>(group) + 1];
  for (size_t g = 1; g < offsets.size(); ++g) offsets[g] += offsets[g - 1];
  std::vector<int32_t> next(offsets.begin(), offsets.end() - 1), place(rewards.size());
  std::vector<float> sorted_rewards(rewards.size()), sorted_advantages(rewards.size());
  for (size_t i = 0; i < rewards.size(); ++i) {
    place[i] = next[static_cast<size_t>(group_of[i])]++;
    sorted_rewards[static_cast<size_t>(place[i])] = rewards[i];
  }
  if (!advantages_of_groups(sorted_rewards, offsets, options, sorted_advantages, mean, std, set).ok())
    return infinite_reward(rewards);  // by its place before sorting
  for (size_t i = 0; i < rewards.size(); ++i)
    advantages[i] = sorted_advantages[static_cast<size_t>(place[i])];
  return {};
}

}  // namespace perception
