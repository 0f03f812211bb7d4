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

constexpr int64_t kMost = int64_t{1} << 30;  // what fills up the last block has numbers, too

bool has_shape(int64_t rows, int64_t cols, size_t cost_size, size_t column_of_row_size) {
  return static_cast<uint64_t>(rows) <= kMost && static_cast<uint64_t>(cols) <= kMost &&
         static_cast<uint64_t>(rows * cols) == cost_size && static_cast<uint64_t>(rows) == column_of_row_size;
}

// Of a problem that has not: why.
Status check_shape(int64_t rows, int64_t cols, size_t cost_size, size_t column_of_row_size) {
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

// What the solver made of a task; tasks that it could not take as they are go through it again, scaled.
template <class T>
void finish(AssignmentProblem<T>& problem, bool maximize, AssignmentWorkspace& workspace,
            AssignmentTask<T>& task) {
  if (problem.outcome == AssignmentOutcome::kUnusable) {
    if (find_invalid(task.cost, maximize) != task.cost.end()) {
      task.code = Code::kInvalidValue;
      return;
    }
    problem.factor *= kLargeCostScale;
    assignment_solver<T>(isa())({&problem, 1}, workspace);
  }
  if (problem.outcome == AssignmentOutcome::kInfeasible) {
    task.code = Code::kInfeasible;
    return;
  }
  // Without a branch: which rows have a column is anyone's guess where there are more rows.
  const T* row = task.cost.data();
  for (const int32_t column : task.column_of_row) {
    const auto cost = static_cast<double>(row[std::max(column, 0)]);
    task.total += column < 0 ? 0 : cost;
    row += task.cols;
  }
}

// Where so many problems of `costs` costs in all are spread over threads: how many stay together.
int64_t problems_per_chunk(int64_t problems, int64_t costs) {
  if (problems == 0) return 1;
  const int64_t mean = std::max<int64_t>(1, costs / problems);
  // Enough to be solved side by side, as long as no thread goes without.
  constexpr int64_t kLargestSmall = 128 * 128;
  const int64_t together = mean > kLargestSmall ? 1 : kAssignmentsAtOnce;
  return std::max(kCostsPerChunk / mean, std::min(together, (problems - 1) / thread_count() + 1));
}

// Solves the tasks task_of(i), kept until done(i, task) has seen what became of them; in parallel. Every one
// is tried, so that the failure reported (that of the lowest index) does not depend on who came first.
template <class T, class TaskOf, class Done>
Status solve_all(int64_t problems, int64_t grain, bool maximize, const TaskOf& task_of, const Done& done) {
  std::mutex mutex;
  int64_t failed = problems;
  Status failure;
  parallel_for(problems, grain, [&](int64_t begin, int64_t end) {
    thread_local AssignmentWorkspace workspace;
    for (int64_t first = begin; first < end; first += kAssignmentsAtOnce) {
      AssignmentTask<T> tasks[kAssignmentsAtOnce];
      const int64_t count = std::min<int64_t>(kAssignmentsAtOnce, end - first);
      for (int64_t i = 0; i < count; ++i) tasks[i] = task_of(static_cast<size_t>(first + i));
      linear_sum_assignments<T>({tasks, static_cast<size_t>(count)}, maximize, workspace);
      for (int64_t i = 0; i < count; ++i) {
        done(static_cast<size_t>(first + i), tasks[i]);
        if (tasks[i].code == Code::kOk) [[likely]]
          continue;
        const std::lock_guard lock(mutex);
        if (first + i >= failed) continue;
        failed = first + i;
        failure = {tasks[i].code, "problem " + std::to_string(failed) + ": " +
                                      assignment_status(tasks[i], maximize).message()};
      }
    }
  });
  return failure;
}

}  // namespace

template <class T>
void linear_sum_assignments(std::span<AssignmentTask<T>> tasks, bool maximize,
                            AssignmentWorkspace& workspace) {
  const AssignmentSolver<T> solve = assignment_solver<T>(isa());
  AssignmentProblem<T> problems[kAssignmentsAtOnce];
  AssignmentTask<T>* task_of[kAssignmentsAtOnce];
  while (!tasks.empty()) {
    const size_t count = std::min<size_t>(tasks.size(), kAssignmentsAtOnce);
    size_t used = 0;
    for (AssignmentTask<T>& task : tasks.first(count)) {
      task.total = 0;
      task.code = Code::kOk;
      if (!has_shape(task.rows, task.cols, task.cost.size(), task.column_of_row.size())) {
        task.code = check_shape(task.rows, task.cols, task.cost.size(), task.column_of_row.size()).code();
        continue;
      }
      if (task.cost.empty()) {
        std::fill(task.column_of_row.begin(), task.column_of_row.end(), -1);
        continue;
      }
      problems[used] = {
          task.cost.data(),      static_cast<int32_t>(task.rows), static_cast<int32_t>(task.cols),
          maximize ? -1.0 : 1.0, task.column_of_row.data(),       AssignmentOutcome::kUnusable};
      task_of[used++] = &task;
    }
    if (used > 0) solve({problems, used}, workspace);
    for (size_t i = 0; i < used; ++i) finish(problems[i], maximize, workspace, *task_of[i]);
    tasks = tasks.subspan(count);
  }
}

template <class T>
Status assignment_status(const AssignmentTask<T>& task, bool maximize) {
  switch (task.code) {
    case Code::kOk:
      return {};
    case Code::kInvalidValue: {
      const auto invalid = find_invalid(task.cost, maximize);
      return invalid_cost(*invalid, invalid - task.cost.begin(), task.cols, maximize);
    }
    case Code::kInfeasible:
      return {Code::kInfeasible, "cost: every complete assignment uses a forbidden pair (an infinite cost)"};
    default:
      return check_shape(task.rows, task.cols, task.cost.size(), task.column_of_row.size());
  }
}

template <class T>
Status linear_sum_assignment(std::span<const T> cost, int64_t rows, int64_t cols, bool maximize,
                             std::span<int32_t> column_of_row, double* total,
                             AssignmentWorkspace& workspace) {
  AssignmentTask<T> task{cost, rows, cols, column_of_row};
  linear_sum_assignments<T>({&task, 1}, maximize, workspace);
  *total = task.total;
  return assignment_status(task, maximize);
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

  const auto count = static_cast<int64_t>(problems);
  const auto part = [](auto values, std::span<const int32_t> bounds, size_t i) {
    return values.subspan(static_cast<size_t>(bounds[i]), static_cast<size_t>(bounds[i + 1] - bounds[i]));
  };
  return solve_all<T>(
      count, problems_per_chunk(count, static_cast<int64_t>(costs.size())), maximize,
      [&](size_t i) {
        return AssignmentTask<T>{
            part(costs, offsets, i), rows[i], cols[i], part(column_of_row, row_offsets, i), 0, {}};
      },
      [&](size_t i, const AssignmentTask<T>& task) { totals[i] = task.total; });
}

Status linear_sum_assignment_padded(std::span<const float> costs, int64_t batch, int64_t rows, int64_t cols,
                                    std::span<const int32_t> row_counts, std::span<const int32_t> col_counts,
                                    bool maximize, std::span<int32_t> column_of_row) {
  PERCEPTION_RETURN_IF_ERROR(check_shape(costs.size(), {batch, rows, cols}, "costs"));
  PERCEPTION_RETURN_IF_ERROR(validate_counts(row_counts, batch, rows, "row"));
  PERCEPTION_RETURN_IF_ERROR(validate_counts(col_counts, batch, cols, "column"));
  PERCEPTION_RETURN_IF_ERROR(check_shape(column_of_row.size(), {batch, rows}, "column_of_row"));
  const auto packed_costs = [&](size_t i, int64_t used_rows, int64_t used_cols) -> std::span<const float> {
    const std::span<const float> all =
        costs.subspan(i * static_cast<size_t>(rows * cols), static_cast<size_t>(used_rows * cols));
    if (used_cols == cols) return all;
    thread_local std::vector<float> packed[kAssignmentsAtOnce];
    std::vector<float>& costs_of_task = packed[i % kAssignmentsAtOnce];
    costs_of_task.clear();
    for (int64_t row = 0; row < used_rows; ++row) {
      const auto used = all.subspan(static_cast<size_t>(row * cols), static_cast<size_t>(used_cols));
      costs_of_task.insert(costs_of_task.end(), used.begin(), used.end());
    }
    return costs_of_task;
  };
  return solve_all<float>(
      batch, problems_per_chunk(batch, batch * rows * cols), maximize,
      [&](size_t i) {
        const int64_t used_rows = row_counts.empty() ? rows : row_counts[i];
        const int64_t used_cols = col_counts.empty() ? cols : col_counts[i];
        const std::span<int32_t> answer =
            column_of_row.subspan(i * static_cast<size_t>(rows), static_cast<size_t>(rows));
        std::fill(answer.begin() + used_rows, answer.end(), -1);
        return AssignmentTask<float>{packed_costs(i, used_rows, used_cols),        used_rows, used_cols,
                                     answer.first(static_cast<size_t>(used_rows)), 0,         {}};
      },
      [](size_t, const AssignmentTask<float>&) {});
}

template void linear_sum_assignments(std::span<AssignmentTask<float>>, bool, AssignmentWorkspace&);
template void linear_sum_assignments(std::span<AssignmentTask<double>>, bool, AssignmentWorkspace&);
template Status assignment_status(const AssignmentTask<float>&, bool);
template Status assignment_status(const AssignmentTask<double>&, bool);
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
