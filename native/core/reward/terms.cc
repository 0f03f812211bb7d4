#include "core/reward/terms.h"

#include <algorithm>
#include <cmath>

#include "core/base/isa.h"

namespace perception {
namespace {

constexpr size_t kCostBlock = 16;  // as many as the widest vector holds

// The objects of the ground truth as a structure of arrays, along which costs are computed. Each is filled up
// to whole blocks.
struct TrueBoxes {
  const float *x1, *y1, *x2, *y2;
  const int32_t* labels;
  size_t count;
};

namespace baseline {
#include "core/reward/cost_kernels.inc"
}
#ifdef PERCEPTION_HAS_AVX
PERCEPTION_BEGIN_AVX2
namespace avx2 {
#include "core/reward/cost_kernels.inc"
}
PERCEPTION_END_ISA
PERCEPTION_BEGIN_AVX512
namespace avx512 {
#include "core/reward/cost_kernels.inc"
}
PERCEPTION_END_ISA
#endif

using BoxCosts = void (*)(const BoxCost&, const Corners<float>&, int32_t, const TrueBoxes&, float*);

BoxCosts box_costs() {
#ifdef PERCEPTION_HAS_AVX
  if (isa() == Isa::kAvx512) return avx512::box_costs;
  if (isa() == Isa::kAvx2) return avx2::box_costs;
#endif
  return baseline::box_costs;
}

template <class T>
T* grown(std::vector<T>& values, size_t size) {
  if (values.size() < size) values.resize(size);
  return values.data();
}

// The i-th prediction with the i-th object; false where a cost is not finite.
template <class Cost>
bool match_in_order(size_t rows, size_t columns, const Cost& cost, Matching& matching, double& total) {
  total = 0;
  for (size_t i = 0; i < std::min(rows, columns); ++i) {
    matching.object_of_prediction[i] = static_cast<int32_t>(i);
    total += cost(i, i);
  }
  return std::isfinite(total);
}

bool match_greedily(std::span<const double> costs, size_t rows, size_t columns, Matching& matching,
                    double& total) {
  return greedy_assignment(costs, static_cast<int64_t>(rows), static_cast<int64_t>(columns),
                           matching.object_of_prediction, &total, matching.greedy);
}

template <class T>
bool match_optimally(std::span<const T> costs, size_t rows, size_t columns, Matching& matching,
                     double& total) {
  return linear_sum_assignment<T>(costs, static_cast<int64_t>(rows), static_cast<int64_t>(columns), false,
                                  matching.object_of_prediction, &total, matching.assignment)
      .ok();
}

// Pairs predictions (rows) with objects (columns); false where the costs allow no complete matching.
bool match_boxes(MatchingMethod method, const BoxCost& cost, const DetectionItems& items,
                 Matching& matching) {
  const size_t rows = items.predicted.size(), columns = items.truth.size();
  double total;
  matching.object_of_prediction.assign(rows, -1);
  if (method == MatchingMethod::kInOrder)
    return match_in_order(
        rows, columns,
        [&](size_t i, size_t k) {
          return cost(items.predicted[i], items.predicted_labels[i], items.truth[k], items.true_labels[k]);
        },
        matching, total);
  if (rows == 0 || columns == 0) return true;

  const size_t padded = (columns + kCostBlock - 1) / kCostBlock * kCostBlock;
  float* const x1 = grown(matching.true_corners, 4 * padded);
  float *const y1 = x1 + padded, *const x2 = y1 + padded, *const y2 = x2 + padded;
  int32_t* const labels = grown(matching.true_labels, padded);
  for (size_t k = 0; k < padded; ++k) {
    const Corners<float> box = k < columns ? items.truth[k] : Corners<float>{};
    x1[k] = box.x1;
    y1[k] = box.y1;
    x2[k] = box.x2;
    y2[k] = box.y2;
    labels[k] = k < columns ? items.true_labels[k] : 0;
  }
  const TrueBoxes truth{x1, y1, x2, y2, labels, columns};
  // Row by row: what one writes beyond its end the next one overwrites.
  float* const costs = grown(matching.box_cost, rows * columns + kCostBlock);
  const BoxCosts fill = box_costs();
  for (size_t i = 0; i < rows; ++i)
    fill(cost, items.predicted[i], items.predicted_labels[i], truth, costs + i * columns);
  if (method == MatchingMethod::kGreedy) {
    double* const wide = grown(matching.cost, rows * columns);
    std::copy_n(costs, rows * columns, wide);
    return match_greedily({wide, rows * columns}, rows, columns, matching, total);
  }
  return match_optimally<float>({costs, rows * columns}, rows, columns, matching, total);
}

bool match_points(MatchingMethod method, const CountingItems& items, size_t rows, size_t columns,
                  Matching& matching, double& total) {
  const auto cost = [&](size_t i, size_t k) {
    return point_cost(items.predicted[2 * i], items.predicted[2 * i + 1], items.truth[2 * k],
                      items.truth[2 * k + 1]);
  };
  total = 0;
  matching.object_of_prediction.assign(rows, -1);
  if (method == MatchingMethod::kInOrder) return match_in_order(rows, columns, cost, matching, total);
  if (rows == 0 || columns == 0) return true;
  double* const costs = grown(matching.cost, rows * columns);
  for (size_t i = 0; i < rows; ++i)
    for (size_t k = 0; k < columns; ++k) costs[i * columns + k] = cost(i, k);
  if (method == MatchingMethod::kGreedy)
    return match_greedily({costs, rows * columns}, rows, columns, matching, total);
  return match_optimally<double>({costs, rows * columns}, rows, columns, matching, total);
}

}  // namespace

bool detection_terms(const Recipe& recipe, const DetectionItems& items, Matching& matching,
                     TermValues& values) {
  if (!match_boxes(recipe.matching, BoxCost(recipe), items, matching)) return false;
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
  if (!match_points(recipe.matching, items, matched.usable, matched.objects, matching, matched.distance))
    return false;
  counting_values(recipe, matched, values);
  return true;
}

}  // namespace perception
