#include "tensorflow/devices.h"

#include <limits>
#include <vector>

#include "core/assignment/linear_sum_assignment.h"
#include "cuda/loader.h"

namespace perception::tensorflow {
namespace {

Status cpu_group_advantages(std::span<const float> rewards, int64_t groups, int64_t group_size,
                            const AdvantageOptions& formula, std::span<float> advantages) {
  if (rewards.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max()))
    return {Code::kTooLarge, "rewards: expected fewer than 2^31, received " + std::to_string(rewards.size())};
  std::vector<int32_t> offsets(static_cast<size_t>(groups) + 1);
  for (size_t i = 0; i < offsets.size(); ++i)
    offsets[i] = static_cast<int32_t>(static_cast<int64_t>(i) * group_size);
  std::vector<float> mean(static_cast<size_t>(groups)), std(static_cast<size_t>(groups));
  return group_advantages(rewards, offsets, formula, advantages, mean, std);
}

Status cpu_pairwise_iou(const PaddedBoxes& a, const PaddedBoxes& b, int64_t batch, IouKind kind,
                        BoxFormat format, std::span<float> out) {
  return pairwise_iou_padded(a, b, batch, kind, format, out);
}

constexpr Device kCpu = {cpu_pairwise_iou, pairwise_iou_gradient, linear_sum_assignment_padded,
                         cpu_group_advantages, score_tensors};

// ---- GPU: TensorFlow's device memory goes to the CUDA plug-in as it is.

// One operation. TensorFlow's C API does not tell the stream of its GPU device, so the order between its work
// and ours is made by waiting: for everything on the device before, for our stream after.
class GpuCall {
 public:
  // `output`: any memory that the operation writes; it tells which GPU.
  template <class Body>
  static Status run(const void* output, const Body& body) {
    GpuCall call;
    PERCEPTION_RETURN_IF_ERROR(call.said(call.plugin.device_of(output, &call.device)));
    PERCEPTION_RETURN_IF_ERROR(call.said(call.plugin.synchronize(call.device, true)));
    PERCEPTION_RETURN_IF_ERROR(call.said(body(call.plugin, call.device)));
    return call.said(call.plugin.synchronize(call.device, false));
  }

  // For operations that find faults while they run.
  template <class Body>
  static Status run_with_fault(const void* output, const Body& body) {
    cuda::Fault fault = cuda::kNoFault;
    PERCEPTION_RETURN_IF_ERROR(run(output, [&](const cuda::Plugin& plugin, int32_t device) {
      void* cell = nullptr;
      int32_t code = plugin.allocate(device, sizeof(fault), &cell);
      if (code == 0) code = plugin.upload(device, cell, &fault, sizeof(fault));
      if (code == 0) code = body(plugin, device, static_cast<cuda::Fault*>(cell));
      if (code == 0) code = plugin.download(device, &fault, cell, sizeof(fault));
      if (cell) {
        const int32_t released = plugin.release(device, cell);
        if (code == 0) code = released;
      }
      return code;
    }));
    return cuda::to_status(fault);
  }

 private:
  Status said(int32_t code) const { return cuda::said_by(plugin, code); }

  const cuda::Plugin& plugin = *cuda::load_plugin().plugin;
  int32_t device = 0;
};

const int32_t* or_null(std::span<const int32_t> values) { return values.empty() ? nullptr : values.data(); }

cuda::Boxes on_device(const PaddedBoxes& boxes) {
  return {boxes.values.data(), or_null(boxes.counts), boxes.rows};
}

Status gpu_pairwise_iou(const PaddedBoxes& a, const PaddedBoxes& b, int64_t batch, IouKind kind,
                        BoxFormat format, std::span<float> out) {
  if (out.empty()) return {};
  return GpuCall::run(out.data(), [&](const cuda::Plugin& plugin, int32_t device) {
    const cuda::Boxes device_a = on_device(a), device_b = on_device(b);
    return plugin.pairwise_iou(device, &device_a, &device_b, batch, kind, format, out.data());
  });
}

Status gpu_pairwise_iou_gradient(const PaddedBoxes& a, const PaddedBoxes& b, int64_t batch, IouKind kind,
                                 BoxFormat format, std::span<const float> grad, std::span<float> grad_a,
                                 std::span<float> grad_b) {
  if (grad_a.empty() && grad_b.empty()) return {};
  return GpuCall::run(grad_a.empty() ? grad_b.data() : grad_a.data(),
                      [&](const cuda::Plugin& plugin, int32_t device) {
                        const cuda::Boxes device_a = on_device(a), device_b = on_device(b);
                        return plugin.pairwise_iou_gradient(device, &device_a, &device_b, batch, kind, format,
                                                            grad.data(), grad_a.data(), grad_b.data());
                      });
}

Status gpu_linear_sum_assignment(std::span<const float> costs, int64_t batch, int64_t rows, int64_t cols,
                                 std::span<const int32_t> row_counts, std::span<const int32_t> col_counts,
                                 bool maximize, std::span<int32_t> column_of_row) {
  if (column_of_row.empty()) return {};
  return GpuCall::run_with_fault(column_of_row.data(), [&](const cuda::Plugin& plugin, int32_t device,
                                                           cuda::Fault* fault) {
    cuda::CostMatrices matrices{};
    matrices.costs = costs.data();
    matrices.problems = batch;
    matrices.rows = rows;
    matrices.cols = cols;
    matrices.row_counts = or_null(row_counts);
    matrices.col_counts = or_null(col_counts);
    return plugin.linear_sum_assignment(device, &matrices, maximize, column_of_row.data(), nullptr, fault);
  });
}

Status gpu_group_advantages(std::span<const float> rewards, int64_t groups, int64_t group_size,
                            const AdvantageOptions& formula, std::span<float> advantages) {
  if (advantages.empty()) return {};
  return GpuCall::run_with_fault(
      advantages.data(), [&](const cuda::Plugin& plugin, int32_t device, cuda::Fault* fault) {
        const cuda::Groups shape = {groups, group_size, nullptr, nullptr};
        return plugin.group_advantages(device, rewards.data(), static_cast<int64_t>(rewards.size()), &shape,
                                       &formula, advantages.data(), nullptr, nullptr, fault);
      });
}

Status gpu_score_tensors(const TensorScoreRequest& request, std::span<float> rewards,
                         std::span<float> terms) {
  if (rewards.empty()) return {};
  return GpuCall::run_with_fault(
      rewards.data(), [&](const cuda::Plugin& plugin, int32_t device, cuda::Fault* fault) {
        const auto objects = [](const PaddedObjects& from) -> cuda::Objects {
          return {from.values.data(), or_null(from.labels), or_null(from.counts), from.rows};
        };
        const cuda::ScoreBatch batch = {request.recipe, objects(request.predictions), objects(request.truth),
                                        request.count, request.predictions_per_truth};
        const cuda::Scores scores = {rewards.data(), terms.data(), nullptr, nullptr, nullptr};
        return plugin.score(device, &batch, nullptr, &scores, fault);
      });
}

constexpr Device kGpu = {gpu_pairwise_iou, gpu_pairwise_iou_gradient, gpu_linear_sum_assignment,
                         gpu_group_advantages, gpu_score_tensors};

}  // namespace

const Device* find_device(DeviceType type, std::string& reason) {
  if (type == DeviceType::kCpu) return &kCpu;
  const cuda::Loaded& loaded = cuda::load_plugin();
  if (loaded.plugin) return &kGpu;
  reason = loaded.reason;
  return nullptr;
}

}  // namespace perception::tensorflow
