// Batches of completions for the tests of the plug-in's scores, with core's rewards, terms and advantages.
#pragma once

#include <doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/advantage/group_advantages.h"
#include "core/reward/score_tensors.h"
#include "detection_recipe.h"

namespace perception {

// One recipe for each way in which a task's formulas can go.
inline std::vector<Recipe> recipes_of(Task task) {
  std::vector<Recipe> recipes;
  const auto add = [&](Recipe recipe, const auto& change) {
    change(recipe);
    recipes.push_back(recipe);
  };
  if (task == Task::kDetection) {
    const Recipe recipe = detection_recipe();
    add(recipe, [](Recipe&) {});
    add(recipe, [](Recipe& r) {
      r.count_faulty = false;
      r.clamp_low = -std::numeric_limits<double>::infinity();
      r.min_iou = 0;
    });
    add(recipe, [](Recipe& r) {  // as released
      r.reader = Reader::kPr1Detection;
      r.format_only_without_match = true;
      r.count_faulty = false;
      r.iou_epsilon = 1e-8;
      r.classes = 80;
    });
    add(recipe, [](Recipe& r) {
      r.format_only_without_match = true;
      r.format_gate = true;
      r.min_iou = 0.1;
    });
    add(recipe, [](Recipe& r) { r.cost_l1 = r.cost_giou = r.cost_class = r.min_iou = 0; });  // all tied
    add(recipe, [](Recipe& r) { r.cost_l1 = r.cost_giou = 0; });
    add(recipe, [](Recipe& r) { r.cost_giou = 1e300; });  // costs that no matching allows
    for (const MatchingMethod method : {MatchingMethod::kGreedy, MatchingMethod::kInOrder}) {
      add(recipe, [&](Recipe& r) {
        r.matching = method;
        r.min_iou = 0.1;
      });
      add(recipe, [&](Recipe& r) {  // ties
        r.matching = method;
        r.cost_l1 = r.cost_giou = r.min_iou = 0;
      });
      add(recipe, [&](Recipe& r) {
        r.matching = method;
        r.cost_giou = 1e300;
      });
    }
  } else if (task == Task::kCounting) {
    Recipe recipe;
    recipe.task = task;
    recipe.terms = {{Term::kCounting, 1}, {Term::kCount, 0.5}, {Term::kProximity, 0.25}, {Term::kFormat, 0}};
    add(recipe, [](Recipe&) {});
    add(recipe, [](Recipe& r) {
      r.count_faulty = true;
      r.clamp_low = 0;
      r.clamp_high = 1;
    });
    add(recipe, [](Recipe& r) { r.format_gate = true; });
    for (const MatchingMethod method : {MatchingMethod::kGreedy, MatchingMethod::kInOrder})
      add(recipe, [&](Recipe& r) { r.matching = method; });
  } else {
    Recipe recipe;
    recipe.task = task;
    recipe.terms = {{Term::kIou, 1}, {Term::kFormat, 0.5}};
    add(recipe, [](Recipe&) {});
    add(recipe, [](Recipe& r) { r.iou_power = 2; });
    add(recipe, [](Recipe& r) { r.format_gate = true; });
  }
  return recipes;
}

enum class Numbers {
  kUniform,
  kTied,   // few integers: equal boxes, boxes without area, costs that tie
  kBroken  // many that are inverted, huge, infinite or NaN, and labels that are not known
};
constexpr int kNumberKinds = 3;

struct ScoreCase {
  Recipe recipe;
  int64_t count, per_truth, rows, true_rows;
  std::vector<float> predicted, truth;
  std::vector<int32_t> labels, true_labels, counts, true_counts;  // counts: none where all rows are used

  int64_t groups() const { return count / per_truth; }
  size_t width() const { return recipe.task == Task::kCounting ? 2 : 4; }
};

struct CoreScores {
  std::vector<float> rewards, terms, advantages, mean, std;
};

// `predictions` and `objects` are rows; with counts a part of them is used, and the rest is NaN.
inline ScoreCase make_score_case(const Recipe& recipe, Numbers numbers, int64_t groups, int64_t per_truth,
                                 int64_t rows, int64_t true_rows, bool with_counts, std::mt19937& random) {
  const auto below = [&](size_t limit) { return static_cast<int32_t>(random() % limit); };
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  ScoreCase batch{recipe, groups * per_truth, per_truth, rows, true_rows, {}, {}, {}, {}, {}, {}};

  const auto number = [&](bool of_truth) -> float {
    if (numbers == Numbers::kBroken && below(40) == 0) {
      constexpr float kFinite[] = {1e30f, -1e30f, 1e18f, 3e38f, -3e38f, 1e-40f, -0.0f, 2e18f};
      constexpr float kOther[] = {kInfinity, -kInfinity, kNan};
      return of_truth || below(2) ? kFinite[static_cast<size_t>(below(std::size(kFinite)))]
                                  : kOther[static_cast<size_t>(below(std::size(kOther)))];
    }
    if (numbers == Numbers::kTied) return static_cast<float>(below(5));
    return static_cast<float>(random() / 4294967296.0 * 100);
  };
  const auto item = [&](bool of_truth, float* to) {
    for (size_t i = 0; i < batch.width(); ++i) to[i] = number(of_truth);
    if (batch.width() == 2) return;
    for (size_t i = 0; i < 2; ++i)
      if (to[i] > to[i + 2] && (numbers != Numbers::kBroken || below(8) != 0)) std::swap(to[i], to[i + 2]);
  };
  const auto fill = [&](int64_t entries, int64_t used_rows, bool of_truth, std::vector<float>& values,
                        std::vector<int32_t>& labels, std::vector<int32_t>& counts) {
    const size_t width = batch.width();
    values.assign(static_cast<size_t>(entries * used_rows) * width, kNan);
    labels.assign(static_cast<size_t>(entries * used_rows), 0);
    for (int64_t entry = 0; entry < entries; ++entry) {
      const int64_t used = with_counts ? below(static_cast<size_t>(used_rows) + 1) : used_rows;
      if (with_counts) counts.push_back(static_cast<int32_t>(used));
      for (int64_t k = 0; k < used; ++k) {
        const size_t at = static_cast<size_t>(entry * used_rows + k);
        item(of_truth, &values[at * width]);
        labels[at] = numbers == Numbers::kBroken && below(4) == 0 ? -1 : below(3);
        // Most predictions are near an object, as those of models are.
        if (of_truth || numbers != Numbers::kUniform || below(4) == 0 || batch.true_rows == 0) continue;
        const size_t object = static_cast<size_t>(entry / per_truth * true_rows + k % true_rows);
        if (std::isnan(batch.truth[object * width])) continue;
        for (size_t i = 0; i < width; ++i)
          values[at * width + i] = batch.truth[object * width + i] + values[at * width + i] / 50;
        if (below(4) != 0) labels[at] = batch.true_labels[object];
      }
    }
  };
  fill(groups, true_rows, true, batch.truth, batch.true_labels, batch.true_counts);
  fill(batch.count, rows, false, batch.predicted, batch.labels, batch.counts);
  return batch;
}

inline Status score_on_core(const ScoreCase& batch, CoreScores& scores) {
  scores.rewards.resize(static_cast<size_t>(batch.count));
  scores.terms.resize(static_cast<size_t>(batch.count) * batch.recipe.terms.size());
  return score_tensors({&batch.recipe,
                        {batch.predicted, batch.labels, batch.counts, batch.rows},
                        {batch.truth, batch.true_labels, batch.true_counts, batch.true_rows},
                        batch.count,
                        batch.per_truth},
                       scores.rewards, scores.terms);
}

// Of groups of per_truth rewards, into `scores`.
inline void advantages_on_core(const ScoreCase& batch, const AdvantageOptions& options, CoreScores& scores) {
  std::vector<int32_t> offsets;
  for (int64_t i = 0; i <= batch.groups(); ++i) offsets.push_back(static_cast<int32_t>(i * batch.per_truth));
  scores.advantages.resize(scores.rewards.size());
  scores.mean.resize(static_cast<size_t>(batch.groups()));
  scores.std.resize(scores.mean.size());
  const Status status =
      group_advantages(scores.rewards, offsets, options, scores.advantages, scores.mean, scores.std);
  INFO(status.message());
  REQUIRE(status.ok());
}

// How many numbers do not have the same bits; one NaN is as good as another.
inline int64_t different(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  int64_t count = 0;
  for (size_t i = 0; i < a.size(); ++i)
    count += std::bit_cast<uint32_t>(a[i]) != std::bit_cast<uint32_t>(b[i]) &&
             !(std::isnan(a[i]) && std::isnan(b[i]));
  return count;
}

// One set of options for each way in which advantages of a group can go.
inline std::vector<AdvantageOptions> advantage_options() {
  return {{},
          {.ddof = 0},
          {.scale = AdvantageScale::kNone},
          {.baseline = AdvantageBaseline::kLeaveOneOut, .epsilon = 0, .clip_low = -0.5, .clip_high = 1}};
}

}  // namespace perception
