// IoU, point distances, assignment, advantages and edit distance over typed arrays.
#include "core/advantage/group_advantages.h"
#include "core/assignment/linear_sum_assignment.h"
#include "core/geometry/iou.h"
#include "core/text/edit_distance.h"
#include "node/arguments.h"
#include "node/exports.h"
#include "node/job.h"

namespace perception::node {
namespace {

struct PairwiseIouJob {
  Input<float> a, b;
  IouKind kind;
  BoxFormat format;
  Output<float> out;
  Status run() { return pairwise_iou(a.span(), b.span(), kind, format, out.span()); }
  Napi::Value result(Napi::Env env) { return env.Undefined(); }
};

struct PairwiseIouBatchJob {
  Input<float> a;
  Input<int32_t> a_offsets;
  Input<float> b;
  Input<int32_t> b_offsets;
  IouKind kind;
  BoxFormat format;
  Input<int32_t> out_offsets;
  Output<float> out;
  Status run() {
    return pairwise_iou_batch(a.span(), a_offsets.span(), b.span(), b_offsets.span(), kind, format,
                              out_offsets.span(), out.span());
  }
  Napi::Value result(Napi::Env env) { return env.Undefined(); }
};

struct PairwiseDistanceJob {
  Input<float> a, b;
  PointMetric metric;
  Output<float> out;
  Status run() { return pairwise_distance(a.span(), b.span(), metric, out.span()); }
  Napi::Value result(Napi::Env env) { return env.Undefined(); }
};

template <class T>
struct AssignmentJob {
  Input<T> cost;
  int64_t rows, cols;
  bool maximize;
  Output<int32_t> column_of_row;
  double total = 0;
  Status run() {
    AssignmentWorkspace workspace;
    return linear_sum_assignment<T>(cost.span(), rows, cols, maximize, column_of_row.span(), &total,
                                    workspace);
  }
  Napi::Value result(Napi::Env env) { return Napi::Number::New(env, total); }
};

template <class T>
struct AssignmentBatchJob {
  Input<T> costs;
  Input<int32_t> offsets, rows, cols;
  bool maximize;
  Input<int32_t> row_offsets;
  Output<int32_t> column_of_row;
  Output<double> totals;
  Status run() {
    return linear_sum_assignment_batch<T>(costs.span(), offsets.span(), rows.span(), cols.span(), maximize,
                                          row_offsets.span(), column_of_row.span(), totals.span());
  }
  Napi::Value result(Napi::Env env) { return env.Undefined(); }
};

struct AdvantagesJob {
  Input<float> rewards;
  Input<int32_t> groups;  // offsets, or with by_id the group of each reward
  bool by_id;
  int32_t group_count;
  AdvantageOptions options;
  Output<float> advantages, mean, std;
  Status run() {
    return by_id ? group_advantages_by_id(rewards.span(), groups.span(), group_count, options,
                                          advantages.span(), mean.span(), std.span())
                 : group_advantages(rewards.span(), groups.span(), options, advantages.span(), mean.span(),
                                    std.span());
  }
  Napi::Value result(Napi::Env env) { return env.Undefined(); }
};

struct EditDistanceJob {
  PackedInput a, b;
  Output<int32_t> distances;
  Status run() { return edit_distance_batch(a.strings(), b.strings(), distances.span()); }
  Napi::Value result(Napi::Env env) { return env.Undefined(); }
};

// Arguments 0 to 8 of the padded IoU functions.
struct PaddedPair {
  Input<float> a_values;
  Input<int32_t> a_counts;
  Input<float> b_values;
  Input<int32_t> b_counts;
  int64_t batch, n, m;
  IouKind kind;
  BoxFormat format;

  PaddedPair(const Napi::CallbackInfo& info, Hold hold)
      : a_values(info[0], "a", hold),
        a_counts(info[1], "aCounts", hold),
        b_values(info[2], "b", hold),
        b_counts(info[3], "bCounts", hold),
        batch(integer(info[4], "batch")),
        n(integer(info[5], "n")),
        m(integer(info[6], "m")),
        kind(choice(info[7], "kind", IouKind::kCiou)),
        format(choice(info[8], "format", BoxFormat::kCxcywh)) {}

  PaddedBoxes a() const { return {a_values.span(), a_counts.span(), n}; }
  PaddedBoxes b() const { return {b_values.span(), b_counts.span(), m}; }
};

struct PairwiseIouPaddedJob {
  PaddedPair pair;
  Output<float> out;
  Status run() {
    return pairwise_iou_padded(pair.a(), pair.b(), pair.batch, pair.kind, pair.format, out.span());
  }
  Napi::Value result(Napi::Env env) { return env.Undefined(); }
};

struct PairwiseIouGradientJob {
  PaddedPair pair;
  Input<float> grad;
  Output<float> grad_a, grad_b;
  Status run() {
    return pairwise_iou_gradient(pair.a(), pair.b(), pair.batch, pair.kind, pair.format, grad.span(),
                                 grad_a.span(), grad_b.span());
  }
  Napi::Value result(Napi::Env env) { return env.Undefined(); }
};

struct AssignmentPaddedJob {
  Input<float> costs;
  int64_t batch, rows, cols;
  Input<int32_t> row_counts, col_counts;
  bool maximize;
  Output<int32_t> column_of_row;
  Status run() {
    return linear_sum_assignment_padded(costs.span(), batch, rows, cols, row_counts.span(), col_counts.span(),
                                        maximize, column_of_row.span());
  }
  Napi::Value result(Napi::Env env) { return env.Undefined(); }
};

// Whether a call is asynchronous, and what it does with its inputs.
struct Mode {
  bool async;
  Hold hold;
};

Mode mode_of(const Napi::Value& async, Hold hold_if_async = Hold::kCopy) {
  const bool is_async = flag(async, "async");
  return {is_async, is_async ? hold_if_async : Hold::kView};
}

bool is_float64(const Napi::Value& value) {
  return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_float64_array;
}

template <class T>
Napi::Value assign(const Napi::CallbackInfo& info) {
  const auto [async, hold] = mode_of(info[5]);
  return run_job(info.Env(),
                 AssignmentJob<T>{{info[0], "cost", hold},
                                  integer(info[1], "rows"),
                                  integer(info[2], "cols"),
                                  flag(info[3], "maximize"),
                                  {info[4], "columnOfRow"}},
                 async);
}

template <class T>
Napi::Value assign_batch(const Napi::CallbackInfo& info) {
  const auto [async, hold] = mode_of(info[8]);
  return run_job(info.Env(),
                 AssignmentBatchJob<T>{{info[0], "costs", hold},
                                       {info[1], "offsets", hold},
                                       {info[2], "rows", hold},
                                       {info[3], "cols", hold},
                                       flag(info[4], "maximize"),
                                       {info[5], "rowOffsets", hold},
                                       {info[6], "columnOfRow"},
                                       {info[7], "costs"}},
                 async);
}

}  // namespace

AdvantageOptions advantage_options(const Napi::Object& options) {
  AdvantageOptions result;
  result.scale = choice(options.Get("scale"), "scale", AdvantageScale::kNone);
  result.baseline = choice(options.Get("baseline"), "baseline", AdvantageBaseline::kLeaveOneOut);
  result.epsilon = number(options.Get("epsilon"), "epsilon");
  result.ddof = static_cast<int>(integer(options.Get("ddof"), "ddof", 0, 1));
  result.clip_low = number(options.Get("clipLow"), "clip");
  result.clip_high = number(options.Get("clipHigh"), "clip");
  return result;
}

void export_kernels(Napi::Env env, Napi::Object exports) {
  // Each takes `async` last; the arguments before it are those of the job, in order.
  const auto add = [&](const char* name, auto body) {
    exports.Set(name,
                Napi::Function::New(
                    env, [body](const Napi::CallbackInfo& info) { return exported(info, body); }, name));
  };
  add("pairwiseIou", [](const Napi::CallbackInfo& info) {
    const auto [async, hold] = mode_of(info[5]);
    return run_job(info.Env(),
                   PairwiseIouJob{{info[0], "a", hold},
                                  {info[1], "b", hold},
                                  choice(info[2], "kind", IouKind::kCiou),
                                  choice(info[3], "format", BoxFormat::kCxcywh),
                                  {info[4], "out"}},
                   async);
  });
  add("pairwiseIouBatch", [](const Napi::CallbackInfo& info) {
    const auto [async, hold] = mode_of(info[8]);
    return run_job(info.Env(),
                   PairwiseIouBatchJob{{info[0], "a.values", hold},
                                       {info[1], "a.offsets", hold},
                                       {info[2], "b.values", hold},
                                       {info[3], "b.offsets", hold},
                                       choice(info[4], "kind", IouKind::kCiou),
                                       choice(info[5], "format", BoxFormat::kCxcywh),
                                       {info[6], "offsets", hold},
                                       {info[7], "out"}},
                   async);
  });
  add("pairwiseDistance", [](const Napi::CallbackInfo& info) {
    const auto [async, hold] = mode_of(info[4]);
    return run_job(info.Env(),
                   PairwiseDistanceJob{{info[0], "a", hold},
                                       {info[1], "b", hold},
                                       choice(info[2], "metric", PointMetric::kL1),
                                       {info[3], "out"}},
                   async);
  });
  add("linearSumAssignment", [](const Napi::CallbackInfo& info) {
    return is_float64(info[0]) ? assign<double>(info) : assign<float>(info);
  });
  add("linearSumAssignmentBatch", [](const Napi::CallbackInfo& info) {
    return is_float64(info[0]) ? assign_batch<double>(info) : assign_batch<float>(info);
  });
  add("pairwiseIouPadded", [](const Napi::CallbackInfo& info) {
    const auto [async, hold] = mode_of(info[10]);
    return run_job(info.Env(), PairwiseIouPaddedJob{{info, hold}, {info[9], "out"}}, async);
  });
  add("pairwiseIouGradient", [](const Napi::CallbackInfo& info) {
    const auto [async, hold] = mode_of(info[12]);
    return run_job(info.Env(),
                   PairwiseIouGradientJob{
                       {info, hold}, {info[9], "grad", hold}, {info[10], "gradA"}, {info[11], "gradB"}},
                   async);
  });
  add("linearSumAssignmentPadded", [](const Napi::CallbackInfo& info) {
    const auto [async, hold] = mode_of(info[8]);
    return run_job(info.Env(),
                   AssignmentPaddedJob{{info[0], "costs", hold},
                                       integer(info[1], "batch"),
                                       integer(info[2], "rows"),
                                       integer(info[3], "cols"),
                                       {info[4], "rowCounts", hold},
                                       {info[5], "colCounts", hold},
                                       flag(info[6], "maximize"),
                                       {info[7], "columnOfRow"}},
                   async);
  });
  add("groupAdvantages", [](const Napi::CallbackInfo& info) {
    const auto [async, hold] = mode_of(info[8]);
    if (!info[4].IsObject()) throw ArgumentError{{Code::kInvalidArgument, "options: expected an object"}};
    return run_job(info.Env(),
                   AdvantagesJob{{info[0], "rewards", hold},
                                 {info[1], "groups", hold},
                                 flag(info[2], "byId"),
                                 static_cast<int32_t>(integer(info[3], "groupCount")),
                                 advantage_options(info[4].As<Napi::Object>()),
                                 {info[5], "advantages"},
                                 {info[6], "mean"},
                                 {info[7], "std"}},
                   async);
  });
  add("editDistance", [](const Napi::CallbackInfo& info) {
    const auto [async, hold] = mode_of(info[5], Hold::kKeep);  // packed by the TypeScript layer
    return run_job(info.Env(),
                   EditDistanceJob{{{info[0], "a", hold}, {info[1], "a's offsets", hold}},
                                   {{info[2], "b", hold}, {info[3], "b's offsets", hold}},
                                   {info[4], "distances"}},
                   async);
  });
}

}  // namespace perception::node
