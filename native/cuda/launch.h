// Runs a kernel: a struct with its arguments and
//
//   template <class Lanes>
//   PERCEPTION_DEVICE void operator()(Lanes& lanes, int64_t problem, unsigned char* shared) const;
//
// on every problem of [0, problems), each by a group of `size` lanes with `shared_bytes` of memory of its own
// (aligned to 16 bytes, not initialised). Groups of 32 are warps, four to a block; larger ones are blocks.
// Work is ordered on `stream`; where a host compiler reads this the emulated device does it at once.
#pragma once

#include <cstdint>

#include "core/base/status.h"
#include "cuda/runtime.h"
#include "cuda/vector.h"

#ifdef __CUDACC__
#include "cuda/device_lanes.cuh"
#else
#include <vector>

#include "cuda/host_lanes.h"
#endif

namespace perception::cuda {

#ifdef __CUDACC__

template <int size, class Kernel>
// One block to a multiprocessor is the least asked for: a compiler that is not told assumes more, and spills.
__global__ void __launch_bounds__(size == 32 ? 32 * kWarpsPerBlock : size, 1)
    run_kernel(const __grid_constant__ Kernel kernel, int64_t problems, uint32_t shared_bytes) {
  extern __shared__ __align__(16) unsigned char shared[];
  DeviceLanes<size> lanes;
  if constexpr (size == 32) {
    const uint32_t warp = threadIdx.x / 32;
    const int64_t problem = int64_t{blockIdx.x} * kWarpsPerBlock + warp;
    if (problem < problems) kernel(lanes, problem, shared + warp * shared_bytes);
  } else {
    kernel(lanes, int64_t{blockIdx.x}, shared);
  }
}

template <int size, class Kernel>
Status launch(Stream stream, int64_t problems, size_t shared_bytes, const Kernel& kernel) {
  if (problems <= 0) return {};
  constexpr int kGroups = size == 32 ? kWarpsPerBlock : 1;
  shared_bytes = up_to_16(shared_bytes);
  const size_t block_bytes = shared_bytes * kGroups;
  const int64_t blocks = (problems + kGroups - 1) / kGroups;
  if (blocks > 0x7fffffff)
    return {Code::kTooLarge, "expected fewer than 2^31 blocks, received " + std::to_string(blocks)};
  const auto kernel_function = run_kernel<size, Kernel>;
  // Without this a block has 48 KB, some of which its lanes' collectives take. That it may have more was
  // asked of shared_memory_limit().
  if (block_bytes > 32 * 1024)
    PERCEPTION_RETURN_IF_ERROR(check(cudaFuncSetAttribute(
        kernel_function, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(block_bytes))));
  kernel_function<<<static_cast<unsigned>(blocks), size * kGroups, block_bytes, stream>>>(
      kernel, problems, static_cast<uint32_t>(shared_bytes));
  return check(cudaGetLastError());
}

#else

template <int size, class Kernel>
Status launch(Stream, int64_t problems, size_t shared_bytes, const Kernel& kernel) {
  for (int64_t problem = 0; problem < problems; ++problem) {
    // Of exactly the size, and never zero at the start: reads beyond it or before a write show.
    std::vector<unsigned char> shared(shared_bytes, 0xa5);
    LockstepLanes<size> lanes;
    kernel(lanes, problem, shared.data());
  }
  return {};
}

#endif

}  // namespace perception::cuda
