#include "core/advantage/group_advantages.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/advantage/formula.h"
#include "core/base/isa.h"
#include "core/base/thread_pool.h"
#include "doctest.h"

using namespace perception;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Result {
  Status status;
  std::vector<float> advantages, mean, std;
};

Result contiguous(const std::vector<float>& rewards, const std::vector<int32_t>& offsets,
                  const AdvantageOptions& options = {}) {
  const size_t groups = offsets.empty() ? 0 : offsets.size() - 1;
  Result result{{},
                std::vector<float>(rewards.size(), -9),
                std::vector<float>(groups, -9),
                std::vector<float>(groups, -9)};
  result.status = group_advantages(rewards, offsets, options, result.advantages, result.mean, result.std);
  return result;
}

Result by_id(const std::vector<float>& rewards, const std::vector<int32_t>& group_of, int32_t groups,
             const AdvantageOptions& options = {}) {
  const size_t count = static_cast<size_t>(std::max(groups, 0));
  Result result{{},
                std::vector<float>(rewards.size(), -9),
                std::vector<float>(count, -9),
                std::vector<float>(count, -9)};
  result.status =
      group_advantages_by_id(rewards, group_of, groups, options, result.advantages, result.mean, result.std);
  return result;
}

std::vector<uint32_t> bits(const std::vector<float>& values) {
  std::vector<uint32_t> result;
  for (const float value : values) result.push_back(std::bit_cast<uint32_t>(value));
  return result;
}

void check_same(const Result& a, const Result& b) {
  CHECK(a.status.code() == b.status.code());
  CHECK(bits(a.advantages) == bits(b.advantages));
  CHECK(bits(a.mean) == bits(b.mean));
  CHECK(bits(a.std) == bits(b.std));
}

void check_near(const std::vector<float>& values, const std::vector<double>& expected) {
  REQUIRE(values.size() == expected.size());
  for (size_t i = 0; i < values.size(); ++i) {
    CAPTURE(i);
    if (std::isnan(expected[i]))
      CHECK(std::isnan(values[i]));
    else
      CHECK(values[i] == doctest::Approx(expected[i]).epsilon(1e-6));
  }
}

double std_of(const std::vector<double>& values, int ddof) {
  double mean = 0, squares = 0;
  for (const double value : values) mean += value / static_cast<double>(values.size());
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / (static_cast<double>(values.size()) - ddof));
}

// The header's formulas, said slowly: each baseline and std from a fresh list.
Result naive(const std::vector<float>& rewards, const std::vector<int32_t>& group_of, int32_t groups,
             const AdvantageOptions& options) {
  Result result;
  result.advantages.assign(rewards.size(), 0);
  std::vector<double> batch;
  for (const float reward : rewards)
    if (!std::isnan(reward)) batch.push_back(reward);
  for (int32_t g = 0; g < groups; ++g) {
    std::vector<double> scored;
    for (size_t i = 0; i < rewards.size(); ++i)
      if (group_of[i] == g && !std::isnan(rewards[i])) scored.push_back(rewards[i]);
    const size_t n = scored.size();
    double mean = n == 0 ? kNan : 0;
    for (const double value : scored) mean += value / static_cast<double>(n);
    const bool flat = std::all_of(scored.begin(), scored.end(), [&](double x) { return x == scored[0]; });
    const double std = n == 0 ? kNan : flat ? 0 : std_of(scored, options.ddof);
    result.mean.push_back(static_cast<float>(mean));
    result.std.push_back(static_cast<float>(std));
    if (flat) continue;
    for (size_t i = 0; i < rewards.size(); ++i) {
      if (group_of[i] != g || std::isnan(rewards[i])) continue;
      double baseline = mean;
      if (options.baseline == AdvantageBaseline::kLeaveOneOut) {
        double others = 0;
        for (size_t k = 0; k < rewards.size(); ++k)
          if (k != i && group_of[k] == g && !std::isnan(rewards[k])) others += rewards[k];
        baseline = others / static_cast<double>(n - 1);
      }
      double advantage = rewards[i] - baseline;
      if (options.scale == AdvantageScale::kGroup) advantage /= std + options.epsilon;
      if (options.scale == AdvantageScale::kBatch) advantage /= std_of(batch, options.ddof) + options.epsilon;
      result.advantages[i] =
          static_cast<float>(std::min(std::max(advantage, options.clip_low), options.clip_high));
    }
  }
  return result;
}

struct ThreadCount {
  const int before = thread_count();
  explicit ThreadCount(int threads) { set_thread_count(threads); }
  ~ThreadCount() { set_thread_count(before); }
};

}  // namespace

TEST_CASE("advantages: by hand") {
  // Mean 2, deviations -1 0 1; std 1 with ddof 1, sqrt(2 / 3) with ddof 0.
  const std::vector<float> rewards{1, 2, 3};
  AdvantageOptions options;
  Result result = contiguous(rewards, {0, 3}, options);
  CHECK(result.status.ok());
  check_near(result.advantages, {-1 / 1.0001, 0, 1 / 1.0001});
  check_near(result.mean, {2});
  check_near(result.std, {1});
  options.ddof = 0;
  options.epsilon = 0;
  check_near(contiguous(rewards, {0, 3}, options).advantages, {-std::sqrt(1.5), 0, std::sqrt(1.5)});
  options = {};
  options.scale = AdvantageScale::kNone;
  check_near(contiguous(rewards, {0, 3}, options).advantages, {-1, 0, 1});
  options.baseline = AdvantageBaseline::kLeaveOneOut;
  check_near(contiguous(rewards, {0, 3}, options).advantages, {-1.5, 0, 1.5});
  options.scale = AdvantageScale::kGroup;
  check_near(contiguous(rewards, {0, 3}, options).advantages, {-1.5 / 1.0001, 0, 1.5 / 1.0001});

  // One zero and seven 0.95, TRL's defaults.
  const Result skewed = contiguous({0, 0.95f, 0.95f, 0.95f, 0.95f, 0.95f, 0.95f, 0.95f}, {0, 8});
  CHECK(skewed.advantages[0] == doctest::Approx(-2.474).epsilon(1e-3));
  CHECK(skewed.advantages[1] == doctest::Approx(0.353).epsilon(2e-3));

  // Batch: std of all five is sqrt(10 / 4).
  options = {};
  options.scale = AdvantageScale::kBatch;
  result = contiguous({1, 2, 3, 4, 5}, {0, 2, 5}, options);
  const double divisor = std::sqrt(2.5) + 1e-4;
  check_near(result.advantages, {-0.5 / divisor, 0.5 / divisor, -1 / divisor, 0, 1 / divisor});
  check_near(result.std, {std::sqrt(0.5), 1});  // still one per group
}

TEST_CASE("advantages: equal rewards give exactly 0") {
  for (const float reward : {0.7f, 0.1f, -3.3f, 1e-30f, 3e38f, 0.0f}) {
    for (const int32_t n : {1, 2, 3, 7, 8, 1000}) {
      for (const auto scale : {AdvantageScale::kGroup, AdvantageScale::kBatch, AdvantageScale::kNone}) {
        for (const auto baseline : {AdvantageBaseline::kMean, AdvantageBaseline::kLeaveOneOut}) {
          for (const int ddof : {0, 1}) {
            AdvantageOptions options;
            options.scale = scale;
            options.baseline = baseline;
            options.ddof = ddof;
            options.epsilon = 0;
            // A second group, so that the batch has a std.
            std::vector<float> rewards(size_t(n), reward);
            rewards.insert(rewards.end(), {1, 2});
            const Result result = contiguous(rewards, {0, n, n + 2}, options);
            REQUIRE(result.status.ok());
            CHECK(std::all_of(result.advantages.begin(), result.advantages.end() - 2,
                              [](float a) { return std::bit_cast<uint32_t>(a) == 0; }));
            CHECK(result.advantages.back() > 0);
            CHECK(result.mean[0] == reward);
            CHECK(result.std[0] == 0);
          }
        }
      }
    }
  }
  // Equality, not a small std, decides.
  const Result close = contiguous({0.7f, std::nextafter(0.7f, 1.0f)}, {0, 2});
  CHECK(close.advantages[0] < 0);
  CHECK(close.advantages[1] > 0);
}

TEST_CASE("advantages: NaN is not scored") {
  const Result result = contiguous({kNan, 1, kNan, 2, 3, kNan, kNan, 5, kNan}, {0, 5, 5, 7, 9});
  CHECK(result.status.ok());
  check_near(result.advantages, {0, -1 / 1.0001, 0, 0, 1 / 1.0001, 0, 0, 0, 0});
  check_near(result.mean, {2, kNan, kNan, 5});
  check_near(result.std, {1, kNan, kNan, 0});

  // A batch of one scored reward has no std with ddof 1.
  AdvantageOptions options;
  options.scale = AdvantageScale::kBatch;
  check_near(contiguous({kNan, 4, kNan}, {0, 2, 3}, options).advantages, {0, 0, 0});
  check_near(contiguous({kNan, kNan}, {0, 1, 2}, options).advantages, {0, 0});
  CHECK(contiguous({}, {0}, options).status.ok());
  check_near(contiguous({}, {0, 0}, options).mean, {kNan});
}

TEST_CASE("advantages: clip") {
  AdvantageOptions options;
  options.scale = AdvantageScale::kNone;
  options.clip_low = -0.5;
  options.clip_high = 0.25;
  check_near(contiguous({1, 2, 3, 1.75f, 2.25f, kNan}, {0, 6}, options).advantages,
             {-0.5, 0, 0.25, -0.25, 0.25, 0});
  // What has no advantage stays at 0, in the range or not.
  options.clip_low = 0.1;
  check_near(contiguous({kNan, 1, 2, 7, 7}, {0, 3, 5}, options).advantages, {0, 0.1, 0.25, 0, 0});
}

TEST_CASE("advantages: every option against the formulas, contiguous and by id, any threads") {
  std::mt19937 random(41);
  std::uniform_int_distribution<int32_t> length(0, 12), tenths(0, 10), chance(0, 9);
  std::vector<int32_t> offsets{0}, group_of;
  std::vector<float> rewards;
  constexpr int32_t kGroups = 60;
  for (int32_t g = 0; g < kGroups; ++g) {
    const int32_t n = g == 7 ? 40 : length(random);
    const bool constant = chance(random) == 0;
    for (int32_t i = 0; i < n; ++i) {
      group_of.push_back(g);
      rewards.push_back(chance(random) == 0 ? kNan
                        : constant          ? 0.7f
                                            : static_cast<float>(tenths(random)) / 10);
    }
    offsets.push_back(static_cast<int32_t>(rewards.size()));
  }
  // The same rewards shuffled: the order inside a group stays.
  std::vector<size_t> order(rewards.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return group_of[a] * 37 % 61 < group_of[b] * 37 % 61; });
  std::vector<float> shuffled;
  std::vector<int32_t> shuffled_group_of;
  for (const size_t i : order) {
    shuffled.push_back(rewards[i]);
    shuffled_group_of.push_back(group_of[i]);
  }

  for (const auto scale : {AdvantageScale::kGroup, AdvantageScale::kBatch, AdvantageScale::kNone}) {
    for (const auto baseline : {AdvantageBaseline::kMean, AdvantageBaseline::kLeaveOneOut}) {
      for (const int ddof : {0, 1}) {
        for (const bool clip : {false, true}) {
          AdvantageOptions options;
          options.scale = scale;
          options.baseline = baseline;
          options.ddof = ddof;
          if (clip) {
            options.clip_low = -0.3;
            options.clip_high = 0.4;
          }
          const Result expected = naive(rewards, group_of, kGroups, options);
          const Result result = contiguous(rewards, offsets, options);
          REQUIRE(result.status.ok());
          for (size_t i = 0; i < rewards.size(); ++i)
            CHECK(std::abs(result.advantages[i] - expected.advantages[i]) < 1e-6);
          check_near(result.mean, {expected.mean.begin(), expected.mean.end()});
          check_near(result.std, {expected.std.begin(), expected.std.end()});

          for (const int threads : {1, 4}) {
            const ThreadCount guard(threads);
            check_same(contiguous(rewards, offsets, options), result);
            check_same(by_id(rewards, group_of, kGroups, options), result);
            const Result moved = by_id(shuffled, shuffled_group_of, kGroups, options);
            CHECK(bits(moved.mean) == bits(result.mean));
            CHECK(bits(moved.std) == bits(result.std));
            for (size_t i = 0; i < order.size(); ++i)
              CHECK(moved.advantages[i] == result.advantages[order[i]]);
          }
        }
      }
    }
  }
}

TEST_CASE("advantages: many groups, the same for every number of threads") {
  std::mt19937 random(43);
  std::uniform_real_distribution<float> uniform(0, 3);
  constexpr int32_t kGroups = 20000, kSize = 8;
  std::vector<float> rewards(kGroups * kSize);
  for (float& reward : rewards) reward = uniform(random);
  std::vector<int32_t> offsets, interleaved;
  for (int32_t g = 0; g <= kGroups; ++g) offsets.push_back(g * kSize);
  for (int32_t i = 0; i < kGroups * kSize; ++i) interleaved.push_back(i % kGroups);
  const ThreadCount guard(1);
  const Result one = contiguous(rewards, offsets), one_by_id = by_id(rewards, interleaved, kGroups);
  set_thread_count(4);
  check_same(contiguous(rewards, offsets), one);
  check_same(by_id(rewards, interleaved, kGroups), one_by_id);
}

TEST_CASE("advantages: every instruction set gives the bits of the formula for one group") {
  std::mt19937 random(47);
  std::uniform_real_distribution<float> uniform(-2, 3);
  // Even groups, with a rest that fills no column, and groups of any size up to more than a column holds.
  std::vector<std::vector<int32_t>> batches;
  for (const int32_t size : {1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 32, 64, 65, 100}) {
    for (const int32_t groups : {1, 5, 32, 75}) {
      batches.push_back({0});
      for (int32_t g = 0; g < groups; ++g) batches.back().push_back(batches.back().back() + size);
    }
  }
  for (const uint32_t longest : {2u, 9u, 20u, 66u, 300u}) {
    batches.push_back({0});
    for (int g = 0; g < 200; ++g)
      batches.back().push_back(batches.back().back() + static_cast<int32_t>(random() % longest));
  }
  for (const std::vector<int32_t>& offsets : batches) {
    const size_t groups = offsets.size() - 1;
    CAPTURE(groups);
    CAPTURE(offsets.back());
    std::vector<float> rewards(static_cast<size_t>(offsets.back()));
    const uint32_t unscored = random() % 3 == 0 ? 2 : 12;
    for (float& reward : rewards)
      reward = random() % unscored == 0 ? kNan : random() % 2 ? uniform(random) : float(random() % 2);
    for (const auto scale : {AdvantageScale::kGroup, AdvantageScale::kBatch, AdvantageScale::kNone}) {
      for (const auto baseline : {AdvantageBaseline::kMean, AdvantageBaseline::kLeaveOneOut}) {
        AdvantageOptions options;
        options.scale = scale;
        options.baseline = baseline;
        options.ddof = static_cast<int>(random() % 2);
        if (random() % 2) options.epsilon = 0;
        if (random() % 2) options.clip_low = -0.5, options.clip_high = 0.75;
        const double batch_std = moments_of(rewards.data(), offsets.back(), options.ddof).std;
        Result expected{{}, rewards, {}, {}};
        for (size_t g = 0; g < groups; ++g) {
          float* const group = expected.advantages.data() + offsets[g];
          const Moments moments =
              advantages_in_order(group, offsets[g + 1] - offsets[g], options, batch_std, group);
          expected.mean.push_back(static_cast<float>(moments.mean));
          expected.std.push_back(static_cast<float>(moments.true_std()));
        }
        for (const Isa set : {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512}) {
          if (set > isa()) continue;
          CAPTURE(isa_name(set));
          Result result{{},
                        std::vector<float>(rewards.size(), -9),
                        std::vector<float>(groups, -9),
                        std::vector<float>(groups, -9)};
          result.status =
              group_advantages(rewards, offsets, options, result.advantages, result.mean, result.std, set);
          CHECK(result.status.ok());
          CHECK(bits(result.advantages) == bits(expected.advantages));
          // NaN where there are none, of whatever sign.
          for (size_t g = 0; g < groups; ++g) {
            CHECK((result.mean[g] == expected.mean[g] ||
                   (std::isnan(result.mean[g]) && std::isnan(expected.mean[g]))));
            CHECK((result.std[g] == expected.std[g] ||
                   (std::isnan(result.std[g]) && std::isnan(expected.std[g]))));
          }
        }
      }
    }
  }
}

TEST_CASE("advantages: an infinity is found wherever it is") {
  for (const int32_t size : {1, 5, 8, 100}) {
    std::vector<int32_t> offsets{0};
    for (int g = 0; g < 70; ++g) offsets.push_back(offsets.back() + size);
    const auto count = static_cast<size_t>(offsets.back());
    for (const size_t place : {size_t{0}, count / 2, count - 1}) {
      for (const auto scale : {AdvantageScale::kGroup, AdvantageScale::kBatch}) {
        std::vector<float> rewards(count, 0.5f);
        rewards[place] = -kInf;
        AdvantageOptions options;
        options.scale = scale;
        const Status status = contiguous(rewards, offsets, options).status;
        CHECK(status.code() == Code::kInvalidValue);
        CHECK(status.message() ==
              "rewards: expected finite numbers or NaN (not scored), received -inf at index " +
                  std::to_string(place));
        // Another infinity, of the other sign, hides neither.
        rewards[count - 1] = kInf;
        CHECK(contiguous(rewards, offsets, options).status.code() == Code::kInvalidValue);
      }
    }
  }
}

TEST_CASE("advantages: what is refused") {
  Status status = contiguous({1, kInf}, {0, 2}).status;
  CHECK(status.code() == Code::kInvalidValue);
  CHECK(status.message() == "rewards: expected finite numbers or NaN (not scored), received inf at index 1");
  CHECK(contiguous({-kInf, 1}, {0, 2}).status.code() == Code::kInvalidValue);
  CHECK(by_id({1, 2, -kInf}, {1, 0, 0}, 2).status.message() ==
        "rewards: expected finite numbers or NaN (not scored), received -inf at index 2");

  const auto with = [](auto change) {
    AdvantageOptions options;
    change(options);
    const Status status = contiguous({1, 2}, {0, 2}, options).status;
    CHECK(by_id({1, 2}, {0, 0}, 1, options).status.code() == status.code());
    return status.code();
  };
  CHECK(with([](auto& o) { o.ddof = 2; }) == Code::kInvalidArgument);
  CHECK(with([](auto& o) { o.ddof = -1; }) == Code::kInvalidArgument);
  CHECK(with([](auto& o) { o.epsilon = -1e-9; }) == Code::kInvalidArgument);
  CHECK(with([](auto& o) { o.epsilon = kInf; }) == Code::kInvalidArgument);
  CHECK(with([](auto& o) { o.epsilon = kNan; }) == Code::kInvalidArgument);
  CHECK(with([](auto& o) { o.clip_low = 1, o.clip_high = 0; }) == Code::kInvalidArgument);
  CHECK(with([](auto& o) { o.clip_low = kNan; }) == Code::kInvalidArgument);
  CHECK(with([](auto& o) { o.clip_high = kNan; }) == Code::kInvalidArgument);
  CHECK(with([](auto& o) { o.epsilon = 0; }) == Code::kOk);

  CHECK(contiguous({1, 2}, {0, 1}).status.code() == Code::kInvalidOffsets);
  CHECK(contiguous({1, 2}, {0, 2, 1, 2}).status.code() == Code::kInvalidOffsets);
  CHECK(contiguous({}, {}).status.code() == Code::kInvalidOffsets);
  status = by_id({1, 2}, {0, 2}, 2).status;
  CHECK(status.code() == Code::kInvalidValue);
  CHECK(status.message() == "group_of: expected numbers from 0 to 1, received 2 at index 1");
  CHECK(by_id({1, 2}, {-1, 0}, 2).status.code() == Code::kInvalidValue);
  CHECK(by_id({1, 2}, {0}, 2).status.code() == Code::kShapeMismatch);
  CHECK(by_id({}, {}, -1).status.code() == Code::kInvalidArgument);
  CHECK(by_id({}, {}, 0).status.ok());
  CHECK(by_id({}, {}, std::numeric_limits<int32_t>::min()).status.code() == Code::kInvalidArgument);
  std::vector<float> two(2), one(1);
  CHECK(group_advantages(two, std::vector<int32_t>{0, 2}, {}, one, one, one).code() == Code::kShapeMismatch);
  CHECK(group_advantages(two, std::vector<int32_t>{0, 2}, {}, two, two, one).code() == Code::kShapeMismatch);
  CHECK(group_advantages(two, std::vector<int32_t>{0, 2}, {}, two, one, two).code() == Code::kShapeMismatch);
}
