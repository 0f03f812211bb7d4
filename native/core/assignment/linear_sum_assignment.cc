#include "core/assignment/linear_sum_assignment.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <string>
#include <vector>

#include "core/assignment/linear_sum_assignment_kernels.h"
#include "core/base/ragged.h"
#include "core/base/thread_pool.h"

namespace perception {
namespace {

// Costs a chunk of parallel_for should hold at least: some tens of microseconds.
constexpr int64_t kCostsPerChunk = 16384;

// --- Checks. ---

// NaN, or the infinity that forbids no pair: the first such cost, or cost.end().
template <class T>
auto find_invalid(std::span<const T> cost, bool maximize) {
  const T refused = std::numeric_limits<T>::infinity() * T(maximize ? 1 : -1);
  return std::find_if(cost.begin(), cost.end(), [&](T x) { return std::isnan(x) || x == refused; });
}

template <class T>
Status invalid_cost(T cost, int64_t index, int64_t cols, bool maximize) {
  return {Code::kInvalidValue, std::string("cost: expected numbers or ") + (maximize ? "-inf" : "inf") +
                                   " (a forbidden pair), received " +
                                   (std::isnan(cost) ? "nan"
                                    : maximize       ? "inf"
                                                     : "-inf") +
                                   " at row " + std::to_string(index / cols) + ", column " +
                                   std::to_string(index % cols)};
}

Status check_shape(int64_t rows, int64_t cols, size_t cost_size, size_t column_of_row_size) {
  constexpr int64_t kMost = int64_t{1} << 30;  // what fills up the last block has numbers, too
  if (rows < 0 || cols < 0)
    return {Code::kShapeMismatch, "rows, cols: expected 0 or more, received " + std::to_string(rows) + " x " +
                                      std::to_string(cols)};
  if (rows > kMost || cols > kMost)
    return {Code::kTooLarge, "rows, cols: expected at most " + std::to_string(kMost) + ", received " +
                                 std::to_string(rows) + " x " + std::to_string(cols)};
  if (static_cast<uint64_t>(rows * cols) != cost_size)
    return {Code::kShapeMismatch, "cost: expected " + std::to_string(rows) + " x " + std::to_string(cols) +
                                      " = " + std::to_string(rows * cols) + " numbers, received " +
                                      std::to_string(cost_size)};
  if (static_cast<uint64_t>(rows) != column_of_row_size)
    return {Code::kShapeMismatch, "column_of_row: expected length " + std::to_string(rows) + ", received " +
                                      std::to_string(column_of_row_size)};
  return {};
}

// Calls solve(i, workspace) for every problem, in parallel. Every one is tried, so that the failure reported
// (that of the lowest index) does not depend on who came first.
template <class Solve>
Status solve_each(int64_t problems, int64_t grain, const Solve& solve) {
  std::mutex mutex;
  int64_t failed = problems;
  Status failure;
  parallel_for(problems, grain, [&](int64_t begin, int64_t end) {
    thread_local AssignmentWorkspace workspace;
    for (int64_t i = begin; i < end; ++i) {
      Status status = solve(static_cast<size_t>(i), workspace);
      if (status.ok()) continue;
      const std::lock_guard lock(mutex);
      if (i >= failed) continue;
      failed = i;
      failure = {status.code(), "problem " + std::to_string(i) + ": " + status.message()};
    }
  });
  return failure;
}

}  // namespace

template <class T>
Status linear_sum_assignment(std::span<const T> cost, int64_t rows, int64_t cols, bool maximize,
                             std::span<int32_t> column_of_row, double* total,
                             AssignmentWorkspace& workspace) {
  PERCEPTION_RETURN_IF_ERROR(check_shape(rows, cols, cost.size(), column_of_row.size()));
  if (cost.empty()) {
    std::fill(column_of_row.begin(), column_of_row.end(), -1);
    *total = 0;
    return {};
  }
  const AssignmentSolver<T> solve = assignment_solver<T>(isa());
  AssignmentProblem<T> problem{cost.data(), static_cast<int32_t>(rows), static_cast<int32_t>(cols),
                               maximize ? -1.0 : 1.0};
  AssignmentOutcome outcome = solve(problem, workspace, column_of_row.data());
  if (outcome == AssignmentOutcome::kUnusable) {
    const auto invalid = find_invalid(cost, maximize);
    if (invalid != cost.end()) return invalid_cost(*invalid, invalid - cost.begin(), cols, maximize);
    problem.factor *= kLargeCostScale;
    outcome = solve(problem, workspace, column_of_row.data());
  }
  if (outcome == AssignmentOutcome::kInfeasible)
    return {Code::kInfeasible, "cost: every complete assignment uses a forbidden pair (an infinite cost)"};

  double sum = 0;
  for (size_t i = 0; i < column_of_row.size(); ++i) {
    const int32_t column = column_of_row[i];
    if (column >= 0) sum += static_cast<double>(cost[i * static_cast<size_t>(cols) + size_t(column)]);
  }
  *total = sum;
  return {};
}

template <class T>
Status linear_sum_assignment_batch(std::span<const T> costs, std::span<const int32_t> offsets,
                                   std::span<const int32_t> rows, std::span<const int32_t> cols,
                                   bool maximize, std::span<const int32_t> row_offsets,
                                   std::span<int32_t> column_of_row, std::span<double> totals) {
  PERCEPTION_RETURN_IF_ERROR(validate_offsets(offsets, costs.size(), "offsets"));
  PERCEPTION_RETURN_IF_ERROR(validate_offsets(row_offsets, column_of_row.size(), "row_offsets"));
  const size_t problems = offsets.size() - 1;
  PERCEPTION_RETURN_IF_ERROR(check_length(rows.size(), problems, "rows"));
  PERCEPTION_RETURN_IF_ERROR(check_length(cols.size(), problems, "cols"));
  PERCEPTION_RETURN_IF_ERROR(check_length(row_offsets.size(), problems + 1, "row_offsets"));
  PERCEPTION_RETURN_IF_ERROR(check_length(totals.size(), problems, "totals"));

  const int64_t grain = std::max<int64_t>(1, static_cast<int64_t>(problems) * kCostsPerChunk /
                                                 std::max<int64_t>(1, static_cast<int64_t>(costs.size())));
  return solve_each(static_cast<int64_t>(problems), grain, [&](size_t i, AssignmentWorkspace& workspace) {
    const auto part = [i](auto values, std::span<const int32_t> bounds) {
      return values.subspan(static_cast<size_t>(bounds[i]), static_cast<size_t>(bounds[i + 1] - bounds[i]));
    };
    return linear_sum_assignment<T>(part(costs, offsets), rows[i], cols[i], maximize,
                                    part(column_of_row, row_offsets), &totals[i], workspace);
  });
}

Status linear_sum_assignment_padded(std::span<const float> costs, int64_t batch, int64_t rows, int64_t cols,
                                    std::span<const int32_t> row_counts, std::span<const int32_t> col_counts,
                                    bool maximize, std::span<int32_t> column_of_row) {
  PERCEPTION_RETURN_IF_ERROR(check_shape(costs.size(), {batch, rows, cols}, "costs"));
  PERCEPTION_RETURN_IF_ERROR(validate_counts(row_counts, batch, rows, "row"));
  PERCEPTION_RETURN_IF_ERROR(validate_counts(col_counts, batch, cols, "column"));
  PERCEPTION_RETURN_IF_ERROR(check_shape(column_of_row.size(), {batch, rows}, "column_of_row"));
  const int64_t grain = std::max<int64_t>(1, kCostsPerChunk / std::max<int64_t>(1, rows * cols));
  return solve_each(batch, grain, [&](size_t i, AssignmentWorkspace& workspace) {
    thread_local std::vector<float> packed;
    const auto all = [](int64_t first, int64_t count, auto values) {
      return values.subspan(static_cast<size_t>(first), static_cast<size_t>(count));
    };
    const auto problem = static_cast<int64_t>(i);
    const int64_t used_rows = row_counts.empty() ? rows : row_counts[i];
    const int64_t used_cols = col_counts.empty() ? cols : col_counts[i];
    std::span<const float> cost = all(problem * rows * cols, used_rows * cols, costs);
    if (used_cols < cols) {
      packed.clear();
      for (int64_t row = 0; row < used_rows; ++row) {
        const std::span<const float> used = all(row * cols, used_cols, cost);
        packed.insert(packed.end(), used.begin(), used.end());
      }
      cost = packed;
    }
    const std::span<int32_t> answer = all(problem * rows, rows, column_of_row);
    std::fill(answer.begin() + used_rows, answer.end(), -1);
    double total;
    return linear_sum_assignment<float>(cost, used_rows, used_cols, maximize, all(0, used_rows, answer),
                                        &total, workspace);
  });
}

template Status linear_sum_assignment(std::span<const float>, int64_t, int64_t, bool, std::span<int32_t>,
                                      double*, AssignmentWorkspace&);
template Status linear_sum_assignment(std::span<const double>, int64_t, int64_t, bool, std::span<int32_t>,
                                      double*, AssignmentWorkspace&);
template Status linear_sum_assignment_batch(std::span<const float>, std::span<const int32_t>,
                                            std::span<const int32_t>, std::span<const int32_t>, bool,
                                            std::span<const int32_t>, std::span<int32_t>, std::span<double>);
template Status linear_sum_assignment_batch(std::span<const double>, std::span<const int32_t>,
                                            std::span<const int32_t>, std::span<const int32_t>, bool,
                                            std::span<const int32_t>, std::span<int32_t>, std::span<double>);

}  // namespace perception
