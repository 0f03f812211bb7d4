#include "core/advantage/group_advantages.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "core/advantage/formula.h"
#include "core/base/ragged.h"
#include "core/base/thread_pool.h"

namespace perception {
namespace {

// Rewards a chunk of parallel_for should hold at least: some tens of microseconds.
constexpr int64_t kRewardsPerChunk = 16384;

// One group. `batch_std` is used with scale batch alone.
void advantages_of_group(std::span<const float> rewards, const AdvantageOptions& options, double batch_std,
                         std::span<float> advantages, float& mean, float& std) {
  const Moments group = advantages_in_order(rewards.data(), static_cast<int32_t>(rewards.size()), options,
                                            batch_std, advantages.data());
  mean = static_cast<float>(group.mean);
  std = static_cast<float>(group.true_std());
}

void advantages_of_groups(std::span<const float> rewards, std::span<const int32_t> offsets,
                          const AdvantageOptions& options, std::span<float> advantages, std::span<float> mean,
                          std::span<float> std) {
  const double batch_std =
      options.scale == AdvantageScale::kBatch
          ? moments_of(rewards.data(), static_cast<int32_t>(rewards.size()), options.ddof).std
          : 0;
  const int64_t groups = static_cast<int64_t>(mean.size());
  const int64_t grain = std::max<int64_t>(
      1, groups * kRewardsPerChunk / std::max<int64_t>(1, static_cast<int64_t>(rewards.size())));
  parallel_for(groups, grain, [&](int64_t begin, int64_t end) {
    for (size_t g = static_cast<size_t>(begin); g < static_cast<size_t>(end); ++g) {
      const size_t first = static_cast<size_t>(offsets[g]);
      const size_t count = static_cast<size_t>(offsets[g + 1]) - first;
      advantages_of_group(rewards.subspan(first, count), options, batch_std, advantages.subspan(first, count),
                          mean[g], std[g]);
    }
  });
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

Status check_rewards(std::span<const float> rewards) {
  bool valid = true;
  for (const float reward : rewards) valid &= !std::isinf(reward);
  if (valid) return {};
  const auto first =
      std::find_if(rewards.begin(), rewards.end(), [](float reward) { return std::isinf(reward); });
  return {Code::kInvalidValue,
          std::string("rewards: expected finite numbers or NaN (not scored), received ") +
              (*first > 0 ? "inf" : "-inf") + " at index " + std::to_string(first - rewards.begin())};
}

}  // namespace

Status group_advantages(std::span<const float> rewards, std::span<const int32_t> offsets,
                        const AdvantageOptions& options, std::span<float> advantages, std::span<float> mean,
                        std::span<float> std) {
  PERCEPTION_RETURN_IF_ERROR(check_options(options));
  PERCEPTION_RETURN_IF_ERROR(validate_offsets(offsets, rewards.size(), "offsets"));
  PERCEPTION_RETURN_IF_ERROR(check_length(advantages.size(), rewards.size(), "advantages"));
  PERCEPTION_RETURN_IF_ERROR(check_length(mean.size(), offsets.size() - 1, "mean"));
  PERCEPTION_RETURN_IF_ERROR(check_length(std.size(), offsets.size() - 1, "std"));
  PERCEPTION_RETURN_IF_ERROR(check_rewards(rewards));
  advantages_of_groups(rewards, offsets, options, advantages, mean, std);
  return {};
}

Status group_advantages_by_id(std::span<const float> rewards, std::span<const int32_t> group_of,
                              int32_t groups, const AdvantageOptions& options, std::span<float> advantages,
                              std::span<float> mean, std::span<float> std) {
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
  PERCEPTION_RETURN_IF_ERROR(check_rewards(rewards));
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
  advantages_of_groups(sorted_rewards, offsets, options, sorted_advantages, mean, std);
  for (size_t i = 0; i < rewards.size(); ++i)
    advantages[i] = sorted_advantages[static_cast<size_t>(place[i])];
  return {};
}

}  // namespace perception
