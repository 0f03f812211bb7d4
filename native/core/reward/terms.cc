#include "core/reward/terms.h"

#include <algorithm>

namespace perception {
namespace {

// Solves matching.cost; false where a complete assignment is impossible.
bool assign(size_t rows, size_t columns, Matching& matching, double& total) {
  total = 0;
  matching.object_of_prediction.assign(rows, -1);
  if (rows == 0 || columns == 0) return true;
  const Status status = linear_sum_assignment<double>(
      std::span<const double>(matching.cost.data(), rows * columns), static_cast<int64_t>(rows),
      static_cast<int64_t>(columns), false, matching.object_of_prediction, &total, matching.assignment);
  if (!status.ok()) matching.object_of_prediction.assign(rows, -1);
  return status.ok();
}

bool match_boxes(const Recipe& recipe, const DetectionItems& items, Matching& matching) {
  const size_t rows = items.predicted.size(), columns = items.truth.size();
  const BoxCost box_cost(recipe);
  matching.cost.resize(std::max(matching.cost.size(), rows * columns));
  double* cost = matching.cost.data();
  for (size_t row = 0; row < rows; ++row)
    for (size_t column = 0; column < columns; ++column)
      *cost++ = box_cost(items.predicted[row], items.predicted_labels[row], items.truth[column],
                         items.true_labels[column]);
  double total;
  return assign(rows, columns, matching, total);
}

}  // namespace

bool detection_terms(const Recipe& recipe, const DetectionItems& items, Matching& matching,
                     TermValues& values) {
  if (!match_boxes(recipe, items, matching)) return false;
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
  matching.cost.resize(std::max(matching.cost.size(), matched.usable * matched.objects));
  double* cost = matching.cost.data();
  for (size_t row = 0; row < matched.usable; ++row)
    for (size_t column = 0; column < matched.objects; ++column)
      *cost++ = point_cost(items.predicted[2 * row], items.predicted[2 * row + 1], items.truth[2 * column],
                           items.truth[2 * column + 1]);
  if (!assign(matched.usable, matched.objects, matching, matched.distance)) return false;
  counting_values(recipe, matched, values);
  return true;
}

}  // namespace perception
