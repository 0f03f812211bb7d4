// Counts of padded batches, in the device's memory.
#pragma once

#include <cstdint>

#include "cuda/lanes.h"

namespace perception::cuda {

// How many of a problem's rows are used. Whatever the count is, nothing beyond the rows is.
PERCEPTION_DEVICE inline int64_t used_rows(const int32_t* counts, int64_t problem, int64_t rows) {
  const int64_t count = counts ? counts[problem] : rows;
  return count < 0 ? 0 : count > rows ? rows : count;
}

}  // namespace perception::cuda
