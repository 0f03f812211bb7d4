// What the formula of a pair's overlap (overlap_formula.inc) is made of, and the formula for numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/base/portable.h"
#include "core/geometry/arctangent.h"
#include "core/geometry/box.h"
#include "core/geometry/iou.h"

namespace perception {

// What a pair's formula needs of each box. Computed once per box: arctangents are dear.
template <class T>
struct BoxTerms {
  T x1, y1, x2, y2;
  T area;
  T centre_x, centre_y;  // twice the centre; for DIoU and CIoU
  T angle;               // atan(width / height); for CIoU
};

// The lesser and the greater of two numbers. A GPU has an instruction for each, which differs from std::min
// and std::max in NaN and the sign of zero alone; neither reaches the result of finite boxes.
template <class T>
PERCEPTION_PORTABLE T lesser(T a, T b) {
#ifdef __CUDA_ARCH__
  return fmin(a, b);
#else
  return std::min(a, b);
#endif
}

template <class T>
PERCEPTION_PORTABLE T greater(T a, T b) {
#ifdef __CUDA_ARCH__
  return fmax(a, b);
#else
  return std::max(a, b);
#endif
}

template <class T>
PERCEPTION_PORTABLE T positive(T x) {
  // Never -0, so that a pair gives the same bits either way round.
#ifdef __CUDA_ARCH__
  return fmax(x, T(0));
#else
  return x > 0 ? x : T(0);
#endif
}

template <IouKind kind, class T>
PERCEPTION_PORTABLE inline BoxTerms<T> box_terms(const Corners<T>& box) {
  const T width = positive(box.x2 - box.x1), height = positive(box.y2 - box.y1);
  BoxTerms<T> terms{box.x1, box.y1, box.x2, box.y2, width * height, 0, 0, 0};
  if constexpr (kind == IouKind::kDiou || kind == IouKind::kCiou) {
    terms.centre_x = box.x1 + box.x2;
    terms.centre_y = box.y1 + box.y2;
  }
  if constexpr (kind == IouKind::kCiou) terms.angle = angle_of(width, height);
  return terms;
}

// x where it is a finite number, else 0: for the quotients 0 / 0 and those of areas beyond the range of T.
// Written so that the division is unconditional and the loop over it has no branch.
template <class T>
PERCEPTION_PORTABLE T where_finite(T x) {
  return std::abs(x) <= std::numeric_limits<T>::max() ? x : T(0);
}

template <class T>
PERCEPTION_PORTABLE T quotient(T numerator, T denominator) {
  return where_finite(numerator / denominator);
}

template <class T>
PERCEPTION_PORTABLE T where_positive(T condition, T x) {
  return condition > 0 ? x : T(0);
}

// Zero, as this epsilon, is not even added.
struct NoEpsilon {};
template <class T>
PERCEPTION_PORTABLE T operator+(T x, NoEpsilon) {
  return x;
}

#include "core/geometry/overlap_formula.inc"

template <class T>
PERCEPTION_PORTABLE T pair_iou(const Corners<T>& a, const Corners<T>& b, T epsilon = T(0)) {
  return overlap<IouKind::kIou>(box_terms<IouKind::kIou>(a), box_terms<IouKind::kIou>(b), epsilon);
}

template <class T>
PERCEPTION_PORTABLE T pair_giou(const Corners<T>& a, const Corners<T>& b, T epsilon = T(0)) {
  return overlap<IouKind::kGiou>(box_terms<IouKind::kGiou>(a), box_terms<IouKind::kGiou>(b), epsilon);
}

template <class T>
PERCEPTION_PORTABLE T pair_diou(const Corners<T>& a, const Corners<T>& b) {
  return overlap<IouKind::kDiou>(box_terms<IouKind::kDiou>(a), box_terms<IouKind::kDiou>(b), NoEpsilon());
}

template <class T>
PERCEPTION_PORTABLE T pair_ciou(const Corners<T>& a, const Corners<T>& b) {
  return overlap<IouKind::kCiou>(box_terms<IouKind::kCiou>(a), box_terms<IouKind::kCiou>(b), NoEpsilon());
}

PERCEPTION_PORTABLE inline bool finite_box(const float* box) {
  return std::isfinite(box[0]) && std::isfinite(box[1]) && std::isfinite(box[2]) && std::isfinite(box[3]);
}

// Calls run.template operator()<kind>(): the one place that turns the run-time kind into a template's.
template <class Run>
auto for_kind(IouKind kind, const Run& run) {
  switch (kind) {
    case IouKind::kGiou:
      return run.template operator()<IouKind::kGiou>();
    case IouKind::kDiou:
      return run.template operator()<IouKind::kDiou>();
    case IouKind::kCiou:
      return run.template operator()<IouKind::kCiou>();
    case IouKind::kIou:
      break;
  }
  return run.template operator()<IouKind::kIou>();
}

}  // namespace perception
