// Evaluation of detections.
#include <vector>

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

}  // namespace

void export_metrics(Napi::Env env, Napi::Object exports) {
  const auto add = [&](const char* name, Napi::Value (*body)(const Napi::CallbackInfo&)) {
    exports.Set(name,
                Napi::Function::New(
                    env, [body](const Napi::CallbackInfo& info) { return exported(info, body); }, name));
  };
  add("evaluateDetections", evaluate);
  add("averagePrecision", evaluate_each);
}

}  // namespace perception::node
