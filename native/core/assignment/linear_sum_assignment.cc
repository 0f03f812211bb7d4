#include "core/assignment/linear_sum_assignment.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <string>
#include <type_traits>

#include "core/base/ragged.h"
#include "core/base/thread_pool.h"

#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#define PERCEPTION_SSE2
#endif

namespace perception {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Costs a chunk of parallel_for should hold at least: some hundreds of microseconds.
constexpr int64_t kCostsPerChunk = 16384;

// --- Reading the costs. ---

// The problem as it is solved: minimize, rows <= cols, row-major.
struct Problem {
  const double* cost;
  int32_t rows, cols;
  bool transposed;
};

template <class T>
Status invalid_cost(std::span<const T> cost, int64_t cols, bool maximize) {
  const T refused = std::numeric_limits<T>::infinity() * T(maximize ? 1 : -1);
  const auto first =
      std::find_if(cost.begin(), cost.end(), [&](T x) { return std::isnan(x) || x == refused; });
  const int64_t index = first - cost.begin();
  return {Code::kInvalidValue, std::string("cost: expected numbers or ") + (maximize ? "-inf" : "inf") +
                                   " (a forbidden pair), received " +
                                   (std::isnan(*first) ? "nan"
                                    : maximize         ? "inf"
                                                       : "-inf") +
                                   " at row " + std::to_string(index / cols) + ", column " +
                                   std::to_string(index % cols)};
}

// Refuses NaN and the infinity that is no forbidden pair; otherwise puts the problem in `workspace`,
// or leaves it where it is if it has the solver's form already.
template <class T>
Status read_problem(std::span<const T> cost, int32_t rows, int32_t cols, bool maximize,
                    AssignmentWorkspace& workspace, Problem& problem) {
  const double sign = maximize ? -1 : 1;
  bool valid = true, large = false;
  for (const T value : cost) {
    const double x = sign * static_cast<double>(value);
    valid &= x > -kInfinity;  // false for NaN
    large |= std::abs(x) > kLargeCost && x < kInfinity;
  }
  if (!valid) return invalid_cost(cost, int64_t{cols}, maximize);

  const double factor = large ? sign * kLargeCostScale : sign;
  const bool transposed = rows > cols;
  if constexpr (std::is_same_v<T, double>) {
    if (!transposed && factor == 1) {
      problem = {cost.data(), rows, cols, false};
      return {};
    }
  }
  workspace.cost.resize(std::max(workspace.cost.size(), cost.size()));
  double* const copy = workspace.cost.data();
  if (transposed) {
    const size_t stride = static_cast<size_t>(rows);
    const T* from = cost.data();
    for (int32_t i = 0; i < rows; ++i)
      for (int32_t j = 0; j < cols; ++j)
        copy[static_cast<size_t>(j) * stride + static_cast<size_t>(i)] = factor * double{*from++};
    problem = {copy, cols, rows, true};
  } else {
    for (size_t i = 0; i < cost.size(); ++i) copy[i] = factor * double{cost[i]};
    problem = {copy, rows, cols, false};
  }
  return {};
}

// --- The solver: D. F. Crouse, "On implementing 2D rectangular assignment algorithms", 2016. ---
//
// Rows are added one by one, each along a shortest augmenting path in the reduced costs. Two things
// go beyond the paper. The open (not yet scanned) columns are kept in a list whose order decides
// ties, as scipy does; and the arrays by column stay whole, so that a row is scanned front to back
// without a gather: a scanned column is taken out by a dual of -infinity (no path through it is
// ever shorter) and a distance of +infinity (it is never nearest), its true values set aside.

// Columns whose least distance is kept, so that the search for the nearest looks at few columns.
constexpr int32_t kBlock = 64;

// Shortens the distances to `count` columns by the paths that end with `row`; returns the least.
// distance = base + cost - row_dual - column_dual in this order, since it decides the ties between
// sums that differ by rounding alone.
double relax(const double* cost, double base, double row_dual, int64_t row, int32_t count,
             const double* column_dual, double* shortest, int64_t* predecessor) {
  double least = kInfinity;
  int32_t j = 0;
#ifdef PERCEPTION_SSE2
  const __m128d bases = _mm_set1_pd(base), row_duals = _mm_set1_pd(row_dual);
  const __m128i rows = _mm_set1_epi64x(row);
  const auto relax_two = [&](int32_t at, __m128d lanes) {
    const __m128d distance = _mm_sub_pd(_mm_sub_pd(_mm_add_pd(bases, _mm_loadu_pd(cost + at)), row_duals),
                                        _mm_loadu_pd(column_dual + at));
    const __m128d before = _mm_loadu_pd(shortest + at);
    const __m128i shorter = _mm_castpd_si128(_mm_cmplt_pd(distance, before));
    __m128i* const from = reinterpret_cast<__m128i*>(predecessor + at);
    _mm_storeu_si128(
        from, _mm_or_si128(_mm_and_si128(shorter, rows), _mm_andnot_si128(shorter, _mm_loadu_si128(from))));
    const __m128d now = _mm_min_pd(distance, before);
    _mm_storeu_pd(shortest + at, now);
    return _mm_min_pd(now, lanes);
  };
  __m128d even = _mm_set1_pd(kInfinity), odd = even;
  for (; j + 4 <= count; j += 4) {
    even = relax_two(j, even);
    odd = relax_two(j + 2, odd);
  }
  const __m128d lanes = _mm_min_pd(even, odd);
  least = _mm_cvtsd_f64(_mm_min_sd(lanes, _mm_unpackhi_pd(lanes, lanes)));
#endif
  for (; j < count; ++j) {
    const double distance = base + cost[j] - row_dual - column_dual[j];
    if (distance < shortest[j]) {
      shortest[j] = distance;
      predecessor[j] = row;
    }
    least = std::min(least, shortest[j]);
  }
  return least;
}

// The solver's state over the workspace's arrays, all of it by index.
struct Solver {
  const double* cost;
  int32_t rows, cols;
  double *row_dual, *column_dual, *shortest, *scanned_dual, *scanned_shortest, *block_least;
  int64_t* predecessor;
  int32_t *column_of_row, *row_of_column, *remaining, *position;

  Solver(const Problem& problem, AssignmentWorkspace& workspace)
      : cost(problem.cost), rows(problem.rows), cols(problem.cols) {
    const auto array = [](auto& values, int32_t count) {
      values.resize(std::max(values.size(), static_cast<size_t>(count)));
      return values.data();
    };
    row_dual = array(workspace.row_dual, rows);
    column_of_row = array(workspace.column_of_row, rows);
    column_dual = array(workspace.column_dual, cols);
    shortest = array(workspace.shortest, cols);
    scanned_dual = array(workspace.scanned_dual, cols);
    scanned_shortest = array(workspace.scanned_shortest, cols);
    block_least = array(workspace.block_least, (cols - 1) / kBlock + 1);
    predecessor = array(workspace.predecessor, cols);
    row_of_column = array(workspace.row_of_column, cols);
    remaining = array(workspace.remaining, cols);
    position = array(workspace.position, cols);
    std::fill_n(row_dual, rows, 0.0);
    std::fill_n(column_dual, cols, 0.0);
    std::fill_n(column_of_row, rows, -1);
    std::fill_n(row_of_column, cols, -1);
  }

  // False if no complete assignment avoids the forbidden pairs.
  bool solve() {
    for (int32_t row = 0; row < rows; ++row)
      if (!augment(row)) return false;
    return true;
  }

  // Scans one row, reached at `base`; returns the distance to the nearest open column.
  double scan(int32_t row, double base) {
    const double* const row_cost = cost + static_cast<size_t>(row) * static_cast<size_t>(cols);
    double least = kInfinity;
    for (int32_t j = 0; j < cols; j += kBlock) {
      double& block = block_least[j / kBlock];
      block = relax(row_cost + j, base, row_dual[row], row, std::min(kBlock, cols - j), column_dual + j,
                    shortest + j, predecessor + j);
      least = std::min(least, block);
    }
    return least;
  }

  // Of the open columns at `distance`, the last free one in the order of `remaining`; if none is
  // free, the first. (What a scan in that order keeps that prefers free columns among equals.)
  int32_t nearest(double distance) const {
    int32_t free = -1, first = cols;
    for (int32_t begin = 0; begin < cols; begin += kBlock) {
      if (block_least[begin / kBlock] != distance) continue;
      for (int32_t j = begin; j < begin + std::min(kBlock, cols - begin); ++j) {
        if (shortest[j] != distance) continue;
        if (row_of_column[j] < 0)
          free = std::max(free, position[j]);
        else
          first = std::min(first, position[j]);
      }
    }
    return remaining[free >= 0 ? free : first];
  }

  // Gives `start` a column and keeps all earlier rows assigned.
  bool augment(int32_t start) {
    std::fill_n(shortest, cols, kInfinity);
    for (int32_t j = 0; j < cols; ++j) {
      // Back to front: on a constant matrix the answer is then the identity.
      position[j] = cols - 1 - j;
      remaining[j] = cols - 1 - j;
    }

    // Scan rows until the nearest column is free. The list's tail, from `open` on, holds the
    // scanned columns.
    int32_t open = cols, row = start, sink = -1;
    double distance = 0;
    for (;;) {
      distance = scan(row, distance);
      if (distance == kInfinity) break;
      const int32_t column = nearest(distance);
      if (row_of_column[column] < 0) {
        sink = column;
        break;
      }
      row = row_of_column[column];
      --open;
      const int32_t last = remaining[open];
      remaining[position[column]] = last;
      position[last] = position[column];
      remaining[open] = column;
      scanned_shortest[column] = distance;
      scanned_dual[column] = column_dual[column];
      shortest[column] = kInfinity;
      column_dual[column] = -kInfinity;
    }

    if (sink < 0) return false;
    row_dual[start] += distance;
    for (int32_t k = open; k < cols; ++k) {
      const int32_t column = remaining[k];
      const double slack = distance - scanned_shortest[column];
      row_dual[row_of_column[column]] += slack;
      column_dual[column] = scanned_dual[column] - slack;
    }
    for (int32_t column = sink; column >= 0;) {
      const int32_t last = static_cast<int32_t>(predecessor[column]);
      row_of_column[column] = last;
      std::swap(column_of_row[last], column);
    }
    return true;
  }
};

// --- Checks. ---

Status check_shape(int64_t rows, int64_t cols, size_t cost_size, size_t column_of_row_size) {
  constexpr int64_t kMost = int64_t{1} << 30;  // a block past the last index stays an int32_t
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
  Problem problem{};
  PERCEPTION_RETURN_IF_ERROR(read_problem(cost, static_cast<int32_t>(rows), static_cast<int32_t>(cols),
                                          maximize, workspace, problem));
  Solver solver(problem, workspace);
  if (!solver.solve())
    return {Code::kInfeasible, "cost: every complete assignment uses a forbidden pair (an infinite cost)"};

  const int32_t* const answer = problem.transposed ? solver.row_of_column : solver.column_of_row;
  double sum = 0;
  for (size_t i = 0; i < column_of_row.size(); ++i) {
    column_of_row[i] = answer[i];
    if (answer[i] >= 0) sum += static_cast<double>(cost[i * static_cast<size_t>(cols) + size_t(answer[i])]);
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
