// The terms of one answer, from boxes, points and labels: gathers what the formulas (formulas.h) need, and
// matches. Where the numbers come from, text or tensors, is the callers' business.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/assignment/greedy_assignment.h"
#include "core/assignment/linear_sum_assignment.h"
#include "core/geometry/box.h"
#include "core/reward/formulas.h"
#include "core/reward/recipe.h"

namespace perception {

// Scratch memory, kept between answers; and the matching that was found.
struct Matching {
  std::vector<int32_t> object_of_prediction;  // per usable prediction: the object matched with it, or -1
  std::vector<float> box_cost, true_corners;
  std::vector<int32_t> true_labels;
  std::vector<double> cost;
  AssignmentWorkspace assignment;
  GreedyWorkspace greedy;
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

// Fill `values`; false where the numbers allow no matching, so that the answer earns nothing.
bool detection_terms(const Recipe& recipe, const DetectionItems& items, Matching& matching,
                     TermValues& values);
bool counting_terms(const Recipe& recipe, const CountingItems& items, Matching& matching, TermValues& values);

}  // namespace perception
