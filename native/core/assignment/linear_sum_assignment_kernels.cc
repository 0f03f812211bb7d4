#include "core/assignment/linear_sum_assignment_kernels.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/base/simd.h"

namespace perception {

namespace baseline {
#include "core/assignment/linear_sum_assignment_kernels.inc"
}

#if defined(PERCEPTION_HAS_AVX)
PERCEPTION_BEGIN_AVX2
namespace avx2 {
#include "core/assignment/linear_sum_assignment_kernels.inc"
}
PERCEPTION_END_ISA

PERCEPTION_BEGIN_AVX512
namespace avx512 {
#include "core/assignment/linear_sum_assignment_kernels.inc"
}
PERCEPTION_END_ISA
#endif

template <class T>
AssignmentSolver<T> assignment_solver([[maybe_unused]] Isa isa) {
#if defined(PERCEPTION_HAS_AVX)
  if (isa == Isa::kAvx512) return avx512::solve_assignments<T>;
  if (isa == Isa::kAvx2) return avx2::solve_assignments<T>;
#endif
  return baseline::solve_assignments<T>;
}

template AssignmentSolver<float> assignment_solver(Isa);
template AssignmentSolver<double> assignment_solver(Isa);

}  // namespace perception
