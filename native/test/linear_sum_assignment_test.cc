#include "core/assignment/linear_sum_assignment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/assignment/linear_sum_assignment_kernels.h"
#include "core/base/isa.h"
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

// scipy 1.17's algorithm as it is written there. rows <= cols.
struct Reference {
  bool feasible = true;
  std::vector<double> row_dual, column_dual;
  std::vector<int32_t> column_of_row, row_of_column;

  Reference(const std::vector<double>& cost, size_t rows, size_t cols)
      : row_dual(rows), column_dual(cols), column_of_row(rows, -1), row_of_column(cols, -1) {
    std::vector<double> shortest(cols);
    std::vector<size_t> path(cols), remaining(cols), scanned;
    for (size_t start = 0; start < rows && feasible; ++start) {
      for (size_t i = 0; i < cols; ++i) remaining[i] = cols - 1 - i;
      std::fill(shortest.begin(), shortest.end(), kInf);
      scanned.clear();
      double base = 0;
      size_t row = start, count = cols, column = 0;
      for (;;) {
        double lowest = kInf;
        size_t index = count;
        for (size_t i = 0; i < count; ++i) {
          const size_t j = remaining[i];
          const double distance = base + cost[row * cols + j] - row_dual[row] - column_dual[j];
          if (distance < shortest[j]) {
            shortest[j] = distance;
            path[j] = row;
          }
          if (shortest[j] < lowest || (shortest[j] == lowest && row_of_column[j] < 0)) {
            lowest = shortest[j];
            index = i;
          }
        }
        base = lowest;
        feasible = base < kInf;
        if (!feasible) return;
        column = remaining[index];
        if (row_of_column[column] < 0) break;
        row = size_t(row_of_column[column]);
        scanned.push_back(column);
        remaining[index] = remaining[--count];
      }
      row_dual[start] += base;
      for (const size_t j : scanned) {
        row_dual[size_t(row_of_column[j])] += base - shortest[j];
        column_dual[j] -= base - shortest[j];
      }
      for (int32_t at = int32_t(column); at >= 0;) {
        const size_t last = path[size_t(at)];
        row_of_column[size_t(at)] = int32_t(last);
        std::swap(column_of_row[last], at);
      }
    }
  }
};

enum class Kind { kUniform, kTied, kRounded, kConstant, kNegative, kForbidden, kProduct, kFarApart };
constexpr std::array kKinds{Kind::kUniform,  Kind::kTied,      Kind::kRounded, Kind::kConstant,
                            Kind::kNegative, Kind::kForbidden, Kind::kProduct, Kind::kFarApart};

template <class T>
std::vector<T> make_costs(Kind kind, size_t rows, size_t cols, std::mt19937& random) {
  std::uniform_real_distribution<double> uniform(0, 1);
  std::vector<T> cost;
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < cols; ++j) {
      const double x = uniform(random);
      const double below4 = std::floor(4 * x);
      cost.push_back(static_cast<T>(kind == Kind::kUniform    ? x
                                    : kind == Kind::kTied     ? below4
                                    : kind == Kind::kRounded  ? 0.1 * std::floor(7 * x)
                                    : kind == Kind::kConstant ? 0.3
                                    : kind == Kind::kNegative ? (x < 0.5 ? -x : -below4)
                                    // Rows of a hard instance: each is scanned for each that follows.
                                    : kind == Kind::kProduct  ? double(i + 1) * double(j + 1)
                                    : kind == Kind::kFarApart ? std::ldexp(x, int(random() % 60) - 30)
                                                              : (random() % 4 < 2 ? kInf : below4)));
    }
  }
  return cost;
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

TEST_CASE("assignment: optima proved by duals") {
  std::mt19937 random(23);
  std::uniform_real_distribution<double> uniform(0, 1);
  for (const size_t cols : {80, 150}) {
    for (int round = 0; round < 20; ++round) {
      const size_t rows = 60;
      std::vector<double> cost(rows * cols);
      for (double& value : cost) value = uniform(random);
      const Answer answer = solve(cost, int64_t(rows), int64_t(cols));
      REQUIRE(answer.status.ok());
      // u[i] + v[j] <= cost[i][j] and v <= 0: then no assignment costs less than sum u + sum v.
      const Reference reference(cost, rows, cols);
      const double bound =
          std::accumulate(reference.column_dual.begin(), reference.column_dual.end(),
                          std::accumulate(reference.row_dual.begin(), reference.row_dual.end(), 0.0));
      CHECK(*std::max_element(reference.column_dual.begin(), reference.column_dual.end()) <= 1e-12);
      double least_slack = kInf;
      for (size_t i = 0; i < rows; ++i)
        for (size_t j = 0; j < cols; ++j)
          least_slack =
              std::min(least_slack, cost[i * cols + j] - reference.row_dual[i] - reference.column_dual[j]);
      CHECK(least_slack >= -1e-12);
      CHECK(std::abs(bound - answer.total) < 1e-10);
    }
  }
}

TEST_CASE_TEMPLATE("assignment: every instruction set answers as scipy does, ties included", T, float,
                   double) {
  std::mt19937 random(37);
  AssignmentWorkspace workspace;
  const auto check = [&](Kind kind, size_t rows, size_t cols, bool transposed, bool maximize) {
    CAPTURE(int(kind));
    CAPTURE(rows);
    CAPTURE(cols);
    CAPTURE(transposed);
    const std::vector<T> values = make_costs<T>(kind, rows, cols, random);
    const std::vector<double> cost(values.begin(), values.end());
    const Reference reference(cost, rows, cols);
    // As it comes: transposed, its signs changed. Exactly as long as it is, for AddressSanitizer.
    const double factor = maximize ? -1 : 1;
    std::vector<T> given;
    for (const double x : transposed ? transpose(cost, rows, cols) : cost)
      given.push_back(static_cast<T>(factor * x));
    for (const Isa set : {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512}) {
      if (set > isa()) continue;
      CAPTURE(isa_name(set));
      std::vector<int32_t> column_of_row(transposed ? cols : rows, -7);
      AssignmentProblem<T> problem{given.data(),
                                   int32_t(transposed ? cols : rows),
                                   int32_t(transposed ? rows : cols),
                                   factor,
                                   column_of_row.data(),
                                   {}};
      assignment_solver<T>(set)({&problem, 1}, workspace);
      REQUIRE((problem.outcome == AssignmentOutcome::kSolved) == reference.feasible);
      if (reference.feasible)
        CHECK(column_of_row == (transposed ? reference.row_of_column : reference.column_of_row));
      else
        CHECK(column_of_row == std::vector<int32_t>(column_of_row.size(), -7));
    }
  };
  // Around the widths of vectors, of the solvers' classes and of blocks.
  for (const size_t cols :
       {1,  2,  3,  4,  5,  7,  8,   9,   12,  15,  16,  17,  20,  23,  24,  25,  26,  31,  32,  33, 40,
        47, 48, 63, 64, 65, 80, 100, 103, 104, 105, 127, 128, 129, 143, 144, 145, 159, 160, 161, 200}) {
    for (const Kind kind : kKinds) {
      for (const size_t rows : {cols, cols - cols / 3, std::min<size_t>(cols, 3)}) {
        if (kind == Kind::kProduct && rows > 64) continue;
        check(kind, rows, cols, false, rows % 2 == 0);
        check(kind, rows, cols, rows < cols, cols % 2 == 0);
      }
    }
  }
  // More blocks than one word of bits has, and more than two.
  for (const size_t cols : {1023, 1025, 1040, 2100}) {
    for (const Kind kind : {Kind::kUniform, Kind::kTied, Kind::kConstant, Kind::kForbidden, Kind::kFarApart})
      check(kind, 70, cols, cols % 2 == 0, false);
  }
  check(Kind::kTied, 300, 1030, false, false);
  check(Kind::kUniform, 300, 310, false, false);
}

TEST_CASE_TEMPLATE("assignment: every instruction set says what it cannot use", T, float, double) {
  AssignmentWorkspace workspace;
  for (const size_t cols : {1, 5, 16, 17, 40, 64, 100, 129, 150, 300}) {
    for (const size_t rows : {size_t{1}, size_t{3}, cols}) {
      std::vector<T> cost(rows * cols, T(0.5));
      for (const size_t at : {size_t{0}, cols - 1, cost.size() - 1, cost.size() / 2}) {
        for (const double bad : {kNan, -kInf, kInf, 0x1p901, -0x1p901}) {
          const bool large = std::abs(bad) == 0x1p901;
          if (large && sizeof(T) == sizeof(float)) continue;
          const T before = std::exchange(cost[at], static_cast<T>(bad));
          for (const Isa set : {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512}) {
            if (set > isa()) continue;
            std::vector<int32_t> column_of_row(rows);
            AssignmentProblem<T> problem{cost.data(), int32_t(rows),        int32_t(cols),
                                         1,           column_of_row.data(), {}};
            assignment_solver<T>(set)({&problem, 1}, workspace);
            CHECK((problem.outcome == AssignmentOutcome::kUnusable) == (bad != kInf));
          }
          cost[at] = before;
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("assignment: side by side as alone", T, float, double) {
  std::mt19937 random(41);
  AssignmentWorkspace workspace;
  for (int round = 0; round < 300; ++round) {
    // Sizes of one class mostly, and all that can happen to a problem.
    std::vector<std::vector<T>> costs;
    std::vector<std::vector<int32_t>> alone, together;
    std::vector<std::array<int32_t, 2>> sizes;
    std::vector<AssignmentOutcome> outcomes;
    const size_t count = random() % (kAssignmentsAtOnce + 1);
    for (size_t i = 0; i < count; ++i) {
      const auto size = [&] { return int32_t(1 + random() % (random() % 10 == 0 ? 150 : 16)); };
      sizes.push_back({size(), size()});
      const auto [rows, cols] = sizes.back();
      costs.push_back(make_costs<T>(kKinds[random() % kKinds.size()], size_t(rows), size_t(cols), random));
      if (random() % 8 == 0) costs.back()[random() % costs.back().size()] = static_cast<T>(kNan);
    }
    for (const Isa set : {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512}) {
      if (set > isa()) continue;
      alone.clear();
      together.clear();
      outcomes.clear();
      std::vector<AssignmentProblem<T>> problems;
      for (size_t i = 0; i < count; ++i) {
        alone.emplace_back(size_t(sizes[i][0]), -7);
        together.emplace_back(size_t(sizes[i][0]), -7);
        AssignmentProblem<T> problem{costs[i].data(), sizes[i][0], sizes[i][1], 1, alone[i].data(), {}};
        assignment_solver<T>(set)({&problem, 1}, workspace);
        outcomes.push_back(problem.outcome);
        problem.column_of_row = together[i].data();
        problems.push_back(problem);
      }
      assignment_solver<T>(set)(problems, workspace);
      CHECK(together == alone);
      for (size_t i = 0; i < count; ++i) CHECK(problems[i].outcome == outcomes[i]);
    }
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
  std::uniform_int_distribution<int32_t> size(0, 18);
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
