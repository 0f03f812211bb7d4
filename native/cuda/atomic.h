// What groups of lanes write together: the batch's fault, and counters.
#pragma once

#include <cstdint>

#include "core/base/status.h"
#include "cuda/lanes.h"
#include "cuda/plugin.h"

#ifndef __CUDACC__
#include <atomic>
#endif

namespace perception::cuda {

// Tells what went wrong in `problem`; the least problem of a batch stays. `fault` may be null.
PERCEPTION_DEVICE inline void report_fault(Fault* fault, int64_t problem, Code code) {
  if (!fault) return;
  const Fault found = static_cast<Fault>(problem) << 8 | static_cast<Fault>(code);
#ifdef __CUDACC__
  atomicMin(fault, found);
#else
  const std::atomic_ref<Fault> least(*fault);
  Fault before = least.load();
  while (found < before && !least.compare_exchange_weak(before, found)) {
  }
#endif
}

// Adds to a counter and returns what it was.
PERCEPTION_DEVICE inline int32_t fetch_add(int32_t* counter, int32_t count) {
#ifdef __CUDACC__
  return atomicAdd(counter, count);
#else
  return std::atomic_ref<int32_t>(*counter).fetch_add(count);
#endif
}

}  // namespace perception::cuda
