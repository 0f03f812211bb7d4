// The angle of CIoU: atan2 of a width and a height, neither of which is negative.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/base/portable.h"

namespace perception {

PERCEPTION_PORTABLE inline double angle_of(double width, double height) { return std::atan2(width, height); }

// For floats: correctly rounded but in about one case of 1,500, the same bits on every platform, and without
// a branch, so that a loop over boxes becomes one over vectors. In double: the lesser side over the greater,
// whose arctangent is a polynomial, minimax in its relative error of 6.3e-11 (Remez). An extent beyond the
// range of floats counts as the greatest of them.
PERCEPTION_PORTABLE inline float angle_of(float width, float height) {
  constexpr double kCoefficients[] = {-0.33333332133787466,  0.19999927239548194,    -0.14284167133286256,
                                      0.11094502799017176,   -0.089854350274175057,  0.072594268143172842,
                                      -0.054515769630242845, 0.034475657474098343,   -0.016299301631462237,
                                      0.004926299148781753,  -0.00069794759710888725};
  constexpr float kGreatest = std::numeric_limits<float>::max();
  const float x = std::min(width, kGreatest), y = std::min(height, kGreatest);
  const double lesser = std::min(x, y), greater = std::max(x, y);
  const double tangent = lesser / (greater + 1e-300);  // 0 / 0 is 0; what is added vanishes beside all others
  const double square = tangent * tangent;
  const double fourth = square * square;
  // Two halves of the polynomial, which do not wait for each other.
  double even = kCoefficients[10], odd = kCoefficients[9];
  for (int i = 8; i >= 0; i -= 2) even = even * fourth + kCoefficients[i];
  for (int i = 7; i >= 1; i -= 2) odd = odd * fourth + kCoefficients[i];
  const double sum = even + square * odd;
  const double angle = tangent + tangent * (square * sum);
  return static_cast<float>(x > y ? std::numbers::pi / 2 - angle : angle);
}

}  // namespace perception
