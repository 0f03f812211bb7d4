// Group-relative advantages (GRPO and relatives). Formulas and sources: docs/advantages.md.
#pragma once

#include <cstdint>
#include <limits>
#include <span>

#include "core/base/isa.h"
#include "core/base/status.h"

namespace perception {

enum class AdvantageScale : uint8_t { kGroup, kBatch, kNone };
enum class AdvantageBaseline : uint8_t { kMean, kLeaveOneOut };

struct AdvantageOptions {
  AdvantageScale scale = AdvantageScale::kGroup;
  AdvantageBaseline baseline = AdvantageBaseline::kMean;
  double epsilon = 1e-4;  // added to the standard deviation
  int ddof = 1;           // 0 or 1
  double clip_low = -std::numeric_limits<double>::infinity();
  double clip_high = std::numeric_limits<double>::infinity();
};

// advantage = (reward - baseline) / (std + epsilon), clipped. `baseline` is the group's mean, or the mean of
// its other rewards; std is the group's, the whole batch's, or left out (scale none: no division at all). NaN
// = not scored: left out of every mean and std, advantage 0. Infinities are refused, after outputs may have
// been written. A group whose scored rewards are all equal (one alone included) gets exactly 0. Groups are
// contiguous: group g is rewards[offsets[g]..offsets[g + 1]). mean, std: one per group (NaN where none of the
// group was scored; std is 0 for a group of one scored reward). Sums are in double.
// Every instruction set gives the same bits; `set` is one that the processor has.
Status group_advantages(std::span<const float> rewards, std::span<const int32_t> offsets,
                        const AdvantageOptions& options, std::span<float> advantages, std::span<float> mean,
                        std::span<float> std, Isa set = isa());

// The same for arbitrary ids: reward i belongs to group group_of[i], a number in [0, groups).
Status group_advantages_by_id(std::span<const float> rewards, std::span<const int32_t> group_of,
                              int32_t groups, const AdvantageOptions& options, std::span<float> advantages,
                              std::span<float> mean, std::span<float> std, Isa set = isa());

}  // namespace perception
