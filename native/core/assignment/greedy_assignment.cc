#include "core/assignment/greedy_assignment.h"

#include <algorithm>
#include <limits>

namespace perception {

bool greedy_assignment(std::span<const double> cost, int64_t rows, int64_t cols,
                       std::span<int32_t> column_of_row, double* total, GreedyWorkspace& workspace) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  // Written so that NaN fails too.
  if (!std::all_of(cost.begin(), cost.end(), [](double x) { return x > -kInfinity; })) return false;
  std::fill(column_of_row.begin(), column_of_row.end(), -1);
  workspace.nearest.assign(static_cast<size_t>(rows), -1);
  workspace.taken.assign(static_cast<size_t>(cols), 0);

  const auto find_nearest = [&](size_t row) {
    const double* const row_cost = cost.data() + row * static_cast<size_t>(cols);
    double least = kInfinity;
    int32_t& nearest = workspace.nearest[row] = -1;
    for (size_t column = 0; column < workspace.taken.size(); ++column)
      if (!workspace.taken[column] && row_cost[column] < least) {
        least = row_cost[column];
        nearest = static_cast<int32_t>(column);
      }
  };
  const auto cost_at = [&](size_t row, int32_t column) {
    return cost[row * static_cast<size_t>(cols) + static_cast<size_t>(column)];
  };
  for (size_t row = 0; row < column_of_row.size(); ++row) find_nearest(row);
  for (int64_t pairs = std::min(rows, cols); pairs > 0; --pairs) {
    double least = kInfinity;
    size_t chosen = 0;
    for (size_t row = 0; row < column_of_row.size(); ++row) {
      const int32_t column = workspace.nearest[row];
      if (column_of_row[row] >= 0 || column < 0 || !(cost_at(row, column) < least)) continue;
      least = cost_at(row, column);
      chosen = row;
    }
    if (least == kInfinity) return false;
    const int32_t column = column_of_row[chosen] = workspace.nearest[chosen];
    workspace.taken[static_cast<size_t>(column)] = 1;
    for (size_t row = 0; row < column_of_row.size(); ++row)
      if (column_of_row[row] < 0 && workspace.nearest[row] == column) find_nearest(row);
  }

  *total = 0;
  for (size_t row = 0; row < column_of_row.size(); ++row)
    if (column_of_row[row] >= 0) *total += cost_at(row, column_of_row[row]);
  return true;
}

}  // namespace perception
