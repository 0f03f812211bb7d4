// Batches of assignment problems for the tests of the plug-in, with core's answers.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "core/assignment/linear_sum_assignment.h"
#include "cuda/plugin.h"

namespace perception::cuda {

enum class Costs {
  kTied,  // few integers
  kConstant,
  kUniform,
  kRounded,  // many sums that are equal but for their rounding
  kNegative,
  kSomeForbidden,
  kMostForbidden,
  kHuge,
  kInvalid,  // one NaN, or one infinity that does not forbid
};
constexpr int kCostKinds = 9;

template <class T>
std::vector<T> make_costs(Costs kind, int rows, int cols, bool maximize, std::mt19937& random) {
  const auto below = [&](int limit) { return static_cast<int>(random() % static_cast<unsigned>(limit)); };
  const auto uniform = [&] { return static_cast<T>(random() / 4294967296.0); };
  const T forbidden = std::numeric_limits<T>::infinity() * T(maximize ? -1 : 1);
  std::vector<T> costs(static_cast<size_t>(rows) * static_cast<size_t>(cols));
  const T constant = static_cast<T>(below(3) - 1);
  for (T& cost : costs) {
    switch (kind) {
      case Costs::kTied:
        cost = static_cast<T>(below(4));
        break;
      case Costs::kConstant:
        cost = constant;
        break;
      case Costs::kUniform:
      case Costs::kInvalid:
        cost = uniform();
        break;
      case Costs::kRounded:
        cost = T(0.1) * static_cast<T>(below(7));
        break;
      case Costs::kNegative:
        cost = below(2) ? -uniform() : static_cast<T>(-below(3));
        break;
      case Costs::kSomeForbidden:
        cost = below(4) == 0 ? forbidden : static_cast<T>(below(5));
        break;
      case Costs::kMostForbidden:
        cost = below(5) < 3 ? forbidden : uniform();
        break;
      case Costs::kHuge:
        cost = std::numeric_limits<T>::max() * (uniform() - T(0.5)) * T(below(10) == 0 ? 2 : 1e-3);
        if (below(10) == 0) cost = forbidden;
        break;
    }
  }
  if (kind == Costs::kInvalid && !costs.empty())
    costs[random() % costs.size()] = below(2) ? std::numeric_limits<T>::quiet_NaN() : -forbidden;
  return costs;
}

// A ragged batch, and what is expected of it.
template <class T>
struct AssignmentProblems {
  explicit AssignmentProblems(bool maximize) : maximize(maximize) {}

  bool maximize;
  std::vector<T> costs;
  std::vector<int32_t> rows, cols, offsets, row_offsets;
  // Core's answers; -1 and NaN for what core refuses, of which the first is the fault.
  std::vector<int32_t> column_of_row;
  std::vector<double> totals;
  Fault fault = kNoFault;

  void add(int row_count, int col_count, const std::vector<T>& cost) {
    std::vector<int32_t> answer(static_cast<size_t>(row_count));
    double total = 0;
    const Status status =
        linear_sum_assignment<T>(cost, row_count, col_count, maximize, answer, &total, workspace_);
    if (!status.ok()) {
      answer.assign(answer.size(), -1);
      total = std::numeric_limits<double>::quiet_NaN();
      if (fault == kNoFault) fault = static_cast<Fault>(rows.size()) << 8 | static_cast<Fault>(status.code());
    }
    offsets.push_back(static_cast<int32_t>(costs.size()));
    row_offsets.push_back(static_cast<int32_t>(column_of_row.size()));
    rows.push_back(row_count);
    cols.push_back(col_count);
    costs.insert(costs.end(), cost.begin(), cost.end());
    column_of_row.insert(column_of_row.end(), answer.begin(), answer.end());
    totals.push_back(total);
  }

 private:
  AssignmentWorkspace workspace_;
};

// How many totals differ from the expected ones; NaN is NaN.
inline int different(const std::vector<double>& totals, const std::vector<double>& expected) {
  int count = totals.size() != expected.size();
  for (size_t i = 0; i < totals.size() && i < expected.size(); ++i)
    count += !(totals[i] == expected[i] || (std::isnan(totals[i]) && std::isnan(expected[i])));
  return count;
}

}  // namespace perception::cuda
