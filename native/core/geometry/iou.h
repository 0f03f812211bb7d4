// The IoU family: the batched kernels over arrays. The formula for one pair is in overlap.h.
//
//   IoU   intersection / union                                            Everingham et al. 2010
//   GIoU  IoU - (hull - union) / hull                                     Rezatofighi et al. 2019
//   DIoU  IoU - (centre distance)^2 / (hull diagonal)^2                   Zheng et al. 2020
//   CIoU  DIoU - alpha * v, v = 4/pi^2 (atan(wb/hb) - atan(wa/ha))^2,     Zheng et al. 2020
//         alpha = v / (1 - IoU + v)
//
// A box with a negative extent has area 0. A quotient that is no finite number (0 / 0, or an area beyond the
// range of the type) is taken as 0, so finite boxes always give a finite number.
//
// Every instruction set gives the same bits; `set` is one that the processor has.
#pragma once

#include <cstdint>
#include <span>

#include "core/base/isa.h"
#include "core/base/status.h"
#include "core/geometry/box.h"

namespace perception {

enum class IouKind : uint8_t { kIou, kGiou, kDiou, kCiou };
enum class PointMetric : uint8_t { kL2, kL1 };

// a: [n, 4], b: [m, 4], out: [n, m] row-major. Boxes must be finite (kInvalidValue names the first that is
// not).
Status pairwise_iou(std::span<const float> a, std::span<const float> b, IouKind kind, BoxFormat format,
                    std::span<float> out, Isa set = isa());

// A ragged batch: problem i pairs boxes a_offsets[i].. with b_offsets[i].. (offsets count boxes); its n_i x
// m_i matrix starts at out_offsets[i], the running sum of n_i * m_i. Parallel over the batch.
Status pairwise_iou_batch(std::span<const float> a, std::span<const int32_t> a_offsets,
                          std::span<const float> b, std::span<const int32_t> b_offsets, IouKind kind,
                          BoxFormat format, std::span<const int32_t> out_offsets, std::span<float> out,
                          Isa set = isa());

// Padded batches, as tensors hold them: values [batch, rows, width], of which problem i uses the first
// counts[i] rows; empty counts = all.
struct PaddedBoxes {
  std::span<const float> values;
  std::span<const int32_t> counts;
  int64_t rows = 0;

  const float* of(int64_t problem) const { return values.data() + problem * rows * 4; }
  int64_t count(int64_t problem) const {
    return counts.empty() ? rows : counts[static_cast<size_t>(problem)];
  }
};

// Checks the length of `values` and the counts.
Status validate_padded(const PaddedBoxes& boxes, int64_t batch, const char* name);

// out: [batch, a.rows, b.rows]; pairs beyond the counts are 0. A box that is not finite has an overlap of 0
// with everything, since there is nobody to raise an error to on a device.
Status pairwise_iou_padded(const PaddedBoxes& a, const PaddedBoxes& b, int64_t batch, IouKind kind,
                           BoxFormat format, std::span<float> out, Isa set = isa());

// Gradient of sum(grad * pairwise_iou_padded(a, b)) with respect to a and b; grad: [batch, a.rows, b.rows],
// grad_a and grad_b as a.values and b.values. Where two coordinates tie (touching or equal sides) the side of
// torchvision's autograd is taken: half to each in a tie of min or max. alpha of CIoU is a constant, as in
// the paper.
Status pairwise_iou_gradient(const PaddedBoxes& a, const PaddedBoxes& b, int64_t batch, IouKind kind,
                             BoxFormat format, std::span<const float> grad, std::span<float> grad_a,
                             std::span<float> grad_b);

// a: [n, 2], b: [m, 2], out: [n, m] distances, in the points' own unit. Points must be finite.
Status pairwise_distance(std::span<const float> a, std::span<const float> b, PointMetric metric,
                         std::span<float> out, Isa set = isa());

}  // namespace perception
