#include "core/metrics/matching.h"

#include <algorithm>
#include <bit>

namespace perception {
namespace {

// The share of the detection that lies in the region.
double crowd_overlap(const BoxTerms<double>& detection, const BoxTerms<double>& crowd) {
  const double width = positive(std::min(detection.x2, crowd.x2) - std::max(detection.x1, crowd.x1));
  const double height = positive(std::min(detection.y2, crowd.y2) - std::max(detection.y1, crowd.y1));
  return quotient(width * height, detection.area);
}

// A threshold of 1 is for overlaps that are 1 but for rounding.
double reachable(double threshold) { return std::min(threshold, 1 - 1e-10); }

}  // namespace

void Matcher::overlap() {
  const size_t rows = detections.size(), cols = truths.size();
  overlaps_.resize(rows * cols);
  best_.assign(rows, 0);
  for (size_t d = 0; d < rows; ++d) {
    for (size_t g = 0; g < cols; ++g) {
      const TruthItem& truth = truths[g];
      const double value = truth.crowd
                               ? crowd_overlap(detections[d], truth.box)
                               : perception::overlap<IouKind::kIou>(detections[d], truth.box, NoEpsilon());
      overlaps_[d * cols + g] = value;
      best_[d] = std::max(best_[d], value);
    }
  }
  paired_ = false;
}

void Matcher::match(const AreaRange& range, std::span<const double> thresholds) {
  const size_t count = truths.size();
  range_ = range;
  all_ = all_thresholds(thresholds.size());
  ignored_.resize(count);
  regular_ = 0;
  for (size_t g = 0; g < count; ++g) {
    ignored_[g] = truths[g].crowd || truths[g].ignore || !range.contains(truths[g].area);
    regular_ += !ignored_[g];
  }
  // What is ignored decides the order in which truths are tried. All or none make the same order, and many
  // ranges have that in common.
  if (regular_ == 0) std::fill(ignored_.begin(), ignored_.end(), 0);
  if (!paired_ || ignored_ != paired_ignored_) {
    paired_ignored_ = ignored_;
    paired_ = true;
    pair(thresholds);
  }
  if (regular_ == 0) std::fill(ignored_.begin(), ignored_.end(), 1);
}

void Matcher::pair(std::span<const double> thresholds) {
  const size_t rows = detections.size();
  truth_of_.assign(thresholds.size() * rows, -1);
  matched_.assign(rows, 0);
  find_candidates(*std::min_element(thresholds.begin(), thresholds.end()));
  if (candidates_.empty()) return;
  size_t reached_before = 0;
  for (size_t t = 0; t < thresholds.size(); ++t) {
    const double threshold = reachable(thresholds[t]);
    size_t reached = 0;
    for (const Candidate& candidate : candidates_) reached += candidate.overlap >= threshold;
    int32_t* const truth_of = truth_of_.data() + t * rows;
    // As many as at the threshold before are the same ones, and those make the same pairs.
    if (t > 0 && reached == reached_before)
      std::copy(truth_of - rows, truth_of, truth_of);
    else
      pair_at(threshold, truth_of);
    reached_before = reached;
    for (size_t d = 0; d < rows; ++d)
      if (truth_of[d] >= 0) matched_[d] |= Thresholds{1} << t;
  }
}

void Matcher::find_candidates(double least_threshold) {
  const double least = reachable(least_threshold);
  const size_t cols = truths.size();
  candidates_.clear();
  candidate_starts_.assign(1, 0);
  for (size_t d = 0; d < detections.size(); ++d) {
    if (best_[d] >= least)
      for (const uint8_t ignored : {0, 1})
        for (size_t g = 0; g < cols; ++g)
          if (ignored_[g] == ignored && overlaps_[d * cols + g] >= least)
            candidates_.push_back({static_cast<int32_t>(g), overlaps_[d * cols + g]});
    candidate_starts_.push_back(candidates_.size());
  }
}

void Matcher::pair_at(double threshold, int32_t* truth_of) {
  taken_.assign(truths.size(), 0);
  for (size_t d = 0; d < detections.size(); ++d) {
    double best = threshold;
    int32_t found = -1;
    for (size_t c = candidate_starts_[d]; c < candidate_starts_[d + 1]; ++c) {
      const Candidate& candidate = candidates_[c];
      const auto g = static_cast<size_t>(candidate.truth);
      if (taken_[g] && !truths[g].crowd) continue;
      // One that counts is not given up for one that is ignored.
      if (found >= 0 && !ignored_[static_cast<size_t>(found)] && ignored_[g]) break;
      if (candidate.overlap < best) continue;  // of equal ones the last is taken
      best = candidate.overlap;
      found = candidate.truth;
    }
    if (found >= 0) taken_[static_cast<size_t>(found)] = 1;
    truth_of[d] = found;
  }
}

Outcome Matcher::outcome(size_t detection) const {
  Outcome result;
  result.matched = matched_[detection];
  if (regular_ == 0) {
    result.ignored = result.matched;
  } else if (regular_ != truths.size()) {
    for (Thresholds rest = result.matched; rest != 0; rest &= rest - 1) {
      const auto t = static_cast<size_t>(std::countr_zero(rest));
      if (ignored_[static_cast<size_t>(truth_of(t, detection))]) result.ignored |= Thresholds{1} << t;
    }
  }
  if (!range_.contains(detections[detection].area)) result.ignored |= all_ & ~result.matched;
  return result;
}

}  // namespace perception
