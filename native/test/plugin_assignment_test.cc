// Assignment through the plug-in's table: core's pairs, totals and refusals, whatever path a problem takes.
#include <doctest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "assignment_cases.h"
#include "plugin_support.h"

namespace perception::cuda {
namespace {

// Where pairs go; what stays unwritten shows.
DeviceArray<int32_t> unwritten(size_t count) { return DeviceArray<int32_t>(std::vector<int32_t>(count, -7)); }

// What came back.
struct Answer {
  std::vector<int32_t> column_of_row;
  std::vector<double> totals;
  Status fault;
};

template <class T>
Answer solve(const AssignmentProblems<T>& problems) {
  const size_t count = problems.rows.size();
  const DeviceArray<T> costs(problems.costs);
  const DeviceArray<int32_t> rows(problems.rows), cols(problems.cols), offsets(problems.offsets),
      row_offsets(problems.row_offsets);
  const DeviceArray<int32_t> column_of_row = unwritten(problems.column_of_row.size());
  const DeviceArray<double> totals(count);
  const DeviceFault fault;
  const CostMatrices matrices = {costs.data(),
                                 sizeof(T) == sizeof(double),
                                 static_cast<int64_t>(count),
                                 *std::max_element(problems.rows.begin(), problems.rows.end()),
                                 *std::max_element(problems.cols.begin(), problems.cols.end()),
                                 rows.data(),
                                 cols.data(),
                                 offsets.data(),
                                 row_offsets.data(),
                                 problems.rows.data(),
                                 problems.cols.data()};
  succeed(plugin().linear_sum_assignment(0, &matrices, problems.maximize, column_of_row.data(), totals.data(),
                                         fault.cell()));
  return {column_of_row.read(), totals.read(), fault.read()};
}

// The same problems in a padded batch of rows x cols, whose padding is NaN.
template <class T>
Answer solve_padded(const AssignmentProblems<T>& problems, int64_t rows, int64_t cols, bool with_counts) {
  const size_t count = problems.rows.size();
  std::vector<T> padded(count * static_cast<size_t>(rows * cols), std::numeric_limits<T>::quiet_NaN());
  for (size_t i = 0; i < count; ++i)
    for (int32_t row = 0; row < problems.rows[i]; ++row)
      std::copy_n(problems.costs.begin() + problems.offsets[i] + row * problems.cols[i], problems.cols[i],
                  padded.begin() + static_cast<int64_t>(i) * rows * cols + row * cols);
  const DeviceArray<T> costs(padded);
  const DeviceArray<int32_t> row_counts(problems.rows), col_counts(problems.cols);
  const DeviceArray<int32_t> column_of_row = unwritten(count * static_cast<size_t>(rows));
  const DeviceArray<double> totals(count);
  const DeviceFault fault;
  CostMatrices matrices{};
  matrices.costs = costs.data();
  matrices.is_double = sizeof(T) == sizeof(double);
  matrices.problems = static_cast<int64_t>(count);
  matrices.rows = rows;
  matrices.cols = cols;
  if (with_counts) {
    matrices.row_counts = row_counts.data();
    matrices.col_counts = col_counts.data();
  }
  succeed(plugin().linear_sum_assignment(0, &matrices, problems.maximize, column_of_row.data(), totals.data(),
                                         fault.cell()));
  return {column_of_row.read(), totals.read(), fault.read()};
}

template <class T>
void check(const Answer& answer, const AssignmentProblems<T>& problems, int64_t padded_rows = -1) {
  std::vector<int32_t> expected = problems.column_of_row;
  if (padded_rows >= 0) {
    expected.assign(problems.rows.size() * static_cast<size_t>(padded_rows), -1);
    for (size_t i = 0; i < problems.rows.size(); ++i)
      std::copy_n(problems.column_of_row.begin() + problems.row_offsets[i], problems.rows[i],
                  expected.begin() + static_cast<int64_t>(i) * padded_rows);
  }
  CHECK(answer.column_of_row == expected);
  CHECK(different(answer.totals, problems.totals) == 0);
  CHECK(answer.fault.code() == to_status(problems.fault).code());
  CHECK(answer.fault.message() == to_status(problems.fault).message());
}

TEST_CASE_TEMPLATE("plugin assignment: ragged batches of all shapes, as core solves them", T, float, double) {
  for (const bool maximize : {false, true}) {
    std::mt19937 random(maximize ? 51 : 52);
    AssignmentProblems<T> problems(maximize);
    int kind = 0;
    for (int rows = 0; rows <= 40; ++rows)
      for (int cols = 0; cols <= 40; ++cols)
        problems.add(rows, cols,
                     make_costs<T>(static_cast<Costs>(kind++ % kCostKinds), rows, cols, maximize, random));
    check(solve(problems), problems);
  }
}

TEST_CASE_TEMPLATE("plugin assignment: a ragged batch whose problems take every path", T, float, double) {
  std::mt19937 random(53);
  AssignmentProblems<T> problems(false);
  const int shapes[][2] = {{10, 10},   {32, 32},  {33, 33},   {0, 7},     {90, 100}, {110, 110}, {7, 0},
                           {120, 125}, {128, 64}, {129, 40},  {5, 5},     {512, 6},  {513, 6},   {250, 250},
                           {30, 900},  {64, 900}, {1024, 20}, {20, 1025}, {1500, 8}, {1, 1},     {3, 2000}};
  int kind = 0;
  for (const auto& [rows, cols] : shapes) {
    const auto costs = static_cast<Costs>(kind++ % (kCostKinds - 1));  // all but kInvalid
    problems.add(rows, cols, make_costs<T>(costs, rows, cols, false, random));
  }
  check(solve(problems), problems);
}

TEST_CASE_TEMPLATE("plugin assignment: large problems", T, float, double) {
  std::mt19937 random(54);
  const int shapes[][2] = {{1000, 1000}, {300, 700}, {700, 300}, {1100, 150}};
  for (const auto& [rows, cols] : shapes) {
    CAPTURE(rows);
    AssignmentProblems<T> problems(false);
    problems.add(rows, cols, make_costs<T>(Costs::kUniform, rows, cols, false, random));
    REQUIRE(problems.fault == kNoFault);
    check(solve(problems), problems);
  }
}

TEST_CASE_TEMPLATE("plugin assignment: padded batches", T, float, double) {
  const int shapes[][2] = {{1, 1},     {4, 7},     {10, 10},  {32, 32},   {33, 12},  {12, 33},
                           {100, 100}, {112, 117}, {120, 5},  {128, 128}, {129, 60}, {60, 513},
                           {900, 30},  {300, 300}, {1030, 4}, {3, 1100}};
  for (const auto& [rows, cols] : shapes) {
    CAPTURE(rows);
    CAPTURE(cols);
    for (const bool maximize : {false, true}) {
      std::mt19937 random(static_cast<unsigned>(rows * 2000 + cols));
      // Not a multiple of the warps of a block, as many as keep the test short.
      const int count = rows * cols > 10000 ? 2 : rows * cols > 1000 ? 5 : 21;
      AssignmentProblems<T> full(maximize), counted(maximize);
      for (int i = 0; i < count; ++i) {
        const auto kind = static_cast<Costs>(i % kCostKinds);
        full.add(rows, cols, make_costs<T>(kind, rows, cols, maximize, random));
        const int some_rows = static_cast<int>(random() % static_cast<unsigned>(rows + 1));
        const int some_cols = static_cast<int>(random() % static_cast<unsigned>(cols + 1));
        counted.add(some_rows, some_cols, make_costs<T>(kind, some_rows, some_cols, maximize, random));
      }
      check(solve_padded(full, rows, cols, false), full, rows);
      check(solve_padded(counted, rows, cols, true), counted, rows);
    }
  }
}

TEST_CASE("plugin assignment: counts beyond the batch's shape") {
  const std::vector<float> costs = {1, 2, 3, 1, 1, 2, 3, 1, 1, 2, 3, 1, 1, 2, 3, 1};
  const DeviceArray<float> device_costs(costs);
  const DeviceArray<int32_t> row_counts(std::vector<int32_t>{2, 3, 2, -1});
  const DeviceArray<int32_t> col_counts(std::vector<int32_t>{2, 2, 2147483647, 2});
  const DeviceArray<int32_t> column_of_row = unwritten(8);
  const DeviceArray<double> totals(size_t{4});
  const DeviceFault fault;
  CostMatrices matrices{};
  matrices.costs = device_costs.data();
  matrices.problems = 4;
  matrices.rows = matrices.cols = 2;
  matrices.row_counts = row_counts.data();
  matrices.col_counts = col_counts.data();
  succeed(
      plugin().linear_sum_assignment(0, &matrices, false, column_of_row.data(), totals.data(), fault.cell()));
  CHECK(column_of_row.read() == std::vector<int32_t>{0, 1, -1, -1, -1, -1, -1, -1});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(different(totals.read(), {2, nan, nan, nan}) == 0);
  const Status wrong_counts = to_status(Fault{1} << 8 | static_cast<Fault>(Code::kShapeMismatch));
  CHECK(fault.read().message() == wrong_counts.message());
}

TEST_CASE("plugin assignment: totals and fault may be left out") {
  const DeviceArray<double> costs(
      std::vector<double>{4, 1, 2, 0, std::numeric_limits<double>::quiet_NaN(), 1});
  const DeviceArray<int32_t> column_of_row = unwritten(6);
  CostMatrices matrices{};
  matrices.costs = costs.data();
  matrices.is_double = true;
  matrices.problems = 3;
  matrices.rows = 2;
  matrices.cols = 1;
  succeed(plugin().linear_sum_assignment(0, &matrices, true, column_of_row.data(), nullptr, nullptr));
  CHECK(column_of_row.read() == std::vector<int32_t>{0, -1, 0, -1, -1, -1});
}

TEST_CASE("plugin assignment: nothing to solve") {
  const DeviceArray<float> costs(size_t{0});
  const DeviceArray<int32_t> column_of_row = unwritten(80000);
  const DeviceArray<double> totals(size_t{2});
  const DeviceFault fault;
  CostMatrices matrices{};
  matrices.costs = costs.data();
  matrices.problems = 2;
  matrices.rows = 40000;
  succeed(
      plugin().linear_sum_assignment(0, &matrices, false, column_of_row.data(), totals.data(), fault.cell()));
  CHECK(column_of_row.read() == std::vector<int32_t>(80000, -1));
  CHECK(totals.read() == std::vector<double>{0, 0});
  CHECK(fault.read().ok());
  matrices.problems = 0;
  matrices.rows = matrices.cols = 4;
  succeed(plugin().linear_sum_assignment(0, &matrices, false, nullptr, nullptr, nullptr));
}

TEST_CASE("plugin assignment: larger problems than a GPU takes") {
  const DeviceArray<float> costs(size_t{1});
  CostMatrices matrices{};
  matrices.costs = costs.data();
  matrices.problems = 1;
  matrices.rows = 3;
  matrices.cols = 32768;
  const auto code = [&] {
    return static_cast<Code>(plugin().linear_sum_assignment(0, &matrices, false, nullptr, nullptr, nullptr));
  };
  CHECK(code() == Code::kTooLarge);
  CHECK(std::string(plugin().last_error()) ==
        "costs: expected at most 32767 rows and columns on a GPU, received 3 x 32768; the CPU solves larger "
        "problems");
  const std::vector<int32_t> rows = {1, 40000}, cols = {1, 1}, offsets = {0, 1};
  matrices.problems = 2;
  matrices.rows = 40000;
  matrices.cols = 1;
  matrices.offsets = offsets.data();
  matrices.host_rows = rows.data();
  matrices.host_cols = cols.data();
  CHECK(code() == Code::kTooLarge);
}

}  // namespace
}  // namespace perception::cuda
