// The greedy baseline of linear sum assignment: the cheapest pair first, then the cheapest of the rows and
// columns that are still free, and so on.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace perception {

// Scratch memory, kept between problems.
struct GreedyWorkspace {
  std::vector<int32_t> nearest;  // per free row: the free column of least cost
  std::vector<uint8_t> taken;    // per column
};

// cost: [rows, cols] row-major, +infinity forbidding a pair. Pairs min(rows, cols) rows and columns; of pairs
// at the same cost that of the lowest row, then of the lowest column goes first. column_of_row: [rows], -1
// where a row stays unmatched. *total is the sum of the chosen costs, row by row. False, with the outputs
// unspecified: a cost is NaN or -infinity, or forbidden pairs alone were left.
bool greedy_assignment(std::span<const double> cost, int64_t rows, int64_t cols,
                       std::span<int32_t> column_of_row, double* total, GreedyWorkspace& workspace);

}  // namespace perception
