// The formulas of group-relative advantages for one group, the only ones: core's and the GPU's end here. What
// they mean is in group_advantages.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/advantage/group_advantages.h"
#include "core/base/portable.h"

namespace perception {

// NaN where there are too few.
PERCEPTION_PORTABLE inline double std_of(double squares, int32_t scored, int ddof) {
  if (scored <= ddof) return std::numeric_limits<double>::quiet_NaN();
  return std::sqrt(squares / static_cast<double>(scored - ddof));
}

struct Moments {
  int32_t scored = 0;
  double sum = 0, mean = 0, std = 0;  // mean: NaN where there are none; std: where there are too few
  bool all_equal = true;

  // Equality decides, not a small std: rounding may leave a group of equal rewards with std > 0.
  PERCEPTION_PORTABLE double true_std() const { return all_equal && scored > 0 ? 0 : std; }
};

// NaN, not scored, as 0.
PERCEPTION_PORTABLE inline double or_zero(float reward) { return std::isnan(reward) ? 0.0f : reward; }

PERCEPTION_PORTABLE inline double squared_deviation(float reward, double mean) {
  const double deviation = std::isnan(reward) ? 0.0 : or_zero(reward) - mean;
  return deviation * deviation;
}

// A reward's part in its group's moments; `first` is the first that is scored. Without branches: 0 added to a
// sum changes no bit of it. `Flag`: a bool, or an integer as wide as other things that are added side by
// side.
template <class Flag>
PERCEPTION_PORTABLE inline void add_reward(float reward, int32_t& scored, double& sum, float& first,
                                           Flag& all_equal) {
  const bool is_scored = !std::isnan(reward);
  first = scored == 0 ? reward : first;
  all_equal &= !is_scored | (reward == first);
  scored += is_scored;
  sum += or_zero(reward);
}

// Over the rewards that are not NaN, in index order and in two passes. The sum is not finite where a reward
// is infinite, and only there. `Rewards`: anything with [] from 0.
template <class Rewards>
PERCEPTION_PORTABLE Moments moments_of(const Rewards& rewards, int32_t count, int ddof) {
  Moments moments;
  float first = 0;
  for (int32_t i = 0; i < count; ++i)
    add_reward(rewards[i], moments.scored, moments.sum, first, moments.all_equal);
  moments.mean = moments.sum / static_cast<double>(moments.scored);
  double squares = 0;
  for (int32_t i = 0; i < count; ++i) squares += squared_deviation(rewards[i], moments.mean);
  moments.std = std_of(squares, moments.scored, ddof);
  return moments;
}

// x / y to the bit where y's reciprocal, correctly rounded, is at hand; faster than a GPU divides.
// Markstein's correction by the remainder (1990). y is of the size of 2^-500 to 2^500, so is x if not 0:
// nothing under- or overflows.
PERCEPTION_PORTABLE inline double quotient(double x, double y, double reciprocal) {
  const double near = x * reciprocal;
  return std::fma(std::fma(-y, near, x), reciprocal, near);
}

// Divides many numbers by one.
class Divider {
 public:
  PERCEPTION_PORTABLE explicit Divider(double by) {
#ifdef __CUDA_ARCH__
    // What is divided by 2^500 or by more is 0 as a float.
    by_ = std::min(by, 0x1p500);
    reciprocal_ = 1 / by_;
#else
    by_ = by;
#endif
  }

  PERCEPTION_PORTABLE double operator()(double x) const {
#ifdef __CUDA_ARCH__
    return quotient(x, by_, reciprocal_);
#else
    return x / by_;
#endif
  }

 private:
  double by_;
#ifdef __CUDA_ARCH__
  double reciprocal_;
#endif
};

// From the rewards of a group to their advantages.
class AdvantageFormula {
 public:
  // `batch_std` is used with scale batch alone.
  PERCEPTION_PORTABLE AdvantageFormula(const Moments& group, const AdvantageOptions& options,
                                       double batch_std)
      : group_(group),
        options_(options),
        divisor_(divisor_of(group, options, batch_std)),
        by_divisor_(divisor_),
        by_others_(static_cast<double>(group.scored - 1)) {}

  PERCEPTION_PORTABLE float operator()(float reward) const {
    const double value = or_zero(reward);
    const double baseline =
        options_.baseline == AdvantageBaseline::kLeaveOneOut ? by_others_(group_.sum - value) : group_.mean;
    const double advantage = std::clamp(by_divisor_(value - baseline), options_.clip_low, options_.clip_high);
    const bool has_none = std::isnan(reward) || group_.all_equal || std::isnan(divisor_);
    return has_none ? 0.0f : static_cast<float>(advantage);
  }

 private:
  static PERCEPTION_PORTABLE double divisor_of(const Moments& group, const AdvantageOptions& options,
                                               double batch_std) {
    if (options.scale == AdvantageScale::kGroup) return group.std + options.epsilon;
    if (options.scale == AdvantageScale::kBatch) return batch_std + options.epsilon;
    return 1;
  }

  const Moments& group_;
  const AdvantageOptions& options_;
  double divisor_;
  Divider by_divisor_, by_others_;
};

// One group by one thread. `advantages` may be `rewards`.
template <class Rewards, class Advantages>
PERCEPTION_PORTABLE Moments advantages_in_order(const Rewards& rewards, int32_t count,
                                                const AdvantageOptions& options, double batch_std,
                                                const Advantages& advantages) {
  const Moments group = moments_of(rewards, count, options.ddof);
  const AdvantageFormula formula(group, options, batch_std);
  for (int32_t i = 0; i < count; ++i) advantages[i] = formula(rewards[i]);
  return group;
}

}  // namespace perception
