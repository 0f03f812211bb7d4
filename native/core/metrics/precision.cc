#include "core/metrics/precision.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace perception {

void PrecisionAccumulator::set_objects(int64_t objects) {
  if (objects_ == static_cast<size_t>(objects)) return;
  objects_ = static_cast<size_t>(objects);
  recall_points_.assign(objects_ + 1, 0);
  size_t point = 0;
  for (size_t j = 1; j <= objects_; ++j) {
    const double recall = static_cast<double>(j) / static_cast<double>(objects_);
    const size_t before = point;
    while (point < kRecallPoints && recall >= recall_point(point)) ++point;
    recall_points_[j] = static_cast<int32_t>(point - before);
  }
}

void PrecisionAccumulator::add(std::span<const Ranked> ranked, const Outcome* outcomes, size_t stride,
                               int32_t max_detections, size_t thresholds) {
  const Thresholds all = all_thresholds(thresholds);
  hits_.resize(std::max(hits_.size(), thresholds * objects_));
  found_.fill(0);
  first_score_ = 0;
  bool first = true;
  int32_t wrong_at_all = 0;  // counted apart from the others, since most wrong ones are
  std::array<int32_t, kMaxThresholds> wrong{};
  for (const Ranked& detection : ranked) {
    if (detection.rank >= max_detections) continue;
    if (first) first_score_ = detection.score;
    first = false;
    const Outcome outcome = outcomes[static_cast<size_t>(detection.position) * stride];
    const Thresholds misses = all & ~(outcome.matched | outcome.ignored);
    if (misses == all) {
      ++wrong_at_all;
      continue;
    }
    for (Thresholds rest = misses; rest != 0; rest &= rest - 1)
      ++wrong[static_cast<size_t>(std::countr_zero(rest))];
    for (Thresholds rest = outcome.matched & ~outcome.ignored; rest != 0; rest &= rest - 1) {
      const auto t = static_cast<size_t>(std::countr_zero(rest));
      hits_[t * objects_ + static_cast<size_t>(found_[t]++)] = {wrong[t] + wrong_at_all, detection.score};
    }
  }
}

void PrecisionAccumulator::curve(size_t threshold, bool with_points, PrecisionCurve& curve) const {
  const auto found = static_cast<size_t>(found_[threshold]);
  const Hit* const hits = hits_.data() + threshold * objects_;
  curve.recall = static_cast<double>(found) / static_cast<double>(objects_);
  if (with_points) {
    curve.precision.fill(0);
    curve.scores.fill(0);
    curve.scores[0] = first_score_;
  }
  // From the last object found to the first: precision at a recall is the greatest from there on.
  double greatest = 0, sum = 0;
  size_t point = 0;
  if (with_points)
    for (size_t j = 1; j <= found; ++j) point += static_cast<size_t>(recall_points_[j]);
  for (size_t j = found; j >= 1; --j) {
    const Hit& hit = hits[j - 1];
    // numpy.spacing(1) in the denominator, as there; it makes the precision of one right answer 1 - 2^-52.
    const double precision =
        static_cast<double>(j) /
        (static_cast<double>(hit.wrong) + static_cast<double>(j) + std::numeric_limits<double>::epsilon());
    greatest = std::max(greatest, precision);
    sum += greatest * recall_points_[j];
    if (!with_points) continue;
    for (int32_t k = 0; k < recall_points_[j]; ++k) {
      curve.precision[--point] = greatest;
      if (point > 0) curve.scores[point] = hit.score;
    }
  }
  curve.average_precision = sum / static_cast<double>(kRecallPoints);
}

}  // namespace perception
