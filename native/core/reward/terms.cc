#include "core/reward/terms.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/geometry/iou.h"

namespace perception {
namespace {

constexpr float kLargestCoordinate = 1e18f;
constexpr double kForbidden = std::numeric_limits<double>::infinity();

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

// DETR's matching cost, in float32 and in the released code's order of operations, so that near ties fall
// alike.
bool match_boxes(const Recipe& recipe, const DetectionItems& items, Matching& matching) {
  const size_t rows = items.predicted.size(), columns = items.truth.size();
  const float l1 = static_cast<float>(recipe.cost_l1), by_giou = static_cast<float>(recipe.cost_giou),
              by_class = static_cast<float>(recipe.cost_class),
              epsilon = static_cast<float>(recipe.iou_epsilon);
  const double others = recipe.classes - 1;
  const float same = static_cast<float>(std::numbers::e / (std::numbers::e + others)),
              different = static_cast<float>(1 / (std::numbers::e + others));
  matching.cost.resize(std::max(matching.cost.size(), rows * columns));
  double* cost = matching.cost.data();
  for (size_t row = 0; row < rows; ++row) {
    const Corners<float>& p = items.predicted[row];
    for (size_t column = 0; column < columns; ++column) {
      const Corners<float>& t = items.truth[column];
      const float distance =
          std::abs((p.x1 + p.x2) / 2 - (t.x1 + t.x2) / 2) + std::abs((p.y1 + p.y2) / 2 - (t.y1 + t.y2) / 2) +
          std::abs((p.x2 - p.x1) - (t.x2 - t.x1)) + std::abs((p.y2 - p.y1) - (t.y2 - t.y1));
      const float probability = items.predicted_labels[row] == items.true_labels[column] ? same : different;
      *cost++ = l1 * distance + by_class * -probability + by_giou * -giou(p, t, epsilon);
    }
  }
  double total;
  return assign(rows, columns, matching, total);
}

}  // namespace

bool matchable(const Corners<float>& box) {
  // Written so that NaN fails too.
  const auto within = [](float x) { return std::abs(x) <= kLargestCoordinate; };
  return within(box.x1) && within(box.y1) && within(box.x2) && within(box.y2);
}

double usable_share(size_t items, size_t faulty, size_t objects) {
  if (items == 0) return objects == 0 ? 1 : 0;
  return 1 - static_cast<double>(faulty) / static_cast<double>(items);
}

double grounding_iou(const Recipe& recipe, const Corners<double>& predicted, const Corners<double>& truth) {
  const double overlap = iou(predicted, truth);
  return recipe.iou_power == 2 ? overlap * overlap : std::pow(overlap, recipe.iou_power);
}

bool detection_terms(const Recipe& recipe, const DetectionItems& items, Matching& matching,
                     TermValues& values) {
  const size_t objects = items.truth.size();
  const size_t predicted = items.predicted.size() + (recipe.count_faulty ? items.faulty : 0);
  matching.object_of_prediction.assign(items.predicted.size(), -1);
  if (recipe.format_only_without_match && (predicted == 0 || objects == 0)) return true;
  if (predicted == 0 && objects == 0) {
    values[Term::kF1] = values[Term::kClass] = values[Term::kIou] = 1;
    return true;
  }
  if (!match_boxes(recipe, items, matching)) return false;
  size_t matched = 0, same_class = 0;
  double overlap = 0;
  for (size_t row = 0; row < items.predicted.size(); ++row) {
    int32_t& column = matching.object_of_prediction[row];
    if (column < 0) continue;
    const auto object = static_cast<size_t>(column);
    const float pair = iou(items.predicted[row], items.truth[object], static_cast<float>(recipe.iou_epsilon));
    if (!(pair > recipe.min_iou)) {
      column = -1;
      continue;
    }
    ++matched;
    overlap += pair;
    same_class += items.predicted_labels[row] == items.true_labels[object];
  }
  if (matched == 0 && recipe.format_only_without_match) return true;
  const double pairs = static_cast<double>(matched);
  const double unmatched_predictions = predicted ? 1 - pairs / static_cast<double>(predicted) : 0;
  const double unmatched_objects = objects ? 1 - pairs / static_cast<double>(objects) : 0;
  values[Term::kMissing] = unmatched_predictions + unmatched_objects;
  if (matched == 0) return true;
  const double precision = pairs / static_cast<double>(predicted);
  const double recall = pairs / static_cast<double>(objects);
  values[Term::kF1] = 2 * precision * recall / (precision + recall + recipe.iou_epsilon);
  values[Term::kClass] = static_cast<double>(same_class) / pairs;
  values[Term::kIou] = overlap / pairs;
  return true;
}

bool counting_terms(const Recipe& recipe, const CountingItems& items, Matching& matching,
                    TermValues& values) {
  const size_t usable = items.predicted.size() / 2, objects = items.truth.size() / 2;
  const size_t predicted = usable + (recipe.count_faulty ? items.faulty : 0);
  matching.object_of_prediction.assign(usable, -1);
  if (usable + items.faulty == 0 && objects == 0) {
    values[Term::kCount] = values[Term::kProximity] = values[Term::kCounting] = 1;
    return true;
  }
  if (usable == 0 || objects == 0) return true;
  matching.cost.resize(std::max(matching.cost.size(), usable * objects));
  double* cost = matching.cost.data();
  for (size_t row = 0; row < usable; ++row) {
    for (size_t column = 0; column < objects; ++column) {
      // sqrt rather than hypot: correctly rounded everywhere, so the same on every platform.
      const double dx = items.predicted[2 * row] - items.truth[2 * column];
      const double dy = items.predicted[2 * row + 1] - items.truth[2 * column + 1];
      const double squared = dx * dx + dy * dy;
      // As in the released code, whose float32 overflows: such a pair cannot be matched.
      *cost++ = squared <= std::numeric_limits<float>::max() ? std::sqrt(squared) : kForbidden;
    }
  }
  double total;
  if (!assign(usable, objects, matching, total)) return false;
  const double pairs = static_cast<double>(std::min(usable, objects));
  const double diagonal = 1000 * std::numbers::sqrt2;
  values[Term::kCount] = pairs / static_cast<double>(std::max(predicted, objects));
  values[Term::kProximity] = 1 - total / pairs / diagonal;
  values[Term::kCounting] = values[Term::kCount] * values[Term::kProximity];
  return true;
}

bool passes_gate(const Recipe& recipe, const TermValues& values) {
  return !recipe.format_gate || values[Term::kFormat] > 0;
}

double total_reward(const Recipe& recipe, const TermValues& values) {
  double total = 0;
  for (const WeightedTerm& weighted : recipe.terms) total += weighted.weight * values[weighted.term];
  return std::clamp(total, recipe.clamp_low, recipe.clamp_high);
}

}  // namespace perception
