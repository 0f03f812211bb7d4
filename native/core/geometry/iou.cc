#include "core/geometry/iou.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "core/base/ragged.h"
#include "core/base/thread_pool.h"
#include "core/geometry/overlap.h"

namespace perception {
namespace {

// Pairs a chunk of parallel_for should hold at least: some tens of microseconds.
constexpr int64_t kPairsPerChunk = 16384;

// --- Many boxes. ---

// The terms of the second list, as a structure of arrays in `scratch`: the inner loop runs along it.
struct BoxArrays {
  const float *x1, *y1, *x2, *y2, *area, *centre_x, *centre_y, *angle;
};

template <IouKind kind>
BoxArrays box_arrays(const float* boxes, size_t count, BoxFormat format, std::vector<float>& scratch) {
  scratch.resize(std::max(scratch.size(), 8 * count));
  float* const x1 = scratch.data();
  float *const y1 = x1 + count, *const x2 = y1 + count, *const y2 = x2 + count, *const area = y2 + count,
               *const centre_x = area + count, *const centre_y = centre_x + count,
               *const angle = centre_y + count;
  for (size_t i = 0; i < count; ++i) {
    const BoxTerms<float> terms = box_terms<kind>(to_corners(boxes + 4 * i, format));
    x1[i] = terms.x1;
    y1[i] = terms.y1;
    x2[i] = terms.x2;
    y2[i] = terms.y2;
    area[i] = terms.area;
    centre_x[i] = terms.centre_x;
    centre_y[i] = terms.centre_y;
    angle[i] = terms.angle;
  }
  return {x1, y1, x2, y2, area, centre_x, centre_y, angle};
}

template <IouKind kind>
void overlap_row(const BoxTerms<float>& a, BoxArrays b, size_t count, float* out) {
  for (size_t j = 0; j < count; ++j) {
    const BoxTerms<float> other{b.x1[j],   b.y1[j],       b.x2[j],       b.y2[j],
                                b.area[j], b.centre_x[j], b.centre_y[j], b.angle[j]};
    out[j] = overlap<kind>(a, other, NoEpsilon());
  }
}

template <IouKind kind>
void overlap_rows(const float* a, size_t rows, BoxFormat format, const BoxArrays& b, size_t cols,
                  float* out) {
  for (size_t i = 0; i < rows; ++i)
    overlap_row<kind>(box_terms<kind>(to_corners(a + 4 * i, format)), b, cols, out + i * cols);
}

std::vector<float>& thread_scratch() {
  thread_local std::vector<float> scratch;
  return scratch;
}

// --- Checks. ---

Status check_values(std::span<const float> values, size_t width, const char* name, const char* item) {
  if (values.size() % width != 0)
    return {Code::kShapeMismatch, std::string(name) + ": expected a length that is a multiple of " +
                                      std::to_string(width) + ", received " + std::to_string(values.size())};
  bool finite = true;
  for (const float value : values) finite &= std::abs(value) <= std::numeric_limits<float>::max();
  if (finite) return {};
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
                      size_t out_size) {
  PERCEPTION_RETURN_IF_ERROR(check_values(a, width, "a", item));
  PERCEPTION_RETURN_IF_ERROR(check_values(b, width, "b", item));
  const size_t rows = a.size() / width, cols = b.size() / width;
  if (cols != 0 && rows > std::numeric_limits<size_t>::max() / cols)
    return {Code::kTooLarge, "out: " + std::to_string(rows) + " x " + std::to_string(cols) +
                                 " pairs are more than memory can address"};
  return check_length(out_size, rows * cols, "out");
}

int64_t rows_per_chunk(size_t cols) {
  return std::max<int64_t>(1, kPairsPerChunk / std::max<int64_t>(1, static_cast<int64_t>(cols)));
}

}  // namespace

Status pairwise_iou(std::span<const float> a, std::span<const float> b, IouKind kind, BoxFormat format,
                    std::span<float> out) {
  PERCEPTION_RETURN_IF_ERROR(check_pairwise(a, b, 4, "box", out.size()));
  const size_t rows = a.size() / 4, cols = b.size() / 4;
  for_kind(kind, [&]<IouKind k>() {
    const BoxArrays arrays = box_arrays<k>(b.data(), cols, format, thread_scratch());
    parallel_for(static_cast<int64_t>(rows), rows_per_chunk(cols), [&](int64_t begin, int64_t end) {
      const size_t first = static_cast<size_t>(begin);
      overlap_rows<k>(a.data() + 4 * first, static_cast<size_t>(end - begin), format, arrays, cols,
                      out.data() + first * cols);
    });
  });
  return {};
}

Status pairwise_iou_batch(std::span<const float> a, std::span<const int32_t> a_offsets,
                          std::span<const float> b, std::span<const int32_t> b_offsets, IouKind kind,
                          BoxFormat format, std::span<const int32_t> out_offsets, std::span<float> out) {
  PERCEPTION_RETURN_IF_ERROR(check_values(a, 4, "a", "box"));
  PERCEPTION_RETURN_IF_ERROR(check_values(b, 4, "b", "box"));
  PERCEPTION_RETURN_IF_ERROR(validate_offsets(a_offsets, a.size() / 4, "a_offsets"));
  PERCEPTION_RETURN_IF_ERROR(validate_offsets(b_offsets, b.size() / 4, "b_offsets"));
  PERCEPTION_RETURN_IF_ERROR(check_length(b_offsets.size(), a_offsets.size(), "b_offsets"));
  PERCEPTION_RETURN_IF_ERROR(check_length(out_offsets.size(), a_offsets.size(), "out_offsets"));
  const int64_t problems = static_cast<int64_t>(a_offsets.size()) - 1;
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

  const int64_t grain = std::max<int64_t>(1, problems * kPairsPerChunk / std::max<int64_t>(1, pairs));
  for_kind(kind, [&]<IouKind k>() {
    parallel_for(problems, grain, [&](int64_t begin, int64_t end) {
      std::vector<float>& scratch = thread_scratch();
      for (size_t i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
        const size_t rows = static_cast<size_t>(a_offsets[i + 1] - a_offsets[i]);
        const size_t cols = static_cast<size_t>(b_offsets[i + 1] - b_offsets[i]);
        const BoxArrays arrays = box_arrays<k>(b.data() + 4 * size_t(b_offsets[i]), cols, format, scratch);
        overlap_rows<k>(a.data() + 4 * size_t(a_offsets[i]), rows, format, arrays, cols,
                        out.data() + out_offsets[i]);
      }
    });
  });
  return {};
}

Status validate_padded(const PaddedBoxes& boxes, int64_t batch, const char* name) {
  PERCEPTION_RETURN_IF_ERROR(check_shape(boxes.values.size(), {batch, boxes.rows, 4}, name));
  return validate_counts(boxes.counts, batch, boxes.rows, name);
}

Status pairwise_iou_padded(const PaddedBoxes& a, const PaddedBoxes& b, int64_t batch, IouKind kind,
                           BoxFormat format, std::span<float> out) {
  PERCEPTION_RETURN_IF_ERROR(validate_padded(a, batch, "a"));
  PERCEPTION_RETURN_IF_ERROR(validate_padded(b, batch, "b"));
  PERCEPTION_RETURN_IF_ERROR(check_shape(out.size(), {batch, a.rows, b.rows}, "out"));
  const auto cols = static_cast<size_t>(b.rows);

  for_kind(kind, [&]<IouKind k>() {
    // Rows [first, last) of one problem, its second list being in `arrays`.
    const auto rows = [&](int64_t problem, const BoxArrays& arrays, int64_t first, int64_t last) {
      const auto count = static_cast<size_t>(b.count(problem));
      const float* const others = b.of(problem);
      for (int64_t i = first; i < last; ++i) {
        float* const row = out.data() + (problem * a.rows + i) * b.rows;
        const float* const box = a.of(problem) + 4 * i;
        const bool used = i < a.count(problem) && finite_box(box);
        if (used) overlap_row<k>(box_terms<k>(to_corners(box, format)), arrays, count, row);
        std::fill(row + (used ? count : 0), row + cols, 0.0f);
        for (size_t j = 0; used && j < count; ++j)
          if (!finite_box(others + 4 * j)) row[j] = 0;
      }
    };
    if (batch == 1) {
      const BoxArrays arrays =
          box_arrays<k>(b.of(0), static_cast<size_t>(b.count(0)), format, thread_scratch());
      parallel_for(a.rows, rows_per_chunk(cols),
                   [&](int64_t begin, int64_t end) { rows(0, arrays, begin, end); });
      return;
    }
    const int64_t grain = std::max<int64_t>(1, kPairsPerChunk / std::max<int64_t>(1, a.rows * b.rows));
    parallel_for(batch, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const BoxArrays arrays =
            box_arrays<k>(b.of(i), static_cast<size_t>(b.count(i)), format, thread_scratch());
        rows(i, arrays, 0, a.rows);
      }
    });
  });
  return {};
}

Status pairwise_distance(std::span<const float> a, std::span<const float> b, PointMetric metric,
                         std::span<float> out) {
  PERCEPTION_RETURN_IF_ERROR(check_pairwise(a, b, 2, "point", out.size()));
  const size_t rows = a.size() / 2, cols = b.size() / 2;
  parallel_for(static_cast<int64_t>(rows), rows_per_chunk(cols), [&](int64_t begin, int64_t end) {
    for (size_t i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      // In double: no square overflows, and the result is the true distance rounded once.
      const double x = a[2 * i], y = a[2 * i + 1];
      float* const row = out.data() + i * cols;
      if (metric == PointMetric::kL1) {
        for (size_t j = 0; j < cols; ++j)
          row[j] = static_cast<float>(std::abs(x - b[2 * j]) + std::abs(y - b[2 * j + 1]));
      } else {
        for (size_t j = 0; j < cols; ++j) {
          const double dx = x - b[2 * j], dy = y - b[2 * j + 1];
          row[j] = static_cast<float>(std::sqrt(dx * dx + dy * dy));
        }
      }
    }
  });
  return {};
}

}  // namespace perception
