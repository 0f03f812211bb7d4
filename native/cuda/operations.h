// Each operation's file fills in its part of the table.
#pragma once

#include <type_traits>

#include "cuda/plugin.h"
#include "cuda/runtime.h"

namespace perception::cuda {

void add_pairwise(Plugin& plugin);       // pairwise.cu
void add_iou_gradient(Plugin& plugin);   // iou_gradient.cu
void add_assignment(Plugin& plugin);     // assignment.cu
void add_advantages(Plugin& plugin);     // advantages.cu
void add_edit_distance(Plugin& plugin);  // edit_distance.cu
void add_score(Plugin& plugin);          // score.cu

// The table's group_advantages for other operations.
Status queue_group_advantages(int32_t device, const float* rewards, int64_t count, const Groups& groups,
                              const AdvantageOptions& options, float* advantages, float* mean, float* std,
                              Fault* fault);

// The body of a function of the table: nothing is thrown past it.
template <class Body>
int32_t reported(const Body& body) noexcept {
  try {
    return report(body());
  } catch (...) {
    return report({Code::kOutOfMemory, "not enough memory for this batch; split it into smaller ones"});
  }
}

}  // namespace perception::cuda
