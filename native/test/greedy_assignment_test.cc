// The greedy baseline against its definition: the cheapest pair of all, again and again.
#include "core/assignment/greedy_assignment.h"

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

#include "doctest.h"

using namespace perception;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Solved {
  bool matched = false;
  std::vector<int32_t> column_of_row;
  double total = 0;
};

Solved solve(const std::vector<double>& cost, int64_t rows, int64_t cols) {
  static GreedyWorkspace workspace;  // as it was left by another problem
  Solved solved;
  solved.column_of_row.assign(static_cast<size_t>(rows), -7);
  solved.matched = greedy_assignment(cost, rows, cols, solved.column_of_row, &solved.total, workspace);
  return solved;
}

// Looks at all pairs for each.
Solved solve_plainly(const std::vector<double>& cost, size_t rows, size_t cols) {
  Solved solved;
  solved.column_of_row.assign(rows, -1);
  for (size_t pairs = std::min(rows, cols); pairs > 0; --pairs) {
    double least = kInfinity;
    size_t row = 0, column = 0;
    for (size_t i = 0; i < rows; ++i)
      for (size_t j = 0; j < cols; ++j) {
        const auto& taken = solved.column_of_row;
        const bool free =
            taken[i] < 0 && std::find(taken.begin(), taken.end(), static_cast<int32_t>(j)) == taken.end();
        if (!free || !(cost[i * cols + j] < least)) continue;
        least = cost[i * cols + j];
        row = i;
        column = j;
      }
    if (least == kInfinity) return solved;
    solved.column_of_row[row] = static_cast<int32_t>(column);
  }
  for (size_t i = 0; i < rows; ++i)
    if (solved.column_of_row[i] >= 0)
      solved.total += cost[i * cols + static_cast<size_t>(solved.column_of_row[i])];
  solved.matched = true;
  return solved;
}

}  // namespace

TEST_CASE("greedy assignment: the cheapest pair first, though the optimum is cheaper") {
  const Solved solved = solve({1, 2, 3, 100}, 2, 2);
  CHECK(solved.matched);
  CHECK(solved.column_of_row == std::vector<int32_t>{0, 1});
  CHECK(solved.total == 101);
}

TEST_CASE("greedy assignment: of equal costs the lowest row, then the lowest column") {
  CHECK(solve({5, 5, 5, 5, 5, 5}, 2, 3).column_of_row == std::vector<int32_t>{0, 1});
  CHECK(solve({5, 5, 5, 5, 5, 5}, 3, 2).column_of_row == std::vector<int32_t>{0, 1, -1});
  // Row 0 goes first: were it row 1's turn, the pairs would be (1, 0) and (0, 1).
  CHECK(solve({2, 1, 1, 2}, 2, 2).column_of_row == std::vector<int32_t>{1, 0});
  CHECK(solve({9, 1, 1, 1}, 2, 2).column_of_row == std::vector<int32_t>{1, 0});
  CHECK(solve({0.0, -0.0, -0.0, 0.0}, 2, 2).column_of_row == std::vector<int32_t>{0, 1});
}

TEST_CASE("greedy assignment: any sizes, ties and forbidden pairs, as by trying all") {
  std::mt19937 random(1);
  int failures = 0;
  for (int round = 0; round < 3000; ++round) {
    const size_t rows = random() % 9, cols = random() % 9;
    const unsigned kinds = round % 3 == 0 ? 4 : 1000000;
    std::vector<double> cost(rows * cols);
    for (double& x : cost)
      x = round % 5 == 0 && random() % 3 != 0 ? kInfinity : static_cast<double>(random() % kinds) - 1;
    const Solved solved = solve(cost, static_cast<int64_t>(rows), static_cast<int64_t>(cols));
    const Solved expected = solve_plainly(cost, rows, cols);
    CAPTURE(round);
    REQUIRE(solved.matched == expected.matched);
    failures += !solved.matched;
    if (!solved.matched) continue;
    CHECK(solved.column_of_row == expected.column_of_row);
    CHECK(solved.total == expected.total);
  }
  CHECK(failures > 100);
}

TEST_CASE("greedy assignment: refuses NaN and -infinity, wherever they are") {
  for (size_t i = 0; i < 4; ++i)
    for (const double bad : {kNan, -kInfinity}) {
      std::vector<double> cost = {1, 2, 3, 4};
      cost[i] = bad;
      CHECK_FALSE(solve(cost, 2, 2).matched);
    }
  CHECK(solve({1, kInfinity, kInfinity, 1}, 2, 2).matched);
  CHECK_FALSE(solve({1, kInfinity, 1, kInfinity}, 2, 2).matched);
}
