#include "core/assignment/linear_sum_assignment.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "core/base/thread_pool.h"
#include "doctest.h"

using namespace perception;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Answer {
  Status status;
  std::vector<int32_t> column_of_row;
  double total = kNan;
};

template <class T>
Answer solve(const std::vector<T>& cost, int64_t rows, int64_t cols, bool maximize = false) {
  // Kept between problems, as callers do, so that leftovers of one would show in the next.
  static AssignmentWorkspace workspace;
  Answer answer;
  answer.column_of_row.assign(static_cast<size_t>(std::max<int64_t>(rows, 0)), -7);
  answer.status =
      linear_sum_assignment<T>(cost, rows, cols, maximize, answer.column_of_row, &answer.total, workspace);
  return answer;
}

// The least total over all complete assignments by trying them all; infinity where all use a
// forbidden pair. rows <= cols.
double brute_force(const std::vector<double>& cost, size_t rows, size_t cols, size_t row = 0,
                   uint32_t taken = 0) {
  if (row == rows) return 0;
  double best = kInf;
  for (size_t j = 0; j < cols; ++j)
    if (!(taken >> j & 1))
      best = std::min(best, cost[row * cols + j] + brute_force(cost, rows, cols, row + 1, taken | 1u << j));
  return best;
}

std::vector<double> transpose(const std::vector<double>& cost, size_t rows, size_t cols) {
  std::vector<double> result(cost.size());
  for (size_t i = 0; i < rows; ++i)
    for (size_t j = 0; j < cols; ++j) result[j * rows + i] = cost[i * cols + j];
  return result;
}

template <class T>
double check_pairs(const Answer& answer, const std::vector<T>& cost, size_t rows, size_t cols) {
  std::vector<int> used(cols);
  size_t matched = 0;
  double total = 0;
  for (size_t i = 0; i < rows; ++i) {
    const int32_t j = answer.column_of_row[i];
    REQUIRE((j >= -1 && j < static_cast<int32_t>(cols)));
    if (j < 0) continue;
    ++matched;
    ++used[size_t(j)];
    total += static_cast<double>(cost[i * cols + size_t(j)]);
  }
  CHECK(matched == std::min(rows, cols));
  CHECK(std::all_of(used.begin(), used.end(), [](int n) { return n <= 1; }));
  return total;
}

struct ThreadCount {
  const int before = thread_count();
  explicit ThreadCount(int threads) { set_thread_count(threads); }
  ~ThreadCount() { set_thread_count(before); }
};

}  // namespace

TEST_CASE_TEMPLATE("assignment: against every assignment there is", T, float, double) {
  std::mt19937 random(17);
  std::uniform_int_distribution<size_t> size(1, 6);
  std::uniform_int_distribution<int> small(-2, 3), chance(0, 3);
  int infeasible = 0, feasible = 0;
  for (int round = 0; round < 1200; ++round) {
    const size_t rows = size(random), cols = size(random);
    const bool maximize = round % 2 == 1, forbids = round % 3 == 0;
    const double sign = maximize ? -1 : 1;
    std::vector<T> cost(rows * cols);
    for (T& value : cost) {
      value = static_cast<T>(small(random));  // few values, so many ties; sums are exact
      if (forbids && chance(random) < 2) value = static_cast<T>(sign * kInf);
    }
    std::vector<double> least(cost.begin(), cost.end());
    for (double& value : least) value *= sign;
    const double best =
        rows <= cols ? brute_force(least, rows, cols) : brute_force(transpose(least, rows, cols), cols, rows);
    const Answer answer = solve(cost, int64_t(rows), int64_t(cols), maximize);
    if (best == kInf) {
      ++infeasible;
      CHECK(answer.status.code() == Code::kInfeasible);
      continue;
    }
    ++feasible;
    REQUIRE(answer.status.ok());
    CHECK(sign * answer.total == best);
    CHECK(check_pairs(answer, cost, rows, cols) == answer.total);
  }
  CHECK(infeasible > 50);
  CHECK(feasible > 500);
}

TEST_CASE("assignment: a 60 x 80 optimum proved by its duals") {
  std::mt19937 random(23);
  std::uniform_real_distribution<double> uniform(0, 1);
  for (int round = 0; round < 20; ++round) {
    constexpr int64_t kRows = 60, kCols = 80;
    std::vector<double> cost(kRows * kCols);
    for (double& value : cost) value = uniform(random);
    std::vector<int32_t> column_of_row(kRows);
    double total = 0;
    AssignmentWorkspace workspace;
    REQUIRE(linear_sum_assignment<double>(cost, kRows, kCols, false, column_of_row, &total, workspace).ok());
    // u[i] + v[j] <= cost[i][j] and v <= 0: then no assignment costs less than sum u + sum v.
    double bound = 0;
    for (int64_t j = 0; j < kCols; ++j) {
      CHECK(workspace.column_dual[size_t(j)] <= 1e-12);
      bound += workspace.column_dual[size_t(j)];
    }
    double least_slack = kInf;
    for (int64_t i = 0; i < kRows; ++i) {
      bound += workspace.row_dual[size_t(i)];
      for (int64_t j = 0; j < kCols; ++j)
        least_slack = std::min(least_slack, cost[size_t(i * kCols + j)] - workspace.row_dual[size_t(i)] -
                                                workspace.column_dual[size_t(j)]);
    }
    CHECK(least_slack >= -1e-12);
    CHECK(std::abs(bound - total) < 1e-10);
  }
}

TEST_CASE("assignment: the tall problem is the wide one transposed") {
  std::mt19937 random(29);
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<double> cost(37 * 150);
  for (double& value : cost) value = uniform(random);
  const Answer wide = solve(cost, 37, 150), tall = solve(transpose(cost, 37, 150), 150, 37);
  REQUIRE(wide.status.ok());
  REQUIRE(tall.status.ok());
  for (int32_t i = 0; i < 37; ++i) CHECK(tall.column_of_row[size_t(wide.column_of_row[size_t(i)])] == i);
  CHECK(std::count(tall.column_of_row.begin(), tall.column_of_row.end(), -1) == 150 - 37);
  CHECK(tall.total == doctest::Approx(wide.total).epsilon(1e-12));
}

TEST_CASE_TEMPLATE("assignment: ties fall as in scipy", T, float, double) {
  // On a constant matrix: the identity.
  for (const int64_t rows : {1, 2, 5, 64, 65, 130}) {
    for (const int64_t cols : {1, 2, 5, 64, 65, 130}) {
      for (const bool maximize : {false, true}) {
        const Answer answer = solve(std::vector<T>(size_t(rows * cols), T(0.3)), rows, cols, maximize);
        REQUIRE(answer.status.ok());
        for (int64_t i = 0; i < rows; ++i) CHECK(answer.column_of_row[size_t(i)] == (i < cols ? i : -1));
      }
    }
  }
  // What scipy 1.17.1 answers.
  using Cost = std::vector<T>;
  using Columns = std::vector<int32_t>;
  CHECK(solve(Cost{1, 1, 0, 1, 0, 1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1}, 4, 5).column_of_row ==
        Columns{2, 4, 0, 1});
  CHECK(solve(Cost{0, 1, 1, 0, 0, 0, 0, 1, 0, 1, 1, 1, 0, 0, 1, 0, 1, 1, 1, 0}, 5, 4).column_of_row ==
        Columns{0, 2, -1, 1, 3});
  CHECK(solve(Cost{1, 1, 1, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 1, 1, 1, 1,
                   0, 0, 1, 1, 1, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0},
              6, 6, true)
            .column_of_row == Columns{0, 5, 2, 4, 1, 3});
}

TEST_CASE("assignment: empty problems") {
  CHECK(solve<double>({}, 0, 0).status.ok());
  const Answer none = solve<double>({}, 3, 0);
  CHECK(none.status.ok());
  CHECK(none.column_of_row == std::vector<int32_t>{-1, -1, -1});
  CHECK(none.total == 0);
  CHECK(solve<float>({}, 0, 5).total == 0);
  CHECK(solve<float>({}, 0, 1 << 30).status.ok());  // allocates nothing
}

TEST_CASE("assignment: infinities and NaN") {
  CHECK(solve<double>({1, kNan, 2, 3}, 2, 2).status.message() ==
        "cost: expected numbers or inf (a forbidden pair), received nan at row 0, column 1");
  CHECK(solve<double>({1, 2, 3, 4, 5, -kInf}, 2, 3).status.message() ==
        "cost: expected numbers or inf (a forbidden pair), received -inf at row 1, column 2");
  CHECK(solve<double>({1, kInf}, 2, 1, true).status.message() ==
        "cost: expected numbers or -inf (a forbidden pair), received inf at row 1, column 0");
  CHECK(solve<float>({float(kNan)}, 1, 1).status.code() == Code::kInvalidValue);
  // NaN is refused also where the problem would be infeasible without it.
  CHECK(solve<double>({kInf, kInf, kInf, kNan}, 2, 2).status.code() == Code::kInvalidValue);

  CHECK(solve<double>({kInf}, 1, 1).status.code() == Code::kInfeasible);
  CHECK(solve<double>({-kInf}, 1, 1, true).status.code() == Code::kInfeasible);
  // Both rows can have column 1 alone.
  CHECK(solve<double>({kInf, 1, kInf, 1}, 2, 2).status.code() == Code::kInfeasible);
  CHECK(solve<double>({1, 1, kInf, kInf, 1, kInf}, 3, 2).status.ok());
  const Answer forced = solve<double>({kInf, 1, 1, 5}, 2, 2);
  CHECK(forced.status.ok());
  CHECK(forced.column_of_row == std::vector<int32_t>{1, 0});
  CHECK(forced.total == 2);
  const Answer after = solve<double>({4, 1, 3, 2, 0, 5, 3, 2, 2}, 3, 3);
  CHECK(after.column_of_row == std::vector<int32_t>{1, 0, 2});
  CHECK(after.total == 5);
}

TEST_CASE("assignment: costs near the end of the range") {
  const double most = std::numeric_limits<double>::max();
  // Sums of two of these overflow; the order of the assignments does not change.
  const Answer large = solve<double>({most, most / 2, -most, -most, most / 4, kInf, 0, kInf, 1}, 3, 3);
  REQUIRE(large.status.ok());
  CHECK(large.column_of_row == std::vector<int32_t>{2, 1, 0});
  CHECK(large.total == -most + most / 4);
  const Answer most_of = solve<double>({-most, most, most, most}, 2, 2, true);
  REQUIRE(most_of.status.ok());
  CHECK(most_of.column_of_row == std::vector<int32_t>{1, 0});
  const double tiny = std::numeric_limits<double>::denorm_min();
  CHECK(solve<double>({tiny, 0, 2 * tiny, tiny}, 2, 2).status.ok());
  const float top = std::numeric_limits<float>::max();
  CHECK(solve<float>({top, -top, -top, top}, 2, 2).total == -2 * double{top});
}

TEST_CASE("assignment: shapes") {
  CHECK(solve<double>({1, 2, 3}, 2, 2).status.code() == Code::kShapeMismatch);
  CHECK(solve<double>({1}, -1, -1).status.code() == Code::kShapeMismatch);
  CHECK(solve<double>({}, 0, -1).status.code() == Code::kShapeMismatch);
  const int64_t huge = std::numeric_limits<int64_t>::max();
  AssignmentWorkspace workspace;
  double total = 0;
  CHECK(linear_sum_assignment<double>({}, huge, 2, false, {}, &total, workspace).code() == Code::kTooLarge);
  CHECK(linear_sum_assignment<double>({}, 0, huge, false, {}, &total, workspace).code() == Code::kTooLarge);
  const std::vector<double> cost{1, 2, 3, 4};
  std::vector<int32_t> three(3);
  CHECK(linear_sum_assignment<double>(cost, 2, 2, false, three, &total, workspace).code() ==
        Code::kShapeMismatch);
}

TEST_CASE_TEMPLATE("assignment: a batch is its problems one by one", T, float, double) {
  std::mt19937 random(31);
  std::uniform_int_distribution<int32_t> size(0, 25);
  std::uniform_int_distribution<int> value(0, 9);
  std::vector<int32_t> offsets{0}, rows, cols, row_offsets{0};
  std::vector<T> costs;
  for (int i = 0; i < 400; ++i) {
    rows.push_back(size(random));
    cols.push_back(size(random));
    for (int32_t k = 0; k < rows.back() * cols.back(); ++k) costs.push_back(static_cast<T>(value(random)));
    offsets.push_back(static_cast<int32_t>(costs.size()));
    row_offsets.push_back(row_offsets.back() + rows.back());
  }
  for (const bool maximize : {false, true}) {
    std::vector<int32_t> expected;
    std::vector<double> expected_totals;
    for (size_t i = 0; i < rows.size(); ++i) {
      const Answer answer = solve(std::vector<T>(costs.begin() + offsets[i], costs.begin() + offsets[i + 1]),
                                  rows[i], cols[i], maximize);
      REQUIRE(answer.status.ok());
      expected.insert(expected.end(), answer.column_of_row.begin(), answer.column_of_row.end());
      expected_totals.push_back(answer.total);
    }
    for (const int threads : {1, 4}) {
      const ThreadCount guard(threads);
      std::vector<int32_t> column_of_row(expected.size(), -7);
      std::vector<double> totals(rows.size(), kNan);
      CHECK(linear_sum_assignment_batch<T>(costs, offsets, rows, cols, maximize, row_offsets, column_of_row,
                                           totals)
                .ok());
      CHECK(column_of_row == expected);
      CHECK(totals == expected_totals);
    }
  }
}

TEST_CASE("assignment: a batch reports its first failure") {
  constexpr size_t kProblems = 1000;
  std::vector<int32_t> offsets(kProblems + 1), rows(kProblems, 8), cols(kProblems, 8),
      row_offsets(kProblems + 1), column_of_row(8 * kProblems);
  for (size_t i = 0; i <= kProblems; ++i) {
    offsets[i] = static_cast<int32_t>(64 * i);
    row_offsets[i] = static_cast<int32_t>(8 * i);
  }
  std::vector<double> costs(64 * kProblems, 1), totals(kProblems);
  costs[64 * 999 + 5] = kNan;
  std::fill_n(costs.begin() + 64 * 500, 8, kInf);
  const auto run = [&] {
    return linear_sum_assignment_batch<double>(costs, offsets, rows, cols, false, row_offsets, column_of_row,
                                               totals);
  };
  for (const int threads : {1, 4}) {
    const ThreadCount guard(threads);
    for (int round = 0; round < 20; ++round) {
      const Status status = run();
      CHECK(status.code() == Code::kInfeasible);
      CHECK(status.message().starts_with("problem 500: "));
    }
  }
  costs[64 * 17 + 9] = kNan;
  CHECK(run().code() == Code::kInvalidValue);
  CHECK(run().message() ==
        "problem 17: cost: expected numbers or inf (a forbidden pair), received nan at row 1, "
        "column 1");
  rows[3] = 7;
  CHECK(run().code() == Code::kShapeMismatch);
  CHECK(run().message() == "problem 3: cost: expected 7 x 8 = 56 numbers, received 64");
  rows[3] = -8;
  cols[3] = -8;
  CHECK(run().code() == Code::kShapeMismatch);
  // Rows that do not fit their place in column_of_row.
  rows[3] = 64;
  cols[3] = 1;
  CHECK(run().message() == "problem 3: column_of_row: expected length 64, received 8");
  rows.pop_back();
  CHECK(run().message() == "rows: expected length 1000, received 999");
  row_offsets[5] = 1 << 20;
  CHECK(run().code() == Code::kInvalidOffsets);
  offsets[0] = 1;
  CHECK(run().code() == Code::kInvalidOffsets);
}

TEST_CASE("assignment: an empty batch") {
  const std::vector<int32_t> zero{0};
  CHECK(linear_sum_assignment_batch<float>({}, zero, {}, {}, false, zero, {}, {}).ok());
  CHECK(linear_sum_assignment_batch<float>({}, {}, {}, {}, false, zero, {}, {}).code() ==
        Code::kInvalidOffsets);
}
