#include "core/reward/terms.h"

#include <algorithm>
#include <cmath>

#include "core/base/isa.h"

namespace perception {
namespace {

#define PERCEPTION_KERNELS "core/reward/cost_kernels.inc"
#include "core/base/each_isa.inc"

template <class T>
T* grown(std::vector<T>& values, size_t size) {
  if (values.size() < size) values.resize(size);
  return values.data();
}

// The i-th prediction with the i-th object; false where a cost is not finite.
template <class Cost>
bool match_in_order(size_t columns, const Cost& cost, std::span<int32_t> column_of_row, double& total) {
  total = 0;
  for (size_t i = 0; i < std::min(column_of_row.size(), columns); ++i) {
    column_of_row[i] = static_cast<int32_t>(i);
    total += cost(i, i);
  }
  return std::isfinite(total);
}

bool match_greedily(std::span<const double> costs, size_t columns, std::span<int32_t> column_of_row,
                    GreedyWorkspace& workspace, double& total) {
  return greedy_assignment(costs, static_cast<int64_t>(column_of_row.size()), static_cast<int64_t>(columns),
                           column_of_row, &total, workspace);
}

// The costs of all answers' pairs, and the assignments at the least cost.
void match_optimally(const BoxCost& cost, std::span<DetectionItems> answers, Matching& matching) {
  size_t size = TrueBoxes::kBlock;
  for (const DetectionItems& answer : answers) size += answer.predicted.size() * answer.truth->size();
  // Row by row: what one writes beyond its end the next one overwrites.
  float* out = grown(matching.box_cost, size);
  const Isa set = isa();
  const auto fill = PERCEPTION_KERNEL(set, box_costs);
  matching.tasks.clear();
  matching.answer_of_task.clear();
  for (DetectionItems& answer : answers) {
    const size_t rows = answer.predicted.size(), columns = answer.truth->size();
    answer.matched = true;
    if (rows == 0 || columns == 0) continue;
    for (size_t i = 0; i < rows; ++i)
      fill(cost, answer.predicted[i], answer.predicted_labels[i], *answer.truth, out + i * columns);
    matching.tasks.push_back({{out, rows * columns},
                              static_cast<int64_t>(rows),
                              static_cast<int64_t>(columns),
                              answer.object_of_prediction,
                              0,
                              {}});
    matching.answer_of_task.push_back(&answer);
    out += rows * columns;
  }
  linear_sum_assignments<float>(matching.tasks, false, matching.assignment);
  for (size_t i = 0; i < matching.tasks.size(); ++i)
    matching.answer_of_task[i]->matched = matching.tasks[i].code == Code::kOk;
}

bool match_otherwise(MatchingMethod method, const BoxCost& cost, DetectionItems& answer, Matching& matching) {
  const size_t rows = answer.predicted.size(), columns = answer.truth->size();
  const auto cost_of = [&](size_t i, size_t k) {
    return cost(answer.predicted[i], answer.predicted_labels[i], answer.truth->box(k),
                answer.truth->labels()[k]);
  };
  double total;
  if (method == MatchingMethod::kInOrder)
    return match_in_order(columns, cost_of, answer.object_of_prediction, total);
  if (rows == 0 || columns == 0) return true;
  double* const costs = grown(matching.cost, rows * columns);
  for (size_t i = 0; i < rows; ++i)
    for (size_t k = 0; k < columns; ++k) costs[i * columns + k] = cost_of(i, k);
  return match_greedily({costs, rows * columns}, columns, answer.object_of_prediction, matching.greedy,
                        total);
}

bool match_points(MatchingMethod method, const CountingItems& items, size_t rows, size_t columns,
                  Matching& matching, double& total) {
  const auto cost = [&](size_t i, size_t k) {
    return point_cost(items.predicted[2 * i], items.predicted[2 * i + 1], items.truth[2 * k],
                      items.truth[2 * k + 1]);
  };
  total = 0;
  std::vector<int32_t>& column_of_row = matching.object_of_prediction;
  column_of_row.assign(rows, -1);
  if (method == MatchingMethod::kInOrder) return match_in_order(columns, cost, column_of_row, total);
  if (rows == 0 || columns == 0) return true;
  double* const costs = grown(matching.cost, rows * columns);
  for (size_t i = 0; i < rows; ++i)
    for (size_t k = 0; k < columns; ++k) costs[i * columns + k] = cost(i, k);
  if (method == MatchingMethod::kGreedy)
    return match_greedily({costs, rows * columns}, columns, column_of_row, matching.greedy, total);
  return linear_sum_assignment<double>({costs, rows * columns}, static_cast<int64_t>(rows),
                                       static_cast<int64_t>(columns), false, column_of_row, &total,
                                       matching.assignment)
      .ok();
}

}  // namespace

void TrueBoxes::resize(size_t size) {
  size_ = size;
  padded_ = (size + kBlock - 1) / kBlock * kBlock;
  corners_.assign(4 * padded_, 0);
  labels_.assign(padded_, 0);
}

void match_detections(const Recipe& recipe, std::span<DetectionItems> answers, Matching& matching) {
  const BoxCost cost(recipe);
  for (const DetectionItems& answer : answers)
    std::fill(answer.object_of_prediction.begin(), answer.object_of_prediction.end(), -1);
  if (recipe.matching == MatchingMethod::kHungarian) return match_optimally(cost, answers, matching);
  for (DetectionItems& answer : answers)
    answer.matched = match_otherwise(recipe.matching, cost, answer, matching);
}

void detection_terms(const Recipe& recipe, const DetectionItems& items, TermValues& values) {
  MatchedBoxes matched;
  matched.predicted = items.predicted.size() + (recipe.count_faulty ? items.faulty : 0);
  matched.objects = items.truth->size();
  for (size_t row = 0; row < items.predicted.size(); ++row) {
    int32_t& column = items.object_of_prediction[row];
    if (column < 0) continue;
    const auto object = static_cast<size_t>(column);
    const float overlap =
        pair_iou(items.predicted[row], items.truth->box(object), static_cast<float>(recipe.iou_epsilon));
    if (!(overlap > recipe.min_iou)) {
      column = -1;
      continue;
    }
    ++matched.pairs;
    matched.overlap += overlap;
    matched.same_label += items.predicted_labels[row] == items.truth->labels()[object];
  }
  detection_values(recipe, matched, values);
}

bool counting_terms(const Recipe& recipe, const CountingItems& items, Matching& matching,
                    TermValues& values) {
  MatchedPoints matched{items.predicted.size() / 2, items.faulty, items.truth.size() / 2, 0};
  if (!match_points(recipe.matching, items, matched.usable, matched.objects, matching, matched.distance))
    return false;
  counting_values(recipe, matched, values);
  return true;
}

}  // namespace perception
