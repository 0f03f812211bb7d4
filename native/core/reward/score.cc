#include "core/reward/score.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
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

// What lies outside a space: beyond the image, where its extent is known; or, for spaces of large numbers,
// all within 0..1, which only a unit space has.
class Limits {
 public:
  Limits() = default;
  Limits(const Scale& extent, Space space) : large_(space != Space::kUnit) {
    if (extent.x > 0) {
      low_.x = -kOutsideTolerance * extent.x;
      high_.x = (1 + kOutsideTolerance) * extent.x;
    }
    if (extent.y > 0) {
      low_.y = -kOutsideTolerance * extent.y;
      high_.y = (1 + kOutsideTolerance) * extent.y;
    }
  }

  bool exclude_point(const double* c) const { return exclude(c[0], c[1], c[0], c[1]); }
  bool exclude_box(const double* c) const {
    return exclude(std::min(c[0], c[2]), std::min(c[1], c[3]), std::max(c[0], c[2]), std::max(c[1], c[3]));
  }

 private:
  // Without branches, since nearly all lie inside.
  bool exclude(double x1, double y1, double x2, double y2) const {
    const double least = std::min(x1, y1), most = std::max(x2, y2);
    return (x1 < low_.x) | (y1 < low_.y) | (x2 > high_.x) | (y2 > high_.y) |
           (large_ & (least >= 0) & (most <= 1) & (most > 0));
  }

  static constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Scale low_{-kInfinity, -kInfinity}, high_{kInfinity, kInfinity};
  bool large_ = true;
};

// The ground truth that several completions share.
struct Prompt {
  size_t truth = 0;
  size_t first = 0, objects = 0;  // [first, first + objects)
  Frame frame;
  Limits limits;    // of predictions
  TrueBoxes boxes;  // detection
};

// A completion that is being scored.
struct Answer {
  const Prompt* prompt = nullptr;
  std::span<int32_t> matches;  // [objects] or empty
  TermValues values;
  uint8_t status = 0;
  bool earns = false;  // anything at all; the terms are 0 otherwise
  // Detection: the usable predictions are [first, first + usable) of the block's.
  size_t first = 0, usable = 0, faulty = 0;
};

// Completions are scored in blocks, whose matchings are found together.
constexpr size_t kBlock = 16;

// Memory that is kept between the blocks of one thread.
struct Scratch {
  ParsedCompletion parsed;
  std::array<Prompt, kBlock> prompts;
  std::array<Answer, kBlock> answers;
  // Detection: the usable predictions of all answers of the block.
  std::vector<Corners<float>> predicted_boxes;
  std::vector<int32_t> predicted_labels, prediction_of_row, object_of_prediction;
  std::vector<DetectionItems> detections;
  std::vector<double> predicted_points, true_points;
  Matching matching;
  EditDistance edit_distance;
  std::u32string prediction_text, truth_text;
  std::string text;
};

class Scorer {
 public:
  explicit Scorer(const ScoreRequest& request) : request_(request), recipe_(*request.recipe) {}

  // Scores completions [begin, end), a block of them at most. Not inlined, so that the thread's scratch
  // memory is looked up once.
  [[gnu::noinline]] void score_block(size_t begin, size_t end, Scratch& scratch, ScoreResult& result,
                                     SpaceCheck& check) const {
    size_t prompts = 0;
    scratch.predicted_boxes.clear();
    scratch.predicted_labels.clear();
    scratch.prediction_of_row.clear();
    for (size_t i = begin; i < end; ++i) {
      const size_t truth = i / static_cast<size_t>(request_.completions_per_truth);
      if (prompts == 0 || scratch.prompts[prompts - 1].truth != truth)
        set_prompt(truth, scratch.prompts[prompts++]);
      Answer& answer = scratch.answers[i - begin];
      answer = {};
      answer.prompt = &scratch.prompts[prompts - 1];
      if (!result.match_offsets.empty()) {
        answer.matches =
            result.matches.subspan(static_cast<size_t>(result.match_offsets[i]), answer.prompt->objects);
        std::fill(answer.matches.begin(), answer.matches.end(), -1);
      }
      score(request_.completions[i], answer, scratch, check);
    }
    const std::span<Answer> answers(scratch.answers.data(), end - begin);
    if (recipe_.task == Task::kDetection) match(answers, scratch);
    for (size_t i = begin; i < end; ++i) {
      Answer& answer = answers[i - begin];
      if (!answer.earns || !passes_gate(recipe_, answer.values)) {
        answer.values = {};
        answer.earns = false;
      }
      result.rewards[i] = answer.earns ? static_cast<float>(total_reward(recipe_, answer.values)) : 0.0f;
      const size_t count = result.rewards.size();
      for (size_t term = 0; term < recipe_.terms.size(); ++term)
        result.terms[term * count + i] = static_cast<float>(answer.values[recipe_.terms[term].term]);
      result.status[i] = answer.status;
    }
  }

  void check_truth_space(SpaceCheck& check) const {
    if (recipe_.task == Task::kOcr) return;
    const size_t width = recipe_.task == Task::kCounting ? 2 : 4;
    const size_t prompts = request_.truth.offsets.size() - 1;
    for (size_t i = 0; i < prompts; ++i) {
      const Limits limits(extent(request_.truth_space, size_of(request_.truth.image_sizes, i)),
                          request_.truth_space);
      const auto begin = static_cast<size_t>(request_.truth.offsets[i]);
      const auto end = static_cast<size_t>(request_.truth.offsets[i + 1]);
      const double* values = request_.truth.coordinates.data() + width * begin;
      for (size_t k = begin; k < end; ++k, values += width)
        check.truths_outside += width == 2 ? limits.exclude_point(values) : limits.exclude_box(values);
      check.truths += static_cast<int64_t>(end - begin);
    }
  }

 private:
  static const double* size_of(std::span<const double> sizes, size_t truth) {
    if (sizes.empty() || sizes[2 * truth] == 0) return nullptr;
    return sizes.data() + 2 * truth;
  }

  Frame frame_of(size_t truth) const {
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

  void set_prompt(size_t truth, Prompt& prompt) const {
    prompt.truth = truth;
    if (recipe_.task == Task::kOcr) return;
    prompt.first = static_cast<size_t>(request_.truth.offsets[truth]);
    prompt.objects = static_cast<size_t>(request_.truth.offsets[truth + 1]) - prompt.first;
    prompt.frame = frame_of(truth);
    prompt.limits = Limits(prompt.frame.prediction_extent, request_.prediction_space);
    if (recipe_.task != Task::kDetection) return;
    prompt.boxes.resize(prompt.objects);
    for (size_t k = 0; k < prompt.objects; ++k)
      prompt.boxes.set(k, true_box(prompt, k).as<float>(), request_.truth.labels[prompt.first + k]);
  }

  // Reads a completion and scores it; of detection the matching is still to come.
  void score(std::string_view completion, Answer& answer, Scratch& scratch, SpaceCheck& check) const {
    if (recipe_.task == Task::kOcr) {
      score_ocr(completion, answer, scratch);
      return;
    }
    ParsedCompletion& parsed = scratch.parsed;
    read(completion, parsed);
    answer.status = parsed.faults;
    if (recipe_.reader != Reader::kAny) answer.values[Term::kFormat] = parsed.format;
    check_space(parsed, answer.prompt->limits, check);
    answer.earns = !parsed.failed && !(parsed.failed_only_with_truth && answer.prompt->objects > 0);
    if (!answer.earns) return;
    switch (recipe_.task) {
      case Task::kGrounding:
        return score_grounding(answer, scratch);
      case Task::kDetection:
        return add_detections(answer, scratch);
      default:
        return score_counting(answer, scratch);
    }
  }

  // Adds this completion's predictions to the check of the declared space.
  static void check_space(const ParsedCompletion& parsed, const Limits& limits, SpaceCheck& check) {
    for (const ParsedObject& object : parsed.objects) {
      if (object.kind == ObjectKind::kRejected) continue;
      ++check.predictions;
      check.predictions_outside += object.kind == ObjectKind::kBox ? limits.exclude_box(object.coordinates)
                                                                   : limits.exclude_point(object.coordinates);
    }
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

  Corners<double> true_box(const Prompt& prompt, size_t k) const {
    const double* box = request_.truth.coordinates.data() + 4 * (prompt.first + k);
    const Scale& by = prompt.frame.truth_factor;
    return {box[0] * by.x, box[1] * by.y, box[2] * by.x, box[3] * by.y};
  }

  static Corners<double> predicted_box(const Prompt& prompt, const ParsedObject& object) {
    const Scale& by = prompt.frame.prediction_factor;
    const double* box = object.coordinates;
    return {box[0] * by.x, box[1] * by.y, box[2] * by.x, box[3] * by.y};
  }

  void score_grounding(Answer& answer, const Scratch& scratch) const {
    const std::vector<ParsedObject>& objects = scratch.parsed.objects;
    const auto found = std::find_if(objects.begin(), objects.end(), [](const ParsedObject& object) {
      return object.kind == ObjectKind::kBox;
    });
    if (recipe_.reader == Reader::kAny)
      answer.values[Term::kFormat] =
          objects.size() == 1 && scratch.parsed.faults == 0 && objects[0].kind == ObjectKind::kBox;
    if (found == objects.end()) return;
    answer.values[Term::kIou] =
        grounding_iou(recipe_, predicted_box(*answer.prompt, *found), true_box(*answer.prompt, 0));
    if (!answer.matches.empty()) answer.matches[0] = 0;
  }

  void add_detections(Answer& answer, Scratch& scratch) const {
    ParsedCompletion& parsed = scratch.parsed;
    answer.first = scratch.predicted_boxes.size();
    int32_t prediction = 0;
    for (ParsedObject& object : parsed.objects) {
      const bool read = object.kind == ObjectKind::kBox;
      const Corners<float> box = predicted_box(*answer.prompt, object).as<float>();
      if (recipe_.reader == Reader::kAny && read) {
        object.label_id =
            object.has_label
                ? request_.vocabulary->find(parsed.label(object), parsed.labels.size() - object.label_begin)
                : -1;
        if (object.label_id < 0) object.faults |= kFaultUnknownLabel;
        if (!matchable(box)) object.faults |= kFaultNonFinite;
        answer.status |= object.faults;
      }
      if (read && object.faults == 0) {
        scratch.predicted_boxes.push_back(box);
        scratch.predicted_labels.push_back(object.label_id);
        scratch.prediction_of_row.push_back(prediction);
      }
      prediction += object.kind != ObjectKind::kRejected;
    }
    answer.usable = scratch.predicted_boxes.size() - answer.first;
    answer.faulty = parsed.objects.size() - answer.usable;
    if (recipe_.reader == Reader::kAny)
      answer.values[Term::kFormat] =
          usable_share(parsed.objects.size(), answer.faulty, answer.prompt->objects);
  }

  void match(std::span<Answer> answers, Scratch& scratch) const {
    scratch.object_of_prediction.resize(scratch.predicted_boxes.size());
    scratch.detections.clear();
    for (const Answer& answer : answers) {
      if (!answer.earns) continue;
      const auto part = [&](auto& of_all) { return std::span(of_all).subspan(answer.first, answer.usable); };
      scratch.detections.push_back({part(scratch.predicted_boxes), part(scratch.predicted_labels),
                                    &answer.prompt->boxes, answer.faulty,
                                    part(scratch.object_of_prediction)});
    }
    match_detections(recipe_, scratch.detections, scratch.matching);
    auto detection = scratch.detections.begin();
    for (Answer& answer : answers) {
      if (!answer.earns) continue;
      answer.earns = detection->matched;
      if (answer.earns) {
        detection_terms(recipe_, *detection, answer.values);
        write_matches(detection->object_of_prediction,
                      std::span(scratch.prediction_of_row).subspan(answer.first, answer.usable), answer);
      }
      ++detection;
    }
  }

  void score_counting(Answer& answer, Scratch& scratch) const {
    const Prompt& prompt = *answer.prompt;
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
        const Scale& by = prompt.frame.prediction_factor;
        scratch.predicted_points.push_back((box ? (c[0] + c[2]) / 2 : c[0]) * by.x);
        scratch.predicted_points.push_back((box ? (c[1] + c[3]) / 2 : c[1]) * by.y);
        scratch.prediction_of_row.push_back(prediction);
      }
      prediction += object.kind != ObjectKind::kRejected;
    }
    for (size_t k = 0; k < prompt.objects; ++k) {
      const double* point = request_.truth.coordinates.data() + 2 * (prompt.first + k);
      scratch.true_points.push_back(point[0] * prompt.frame.truth_factor.x);
      scratch.true_points.push_back(point[1] * prompt.frame.truth_factor.y);
    }
    if (recipe_.reader == Reader::kAny)
      answer.values[Term::kFormat] = usable_share(scratch.parsed.objects.size(), faulty, prompt.objects);
    const CountingItems items{scratch.predicted_points, scratch.true_points, faulty};
    answer.earns = counting_terms(recipe_, items, scratch.matching, answer.values);
    if (answer.earns) write_matches(scratch.matching.object_of_prediction, scratch.prediction_of_row, answer);
  }

  static void write_matches(std::span<const int32_t> object_of_row,
                            std::span<const int32_t> prediction_of_row, Answer& answer) {
    if (answer.matches.empty()) return;
    for (size_t row = 0; row < object_of_row.size(); ++row)
      if (const int32_t object = object_of_row[row]; object >= 0)
        answer.matches[static_cast<size_t>(object)] = prediction_of_row[row];
  }

  void score_ocr(std::string_view completion, Answer& answer, Scratch& scratch) const {
    answer.earns = true;
    TermValues& values = answer.values;
    const std::string_view prediction = read_text(completion, scratch.text);
    const std::string_view truth = request_.truth.texts[answer.prompt->truth];
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
  // A page of OCR is worth a block of its own.
  const int64_t grain = recipe.task == Task::kOcr ? 1 : int64_t{kBlock};
  std::vector<SpaceCheck> checks(static_cast<size_t>((count + grain - 1) / grain));
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    thread_local Scratch scratch;
    scorer.score_block(static_cast<size_t>(begin), static_cast<size_t>(end), scratch, result,
                       checks[static_cast<size_t>(begin / grain)]);
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
