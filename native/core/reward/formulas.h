// The formulas of the rewards over numbers, the only ones: core's scorers and the GPU's end here. What they
// mean is in docs/recipes.md; gathering the numbers and matching them is the callers' business.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numbers>

#include "core/base/portable.h"
#include "core/geometry/box.h"
#include "core/geometry/overlap.h"
#include "core/reward/recipe.h"

namespace perception {

struct TermValues {
  std::array<double, kTerms> of{};
  PERCEPTION_PORTABLE double& operator[](Term term) { return of[static_cast<size_t>(term)]; }
  PERCEPTION_PORTABLE double operator[](Term term) const { return of[static_cast<size_t>(term)]; }
};

// --- What can be used. ---

// Whether a box has an area and distances in float32, in which detections are matched.
PERCEPTION_PORTABLE inline bool matchable(const Corners<float>& box) {
  constexpr float kLargestCoordinate = 1e18f;
  // Written so that NaN fails too.
  return std::abs(box.x1) <= kLargestCoordinate && std::abs(box.y1) <= kLargestCoordinate &&
         std::abs(box.x2) <= kLargestCoordinate && std::abs(box.y2) <= kLargestCoordinate;
}

PERCEPTION_PORTABLE inline bool inverted(const Corners<float>& box) {
  return box.x2 < box.x1 || box.y2 < box.y1;
}

// Format of an answer without a format check of its own: the share of its items that can be used; of one
// without items 1 where there was nothing to find, else 0.
PERCEPTION_PORTABLE inline double usable_share(size_t items, size_t faulty, size_t objects) {
  if (items == 0) return objects == 0 ? 1 : 0;
  return 1 - static_cast<double>(faulty) / static_cast<double>(items);
}

// --- Grounding. ---

PERCEPTION_PORTABLE inline double grounding_iou(const Recipe& recipe, const Corners<double>& predicted,
                                                const Corners<double>& truth) {
  const double overlap = pair_iou(predicted, truth);
  if (recipe.iou_power == 1) return overlap;
  return recipe.iou_power == 2 ? overlap * overlap : std::pow(overlap, recipe.iou_power);
}

// --- Detection. ---

// DETR's matching cost, in float32 and in the released code's order of operations, so that near ties fall
// alike.
struct BoxCost {
  float l1, giou, label, epsilon;
  float same, different;  // probability of a label, by whether it is the predicted one

  explicit BoxCost(const Recipe& recipe)
      : l1(static_cast<float>(recipe.cost_l1)),
        giou(static_cast<float>(recipe.cost_giou)),
        label(static_cast<float>(recipe.cost_class)),
        epsilon(static_cast<float>(recipe.iou_epsilon)) {
    const double others = recipe.classes - 1;
    same = static_cast<float>(std::numbers::e / (std::numbers::e + others));
    different = static_cast<float>(1 / (std::numbers::e + others));
  }

  PERCEPTION_PORTABLE float operator()(const Corners<float>& p, int32_t predicted_label,
                                       const Corners<float>& t, int32_t true_label) const {
    const float distance = std::abs((p.x1 + p.x2) / 2 - (t.x1 + t.x2) / 2) +
                           std::abs((p.y1 + p.y2) / 2 - (t.y1 + t.y2) / 2) +
                           std::abs((p.x2 - p.x1) - (t.x2 - t.x1)) + std::abs((p.y2 - p.y1) - (t.y2 - t.y1));
    const float probability = predicted_label == true_label ? same : different;
    return l1 * distance + label * -probability + giou * -pair_giou(p, t, epsilon);
  }
};

// What the matching left: the pairs that overlap enough, their overlaps added up, and how many items there
// were on either side.
struct MatchedBoxes {
  size_t pairs = 0, same_label = 0;
  double overlap = 0;
  size_t predicted = 0, objects = 0;
};

PERCEPTION_PORTABLE inline void detection_values(const Recipe& recipe, const MatchedBoxes& matched,
                                                 TermValues& values) {
  const bool predicted_none = matched.predicted == 0, no_objects = matched.objects == 0;
  if (matched.pairs == 0 && recipe.format_only_without_match) return;
  if (predicted_none && no_objects) {
    values[Term::kF1] = values[Term::kClass] = values[Term::kIou] = 1;
    return;
  }
  const double pairs = static_cast<double>(matched.pairs), predicted = static_cast<double>(matched.predicted),
               objects = static_cast<double>(matched.objects);
  values[Term::kMissing] =
      (predicted_none ? 0 : 1 - pairs / predicted) + (no_objects ? 0 : 1 - pairs / objects);
  if (matched.pairs == 0) return;
  const double precision = pairs / predicted, recall = pairs / objects;
  values[Term::kF1] = 2 * precision * recall / (precision + recall + recipe.iou_epsilon);
  values[Term::kClass] = static_cast<double>(matched.same_label) / pairs;
  values[Term::kIou] = matched.overlap / pairs;
}

// --- Counting. ---

// Distance of two points, or +infinity where they cannot be matched: as in the released code, whose float32
// overflows.
PERCEPTION_PORTABLE inline double point_cost(double x, double y, double true_x, double true_y) {
  // sqrt rather than hypot: correctly rounded everywhere, so the same on every platform.
  const double dx = x - true_x, dy = y - true_y;
  const double squared = dx * dx + dy * dy;
  return squared <= std::numeric_limits<float>::max() ? std::sqrt(squared)
                                                      : std::numeric_limits<double>::infinity();
}

// `distance` is that of all matched pairs together, of which there are as many as points on the smaller side.
struct MatchedPoints {
  size_t usable = 0, faulty = 0, objects = 0;
  double distance = 0;
};

PERCEPTION_PORTABLE inline void counting_values(const Recipe& recipe, const MatchedPoints& matched,
                                                TermValues& values) {
  const auto [usable, faulty, objects, distance] = matched;
  if (usable + faulty == 0 && objects == 0) {
    values[Term::kCount] = values[Term::kProximity] = values[Term::kCounting] = 1;
    return;
  }
  if (usable == 0 || objects == 0) return;
  const size_t predicted = usable + (recipe.count_faulty ? faulty : 0);
  const double pairs = static_cast<double>(usable < objects ? usable : objects);
  const double diagonal = 1000 * std::numbers::sqrt2;
  values[Term::kCount] = pairs / static_cast<double>(predicted < objects ? objects : predicted);
  values[Term::kProximity] = 1 - distance / pairs / diagonal;
  values[Term::kCounting] = values[Term::kCount] * values[Term::kProximity];
}

// --- The reward. ---

// Whether the answer's format lets it earn anything.
PERCEPTION_PORTABLE inline bool passes_gate(const Recipe& recipe, const TermValues& values) {
  return !recipe.format_gate || values[Term::kFormat] > 0;
}

// The weighted sum of the recipe's terms, clamped.
PERCEPTION_PORTABLE inline double total_reward(const Recipe& recipe, const TermValues& values) {
  double total = 0;
  for (const WeightedTerm& weighted : recipe.terms) total += weighted.weight * values[weighted.term];
  return total < recipe.clamp_low ? recipe.clamp_low : recipe.clamp_high < total ? recipe.clamp_high : total;
}

}  // namespace perception
