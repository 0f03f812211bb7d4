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

#define PERCEPTION_KERNELS "core/assignment/linear_sum_assignment_kernels.inc"
#include "core/base/each_isa.inc"

template <class T>
AssignmentSolver<T> assignment_solver(Isa set) {
  return PERCEPTION_KERNEL(set, solve_assignments<T>);
}

template AssignmentSolver<float> assignment_solver(Isa);
template AssignmentSolver<double> assignment_solver(Isa);

}  // namespace perception
