// Inner loops of the edit distance, for each instruction set (see isa.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/isa.h"
#include "core/text/bit_parallel.h"

namespace perception {

// Vectors that one pass carries along: their dependency chains overlap in the CPU, and their state fits its
// registers.
inline constexpr int kMostVectors = 4;
inline constexpr int kMostLanes = 8 * kMostVectors;

// Blocks of 64 rows of the distance matrix, as bit_parallel.inc has them. They are a wavefront: when lane 0
// is at a column, lane l is at the one l before, and what it finds at its last row (out_*) the next lane
// needs one step later.
struct Wavefront {
  alignas(64) uint64_t plus[kMostLanes];
  alignas(64) uint64_t minus[kMostLanes];
  alignas(64) uint64_t out_plus[kMostLanes];
  alignas(64) uint64_t out_minus[kMostLanes];
};

// Between neighbours in a row: +1, 0 or -1.
struct Difference {
  uint64_t plus, minus;
};

// Match masks of symbol s and lane l are masks[s * stride + l].
struct MatchTable {
  const uint64_t* masks;
  size_t stride;
};

// 64 symbols of a pattern, and the text: in step s the lane is at text[s].
struct MatchLane {
  const uint8_t* pattern;
  const uint8_t* text;
};

// Kernels by the number of vectors, from 1.
struct DistanceKernels {
  int lanes;  // of a vector

  // Takes some steps. Lane 0 begins at text[0], lane l at text[-l]. The row above lane 0 rises by 1 in every
  // step.
  void (*advance[kMostVectors])(Wavefront&, const uint32_t* text, MatchTable, size_t steps);
  // The same where the row above lane 0 has the differences border[0], border[1], ... They are replaced by
  // the last lane's, each at its column.
  void (*advance_border[kMostVectors])(Wavefront&, const uint32_t* text, MatchTable, size_t steps,
                                       Difference* border);

  // The same for lanes that are blocks of several pairs of strings, with match masks for each step, of all
  // lanes one after the other. A lane whose `inner` is all ones follows the lane before; where it is 0 the
  // row above rises by 1 from step `start` on. `first_step` is the number of the first step.
  void (*advance_group[kMostVectors])(Wavefront&, const uint64_t* masks, const uint64_t* inner,
                                      const uint64_t* start, size_t first_step, size_t steps);
  // The same where no lane is inner, and all have started.
  void (*advance_words[kMostVectors])(Wavefront&, const uint64_t* masks, size_t steps);
  // Finds the masks for these two: of `count` lanes, at masks[step * stride + lane] with steps counted from
  // `first_step`.
  void (*find_matches)(const MatchLane* lanes, size_t count, size_t first_step, size_t steps, size_t stride,
                       uint64_t* masks);
};

const DistanceKernels& distance_kernels(Isa isa);

}  // namespace perception
