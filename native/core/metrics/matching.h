// Pairs the detections of one category in one image with its ground truth, as COCOeval.evaluateImg of
// pycocotools does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/geometry/box.h"
#include "core/geometry/overlap.h"

namespace perception {

// A set of IoU thresholds is the bits of one of these: bit t is threshold t.
using Thresholds = uint32_t;
constexpr size_t kMaxThresholds = 32;

constexpr Thresholds all_thresholds(size_t count) { return ~Thresholds{0} >> (kMaxThresholds - count); }

struct AreaRange {
  double low, high;
  bool contains(double area) const { return !(area < low || area > high); }
};

// Corners, and the area as the format says it: width * height of xywh is not (x + width) - x times the like.
inline BoxTerms<double> detection_terms(const double* box, BoxFormat format) {
  const Corners<double> corners = to_corners(box, format);
  const double area = format == BoxFormat::kXyxy ? (box[2] - box[0]) * (box[3] - box[1]) : box[2] * box[3];
  return {corners.x1, corners.y1, corners.x2, corners.y2, area, 0, 0, 0};
}

inline bool inverted(const double* box, BoxFormat format) {
  return format == BoxFormat::kXyxy ? box[2] < box[0] || box[3] < box[1] : box[2] < 0 || box[3] < 0;
}

struct TruthItem {
  BoxTerms<double> box;
  double area;  // what area ranges go by
  bool crowd;   // stands for many objects: any number of detections may match, IoU is over their own area
  bool ignore;  // matched or not, it counts for nothing
};

// At which thresholds a detection was matched, and at which it counts neither as right nor as wrong.
struct Outcome {
  Thresholds matched = 0, ignored = 0;
};

// Holds its memory from one cell (one category of one image) to the next.
class Matcher {
 public:
  // To be filled before overlap(). Detections are best first.
  std::vector<TruthItem> truths;
  std::vector<BoxTerms<double>> detections;

  void clear() {
    truths.clear();
    detections.clear();
  }

  // Computes the overlaps. To be called once the lists are full.
  void overlap();

  // Matches for one range of areas; truths and unmatched detections outside of it are ignored.
  void match(const AreaRange& range, std::span<const double> thresholds);

  // Of the last match().
  Outcome outcome(size_t detection) const;
  size_t objects() const { return regular_; }  // truths that are not ignored
  bool ignores(size_t truth) const { return ignored_[truth] != 0; }
  // The truth that a detection took, or -1.
  int32_t truth_of(size_t threshold, size_t detection) const {
    return truth_of_[threshold * detections.size() + detection];
  }

 private:
  struct Candidate {
    int32_t truth;
    double overlap;
  };

  void pair(std::span<const double> thresholds);
  void find_candidates(double least_threshold);
  void pair_at(double threshold, int32_t* truth_of);

  std::vector<double> overlaps_;  // [detections, truths]
  std::vector<double> best_;      // each detection's greatest overlap
  std::vector<uint8_t> ignored_, paired_ignored_, taken_;
  // The truths that a detection may match at some threshold, in the order in which they are tried: first
  // those that are not ignored. Detection d has candidates_[candidate_starts_[d]..candidate_starts_[d + 1]).
  std::vector<Candidate> candidates_;
  std::vector<size_t> candidate_starts_;
  std::vector<int32_t> truth_of_;  // [thresholds, detections]
  std::vector<Thresholds> matched_;
  size_t regular_ = 0;
  bool paired_ = false;
  AreaRange range_{};
  Thresholds all_ = 0;
};

}  // namespace perception
