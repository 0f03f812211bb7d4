#include <algorithm>
#include <array>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/geometry/iou.h"
#include "core/geometry/overlap.h"
#include "core/geometry/overlap_gradient.h"

namespace perception {
namespace {

// One problem. Sums over the other list are in its order and in double.
template <IouKind kind>
void problem_gradient(const float* a, int64_t n, const float* b, int64_t m, BoxFormat format,
                      const float* grad, int64_t stride, float* grad_a, float* grad_b) {
  thread_local std::vector<double> sums_b;
  sums_b.assign(static_cast<size_t>(4 * m), 0);
  std::array<double, 8> boxes;
  for (int64_t i = 0; i < n; ++i) {
    corners_of(a + 4 * i, format, boxes.data());
    std::array<double, 4> sum_a{};
    for (int64_t j = 0; j < m; ++j) {
      const double weight = grad[i * stride + j];
      if (weight == 0) continue;
      corners_of(b + 4 * j, format, boxes.data() + kOther);
      if (!all_finite(boxes)) continue;
      const Derivative by = derivative<kind>(boxes);
      for (size_t side = 0; side < 4; ++side) {
        sum_a[side] += weight * by[side];
        sums_b[static_cast<size_t>(4 * j) + side] += weight * by[kOther + side];
      }
    }
    const std::array<double, 4> result = through_format(sum_a.data(), format);
    std::transform(result.begin(), result.end(), grad_a + 4 * i,
                   [](double x) { return static_cast<float>(x); });
  }
  for (int64_t j = 0; j < m; ++j) {
    const std::array<double, 4> result = through_format(sums_b.data() + 4 * j, format);
    std::transform(result.begin(), result.end(), grad_b + 4 * j,
                   [](double x) { return static_cast<float>(x); });
  }
}

template <IouKind kind>
void batch_gradient(const PaddedBoxes& a, const PaddedBoxes& b, int64_t batch, BoxFormat format,
                    const float* grad, float* grad_a, float* grad_b) {
  parallel_for(batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      problem_gradient<kind>(a.of(i), a.count(i), b.of(i), b.count(i), format, grad + i * a.rows * b.rows,
                             b.rows, grad_a + i * a.rows * 4, grad_b + i * b.rows * 4);
  });
}

}  // namespace

Status pairwise_iou_gradient(const PaddedBoxes& a, const PaddedBoxes& b, int64_t batch, IouKind kind,
                             BoxFormat format, std::span<const float> grad, std::span<float> grad_a,
                             std::span<float> grad_b) {
  PERCEPTION_RETURN_IF_ERROR(validate_padded(a, batch, "a"));
  PERCEPTION_RETURN_IF_ERROR(validate_padded(b, batch, "b"));
  PERCEPTION_RETURN_IF_ERROR(check_shape(grad.size(), {batch, a.rows, b.rows}, "grad"));
  PERCEPTION_RETURN_IF_ERROR(check_length(grad_a.size(), a.values.size(), "grad_a"));
  PERCEPTION_RETURN_IF_ERROR(check_length(grad_b.size(), b.values.size(), "grad_b"));
  std::fill(grad_a.begin(), grad_a.end(), 0.0f);
  std::fill(grad_b.begin(), grad_b.end(), 0.0f);
  for_kind(kind, [&]<IouKind k>() {
    batch_gradient<k>(a, b, batch, format, grad.data(), grad_a.data(), grad_b.data());
  });
  return {};
}

}  // namespace perception
