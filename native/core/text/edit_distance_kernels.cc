#include "core/text/edit_distance_kernels.h"

#include <utility>

#include "core/base/simd.h"

namespace perception {

#define PERCEPTION_KERNELS "core/text/edit_distance_kernels.inc"
#include "core/base/each_isa.inc"

const DistanceKernels& distance_kernels(Isa set) { return PERCEPTION_KERNEL(set, kDistanceKernels); }

}  // namespace perception
