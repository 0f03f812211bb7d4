// Scores by groups of lanes: core's rewards and terms to the bit, its advantages, and what is refused, on
// every kind of group.
#include <doctest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "cuda/host_lanes.h"
#include "cuda/plugin_status.h"
#include "cuda/score.cuh"
#include "score_cases.h"

namespace perception::cuda {
namespace {

// What a kernel writes, and its arguments.
class Scoring {
 public:
  Scoring(const ScoreCase& batch, const AdvantageOptions* options)
      : batch_(batch), finished_(static_cast<size_t>(batch.groups()), 0) {
    const auto count = static_cast<size_t>(batch.count);
    scores.rewards.assign(count, -7);
    scores.terms.assign(count * batch.recipe.terms.size(), -7);
    scores.advantages.assign(count, -7);
    scores.mean.assign(finished_.size(), -7);
    scores.std.assign(finished_.size(), -7);
    if (options) options_ = *options;
    with_advantages_ = options != nullptr;
  }

  ScoreArguments arguments() {
    const auto counts = [](const std::vector<int32_t>& values) {
      return values.empty() ? nullptr : values.data();
    };
    return {batch_.recipe,
            BoxCost(batch_.recipe),
            {batch_.predicted.data(), batch_.labels.data(), counts(batch_.counts), batch_.rows},
            {batch_.truth.data(), batch_.true_labels.data(), counts(batch_.true_counts), batch_.true_rows},
            batch_.count,
            batch_.per_truth,
            {scores.rewards.data(), scores.terms.data(), scores.advantages.data(), scores.mean.data(),
             scores.std.data()},
            options_,
            with_advantages_ ? finished_.data() : nullptr,
            &fault};
  }

  CoreScores scores;
  Fault fault = kNoFault;

 private:
  const ScoreCase& batch_;
  AdvantageOptions options_;
  bool with_advantages_;
  std::vector<int32_t> finished_;
};

template <Task task>
ScoreLayout layout_of(const ScoreCase& batch, bool keeps_costs) {
  if constexpr (task == Task::kGrounding)
    return {};
  else
    return score_layout<task>(static_cast<int>(batch.rows), static_cast<int>(batch.true_rows), keeps_costs);
}

using Memory = std::vector<unsigned char>;

bool is_optimal(const ScoreCase& batch) { return batch.recipe.matching == MatchingMethod::kHungarian; }

// Scores a batch by groups of `size` lanes, each with memory of exactly the size.
template <Task task, int kColumnsPerLane, int size, bool kOptimal = true>
void score_in_lockstep(const ScoreCase& batch, Scoring& scoring) {
  if constexpr (kOptimal && task != Task::kGrounding)
    if (!is_optimal(batch)) return score_in_lockstep<task, 0, size, false>(batch, scoring);
  ScoreKernel<task, kColumnsPerLane, kOptimal> kernel{scoring.arguments(),
                                                      layout_of<task>(batch, kColumnsPerLane > 0)};
  if constexpr (kColumnsPerLane > 0) {
    for (int64_t i = 0; i < batch.count; ++i) {
      Memory memory(kernel.layout.bytes, 0xa5);
      LockstepLanes<size> lanes;
      kernel(lanes, i, memory.data());
    }
  } else {
    kernel.groups = 3;
    Memory workspace(3 * kernel.layout.bytes, 0xa5);
    kernel.workspace = workspace.data();
    for (int64_t group = 0; group < kernel.groups; ++group) {
      LockstepLanes<size> lanes;
      kernel(lanes, group, nullptr);
    }
  }
}

// Without faults: against core.
template <Task task, int kColumnsPerLane, int size>
void score_and_check(const ScoreCase& batch, const AdvantageOptions* options) {
  CAPTURE(kColumnsPerLane);
  CAPTURE(size);
  Scoring scoring(batch, options);
  score_in_lockstep<task, kColumnsPerLane, size>(batch, scoring);
  CoreScores expected;
  REQUIRE(score_on_core(batch, expected).ok());
  CHECK(scoring.fault == kNoFault);
  CHECK(different(scoring.scores.rewards, expected.rewards) == 0);
  CHECK(different(scoring.scores.terms, expected.terms) == 0);
  if (!options) {
    expected.advantages.assign(scoring.scores.advantages.size(), -7);
    expected.mean.assign(scoring.scores.mean.size(), -7);
    expected.std = expected.mean;
  } else {
    advantages_on_core(batch, *options, expected);
  }
  CHECK(different(scoring.scores.advantages, expected.advantages) == 0);
  CHECK(different(scoring.scores.mean, expected.mean) == 0);
  CHECK(different(scoring.scores.std, expected.std) == 0);
}

// Calls check(batch, options) for batches of all recipes, numbers and sizes up to `most`, with 1 to 16
// completions to a group.
template <Task task, class Check>
void for_each_case(int64_t most, int rounds, const Check& check) {
  std::mt19937 random(static_cast<unsigned>(most) + 10 * static_cast<unsigned>(task));
  const std::vector<AdvantageOptions> options = advantage_options();
  size_t turn = 0;
  for (int round = 0; round < rounds; ++round)
    for (const Recipe& recipe : recipes_of(task))
      for (int numbers = 0; numbers < kNumberKinds; ++numbers) {
        const auto below = [&](int64_t limit) {
          return static_cast<int64_t>(random() % static_cast<unsigned>(limit));
        };
        const int64_t per_truth = below(4) == 0 ? 1 : 1 + below(16);
        const int64_t rows = below(5) == 0 ? most : below(most + 1);
        const int64_t true_rows = below(5) == 0 ? most : below(most + 1);
        const ScoreCase batch = make_score_case(recipe, static_cast<Numbers>(numbers), 1 + below(4),
                                                per_truth, rows, true_rows, below(3) != 0, random);
        CAPTURE(rows);
        CAPTURE(true_rows);
        CAPTURE(numbers);
        ++turn;
        check(batch, turn % 5 == 0 ? nullptr : &options[turn % options.size()]);
      }
}

TEST_CASE("device score: detection is core's to the bit on every kind of group") {
  for_each_case<Task::kDetection>(32, 12, score_and_check<Task::kDetection, 1, 32>);
  for_each_case<Task::kDetection>(16, 6, score_and_check<Task::kDetection, 4, 4>);
  for_each_case<Task::kDetection>(64, 2, score_and_check<Task::kDetection, 1, 64>);
  for_each_case<Task::kDetection>(9, 6, score_and_check<Task::kDetection, 0, 4>);
  for_each_case<Task::kDetection>(150, 1, score_and_check<Task::kDetection, 0, 128>);
}

TEST_CASE("device score: counting is core's to the bit on every kind of group") {
  for_each_case<Task::kCounting>(32, 16, score_and_check<Task::kCounting, 1, 32>);
  for_each_case<Task::kCounting>(16, 6, score_and_check<Task::kCounting, 4, 4>);
  for_each_case<Task::kCounting>(64, 2, score_and_check<Task::kCounting, 1, 128>);
  for_each_case<Task::kCounting>(40, 6, score_and_check<Task::kCounting, 0, 32>);
}

TEST_CASE("device score: grounding is core's to the bit on every kind of group") {
  for_each_case<Task::kGrounding>(3, 60, score_and_check<Task::kGrounding, 1, 32>);
  for_each_case<Task::kGrounding>(40, 4, score_and_check<Task::kGrounding, 1, 4>);
}

TEST_CASE("device score: pairs of which every matching is forbidden earn nothing, gates hold") {
  std::mt19937 random(3);
  ScoreCase batch =
      make_score_case(recipes_of(Task::kCounting)[0], Numbers::kUniform, 1, 1, 2, 2, false, random);
  batch.truth = {3e38f, 3e38f, -3e38f, 3e38f};
  Scoring scoring(batch, nullptr);
  score_in_lockstep<Task::kCounting, 1, 4>(batch, scoring);
  CHECK(scoring.scores.rewards[0] == 0);
  CHECK(scoring.scores.terms == std::vector<float>(4, 0.0f));

  batch = make_score_case(recipes_of(Task::kDetection)[3], Numbers::kUniform, 1, 1, 1, 1, false, random);
  batch.predicted = batch.truth;
  batch.labels = batch.true_labels;
  Scoring full(batch, nullptr);
  score_in_lockstep<Task::kDetection, 1, 4>(batch, full);
  CHECK(full.scores.rewards[0] == 3);
  batch.labels[0] = -1;  // a format of 0
  Scoring none(batch, nullptr);
  score_in_lockstep<Task::kDetection, 1, 4>(batch, none);
  CHECK(none.scores.rewards[0] == 0);
}

// What is wrong in a batch of 6 completions costs those it concerns, and the others are scored.
template <Task task>
void check_faults() {
  CAPTURE(static_cast<int>(task));
  std::mt19937 random(4);
  const Recipe recipe = recipes_of(task)[0];
  const ScoreCase sound = make_score_case(recipe, Numbers::kUniform, 3, 2, 4, 3, true, random);
  CoreScores expected;
  REQUIRE(score_on_core(sound, expected).ok());
  const AdvantageOptions options;
  // `failed`: the completions [first, last].
  const auto check = [&](const ScoreCase& batch, Code code, size_t first, size_t last) {
    Scoring scoring(batch, &options);
    score_in_lockstep<task, 1, 4>(batch, scoring);
    CHECK(to_status(scoring.fault).code() == code);
    CHECK((scoring.fault >> 8) == first);
    CoreScores reduced = expected;
    for (size_t i = first; i <= last; ++i) {
      reduced.rewards[i] = std::numeric_limits<float>::quiet_NaN();
      for (size_t term = 0; term < recipe.terms.size(); ++term)
        reduced.terms[term * 6 + i] = std::numeric_limits<float>::quiet_NaN();
    }
    advantages_on_core(batch, options, reduced);
    CHECK(different(scoring.scores.rewards, reduced.rewards) == 0);
    CHECK(different(scoring.scores.terms, reduced.terms) == 0);
    CHECK(different(scoring.scores.advantages, reduced.advantages) == 0);
    CHECK(different(scoring.scores.mean, reduced.mean) == 0);
  };
  for (const int32_t count :
       {-1, 5, std::numeric_limits<int32_t>::max(), std::numeric_limits<int32_t>::min()}) {
    ScoreCase batch = sound;
    batch.counts[3] = count;
    check(batch, Code::kInvalidValue, 3, 3);
  }
  for (const int32_t count : {-1, 4}) {
    ScoreCase batch = sound;
    batch.true_counts[1] = count;
    check(batch, Code::kInvalidValue, 2, 3);
  }
  for (const float number :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    ScoreCase batch = make_score_case(recipe, Numbers::kUniform, 3, 2, 4, 3, false, random);
    expected = {};
    REQUIRE(score_on_core(batch, expected).ok());
    batch.truth.back() = number;
    check(batch, Code::kInvalidValue, 4, 5);
  }
}

TEST_CASE("device score: faults name the first completion, and cost no other") {
  check_faults<Task::kGrounding>();
  check_faults<Task::kDetection>();
  check_faults<Task::kCounting>();
}

TEST_CASE("device score: infinite rewards are refused where advantages are wanted") {
  std::mt19937 random(5);
  ScoreCase batch = make_score_case(detection_recipe(), Numbers::kUniform, 2, 2, 2, 2, false, random);
  batch.recipe.terms = {{Term::kFormat, 1e300}};
  batch.recipe.clamp_high = std::numeric_limits<double>::infinity();
  Scoring without(batch, nullptr);
  score_in_lockstep<Task::kDetection, 1, 4>(batch, without);
  CHECK(without.fault == kNoFault);
  CHECK(std::isinf(without.scores.rewards[0]));
  const AdvantageOptions options;
  Scoring with(batch, &options);
  score_in_lockstep<Task::kDetection, 1, 4>(batch, with);
  CHECK(to_status(with.fault).code() == Code::kInvalidValue);
  CHECK((with.fault >> 8) == 0);
}

// Two groups of lanes at once, each of which takes every other completion, so that either may be the one that
// computes the advantages.
template <Task task, int kColumnsPerLane, bool kOptimal = true>
void score_on_threads(const ScoreCase& batch, const AdvantageOptions* options) {
  if constexpr (kOptimal && task != Task::kGrounding)
    if (!is_optimal(batch)) return score_on_threads<task, 0, false>(batch, options);
  constexpr int kLanes = 4;
  CAPTURE(kColumnsPerLane);
  Scoring scoring(batch, options);
  ScoreKernel<task, kColumnsPerLane, kOptimal> kernel{scoring.arguments(),
                                                      layout_of<task>(batch, kColumnsPerLane > 0)};
  const size_t memories = kColumnsPerLane > 0 ? static_cast<size_t>(batch.count) : 2;
  Memory memory(memories * kernel.layout.bytes, 0xa5);
  if constexpr (kColumnsPerLane == 0) {
    kernel.groups = 2;
    kernel.workspace = memory.data();
  }
  {
    std::vector<std::jthread> teams;
    for (int64_t team = 0; team < 2; ++team)
      teams.emplace_back([&, team] {
        run_on_threads<kLanes>([&](ThreadLanes<kLanes>& lanes) {
          if constexpr (kColumnsPerLane == 0)
            kernel(lanes, team, nullptr);
          else
            for (int64_t i = team; i < batch.count; i += 2)
              kernel(lanes, i, memory.data() + static_cast<size_t>(i) * kernel.layout.bytes);
        });
      });
  }
  CoreScores expected;
  REQUIRE(score_on_core(batch, expected).ok());
  CHECK(scoring.fault == kNoFault);
  CHECK(different(scoring.scores.rewards, expected.rewards) == 0);
  CHECK(different(scoring.scores.terms, expected.terms) == 0);
  if (!options) return;
  advantages_on_core(batch, *options, expected);
  CHECK(different(scoring.scores.advantages, expected.advantages) == 0);
}

TEST_CASE("device score on threads: no lane reads what another has not written yet") {
  for_each_case<Task::kDetection>(7, 1, score_on_threads<Task::kDetection, 2>);
  for_each_case<Task::kDetection>(6, 1, score_on_threads<Task::kDetection, 0>);
  for_each_case<Task::kCounting>(7, 1, score_on_threads<Task::kCounting, 2>);
  for_each_case<Task::kCounting>(6, 1, score_on_threads<Task::kCounting, 0>);
  for_each_case<Task::kGrounding>(2, 1, score_on_threads<Task::kGrounding, 1>);
}

}  // namespace
}  // namespace perception::cuda
