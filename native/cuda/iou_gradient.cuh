// The gradient of overlaps with respect to the boxes: a group of lanes for each box, which shares out the
// other list and adds up in double.
#pragma once

#include <cstdint>

#include "core/geometry/overlap_gradient.h"
#include "cuda/counts.h"
#include "cuda/lanes.h"

namespace perception::cuda {

template <IouKind kind>
struct IouGradient {
  const float *a, *b;
  const int32_t *a_counts, *b_counts;
  int64_t n, m;
  BoxFormat format;
  const float* grad;  // [batch, n, m]
  float *grad_a, *grad_b;

  // Of a batch of problems: box 0 of a, ..., n - 1 of a, 0 of b, ..., m - 1 of b.
  template <class Lanes>
  PERCEPTION_DEVICE void operator()(Lanes& lanes, int64_t index, unsigned char*) const {
    const int64_t problem = index / (n + m), place = index % (n + m);
    const bool of_a = place < n;
    const int64_t box = of_a ? place : place - n;
    const int64_t used_a = used_rows(a_counts, problem, n), used_b = used_rows(b_counts, problem, m);
    const int64_t others = box < (of_a ? used_a : used_b) ? (of_a ? used_b : used_a) : 0;
    const float* const this_grad = grad + problem * n * m;
    typename Lanes::template PerLane<double> sums[4];
    lanes.each([&](auto lane) {
      for (auto& sum : sums) sum[lane] = 0;
      std::array<double, 8> boxes;
      for (int64_t other = lane.index; other < others; other += Lanes::kSize) {
        const int64_t i = of_a ? box : other, j = of_a ? other : box;
        const double weight = this_grad[i * m + j];
        if (weight == 0) continue;
        corners_of(a + (problem * n + i) * 4, format, boxes.data());
        corners_of(b + (problem * m + j) * 4, format, boxes.data() + kOther);
        if (!all_finite(boxes)) continue;
        const Derivative by = derivative<kind>(boxes);
        for (size_t side = 0; side < 4; ++side)
          sums[side][lane] += weight * (of_a ? by[side] : by[kOther + side]);
      }
    });
    const double total[4] = {lanes.sum(sums[0]), lanes.sum(sums[1]), lanes.sum(sums[2]), lanes.sum(sums[3])};
    float* const to = of_a ? grad_a + (problem * n + box) * 4 : grad_b + (problem * m + box) * 4;
    lanes.each([&](auto lane) {
      if (lane.index != 0) return;
      const std::array<double, 4> result = through_format(total, format);
      for (size_t side = 0; side < 4; ++side) to[side] = static_cast<float>(result[side]);
    });
  }
};

}  // namespace perception::cuda
