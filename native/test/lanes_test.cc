// The lanes of the host keep the contract of cuda/lanes.h; both kinds agree.
#include <doctest.h>

#include <cstdint>
#include <mutex>
#include <vector>

#include "cuda/host_lanes.h"

namespace perception::cuda {
namespace {

// One of everything, from numbers that depend on the lane.
template <class Lanes>
std::vector<double> everything(Lanes& lanes) {
  typename Lanes::template PerLane<int32_t> number, before;
  typename Lanes::template PerLane<double> share;
  typename Lanes::template PerLane<bool> odd;
  typename Lanes::template PerLane<Nearest> candidate;
  lanes.each([&](auto lane) {
    number[lane] = (lane.index * 5 + 3) % Lanes::kSize - 2;
    share[lane] = 1.0 / (lane.index + 1);
    odd[lane] = lane.index % 3 == 1;
    candidate[lane] = {lane.index % 2 == 0 ? 2.5 : 1.5, static_cast<uint32_t>(100 - lane.index)};
  });
  const Nearest least = lanes.least(candidate);
  std::vector<double> results = {double(lanes.min(number)),
                                 double(lanes.max(number)),
                                 double(lanes.sum(number)),
                                 lanes.sum(share),
                                 double(lanes.any(odd)),
                                 double(lanes.rank(odd, before)),
                                 least.distance,
                                 double(least.key),
                                 double(lanes.broadcast(number, Lanes::kSize - 1))};
  results.push_back(double(lanes.sum(before)));
  typename Lanes::template PerLane<int32_t> below = lanes.from_below(number, 50);
  lanes.each([&](auto lane) { below[lane] *= lane.index + 1; });
  results.push_back(double(lanes.sum(below)));
  return results;
}

TEST_CASE("lanes in lockstep compute collectives by their definition") {
  LockstepLanes<8> lanes;
  // numbers: 1 -2 3 0 5 2 -1 4
  const std::vector<double> results = everything(lanes);
  CHECK(results[0] == -2);
  CHECK(results[1] == 5);
  CHECK(results[2] == 12);
  CHECK(results[3] == doctest::Approx(2.717857142857143));
  CHECK(results[4] == 1);
  CHECK(results[5] == 3);  // lanes 1, 4, 7
  CHECK(results[6] == 1.5);
  CHECK(results[7] == 93);  // lane 7
  CHECK(results[8] == (7 * 5 + 3) % 8 - 2);
  CHECK(results[9] == 0 + 0 + 1 + 1 + 1 + 2 + 2 + 2);
  CHECK(results[10] == 50 + 1 * 2 - 2 * 3 + 3 * 4 + 0 * 5 + 5 * 6 + 2 * 7 - 1 * 8);
}

TEST_CASE("lanes on threads agree with lanes in lockstep") {
  LockstepLanes<8> lockstep;
  const std::vector<double> expected = everything(lockstep);
  std::mutex mutex;
  int seen = 0;
  run_on_threads<8>([&](ThreadLanes<8>& lanes) {
    for (int round = 0; round < 50; ++round) {
      const std::vector<double> results = everything(lanes);
      const std::lock_guard lock(mutex);
      seen += results == expected;
    }
  });
  CHECK(seen == 8 * 50);
}

TEST_CASE("lanes on threads see each other's memory after sync") {
  std::vector<int> values(4);
  std::vector<int> sums(4);
  run_on_threads<4>([&](ThreadLanes<4>& lanes) {
    for (int round = 0; round < 100; ++round) {
      lanes.each([&](auto lane) { values[size_t(lane.index)] = lane.index + round; });
      lanes.sync();
      lanes.each([&](auto lane) {
        int sum = 0;
        for (const int value : values) sum += value;
        sums[size_t(lane.index)] = sum;
      });
      lanes.sync();
    }
  });
  for (const int sum : sums) CHECK(sum == 4 * 99 + 6);
}

}  // namespace
}  // namespace perception::cuda
