// Linear sum assignment by a group of lanes: the solver of core/assignment, with its arithmetic and its ties,
// and the kernel that solves a batch.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <type_traits>

#include "core/assignment/linear_sum_assignment.h"
#include "core/base/portable.h"
#include "cuda/atomic.h"
#include "cuda/lanes.h"
#include "cuda/plugin.h"
#include "cuda/vector.h"

namespace perception::cuda {

// --- The solver. ---

// Rows and columns are numbers of 15 bits in the solver's keys.
constexpr int kMostColumns = 32767;

// Arrays of one problem, seen by all lanes of its group (shared or global memory).
struct AssignmentMemory {
  double* row_dual;        // [rows]
  int32_t* column_of_row;  // [rows]
  int32_t* row_of_column;  // [cols], -1: free
  int32_t* predecessor;    // [cols], the row from which the shortest path reaches a column
};

// What a lane keeps of a column of its own.
struct ColumnState {
  double dual;
  double shortest;   // the distance to the column
  int32_t position;  // in the list of open columns, and of the scanned ones behind them
  int32_t row;       // row_of_column as the search began
};

// What lay_out needs; a multiple of 16.
PERCEPTION_PORTABLE constexpr size_t assignment_bytes(int rows, int cols) {
  return up_to_16(static_cast<size_t>(rows) * (sizeof(double) + sizeof(int32_t)) +
                  static_cast<size_t>(cols) * 2 * sizeof(int32_t));
}

// `memory` is aligned to 16 bytes.
PERCEPTION_DEVICE inline AssignmentMemory lay_out(unsigned char* memory, int rows, int cols) {
  double* const row_dual = reinterpret_cast<double*>(memory);
  int32_t* const column_of_row = reinterpret_cast<int32_t*>(row_dual + rows);
  return {row_dual, column_of_row, column_of_row + rows, column_of_row + rows + cols};
}

// Pairs every row with a column of its own so that the sum of the costs is least. rows <= cols <=
// kColumnsPerLane * Lanes::kSize (kColumnsPerLane a power of two), the columns' state being kept in
// registers; or kColumnsPerLane = 0, cols <= kMostColumns, and it is kept in column_state [cols].
//
// cost(row, column) -> double: any lane calls it for any pair at any time. It is never NaN or -infinity;
// +infinity forbids the pair. What it reads has been synced.
//
// True: memory.column_of_row and row_of_column hold the optimum, visible to all lanes. False, on all lanes:
// every complete assignment uses a forbidden pair. In both cases `memory` and what cost() reads may be
// written again without another sync().
template <int kColumnsPerLane, class Lanes, class Cost>
PERCEPTION_DEVICE bool solve_assignment(Lanes& lanes, int rows, int cols, const Cost& cost,
                                        const AssignmentMemory& memory, ColumnState* column_state = nullptr) {
  constexpr bool kRegisters = kColumnsPerLane > 0;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  constexpr int kIndexBits = 15;

  // A lane owns the columns lane.index, lane.index + kSize, ... In registers those beyond the last have a
  // state too, at a position that is never open, which spares branches.
  struct Registers {
    ColumnState columns[kRegisters ? kColumnsPerLane : 1];
  };
  typename Lanes::template PerLane<Registers> registers;
  const auto each_column = [&](auto lane, const auto& body) {
    if constexpr (kRegisters) {
      unrolled<kColumnsPerLane>(
          [&](int k) { body(lane.index + k * Lanes::kSize, registers[lane].columns[k]); });
    } else {
      for (int column = lane.index; column < cols; column += Lanes::kSize) body(column, column_state[column]);
    }
  };

  lanes.each([&](auto lane) {
    for (int row = lane.index; row < rows; row += Lanes::kSize) {
      memory.row_dual[row] = 0;
      memory.column_of_row[row] = -1;
    }
    each_column(lane, [&](int column, ColumnState& state) {
      state.dual = 0;
      if (column < cols) memory.row_of_column[column] = -1;
    });
  });
  lanes.sync();

  // Rows are added one by one, each along a shortest augmenting path in the reduced costs.
  for (int start = 0; start < rows; ++start) {
    lanes.each([&](auto lane) {
      each_column(lane, [&](int column, ColumnState& state) {
        state.shortest = kInfinity;
        state.position = column < cols ? cols - 1 - column : kMostColumns;
        state.row = memory.row_of_column[std::min(column, cols - 1)];
      });
    });

    // Scans rows until the nearest column is free. Open columns are those at positions before `open`.
    int open = cols, row = start, sink = -1;
    double distance = 0;
    typename Lanes::template PerLane<Nearest> candidates;
    for (;;) {
      lanes.each([&](auto lane) {
        const double row_dual = memory.row_dual[row];
        // Of columns at the same distance the free one at the last position is the nearest; where none is
        // free, the one at the first. The key says where the path goes on as well: to a free column, or to
        // the row that holds the column.
        const auto relax = [&](int column, double pair_cost, ColumnState& state) -> Nearest {
          const bool is_open = state.position < open;
          // In core's order, on which ties between sums depend that differ by rounding alone.
          const double through_row = distance + pair_cost - row_dual - state.dual;
          const bool is_shorter = is_open && through_row < state.shortest;
          if (is_shorter) memory.predecessor[column] = row;
          state.shortest = is_shorter ? through_row : state.shortest;
          const bool is_free = state.row < 0;
          const int order = is_free ? cols - 1 - state.position : cols + state.position;
          const int next = is_free ? column : state.row;
          const uint32_t key = static_cast<uint32_t>(order) << kIndexBits | static_cast<uint32_t>(next);
          return {is_open ? state.shortest : kInfinity, is_open ? key : ~0u};
        };
        if constexpr (kRegisters) {
          // All reads first, since what relax() writes would hold back the next one.
          double costs[kColumnsPerLane];
          Nearest nearest[kColumnsPerLane];
          unrolled<kColumnsPerLane>(
              [&](int k) { costs[k] = cost(row, std::min(lane.index + k * Lanes::kSize, cols - 1)); });
          unrolled<kColumnsPerLane>([&](int k) {
            nearest[k] = relax(lane.index + k * Lanes::kSize, costs[k], registers[lane].columns[k]);
          });
          unrolled<std::bit_width(static_cast<unsigned>(kColumnsPerLane)) - 1>([&](int level) {
            const int half = kColumnsPerLane >> (level + 1);
            unrolled<kColumnsPerLane / 2>([&](int k) {
              if (k < half) nearest[k] = nearer(nearest[k], nearest[k + half]);
            });
          });
          candidates[lane] = nearest[0];
        } else {
          Nearest nearest = {kInfinity, ~0u};
          each_column(lane, [&](int column, ColumnState& state) {
            nearest = nearer(nearest, relax(column, cost(row, column), state));
          });
          candidates[lane] = nearest;
        }
      });
      const Nearest nearest = lanes.least(candidates);
      distance = nearest.distance;
      if (distance == kInfinity) break;
      const int order = static_cast<int>(nearest.key >> kIndexBits);
      const int next = static_cast<int>(nearest.key & ((1u << kIndexBits) - 1));
      if (order < cols) {
        sink = next;
        break;
      }
      // The column changes places with the last open one.
      const int taken = order - cols;
      --open;
      lanes.each([&](auto lane) {
        each_column(lane, [&](int, ColumnState& state) {
          const int position = state.position;
          state.position = position == taken ? open : position == open ? taken : position;
        });
      });
      row = next;
    }

    lanes.sync();
    if (sink < 0) return false;
    lanes.each([&](auto lane) {
      each_column(lane, [&](int column, ColumnState& state) {
        if (state.position < open || column >= cols) return;
        const double slack = distance - state.shortest;
        memory.row_dual[state.row] += slack;
        state.dual -= slack;
      });
      if (lane.index != 0) return;
      memory.row_dual[start] += distance;
      for (int32_t column = sink; column >= 0;) {
        const int32_t from = memory.predecessor[column];
        const int32_t before = memory.column_of_row[from];
        memory.row_of_column[column] = from;
        memory.column_of_row[from] = column;
        column = before;
      }
    });
    lanes.sync();
  }
  return true;
}

// --- A batch. ---

// How a problem is solved. The first path of the table that takes it is its own; the last takes everything.
struct AssignmentPath {
  int lanes;             // of its group
  int columns_per_lane;  // 0: any number, and all of the state is in a workspace
  bool staged;           // the costs are copied to shared memory
};
#ifdef PERCEPTION_ASSIGNMENT_PATHS
// A benchmark's, from a header that it gives to nvcc -include.
constexpr AssignmentPath kAssignmentPaths[] = {PERCEPTION_ASSIGNMENT_PATHS};
#else
constexpr AssignmentPath kAssignmentPaths[] = {
    {32, 1, true}, {32, 4, true}, {128, 4, true}, {256, 4, true}, {256, 4, false}, {512, 0, false},
};
#endif
constexpr int kAssignmentPathCount = static_cast<int>(std::size(kAssignmentPaths));
constexpr int kAnyPath = -1;

// Memory of one group: the costs (or, where they are not staged, room for the chosen ones), the solver's
// arrays, and the columns' state where it is not in registers.
PERCEPTION_PORTABLE constexpr size_t staged_bytes(bool staged, int rows, int cols, size_t cost_bytes) {
  return up_to_16(static_cast<size_t>(rows) * (staged ? static_cast<size_t>(cols) : size_t{1}) * cost_bytes);
}
PERCEPTION_PORTABLE constexpr size_t group_bytes(AssignmentPath path, int rows, int cols, size_t cost_bytes) {
  const int fewer = std::min(rows, cols), more = std::max(rows, cols);
  const size_t states = path.columns_per_lane > 0 ? 0 : static_cast<size_t>(more) * sizeof(ColumnState);
  return staged_bytes(path.staged, rows, cols, cost_bytes) + assignment_bytes(fewer, more) + states;
}

// The index of a problem's path where a block may have shared_limit bytes of shared memory.
template <int kPath = 0>
PERCEPTION_PORTABLE constexpr int path_of(int rows, int cols, size_t cost_bytes, size_t shared_limit) {
  if constexpr (kPath + 1 < kAssignmentPathCount) {
    constexpr AssignmentPath path = kAssignmentPaths[kPath];
    constexpr size_t kGroupsInBlock = path.lanes == 32 ? kWarpsPerBlock : 1;
    const bool takes = std::max(rows, cols) <= path.lanes * path.columns_per_lane &&
                       group_bytes(path, rows, cols, cost_bytes) * kGroupsInBlock <= shared_limit;
    if (!takes && rows > 0 && cols > 0) return path_of<kPath + 1>(rows, cols, cost_bytes, shared_limit);
  }
  return kPath;
}

// Calls use(index, value) for the values of a matrix whose rows are `stride` apart. index: where the value is
// in a matrix without gaps, transposed or not.
template <class Lanes, class Lane, class T, class Use>
PERCEPTION_DEVICE void for_each_cost(Lane lane, const T* values, int rows, int cols, int stride,
                                     bool transposed, const Use& use) {
  int begin = lane.index;
  // Where nothing is skipped or moved: 16 bytes at once, and several reads before the first use.
  struct alignas(16) Wide {
    T of[16 / sizeof(T)];
  };
  constexpr int kPerWide = sizeof(Wide) / sizeof(T);
  if (!transposed && cols == stride && reinterpret_cast<uintptr_t>(values) % sizeof(Wide) == 0) {
    constexpr int kReads = 4;
    const Wide* const wide_values = reinterpret_cast<const Wide*>(values);
    const int count = rows * cols / kPerWide;
    for (int first = lane.index; first < count; first += kReads * Lanes::kSize) {
      Wide read[kReads];
      unrolled<kReads>([&](int k) {
        if (first + k * Lanes::kSize < count) read[k] = wide_values[first + k * Lanes::kSize];
      });
      unrolled<kReads>([&](int k) {
        const int at = first + k * Lanes::kSize;
        if (at < count) unrolled<kPerWide>([&](int i) { use(at * kPerWide + i, read[k].of[i]); });
      });
    }
    begin += count * kPerWide;
  }
  const int row_step = Lanes::kSize / cols, col_step = Lanes::kSize % cols;
  int row = begin / cols, col = begin % cols;
  while (row < rows) {
    use(transposed ? col * rows + row : row * cols + col, values[row * stride + col]);
    row += row_step;
    col += col_step;
    if (col >= cols) {
      col -= cols;
      ++row;
    }
  }
}

struct AssignmentBatch {
  CostMatrices costs;
  bool maximize;
  int32_t* column_of_row;
  double* totals;  // may be null
  Fault* fault;
  size_t shared_limit;
};

// Solves problems of a batch: group i problem i; or, where the state is in a workspace, group i the problems
// i, i + groups, ...
template <class T, int kColumnsPerLane, bool kStaged>
struct AssignmentKernel {
  static_assert(kColumnsPerLane > 0 || !kStaged);

  AssignmentBatch batch;
  int path = kAnyPath;  // problems of other paths are left alone
  // With kColumnsPerLane = 0: [groups, workspace_bytes].
  unsigned char* workspace = nullptr;
  size_t workspace_bytes = 0;
  int64_t groups = 0;

  template <class Lanes>
  PERCEPTION_DEVICE void operator()(Lanes& lanes, int64_t group, unsigned char* shared) const {
    if constexpr (kColumnsPerLane > 0) {
      solve(lanes, group, shared);
    } else {
      for (int64_t problem = group; problem < batch.costs.problems; problem += groups) {
        solve(lanes, problem, workspace + static_cast<size_t>(group) * workspace_bytes);
        lanes.sync();
      }
    }
  }

 private:
  template <class Lanes>
  PERCEPTION_DEVICE void solve(Lanes& lanes, int64_t problem, unsigned char* memory) const {
    const CostMatrices& costs = batch.costs;
    const bool is_ragged = costs.offsets != nullptr;
    const int64_t given_rows = costs.row_counts ? costs.row_counts[problem] : costs.rows;
    const int64_t given_cols = costs.col_counts ? costs.col_counts[problem] : costs.cols;
    const bool is_sound =
        given_rows >= 0 && given_rows <= costs.rows && given_cols >= 0 && given_cols <= costs.cols;
    const bool is_empty = !is_sound || given_rows == 0 || given_cols == 0;
    const int rows = is_empty ? 0 : static_cast<int>(given_rows);
    const int cols = is_empty ? 0 : static_cast<int>(given_cols);
    if (path != kAnyPath && path_of(rows, cols, sizeof(T), batch.shared_limit) != path) return;

    // Its part of the answer; rows that it does not have are unmatched.
    int32_t* const answer =
        batch.column_of_row + (is_ragged ? int64_t{costs.row_offsets[problem]} : problem * costs.rows);
    const int64_t answer_rows = !is_ragged ? costs.rows : is_sound ? given_rows : 0;
    lanes.each([&](auto lane) {
      for (int64_t i = rows + lane.index; i < answer_rows; i += Lanes::kSize) answer[i] = -1;
    });
    const auto answer_total = [&](auto lane, double total) {
      if (lane.index == 0 && batch.totals) batch.totals[problem] = total;
    };
    const auto fail = [&](Code code) {
      lanes.each([&](auto lane) {
        for (int i = lane.index; i < rows; i += Lanes::kSize) answer[i] = -1;
        answer_total(lane, std::numeric_limits<double>::quiet_NaN());
        if (lane.index == 0) report_fault(batch.fault, problem, code);
      });
    };
    if (!is_sound) return fail(Code::kShapeMismatch);
    if (is_empty) return lanes.each([&](auto lane) { answer_total(lane, 0); });

    // The costs are read, and staged, as they are solved: the least sum is wanted, and rows <= cols.
    const T* const values = static_cast<const T*>(costs.costs) +
                            (is_ragged ? int64_t{costs.offsets[problem]} : problem * costs.rows * costs.cols);
    const int stride = is_ragged ? cols : static_cast<int>(costs.cols);
    const bool is_transposed = rows > cols;
    const T sign = batch.maximize ? -1 : 1;
    T* const staged = reinterpret_cast<T*>(memory);
    typename Lanes::template PerLane<bool> invalid, large;
    lanes.each([&](auto lane) {
      constexpr T kInfinity = std::numeric_limits<T>::infinity();
      bool is_invalid = false, is_large = false;
      for_each_cost<Lanes>(lane, values, rows, cols, stride, is_transposed, [&](int index, T value) {
        const T cost = sign * value;
        is_invalid |= !(cost > -kInfinity);  // NaN as well
        if constexpr (std::is_same_v<T, double>) is_large |= std::abs(cost) > kLargeCost && cost < kInfinity;
        if constexpr (kStaged) staged[index] = cost;
      });
      invalid[lane] = is_invalid;
      large[lane] = is_large;
    });
    if (lanes.any(invalid)) return fail(Code::kInvalidValue);
    double factor = 1;
    if constexpr (std::is_same_v<T, double>)
      if (lanes.any(large)) factor = kLargeCostScale;
    if constexpr (kStaged) {
      lanes.sync();
      if (factor != 1) {
        lanes.each([&](auto lane) {
          for (int i = lane.index; i < rows * cols; i += Lanes::kSize) staged[i] *= static_cast<T>(factor);
        });
        lanes.sync();
      }
    }

    const int fewer = is_transposed ? cols : rows, more = is_transposed ? rows : cols;
    unsigned char* const arrays = memory + staged_bytes(kStaged, rows, cols, sizeof(T));
    const AssignmentMemory found = lay_out(arrays, fewer, more);
    ColumnState* const states = reinterpret_cast<ColumnState*>(arrays + assignment_bytes(fewer, more));
    bool is_feasible;
    if constexpr (kStaged) {
      is_feasible = solve_assignment<kColumnsPerLane>(
          lanes, fewer, more, [&](int row, int col) { return static_cast<double>(staged[row * more + col]); },
          found);
    } else {
      factor *= sign;
      const int row_stride = is_transposed ? 1 : stride, col_stride = is_transposed ? stride : 1;
      is_feasible = solve_assignment<kColumnsPerLane>(
          lanes, fewer, more,
          [&](int row, int col) {
            return factor * static_cast<double>(values[row * row_stride + col * col_stride]);
          },
          found, states);
    }
    if (!is_feasible) return fail(Code::kInfeasible);

    const int32_t* const column_of_row = is_transposed ? found.row_of_column : found.column_of_row;
    T* const chosen = staged;  // all of the costs are no longer needed
    lanes.each([&](auto lane) {
      for (int i = lane.index; i < rows; i += Lanes::kSize) {
        const int32_t column = column_of_row[i];
        answer[i] = column;
        if (batch.totals) chosen[i] = column < 0 ? T(0) : values[i * stride + column];
      }
    });
    if (!batch.totals) return;
    lanes.sync();
    lanes.each([&](auto lane) {
      if (lane.index != 0) return;
      double total = 0;  // row by row, as core adds
      for (int i = 0; i < rows; ++i) total += static_cast<double>(chosen[i]);
      answer_total(lane, total);
    });
  }
};

}  // namespace perception::cuda
