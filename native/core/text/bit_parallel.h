// A block of the bit-parallel edit distance in plain words.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "core/base/portable.h"

namespace perception {

namespace bit_parallel {

using Word = uint64_t;

PERCEPTION_PORTABLE constexpr Word or_nor(Word a, Word b, Word c) { return a | ~(b | c); }
PERCEPTION_PORTABLE constexpr Word top_bits(Word x) { return x >> 63; }

#define STEP PERCEPTION_PORTABLE inline
#include "core/text/bit_parallel.inc"
#undef STEP

}  // namespace bit_parallel

inline constexpr int kRowsPerBlock = 64;

// 64 rows of one column of the distance matrix as differences to the row above: +1 in `plus`, -1
// in `minus`.
struct DistanceBlock {
  uint64_t plus = ~uint64_t{0};
  uint64_t minus = 0;

  // Moves to the next column. `carry_*` is the difference to the column before at the row above
  // the block, on return at its last row.
  PERCEPTION_PORTABLE void step(uint64_t match, uint64_t& carry_plus, uint64_t& carry_minus) {
    bit_parallel::step_block(plus, minus, match, carry_plus, carry_minus);
  }
};

// Sum of the differences of a block's first `rows` rows, or of all if there are more.
inline int64_t sum_of_rows(uint64_t plus, uint64_t minus, size_t rows) {
  const uint64_t valid = rows >= kRowsPerBlock ? ~uint64_t{0} : (uint64_t{1} << rows) - 1;
  return std::popcount(plus & valid) - std::popcount(minus & valid);
}

}  // namespace perception
