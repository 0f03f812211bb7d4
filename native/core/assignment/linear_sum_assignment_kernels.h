// The solver of one assignment problem, for each instruction set (see isa.h).
#pragma once

#include <cstdint>

#include "core/assignment/linear_sum_assignment.h"
#include "core/base/isa.h"

namespace perception {

// A problem as it came; the solver minimizes factor * cost. At least one row and one column.
template <class T>
struct AssignmentProblem {
  const T* cost;  // [rows, cols]
  int32_t rows, cols;
  double factor;
};

enum class AssignmentOutcome {
  kSolved,
  kInfeasible,  // no complete assignment avoids the infinite costs
  kUnusable,    // factor * cost is somewhere NaN, -infinity or, but for +infinity, beyond +-kLargeCost
};

// column_of_row: [rows], -1 where a row stays unmatched; left as it is unless the problem is solved.
template <class T>
using AssignmentSolver = AssignmentOutcome (*)(const AssignmentProblem<T>& problem,
                                               AssignmentWorkspace& workspace, int32_t* column_of_row);

template <class T>  // float or double
AssignmentSolver<T> assignment_solver(Isa isa);

}  // namespace perception
