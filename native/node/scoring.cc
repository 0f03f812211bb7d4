// Parsing one completion and scoring a batch of them.
#include <array>
#include <cmath>
#include <string_view>
#include <vector>

#include "core/reward/score.h"
#include "core/reward/score_tensors.h"
#include "core/text/completion.h"
#include "node/arguments.h"
#include "node/exports.h"
#include "node/job.h"

namespace perception::node {
namespace {

// Labels as packed strings and their ids.
Vocabulary vocabulary_from(const Napi::Object& object) {
  Vocabulary vocabulary;
  const PackedStrings labels{elements<uint8_t>(object.Get("bytes"), "vocabulary"),
                             elements<int32_t>(object.Get("offsets"), "vocabulary's offsets")};
  const auto ids = elements<int32_t>(object.Get("ids"), "vocabulary's ids");
  if (Status status = validate_offsets(labels.offsets, labels.bytes.size(), "vocabulary's offsets");
      !status.ok())
    throw ArgumentError{status};
  if (ids.size() != labels.size())
    throw ArgumentError{{Code::kShapeMismatch, "vocabulary: expected one id per label"}};
  for (size_t i = 0; i < ids.size(); ++i) vocabulary.add(labels[i], ids[i]);
  return vocabulary;
}

template <class T>
Input<T> optional_input(const Napi::Value& value, const char* name, Hold hold) {
  return value.IsUndefined() ? Input<T>() : Input<T>(value, name, hold);
}

struct ScoreJob {
  Recipe recipe;
  Vocabulary vocabulary;
  PackedInput completions;
  int64_t completions_per_truth;
  Space prediction_space, truth_space;
  Input<int32_t> truth_offsets;
  Input<double> truth_coordinates;
  Input<int32_t> truth_labels;
  PackedInput truth_texts;
  Input<double> image_sizes, resized_sizes;
  Input<int32_t> group_offsets, group_of;
  int32_t groups;
  AdvantageOptions advantage;
  Output<float> rewards, terms, advantages;
  Output<uint8_t> status;
  bool wants_matches;
  Output<int32_t> matches;
  Input<int32_t> match_offsets;
  SpaceCheck space;

  Status run() {
    ScoreRequest request;
    request.recipe = &recipe;
    request.vocabulary = &vocabulary;
    request.completions = completions.strings();
    request.truth = {truth_offsets.span(),  truth_coordinates.span(), truth_labels.span(),
                     truth_texts.strings(), image_sizes.span(),       resized_sizes.span()};
    request.completions_per_truth = completions_per_truth;
    request.prediction_space = prediction_space;
    request.truth_space = truth_space;
    request.group_offsets = group_offsets.span();
    request.group_of = group_of.span();
    request.groups = groups;
    request.advantage = advantage;
    ScoreResult result;
    result.rewards = rewards.span();
    result.terms = terms.span();
    result.advantages = advantages.span();
    result.status = status.span();
    if (wants_matches) {
      result.matches = matches.span();
      result.match_offsets = match_offsets.span();
    }
    PERCEPTION_RETURN_IF_ERROR(score_batch(request, result));
    space = result.space;
    return {};
  }

  Napi::Value result(Napi::Env env) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("predictions", static_cast<double>(space.predictions));
    object.Set("predictionsOutside", static_cast<double>(space.predictions_outside));
    object.Set("truths", static_cast<double>(space.truths));
    object.Set("truthsOutside", static_cast<double>(space.truths_outside));
    return object;
  }
};

Napi::Value score(const Napi::CallbackInfo& info) {
  if (!info[0].IsObject()) throw ArgumentError{{Code::kInvalidArgument, "request: expected an object"}};
  const auto r = info[0].As<Napi::Object>();
  const bool async = flag(info[1], "async");
  const Hold hold = async ? Hold::kKeep : Hold::kView;  // every array is the TypeScript layer's own
  if (!r.Get("recipe").IsObject() || !r.Get("advantage").IsObject())
    throw ArgumentError{{Code::kInvalidArgument, "recipe and advantage: expected objects"}};
  ScoreJob job;
  job.recipe = recipe_from(r.Get("recipe").As<Napi::Object>());
  if (const Napi::Value vocabulary = r.Get("vocabulary"); vocabulary.IsObject())
    job.vocabulary = vocabulary_from(vocabulary.As<Napi::Object>());
  job.completions = {{r.Get("completions"), "completions", hold},
                     {r.Get("completionOffsets"), "completions' offsets", hold}};
  job.completions_per_truth = integer(r.Get("completionsPerTruth"), "completionsPerTruth", 1);
  job.prediction_space = choice(r.Get("predictionSpace"), "coordinates", Space::kUnit);
  job.truth_space = choice(r.Get("truthSpace"), "coordinates", Space::kUnit);
  job.truth_offsets = optional_input<int32_t>(r.Get("truthOffsets"), "groundTruth offsets", hold);
  job.truth_coordinates = optional_input<double>(r.Get("truthCoordinates"), "groundTruth coordinates", hold);
  job.truth_labels = optional_input<int32_t>(r.Get("truthLabels"), "groundTruth labels", hold);
  job.truth_texts = {optional_input<uint8_t>(r.Get("truthTexts"), "groundTruth texts", hold),
                     optional_input<int32_t>(r.Get("truthTextOffsets"), "groundTruth texts' offsets", hold)};
  job.image_sizes = optional_input<double>(r.Get("imageSizes"), "imageSize", hold);
  job.resized_sizes = optional_input<double>(r.Get("resizedSizes"), "resizedSize", hold);
  job.group_offsets = optional_input<int32_t>(r.Get("groupOffsets"), "groupOffsets", hold);
  job.group_of = optional_input<int32_t>(r.Get("groupOf"), "groupIds", hold);
  job.groups = static_cast<int32_t>(integer(r.Get("groups"), "groups"));
  job.advantage = advantage_options(r.Get("advantage").As<Napi::Object>());
  job.rewards = {r.Get("rewards"), "rewards"};
  job.terms = {r.Get("terms"), "terms"};
  job.advantages = {r.Get("advantages"), "advantages"};
  job.status = {r.Get("status"), "status"};
  job.wants_matches = !r.Get("matches").IsUndefined();
  if (job.wants_matches) {
    job.matches = {r.Get("matches"), "matches"};
    job.match_offsets = {r.Get("matchOffsets"), "match offsets", hold};
  }
  return run_job(info.Env(), std::move(job), async);
}

struct TensorScoreJob {
  Recipe recipe;
  int64_t count, predictions_per_truth;
  Input<float> predictions;
  int64_t prediction_rows;
  Input<int32_t> prediction_labels, prediction_counts;
  Input<float> truth;
  int64_t truth_rows;
  Input<int32_t> truth_labels, truth_counts;
  Output<float> rewards, terms;
  Status run() {
    TensorScoreRequest request;
    request.recipe = &recipe;
    request.predictions = {predictions.span(), prediction_labels.span(), prediction_counts.span(),
                           prediction_rows};
    request.truth = {truth.span(), truth_labels.span(), truth_counts.span(), truth_rows};
    request.count = count;
    request.predictions_per_truth = predictions_per_truth;
    return score_tensors(request, rewards.span(), terms.span());
  }
  Napi::Value result(Napi::Env env) { return env.Undefined(); }
};

Napi::Value score_tensors_of(const Napi::CallbackInfo& info) {
  if (!info[0].IsObject()) throw ArgumentError{{Code::kInvalidArgument, "request: expected an object"}};
  const auto r = info[0].As<Napi::Object>();
  const bool async = flag(info[1], "async");
  const Hold hold = async ? Hold::kCopy : Hold::kView;
  if (!r.Get("recipe").IsObject())
    throw ArgumentError{{Code::kInvalidArgument, "recipe: expected an object"}};
  return run_job(info.Env(),
                 TensorScoreJob{recipe_from(r.Get("recipe").As<Napi::Object>()),
                                integer(r.Get("count"), "count"),
                                integer(r.Get("predictionsPerTruth"), "predictionsPerTruth", 1),
                                {r.Get("predictions"), "predictions", hold},
                                integer(r.Get("predictionRows"), "predictionRows"),
                                {r.Get("predictionLabels"), "predictionLabels", hold},
                                {r.Get("predictionCounts"), "predictionCounts", hold},
                                {r.Get("truth"), "truth", hold},
                                integer(r.Get("truthRows"), "truthRows"),
                                {r.Get("truthLabels"), "truthLabels", hold},
                                {r.Get("truthCounts"), "truthCounts", hold},
                                {r.Get("rewards"), "rewards"},
                                {r.Get("terms"), "terms"}},
                 async);
}

Napi::Value array_of(Napi::Env env, const std::vector<float>& values) {
  Napi::Float32Array array = Napi::Float32Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

Napi::Value array_of(Napi::Env env, const std::vector<uint8_t>& values) {
  Napi::Uint8Array array = Napi::Uint8Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

// A string as UTF-8, in memory that is kept between calls.
std::string_view utf8_of(const Napi::Value& value, std::vector<char>& memory) {
  const napi_env env = value.Env();
  if (memory.empty()) memory.resize(4096);
  for (;;) {
    size_t size = 0;
    if (napi_get_value_string_utf8(env, value, memory.data(), memory.size(), &size) != napi_ok)
      throw Napi::Error::New(env);
    // Less than a character is free only where the string may have been cut.
    if (size + 4 < memory.size()) return {memory.data(), size};
    if (napi_get_value_string_utf8(env, value, nullptr, 0, &size) != napi_ok) throw Napi::Error::New(env);
    memory.resize(size + 8);
  }
}

// Labels as JavaScript strings. Most are met again in the same answer.
class LabelStrings {
 public:
  LabelStrings(Napi::Env env, const ParsedCompletion& parsed) : env_(env), parsed_(parsed) {}

  napi_value operator()(const ParsedObject& object) {
    if (!object.has_label) return env_.Null();
    const std::string_view label = parsed_.label(object);
    for (size_t i = 0; i < known_; ++i)
      if (labels_[i] == label) return strings_[i];
    const napi_value string = Napi::String::New(env_, label.data(), label.size());
    if (known_ < labels_.size()) {
      labels_[known_] = label;
      strings_[known_++] = string;
    }
    return string;
  }

 private:
  Napi::Env env_;
  const ParsedCompletion& parsed_;
  size_t known_ = 0;
  std::array<std::string_view, 16> labels_;
  std::array<napi_value, 16> strings_;
};

// parse(text: string, reader: number, vocabulary?) -> see ParsedObjects in src/native/binding.ts
Napi::Value parse(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsString()) throw ArgumentError{{Code::kInvalidArgument, "text: expected a string"}};
  thread_local std::vector<char> memory;
  const std::string_view text = utf8_of(info[0], memory);
  const Reader reader = choice(info[1], "reader", Reader::kPr1Counting);
  thread_local ParsedCompletion parsed;
  switch (reader) {
    case Reader::kPr1Grounding:
      read_pr1_grounding(text, parsed);
      break;
    case Reader::kPr1Detection: {
      if (!info[2].IsObject()) throw ArgumentError{{Code::kInvalidArgument, "vocabulary: expected one"}};
      read_pr1_detection(text, vocabulary_from(info[2].As<Napi::Object>()), parsed);
      break;
    }
    case Reader::kPr1Counting:
      read_pr1_counting(text, parsed);
      break;
    default:
      read_any(text, parsed);
  }
  std::vector<float> boxes, points;
  std::vector<uint8_t> box_faults, point_faults;
  Napi::Array labels = Napi::Array::New(env), point_labels = Napi::Array::New(env),
              rejected = Napi::Array::New(env);
  LabelStrings label_strings(env, parsed);
  for (const ParsedObject& object : parsed.objects) {
    const napi_value label = label_strings(object);
    switch (object.kind) {
      case ObjectKind::kBox:
        labels.Set(static_cast<uint32_t>(box_faults.size()), label);
        for (const double c : object.coordinates) boxes.push_back(static_cast<float>(c));
        box_faults.push_back(object.faults);
        break;
      case ObjectKind::kPoint:
        point_labels.Set(static_cast<uint32_t>(point_faults.size()), label);
        points.push_back(static_cast<float>(object.coordinates[0]));
        points.push_back(static_cast<float>(object.coordinates[1]));
        point_faults.push_back(object.faults);
        break;
      case ObjectKind::kRejected: {
        // The text itself rather than its place: places are counted in bytes of UTF-8 here, in UTF-16 units
        // there.
        Napi::Object item = Napi::Object::New(env);
        item.Set("text", Napi::String::New(env, text.data() + object.text_begin,
                                           object.text_end - object.text_begin));
        item.Set("faults", object.faults);
        rejected.Set(rejected.Length(), item);
        break;
      }
    }
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("boxes", array_of(env, boxes));
  result.Set("labels", labels);
  result.Set("boxFaults", array_of(env, box_faults));
  result.Set("points", array_of(env, points));
  result.Set("pointLabels", point_labels);
  result.Set("pointFaults", array_of(env, point_faults));
  result.Set("rejected", rejected);
  result.Set("status", parsed.faults);
  return result;
}

}  // namespace

Recipe recipe_from(const Napi::Object& object) {
  Recipe recipe;
  recipe.task = choice(object.Get("task"), "recipe.task", Task::kOcr);
  recipe.reader = choice(object.Get("reader"), "recipe.reader", Reader::kText);
  const auto terms = elements<int32_t>(object.Get("terms"), "recipe.terms");
  const auto weights = elements<double>(object.Get("weights"), "recipe.weights");
  if (terms.size() != weights.size())
    throw ArgumentError{{Code::kShapeMismatch, "recipe: expected one weight per term"}};
  if (terms.size() > kTerms)
    throw ArgumentError{{Code::kInvalidArgument, "recipe: expected each term at most once"}};
  for (size_t i = 0; i < terms.size(); ++i) {
    if (terms[i] < 0 || terms[i] > static_cast<int32_t>(Term::kBleu) || !std::isfinite(weights[i]))
      throw ArgumentError{{Code::kInvalidArgument, "recipe: unknown term or weight that is not finite"}};
    recipe.terms.push_back({static_cast<Term>(terms[i]), weights[i]});
  }
  recipe.clamp_low = number(object.Get("clampLow"), "recipe.clamp");
  recipe.clamp_high = number(object.Get("clampHigh"), "recipe.clamp");
  if (!(recipe.clamp_low <= recipe.clamp_high))
    throw ArgumentError{{Code::kInvalidArgument, "recipe.clamp: expected [low, high] with low <= high"}};
  const int64_t space = integer(object.Get("space"), "recipe.space", -1, 2);
  recipe.space_fixed = space >= 0;
  if (recipe.space_fixed) recipe.space = static_cast<Space>(space);
  recipe.format_gate = flag(object.Get("formatGate"), "recipe.formatGate");
  recipe.count_faulty = flag(object.Get("countFaulty"), "recipe.countFaulty");
  recipe.format_only_without_match =
      flag(object.Get("formatOnlyWithoutMatch"), "recipe.formatOnlyWithoutMatch");
  recipe.iou_power = number(object.Get("iouPower"), "recipe.iouPower");
  recipe.iou_epsilon = number(object.Get("iouEpsilon"), "recipe.iouEpsilon");
  recipe.cost_l1 = number(object.Get("costL1"), "recipe.costs.l1");
  recipe.cost_giou = number(object.Get("costGiou"), "recipe.costs.giou");
  recipe.cost_class = number(object.Get("costClass"), "recipe.costs.class");
  recipe.min_iou = number(object.Get("minIou"), "recipe.minIou");
  recipe.classes = static_cast<int32_t>(integer(object.Get("classes"), "recipe.classes", 1));
  recipe.matching = choice(object.Get("matching"), "recipe.matcher.method", MatchingMethod::kInOrder);
  return recipe;
}

void export_scoring(Napi::Env env, Napi::Object exports) {
  exports.Set("score",
              Napi::Function::New(
                  env, [](const Napi::CallbackInfo& info) { return exported(info, score); }, "score"));
  exports.Set("scoreTensors",
              Napi::Function::New(
                  env, [](const Napi::CallbackInfo& info) { return exported(info, score_tensors_of); },
                  "scoreTensors"));
  exports.Set("parse",
              Napi::Function::New(
                  env, [](const Napi::CallbackInfo& info) { return exported(info, parse); }, "parse"));
}

}  // namespace perception::node
