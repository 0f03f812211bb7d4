// Linear sum assignment: picks the path of each problem and launches what solves the problems of each.
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "cuda/assignment.cuh"
#include "cuda/launch.h"
#include "cuda/operations.h"

namespace perception::cuda {
namespace {

// The problems of one path.
struct Load {
  int64_t problems = 0;
  size_t group_bytes = 0;  // the most of any
};
using Loads = std::array<Load, kAssignmentPathCount>;

// Adds `problems` of rows x cols to the path that takes them.
template <class T>
Status add(int64_t problems, int64_t rows, int64_t cols, size_t shared_limit, Loads& loads) {
  const bool is_empty = rows <= 0 || cols <= 0;
  if (!is_empty && std::max(rows, cols) > kMostColumns)
    return {Code::kTooLarge, "costs: expected at most " + std::to_string(kMostColumns) +
                                 " rows and columns on a GPU, received " + std::to_string(rows) + " x " +
                                 std::to_string(cols) + "; the CPU solves larger problems"};
  const int used_rows = is_empty ? 0 : static_cast<int>(rows);
  const int used_cols = is_empty ? 0 : static_cast<int>(cols);
  const auto path = static_cast<size_t>(path_of(used_rows, used_cols, sizeof(T), shared_limit));
  loads[path].problems += problems;
  loads[path].group_bytes =
      std::max(loads[path].group_bytes, group_bytes(kAssignmentPaths[path], used_rows, used_cols, sizeof(T)));
  return {};
}

template <class T, int kPath>
Status launch_path(int32_t device, Stream stream, const Load& load, const AssignmentBatch& batch) {
  constexpr AssignmentPath path = kAssignmentPaths[kPath];
  AssignmentKernel<T, path.columns_per_lane, path.staged> kernel{.batch = batch};
  // A padded batch takes one path, and its smaller problems with it.
  if (batch.costs.offsets) kernel.path = kPath;
  if constexpr (path.columns_per_lane > 0) {
    return launch<path.lanes>(stream, batch.costs.problems, load.group_bytes, kernel);
  } else {
    constexpr int64_t kGroupsPerMultiprocessor = 2;
    kernel.groups = std::min(load.problems, multiprocessors(device) * kGroupsPerMultiprocessor);
    kernel.workspace_bytes = load.group_bytes;
    Workspace workspace(device);
    PERCEPTION_RETURN_IF_ERROR(
        workspace.allocate(static_cast<size_t>(kernel.groups) * kernel.workspace_bytes));
    kernel.workspace = workspace.as<unsigned char>();
    return launch<path.lanes>(stream, kernel.groups, 0, kernel);
  }
}

template <class T, int kPath = 0>
Status launch_paths(int32_t device, Stream stream, const Loads& loads, const AssignmentBatch& batch) {
  if constexpr (kPath < kAssignmentPathCount) {
    const Load& load = loads[kPath];
    if (load.problems > 0) PERCEPTION_RETURN_IF_ERROR((launch_path<T, kPath>(device, stream, load, batch)));
    return launch_paths<T, kPath + 1>(device, stream, loads, batch);
  }
  return {};
}

template <class T>
Status solve(int32_t device, AssignmentBatch batch) {
  Stream stream;
  PERCEPTION_RETURN_IF_ERROR(use_device(device, stream));
  // Beside what a kernel asks for, its collectives have some of the block's shared memory.
  constexpr size_t kLanesBytes = 1024;
  batch.shared_limit = shared_memory_limit(device) - kLanesBytes;

  const CostMatrices& costs = batch.costs;
  Loads loads;
  if (costs.offsets) {
    for (int64_t i = 0; i < costs.problems; ++i)
      PERCEPTION_RETURN_IF_ERROR(
          add<T>(1, costs.host_rows[i], costs.host_cols[i], batch.shared_limit, loads));
  } else {
    PERCEPTION_RETURN_IF_ERROR(add<T>(costs.problems, costs.rows, costs.cols, batch.shared_limit, loads));
  }
  return launch_paths<T>(device, stream, loads, batch);
}

int32_t linear_sum_assignment(int32_t device, const CostMatrices* costs, bool maximize,
                              int32_t* column_of_row, double* totals, Fault* fault) {
  return reported([&] {
    const AssignmentBatch batch = {*costs, maximize, column_of_row, totals, fault, 0};
    return costs->is_double ? solve<double>(device, batch) : solve<float>(device, batch);
  });
}

}  // namespace

void add_assignment(Plugin& plugin) { plugin.linear_sum_assignment = linear_sum_assignment; }

}  // namespace perception::cuda
