// A number for every pair of two lists: overlaps of boxes, distances of points. What a number is, says a
// Pair:
//
//   static constexpr int kWidth           numbers of an item in memory
//   struct Item                           what the formula needs of one
//   Item item(const float*, bool aligned) const;
//   float operator()(const Item& a, const Item& b) const;
//
// Two kernels. FlatPairs cuts the output, of however many problems, into quads and lets each lane find out
// where it is: right for batches and small matrices. TilePairs computes tiles of one wide matrix, items of b
// in registers and of a in shared memory: right where the output's bytes are what takes time.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "core/geometry/overlap.h"
#include "cuda/counts.h"
#include "cuda/lanes.h"
#include "cuda/vector.h"

namespace perception::cuda {

template <IouKind kind>
struct BoxPair {
  static constexpr int kWidth = 4;
  using Item = BoxTerms<float>;
  BoxFormat format;

  PERCEPTION_DEVICE Item item(const float* box, bool aligned) const {
    Float4 values;
    if (aligned) {
      values = *reinterpret_cast<const Float4*>(box);
    } else {
      for (int i = 0; i < 4; ++i) values.of[i] = box[i];
    }
    if (finite_box(values.of)) return box_terms<kind>(to_corners(values.of, format));
    // Lies nowhere and is as far from every box as it can be, so that the formula itself gives 0.
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
    return {kInfinity, kInfinity, -kInfinity, -kInfinity, 0, kNan, kNan, kNan};
  }

  PERCEPTION_DEVICE float operator()(const Item& a, const Item& b) const {
    const float result = overlap<kind>(a, b, NoEpsilon());
    // But for the angle's share of CIoU, which would be NaN.
    if constexpr (kind == IouKind::kCiou) return a.angle == a.angle && b.angle == b.angle ? result : 0;
    return result;
  }
};

// In double, as core computes it: no square overflows, and the result is the true distance rounded once.
template <PointMetric metric>
struct PointPair {
  static constexpr int kWidth = 2;
  struct Item {
    double x, y;
  };

  PERCEPTION_DEVICE Item item(const float* point, bool) const { return {point[0], point[1]}; }

  PERCEPTION_DEVICE float operator()(const Item& a, const Item& b) const {
    const double dx = a.x - b.x, dy = a.y - b.y;
    if (metric == PointMetric::kL1) return static_cast<float>(std::abs(dx) + std::abs(dy));
    return static_cast<float>(std::sqrt(dx * dx + dy * dy));
  }
};

struct PairMatrix {
  int64_t a, b;  // first item of each list
  int64_t n, m;
  int64_t used_n, used_m;  // pairs beyond them are 0
};

// Matrices of one size, with counts. Padding may hold anything.
struct PaddedMatrices {
  const int32_t *a_counts, *b_counts;
  int64_t n, m;

  PERCEPTION_DEVICE int64_t problem_of(int64_t place) const { return place / (n * m); }
  PERCEPTION_DEVICE int64_t start(int64_t problem) const { return problem * n * m; }
  PERCEPTION_DEVICE PairMatrix matrix(int64_t problem) const {
    return {problem * n, problem * m, n, m, used_rows(a_counts, problem, n), used_rows(b_counts, problem, m)};
  }
};

// Matrices of any size, one after the other.
struct RaggedMatrices {
  const int32_t *a_offsets, *b_offsets, *out_offsets;
  int64_t problems;

  // The last one that starts at or before `place`, which is not empty therefore.
  PERCEPTION_DEVICE int64_t problem_of(int64_t place) const {
    int64_t low = 0, high = problems - 1;
    while (low < high) {
      const int64_t middle = (low + high + 1) / 2;
      if (out_offsets[middle] <= place)
        low = middle;
      else
        high = middle - 1;
    }
    return low;
  }
  PERCEPTION_DEVICE int64_t start(int64_t problem) const { return out_offsets[problem]; }
  PERCEPTION_DEVICE PairMatrix matrix(int64_t problem) const {
    const int64_t a = a_offsets[problem], b = b_offsets[problem];
    const int64_t n = a_offsets[problem + 1] - a, m = b_offsets[problem + 1] - b;
    return {a, b, n, m, n, m};
  }
};

// A group's share of the output; `pairs` numbers in all.
constexpr int64_t kFlatPairs = 4096;

template <class Pair, class Matrices>
struct FlatPairs {
  Pair pair;
  Matrices matrices;
  const float *a, *b;
  float* out;
  int64_t pairs;

  template <class Lanes>
  PERCEPTION_DEVICE void operator()(Lanes& lanes, int64_t part, unsigned char*) const {
    const int64_t begin = part * kFlatPairs;
    const int64_t end = begin + kFlatPairs < pairs ? begin + kFlatPairs : pairs;
    lanes.each([&](auto lane) {
      for (int64_t quad = begin + 4 * lane.index; quad < end; quad += 4 * Lanes::kSize)
        write(quad, end - quad < 4 ? static_cast<int>(end - quad) : 4);
    });
  }

 private:
  PERCEPTION_DEVICE void write(int64_t place, int count) const {
    const bool aligned = is_aligned(a) && is_aligned(b);
    int64_t problem = matrices.problem_of(place);
    PairMatrix matrix = matrices.matrix(problem);
    const auto within = static_cast<uint64_t>(place - matrices.start(problem));
    // Most matrices have fewer than 2^32 numbers, and the shorter division is several times as fast.
    const auto m = static_cast<uint64_t>(matrix.m);
    int64_t row = static_cast<int64_t>(
        within >> 32 ? within / m : static_cast<uint32_t>(within) / static_cast<uint32_t>(m));
    int64_t column = static_cast<int64_t>(within) - row * matrix.m;
    Float4 values;
    typename Pair::Item left;
    bool known = false;  // whether `left` is this row's
    for (int i = 0; i < 4; ++i) {
      if (i >= count) break;
      if (column == matrix.m) {
        column = 0;
        known = false;
        if (++row == matrix.n) {
          row = 0;
          // Empty matrices take no place.
          do matrix = matrices.matrix(++problem);
          while (matrix.n == 0 || matrix.m == 0);
        }
      }
      values.of[i] = 0;
      if (row < matrix.used_n && column < matrix.used_m) {
        if (!known) left = pair.item(a + (matrix.a + row) * Pair::kWidth, aligned);
        known = true;
        values.of[i] = pair(left, pair.item(b + (matrix.b + column) * Pair::kWidth, aligned));
      }
      ++column;
    }
    if (count == 4 && is_aligned(out)) {
      *reinterpret_cast<Float4*>(out + place) = values;
      return;
    }
    for (int i = 0; i < 4; ++i)
      if (i < count) out[place + i] = values.of[i];
  }
};

// A tile: this many rows, and four columns for each lane.
constexpr int kTileRows = 32;

// One matrix [n, m] whose rows are 16-byte aligned: out is, and m is a multiple of 4.
template <class Pair>
struct TilePairs {
  Pair pair;
  const float *a, *b;
  float* out;
  int64_t n, m;
  int64_t tiles_across;

  static constexpr size_t kSharedBytes = kTileRows * sizeof(typename Pair::Item);

  template <class Lanes>
  PERCEPTION_DEVICE void operator()(Lanes& lanes, int64_t tile, unsigned char* shared) const {
    auto* const rows = reinterpret_cast<typename Pair::Item*>(shared);
    const bool aligned = is_aligned(a) && is_aligned(b);
    const int64_t first_row = tile / tiles_across * kTileRows;
    const int64_t first_column = tile % tiles_across * (4 * Lanes::kSize);
    const int count = n - first_row < kTileRows ? static_cast<int>(n - first_row) : kTileRows;
    lanes.each([&](auto lane) {
      for (int row = lane.index; row < count; row += Lanes::kSize)
        rows[row] = pair.item(a + (first_row + row) * Pair::kWidth, aligned);
    });
    lanes.sync();
    lanes.each([&](auto lane) {
      const int64_t column = first_column + 4 * lane.index;
      if (column >= m) return;
      typename Pair::Item items[4];
      for (int i = 0; i < 4; ++i) items[i] = pair.item(b + (column + i) * Pair::kWidth, aligned);
      float* to = out + first_row * m + column;
      for (int row = 0; row < count; ++row, to += m) {
        const typename Pair::Item left = rows[row];
        Float4 values;
        for (int i = 0; i < 4; ++i) values.of[i] = pair(left, items[i]);
        *reinterpret_cast<Float4*>(to) = values;
      }
    });
  }
};

}  // namespace perception::cuda
