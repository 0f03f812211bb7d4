// The solver of assignment problems, for each instruction set (see isa.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/assignment/linear_sum_assignment.h"
#include "core/base/isa.h"

namespace perception {

enum class AssignmentOutcome {
  kSolved,
  kInfeasible,  // no complete assignment avoids the infinite costs
  kUnusable,    // factor * cost is somewhere NaN, -infinity or, but for +infinity, beyond +-kLargeCost
};

// A problem as it came; the solver minimizes factor * cost. At least one row and one column.
template <class T>
struct AssignmentProblem {
  const T* cost;  // [rows, cols]
  int32_t rows, cols;
  double factor;
  int32_t* column_of_row;  // [rows], -1 where a row stays unmatched; left as it is unless solved
  AssignmentOutcome outcome;
};

constexpr size_t kAssignmentsAtOnce = 16;

// Solves up to kAssignmentsAtOnce problems; small ones best by many, and of about one size.
template <class T>
using AssignmentSolver = void (*)(std::span<AssignmentProblem<T>> problems, AssignmentWorkspace& workspace);

template <class T>  // float or double
AssignmentSolver<T> assignment_solver(Isa isa);

}  // namespace perception
