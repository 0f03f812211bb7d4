// The plug-in's scores against core's: the same bits for rewards and terms; advantages of groups of up to 32
// too, others to 1e-6.
#include <doctest.h>

#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "cuda/plugin_status.h"
#include "plugin_support.h"
#include "score_cases.h"

namespace perception::cuda {
namespace {

// A batch in the device's memory. `shift` numbers lie before the boxes and points, which moves them off the
// alignment that memory begins with.
class DeviceScoring {
 public:
  explicit DeviceScoring(const ScoreCase& batch, size_t shift = 0)
      : batch_(batch),
        shift_(shift),
        predicted_(shifted(batch.predicted, shift)),
        truth_(shifted(batch.truth, shift)),
        labels_(batch.labels),
        true_labels_(batch.true_labels),
        counts_(batch.counts),
        true_counts_(batch.true_counts),
        rewards_(static_cast<size_t>(batch.count)),
        terms_(static_cast<size_t>(batch.count) * batch.recipe.terms.size()),
        advantages_(static_cast<size_t>(batch.count)),
        mean_(static_cast<size_t>(batch.groups())),
        std_(static_cast<size_t>(batch.groups())) {}

  // Without options no advantages; without `moments` neither mean nor std.
  int32_t score(const AdvantageOptions* options, bool moments = true) {
    const bool labelled = batch_.recipe.task == Task::kDetection;
    const ScoreBatch batch = {&batch_.recipe,
                              {predicted_.data() + shift_, labelled ? labels_.data() : nullptr,
                               batch_.counts.empty() ? nullptr : counts_.data(), batch_.rows},
                              {truth_.data() + shift_, labelled ? true_labels_.data() : nullptr,
                               batch_.true_counts.empty() ? nullptr : true_counts_.data(), batch_.true_rows},
                              batch_.count,
                              batch_.per_truth};
    const Scores scores = {rewards_.data(), terms_.data(), options ? advantages_.data() : nullptr,
                           moments ? mean_.data() : nullptr, moments ? std_.data() : nullptr};
    return plugin().score(0, &batch, options, &scores, fault_.cell());
  }

  CoreScores read() const {
    return {rewards_.read(), terms_.read(), advantages_.read(), mean_.read(), std_.read()};
  }
  Status fault() const { return fault_.read(); }

 private:
  static std::vector<float> shifted(std::vector<float> values, size_t shift) {
    values.insert(values.begin(), shift, std::numeric_limits<float>::quiet_NaN());
    return values;
  }

  const ScoreCase& batch_;
  const size_t shift_;
  DeviceArray<float> predicted_, truth_;
  DeviceArray<int32_t> labels_, true_labels_, counts_, true_counts_;
  DeviceArray<float> rewards_, terms_, advantages_, mean_, std_;
  DeviceFault fault_;
};

void check_close(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  int64_t far = 0;
  for (size_t i = 0; i < a.size(); ++i)
    far += !(std::abs(a[i] - b[i]) <= 1e-6f * std::max(1.0f, std::abs(b[i]))) &&
           !(std::isnan(a[i]) && std::isnan(b[i]));
  CHECK(far == 0);
}

void check_scores(const ScoreCase& batch, const AdvantageOptions* options, size_t shift = 0) {
  CAPTURE(batch.rows);
  CAPTURE(batch.true_rows);
  CAPTURE(batch.per_truth);
  DeviceScoring scoring(batch, shift);
  succeed(scoring.score(options));
  CHECK(scoring.fault().ok());
  const CoreScores scores = scoring.read();
  CoreScores expected;
  REQUIRE(score_on_core(batch, expected).ok());
  CHECK(different(scores.rewards, expected.rewards) == 0);
  CHECK(different(scores.terms, expected.terms) == 0);
  if (!options) return;
  advantages_on_core(batch, *options, expected);
  if (batch.per_truth <= 32 && options->scale != AdvantageScale::kBatch) {
    CHECK(different(scores.advantages, expected.advantages) == 0);
    CHECK(different(scores.mean, expected.mean) == 0);
    CHECK(different(scores.std, expected.std) == 0);
  } else {
    check_close(scores.advantages, expected.advantages);
    check_close(scores.mean, expected.mean);
    check_close(scores.std, expected.std);
  }
}

// Batches of all recipes and numbers of a task, with predictions x objects up to the given ones.
void check_sizes(Task task, int64_t rows, int64_t true_rows, int64_t groups, int64_t per_truth) {
  std::mt19937 random(static_cast<unsigned>(1000 * rows + true_rows));
  const std::vector<AdvantageOptions> options = advantage_options();
  size_t turn = 0;
  for (const Recipe& recipe : recipes_of(task))
    for (int numbers = 0; numbers < kNumberKinds; ++numbers) {
      ++turn;
      check_scores(make_score_case(recipe, static_cast<Numbers>(numbers), groups, per_truth, rows, true_rows,
                                   turn % 2 == 0, random),
                   turn % 4 == 0 ? nullptr : &options[turn % options.size()], turn % 3 == 0 ? 1 : 0);
    }
}

struct Size {
  int64_t rows, true_rows;
};

TEST_CASE("plugin score: thousands of completions of every task") {
  for (const Task task : {Task::kGrounding, Task::kDetection, Task::kCounting})
    for (const Size size : {Size{6, 5}, Size{1, 1}, Size{32, 32}})
      for (const int64_t per_truth : {1, 8, 16}) check_sizes(task, size.rows, size.true_rows, 12, per_truth);
}

TEST_CASE("plugin score: sizes on both sides of every switch, either side the longer one") {
  for (const Task task : {Task::kDetection, Task::kCounting})
    for (const Size size : {Size{33, 32}, Size{3, 33}, Size{60, 70}, Size{128, 20}, Size{129, 128},
                            Size{5, 1024}, Size{1025, 4}, Size{12, 1500}})
      check_sizes(task, size.rows, size.true_rows, 1, 2);
}

// Costs that fill the shared memory of a block, or do not fit in it: by the limit of most GPUs between 60
// KiB and 227 KiB.
TEST_CASE("plugin score: costs that fit in shared memory, and that do not") {
  std::mt19937 random(7);
  for (const int64_t rows : {90, 130, 160, 170, 210, 230, 240}) {
    const bool counting = rows % 20 == 10;
    const Recipe recipe = recipes_of(counting ? Task::kCounting : Task::kDetection)[0];
    check_scores(make_score_case(recipe, rows % 3 == 0 ? Numbers::kBroken : Numbers::kUniform, 1, 2, rows,
                                 rows - 2, false, random),
                 nullptr);
  }
}

TEST_CASE("plugin score: more completions than groups of lanes that share a workspace") {
  std::mt19937 random(8);
  const AdvantageOptions options;
  const Recipe recipe = recipes_of(Task::kCounting)[0];
  check_scores(make_score_case(recipe, Numbers::kUniform, 300, 2, 3, 1100, true, random), &options);
}

TEST_CASE("plugin score: nothing to score, to find or to match") {
  for (const Task task : {Task::kGrounding, Task::kDetection, Task::kCounting}) {
    check_sizes(task, 0, 3, 2, 3);
    check_sizes(task, 3, 0, 2, 3);
    check_sizes(task, 0, 0, 2, 3);
    check_sizes(task, 3, 3, 0, 3);
    check_sizes(task, 40, 0, 1, 1);
    check_sizes(task, 0, 2000, 1, 1);
  }
}

TEST_CASE("plugin score: advantages of large groups and of whole batches") {
  std::mt19937 random(9);
  for (const int64_t per_truth : {1, 2, 5, 32, 33, 100})
    for (const AdvantageScale scale : {AdvantageScale::kGroup, AdvantageScale::kBatch}) {
      const AdvantageOptions options = {.scale = scale};
      check_scores(make_score_case(detection_recipe(), Numbers::kUniform, 7, per_truth, 5, 4, true, random),
                   &options);
    }
}

TEST_CASE("plugin score: advantages without their mean and std") {
  std::mt19937 random(10);
  const ScoreCase batch = make_score_case(detection_recipe(), Numbers::kUniform, 5, 4, 5, 4, true, random);
  CoreScores expected;
  REQUIRE(score_on_core(batch, expected).ok());
  const AdvantageOptions options;
  advantages_on_core(batch, options, expected);
  DeviceScoring scoring(batch);
  succeed(scoring.score(&options, false));
  const CoreScores scores = scoring.read();
  CHECK(different(scores.advantages, expected.advantages) == 0);
  for (const float mean : scores.mean) CHECK(std::isnan(mean));  // as they were
}

// The power of a number may differ from the host's in its last bits.
TEST_CASE("plugin score: grounding by any power") {
  std::mt19937 random(11);
  for (const double power : {0.5, 1.5, 3.0}) {
    Recipe recipe = recipes_of(Task::kGrounding)[0];
    recipe.iou_power = power;
    const ScoreCase batch = make_score_case(recipe, Numbers::kUniform, 40, 4, 1, 1, false, random);
    CoreScores expected;
    REQUIRE(score_on_core(batch, expected).ok());
    DeviceScoring scoring(batch);
    succeed(scoring.score(nullptr));
    check_close(scoring.read().rewards, expected.rewards);
    check_close(scoring.read().terms, expected.terms);
  }
}

TEST_CASE("plugin score: wrong counts and infinite ground truth are told, and cost only themselves") {
  std::mt19937 random(12);
  const ScoreCase sound = make_score_case(detection_recipe(), Numbers::kUniform, 3, 2, 4, 3, true, random);
  CoreScores expected;
  REQUIRE(score_on_core(sound, expected).ok());
  const auto check = [&](const ScoreCase& batch, const char* message, std::vector<size_t> failed) {
    DeviceScoring scoring(batch);
    succeed(scoring.score(nullptr));
    CHECK(scoring.fault().message().starts_with(message));
    CoreScores reduced = expected;
    for (const size_t i : failed)
      for (size_t term = 0; term <= batch.recipe.terms.size(); ++term)
        (term == 0 ? reduced.rewards[i] : reduced.terms[(term - 1) * 6 + i]) =
            std::numeric_limits<float>::quiet_NaN();
    const CoreScores scores = scoring.read();
    CHECK(different(scores.rewards, reduced.rewards) == 0);
    CHECK(different(scores.terms, reduced.terms) == 0);
  };
  ScoreCase batch = sound;
  batch.counts[5] = 5;
  batch.counts[2] = -1;
  check(batch, "problem 2: counts", {2, 5});
  batch = sound;
  batch.true_counts[1] = 4;
  check(batch, "problem 2: counts", {2, 3});
  batch = sound;
  batch.true_counts[2] = 1;
  batch.truth[2 * 3 * 4 + 1] = std::numeric_limits<float>::infinity();
  check(batch, "problem 4: expected finite", {4, 5});
}

TEST_CASE("plugin score: refuses what core refuses, in its words") {
  std::mt19937 random(13);
  const AdvantageOptions options;
  ScoreCase batch = make_score_case(detection_recipe(), Numbers::kUniform, 3, 2, 2, 2, false, random);
  const auto check = [&](Code code, const ScoreBatch& request, const std::string& message) {
    DeviceArray<float> numbers(100);
    const Scores scores = {numbers.data(), numbers.data(), numbers.data(), nullptr, nullptr};
    CHECK(plugin().score(0, &request, &options, &scores, nullptr) == static_cast<int32_t>(code));
    CHECK(plugin().last_error() == message);
  };
  const DeviceArray<float> values(48);
  const DeviceArray<int32_t> labels(12);
  const Objects predictions = {values.data(), labels.data(), nullptr, 2}, truth = predictions;
  const Recipe& recipe = batch.recipe;
  Recipe ocr;
  ocr.task = Task::kOcr;
  check(Code::kInvalidArgument, {&ocr, predictions, truth, 6, 2},
        "recipe: expected one over boxes or points, received one for OCR");
  for (const int64_t per_truth : {0, -1, 4})
    check(Code::kShapeMismatch, {&recipe, predictions, truth, 6, per_truth},
          "truth: expected a number of entries that divides 6, the number of predictions");
  check(Code::kShapeMismatch, {&recipe, predictions, truth, -1, 1},
        "truth: expected a number of entries that divides -1, the number of predictions");
  Objects other = predictions;
  other.rows = -1;
  check(Code::kShapeMismatch, {&recipe, other, truth, 6, 2},
        "predictions: expected no negative dimension, received -1");
  check(Code::kShapeMismatch, {&recipe, predictions, other, 6, 2},
        "truth: expected no negative dimension, received -1");
  other.rows = 32768;
  check(Code::kTooLarge, {&recipe, predictions, other, 6, 2},
        "truth: expected at most 32767 rows on a GPU, received 32768; the CPU scores more");
  other = predictions;
  other.labels = nullptr;
  check(Code::kShapeMismatch, {&recipe, other, truth, 6, 2},
        "predictions labels: expected length 12, received 0");
  check(Code::kShapeMismatch, {&recipe, predictions, other, 6, 2},
        "truth labels: expected length 6, received 0");
}

}  // namespace
}  // namespace perception::cuda
