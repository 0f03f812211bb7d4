// Assignment by groups of lanes: the pairs, totals and refusals of core, on every kind of group.
#include <doctest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "assignment_cases.h"
#include "cuda/assignment.cuh"
#include "cuda/host_lanes.h"

namespace perception::cuda {
namespace {

// Every shape up to `most`, with costs of every kind in turn.
template <class T>
AssignmentProblems<T> every_shape(int most, int step, bool maximize) {
  std::mt19937 random(maximize ? 5 : 6);
  AssignmentProblems<T> problems(maximize);
  int kind = maximize;
  for (int rows = 0; rows <= most; rows += step)
    for (int cols = 0; cols <= most; cols += step) {
      const auto costs = static_cast<Costs>(kind++ % kCostKinds);
      problems.add(rows, cols, make_costs<T>(costs, rows, cols, maximize, random));
    }
  return problems;
}

// The batch's answers, as one kernel finds them.
template <class T>
struct Answers {
  explicit Answers(const AssignmentProblems<T>& problems)
      : problems(problems), column_of_row(problems.column_of_row.size(), -7), totals(problems.totals.size()) {
    most_rows = *std::max_element(problems.rows.begin(), problems.rows.end());
    most_cols = *std::max_element(problems.cols.begin(), problems.cols.end());
  }

  AssignmentBatch batch() {
    const CostMatrices costs = {problems.costs.data(),
                                sizeof(T) == sizeof(double),
                                static_cast<int64_t>(problems.rows.size()),
                                most_rows,
                                most_cols,
                                problems.rows.data(),
                                problems.cols.data(),
                                problems.offsets.data(),
                                problems.row_offsets.data(),
                                problems.rows.data(),
                                problems.cols.data()};
    return {costs, problems.maximize, column_of_row.data(), totals.data(), &fault, 0};
  }

  void check() const {
    CHECK(column_of_row == problems.column_of_row);
    CHECK(different(totals, problems.totals) == 0);
    CHECK(fault == problems.fault);
  }

  const AssignmentProblems<T>& problems;
  int most_rows, most_cols;
  std::vector<int32_t> column_of_row;
  std::vector<double> totals;
  Fault fault = kNoFault;
};

// Solves all problems by groups of `lanes`, with memory of exactly the size.
template <int lanes, int kColumnsPerLane, bool kStaged, class T>
void solve_and_check(const AssignmentProblems<T>& problems) {
  CAPTURE(lanes);
  CAPTURE(kColumnsPerLane);
  CAPTURE(kStaged);
  constexpr AssignmentPath kPath = {lanes, kColumnsPerLane, kStaged};
  Answers<T> answers(problems);
  AssignmentKernel<T, kColumnsPerLane, kStaged> kernel{.batch = answers.batch()};
  LockstepLanes<lanes> group;
  if constexpr (kColumnsPerLane > 0) {
    for (size_t i = 0; i < problems.rows.size(); ++i) {
      std::vector<unsigned char> memory(group_bytes(kPath, problems.rows[i], problems.cols[i], sizeof(T)),
                                        0xa5);
      kernel(group, static_cast<int64_t>(i), memory.data());
    }
  } else {
    constexpr int64_t kGroups = 3;
    kernel.groups = kGroups;
    kernel.workspace_bytes = group_bytes(kPath, answers.most_rows, answers.most_cols, sizeof(T));
    std::vector<unsigned char> workspace(kGroups * kernel.workspace_bytes, 0xa5);
    kernel.workspace = workspace.data();
    for (int64_t i = 0; i < kGroups; ++i) kernel(group, i, nullptr);
  }
  answers.check();
}

TEST_CASE_TEMPLATE("device assignment: all shapes and kinds of costs, as core solves them", T, float,
                   double) {
  for (const bool maximize : {false, true}) {
    const AssignmentProblems<T> problems = every_shape<T>(40, 1, maximize);
    solve_and_check<64, 1, true>(problems);
    solve_and_check<32, 4, true>(problems);
    solve_and_check<4, 16, true>(problems);
    solve_and_check<128, 1, false>(problems);
    solve_and_check<32, 2, false>(problems);
    solve_and_check<4, 0, false>(problems);
    solve_and_check<32, 0, false>(problems);
  }
}

// Groups of threads, so that a race is seen. Problems follow each other in the same memory.
template <int kColumnsPerLane, bool kStaged, class T>
void solve_on_threads(const AssignmentProblems<T>& problems, bool with_totals = true) {
  constexpr int kLanes = 4;
  constexpr AssignmentPath kPath = {kLanes, kColumnsPerLane, kStaged};
  Answers<T> answers(problems);
  AssignmentKernel<T, kColumnsPerLane, kStaged> kernel{.batch = answers.batch()};
  std::vector<unsigned char> memory(group_bytes(kPath, answers.most_rows, answers.most_cols, sizeof(T)));
  kernel.groups = 1;
  kernel.workspace = memory.data();
  if (!with_totals) kernel.batch.totals = nullptr;
  run_on_threads<kLanes>([&](ThreadLanes<kLanes>& lanes) {
    if constexpr (kColumnsPerLane == 0) {
      kernel(lanes, 0, nullptr);
    } else {
      for (size_t i = 0; i < problems.rows.size(); ++i) {
        kernel(lanes, static_cast<int64_t>(i), memory.data());
        lanes.sync();
      }
    }
  });
  if (!with_totals) answers.totals = problems.totals;
  answers.check();
}

TEST_CASE_TEMPLATE("device assignment: groups of threads", T, float, double) {
  for (const bool maximize : {false, true}) {
    const AssignmentProblems<T> problems = every_shape<T>(14, 2, maximize);
    solve_on_threads<4, true>(problems);
    solve_on_threads<4, false>(problems);
    solve_on_threads<0, false>(problems);
    solve_on_threads<0, false>(problems, false);
  }
}

// As kernels use the solver that make their costs themselves: no sync() but the one before it is called.
TEST_CASE("device assignment: the solver's memory can be written again at once, by groups of threads") {
  constexpr int kLanes = 4, kProblems = 60, kRows = 6, kCols = 8;
  std::mt19937 random(8);
  AssignmentProblems<double> problems(false);
  for (int i = 0; i < kProblems; ++i)
    problems.add(
        kRows, kCols,
        make_costs<double>(i % 2 ? Costs::kTied : Costs::kMostForbidden, kRows, kCols, false, random));
  CHECK(problems.fault != kNoFault);
  std::vector<double> costs(kRows * kCols);
  std::vector<unsigned char> memory(assignment_bytes(kRows, kCols));
  std::vector<int32_t> column_of_row(problems.column_of_row.size(), -1);
  run_on_threads<kLanes>([&](ThreadLanes<kLanes>& lanes) {
    const AssignmentMemory found = lay_out(memory.data(), kRows, kCols);
    for (size_t i = 0; i < kProblems; ++i) {
      lanes.each([&](auto lane) {
        for (auto k = static_cast<size_t>(lane.index); k < costs.size(); k += kLanes)
          costs[k] = problems.costs[i * costs.size() + k];
      });
      lanes.sync();
      const auto cost = [&](int row, int column) { return costs[static_cast<size_t>(row * kCols + column)]; };
      if (!solve_assignment<2>(lanes, kRows, kCols, cost, found)) continue;
      lanes.each([&](auto lane) {
        for (int row = lane.index; row < kRows; row += kLanes)
          column_of_row[i * kRows + static_cast<size_t>(row)] = found.column_of_row[row];
      });
    }
  });
  CHECK(column_of_row == problems.column_of_row);
}

TEST_CASE("device assignment: the path of a problem") {
  const auto path = [](int rows, int cols, size_t cost_bytes, size_t limit = 226 * 1024) {
    return kAssignmentPaths[path_of(rows, cols, cost_bytes, limit)];
  };
  const auto is = [](AssignmentPath a, AssignmentPath b) {
    return a.lanes == b.lanes && a.columns_per_lane == b.columns_per_lane && a.staged == b.staged;
  };
  CHECK(is(path(0, 0, 4), {32, 1, true}));
  CHECK(is(path(32, 32, 8), {32, 1, true}));
  CHECK(is(path(33, 2, 4), {32, 4, true}));
  CHECK(is(path(100, 100, 4), {32, 4, true}));
  // Four warps to a block.
  CHECK(is(path(100, 100, 8), {128, 4, true}));
  CHECK(is(path(128, 128, 4), {128, 4, true}));
  CHECK(is(path(20, 129, 4), {128, 4, true}));
  CHECK(is(path(513, 10, 4), {256, 4, true}));
  CHECK(is(path(400, 400, 4), {256, 4, false}));
  CHECK(is(path(1024, 1024, 8), {256, 4, false}));
  CHECK(is(path(1025, 1, 4), {512, 0, false}));
  CHECK(is(path(kMostColumns, kMostColumns, 8), {512, 0, false}));
  // The first has room on every device that there is.
  CHECK(is(path(32, 32, 8, 48 * 1024), {32, 1, true}));
  CHECK(is(path(100, 100, 4, 48 * 1024), {128, 4, true}));
}

}  // namespace
}  // namespace perception::cuda
