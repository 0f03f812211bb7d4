#include "tensorflow/devices.h"

#include <limits>
#include <vector>

#include "core/assignment/linear_sum_assignment.h"

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

constexpr Device kCpu = {pairwise_iou_padded, pairwise_iou_gradient, linear_sum_assignment_padded,
                         cpu_group_advantages, score_tensors};

}  // namespace

const Device* find_device(DeviceType type, std::string& reason) {
  if (type == DeviceType::kCpu) return &kCpu;
  reason = "this build has no CUDA plug-in";
  return nullptr;
}

}  // namespace perception::tensorflow
