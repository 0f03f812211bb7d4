// Overlaps of boxes and distances of points.
#include <string>

#include "cuda/launch.h"
#include "cuda/operations.h"
#include "cuda/pairwise.cuh"

namespace perception::cuda {
namespace {

constexpr int kLanes = 256;
// From this width on a matrix is computed by tiles.
constexpr int64_t kTileWidth = 2 * kLanes;

template <class Pair, class Matrices>
Status flat(Stream stream, const Pair& pair, const Matrices& matrices, const float* a, const float* b,
            int64_t pairs, float* out) {
  const FlatPairs<Pair, Matrices> kernel = {pair, matrices, a, b, out, pairs};
  return launch<kLanes>(stream, (pairs + kFlatPairs - 1) / kFlatPairs, 0, kernel);
}

// One matrix without counts, or a batch.
template <class Pair>
Status padded(Stream stream, const Pair& pair, const float* a, const float* b, const PaddedMatrices& matrices,
              int64_t batch, float* out) {
  const auto [a_counts, b_counts, n, m] = matrices;
  if (batch == 1 && !a_counts && !b_counts && m >= kTileWidth && m % 4 == 0 && is_aligned(out)) {
    const int64_t across = (m + 4 * kLanes - 1) / (4 * kLanes), down = (n + kTileRows - 1) / kTileRows;
    const TilePairs<Pair> kernel = {pair, a, b, out, n, m, across};
    return launch<kLanes>(stream, across * down, kernel.kSharedBytes, kernel);
  }
  return flat(stream, pair, matrices, a, b, batch * n * m, out);
}

Status check_sizes(int64_t batch, int64_t n, int64_t m) {
  if (batch < 0 || n < 0 || m < 0)
    return {Code::kShapeMismatch, "expected no negative sizes, received " + std::to_string(batch) + " x " +
                                      std::to_string(n) + " x " + std::to_string(m)};
  return {};
}

int32_t pairwise_iou(int32_t device, const Boxes* a, const Boxes* b, int64_t batch, IouKind kind,
                     BoxFormat format, float* out) {
  return reported([&]() -> Status {
    PERCEPTION_RETURN_IF_ERROR(check_sizes(batch, a->rows, b->rows));
    Stream stream;
    PERCEPTION_RETURN_IF_ERROR(use_device(device, stream));
    return for_kind(kind, [&]<IouKind k>() {
      return padded(stream, BoxPair<k>{format}, a->values, b->values,
                    PaddedMatrices{a->counts, b->counts, a->rows, b->rows}, batch, out);
    });
  });
}

int32_t pairwise_iou_ragged(int32_t device, const float* a, const int32_t* a_offsets, const float* b,
                            const int32_t* b_offsets, const int32_t* out_offsets, int64_t problems,
                            int64_t pairs, IouKind kind, BoxFormat format, float* out) {
  return reported([&]() -> Status {
    Stream stream;
    PERCEPTION_RETURN_IF_ERROR(use_device(device, stream));
    return for_kind(kind, [&]<IouKind k>() {
      return flat(stream, BoxPair<k>{format}, RaggedMatrices{a_offsets, b_offsets, out_offsets, problems}, a,
                  b, pairs, out);
    });
  });
}

int32_t pairwise_distance(int32_t device, const float* a, int64_t n, const float* b, int64_t m,
                          PointMetric metric, float* out) {
  return reported([&]() -> Status {
    PERCEPTION_RETURN_IF_ERROR(check_sizes(1, n, m));
    Stream stream;
    PERCEPTION_RETURN_IF_ERROR(use_device(device, stream));
    const PaddedMatrices matrices = {nullptr, nullptr, n, m};
    return metric == PointMetric::kL1 ? padded(stream, PointPair<PointMetric::kL1>{}, a, b, matrices, 1, out)
                                      : padded(stream, PointPair<PointMetric::kL2>{}, a, b, matrices, 1, out);
  });
}

}  // namespace

void add_pairwise(Plugin& plugin) {
  plugin.pairwise_iou = pairwise_iou;
  plugin.pairwise_iou_ragged = pairwise_iou_ragged;
  plugin.pairwise_distance = pairwise_distance;
}

}  // namespace perception::cuda
