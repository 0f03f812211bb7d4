// Group-relative advantages through the plug-in's table against core.
#include <doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "core/advantage/group_advantages.h"
#include "plugin_support.h"

namespace perception::cuda {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

using Random = std::mt19937;

struct Result {
  std::vector<float> advantages, mean, std;
};

std::vector<float> random_rewards(Random& random, size_t count) {
  std::vector<float> rewards(count);
  std::normal_distribution<float> normal(1, 4);
  // Stretches of each kind: continuous, some not scored, few values, all equal.
  for (size_t i = 0; i < count; ++i) {
    const size_t kind = i / 64 % 4;
    rewards[i] = kind == 3 ? 0.7f : kind == 2 ? static_cast<float>(random() % 2) : normal(random);
    if (kind == 1 && random() % 5 == 0) rewards[i] = kNan;
  }
  return rewards;
}

std::vector<int32_t> offsets_of(const std::vector<int32_t>& sizes) {
  std::vector<int32_t> offsets = {0};
  for (const int32_t size : sizes) offsets.push_back(offsets.back() + size);
  return offsets;
}

Result by_core(const std::vector<float>& rewards, const std::vector<int32_t>& offsets,
               const AdvantageOptions& options) {
  const size_t groups = offsets.size() - 1;
  Result result = {std::vector<float>(rewards.size()), std::vector<float>(groups),
                   std::vector<float>(groups)};
  REQUIRE(group_advantages(rewards, offsets, options, result.advantages, result.mean, result.std).ok());
  return result;
}

// `shift`: by how many numbers the arrays are off from the 16 bytes to which memory is aligned.
Result by_plugin(const std::vector<float>& rewards, Groups groups, const AdvantageOptions& options,
                 size_t shift = 0) {
  std::vector<float> shifted(shift, 5.0f);
  shifted.insert(shifted.end(), rewards.begin(), rewards.end());
  const DeviceArray<float> input(shifted), advantages(shifted.size());
  const DeviceArray<float> mean(static_cast<size_t>(groups.count)), std(static_cast<size_t>(groups.count));
  const DeviceFault fault;
  succeed(plugin().group_advantages(0, input.data() + shift, static_cast<int64_t>(rewards.size()), &groups,
                                    &options, advantages.data() + shift, mean.data(), std.data(),
                                    fault.cell()));
  CHECK(fault.read().ok());
  std::vector<float> result = advantages.read();
  result.erase(result.begin(), result.begin() + static_cast<std::ptrdiff_t>(shift));
  return {result, mean.read(), std.read()};
}

// Whether numbers are the same (tolerance 0), or near beside a size of at least 1.
bool are_near(const std::vector<float>& values, const std::vector<float>& expected, double tolerance) {
  return std::equal(values.begin(), values.end(), expected.begin(), expected.end(), [&](float a, float b) {
    if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
    return std::abs(double(a) - b) <= tolerance * std::max(1.0, std::abs(double(b)));
  });
}

void check(const Result& result, const Result& expected, double tolerance) {
  CHECK(are_near(result.advantages, expected.advantages, tolerance));
  CHECK(are_near(result.mean, expected.mean, tolerance));
  CHECK(are_near(result.std, expected.std, tolerance));
}

std::vector<AdvantageOptions> all_options() {
  std::vector<AdvantageOptions> all;
  for (const auto scale : {AdvantageScale::kGroup, AdvantageScale::kBatch, AdvantageScale::kNone})
    for (const auto baseline : {AdvantageBaseline::kMean, AdvantageBaseline::kLeaveOneOut})
      for (const int ddof : {0, 1})
        for (const bool clip : {false, true}) {
          AdvantageOptions options = {scale, baseline, 1e-4, ddof};
          if (clip) {
            options.clip_low = -0.5;
            options.clip_high = 0.25;
          }
          all.push_back(options);
        }
  return all;
}

// Exact where core's order is kept.
double tolerance_of(int64_t largest, const AdvantageOptions& options) {
  return largest <= 32 && options.scale != AdvantageScale::kBatch ? 0 : 1e-6;
}

TEST_CASE("plug-in: advantages of groups of one size") {
  Random random(1);
  const std::vector<AdvantageOptions> all = all_options();
  for (const int32_t size :
       {1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 20, 24, 31, 32, 33, 64, 100, 129, 4095, 4096, 4097, 5000}) {
    for (const int32_t groups : {1, 3, 32, 33, 257}) {
      if (int64_t{size} * groups > 300'000) continue;
      const std::vector<float> rewards = random_rewards(random, static_cast<size_t>(size * groups));
      const std::vector<int32_t> offsets =
          offsets_of(std::vector<int32_t>(static_cast<size_t>(groups), size));
      for (const size_t shift : {0, 1}) {
        const AdvantageOptions& options = all[random() % all.size()];
        CAPTURE(size);
        CAPTURE(groups);
        CAPTURE(shift);
        check(by_plugin(rewards, {groups, size, nullptr, nullptr}, options, shift),
              by_core(rewards, offsets, options), tolerance_of(size, options));
      }
    }
  }
}

TEST_CASE("plug-in: advantages with every option") {
  Random random(2);
  for (const AdvantageOptions& options : all_options()) {
    for (const int32_t size : {4, 6, 8, 16, 40}) {
      const std::vector<float> rewards = random_rewards(random, static_cast<size_t>(size) * 100);
      CAPTURE(size);
      check(by_plugin(rewards, {100, size, nullptr, nullptr}, options),
            by_core(rewards, offsets_of(std::vector<int32_t>(100, size)), options),
            tolerance_of(size, options));
    }
  }
}

TEST_CASE("plug-in: advantages of one large group, and of a large batch") {
  Random random(3);
  for (const int32_t size : {100'000, 300'000}) {
    const std::vector<float> rewards = random_rewards(random, static_cast<size_t>(size));
    AdvantageOptions options;
    check(by_plugin(rewards, {1, size, nullptr, nullptr}, options), by_core(rewards, {0, size}, options),
          1e-6);
    options.scale = AdvantageScale::kBatch;
    const int32_t groups = size / 8;
    check(by_plugin(rewards, {groups, 8, nullptr, nullptr}, options),
          by_core(rewards, offsets_of(std::vector<int32_t>(static_cast<size_t>(groups), 8)), options), 1e-6);
  }
}

TEST_CASE("plug-in: advantages of groups of any sizes, their rewards in any order") {
  Random random(4);
  const std::vector<AdvantageOptions> all = all_options();
  for (int round = 0; round < 40; ++round) {
    // Mostly small, some of hundreds, a few of thousands; and all large.
    std::vector<int32_t> sizes(1 + random() % 200);
    for (int32_t& size : sizes) {
      size = static_cast<int32_t>(random() % 12);
      if (round % 4 >= 1 && random() % 20 == 0) size = static_cast<int32_t>(random() % 500);
      if (round % 4 >= 2 && random() % 60 == 0) size = 4000 + static_cast<int32_t>(random() % 4000);
      if (round % 4 == 3) size += 60;
    }
    const std::vector<int32_t> offsets = offsets_of(sizes);
    const std::vector<float> rewards = random_rewards(random, static_cast<size_t>(offsets.back()));
    const AdvantageOptions& options = all[random() % all.size()];
    const double tolerance = tolerance_of(*std::max_element(sizes.begin(), sizes.end()), options);
    const Result expected = by_core(rewards, offsets, options);

    const DeviceArray<int32_t> device_offsets(offsets);
    Groups groups = {static_cast<int64_t>(sizes.size()), 0, device_offsets.data(), nullptr};
    CAPTURE(round);
    check(by_plugin(rewards, groups, options), expected, tolerance);

    std::vector<int32_t> order(rewards.size());
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    std::vector<float> shuffled(rewards.size());
    for (size_t i = 0; i < order.size(); ++i) shuffled[static_cast<size_t>(order[i])] = rewards[i];
    const DeviceArray<int32_t> device_order(order);
    groups.order = device_order.data();
    Result by_id = by_plugin(shuffled, groups, options);
    std::vector<float> sorted(rewards.size());
    for (size_t i = 0; i < order.size(); ++i) sorted[i] = by_id.advantages[static_cast<size_t>(order[i])];
    by_id.advantages = sorted;
    check(by_id, expected, tolerance);
  }
}

TEST_CASE("plug-in: advantages are the same every time") {
  Random random(5);
  const std::vector<float> rewards = random_rewards(random, 120'000);
  AdvantageOptions options;
  options.scale = AdvantageScale::kBatch;
  for (const int32_t size : {8, 100, 40'000}) {
    const Groups groups = {120'000 / size, size, nullptr, nullptr};
    const Result first = by_plugin(rewards, groups, options);
    for (int i = 0; i < 3; ++i) check(by_plugin(rewards, groups, options), first, 0);
  }
}

TEST_CASE("plug-in: advantages without means and standard deviations, and of nothing") {
  const AdvantageOptions options;
  const std::vector<float> rewards = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  const DeviceArray<float> input(rewards);
  const DeviceFault fault;
  for (const int32_t size : {2, 3, 4, 12}) {
    const Groups groups = {12 / size, size, nullptr, nullptr};
    const DeviceArray<float> advantages(12);
    succeed(plugin().group_advantages(0, input.data(), 12, &groups, &options, advantages.data(), nullptr,
                                      nullptr, fault.cell()));
    CHECK(advantages.read() ==
          by_core(rewards, offsets_of(std::vector<int32_t>(static_cast<size_t>(12 / size), size)), options)
              .advantages);
  }
  for (const auto scale : {AdvantageScale::kGroup, AdvantageScale::kBatch}) {
    const AdvantageOptions of_nothing = {scale};
    by_plugin({}, {0, 8, nullptr, nullptr}, of_nothing);
    const Result empty = by_plugin({}, {3, 0, nullptr, nullptr}, of_nothing);  // groups, but no rewards
    CHECK(are_near(empty.mean, {kNan, kNan, kNan}, 0));
    CHECK(are_near(empty.std, {kNan, kNan, kNan}, 0));
  }
}

TEST_CASE("plug-in: an infinite reward is found, and which group has it") {
  for (const int32_t size : {4, 6, 8, 16, 50, 5000}) {
    for (const auto scale : {AdvantageScale::kGroup, AdvantageScale::kBatch}) {
      std::vector<float> rewards(static_cast<size_t>(size) * 5, 0.25f);
      rewards[static_cast<size_t>(size) * 4 - 1] = -std::numeric_limits<float>::infinity();
      rewards.back() = std::numeric_limits<float>::infinity();
      const DeviceArray<float> input(rewards), advantages(rewards.size()), mean(5), std(5);
      const DeviceFault fault;
      const Groups groups = {5, size, nullptr, nullptr};
      const AdvantageOptions options = {scale};
      succeed(plugin().group_advantages(0, input.data(), static_cast<int64_t>(rewards.size()), &groups,
                                        &options, advantages.data(), mean.data(), std.data(), fault.cell()));
      CAPTURE(size);
      CHECK(fault.read().code() == Code::kInvalidValue);
      CHECK(fault.read().message().find("problem 3:") == 0);
    }
  }
}

TEST_CASE("plug-in: rewards that do not fill the groups are refused") {
  const DeviceArray<float> values(12);
  const Groups groups = {3, 5, nullptr, nullptr};
  const AdvantageOptions options;
  const DeviceFault fault;
  CHECK(plugin().group_advantages(0, values.data(), 12, &groups, &options, values.data(), nullptr, nullptr,
                                  fault.cell()) == static_cast<int32_t>(Code::kShapeMismatch));
  CHECK(std::string(plugin().last_error()) == "rewards: expected 3 groups of 5, received 12");
}

}  // namespace
}  // namespace perception::cuda
