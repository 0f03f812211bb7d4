#include "core/reward/score_tensors.h"

#include <cmath>
#include <string>
#include <vector>

#include "core/base/ragged.h"
#include "core/base/thread_pool.h"
#include "core/reward/terms.h"

namespace perception {
namespace {

struct Scratch {
  std::vector<Corners<float>> predicted_boxes;
  std::vector<int32_t> predicted_labels, object_of_prediction;
  TrueBoxes true_boxes;
  std::vector<double> predicted_points, true_points;
  Matching matching;
};

class TensorScorer {
 public:
  explicit TensorScorer(const TensorScoreRequest& request)
      : request_(request), recipe_(*request.recipe), width_(recipe_.task == Task::kCounting ? 2 : 4) {}

  // Fills `values`; false where the answer earns nothing.
  bool score(int64_t answer, Scratch& scratch, TermValues& values) const {
    const int64_t prompt = answer / request_.predictions_per_truth;
    const float* predicted = row_of(request_.predictions, answer);
    const float* truth = row_of(request_.truth, prompt);
    const size_t predictions = count_of(request_.predictions, answer),
                 objects = count_of(request_.truth, prompt);
    switch (recipe_.task) {
      case Task::kGrounding:
        return score_grounding(predicted, predictions, truth, objects, values);
      case Task::kDetection:
        return score_detection(answer, prompt, predicted, predictions, truth, objects, scratch, values);
      default:
        return score_counting(predicted, predictions, truth, objects, scratch, values);
    }
  }

 private:
  const float* row_of(const PaddedObjects& objects, int64_t entry) const {
    return objects.values.data() + entry * objects.rows * width_;
  }

  static size_t count_of(const PaddedObjects& objects, int64_t entry) {
    return static_cast<size_t>(objects.counts.empty() ? objects.rows
                                                      : objects.counts[static_cast<size_t>(entry)]);
  }

  static std::span<const int32_t> labels_of(const PaddedObjects& objects, int64_t entry, size_t count) {
    return objects.labels.subspan(static_cast<size_t>(entry * objects.rows), count);
  }

  static Corners<float> corners(const float* box) { return to_corners(box, BoxFormat::kXyxy); }

  bool score_grounding(const float* predicted, size_t predictions, const float* truth, size_t objects,
                       TermValues& values) const {
    if (predictions == 0 || objects == 0) return true;
    const Corners<float> box = corners(predicted);
    const bool usable = matchable(box);
    values[Term::kFormat] = predictions == 1 && usable && !inverted(box);
    if (usable) values[Term::kIou] = grounding_iou(recipe_, box.as<double>(), corners(truth).as<double>());
    return true;
  }

  bool score_detection(int64_t answer, int64_t prompt, const float* predicted, size_t predictions,
                       const float* truth, size_t objects, Scratch& scratch, TermValues& values) const {
    const std::span<const int32_t> labels = labels_of(request_.predictions, answer, predictions);
    scratch.predicted_boxes.clear();
    scratch.predicted_labels.clear();
    for (size_t k = 0; k < predictions; ++k) {
      const Corners<float> box = corners(predicted + 4 * k);
      const bool broken = !matchable(box) || inverted(box);
      // The released code raises, so that one such box costs the whole answer.
      if (broken && recipe_.reader == Reader::kPr1Detection && objects > 0) return false;
      if (broken || labels[k] < 0) continue;
      scratch.predicted_boxes.push_back(box);
      scratch.predicted_labels.push_back(labels[k]);
    }
    const std::span<const int32_t> true_labels = labels_of(request_.truth, prompt, objects);
    scratch.true_boxes.resize(objects);
    for (size_t k = 0; k < objects; ++k) scratch.true_boxes.set(k, corners(truth + 4 * k), true_labels[k]);
    const size_t usable = scratch.predicted_boxes.size();
    scratch.object_of_prediction.resize(usable);
    values[Term::kFormat] = usable_share(predictions, predictions - usable, objects);
    DetectionItems items{scratch.predicted_boxes, scratch.predicted_labels, &scratch.true_boxes,
                         predictions - usable, scratch.object_of_prediction};
    match_detections(recipe_, {&items, 1}, scratch.matching);
    if (items.matched) detection_terms(recipe_, items, values);
    return items.matched;
  }

  bool score_counting(const float* predicted, size_t predictions, const float* truth, size_t objects,
                      Scratch& scratch, TermValues& values) const {
    scratch.predicted_points.clear();
    scratch.true_points.assign(truth, truth + 2 * objects);
    for (size_t k = 0; k < predictions; ++k) {
      const float x = predicted[2 * k], y = predicted[2 * k + 1];
      if (!std::isfinite(x) || !std::isfinite(y)) continue;
      scratch.predicted_points.push_back(x);
      scratch.predicted_points.push_back(y);
    }
    const size_t faulty = predictions - scratch.predicted_points.size() / 2;
    values[Term::kFormat] = usable_share(predictions, faulty, objects);
    return counting_terms(recipe_, {scratch.predicted_points, scratch.true_points, faulty}, scratch.matching,
                          values);
  }

  const TensorScoreRequest& request_;
  const Recipe& recipe_;
  const int64_t width_;
};

Status validate_objects(const PaddedObjects& objects, int64_t entries, int64_t width, bool labelled,
                        const char* name) {
  PERCEPTION_RETURN_IF_ERROR(check_shape(objects.values.size(), {entries, objects.rows, width}, name));
  if (labelled)
    PERCEPTION_RETURN_IF_ERROR(
        check_shape(objects.labels.size(), {entries, objects.rows}, (std::string(name) + " labels").c_str()));
  return validate_counts(objects.counts, entries, objects.rows, name);
}

// Ground truth is finite wherever it counts; padding may hold anything.
Status validate_truth(const TensorScoreRequest& request, int64_t width) {
  const PaddedObjects& truth = request.truth;
  const int64_t entries = request.count / request.predictions_per_truth;
  for (int64_t entry = 0; entry < entries; ++entry) {
    const int64_t used = truth.counts.empty() ? truth.rows : truth.counts[static_cast<size_t>(entry)];
    const size_t first = static_cast<size_t>(entry * truth.rows * width);
    for (size_t i = first; i < first + static_cast<size_t>(used * width); ++i)
      if (!std::isfinite(truth.values[i]))
        return {Code::kInvalidValue, "truth: expected finite numbers, received " +
                                         std::to_string(truth.values[i]) + " at index " + std::to_string(i)};
  }
  return {};
}

}  // namespace

Status score_tensors(const TensorScoreRequest& request, std::span<float> rewards, std::span<float> terms) {
  const Recipe& recipe = *request.recipe;
  if (recipe.task == Task::kOcr)
    return {Code::kInvalidArgument, "recipe: expected one over boxes or points, received one for OCR"};
  if (request.count < 0 || request.predictions_per_truth < 1 ||
      request.count % request.predictions_per_truth != 0)
    return {Code::kShapeMismatch, "truth: expected a number of entries that divides " +
                                      std::to_string(request.count) + ", the number of predictions"};
  const int64_t width = recipe.task == Task::kCounting ? 2 : 4;
  const bool labelled = recipe.task == Task::kDetection;
  PERCEPTION_RETURN_IF_ERROR(
      validate_objects(request.predictions, request.count, width, labelled, "predictions"));
  PERCEPTION_RETURN_IF_ERROR(validate_objects(request.truth, request.count / request.predictions_per_truth,
                                              width, labelled, "truth"));
  const auto count = static_cast<size_t>(request.count);
  PERCEPTION_RETURN_IF_ERROR(check_length(rewards.size(), count, "rewards"));
  PERCEPTION_RETURN_IF_ERROR(check_length(terms.size(), count * recipe.terms.size(), "terms"));
  PERCEPTION_RETURN_IF_ERROR(validate_truth(request, width));

  const TensorScorer scorer(request);
  parallel_for(request.count, 16, [&](int64_t begin, int64_t end) {
    thread_local Scratch scratch;
    for (int64_t i = begin; i < end; ++i) {
      TermValues values;
      const bool earns = scorer.score(i, scratch, values) && passes_gate(recipe, values);
      const auto answer = static_cast<size_t>(i);
      if (!earns) values = {};
      rewards[answer] = earns ? static_cast<float>(total_reward(recipe, values)) : 0.0f;
      for (size_t term = 0; term < recipe.terms.size(); ++term)
        terms[term * count + answer] = static_cast<float>(values[recipe.terms[term].term]);
    }
  });
  return {};
}

}  // namespace perception
