// Scores a batch of predictions that are numbers already: padded tensors in; terms and rewards out.
#pragma once

#include <cstdint>
#include <span>

#include "core/base/status.h"
#include "core/reward/recipe.h"

namespace perception {

// Objects of n answers or prompts, padded: values [n, rows, width], labels [n, rows], of which entry i uses
// the first counts[i] (empty = all). Boxes are x1 y1 x2 y2 (width 4), points x y (width 2).
struct PaddedObjects {
  std::span<const float> values;
  std::span<const int32_t> labels;  // detection: any ids that both sides share; below 0 = unknown
  std::span<const int32_t> counts;
  int64_t rows = 0;
};

// Predictions and ground truth are in one space (per-mille for counting). What a reader would find wrong with
// an item is found here in its numbers: not finite, inverted, or for detection of unknown label. Grounding
// takes the first box of each, and has no ground truth counts.
struct TensorScoreRequest {
  const Recipe* recipe = nullptr;  // of any task but OCR
  PaddedObjects predictions;       // [n, ...]
  PaddedObjects truth;             // [n / predictions_per_truth, ...]
  int64_t count = 0;               // n
  int64_t predictions_per_truth = 1;
};

// rewards: [n]; terms: [terms, n], all values of the recipe's first term, then of its second, ... Parallel
// over n.
Status score_tensors(const TensorScoreRequest& request, std::span<float> rewards, std::span<float> terms);

}  // namespace perception
