// The GPU's advantages, by lanes of the host, against core.
#include <doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "core/advantage/formula.h"
#include "core/advantage/group_advantages.h"
#include "cuda/advantages.cuh"
#include "cuda/host_lanes.h"

namespace perception::cuda {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

using Random = std::mt19937;

struct Result {
  std::vector<float> advantages, mean, std;
  Result(size_t rewards, size_t groups) : advantages(rewards, -9), mean(groups, -9), std(groups, -9) {}
};

Result by_core(const std::vector<float>& rewards, const std::vector<int32_t>& offsets,
               const AdvantageOptions& options) {
  Result result(rewards.size(), offsets.size() - 1);
  REQUIRE(group_advantages(rewards, offsets, options, result.advantages, result.mean, result.std).ok());
  return result;
}

// Whether numbers are the same (tolerance 0), or near beside a size of at least 1.
bool are_near(const std::vector<float>& values, const std::vector<float>& expected, double tolerance) {
  return std::equal(values.begin(), values.end(), expected.begin(), expected.end(), [&](float a, float b) {
    if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
    return std::abs(double(a) - b) <= tolerance * std::max(1.0, std::abs(double(b)));
  });
}

bool are_near(const Result& result, const Result& expected, double tolerance) {
  return are_near(result.advantages, expected.advantages, tolerance) &&
         are_near(result.mean, expected.mean, tolerance) && are_near(result.std, expected.std, tolerance);
}

// Rewards of one group: coarse or fine, some not scored, or all the same. Where core's order is kept also
// ones whose sum depends on it.
std::vector<float> random_group(Random& random, size_t size) {
  std::vector<float> rewards(size);
  const uint32_t kind = random() % (size <= 32 ? 6 : 5);
  const float fixed = std::uniform_real_distribution<float>(-2, 2)(random);
  std::normal_distribution<float> normal(3, 20);
  for (float& reward : rewards) {
    reward = kind == 0 ? fixed : kind == 1 ? static_cast<float>(random() % 3) / 2 : normal(random);
    if ((kind == 3 || kind == 4) && random() % (kind == 3 ? 10 : 2) == 0) reward = kNan;
    if (kind == 5 && random() % 4 == 0) reward = random() % 2 ? 1e20f : -1e20f;
  }
  return rewards;
}

// Groups of the sizes, their rewards one after the other.
struct Batch {
  std::vector<float> rewards;
  std::vector<int32_t> offsets = {0};

  Batch(Random& random, const std::vector<size_t>& sizes) {
    for (const size_t size : sizes) {
      const std::vector<float> group = random_group(random, size);
      rewards.insert(rewards.end(), group.begin(), group.end());
      offsets.push_back(static_cast<int32_t>(rewards.size()));
    }
  }
  int64_t groups() const { return static_cast<int64_t>(offsets.size()) - 1; }
};

std::vector<AdvantageOptions> all_options() {
  std::vector<AdvantageOptions> all;
  for (const auto scale : {AdvantageScale::kGroup, AdvantageScale::kBatch, AdvantageScale::kNone})
    for (const auto baseline : {AdvantageBaseline::kMean, AdvantageBaseline::kLeaveOneOut})
      for (const int ddof : {0, 1})
        for (const bool clip : {false, true}) {
          AdvantageOptions options = {scale, baseline, clip ? 0.0 : 1e-4, ddof};
          if (clip) {
            options.clip_low = -0.7;
            options.clip_high = 0.4;
          }
          all.push_back(options);
        }
  return all;
}

// `kernel` on every problem, each with memory of exactly the size.
template <class Lanes, class Kernel>
void run(const Kernel& kernel, int64_t problems, size_t shared_bytes) {
  for (int64_t problem = 0; problem < problems; ++problem) {
    std::vector<double> shared((shared_bytes + 7) / 8, kNan);
    Lanes lanes;
    kernel(lanes, problem, reinterpret_cast<unsigned char*>(shared.data()));
  }
}

// What GroupTiles make of a batch in whose groups order[i] is the reward of slot i, or that of i.
template <class Lanes>
Result by_tiles(const Batch& batch, const std::vector<int32_t>& order, const AdvantageOptions& options,
                double batch_std, int32_t tile, int32_t most, Fault& fault) {
  Result result(batch.rewards.size(), batch.offsets.size() - 1);
  const AdvantageBatch arguments = {
      batch.rewards.data(),
      {batch.groups(), 0, batch.offsets.data(), order.empty() ? nullptr : order.data()},
      options,
      &batch_std,
      result.advantages.data(),
      result.mean.data(),
      result.std.data(),
      &fault};
  const int64_t problems = (batch.groups() + tile - 1) / tile;
  run<Lanes>(GroupTiles{arguments, tile, 0, most}, problems, GroupTiles::shared_bytes(tile));
  run<Lanes>(GroupTiles{arguments, tile, most + 1, std::numeric_limits<int32_t>::max()}, problems, 0);
  return result;
}

double std_of_batch(const Batch& batch, int ddof) {
  return moments_of(batch.rewards.data(), static_cast<int32_t>(batch.rewards.size()), ddof).std;
}

bool quotient_is_exact(double x, double y) {
  const double expected = x / y, result = quotient(x, y, 1 / y);
  return x == 0 ? result == 0 : std::memcmp(&expected, &result, sizeof(double)) == 0;
}

TEST_CASE("advantages on lanes: a quotient by the reciprocal has the bits of the division") {
  std::mt19937_64 random(1);
  const auto mantissa = [&]() -> uint64_t {
    uint64_t bits = random();
    if (random() % 4 == 0) bits = ~uint64_t{0} << random() % 64;  // long runs of ones
    if (random() % 4 == 0) bits = uint64_t{1} << random() % 64;
    return bits >> 12 | uint64_t{1} << 52;
  };
  const auto number = [&] {
    return std::ldexp(static_cast<double>(mantissa()), static_cast<int>(random() % 400) - 300);
  };
  int wrong = 0;
  for (int i = 0; i < 500'000; ++i) {
    const double y = number(), x = i % 1000 == 0 ? 0 : number();
    wrong += !quotient_is_exact(random() % 2 ? x : -x, y);
  }
  // The quotients next to the middle of two neighbours, m: x - y m is k, small beside their last bits.
  int hard = 0;
  for (int i = 0; i < 100'000; ++i) {
    const uint64_t y = mantissa() | 1;
    uint64_t inverse = y;  // modulo 2^64
    for (int step = 0; step < 6; ++step) inverse *= 2 - y * inverse;
    for (const int bits : {53, 54}) {
      for (const int64_t k : {-3, -1, 1, 3}) {
        uint64_t middle = static_cast<uint64_t>(-k) * inverse & ((uint64_t{1} << bits) - 1);
        if (bits == 53) middle |= uint64_t{1} << 53;
        __extension__ using Wide = unsigned __int128;
        const auto x = static_cast<uint64_t>((Wide{y} * middle + static_cast<Wide>(k)) >> bits);
        if (middle < uint64_t{1} << 53 || x < uint64_t{1} << 52 || x >= uint64_t{1} << 53) continue;
        ++hard;
        wrong += !quotient_is_exact(static_cast<double>(x), static_cast<double>(y));
      }
    }
  }
  CHECK(hard > 200'000);
  CHECK(wrong == 0);
}

template <int kSize>
void check_groups() {
  CAPTURE(kSize);
  Random random(2);
  for (const AdvantageOptions& options : all_options()) {
    for (size_t size = 0; size <= 300; size = size < 100 ? size + 1 : size + 67) {
      const Batch batch(random, {size});
      const Result expected = by_core(batch.rewards, batch.offsets, options);
      Result result(size, 1);
      LockstepLanes<kSize> lanes;
      advantages_of_group(lanes, batch.rewards.data(), static_cast<int64_t>(size), options,
                          std_of_batch(batch, options.ddof), result.advantages.data(), result.mean.data(),
                          result.std.data());
      CAPTURE(size);
      REQUIRE(are_near(result, expected, size <= 32 ? 0 : 1e-6));
      advantages_of_group(lanes, batch.rewards.data(), static_cast<int64_t>(size), options, 1,
                          result.advantages.data(), nullptr, nullptr);
    }
  }
}

TEST_CASE("advantages on lanes: groups of every size agree with core") {
  check_groups<4>();
  check_groups<32>();
  check_groups<64>();
  check_groups<128>();
}

TEST_CASE("advantages on lanes: large groups of equal rewards have none") {
  LockstepLanes<32> lanes;
  for (const float reward : {0.7f, -0.1f, 1e30f, -0.0f, kNan}) {
    for (const int ddof : {0, 1}) {
      std::vector<float> rewards(1001, reward);
      rewards[0] = rewards[31] = kNan;
      if (reward == 0) rewards[77] = 0.0f;  // equals -0
      const AdvantageOptions options = {AdvantageScale::kGroup, AdvantageBaseline::kMean, 0, ddof};
      Result result(rewards.size(), 1);
      advantages_of_group(lanes, rewards.data(), 1001, options, 0, result.advantages.data(),
                          result.mean.data(), result.std.data());
      CHECK(result.advantages == std::vector<float>(1001, 0));
      CHECK(are_near(result.mean, {reward}, 1e-6));
      CHECK(are_near(result.std, {std::isnan(reward) ? kNan : 0.0f}, 0));
      // One reward alone is flat too, one bit of difference is not.
      if (std::isnan(reward)) rewards[500] = 2;
      if (!std::isnan(reward)) rewards[1000] = std::nextafter(reward, 5.0f);
      advantages_of_group(lanes, rewards.data(), 1001, options, 0, result.advantages.data(),
                          result.mean.data(), result.std.data());
      CHECK(std::isnan(reward) == (result.advantages[1000] == 0));
      if (reward != 0) CHECK(std::isnan(reward) == (result.std[0] == 0));  // its std is below all floats
    }
  }
}

template <int kSize>
void check_tiles() {
  CAPTURE(kSize);
  Random random(3);
  for (int round = 0; round < 60; ++round) {
    std::vector<size_t> sizes(random() % 70);
    for (size_t& size : sizes) {
      size = random() % (round % 3 == 0 ? 33 : 9);
      if (round % 3 == 2 && random() % 10 == 0) size = random() % 300;
    }
    const Batch batch(random, sizes);
    std::vector<int32_t> order(batch.rewards.size());
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    std::vector<float> moved(order.size());  // where the rewards are that belong to the slots
    for (size_t i = 0; i < order.size(); ++i) moved[size_t(order[i])] = batch.rewards[i];
    Batch shuffled = batch;
    shuffled.rewards = moved;

    const std::vector<AdvantageOptions> all = all_options();
    const AdvantageOptions& options = all[random() % all.size()];
    const Result expected = by_core(batch.rewards, batch.offsets, options);
    const double batch_std = std_of_batch(batch, options.ddof);
    const bool is_exact = std::all_of(sizes.begin(), sizes.end(), [](size_t n) { return n <= 32; });
    for (const int32_t tile : {1, std::min(kSize, 3), kSize}) {
      Fault fault = kNoFault;
      const Result result = by_tiles<LockstepLanes<kSize>>(batch, {}, options, batch_std, tile, 100, fault);
      REQUIRE(are_near(result, expected, is_exact ? 0 : 1e-6));
      Result by_id = by_tiles<LockstepLanes<kSize>>(shuffled, order, options, batch_std, tile, 100, fault);
      std::vector<float> sorted(order.size());
      for (size_t i = 0; i < order.size(); ++i) sorted[i] = by_id.advantages[size_t(order[i])];
      by_id.advantages = sorted;
      REQUIRE(are_near(by_id, result, 0));
      REQUIRE(fault == kNoFault);
    }
  }
}

TEST_CASE("advantages on lanes: tiles of groups, in any order of the rewards, agree with core") {
  check_tiles<4>();
  check_tiles<32>();
  check_tiles<64>();
}

template <int kGroup, bool kPlain>
void check_registers() {
  CAPTURE(kGroup);
  Random random(4);
  for (const AdvantageOptions& options : all_options()) {
    const bool is_plain = options.baseline == AdvantageBaseline::kMean && std::isinf(options.clip_low);
    if (kPlain && !is_plain) continue;
    for (const size_t groups : {0, 1, 31, 32, 100}) {
      Batch batch(random, std::vector<size_t>(groups, kGroup));
      const double batch_std = std_of_batch(batch, options.ddof);
      const Result expected = by_core(batch.rewards, batch.offsets, options);
      std::vector<Float4> rewards(batch.rewards.size() / 4), advantages(rewards.size());
      if (!rewards.empty()) std::memcpy(rewards.data(), batch.rewards.data(), rewards.size() * 16);
      Result result(batch.rewards.size(), groups);
      Fault fault = kNoFault;
      const AdvantageBatch arguments = {reinterpret_cast<const float*>(rewards.data()),
                                        {batch.groups(), kGroup, nullptr, nullptr},
                                        options,
                                        &batch_std,
                                        reinterpret_cast<float*>(advantages.data()),
                                        result.mean.data(),
                                        result.std.data(),
                                        &fault};
      run<LockstepLanes<32>>(GroupsInRegisters<kGroup, kPlain>{arguments}, (batch.groups() + 31) / 32, 0);
      if (!rewards.empty()) std::memcpy(result.advantages.data(), advantages.data(), rewards.size() * 16);
      REQUIRE(are_near(result, expected, 0));
      REQUIRE(fault == kNoFault);
    }
  }
}

TEST_CASE("advantages on lanes: groups in registers have the bits of core") {
  check_registers<4, false>();
  check_registers<4, true>();
  check_registers<8, false>();
  check_registers<8, true>();
  check_registers<16, false>();
  check_registers<16, true>();
}

// The standard deviation of a batch, by three kernels.
template <class RunEach>
double by_chunks(const std::vector<float>& rewards, int ddof, const RunEach& run_each) {
  const auto count = static_cast<int64_t>(rewards.size());
  const int64_t chunks = (count + kRewardsPerChunk - 1) / kRewardsPerChunk;
  std::vector<double> sums(static_cast<size_t>(chunks)), scored = sums, squares = sums;
  double std = -1;
  const RewardChunks batch = {rewards.data(), count, chunks, sums.data(), scored.data(), squares.data()};
  run_each(SumChunks{batch}, chunks);
  run_each(SquareChunks{batch}, chunks);
  run_each(FinishBatchStd{batch, ddof, &std}, 1);
  return std;
}

TEST_CASE("advantages on lanes: the standard deviation of a batch") {
  Random random(5);
  for (const size_t count : {0, 1, 2, 100, 16384, 16385, 200'000}) {
    for (const int ddof : {0, 1}) {
      const Batch batch(random, {count / 3, count - count / 3});
      const double expected = std_of_batch(batch, ddof);
      const double result = by_chunks(batch.rewards, ddof, [](const auto& kernel, int64_t problems) {
        run<LockstepLanes<128>>(kernel, problems, 0);
      });
      CAPTURE(count);
      if (std::isnan(expected))
        CHECK(std::isnan(result));
      else
        CHECK(std::abs(result - expected) <= 1e-12 * expected);
    }
  }
}

TEST_CASE("advantages on lanes: an infinite reward is the fault of its group") {
  Random random(6);
  for (const float infinity : {kInfinity, -kInfinity}) {
    for (const size_t place : {3, 11, 50, 200}) {
      for (const int32_t tile : {1, 8, 32}) {
        Batch batch(random, {4, 0, 8, 90, 10, 200, 4});
        batch.rewards[place] = infinity;
        batch.rewards[313] = kInfinity;  // of a later group, which is not told
        if (place == 200) batch.rewards[150] = -infinity;
        Fault fault = kNoFault;
        by_tiles<LockstepLanes<32>>(batch, {}, {}, 1, tile, 100, fault);
        const auto group = static_cast<Fault>(
            std::upper_bound(batch.offsets.begin(), batch.offsets.end(), place) - batch.offsets.begin() - 1);
        CHECK(fault == (group << 8 | static_cast<Fault>(Code::kInvalidValue)));
      }
    }
  }
}

TEST_CASE("advantages on threads agree with lanes in lockstep") {
  Random random(7);
  const Batch batch(random, {3, 0, 32, 7, 1, 4, 8, 8, 5, 40, 2, 100, 6, 9, 300});
  for (const int32_t tile : {1, 8}) {
    AdvantageOptions options;
    options.scale = AdvantageScale::kBatch;
    Fault lockstep_fault = kNoFault, fault = kNoFault;
    const Result expected =
        by_tiles<LockstepLanes<8>>(batch, {}, options, 2.5, tile, 1 << 20, lockstep_fault);
    Result result(batch.rewards.size(), batch.offsets.size() - 1);
    const double batch_std = 2.5;
    const GroupTiles kernel = {{batch.rewards.data(),
                                {batch.groups(), 0, batch.offsets.data(), nullptr},
                                options,
                                &batch_std,
                                result.advantages.data(),
                                result.mean.data(),
                                result.std.data(),
                                &fault},
                               tile,
                               0,
                               1 << 20};
    // One group of threads after the other, all with the same memory, as the warps of a block have theirs.
    std::vector<float> shared(GroupTiles::shared_bytes(tile) / sizeof(float));
    run_on_threads<8>([&](ThreadLanes<8>& lanes) {
      for (int64_t problem = 0; problem * tile < batch.groups(); ++problem) {
        kernel(lanes, problem, reinterpret_cast<unsigned char*>(shared.data()));
        lanes.sync();
      }
    });
    CHECK(are_near(result, expected, 0));
    CHECK(fault == kNoFault);
  }
}

TEST_CASE("advantages on threads: the standard deviation of a batch") {
  Random random(8);
  const std::vector<float> rewards = Batch(random, {20'000, 20'000}).rewards;
  const double expected = by_chunks(
      rewards, 1, [](const auto& kernel, int64_t problems) { run<LockstepLanes<4>>(kernel, problems, 0); });
  const double result = by_chunks(rewards, 1, [](const auto& kernel, int64_t problems) {
    run_on_threads<4>([&](ThreadLanes<4>& lanes) {
      for (int64_t problem = 0; problem < problems; ++problem) kernel(lanes, problem, nullptr);
    });
  });
  CHECK(result == expected);
}

}  // namespace
}  // namespace perception::cuda
