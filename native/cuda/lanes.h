// Device algorithms are written once, over a group of lanes, and compiled three times:
//
//   DeviceLanes<n>    (device_lanes.cuh)  the threads of a warp (n = 32) or of a block (a multiple of it)
//   LockstepLanes<n>  (host_lanes.h)      one host thread plays all lanes, phase by phase: fast tests, and
//   the
//                                         emulated device
//   ThreadLanes<n>    (host_lanes.h)      one host thread per lane: a missing sync() is a race that
//                                         ThreadSanitizer reports
//
// All lanes run the same function. Plain variables hold the same value on every lane; what differs between
// them is in a PerLane<T> and is touched only inside each():
//
//   typename Lanes::template PerLane<double> least;
//   lanes.each([&](auto lane) {                       // lane.index: 0 .. Lanes::kSize - 1
//     least[lane] = kInfinity;
//     for (int i = lane.index; i < count; i += Lanes::kSize) least[lane] = smaller(least[lane], values[i]);
//   });
//   const double all = lanes.min(least);              // the same on every lane
//
// Rules, on which the three rely:
//   - Branches and loops outside each() depend on plain variables alone: all lanes take them together.
//   - Memory that one lane writes and another reads (shared or global) needs a sync() between the two, and
//     another before it is written again. Collectives (below) order nothing in memory.
//   - Inside each() there is no sync() and no collective. Plain variables are not changed there.
//
// Collectives take one value of every lane and give every lane the result:
//   T min(PerLane<T>), T max(PerLane<T>)       T: int32_t, uint32_t
//   Nearest least(PerLane<Nearest>)            least distance; among equals the least key
//   double sum(PerLane<double>)                by halves (kSize / 2, ..., 1): the same order everywhere
//   int32_t sum(PerLane<int32_t>)
//   bool any(PerLane<bool>)
//   int32_t rank(PerLane<bool> flags, PerLane<int32_t>& before)
//                                              number of flags set; in `before` of those of lower lanes
//   T broadcast(PerLane<T>, int from)          T: up to 8 bytes, trivially copyable
//   PerLane<T> from_below(PerLane<T>, T first) the value of the lane below, in lane 0 `first`; T: up to 8
//                                              bytes; on a GPU for warps alone
#pragma once

#include <cstdint>

#include "core/base/portable.h"

// Device algorithms: __device__ where a GPU compiler reads them, plain host functions elsewhere.
#ifdef __CUDACC__
#define PERCEPTION_DEVICE __device__
#else
#define PERCEPTION_DEVICE
#endif

namespace perception::cuda {

struct Lane {
  int index;
};

// The PerLane<T> of lanes that run on a thread each, which holds its own value alone.
template <class T>
class OwnValue {
 public:
  using Value = T;
  PERCEPTION_PORTABLE T& operator[](Lane) { return value_; }
  PERCEPTION_PORTABLE const T& operator[](Lane) const { return value_; }

 private:
  T value_;
};

// A distance, and what decides between equal ones. Distances are numbers or +infinity; -0 equals 0.
struct Nearest {
  double distance;
  uint32_t key;
};

PERCEPTION_PORTABLE inline Nearest nearer(Nearest a, Nearest b) {
  if (a.distance != b.distance) return a.distance < b.distance ? a : b;
  return a.key <= b.key ? a : b;
}

// Groups of 32 lanes share a block, and its memory, with others.
constexpr int kWarpsPerBlock = 4;

// Calls body(0), ..., body(count - 1), with constants on a GPU: what they index can stay in registers.
template <int count, class Body>
PERCEPTION_DEVICE void unrolled(const Body& body) {
#ifdef __CUDACC__
#pragma unroll
#endif
  for (int i = 0; i < count; ++i) body(i);
}

}  // namespace perception::cuda
