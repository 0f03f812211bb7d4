// The step of the bit-parallel edit distance, the only one: core's and the GPU's. Myers (1999), in blocks as
// Hyyro (2003) has them.
#pragma once

#include <cstdint>

#include "core/base/portable.h"

namespace perception {

// 64 rows of one column of the distance matrix as differences to the row above: +1 in `plus`, -1
// in `minus`.
struct DistanceBlock {
  uint64_t plus = ~uint64_t{0};
  uint64_t minus = 0;

  // Moves to the next column. `carry_*` is the difference to the column before at the row above
  // the block, on return at its last row.
  PERCEPTION_PORTABLE void step(uint64_t match, uint64_t& carry_plus, uint64_t& carry_minus) {
    const uint64_t vertical = match | minus;
    match |= carry_minus;
    const uint64_t diagonal = (((match & plus) + plus) ^ plus) | match;
    uint64_t right_plus = minus | ~(diagonal | plus);
    uint64_t right_minus = plus & diagonal;
    const uint64_t out_plus = right_plus >> 63, out_minus = right_minus >> 63;
    right_plus = right_plus << 1 | carry_plus;
    right_minus = right_minus << 1 | carry_minus;
    plus = right_minus | ~(vertical | right_plus);
    minus = right_plus & vertical;
    carry_plus = out_plus;
    carry_minus = out_minus;
  }
};

}  // namespace perception
