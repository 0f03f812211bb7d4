// The gradient of overlaps.
#include "core/geometry/overlap.h"
#include "cuda/iou_gradient.cuh"
#include "cuda/launch.h"
#include "cuda/operations.h"

namespace perception::cuda {
namespace {

int32_t pairwise_iou_gradient(int32_t device, const Boxes* a, const Boxes* b, int64_t batch, IouKind kind,
                              BoxFormat format, const float* grad, float* grad_a, float* grad_b) {
  return reported([&]() -> Status {
    Stream stream;
    PERCEPTION_RETURN_IF_ERROR(use_device(device, stream));
    return for_kind(kind, [&]<IouKind k>() {
      const IouGradient<k> kernel = {a->values, b->values, a->counts, b->counts, a->rows,
                                     b->rows,   format,    grad,      grad_a,    grad_b};
      return launch<32>(stream, batch * (a->rows + b->rows), 0, kernel);
    });
  });
}

}  // namespace

void add_iou_gradient(Plugin& plugin) { plugin.pairwise_iou_gradient = pairwise_iou_gradient; }

}  // namespace perception::cuda
