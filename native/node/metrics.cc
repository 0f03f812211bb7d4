// Evaluation of detections, and COCO's files.
#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/metrics/coco_files.h"
#include "core/metrics/detection.h"
#include "node/arguments.h"
#include "node/exports.h"
#include "node/job.h"

namespace perception::node {
namespace {

struct ProtocolInput {
  BoxFormat format;
  int32_t categories;
  bool by_category;
  Input<double> thresholds, area_ranges;
  Input<int32_t> max_detections;

  DetectionProtocol protocol() const {
    return {format, categories, by_category, thresholds.span(), area_ranges.span(), max_detections.span()};
  }
};

struct TruthInput {
  Input<double> boxes;
  Input<int32_t> categories, offsets;
  Input<double> areas;
  Input<uint8_t> crowd, ignore;

  DetectionTruth truth() const {
    return {boxes.span(), categories.span(), offsets.span(), areas.span(), crowd.span(), ignore.span()};
  }
};

struct DetectionsInput {
  Input<double> boxes;
  Input<int32_t> categories, offsets;
  Input<double> scores;

  Detections detections() const { return {boxes.span(), categories.span(), offsets.span(), scores.span()}; }
};

template <class T>
Output<T> optional_output(const Napi::Value& value, const char* name) {
  return value.IsUndefined() ? Output<T>() : Output<T>(value, name);
}

TruthInput truth_input(const Napi::Object& r, Hold hold) {
  return {{r.Get("truthBoxes"), "groundTruth boxes", hold},
          {r.Get("truthCategories"), "groundTruth labels", hold},
          {r.Get("truthOffsets"), "groundTruth offsets", hold},
          {r.Get("truthAreas"), "groundTruth areas", hold},
          {r.Get("truthCrowd"), "groundTruth crowd", hold},
          {r.Get("truthIgnore"), "groundTruth ignore", hold}};
}

DetectionsInput detections_input(const Napi::Object& r, Hold hold) {
  return {{r.Get("boxes"), "detections boxes", hold},
          {r.Get("categories"), "detections labels", hold},
          {r.Get("offsets"), "detections offsets", hold},
          {r.Get("scores"), "detections scores", hold}};
}

ProtocolInput protocol_input(const Napi::Object& r, Hold hold) {
  return {choice(r.Get("format"), "format", BoxFormat::kCxcywh),
          static_cast<int32_t>(integer(r.Get("categoryCount"), "categories")),
          flag(r.Get("byCategory"), "useCategories"),
          {r.Get("thresholds"), "iouThresholds", hold},
          {r.Get("areaRanges"), "areaRanges", hold},
          {r.Get("maxDetections"), "maxDetections", hold}};
}

struct EvaluateJob {
  TruthInput truth;
  DetectionsInput detections;
  ProtocolInput protocol;
  Output<double> average_precision, recall;
  Output<int32_t> objects;
  Output<double> precision, scores;
  Output<int32_t> matches;
  Output<uint8_t> ignored, ignored_truth;
  Status run() {
    return evaluate_detections(truth.truth(), detections.detections(), protocol.protocol(),
                               {average_precision.span(), recall.span(), objects.span(), precision.span(),
                                scores.span(), matches.span(), ignored.span(), ignored_truth.span()});
  }
  Napi::Value result(Napi::Env env) { return env.Undefined(); }
};

struct AveragePrecisionJob {
  TruthInput truth;
  DetectionsInput detections;
  int64_t per_truth;
  ProtocolInput protocol;
  Output<float> out;
  Status run() {
    return average_precision(truth.truth(), detections.detections(), per_truth, protocol.protocol(),
                             out.span());
  }
  Napi::Value result(Napi::Env env) { return env.Undefined(); }
};

struct Call {
  Napi::Object request;
  bool async;
  Hold hold;

  explicit Call(const Napi::CallbackInfo& info) {
    if (!info[0].IsObject()) throw ArgumentError{{Code::kInvalidArgument, "request: expected an object"}};
    request = info[0].As<Napi::Object>();
    async = flag(info[1], "async");
    hold = async ? Hold::kCopy : Hold::kView;
  }
};

Napi::Value evaluate(const Napi::CallbackInfo& info) {
  const Call call(info);
  const Napi::Object& r = call.request;
  return run_job(info.Env(),
                 EvaluateJob{truth_input(r, call.hold),
                             detections_input(r, call.hold),
                             protocol_input(r, call.hold),
                             {r.Get("averagePrecision"), "averagePrecision"},
                             {r.Get("recall"), "recall"},
                             {r.Get("objects"), "objects"},
                             optional_output<double>(r.Get("precision"), "precision"),
                             optional_output<double>(r.Get("scoresAtRecall"), "scores"),
                             optional_output<int32_t>(r.Get("matches"), "matches"),
                             optional_output<uint8_t>(r.Get("ignored"), "ignored"),
                             optional_output<uint8_t>(r.Get("ignoredTruth"), "ignoredTruth")},
                 call.async);
}

Napi::Value evaluate_each(const Napi::CallbackInfo& info) {
  const Call call(info);
  const Napi::Object& r = call.request;
  return run_job(info.Env(),
                 AveragePrecisionJob{truth_input(r, call.hold),
                                     detections_input(r, call.hold),
                                     integer(r.Get("perTruth"), "groupSize", 1),
                                     protocol_input(r, call.hold),
                                     {r.Get("out"), "out"}},
                 call.async);
}

// A new typed array. The vector's memory is given back at once.
template <class T>
Napi::Value to_array(Napi::Env env, std::vector<T> values) {
  using Array =
      std::conditional_t<std::is_same_v<T, double>, Napi::Float64Array,
                         std::conditional_t<std::is_same_v<T, int32_t>, Napi::Int32Array, Napi::Uint8Array>>;
  Array array = Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

template <class Item>
Napi::Value ids_of(Napi::Env env, const std::vector<Item>& items) {
  std::vector<double> ids;
  for (const Item& item : items) ids.push_back(item.id);
  return to_array(env, std::move(ids));
}

template <class Item>
Napi::Value texts_of(Napi::Env env, const std::vector<Item>& items, std::optional<std::string> Item::*text) {
  Napi::Array result = Napi::Array::New(env, items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    // Thousands of handles would pile up.
    const Napi::HandleScope scope(env);
    const std::optional<std::string>& value = items[i].*text;
    result.Set(static_cast<uint32_t>(i),
               value ? Napi::String::New(env, *value).As<Napi::Value>() : env.Null());
  }
  return result;
}

struct LoadCocoJob {
  std::string ground_truth;
  std::optional<std::string> detections;
  CocoDataset dataset = {};
  Status run() { return load_coco(ground_truth, detections, dataset); }

  Napi::Value result(Napi::Env env) {
    Napi::Object result = Napi::Object::New(env);
    result.Set("imageIds", ids_of(env, dataset.images));
    result.Set("fileNames", texts_of(env, dataset.images, &CocoImage::file_name));
    std::vector<double> sizes;
    for (const CocoImage& image : dataset.images) sizes.insert(sizes.end(), {image.width, image.height});
    result.Set("imageSizes", to_array(env, std::move(sizes)));
    result.Set("categoryIds", ids_of(env, dataset.categories));
    result.Set("categoryNames", texts_of(env, dataset.categories, &CocoCategory::name));
    Napi::Object truth = objects(env, dataset.truth, "areas");
    truth.Set("crowd", to_array(env, std::move(dataset.truth.crowd)));
    result.Set("truth", truth);
    if (dataset.detections) result.Set("detections", objects(env, *dataset.detections, "scores"));
    Napi::Array problems = Napi::Array::New(env, dataset.problems.size());
    for (size_t i = 0; i < dataset.problems.size(); ++i)
      problems.Set(static_cast<uint32_t>(i), problem(env, dataset.problems[i]));
    result.Set("problems", problems);
    return result;
  }

 private:
  static Napi::Object objects(Napi::Env env, CocoObjects& objects, const char* values) {
    Napi::Object result = Napi::Object::New(env);
    result.Set("boxes", to_array(env, std::move(objects.boxes)));
    result.Set("labels", to_array(env, std::move(objects.categories)));
    result.Set("offsets", to_array(env, std::move(objects.offsets)));
    result.Set(values, to_array(env, std::move(objects.values)));
    return result;
  }

  static Napi::Object problem(Napi::Env env, const CocoProblem& problem) {
    Napi::Object result = Napi::Object::New(env);
    result.Set("kind", problem.kind);
    result.Set("count", Napi::Number::New(env, static_cast<double>(problem.count)));
    Napi::Array examples = Napi::Array::New(env, problem.examples.size());
    for (size_t i = 0; i < problem.examples.size(); ++i)
      examples.Set(static_cast<uint32_t>(i), problem.examples[i]);
    result.Set("examples", examples);
    return result;
  }
};

std::string path_of(const Napi::Value& value, const char* name) {
  if (!value.IsString())
    throw ArgumentError{{Code::kInvalidArgument, std::string(name) + ": expected a path"}};
  return value.As<Napi::String>().Utf8Value();
}

Napi::Value load_files(const Napi::CallbackInfo& info) {
  LoadCocoJob job{path_of(info[0], "groundTruth"), std::nullopt};
  if (!info[1].IsUndefined()) job.detections = path_of(info[1], "detections");
  return run_job(info.Env(), std::move(job), true);
}

}  // namespace

void export_metrics(Napi::Env env, Napi::Object exports) {
  const auto add = [&](const char* name, Napi::Value (*body)(const Napi::CallbackInfo&)) {
    exports.Set(name,
                Napi::Function::New(
                    env, [body](const Napi::CallbackInfo& info) { return exported(info, body); }, name));
  };
  add("evaluateDetections", evaluate);
  add("averagePrecision", evaluate_each);
  add("loadCoco", load_files);
}

}  // namespace perception::node
