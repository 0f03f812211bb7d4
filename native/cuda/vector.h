// Four numbers that are read or written in one access.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/portable.h"

namespace perception::cuda {

struct alignas(16) Float4 {
  float of[4];
};

PERCEPTION_PORTABLE constexpr size_t up_to_16(size_t bytes) { return (bytes + 15) / 16 * 16; }

PERCEPTION_PORTABLE inline bool is_aligned(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer) % alignof(Float4) == 0;
}

}  // namespace perception::cuda
