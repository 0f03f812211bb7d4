#include "core/text/edit_distance_kernels.h"

#include <utility>

#include "core/base/simd.h"

namespace perception {

namespace baseline {
#include "core/text/edit_distance_kernels.inc"
}  // namespace baseline

#if defined(PERCEPTION_HAS_AVX)
PERCEPTION_BEGIN_AVX2
namespace avx2 {
#include "core/text/edit_distance_kernels.inc"
}  // namespace avx2
PERCEPTION_END_ISA
PERCEPTION_BEGIN_AVX512
namespace avx512 {
#include "core/text/edit_distance_kernels.inc"
}  // namespace avx512
PERCEPTION_END_ISA
#endif

const DistanceKernels& distance_kernels([[maybe_unused]] Isa isa) {
#if defined(PERCEPTION_HAS_AVX)
  if (isa == Isa::kAvx512) return avx512::kDistanceKernels;
  if (isa == Isa::kAvx2) return avx2::kDistanceKernels;
#endif
  return baseline::kDistanceKernels;
}

}  // namespace perception
