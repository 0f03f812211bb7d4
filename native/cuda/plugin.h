// The contract between the add-on and its CUDA plug-in, a shared object of its own: one exported function,
//
//   extern "C" const perception::cuda::Plugin* perception_r1_cuda();
//
// returns a table. All pointers to arrays are device memory unless said otherwise; operations are queued on
// the device's one stream and may still be running when they return. Functions return a Code as a number;
// last_error() has the message of the calling thread's last failure. No exception crosses.
#pragma once

#include <cstdint>

#include "core/advantage/group_advantages.h"
#include "core/geometry/iou.h"
#include "core/reward/recipe.h"

namespace perception::cuda {

// Raised with every change of this file or of the structs of core that it passes on.
constexpr uint32_t kPluginVersion = 2;

struct DeviceProperties {
  char name[256];
  int32_t major, minor;  // compute capability
  int32_t multiprocessors;
  uint64_t memory;  // bytes
};

// What went wrong in a batch, where a kernel can find it only while it runs: the least (problem << 8 | Code),
// ~0 for nothing. Lives in device memory, one per operation.
using Fault = unsigned long long;
constexpr Fault kNoFault = ~Fault{0};

// Boxes or points of a padded batch [batch, rows, 4]; of problem i the first counts[i] (null: all) are used.
struct Boxes {
  const float* values;
  const int32_t* counts;
  int64_t rows;
};

// Cost matrices: padded [problems, rows, cols] with optional counts, or (offsets not null) ragged: problem i
// is the row_counts[i] x col_counts[i] matrix at costs[offsets[i]], and its answer starts at row_offsets[i].
struct CostMatrices {
  const void* costs;  // float, or double
  bool is_double;
  int64_t problems;
  int64_t rows, cols;  // ragged: the greatest row_counts[i] and col_counts[i]
  const int32_t* row_counts;
  const int32_t* col_counts;
  const int32_t* offsets;
  const int32_t* row_offsets;
  // Ragged, and in the host's memory: row_counts and col_counts again, by which problems of one size are
  // solved together. Null for padded batches.
  const int32_t* host_rows;
  const int32_t* host_cols;
};

// Which rewards belong together. offsets null: `size` consecutive ones each.
struct Groups {
  int64_t count;
  int64_t size;
  const int32_t* offsets;  // [count + 1]
  const int32_t* order;    // null, or [n]: slot i of the groups is reward order[i]
};

// Texts as numbers of symbols: 0 for a code point that the pair's pattern does not have, else from 1, by
// pattern. In pair i the pattern is pattern_ids[pattern_offsets[i]..], the text text_ids[text_offsets[i]..].
struct TextPairs {
  const int32_t* pattern_ids;
  const int32_t* pattern_offsets;
  const int32_t* text_ids;
  const int32_t* text_offsets;
  int64_t count;
  int64_t longest_pattern, longest_text, most_symbols;
};

struct Objects {
  const float* values;    // [entries, rows, 4], points [entries, rows, 2]
  const int32_t* labels;  // [entries, rows]; detection
  const int32_t* counts;  // [entries], or null
  int64_t rows;
};

// As core/reward/score_tensors.h.
struct ScoreBatch {
  const Recipe* recipe;  // in the host's memory
  Objects predictions, truth;
  int64_t count, predictions_per_truth;
};

// Where the scores go. rewards [count]; terms [terms, count]. The rest may be null: advantages [count] of the
// groups that the ground truths make, mean and std [count / predictions_per_truth].
struct Scores {
  float* rewards;
  float* terms;
  float* advantages;
  float* mean;
  float* std;
};

struct Plugin {
  uint32_t version;  // kPluginVersion
  uint32_t size;     // of this struct

  // ---- devices
  const char* (*last_error)();
  // What runs the operations: "CUDA 13.0", or "emulated" where the host does it, for tests.
  const char* (*description)();
  int32_t (*device_count)(int32_t* count);
  int32_t (*device_properties)(int32_t device, DeviceProperties* properties);
  // The device that holds `memory`; kInvalidArgument for memory of the host.
  int32_t (*device_of)(const void* memory, int32_t* device);
  // Waits for this device's stream; or (all) for everything on the device, whoever queued it.
  int32_t (*synchronize)(int32_t device, bool all);

  // ---- memory
  int32_t (*allocate)(int32_t device, uint64_t bytes, void** memory);
  int32_t (*release)(int32_t device, void* memory);
  int32_t (*fill)(int32_t device, void* memory, int32_t byte, uint64_t bytes);
  // Host to device. `from` may be changed as soon as it returns: it has been staged in pinned memory.
  int32_t (*upload)(int32_t device, void* to, const void* from, uint64_t bytes);
  // Device to host; returns when the bytes are there.
  int32_t (*download)(int32_t device, void* to, const void* from, uint64_t bytes);
  int32_t (*copy)(int32_t device, void* to, const void* from, uint64_t bytes);

  // ---- operations; formulas and contracts are those of core's functions of the same name
  // out [batch, a.rows, b.rows]
  int32_t (*pairwise_iou)(int32_t device, const Boxes* a, const Boxes* b, int64_t batch, IouKind kind,
                          BoxFormat format, float* out);
  // Problem i's matrix starts at out_offsets[i]; `pairs` is the last of them.
  int32_t (*pairwise_iou_ragged)(int32_t device, const float* a, const int32_t* a_offsets, const float* b,
                                 const int32_t* b_offsets, const int32_t* out_offsets, int64_t problems,
                                 int64_t pairs, IouKind kind, BoxFormat format, float* out);
  int32_t (*pairwise_iou_gradient)(int32_t device, const Boxes* a, const Boxes* b, int64_t batch,
                                   IouKind kind, BoxFormat format, const float* grad, float* grad_a,
                                   float* grad_b);
  int32_t (*pairwise_distance)(int32_t device, const float* a, int64_t n, const float* b, int64_t m,
                               PointMetric metric, float* out);
  // totals may be null.
  int32_t (*linear_sum_assignment)(int32_t device, const CostMatrices* costs, bool maximize,
                                   int32_t* column_of_row, double* totals, Fault* fault);
  // mean and std may be null.
  int32_t (*group_advantages)(int32_t device, const float* rewards, int64_t count, const Groups* groups,
                              const AdvantageOptions* options, float* advantages, float* mean, float* std,
                              Fault* fault);
  int32_t (*edit_distance)(int32_t device, const TextPairs* pairs, int32_t* distances);
  // advantage is used where scores->advantages is not null.
  int32_t (*score)(int32_t device, const ScoreBatch* batch, const AdvantageOptions* advantage,
                   const Scores* scores, Fault* fault);
};

using PluginEntry = const Plugin* (*)();

}  // namespace perception::cuda
