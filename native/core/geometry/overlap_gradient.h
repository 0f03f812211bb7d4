// The derivative of one pair's overlap, the only home of it: pair by pair in double, in the corners of both
// boxes; then through the box format.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>

#include "core/base/portable.h"
#include "core/geometry/box.h"
#include "core/geometry/iou.h"

namespace perception {

// Derivatives with respect to x1, y1, x2, y2 of box a, then of box b.
using Derivative = std::array<double, 8>;
enum Side : size_t { kX1, kY1, kX2, kY2, kOther = 4 };

PERCEPTION_PORTABLE inline void add(Derivative& to, const Derivative& from, double times) {
  for (size_t i = 0; i < to.size(); ++i) to[i] += times * from[i];
}

// A length and its derivative.
struct Length {
  double value = 0;
  Derivative by{};
};

// Adds `sign` times d max(a, b) (or d min): all of it to the greater, half to each of equals.
PERCEPTION_PORTABLE inline void add_extreme(double a, double b, bool greatest, size_t side, double sign,
                                            Derivative& by) {
  const double share = a == b ? 0.5 : (a > b) == greatest ? 1 : 0;
  by[side] += sign * share;
  by[kOther + side] += sign * (1 - share);
}

// How far the boxes (or their hull) reach from `low` to `high`, not below 0.
PERCEPTION_PORTABLE inline Length extent(const std::array<double, 8>& boxes, size_t low, size_t high,
                                         bool hull) {
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
PERCEPTION_PORTABLE inline Length side_length(const std::array<double, 8>& boxes, size_t first, size_t low,
                                              size_t high) {
  Length length;
  const double difference = boxes[first + high] - boxes[first + low];
  if (difference < 0) return length;
  length.value = difference;
  length.by[first + high] = 1;
  length.by[first + low] = -1;
  return length;
}

PERCEPTION_PORTABLE inline Length product(const Length& x, const Length& y) {
  Length result{x.value * y.value, {}};
  add(result.by, x.by, y.value);
  add(result.by, y.by, x.value);
  return result;
}

// Adds `times` times the derivative of x / y, where that is a finite quotient.
PERCEPTION_PORTABLE inline void add_quotient(const Length& x, const Length& y, double times, Derivative& by) {
  if (y.value == 0) return;
  add(by, x.by, times / y.value);
  add(by, y.by, -times * x.value / (y.value * y.value));
}

// The derivative of one pair's overlap; `boxes` holds the corners of a, then of b.
template <IouKind kind>
PERCEPTION_PORTABLE Derivative derivative(const std::array<double, 8>& boxes) {
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
PERCEPTION_PORTABLE inline std::array<double, 4> through_format(const double* by, BoxFormat format) {
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

PERCEPTION_PORTABLE inline void corners_of(const float* box, BoxFormat format, double* to) {
  const double wide[4] = {box[0], box[1], box[2], box[3]};
  const Corners<double> corners = to_corners(wide, format);
  to[kX1] = corners.x1;
  to[kY1] = corners.y1;
  to[kX2] = corners.x2;
  to[kY2] = corners.y2;
}

PERCEPTION_PORTABLE inline bool all_finite(const std::array<double, 8>& boxes) {
  bool finite = true;
  for (size_t i = 0; i < boxes.size(); ++i) finite &= bool(std::isfinite(boxes[i]));
  return finite;
}

}  // namespace perception
