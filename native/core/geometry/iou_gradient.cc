// Derivatives of the IoU family, pair by pair in double, in the corners of both boxes; then through the box
// format.
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/geometry/iou.h"

namespace perception {
namespace {

// Derivatives with respect to x1, y1, x2, y2 of box a, then of box b.
using Derivative = std::array<double, 8>;
enum Side : size_t { kX1, kY1, kX2, kY2, kOther = 4 };

void add(Derivative& to, const Derivative& from, double times) {
  for (size_t i = 0; i < to.size(); ++i) to[i] += times * from[i];
}

// A length and its derivative.
struct Length {
  double value = 0;
  Derivative by{};
};

// Adds `sign` times d max(a, b) (or d min): all of it to the greater, half to each of equals.
void add_extreme(double a, double b, bool greatest, size_t side, double sign, Derivative& by) {
  const double share = a == b ? 0.5 : (a > b) == greatest ? 1 : 0;
  by[side] += sign * share;
  by[kOther + side] += sign * (1 - share);
}

// How far the boxes (or their hull) reach from `low` to `high`, not below 0.
Length extent(const std::array<double, 8>& boxes, size_t low, size_t high, bool hull) {
  const double a_low = boxes[low], b_low = boxes[kOther + low], a_high = boxes[high],
               b_high = boxes[kOther + high];
  const double from = hull ? std::min(a_low, b_low) : std::max(a_low, b_low);
  const double to = hull ? std::max(a_high, b_high) : std::min(a_high, b_high);
  Length length;
  if (to < from) return length;
  length.value = to - from;
  add_extreme(a_high, b_high, hull, high, 1, length.by);
  add_extreme(a_low, b_low, !hull, low, -1, length.by);
  return length;
}

// Width or height of one box, whose sides start at `first` (0 for a, kOther for b).
Length side_length(const std::array<double, 8>& boxes, size_t first, size_t low, size_t high) {
  Length length;
  const double difference = boxes[first + high] - boxes[first + low];
  if (difference < 0) return length;
  length.value = difference;
  length.by[first + high] = 1;
  length.by[first + low] = -1;
  return length;
}

Length product(const Length& x, const Length& y) {
  Length result{x.value * y.value, {}};
  add(result.by, x.by, y.value);
  add(result.by, y.by, x.value);
  return result;
}

// Adds `times` times the derivative of x / y, where that is a finite quotient.
void add_quotient(const Length& x, const Length& y, double times, Derivative& by) {
  if (y.value == 0) return;
  add(by, x.by, times / y.value);
  add(by, y.by, -times * x.value / (y.value * y.value));
}

// The derivative of one pair's overlap; `boxes` holds the corners of a, then of b.
template <IouKind kind>
Derivative derivative(const std::array<double, 8>& boxes) {
  Derivative by{};
  const Length a_width = side_length(boxes, 0, kX1, kX2), a_height = side_length(boxes, 0, kY1, kY2);
  const Length b_width = side_length(boxes, kOther, kX1, kX2),
               b_height = side_length(boxes, kOther, kY1, kY2);
  const Length intersection = product(extent(boxes, kX1, kX2, false), extent(boxes, kY1, kY2, false));
  const Length a_area = product(a_width, a_height), b_area = product(b_width, b_height);
  Length union_area{a_area.value + b_area.value - intersection.value, {}};
  add(union_area.by, a_area.by, 1);
  add(union_area.by, b_area.by, 1);
  add(union_area.by, intersection.by, -1);
  add_quotient(intersection, union_area, 1, by);
  if constexpr (kind == IouKind::kIou) return by;

  const Length hull_width = extent(boxes, kX1, kX2, true), hull_height = extent(boxes, kY1, kY2, true);
  if constexpr (kind == IouKind::kGiou) {
    // iou - (hull - union) / hull = iou - 1 + union / hull
    add_quotient(union_area, product(hull_width, hull_height), 1, by);
    return by;
  }

  const double dx = (boxes[kX1] + boxes[kX2] - boxes[kOther + kX1] - boxes[kOther + kX2]) / 2;
  const double dy = (boxes[kY1] + boxes[kY2] - boxes[kOther + kY1] - boxes[kOther + kY2]) / 2;
  const Length distance{dx * dx + dy * dy, {dx, dy, dx, dy, -dx, -dy, -dx, -dy}};
  Length diagonal = product(hull_width, hull_width);
  const Length squared_height = product(hull_height, hull_height);
  diagonal.value += squared_height.value;
  add(diagonal.by, squared_height.by, 1);
  add_quotient(distance, diagonal, -1, by);
  if constexpr (kind == IouKind::kDiou) return by;

  const auto angle = [](const Length& width, const Length& height) {
    Length result{std::atan2(width.value, height.value), {}};
    const double squares = width.value * width.value + height.value * height.value;
    if (squares == 0) return result;
    add(result.by, width.by, height.value / squares);
    add(result.by, height.by, -width.value / squares);
    return result;
  };
  const Length a_angle = angle(a_width, a_height), b_angle = angle(b_width, b_height);
  const double turn = a_angle.value - b_angle.value, scale = 4 / (std::numbers::pi * std::numbers::pi);
  const double v = scale * turn * turn;
  const double overlap = union_area.value == 0 ? 0 : intersection.value / union_area.value;
  const double alpha = v == 0 ? 0 : v / (1 - overlap + v);
  add(by, a_angle.by, -alpha * 2 * scale * turn);
  add(by, b_angle.by, alpha * 2 * scale * turn);
  return by;
}

// The gradient in corners as one in the four numbers of `format`.
std::array<double, 4> through_format(const double* by, BoxFormat format) {
  switch (format) {
    case BoxFormat::kXywh:
      return {by[kX1] + by[kX2], by[kY1] + by[kY2], by[kX2], by[kY2]};
    case BoxFormat::kCxcywh:
      return {by[kX1] + by[kX2], by[kY1] + by[kY2], (by[kX2] - by[kX1]) / 2, (by[kY2] - by[kY1]) / 2};
    case BoxFormat::kXyxy:
      break;
  }
  return {by[kX1], by[kY1], by[kX2], by[kY2]};
}

void corners_of(const float* box, BoxFormat format, double* to) {
  const double wide[4] = {box[0], box[1], box[2], box[3]};
  const Corners<double> corners = to_corners(wide, format);
  to[kX1] = corners.x1;
  to[kY1] = corners.y1;
  to[kX2] = corners.x2;
  to[kY2] = corners.y2;
}

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
      if (!std::all_of(boxes.begin(), boxes.end(), [](double x) { return std::isfinite(x); })) continue;
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
  const auto run = [&](auto gradient) {
    gradient(a, b, batch, format, grad.data(), grad_a.data(), grad_b.data());
    return Status();
  };
  switch (kind) {
    case IouKind::kIou:
      return run(batch_gradient<IouKind::kIou>);
    case IouKind::kGiou:
      return run(batch_gradient<IouKind::kGiou>);
    case IouKind::kDiou:
      return run(batch_gradient<IouKind::kDiou>);
    case IouKind::kCiou:
      return run(batch_gradient<IouKind::kCiou>);
  }
  return {Code::kInvalidArgument, "kind: unknown"};
}

}  // namespace perception
