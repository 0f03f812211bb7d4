// Linear sum assignment: pairs rows with columns one to one so that the sum of the chosen costs is least (or
// most).
#pragma once

#include <cstdint>
#include <span>
#include <tuple>
#include <vector>

#include "core/base/status.h"

namespace perception {

// Beyond this the sums of the duals could overflow: such problems are solved scaled by a power of two.
constexpr double kLargeCost = 0x1p900;
constexpr double kLargeCostScale = 0x1p-200;

// Scratch memory of one solver, kept between problems so that a batch allocates nothing per problem.
struct AssignmentWorkspace {
  template <class T>
  struct Costs {
    std::vector<T> copy, last_blocks, block_least;
  };
  struct ClosedColumn {
    double distance, dual;
    int32_t column;
  };
  std::tuple<Costs<float>, Costs<double>> costs;
  std::vector<double> row_dual, column_dual, shortest, predecessor, taken, position;  // per row or column
  std::vector<double> block_shortest, block_dual, block_taken;
  std::vector<int32_t> column_of_row, row_of_column, remaining, free_in_block;
  std::vector<ClosedColumn> closed;
};

// cost: [rows, cols] row-major. scipy.optimize.linear_sum_assignment's contract: rectangular and empty
// problems allowed, +inf (-inf when maximizing) forbids a pair, NaN and the opposite infinity are refused
// (kInvalidValue), a problem whose every complete assignment uses a forbidden pair is kInfeasible. Exactly
// optimal; ties fall as in scipy 1.17. column_of_row: [rows], -1 where a row stays unmatched (rows > cols).
// *total is the sum of the chosen costs in double.
template <class T>  // float or double
Status linear_sum_assignment(std::span<const T> cost, int64_t rows, int64_t cols, bool maximize,
                             std::span<int32_t> column_of_row, double* total, AssignmentWorkspace& workspace);

// Several problems on one thread, small ones side by side, which is faster than one after the other.
template <class T>
struct AssignmentTask {
  std::span<const T> cost;
  int64_t rows = 0, cols = 0;
  std::span<int32_t> column_of_row;
  double total = 0;
  Code code = Code::kOk;  // of this problem; assignment_status() has the words
};
template <class T>
void linear_sum_assignments(std::span<AssignmentTask<T>> tasks, bool maximize,
                            AssignmentWorkspace& workspace);
template <class T>
Status assignment_status(const AssignmentTask<T>& task, bool maximize);

// A ragged batch: problem i is the rows[i] x cols[i] matrix at costs[offsets[i]..]; its answer goes to
// column_of_row[row_offsets[i]..row_offsets[i + 1]), row_offsets being the running sum of rows. totals: [n].
// Parallel over the batch; the status is that of the first problem (lowest index) that failed and names it.
template <class T>
Status linear_sum_assignment_batch(std::span<const T> costs, std::span<const int32_t> offsets,
                                   std::span<const int32_t> rows, std::span<const int32_t> cols,
                                   bool maximize, std::span<const int32_t> row_offsets,
                                   std::span<int32_t> column_of_row, std::span<double> totals);

// A padded batch, as tensors hold it: costs [batch, rows, cols], of which problem i uses the first
// row_counts[i] rows and col_counts[i] columns (empty = all). column_of_row: [batch, rows], -1 for unmatched
// rows and those beyond the count.
Status linear_sum_assignment_padded(std::span<const float> costs, int64_t batch, int64_t rows, int64_t cols,
                                    std::span<const int32_t> row_counts, std::span<const int32_t> col_counts,
                                    bool maximize, std::span<int32_t> column_of_row);

}  // namespace perception
