#include "core/reward/score.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/geometry/box.h"
#include "core/reward/terms.h"
#include "core/text/edit_distance.h"
#include "core/text/token_metrics.h"
#include "core/text/utf8.h"

namespace perception {
namespace {

// Coordinates may leave the image a little without being of another space.
constexpr double kOutsideTolerance = 0.05;

struct Scale {
  double x = 1, y = 1;
};

// Width and height of the image in units of `space`; `pixels` is null where the size is not known.
Scale extent(Space space, const double* pixels) {
  switch (space) {
    case Space::kUnit:
      return {1, 1};
    case Space::kPerMille:
      return {1000, 1000};
    case Space::kPixels:
      break;
  }
  return pixels ? Scale{pixels[0], pixels[1]} : Scale{0, 0};
}

Scale ratio(const Scale& to, const Scale& from) { return {to.x / from.x, to.y / from.y}; }

// How one prompt's coordinates come into the space of the formulas.
struct Frame {
  Scale prediction_extent, truth_extent;  // 0 where not known
  Scale prediction_factor, truth_factor;
};

// What one completion needs beside its text, and the scratch memory that is kept between completions of one
// thread.
struct Scratch {
  ParsedCompletion parsed;
  std::vector<Corners<float>> predicted_boxes, true_boxes;
  std::vector<int32_t> predicted_labels, prediction_of_row;
  std::vector<double> predicted_points, true_points;
  Matching matching;
  EditDistance edit_distance;
  std::u32string prediction_text, truth_text;
  std::string text;
};

// One completion: its ground truth and where its matches go.
struct Item {
  std::string_view completion;
  int64_t truth = 0;
  size_t first = 0, objects = 0;  // ground truth objects [first, first + objects)
  Frame frame;
  std::span<int32_t> matches;  // [objects] or empty
};

class Scorer {
 public:
  explicit Scorer(const ScoreRequest& request) : request_(request), recipe_(*request.recipe) {}

  Frame frame_of(int64_t truth) const {
    const double* image = size_of(request_.truth.image_sizes, truth);
    const double* resized = size_of(request_.truth.resized_sizes, truth);
    const Space space = recipe_.space_fixed ? recipe_.space : request_.truth_space;
    Frame frame;
    frame.prediction_extent = extent(request_.prediction_space, resized ? resized : image);
    frame.truth_extent = extent(request_.truth_space, image);
    // Equal spaces need no size, unless the model saw an image of another size than the annotation's.
    if (request_.truth_space != space) frame.truth_factor = ratio(extent(space, image), frame.truth_extent);
    if (request_.prediction_space != space || (space == Space::kPixels && resized))
      frame.prediction_factor = ratio(extent(space, image), frame.prediction_extent);
    return frame;
  }

  // Fills `values` with the recipe's terms; false where the completion earns nothing at all (terms are 0
  // then).
  bool score(const Item& item, Scratch& scratch, TermValues& values, uint8_t& status) const {
    std::fill(item.matches.begin(), item.matches.end(), -1);
    if (recipe_.task == Task::kOcr) {
      status = 0;
      score_ocr(item, scratch, values);
      return true;
    }
    ParsedCompletion& parsed = scratch.parsed;
    read(item.completion, parsed);
    status = parsed.faults;
    if (recipe_.reader != Reader::kAny) values[Term::kFormat] = parsed.format;
    const bool failed = parsed.failed || (parsed.failed_only_with_truth && item.objects > 0);
    if (!failed && score_objects(item, scratch, values, status) && passes_gate(recipe_, values)) return true;
    values = {};
    return false;
  }

  // Adds this completion's predictions to the check of the declared space.
  void check_space(const Item& item, const ParsedCompletion& parsed, SpaceCheck& check) const {
    for (const ParsedObject& object : parsed.objects) {
      if (object.kind == ObjectKind::kRejected) continue;
      ++check.predictions;
      check.predictions_outside += outside(object.coordinates, object.kind == ObjectKind::kBox ? 4 : 2,
                                           item.frame.prediction_extent, request_.prediction_space);
    }
  }

  void check_truth_space(SpaceCheck& check) const {
    if (recipe_.task == Task::kOcr) return;
    const int width = recipe_.task == Task::kCounting ? 2 : 4;
    const size_t prompts = request_.truth.offsets.size() - 1;
    for (size_t i = 0; i < prompts; ++i) {
      const Scale limits =
          extent(request_.truth_space, size_of(request_.truth.image_sizes, static_cast<int64_t>(i)));
      for (int32_t k = request_.truth.offsets[i]; k < request_.truth.offsets[i + 1]; ++k) {
        ++check.truths;
        check.truths_outside += outside(request_.truth.coordinates.data() + size_t(k) * width, width, limits,
                                        request_.truth_space);
      }
    }
  }

 private:
  static const double* size_of(std::span<const double> sizes, int64_t truth) {
    if (sizes.empty() || sizes[static_cast<size_t>(2 * truth)] == 0) return nullptr;
    return sizes.data() + 2 * truth;
  }

  // Beyond the image; or, for spaces of large numbers, all within 0..1, which only a unit space has.
  static bool outside(const double* coordinates, int width, const Scale& limits, Space space) {
    bool all_small = true, any_nonzero = false;
    for (int i = 0; i < width; ++i) {
      const double value = coordinates[i], limit = i % 2 == 0 ? limits.x : limits.y;
      if (limit > 0 && (value < -kOutsideTolerance * limit || value > (1 + kOutsideTolerance) * limit))
        return true;
      all_small &= value >= 0 && value <= 1;
      any_nonzero |= value != 0;
    }
    return space != Space::kUnit && all_small && any_nonzero;
  }

  void read(std::string_view text, ParsedCompletion& parsed) const {
    switch (recipe_.reader) {
      case Reader::kPr1Grounding:
        return read_pr1_grounding(text, parsed);
      case Reader::kPr1Detection:
        return read_pr1_detection(text, *request_.vocabulary, parsed);
      case Reader::kPr1Counting:
        return read_pr1_counting(text, parsed);
      default:
        return read_any(text, parsed);
    }
  }

  Corners<double> true_box(const Item& item, size_t k) const {
    const double* box = request_.truth.coordinates.data() + 4 * (item.first + k);
    const Scale& by = item.frame.truth_factor;
    return {box[0] * by.x, box[1] * by.y, box[2] * by.x, box[3] * by.y};
  }

  static Corners<double> predicted_box(const Item& item, const ParsedObject& object) {
    const Scale& by = item.frame.prediction_factor;
    const double* box = object.coordinates;
    return {box[0] * by.x, box[1] * by.y, box[2] * by.x, box[3] * by.y};
  }

  // False where the completion earns nothing, because its numbers allow no matching.
  bool score_objects(const Item& item, Scratch& scratch, TermValues& values, uint8_t& status) const {
    switch (recipe_.task) {
      case Task::kGrounding:
        score_grounding(item, scratch, values);
        return true;
      case Task::kDetection:
        return score_detection(item, scratch, values, status);
      default:
        return score_counting(item, scratch, values);
    }
  }

  void score_grounding(const Item& item, const Scratch& scratch, TermValues& values) const {
    const std::vector<ParsedObject>& objects = scratch.parsed.objects;
    const auto found = std::find_if(objects.begin(), objects.end(), [](const ParsedObject& object) {
      return object.kind == ObjectKind::kBox;
    });
    if (recipe_.reader == Reader::kAny)
      values[Term::kFormat] =
          objects.size() == 1 && scratch.parsed.faults == 0 && objects[0].kind == ObjectKind::kBox;
    if (found == objects.end()) return;
    values[Term::kIou] = grounding_iou(recipe_, predicted_box(item, *found), true_box(item, 0));
    if (!item.matches.empty()) item.matches[0] = 0;
  }

  bool score_detection(const Item& item, Scratch& scratch, TermValues& values, uint8_t& status) const {
    ParsedCompletion& parsed = scratch.parsed;
    scratch.predicted_boxes.clear();
    scratch.true_boxes.clear();
    scratch.predicted_labels.clear();
    scratch.prediction_of_row.clear();
    size_t faulty = 0;
    int32_t prediction = 0;
    for (ParsedObject& object : parsed.objects) {
      const bool read = object.kind == ObjectKind::kBox;
      const Corners<float> box = predicted_box(item, object).as<float>();
      if (recipe_.reader == Reader::kAny && read) {
        object.label_id = object.has_label ? request_.vocabulary->find(parsed.label(object)) : -1;
        if (object.label_id < 0) object.faults |= kFaultUnknownLabel;
        if (!matchable(box)) object.faults |= kFaultNonFinite;
        status |= object.faults;
      }
      if (read && object.faults == 0) {
        scratch.predicted_boxes.push_back(box);
        scratch.predicted_labels.push_back(object.label_id);
        scratch.prediction_of_row.push_back(prediction);
      } else {
        ++faulty;
      }
      prediction += object.kind != ObjectKind::kRejected;
    }
    for (size_t k = 0; k < item.objects; ++k) scratch.true_boxes.push_back(true_box(item, k).as<float>());
    if (recipe_.reader == Reader::kAny)
      values[Term::kFormat] = usable_share(parsed.objects.size(), faulty, item.objects);
    const DetectionItems items{scratch.predicted_boxes, scratch.true_boxes, scratch.predicted_labels,
                               request_.truth.labels.subspan(item.first, item.objects), faulty};
    if (!detection_terms(recipe_, items, scratch.matching, values)) return false;
    write_matches(item, scratch);
    return true;
  }

  bool score_counting(const Item& item, Scratch& scratch, TermValues& values) const {
    scratch.predicted_points.clear();
    scratch.true_points.clear();
    scratch.prediction_of_row.clear();
    size_t faulty = 0;
    int32_t prediction = 0;
    for (const ParsedObject& object : scratch.parsed.objects) {
      if (object.kind == ObjectKind::kRejected || (recipe_.count_faulty && object.faults != 0)) {
        ++faulty;
      } else {
        const double* c = object.coordinates;
        const bool box = object.kind == ObjectKind::kBox;
        scratch.predicted_points.push_back((box ? (c[0] + c[2]) / 2 : c[0]) * item.frame.prediction_factor.x);
        scratch.predicted_points.push_back((box ? (c[1] + c[3]) / 2 : c[1]) * item.frame.prediction_factor.y);
        scratch.prediction_of_row.push_back(prediction);
      }
      prediction += object.kind != ObjectKind::kRejected;
    }
    for (size_t k = 0; k < item.objects; ++k) {
      const double* point = request_.truth.coordinates.data() + 2 * (item.first + k);
      scratch.true_points.push_back(point[0] * item.frame.truth_factor.x);
      scratch.true_points.push_back(point[1] * item.frame.truth_factor.y);
    }
    if (recipe_.reader == Reader::kAny)
      values[Term::kFormat] = usable_share(scratch.parsed.objects.size(), faulty, item.objects);
    const CountingItems items{scratch.predicted_points, scratch.true_points, faulty};
    if (!counting_terms(recipe_, items, scratch.matching, values)) return false;
    write_matches(item, scratch);
    return true;
  }

  static void write_matches(const Item& item, const Scratch& scratch) {
    if (item.matches.empty()) return;
    for (size_t row = 0; row < scratch.prediction_of_row.size(); ++row)
      if (const int32_t object = scratch.matching.object_of_prediction[row]; object >= 0)
        item.matches[static_cast<size_t>(object)] = scratch.prediction_of_row[row];
  }

  void score_ocr(const Item& item, Scratch& scratch, TermValues& values) const {
    const std::string_view prediction = read_text(item.completion, scratch.text);
    const std::string_view truth = request_.truth.texts[static_cast<size_t>(item.truth)];
    bool by_distance = false, by_tokens = false;
    for (const WeightedTerm& weighted : recipe_.terms)
      (weighted.term == Term::kSimilarity ? by_distance : by_tokens) = true;
    if (by_distance) {
      scratch.prediction_text.clear();
      scratch.truth_text.clear();
      decode_utf8(prediction, scratch.prediction_text);
      decode_utf8(truth, scratch.truth_text);
      const size_t longest = std::max(scratch.prediction_text.size(), scratch.truth_text.size());
      const auto distance =
          static_cast<double>(scratch.edit_distance(scratch.prediction_text, scratch.truth_text));
      values[Term::kSimilarity] = longest == 0 ? 1 : 1 - distance / static_cast<double>(longest);
    }
    if (!by_tokens) return;
    const TokenScores tokens = token_scores(prediction, truth);
    values[Term::kPrecision] = tokens.precision;
    values[Term::kRecall] = tokens.recall;
    values[Term::kF1] = tokens.f1;
    values[Term::kBleu] = tokens.bleu;
  }

  const ScoreRequest& request_;
  const Recipe& recipe_;
};

Status expect_finite(std::span<const double> values, const char* name) {
  for (size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]))
      return {Code::kInvalidValue, std::string(name) + "[" + std::to_string(i) +
                                       "]: expected a finite number, received " + std::to_string(values[i])};
  return {};
}

// Sizes are positive or 0 for "not known", and known wherever pixels are converted.
Status validate_sizes(const ScoreRequest& request, size_t prompts) {
  const TruthBatch& truth = request.truth;
  for (const auto& sizes : {truth.image_sizes, truth.resized_sizes}) {
    if (sizes.empty()) continue;
    PERCEPTION_RETURN_IF_ERROR(check_length(sizes.size(), 2 * prompts, "image sizes"));
    for (size_t i = 0; i < sizes.size(); i += 2)
      if (!(sizes[i] >= 0 && sizes[i + 1] >= 0) || !std::isfinite(sizes[i] + sizes[i + 1]) ||
          (sizes[i] == 0) != (sizes[i + 1] == 0))
        return {Code::kInvalidValue,
                "image sizes: expected positive finite numbers of pixels for ground truth " +
                    std::to_string(i / 2)};
  }
  const Space space = request.recipe->space_fixed ? request.recipe->space : request.truth_space;
  const bool pixels = request.prediction_space == Space::kPixels || request.truth_space == Space::kPixels ||
                      space == Space::kPixels;
  const bool converts = request.prediction_space != space || request.truth_space != space;
  for (size_t i = 0; i < prompts && pixels; ++i) {
    const bool resized = !truth.resized_sizes.empty() && truth.resized_sizes[2 * i] != 0;
    const bool known = !truth.image_sizes.empty() && truth.image_sizes[2 * i] != 0;
    if ((converts || resized) && !known)
      return {Code::kInvalidArgument,
              "coordinates: pixels are to be converted, but the image size of ground truth " +
                  std::to_string(i) + " is not known"};
  }
  return {};
}

// Everything that could touch memory is checked here, whatever the caller promised.
Status validate(const ScoreRequest& request, const ScoreResult& result) {
  const PackedStrings& completions = request.completions;
  PERCEPTION_RETURN_IF_ERROR(
      validate_offsets(completions.offsets, completions.bytes.size(), "completions' offsets"));
  const size_t count = completions.size();
  if (request.completions_per_truth < 1 || count % static_cast<size_t>(request.completions_per_truth) != 0)
    return {Code::kInvalidArgument, "completions per ground truth: expected a divisor of " +
                                        std::to_string(count) + ", received " +
                                        std::to_string(request.completions_per_truth)};
  const size_t prompts = count / static_cast<size_t>(request.completions_per_truth);
  const TruthBatch& truth = request.truth;
  const Task task = request.recipe->task;
  if (task == Task::kOcr) {
    PERCEPTION_RETURN_IF_ERROR(
        validate_offsets(truth.texts.offsets, truth.texts.bytes.size(), "ground truth texts' offsets"));
    PERCEPTION_RETURN_IF_ERROR(check_length(truth.texts.size(), prompts, "ground truth texts"));
  } else {
    const size_t width = task == Task::kCounting ? 2 : 4;
    PERCEPTION_RETURN_IF_ERROR(
        validate_offsets(truth.offsets, truth.coordinates.size() / width, "ground truth offsets"));
    PERCEPTION_RETURN_IF_ERROR(check_length(truth.offsets.size(), prompts + 1, "ground truth offsets"));
    const size_t objects = static_cast<size_t>(truth.offsets.back());
    PERCEPTION_RETURN_IF_ERROR(
        check_length(truth.coordinates.size(), objects * width, "ground truth coordinates"));
    PERCEPTION_RETURN_IF_ERROR(expect_finite(truth.coordinates, "ground truth coordinates"));
    if (task == Task::kDetection) {
      if (!request.vocabulary) return {Code::kInvalidArgument, "vocabulary: expected one for detection"};
      PERCEPTION_RETURN_IF_ERROR(check_length(truth.labels.size(), objects, "ground truth labels"));
    }
    if (task == Task::kGrounding)
      for (size_t i = 0; i < prompts; ++i)
        if (truth.offsets[i + 1] - truth.offsets[i] != 1)
          return {Code::kShapeMismatch, "ground truth " + std::to_string(i) +
                                            ": expected exactly one box for grounding, received " +
                                            std::to_string(truth.offsets[i + 1] - truth.offsets[i])};
  }
  if (task != Task::kOcr) PERCEPTION_RETURN_IF_ERROR(validate_sizes(request, prompts));
  PERCEPTION_RETURN_IF_ERROR(check_length(result.rewards.size(), count, "rewards"));
  PERCEPTION_RETURN_IF_ERROR(
      check_length(result.terms.size(), count * request.recipe->terms.size(), "terms"));
  PERCEPTION_RETURN_IF_ERROR(check_length(result.advantages.size(), count, "advantages"));
  PERCEPTION_RETURN_IF_ERROR(check_length(result.status.size(), count, "status"));
  if (!result.match_offsets.empty()) {
    PERCEPTION_RETURN_IF_ERROR(
        validate_offsets(result.match_offsets, result.matches.size(), "match offsets"));
    PERCEPTION_RETURN_IF_ERROR(check_length(result.match_offsets.size(), count + 1, "match offsets"));
    for (size_t i = 0; i < count && task != Task::kOcr; ++i) {
      const size_t prompt = i / static_cast<size_t>(request.completions_per_truth);
      if (result.match_offsets[i + 1] - result.match_offsets[i] !=
          truth.offsets[prompt + 1] - truth.offsets[prompt])
        return {Code::kShapeMismatch, "match offsets: expected one entry per object of the ground truth"};
    }
  }
  return {};
}

}  // namespace

Status score_batch(const ScoreRequest& request, ScoreResult& result) {
  PERCEPTION_RETURN_IF_ERROR(validate(request, result));
  const Recipe& recipe = *request.recipe;
  const Scorer scorer(request);
  const auto count = static_cast<int64_t>(request.completions.size());
  // A page of OCR is worth a chunk of its own; short answers are taken by the dozen.
  const int64_t grain = recipe.task == Task::kOcr ? 1 : 16;
  std::vector<SpaceCheck> checks(static_cast<size_t>((count + grain - 1) / grain));

  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    thread_local Scratch scratch;
    SpaceCheck& check = checks[static_cast<size_t>(begin / grain)];
    for (int64_t i = begin; i < end; ++i) {
      Item item;
      item.completion = request.completions[static_cast<size_t>(i)];
      item.truth = i / request.completions_per_truth;
      if (recipe.task != Task::kOcr) {
        const auto prompt = static_cast<size_t>(item.truth);
        item.first = static_cast<size_t>(request.truth.offsets[prompt]);
        item.objects = static_cast<size_t>(request.truth.offsets[prompt + 1]) - item.first;
        item.frame = scorer.frame_of(item.truth);
        if (!result.match_offsets.empty())
          item.matches = result.matches.subspan(static_cast<size_t>(result.match_offsets[i]), item.objects);
      }
      TermValues values;
      uint8_t status = 0;
      double total = 0;
      if (scorer.score(item, scratch, values, status)) total = total_reward(recipe, values);
      if (recipe.task != Task::kOcr) scorer.check_space(item, scratch.parsed, check);
      result.rewards[static_cast<size_t>(i)] = static_cast<float>(total);
      for (size_t term = 0; term < recipe.terms.size(); ++term)
        result.terms[term * static_cast<size_t>(count) + static_cast<size_t>(i)] =
            static_cast<float>(values[recipe.terms[term].term]);
      result.status[static_cast<size_t>(i)] = status;
    }
  });

  result.space = {};
  for (const SpaceCheck& check : checks) {
    result.space.predictions += check.predictions;
    result.space.predictions_outside += check.predictions_outside;
  }
  scorer.check_truth_space(result.space);

  const bool by_id = !request.group_of.empty();
  const size_t groups = by_id ? static_cast<size_t>(std::max(request.groups, 0))
                              : std::max<size_t>(request.group_offsets.size(), 1) - 1;
  std::vector<float> mean(groups), std(groups);
  if (by_id)
    return group_advantages_by_id(result.rewards, request.group_of, request.groups, request.advantage,
                                  result.advantages, mean, std);
  return group_advantages(result.rewards, request.group_offsets, request.advantage, result.advantages, mean,
                          std);
}

}  // namespace perception
