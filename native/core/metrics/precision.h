// Precision over recall of ranked detections, as COCOeval.accumulate of pycocotools.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/metrics/matching.h"

namespace perception {

constexpr size_t kRecallPoints = 101;

// numpy.linspace(0, 1, 101)[k] to the bit; k / 100.0 differs in ten of them.
constexpr double recall_point(size_t k) { return static_cast<double>(k) * 0.01; }

// A detection among those of its category in all images, which are sorted by score, best first.
struct Ranked {
  double score;
  int32_t position;  // where its outcome is
  int32_t rank;      // its place within its image, from 0
};

// At one threshold. The curves are filled only where they were asked for.
struct PrecisionCurve {
  double recall = 0;             // greatest recall
  double average_precision = 0;  // mean of `precision`
  std::array<double, kRecallPoints> precision{}, scores{};
};

class PrecisionAccumulator {
 public:
  // How many objects there are to find, at least 1.
  void set_objects(int64_t objects);

  // Counts the detections whose rank is below `max_detections`; outcome of position p: outcomes[p * stride].
  void add(std::span<const Ranked> ranked, const Outcome* outcomes, size_t stride, int32_t max_detections,
           size_t thresholds);

  // After add(). `curve` is overwritten.
  void curve(size_t threshold, bool with_points, PrecisionCurve& curve) const;

 private:
  struct Hit {
    int32_t wrong;  // detections before it that match nothing
    double score;
  };

  size_t objects_ = 0;
  // recall_points_[j]: how many points of recall the j-th object found is the first to reach (j from 1).
  std::vector<int32_t> recall_points_;
  std::vector<Hit> hits_;  // [thresholds, objects]
  std::array<int32_t, kMaxThresholds> found_{};
  double first_score_ = 0;
};

}  // namespace perception
