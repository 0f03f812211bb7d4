// The CUDA plug-in's operations over typed arrays and handles of device memory.
#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/base/ragged.h"
#include "core/geometry/iou.h"
#include "core/text/text_pairs.h"
#include "cuda/loader.h"
#include "node/arguments.h"
#include "node/device.h"
#include "node/exports.h"
#include "node/job.h"

namespace perception::node {
namespace {

// The number of elements of a result of `shape`.
Status count_elements(std::initializer_list<int64_t> shape, const char* name, size_t& count) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  int64_t product = 1;
  for (const int64_t size : shape)
    if (size == 0) product = 0;
  for (const int64_t size : shape) {
    if (product != 0 && size > kMost / product)
      return {Code::kTooLarge, std::string(name) + ": expected at most " + std::to_string(kMost) +
                                   " elements; split the batch"};
    product *= size;
  }
  count = static_cast<size_t>(product);
  return {};
}

// Counts of a padded batch. Those that lie on the device are checked there, by what uses them.
Status check_counts(const DeviceInput<int32_t>& counts, int64_t entries, int64_t rows, const char* name) {
  if (!counts.given()) return {};
  PERCEPTION_RETURN_IF_ERROR(check_length(counts.size(), static_cast<size_t>(entries), counts.name()));
  return validate_counts(counts.host(), entries, rows, name);
}

// Core's own checks of what is in typed arrays, by way of no pairs.
Status check_boxes(std::span<const float> a, std::span<const float> b) {
  PERCEPTION_RETURN_IF_ERROR(pairwise_iou(a, {}, IouKind::kIou, BoxFormat::kXyxy, {}));
  return pairwise_iou({}, b, IouKind::kIou, BoxFormat::kXyxy, {});
}

Status check_points(std::span<const float> a, std::span<const float> b) {
  PERCEPTION_RETURN_IF_ERROR(pairwise_distance(a, {}, PointMetric::kL2, {}));
  return pairwise_distance({}, b, PointMetric::kL2, {});
}

// ---- operations

struct IouPaddedJob {
  DeviceCall call;
  DeviceInput<float> a;
  DeviceInput<int32_t> a_counts;
  DeviceInput<float> b;
  DeviceInput<int32_t> b_counts;
  int64_t batch, n, m;
  IouKind kind;
  BoxFormat format;
  DeviceOutput<float> out;

  Status run() {
    PERCEPTION_RETURN_IF_ERROR(check_shape(a.size(), {batch, n, 4}, "a"));
    PERCEPTION_RETURN_IF_ERROR(check_shape(b.size(), {batch, m, 4}, "b"));
    PERCEPTION_RETURN_IF_ERROR(check_counts(a_counts, batch, n, "a"));
    PERCEPTION_RETURN_IF_ERROR(check_counts(b_counts, batch, m, "b"));
    PERCEPTION_RETURN_IF_ERROR(check_boxes(a.host(), b.host()));
    size_t pairs = 0;
    PERCEPTION_RETURN_IF_ERROR(count_elements({batch, n, m}, "out", pairs));
    PERCEPTION_RETURN_IF_ERROR(place_all(call, a, a_counts, b, b_counts));
    PERCEPTION_RETURN_IF_ERROR(out.place(call, pairs));
    const cuda::Boxes left = {a.data(), a_counts.data(), n}, right = {b.data(), b_counts.data(), m};
    PERCEPTION_RETURN_IF_ERROR(
        call.queue(&Plugin::pairwise_iou, &left, &right, batch, kind, format, out.data()));
    return call.finish(out);
  }
  Napi::Value result(Napi::Env env) { return results(env, out); }
};

struct IouRaggedJob {
  DeviceCall call;
  DeviceInput<float> a;
  Input<int32_t> a_offsets;
  DeviceInput<float> b;
  Input<int32_t> b_offsets;
  IouKind kind;
  BoxFormat format;
  DeviceOutput<float> out;

  Status run() {
    const auto left = a_offsets.span(), right = b_offsets.span();
    PERCEPTION_RETURN_IF_ERROR(check_boxes(a.host(), b.host()));
    PERCEPTION_RETURN_IF_ERROR(validate_offsets(left, a.size() / 4, "a_offsets"));
    PERCEPTION_RETURN_IF_ERROR(validate_offsets(right, b.size() / 4, "b_offsets"));
    PERCEPTION_RETURN_IF_ERROR(check_length(right.size(), left.size(), "b_offsets"));
    std::vector<int32_t> out_offsets(left.size());
    for (size_t i = 0; i + 1 < left.size(); ++i) {
      const int64_t end = out_offsets[i] + int64_t{left[i + 1] - left[i]} * (right[i + 1] - right[i]);
      if (end > std::numeric_limits<int32_t>::max())
        return {Code::kTooLarge, "out: expected at most 2147483647 pairs in a batch; split it"};
      out_offsets[i + 1] = static_cast<int32_t>(end);
    }
    DeviceTables tables;
    const size_t first = tables.add(left), second = tables.add(right), third = tables.add(out_offsets);
    PERCEPTION_RETURN_IF_ERROR(place_all(call, a, b, tables));
    PERCEPTION_RETURN_IF_ERROR(out.place(call, static_cast<size_t>(out_offsets.back())));
    PERCEPTION_RETURN_IF_ERROR(call.queue(&Plugin::pairwise_iou_ragged, a.data(), tables.at(first), b.data(),
                                          tables.at(second), tables.at(third),
                                          static_cast<int64_t>(left.size()) - 1, out_offsets.back(), kind,
                                          format, out.data()));
    return call.finish(out);
  }
  Napi::Value result(Napi::Env env) { return results(env, out); }
};

struct DistanceJob {
  DeviceCall call;
  DeviceInput<float> a, b;
  PointMetric metric;
  DeviceOutput<float> out;

  Status run() {
    const auto n = static_cast<int64_t>(a.size() / 2), m = static_cast<int64_t>(b.size() / 2);
    PERCEPTION_RETURN_IF_ERROR(check_shape(a.size(), {n, 2}, "a"));
    PERCEPTION_RETURN_IF_ERROR(check_shape(b.size(), {m, 2}, "b"));
    PERCEPTION_RETURN_IF_ERROR(check_points(a.host(), b.host()));
    size_t pairs = 0;
    PERCEPTION_RETURN_IF_ERROR(count_elements({n, m}, "out", pairs));
    PERCEPTION_RETURN_IF_ERROR(place_all(call, a, b));
    PERCEPTION_RETURN_IF_ERROR(out.place(call, pairs));
    PERCEPTION_RETURN_IF_ERROR(
        call.queue(&Plugin::pairwise_distance, a.data(), n, b.data(), m, metric, out.data()));
    return call.finish(out);
  }
  Napi::Value result(Napi::Env env) { return results(env, out); }
};

template <class T>
struct AssignmentPaddedJob {
  DeviceCall call;
  DeviceInput<T> costs;
  int64_t batch, rows, cols;
  DeviceInput<int32_t> row_counts, col_counts;
  bool maximize;
  DeviceOutput<int32_t> column_of_row;
  DeviceOutput<double> totals;

  Status run() {
    PERCEPTION_RETURN_IF_ERROR(check_shape(costs.size(), {batch, rows, cols}, "costs"));
    PERCEPTION_RETURN_IF_ERROR(check_counts(row_counts, batch, rows, "row"));
    PERCEPTION_RETURN_IF_ERROR(check_counts(col_counts, batch, cols, "column"));
    size_t answers = 0;
    PERCEPTION_RETURN_IF_ERROR(count_elements({batch, rows}, "columnOfRow", answers));
    PERCEPTION_RETURN_IF_ERROR(place_all(call, costs, row_counts, col_counts));
    PERCEPTION_RETURN_IF_ERROR(column_of_row.place(call, answers));
    PERCEPTION_RETURN_IF_ERROR(totals.place(call, static_cast<size_t>(batch)));
    PERCEPTION_RETURN_IF_ERROR(call.add_fault());
    cuda::CostMatrices matrices{};
    matrices.costs = costs.data();
    matrices.is_double = std::is_same_v<T, double>;
    matrices.problems = batch;
    matrices.rows = rows;
    matrices.cols = cols;
    matrices.row_counts = row_counts.data();
    matrices.col_counts = col_counts.data();
    PERCEPTION_RETURN_IF_ERROR(call.queue(&Plugin::linear_sum_assignment, &matrices, maximize,
                                          column_of_row.data(), totals.data(), call.fault()));
    return call.finish(column_of_row, totals);
  }
  Napi::Value result(Napi::Env env) { return results(env, column_of_row, totals); }
};

template <class T>
struct AssignmentRaggedJob {
  DeviceCall call;
  DeviceInput<T> costs;
  Input<int32_t> offsets, rows, cols;
  bool maximize;
  DeviceOutput<int32_t> column_of_row;
  DeviceOutput<double> totals;

  Status run() {
    const auto starts = offsets.span(), heights = rows.span(), widths = cols.span();
    PERCEPTION_RETURN_IF_ERROR(validate_offsets(starts, costs.size(), "offsets"));
    const size_t problems = starts.size() - 1;
    PERCEPTION_RETURN_IF_ERROR(check_length(heights.size(), problems, "rows"));
    PERCEPTION_RETURN_IF_ERROR(check_length(widths.size(), problems, "cols"));
    cuda::CostMatrices matrices{};
    std::vector<int32_t> row_offsets(problems + 1);
    for (size_t i = 0; i < problems; ++i) {
      const std::string name = "problem " + std::to_string(i) + ": cost";
      PERCEPTION_RETURN_IF_ERROR(
          check_shape(static_cast<size_t>(starts[i + 1] - starts[i]), {heights[i], widths[i]}, name.c_str()));
      const int64_t end = int64_t{row_offsets[i]} + heights[i];
      if (end > std::numeric_limits<int32_t>::max())
        return {Code::kTooLarge, "rows: expected at most 2147483647 in a batch; split it"};
      row_offsets[i + 1] = static_cast<int32_t>(end);
      matrices.rows = std::max<int64_t>(matrices.rows, heights[i]);
      matrices.cols = std::max<int64_t>(matrices.cols, widths[i]);
    }
    DeviceTables tables;
    const size_t first = tables.add(heights), second = tables.add(widths), third = tables.add(starts),
                 fourth = tables.add(row_offsets);
    PERCEPTION_RETURN_IF_ERROR(place_all(call, costs, tables));
    PERCEPTION_RETURN_IF_ERROR(column_of_row.place(call, static_cast<size_t>(row_offsets.back())));
    PERCEPTION_RETURN_IF_ERROR(totals.place(call, problems));
    PERCEPTION_RETURN_IF_ERROR(call.add_fault());
    matrices.costs = costs.data();
    matrices.is_double = std::is_same_v<T, double>;
    matrices.problems = static_cast<int64_t>(problems);
    matrices.row_counts = tables.at(first);
    matrices.col_counts = tables.at(second);
    matrices.offsets = tables.at(third);
    matrices.row_offsets = tables.at(fourth);
    matrices.host_rows = heights.data();
    matrices.host_cols = widths.data();
    PERCEPTION_RETURN_IF_ERROR(call.queue(&Plugin::linear_sum_assignment, &matrices, maximize,
                                          column_of_row.data(), totals.data(), call.fault()));
    return call.finish(column_of_row, totals);
  }
  Napi::Value result(Napi::Env env) { return results(env, column_of_row, totals); }
};

// Which rewards belong together, as the plug-in takes it.
class DeviceGroups {
 public:
  // groups: offsets, or with by_id the group of each reward, from 0 to `count` - 1.
  Status read(std::span<const int32_t> groups, bool by_id, int64_t count, size_t rewards) {
    if (by_id) return sort(groups, count, rewards);
    PERCEPTION_RETURN_IF_ERROR(validate_offsets(groups, rewards, "groupOffsets"));
    groups_.count = static_cast<int64_t>(groups.size()) - 1;
    groups_.size = groups.size() > 1 ? groups[1] : 0;
    bool uniform = true;
    for (size_t g = 0; g < groups.size(); ++g) uniform &= groups[g] == static_cast<int64_t>(g) * groups_.size;
    if (!uniform) offsets_ = tables_.add(groups);
    return {};
  }
  Status place(DeviceCall& call) {
    if (!offsets_) return {};
    PERCEPTION_RETURN_IF_ERROR(tables_.place(call));
    groups_.offsets = tables_.at(*offsets_);
    if (order_) groups_.order = tables_.at(*order_);
    return {};
  }
  const cuda::Groups& groups() const { return groups_; }

 private:
  Status sort(std::span<const int32_t> ids, int64_t count, size_t rewards) {
    PERCEPTION_RETURN_IF_ERROR(check_length(ids.size(), rewards, "groupIds"));
    std::vector<int32_t> offsets(static_cast<size_t>(count) + 1);
    for (const int32_t id : ids) {
      if (id < 0 || id >= count)
        return {Code::kInvalidValue, "groupIds: expected numbers from 0 to " + std::to_string(count - 1) +
                                         ", received " + std::to_string(id)};
      ++offsets[static_cast<size_t>(id) + 1];
    }
    for (size_t g = 1; g < offsets.size(); ++g) offsets[g] += offsets[g - 1];
    std::vector<int32_t> next(offsets.begin(), offsets.end() - 1), order(ids.size());
    for (size_t i = 0; i < ids.size(); ++i)
      order[static_cast<size_t>(next[static_cast<size_t>(ids[i])]++)] = static_cast<int32_t>(i);
    groups_.count = count;
    offsets_ = tables_.add(offsets);
    order_ = tables_.add(order);
    return {};
  }

  cuda::Groups groups_{};
  DeviceTables tables_;
  std::optional<size_t> offsets_, order_;
};

struct AdvantagesJob {
  DeviceCall call;
  DeviceInput<float> rewards;
  Input<int32_t> groups;
  bool by_id;
  int64_t group_count;
  AdvantageOptions options;
  DeviceOutput<float> advantages, mean, std;

  Status run() {
    size_t count = 0;
    PERCEPTION_RETURN_IF_ERROR(count_elements({static_cast<int64_t>(rewards.size())}, "rewards", count));
    DeviceGroups device_groups;
    PERCEPTION_RETURN_IF_ERROR(device_groups.read(groups.span(), by_id, group_count, count));
    const auto number = static_cast<size_t>(device_groups.groups().count);
    PERCEPTION_RETURN_IF_ERROR(place_all(call, rewards, device_groups));
    PERCEPTION_RETURN_IF_ERROR(advantages.place(call, count));
    PERCEPTION_RETURN_IF_ERROR(mean.place(call, number));
    PERCEPTION_RETURN_IF_ERROR(std.place(call, number));
    PERCEPTION_RETURN_IF_ERROR(call.add_fault());
    PERCEPTION_RETURN_IF_ERROR(call.queue(&Plugin::group_advantages, rewards.data(),
                                          static_cast<int64_t>(count), &device_groups.groups(), &options,
                                          advantages.data(), mean.data(), std.data(), call.fault()));
    return call.finish(advantages, mean, std);
  }
  Napi::Value result(Napi::Env env) { return results(env, advantages, mean, std); }
};

struct DeviceObjects {
  DeviceInput<float> values;
  DeviceInput<int32_t> labels, counts;
  int64_t rows = 0;

  Status check(int64_t entries, int64_t width, bool labelled, const char* name) const {
    PERCEPTION_RETURN_IF_ERROR(check_shape(values.size(), {entries, rows, width}, name));
    if (labelled) PERCEPTION_RETURN_IF_ERROR(check_shape(labels.size(), {entries, rows}, labels.name()));
    return check_counts(counts, entries, rows, name);
  }
  Status place(DeviceCall& call) { return place_all(call, values, labels, counts); }
  cuda::Objects objects() const { return {values.data(), labels.data(), counts.data(), rows}; }
};

struct ScoreObjectsJob {
  DeviceCall call;
  Recipe recipe;
  int64_t count, predictions_per_truth;
  DeviceObjects predictions, truth;
  AdvantageOptions advantage;
  DeviceOutput<float> rewards, terms, advantages, mean, std;
  // The terms one by one, where they stay on the device.
  std::vector<DeviceOutput<float>> parts = {};

  Status run() {
    if (recipe.task == Task::kOcr)
      return {Code::kInvalidArgument, "recipe: expected one over boxes or points, received one for OCR"};
    if (count % predictions_per_truth != 0)
      return {Code::kShapeMismatch, "truth: expected a number of entries that divides " +
                                        std::to_string(count) + ", the number of predictions"};
    const int64_t prompts = count / predictions_per_truth, width = recipe.task == Task::kCounting ? 2 : 4;
    const bool labelled = recipe.task == Task::kDetection;
    PERCEPTION_RETURN_IF_ERROR(predictions.check(count, width, labelled, "predictions"));
    PERCEPTION_RETURN_IF_ERROR(truth.check(prompts, width, labelled, "truth"));
    const size_t number = recipe.terms.size(), length = static_cast<size_t>(count);
    PERCEPTION_RETURN_IF_ERROR(place_all(call, predictions, truth));
    PERCEPTION_RETURN_IF_ERROR(rewards.place(call, length));
    PERCEPTION_RETURN_IF_ERROR(terms.place(call, length * number));
    PERCEPTION_RETURN_IF_ERROR(advantages.place(call, length));
    PERCEPTION_RETURN_IF_ERROR(mean.place(call, static_cast<size_t>(prompts)));
    PERCEPTION_RETURN_IF_ERROR(std.place(call, static_cast<size_t>(prompts)));
    PERCEPTION_RETURN_IF_ERROR(call.add_fault());
    const cuda::ScoreBatch batch = {&recipe, predictions.objects(), truth.objects(), count,
                                    predictions_per_truth};
    const cuda::Scores scores = {rewards.data(), terms.data(), advantages.data(), mean.data(), std.data()};
    PERCEPTION_RETURN_IF_ERROR(call.queue(&Plugin::score, &batch, &advantage, &scores, call.fault()));
    if (terms.on_host()) return call.finish(rewards, terms, advantages, mean, std);
    return finish_on_device(number, length);
  }

  Napi::Value result(Napi::Env env) {
    if (terms.on_host()) return env.Undefined();
    const auto handles = results(env, rewards, advantages, mean, std).As<Napi::Array>();
    for (auto& part : parts) handles.Set(handles.Length(), part.result(env));
    return handles;
  }

 private:
  // Each term in memory of its own, as everything else that a handle stands for.
  Status finish_on_device(size_t number, size_t length) {
    parts.resize(number);
    for (size_t i = 0; i < number; ++i) {
      PERCEPTION_RETURN_IF_ERROR(parts[i].place(call, length));
      PERCEPTION_RETURN_IF_ERROR(
          call.queue(&Plugin::copy, parts[i].data(), terms.data() + i * length, length * sizeof(float)));
    }
    PERCEPTION_RETURN_IF_ERROR(call.finish(rewards, advantages, mean, std));
    for (auto& part : parts) PERCEPTION_RETURN_IF_ERROR(call.finish(part));
    return {};
  }
};

struct EditDistanceJob {
  DeviceCall call;
  PackedInput a, b;
  DeviceOutput<int32_t> distances;

  Status run() {
    NumberedPairs numbered;
    PERCEPTION_RETURN_IF_ERROR(number_pairs(a.strings(), b.strings(), numbered));
    DeviceTables tables;
    const size_t patterns = tables.add(numbered.pattern_ids), starts = tables.add(numbered.pattern_offsets),
                 texts = tables.add(numbered.text_ids), text_starts = tables.add(numbered.text_offsets);
    const size_t count = numbered.pattern_offsets.size() - 1;
    PERCEPTION_RETURN_IF_ERROR(tables.place(call));
    PERCEPTION_RETURN_IF_ERROR(distances.place(call, count));
    const cuda::TextPairs pairs = {
        tables.at(patterns),         tables.at(starts),        tables.at(texts),      tables.at(text_starts),
        static_cast<int64_t>(count), numbered.longest_pattern, numbered.longest_text, numbered.most_symbols};
    PERCEPTION_RETURN_IF_ERROR(call.queue(&Plugin::edit_distance, &pairs, distances.data()));
    return call.finish(distances);
  }
  Napi::Value result(Napi::Env env) { return results(env, distances); }
};

struct DownloadJob {
  TensorPointer tensor;
  Output<uint8_t> out;
  // Either array is of 4 or 8 bytes a number; what is moved are bytes.
  Status run() {
    PERCEPTION_RETURN_IF_ERROR(check_length(out.span().size(), tensor->memory.bytes(), "out"));
    PERCEPTION_RETURN_IF_ERROR(read_all(tensor->faults));
    return tensor->memory.download(out.span().data());
  }
  Napi::Value result(Napi::Env env) { return env.Undefined(); }
};

// ---- exports

// cudaInfo() -> see Binding in src/native/binding.ts
Napi::Value cuda_info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Loaded& loaded = cuda::load_plugin();
  Napi::Array devices = Napi::Array::New(env);
  std::string reason = loaded.reason;
  for (int32_t device = 0; loaded.plugin && device < loaded.devices; ++device) {
    cuda::DeviceProperties properties;
    const Status status = said_by(*loaded.plugin, loaded.plugin->device_properties(device, &properties));
    if (!status.ok()) {
      reason = "device " + std::to_string(device) + ": " + status.message();
      break;
    }
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", properties.name);
    object.Set("major", properties.major);
    object.Set("minor", properties.minor);
    object.Set("multiprocessors", properties.multiprocessors);
    object.Set("memory", static_cast<double>(properties.memory));
    devices.Set(devices.Length(), object);
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("reason", reason);
  result.Set("path", loaded.path);
  result.Set("description", loaded.plugin ? loaded.plugin->description() : "");
  result.Set("devices", devices);
  result.Set("tensors", static_cast<double>(tensor_count));
  result.Set("bytes", static_cast<double>(tensor_bytes));
  return result;
}

// cudaUpload(bytes: Uint8Array, device: number) -> handle
Napi::Value cuda_upload(const Napi::CallbackInfo& info) {
  const Plugin& plugin = usable_plugin();
  const std::span<uint8_t> bytes = elements<uint8_t>(info[0], "data");
  DeviceMemory memory;
  Status status = memory.allocate(plugin, device_number(info[1]), bytes.size());
  if (status.ok()) status = memory.upload(bytes.data());
  if (!status.ok()) throw ArgumentError{status};
  return make_handle(info.Env(), std::make_shared<const Tensor>(std::move(memory)));
}

// cudaRelease(handle)
Napi::Value cuda_release(const Napi::CallbackInfo& info) {
  release_tensor(info.Env(), unwrap(info[0], "handle"));
  return info.Env().Undefined();
}

template <class T>
Napi::Value assign_padded(const Napi::CallbackInfo& info) {
  const bool async = flag(info[11], "async");
  const DeviceCall call(info[0], async);
  return run_job(info.Env(),
                 AssignmentPaddedJob<T>{call,
                                        {info[1], "costs", call.hold()},
                                        integer(info[3], "batch"),
                                        integer(info[4], "rows"),
                                        integer(info[5], "cols"),
                                        optional_input<int32_t>(info[6], "rowCounts", call.hold()),
                                        optional_input<int32_t>(info[7], "colCounts", call.hold()),
                                        flag(info[8], "maximize"),
                                        {info[9], "columnOfRow"},
                                        {info[10], "costs"}},
                 async);
}

template <class T>
Napi::Value assign_ragged(const Napi::CallbackInfo& info) {
  const bool async = flag(info[9], "async");
  const DeviceCall call(info[0], async);
  return run_job(info.Env(),
                 AssignmentRaggedJob<T>{call,
                                        {info[1], "costs", call.hold()},
                                        {info[3], "offsets", call.hold()},
                                        {info[4], "rows", call.hold()},
                                        {info[5], "cols", call.hold()},
                                        flag(info[6], "maximize"),
                                        {info[7], "columnOfRow"},
                                        {info[8], "costs"}},
                 async);
}

DeviceObjects objects_from(const Napi::Object& request, const char* values, const char* rows,
                           const char* labels, const char* counts, Hold hold) {
  return {{request.Get(values), values, hold},
          optional_input<int32_t>(request.Get(labels), labels, hold),
          optional_input<int32_t>(request.Get(counts), counts, hold),
          integer(request.Get(rows), rows)};
}

// cudaScoreObjects(device, request, async)
Napi::Value score_objects(const Napi::CallbackInfo& info) {
  if (!info[1].IsObject()) throw ArgumentError{{Code::kInvalidArgument, "request: expected an object"}};
  const auto r = info[1].As<Napi::Object>();
  const bool async = flag(info[2], "async");
  const DeviceCall call(info[0], async);
  if (!r.Get("recipe").IsObject() || !r.Get("advantage").IsObject())
    throw ArgumentError{{Code::kInvalidArgument, "recipe and advantage: expected objects"}};
  return run_job(
      info.Env(),
      ScoreObjectsJob{call,
                      recipe_from(r.Get("recipe").As<Napi::Object>()),
                      integer(r.Get("count"), "count"),
                      integer(r.Get("predictionsPerTruth"), "predictionsPerTruth", 1),
                      objects_from(r, "predictions", "predictionRows", "predictionLabels", "predictionCounts",
                                   call.hold()),
                      objects_from(r, "truth", "truthRows", "truthLabels", "truthCounts", call.hold()),
                      advantage_options(r.Get("advantage").As<Napi::Object>()),
                      {r.Get("rewards"), "rewards"},
                      {r.Get("terms"), "terms"},
                      {r.Get("advantages"), "advantages"},
                      {r.Get("mean"), "mean"},
                      {r.Get("std"), "std"}},
      async);
}

}  // namespace

void export_cuda(Napi::Env env, Napi::Object exports) {
  const auto add = [&](const char* name, auto body) {
    exports.Set(name,
                Napi::Function::New(
                    env, [body](const Napi::CallbackInfo& info) { return exported(info, body); }, name));
  };
  add("cudaInfo", cuda_info);
  add("cudaUpload", cuda_upload);
  add("cudaDownload", [](const Napi::CallbackInfo& info) {
    return run_job(info.Env(), DownloadJob{tensor_of(info[0], "handle"), {info[1], "out"}},
                   flag(info[2], "async"));
  });
  add("cudaRelease", cuda_release);
  add("cudaPairwiseIou", [](const Napi::CallbackInfo& info) {
    const bool async = flag(info[11], "async");
    const DeviceCall call(info[0], async);
    return run_job(info.Env(),
                   IouPaddedJob{call,
                                {info[1], "a", call.hold()},
                                optional_input<int32_t>(info[2], "aCounts", call.hold()),
                                {info[3], "b", call.hold()},
                                optional_input<int32_t>(info[4], "bCounts", call.hold()),
                                integer(info[5], "batch"),
                                integer(info[6], "n"),
                                integer(info[7], "m"),
                                choice(info[8], "kind", IouKind::kCiou),
                                choice(info[9], "format", BoxFormat::kCxcywh),
                                {info[10], "out"}},
                   async);
  });
  add("cudaPairwiseIouBatch", [](const Napi::CallbackInfo& info) {
    const bool async = flag(info[8], "async");
    const DeviceCall call(info[0], async);
    return run_job(info.Env(),
                   IouRaggedJob{call,
                                {info[1], "a.values", call.hold()},
                                {info[2], "a.offsets", call.hold()},
                                {info[3], "b.values", call.hold()},
                                {info[4], "b.offsets", call.hold()},
                                choice(info[5], "kind", IouKind::kCiou),
                                choice(info[6], "format", BoxFormat::kCxcywh),
                                {info[7], "out"}},
                   async);
  });
  add("cudaPairwiseDistance", [](const Napi::CallbackInfo& info) {
    const bool async = flag(info[5], "async");
    const DeviceCall call(info[0], async);
    return run_job(info.Env(),
                   DistanceJob{call,
                               {info[1], "a", call.hold()},
                               {info[2], "b", call.hold()},
                               choice(info[3], "metric", PointMetric::kL1),
                               {info[4], "out"}},
                   async);
  });
  add("cudaLinearSumAssignmentPadded", [](const Napi::CallbackInfo& info) {
    return flag(info[2], "float64") ? assign_padded<double>(info) : assign_padded<float>(info);
  });
  add("cudaLinearSumAssignmentBatch", [](const Napi::CallbackInfo& info) {
    return flag(info[2], "float64") ? assign_ragged<double>(info) : assign_ragged<float>(info);
  });
  add("cudaGroupAdvantages", [](const Napi::CallbackInfo& info) {
    const bool async = flag(info[9], "async");
    const DeviceCall call(info[0], async);
    if (!info[5].IsObject()) throw ArgumentError{{Code::kInvalidArgument, "options: expected an object"}};
    return run_job(info.Env(),
                   AdvantagesJob{call,
                                 {info[1], "rewards", call.hold()},
                                 {info[2], "groups", call.hold()},
                                 flag(info[3], "byId"),
                                 integer(info[4], "groupCount"),
                                 advantage_options(info[5].As<Napi::Object>()),
                                 {info[6], "advantages"},
                                 {info[7], "mean"},
                                 {info[8], "std"}},
                   async);
  });
  add("cudaEditDistance", [](const Napi::CallbackInfo& info) {
    const bool async = flag(info[6], "async");
    const DeviceCall call(info[0], async);
    const Hold hold = async ? Hold::kKeep : Hold::kView;  // packed by the TypeScript layer
    return run_job(info.Env(),
                   EditDistanceJob{call,
                                   {{info[1], "a", hold}, {info[2], "a's offsets", hold}},
                                   {{info[3], "b", hold}, {info[4], "b's offsets", hold}},
                                   {info[5], "distances"}},
                   async);
  });
  add("cudaScoreObjects", score_objects);
}

}  // namespace perception::node
