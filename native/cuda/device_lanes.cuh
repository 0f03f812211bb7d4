// Lanes on a GPU: the threads of a warp, or of a whole block. The contract is in lanes.h.
#pragma once

#include <cstdint>
#include <type_traits>

#include "cuda/lanes.h"

namespace perception::cuda {

namespace warp {

constexpr unsigned kAll = 0xffffffffu;

__device__ __forceinline__ int lane_index() { return static_cast<int>(threadIdx.x % 32); }

// For GPUs without instructions for it.
template <class T, class Combine>
__device__ __forceinline__ T by_shuffles(T value, Combine combine) {
  for (int half = 16; half > 0; half /= 2) value = combine(value, __shfl_xor_sync(kAll, value, half));
  return value;
}

template <class T>
__device__ __forceinline__ T min(T value) {
#if __CUDA_ARCH__ >= 800
  return __reduce_min_sync(kAll, value);
#else
  return by_shuffles(value, [](T a, T b) { return b < a ? b : a; });
#endif
}

template <class T>
__device__ __forceinline__ T max(T value) {
#if __CUDA_ARCH__ >= 800
  return __reduce_max_sync(kAll, value);
#else
  return by_shuffles(value, [](T a, T b) { return a < b ? b : a; });
#endif
}

// Numbers in the order of their values; both zeros become one.
__device__ __forceinline__ uint64_t ordered(double value) {
  const auto bits = static_cast<uint64_t>(__double_as_longlong(value + 0.0));
  return bits ^ (bits >> 63 ? ~uint64_t{0} : uint64_t{1} << 63);
}

__device__ __forceinline__ double from_ordered(uint64_t bits) {
  return __longlong_as_double(static_cast<long long>(bits ^ (bits >> 63 ? uint64_t{1} << 63 : ~uint64_t{0})));
}

// Word by word: three reductions of 32 bits, which the hardware has, instead of five rounds of three
// shuffles.
__device__ __forceinline__ Nearest least(Nearest value) {
  const uint64_t bits = ordered(value.distance);
  const auto high = static_cast<uint32_t>(bits >> 32), low = static_cast<uint32_t>(bits);
  const uint32_t least_high = min(high);
  const uint32_t least_low = min(high == least_high ? low : ~0u);
  const uint32_t key = min(high == least_high && low == least_low ? value.key : ~0u);
  return {from_ordered(uint64_t{least_high} << 32 | least_low), key};
}

// By halves, as on the host; the sum ends up in lane 0, and is then given to all.
template <class T>
__device__ __forceinline__ T sum(T value) {
#if __CUDA_ARCH__ >= 800
  if constexpr (std::is_same_v<T, int32_t>) {
    return __reduce_add_sync(kAll, value);
  } else
#endif
  {
    for (int half = 16; half > 0; half /= 2) value += __shfl_down_sync(kAll, value, half);
    return __shfl_sync(kAll, value, 0);
  }
}

}  // namespace warp

template <int size>
class DeviceLanes {
  static_assert(size % 32 == 0 && size <= 1024);
  static constexpr int kWarps = size / 32;

 public:
  static constexpr int kSize = size;
  template <class T>
  using PerLane = OwnValue<T>;

  template <class Body>
  __device__ __forceinline__ void each(const Body& body) {
    body(lane());
  }

  __device__ __forceinline__ void sync() {
    if constexpr (size == 32)
      __syncwarp();
    else
      __syncthreads();
  }

  template <class T>
  __device__ __forceinline__ T min(const PerLane<T>& values) {
    return over_warps(warp::min(values[lane()]), [](T a, T b) { return b < a ? b : a; });
  }
  template <class T>
  __device__ __forceinline__ T max(const PerLane<T>& values) {
    return over_warps(warp::max(values[lane()]), [](T a, T b) { return a < b ? b : a; });
  }
  __device__ __forceinline__ Nearest least(const PerLane<Nearest>& values) {
    const Nearest of_warp = warp::least(values[lane()]);
    if constexpr (kWarps <= 4) {
      return over_warps(of_warp, [](Nearest a, Nearest b) { return nearer(a, b); });
    } else {
      // The lanes of each warp, instead of one lane after the other's values; some look at the same one.
      Nearest* const scratch = warp_scratch<Nearest>();
      if (warp::lane_index() == 0) scratch[threadIdx.x / 32] = of_warp;
      __syncthreads();
      return warp::least(scratch[warp::lane_index() % kWarps]);
    }
  }
  __device__ __forceinline__ int32_t sum(const PerLane<int32_t>& values) {
    return over_warps(warp::sum(values[lane()]), [](int32_t a, int32_t b) { return a + b; });
  }
  __device__ __forceinline__ bool any(const PerLane<bool>& flags) {
    if constexpr (size == 32)
      return __any_sync(warp::kAll, flags[lane()]);
    else
      return __syncthreads_or(flags[lane()]);
  }

  // By halves of the whole group: lanes of different warps are added first, which takes the values through
  // shared memory.
  __device__ __forceinline__ double sum(const PerLane<double>& values) {
    if constexpr (size == 32) return warp::sum(values[lane()]);
    double* const scratch = all_scratch();
    scratch[threadIdx.x] = values[lane()];
    for (int half = size / 2; half >= 32; half /= 2) {
      __syncthreads();
      if (static_cast<int>(threadIdx.x) < half) scratch[threadIdx.x] += scratch[threadIdx.x + half];
    }
    if (threadIdx.x < 32) {
      const double total = warp::sum(scratch[threadIdx.x]);
      if (threadIdx.x == 0) scratch[0] = total;
    }
    __syncthreads();
    const double total = scratch[0];
    __syncthreads();
    return total;
  }

  __device__ __forceinline__ int32_t rank(const PerLane<bool>& flags, PerLane<int32_t>& before) {
    const unsigned set = __ballot_sync(warp::kAll, flags[lane()]);
    const int32_t below = __popc(set & ((1u << warp::lane_index()) - 1));
    if constexpr (size == 32) {
      before[lane()] = below;
      return __popc(set);
    }
    int32_t* const counts = warp_scratch<int32_t>();
    if (warp::lane_index() == 0) counts[threadIdx.x / 32] = __popc(set);
    __syncthreads();
    int32_t total = 0, lower = 0;
    for (int i = 0; i < kWarps; ++i) {
      if (i == static_cast<int>(threadIdx.x / 32)) lower = total;
      total += counts[i];
    }
    before[lane()] = lower + below;
    return total;
  }

  template <class T>
  __device__ __forceinline__ T broadcast(const PerLane<T>& values, int from) {
    if constexpr (size == 32) return __shfl_sync(warp::kAll, values[lane()], from);
    T* const slot = warp_scratch<T>();
    if (static_cast<int>(threadIdx.x) == from) *slot = values[lane()];
    __syncthreads();
    return *slot;
  }

  template <class T>
  __device__ __forceinline__ PerLane<T> from_below(const PerLane<T>& values, T first) {
    static_assert(size == 32, "a warp");
    const T below = __shfl_up_sync(warp::kAll, values[lane()], 1);
    PerLane<T> result;
    result[lane()] = lane().index == 0 ? first : below;
    return result;
  }

 private:
  static __device__ __forceinline__ Lane lane() {
    if constexpr (size == 32)
      return {warp::lane_index()};
    else
      return {static_cast<int>(threadIdx.x)};
  }

  // One value per warp. Two sets take turns, so that one barrier in a collective is enough: a thread that
  // writes a set again has met all others since they read it.
  template <class T>
  __device__ __forceinline__ T* warp_scratch() {
    __shared__ double2 sets[2][kWarps];
    turn_ ^= 1;
    return reinterpret_cast<T*>(sets[turn_]);
  }

  static __device__ __forceinline__ double* all_scratch() {
    __shared__ double values[size];
    return values;
  }

  template <class T, class Combine>
  __device__ __forceinline__ T over_warps(T value, Combine combine) {
    if constexpr (size == 32) return value;
    T* const scratch = warp_scratch<T>();
    if (warp::lane_index() == 0) scratch[threadIdx.x / 32] = value;
    __syncthreads();
    T result = scratch[0];
    for (int i = 1; i < kWarps; ++i) result = combine(result, scratch[i]);
    return result;
  }

  int turn_ = 0;
};

}  // namespace perception::cuda
