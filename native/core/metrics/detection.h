// Average precision and recall of detections: what pycocotools' COCOeval computes for boxes.
#pragma once

#include <cstdint>
#include <span>

#include "core/base/status.h"
#include "core/geometry/box.h"
#include "core/metrics/matching.h"

namespace perception {

// Image i has the boxes offsets[i]..offsets[i + 1) of the list.
struct DetectionTruth {
  std::span<const double> boxes;        // [G, 4], finite, not inverted
  std::span<const int32_t> categories;  // [G], 0..K-1; -1: of none that is evaluated
  std::span<const int32_t> offsets;     // [I + 1]
  std::span<const double> areas;        // [G] what area ranges go by; NaN: the box's own
  std::span<const uint8_t> crowd;       // [G] 0 or 1, see TruthItem
  std::span<const uint8_t> ignore;      // [G] likewise
};

struct Detections {
  std::span<const double> boxes;        // [D, 4]
  std::span<const int32_t> categories;  // [D]
  std::span<const int32_t> offsets;     // [I + 1]
  std::span<const double> scores;       // [D], not NaN
};

struct DetectionProtocol {
  BoxFormat format = BoxFormat::kXyxy;
  int32_t categories = 0;                   // K
  bool by_category = true;                  // else all evaluated categories are one, and K is 1 in results
  std::span<const double> thresholds;       // [T] of IoU, 1 to 32 in (0, 1]
  std::span<const double> area_ranges;      // [A, 2], both ends included
  std::span<const int32_t> max_detections;  // [M] ascending: per image and category, the best by score
};

// -1 where there is no object to find.
struct DetectionFigures {
  std::span<double> average_precision;  // [T, K, A, M]
  std::span<double> recall;             // [T, K, A, M]
  std::span<int32_t> objects;           // [K, A]: those to find, that is, not ignored
  // Precision at the recalls 0, 0.01 .. 1, and the score of the detection that reaches each; or both empty.
  std::span<double> precision, scores;  // [T, 101, K, A, M]
  // Who matched whom; or all three empty. Numbers count within the image.
  std::span<int32_t> matches;        // [A, T, D]: of the truth; -1: none, -2: detection not evaluated
  std::span<uint8_t> ignored;        // [A, T, D]: counts neither as right nor as wrong
  std::span<uint8_t> ignored_truth;  // [A, G]
};

// Ties between scores keep the order of the lists, images in their order. Parallel; the result does not
// depend on the number of threads. Of a detection's box all is taken as pycocotools does, inverted ones too.
Status evaluate_detections(const DetectionTruth& truth, const Detections& detections,
                           const DetectionProtocol& protocol, const DetectionFigures& figures);

// Average precision of each list of detections by itself, as a reward: mean over thresholds and those
// categories that have an object to find, NaN where none has. Lists k * per_truth..(k + 1) * per_truth - 1
// are answers to truth k. Takes one area range and one number of maximal detections. Any box is accepted,
// since a model wrote it: one that is inverted or not finite matches nothing. out: one per list of
// detections.
Status average_precision(const DetectionTruth& truth, const Detections& detections, int64_t per_truth,
                         const DetectionProtocol& protocol, std::span<float> out);

}  // namespace perception
