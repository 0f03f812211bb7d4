// What a device computes: one table of functions per device, with core's signatures. Spans are the device's
// own memory, TensorFlow's buffers.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/advantage/group_advantages.h"
#include "core/base/status.h"
#include "core/geometry/iou.h"
#include "core/reward/score_tensors.h"

namespace perception::tensorflow {

enum class DeviceType : uint8_t { kCpu, kGpu };

// The name under which TensorFlow knows it.
constexpr const char* device_name(DeviceType type) { return type == DeviceType::kCpu ? "CPU" : "GPU"; }

struct Device {
  Status (*pairwise_iou)(const PaddedBoxes& a, const PaddedBoxes& b, int64_t batch, IouKind kind,
                         BoxFormat format, std::span<float> out);
  Status (*pairwise_iou_gradient)(const PaddedBoxes& a, const PaddedBoxes& b, int64_t batch, IouKind kind,
                                  BoxFormat format, std::span<const float> grad, std::span<float> grad_a,
                                  std::span<float> grad_b);
  Status (*linear_sum_assignment)(std::span<const float> costs, int64_t batch, int64_t rows, int64_t cols,
                                  std::span<const int32_t> row_counts, std::span<const int32_t> col_counts,
                                  bool maximize, std::span<int32_t> column_of_row);
  Status (*group_advantages)(std::span<const float> rewards, int64_t groups, int64_t group_size,
                             const AdvantageOptions& formula, std::span<float> advantages);
  Status (*score_tensors)(const TensorScoreRequest& request, std::span<float> rewards,
                          std::span<float> terms);
};

// Null, and why in `reason`, where this process cannot compute on such a device.
const Device* find_device(DeviceType type, std::string& reason);

}  // namespace perception::tensorflow
