// The terms of one answer, from boxes, points and labels: the only home of their formulas (docs/recipes.md).
// Where the numbers come from, text or tensors, is the callers' business.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "core/assignment/linear_sum_assignment.h"
#include "core/geometry/box.h"
#include "core/reward/recipe.h"

namespace perception {

struct TermValues {
  std::array<double, static_cast<size_t>(Term::kBleu) + 1> of{};
  double& operator[](Term term) { return of[static_cast<size_t>(term)]; }
  double operator[](Term term) const { return of[static_cast<size_t>(term)]; }
};

// Scratch memory, kept between answers; and the matching that was found.
struct Matching {
  std::vector<int32_t> object_of_prediction;  // per usable prediction: the object matched with it, or -1
  std::vector<double> cost;
  AssignmentWorkspace assignment;
};

struct DetectionItems {
  std::span<const Corners<float>> predicted, truth;  // of the predictions only those that can be used
  std::span<const int32_t> predicted_labels, true_labels;
  size_t faulty = 0;  // predictions that cannot be used
};

struct CountingItems {
  std::span<const double> predicted,
      truth;  // x y in per-mille; of the predictions only those that can be used
  size_t faulty = 0;
};

// Whether a box has an area and distances in float32, in which detections are matched.
bool matchable(const Corners<float>& box);

// Format of an answer without a format check of its own: the share of its items that can be used; of one
// without items 1 where there was nothing to find, else 0.
double usable_share(size_t items, size_t faulty, size_t objects);

double grounding_iou(const Recipe& recipe, const Corners<double>& predicted, const Corners<double>& truth);

// Fill `values`; false where the numbers allow no matching, so that the answer earns nothing.
bool detection_terms(const Recipe& recipe, const DetectionItems& items, Matching& matching,
                     TermValues& values);
bool counting_terms(const Recipe& recipe, const CountingItems& items, Matching& matching, TermValues& values);

// Whether the answer's format lets it earn anything.
bool passes_gate(const Recipe& recipe, const TermValues& values);

// The reward: the weighted sum of the recipe's terms, clamped.
double total_reward(const Recipe& recipe, const TermValues& values);

}  // namespace perception
