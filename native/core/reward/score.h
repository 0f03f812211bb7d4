// Scores a batch: completions and ground truth in; terms, rewards and advantages out.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "core/advantage/group_advantages.h"
#include "core/base/ragged.h"
#include "core/base/status.h"
#include "core/reward/recipe.h"
#include "core/text/completion.h"

namespace perception {

// Ground truth of n prompts. Which members are used depends on the task.
struct TruthBatch {
  std::span<const int32_t> offsets;  // [n + 1], in objects: boxes (grounding: one each, detection) or points
  std::span<const double> coordinates;  // boxes x1 y1 x2 y2, points x y
  std::span<const int32_t> labels;      // detection: vocabulary id of each box
  PackedStrings texts;                  // OCR: n texts
  std::span<const double> image_sizes;  // [n, 2] width and height in pixels, or empty where no size is known
  std::span<const double>
      resized_sizes;  // [n, 2] of the image that the model saw, or empty where it is the same
};

struct ScoreRequest {
  const Recipe* recipe = nullptr;
  const Vocabulary* vocabulary = nullptr;  // detection
  PackedStrings completions;
  TruthBatch truth;
  int64_t completions_per_truth = 1;  // completion i belongs to ground truth i / completions_per_truth
  Space prediction_space = Space::kPixels, truth_space = Space::kPixels;

  // Groups of the advantages: offsets, or where group_of is not empty ids in [0, groups).
  std::span<const int32_t> group_offsets;
  std::span<const int32_t> group_of;
  int32_t groups = 0;
  AdvantageOptions advantage;
};

// How many boxes and points fell outside the space that was declared for them: the sign of a wrong
// declaration.
struct SpaceCheck {
  int64_t predictions = 0, predictions_outside = 0, truths = 0, truths_outside = 0;
};

struct ScoreResult {
  std::span<float> rewards;     // [n]
  std::span<float> terms;       // [terms, n]: all values of the recipe's first term, then of its second, ...
  std::span<float> advantages;  // [n]
  std::span<uint8_t> status;    // [n] fault bits, core/text/completion.h
  // Per completion and object of its ground truth: which usable prediction (counted in the text's order) was
  // matched with it, or -1. Empty where the caller does not want it.
  std::span<int32_t> matches;
  std::span<const int32_t> match_offsets;  // [n + 1]
  SpaceCheck space;
};

// Parallel over completions; the result does not depend on the number of threads.
Status score_batch(const ScoreRequest& request, ScoreResult& result);

}  // namespace perception
