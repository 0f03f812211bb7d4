#include "core/geometry/iou.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>

#include "core/base/isa.h"
#include "core/base/ragged.h"
#include "core/base/simd.h"
#include "core/base/thread_pool.h"
#include "core/geometry/overlap.h"

namespace perception {
namespace {

// A kernel computes with at most this many items (boxes or points) of either list at a time: their terms stay
// in the first cache.
constexpr size_t kBlock = 512;

// Items of a list, which can be read as far as `end`, beyond the `count` in question.
struct ItemList {
  const float* first;
  size_t count;
  const float* end;
};

// The numbers of pairs of some items of two lists, to rows of `out` that are `stride` apart.
struct Matrix {
  size_t a, rows, b, cols;
  float* out;
  size_t stride;
};

struct Group {
  ItemList a, b;
  std::span<const Matrix> matrices;
};

}  // namespace

#define PERCEPTION_KERNELS "core/geometry/iou_kernels.inc"
#include "core/base/each_isa.inc"

namespace {

using Kernel = void (*)(const Group&, BoxFormat, bool streamed);

Kernel kernel_of(IouKind kind, Isa set) {
  return for_kind(kind, [&]<IouKind k>() -> Kernel { return PERCEPTION_KERNEL(set, write_overlaps<k>); });
}

Kernel kernel_of(PointMetric metric, Isa set) {
  return metric == PointMetric::kL1 ? PERCEPTION_KERNEL(set, write_distances<PointMetric::kL1>)
                                    : PERCEPTION_KERNEL(set, write_distances<PointMetric::kL2>);
}

bool all_finite(std::span<const float> values, Isa set) {
  return PERCEPTION_KERNEL(set, all_finite)(values.data(), values.size());
}

// An output of this size leaves the caches before it is read: it is written past them, unless its rows are so
// short that joining them takes longer. About half of a large last cache.
constexpr size_t kStreamedBytes = size_t{16} << 20, kStreamedCols = 32;

bool is_streamed(size_t pairs, size_t rows) {
  return pairs >= kStreamedBytes / sizeof(float) && pairs / rows >= kStreamedCols;
}

struct Lists {
  std::span<const float> a, b;
  size_t width;  // numbers of an item
  BoxFormat format;

  ItemList part(std::span<const float> items, size_t first, size_t end) const {
    return {items.data() + width * first, end - first, items.data() + items.size()};
  }
};

// Hands matrices to the kernel, as many at a time as it takes whose items are near each other: it then
// computes their terms in whole vectors, however small each matrix is.
class Grouping {
 public:
  Grouping(const Lists& lists, Kernel kernel, bool streamed)
      : lists_(lists), kernel_(kernel), streamed_(streamed) {}

  void add(const Matrix& matrix) {
    if (matrix.rows == 0 || matrix.cols == 0) return;
    if (matrix.rows <= kBlock && matrix.cols <= kBlock) return add_block(matrix);
    for (size_t i = 0; i < matrix.rows; i += kBlock)
      for (size_t j = 0; j < matrix.cols; j += kBlock)
        add_block({matrix.a + i, std::min(kBlock, matrix.rows - i), matrix.b + j,
                   std::min(kBlock, matrix.cols - j), matrix.out + i * matrix.stride + j, matrix.stride});
  }

  void write() {
    if (count_ == 0) return;
    kernel_(
        {lists_.part(lists_.a, a_, a_end_), lists_.part(lists_.b, b_, b_end_), {matrices_.data(), count_}},
        lists_.format, streamed_);
    count_ = 0;
  }

 private:
  void add_block(Matrix block) {
    const size_t a_end = block.a + block.rows, b_end = block.b + block.cols;
    // Streamed ones are large, and are read faster if aligned. Of a large matrix the columns start again.
    const bool fits = !streamed_ && count_ < matrices_.size() && a_end - a_ <= kBlock && block.b >= b_ &&
                      b_end - b_ <= kBlock;
    if (!fits) write();
    if (count_ == 0) {
      a_ = block.a;
      b_ = block.b;
      a_end_ = b_end_ = 0;
    }
    a_end_ = std::max(a_end_, a_end);
    b_end_ = std::max(b_end_, b_end);
    block.a -= a_;
    block.b -= b_;
    matrices_[count_++] = block;
  }

  const Lists& lists_;
  const Kernel kernel_;
  const bool streamed_;
  size_t a_ = 0, a_end_ = 0, b_ = 0, b_end_ = 0;  // the items of the group
  size_t count_ = 0;
  std::array<Matrix, 64> matrices_;
};

// Pairs a chunk of parallel_for should hold at least: some tens of microseconds. A large matrix is cut into
// blocks of this many rows.
constexpr int64_t kPairsPerChunk = 65536;
constexpr size_t kChunkRows = 128;

size_t chunks_of(size_t rows) { return (rows + kChunkRows - 1) / kChunkRows; }

// Computes matrix_of(0), ..., matrix_of(count - 1), of `pairs` numbers in all, in parallel; after each chunk
// of them, finish(matrix) for each.
template <class MatrixOf, class Finish>
void write_matrices(const Lists& lists, Kernel kernel, size_t count, size_t pairs, bool streamed,
                    const MatrixOf& matrix_of, const Finish& finish) {
  const auto total = static_cast<int64_t>(count);
  const int64_t grain = std::max<int64_t>(1, total * kPairsPerChunk / std::max<int64_t>(1, int64_t(pairs)));
  parallel_for(total, grain, [&](int64_t begin, int64_t end) {
    Grouping grouping(lists, kernel, streamed);
    for (int64_t i = begin; i < end; ++i) grouping.add(matrix_of(static_cast<size_t>(i)));
    grouping.write();
    for (int64_t i = begin; i < end; ++i) finish(matrix_of(static_cast<size_t>(i)));
  });
}

constexpr auto kNothing = [](const Matrix&) {};

// The one matrix of two lists.
void write_matrix(const Lists& lists, Kernel kernel, std::span<float> out) {
  const size_t rows = lists.a.size() / lists.width, cols = lists.b.size() / lists.width;
  if (out.empty()) return;
  if (rows <= kChunkRows && cols <= kBlock) {
    const Matrix whole = {0, rows, 0, cols, out.data(), cols};
    kernel({lists.part(lists.a, 0, rows), lists.part(lists.b, 0, cols), {&whole, 1}}, lists.format, false);
    return;
  }
  const size_t across = (cols + kBlock - 1) / kBlock;
  const auto block = [=](size_t index) -> Matrix {
    const size_t i = index / across * kChunkRows, j = index % across * kBlock;
    return {i,   std::min(kChunkRows, rows - i), j, std::min(kBlock, cols - j), out.data() + i * cols + j,
            cols};
  };
  write_matrices(lists, kernel, chunks_of(rows) * across, out.size(), is_streamed(out.size(), rows), block,
                 kNothing);
}

// --- Checks. ---

Status check_values(std::span<const float> values, size_t width, const char* name, const char* item,
                    Isa set) {
  if (values.size() % width != 0)
    return {Code::kShapeMismatch, std::string(name) + ": expected a length that is a multiple of " +
                                      std::to_string(width) + ", received " + std::to_string(values.size())};
  if (all_finite(values, set)) return {};
  const auto first =
      std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  const size_t index = static_cast<size_t>(first - values.begin());
  const char* const received = std::isnan(*first) ? "nan" : *first > 0 ? "inf" : "-inf";
  return {Code::kInvalidValue, std::string(name) + ": expected finite numbers, received " + received +
                                   " at index " + std::to_string(index) + " (" + item + " " +
                                   std::to_string(index / width) + ")"};
}

// Checks both lists and that `out` holds one number for every pair.
Status check_pairwise(std::span<const float> a, std::span<const float> b, size_t width, const char* item,
                      size_t out_size, Isa set) {
  PERCEPTION_RETURN_IF_ERROR(check_values(a, width, "a", item, set));
  PERCEPTION_RETURN_IF_ERROR(check_values(b, width, "b", item, set));
  const size_t rows = a.size() / width, cols = b.size() / width;
  if (cols != 0 && rows > std::numeric_limits<size_t>::max() / cols)
    return {Code::kTooLarge, "out: " + std::to_string(rows) + " x " + std::to_string(cols) +
                                 " pairs are more than memory can address"};
  return check_length(out_size, rows * cols, "out");
}

}  // namespace

Status pairwise_iou(std::span<const float> a, std::span<const float> b, IouKind kind, BoxFormat format,
                    std::span<float> out, Isa set) {
  PERCEPTION_RETURN_IF_ERROR(check_pairwise(a, b, 4, "box", out.size(), set));
  write_matrix({a, b, 4, format}, kernel_of(kind, set), out);
  return {};
}

Status pairwise_iou_batch(std::span<const float> a, std::span<const int32_t> a_offsets,
                          std::span<const float> b, std::span<const int32_t> b_offsets, IouKind kind,
                          BoxFormat format, std::span<const int32_t> out_offsets, std::span<float> out,
                          Isa set) {
  PERCEPTION_RETURN_IF_ERROR(check_values(a, 4, "a", "box", set));
  PERCEPTION_RETURN_IF_ERROR(check_values(b, 4, "b", "box", set));
  PERCEPTION_RETURN_IF_ERROR(validate_offsets(a_offsets, a.size() / 4, "a_offsets"));
  PERCEPTION_RETURN_IF_ERROR(validate_offsets(b_offsets, b.size() / 4, "b_offsets"));
  PERCEPTION_RETURN_IF_ERROR(check_length(b_offsets.size(), a_offsets.size(), "b_offsets"));
  PERCEPTION_RETURN_IF_ERROR(check_length(out_offsets.size(), a_offsets.size(), "out_offsets"));
  int64_t pairs = 0;
  for (size_t i = 0; i < out_offsets.size(); ++i) {
    if (out_offsets[i] != pairs)
      return {Code::kInvalidOffsets, "out_offsets[" + std::to_string(i) + "]: expected " +
                                         std::to_string(pairs) + " (the running sum of n * m), received " +
                                         std::to_string(out_offsets[i])};
    if (i + 1 == out_offsets.size()) break;
    pairs += int64_t{a_offsets[i + 1] - a_offsets[i]} * (b_offsets[i + 1] - b_offsets[i]);
    if (pairs > std::numeric_limits<int32_t>::max())
      return {Code::kTooLarge, "out: expected at most " +
                                   std::to_string(std::numeric_limits<int32_t>::max()) +
                                   " pairs in a batch, received " + std::to_string(pairs) +
                                   " up to problem " + std::to_string(i)};
  }
  PERCEPTION_RETURN_IF_ERROR(check_length(out.size(), static_cast<size_t>(pairs), "out"));

  const auto problem = [a = a_offsets.data(), b = b_offsets.data(), start = out_offsets.data(),
                        out = out.data()](size_t i) -> Matrix {
    const auto rows = static_cast<size_t>(a[i + 1] - a[i]), cols = static_cast<size_t>(b[i + 1] - b[i]);
    return {static_cast<size_t>(a[i]), rows, static_cast<size_t>(b[i]), cols, out + start[i], cols};
  };
  write_matrices({a, b, 4, format}, kernel_of(kind, set), a_offsets.size() - 1, out.size(),
                 is_streamed(out.size(), a.size() / 4), problem, kNothing);
  return {};
}

Status validate_padded(const PaddedBoxes& boxes, int64_t batch, const char* name) {
  PERCEPTION_RETURN_IF_ERROR(check_shape(boxes.values.size(), {batch, boxes.rows, 4}, name));
  return validate_counts(boxes.counts, batch, boxes.rows, name);
}

Status pairwise_iou_padded(const PaddedBoxes& a, const PaddedBoxes& b, int64_t batch, IouKind kind,
                           BoxFormat format, std::span<float> out, Isa set) {
  PERCEPTION_RETURN_IF_ERROR(validate_padded(a, batch, "a"));
  PERCEPTION_RETURN_IF_ERROR(validate_padded(b, batch, "b"));
  PERCEPTION_RETURN_IF_ERROR(check_shape(out.size(), {batch, a.rows, b.rows}, "out"));
  if (out.empty()) return {};
  const auto problems = static_cast<size_t>(batch), rows = static_cast<size_t>(a.rows),
             stride = static_cast<size_t>(b.rows), chunks = chunks_of(rows);
  // The used part of a chunk of a problem's rows.
  const auto chunk = [&](size_t index) -> Matrix {
    const size_t problem = index / chunks, i = index % chunks * kChunkRows;
    const auto n = static_cast<size_t>(a.count(static_cast<int64_t>(problem)));
    const auto m = static_cast<size_t>(b.count(static_cast<int64_t>(problem)));
    return {problem * rows + i,
            std::min(kChunkRows, n - std::min(i, n)),
            problem * stride,
            m,
            out.data() + (problem * rows + i) * stride,
            stride};
  };
  // Zeros in the other part, and for boxes that are not finite.
  const auto clear = [&](const Matrix& used) {
    for (size_t i = 0; i < used.rows && used.cols < stride; ++i)
      std::fill(used.out + i * stride + used.cols, used.out + (i + 1) * stride, 0.0f);
    std::fill(used.out + used.rows * stride, used.out + std::min(kChunkRows, rows - used.a % rows) * stride,
              0.0f);
    const float *const boxes = a.values.data() + 4 * used.a, *const others = b.values.data() + 4 * used.b;
    if (all_finite({boxes, 4 * used.rows}, set) && all_finite({others, 4 * used.cols}, set)) return;
    for (size_t i = 0; i < used.rows; ++i)
      for (size_t j = 0; j < used.cols; ++j)
        if (!finite_box(boxes + 4 * i) || !finite_box(others + 4 * j)) used.out[i * stride + j] = 0;
  };
  write_matrices({a.values, b.values, 4, format}, kernel_of(kind, set), problems * chunks, out.size(),
                 b.counts.empty() && is_streamed(out.size(), problems * rows), chunk, clear);
  return {};
}

Status pairwise_distance(std::span<const float> a, std::span<const float> b, PointMetric metric,
                         std::span<float> out, Isa set) {
  PERCEPTION_RETURN_IF_ERROR(check_pairwise(a, b, 2, "point", out.size(), set));
  write_matrix({a, b, 2, BoxFormat::kXyxy}, kernel_of(metric, set), out);
  return {};
}

}  // namespace perception
