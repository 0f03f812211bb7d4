#include "core/reward/terms.h"

#include <algorithm>
#include <cmath>

namespace perception {
namespace {

// Pairs predictions (rows) with objects (columns) by cost(row, column); false where the costs allow no
// complete matching.
template <class Cost>
bool match(MatchingMethod method, size_t rows, size_t columns, const Cost& cost, Matching& matching,
           double& total) {
  total = 0;
  matching.object_of_prediction.assign(rows, -1);
  if (method == MatchingMethod::kInOrder) {
    for (size_t i = 0; i < std::min(rows, columns); ++i) {
      matching.object_of_prediction[i] = static_cast<int32_t>(i);
      total += cost(i, i);
    }
    return std::isfinite(total);
  }
  if (rows == 0 || columns == 0) return true;
  matching.cost.resize(std::max(matching.cost.size(), rows * columns));
  double* next = matching.cost.data();
  for (size_t row = 0; row < rows; ++row)
    for (size_t column = 0; column < columns; ++column) *next++ = cost(row, column);
  const std::span<const double> costs(matching.cost.data(), rows * columns);
  const auto n = static_cast<int64_t>(rows), m = static_cast<int64_t>(columns);
  if (method == MatchingMethod::kGreedy)
    return greedy_assignment(costs, n, m, matching.object_of_prediction, &total, matching.greedy);
  return linear_sum_assignment<double>(costs, n, m, false, matching.object_of_prediction, &total,
                                       matching.assignment)
      .ok();
}

}  // namespace

bool detection_terms(const Recipe& recipe, const DetectionItems& items, Matching& matching,
                     TermValues& values) {
  const BoxCost box_cost(recipe);
  const auto cost = [&](size_t row, size_t column) -> double {
    return box_cost(items.predicted[row], items.predicted_labels[row], items.truth[column],
                    items.true_labels[column]);
  };
  double total;
  if (!match(recipe.matching, items.predicted.size(), items.truth.size(), cost, matching, total))
    return false;
  MatchedBoxes matched;
  matched.predicted = items.predicted.size() + (recipe.count_faulty ? items.faulty : 0);
  matched.objects = items.truth.size();
  for (size_t row = 0; row < items.predicted.size(); ++row) {
    int32_t& column = matching.object_of_prediction[row];
    if (column < 0) continue;
    const auto object = static_cast<size_t>(column);
    const float overlap =
        pair_iou(items.predicted[row], items.truth[object], static_cast<float>(recipe.iou_epsilon));
    if (!(overlap > recipe.min_iou)) {
      column = -1;
      continue;
    }
    ++matched.pairs;
    matched.overlap += overlap;
    matched.same_label += items.predicted_labels[row] == items.true_labels[object];
  }
  detection_values(recipe, matched, values);
  return true;
}

bool counting_terms(const Recipe& recipe, const CountingItems& items, Matching& matching,
                    TermValues& values) {
  MatchedPoints matched{items.predicted.size() / 2, items.faulty, items.truth.size() / 2, 0};
  const auto cost = [&](size_t row, size_t column) {
    return point_cost(items.predicted[2 * row], items.predicted[2 * row + 1], items.truth[2 * column],
                      items.truth[2 * column + 1]);
  };
  if (!match(recipe.matching, matched.usable, matched.objects, cost, matching, matched.distance))
    return false;
  counting_values(recipe, matched, values);
  return true;
}

}  // namespace perception
