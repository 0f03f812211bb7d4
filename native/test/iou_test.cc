#include "core/geometry/iou.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <random>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "core/base/isa.h"
#include "core/base/thread_pool.h"
#include "core/geometry/arctangent.h"
#include "core/geometry/overlap.h"
#include "doctest.h"

using namespace perception;

namespace {

constexpr IouKind kKinds[] = {IouKind::kIou, IouKind::kGiou, IouKind::kDiou, IouKind::kCiou};
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

template <class T>
T one(IouKind kind, const Corners<T>& a, const Corners<T>& b) {
  switch (kind) {
    case IouKind::kIou:
      return pair_iou(a, b);
    case IouKind::kGiou:
      return pair_giou(a, b);
    case IouKind::kDiou:
      return pair_diou(a, b);
    case IouKind::kCiou:
      return pair_ciou(a, b);
  }
  return 0;
}

// The definitions, said slowly in double, for boxes of positive extent.
double naive(IouKind kind, const Corners<double>& a, const Corners<double>& b) {
  const double wa = a.x2 - a.x1, ha = a.y2 - a.y1, wb = b.x2 - b.x1, hb = b.y2 - b.y1;
  const double w = std::fmax(0, std::fmin(a.x2, b.x2) - std::fmax(a.x1, b.x1));
  const double h = std::fmax(0, std::fmin(a.y2, b.y2) - std::fmax(a.y1, b.y1));
  const double joined = wa * ha + wb * hb - w * h, iou = w * h / joined;
  const double hull_w = std::fmax(a.x2, b.x2) - std::fmin(a.x1, b.x1);
  const double hull_h = std::fmax(a.y2, b.y2) - std::fmin(a.y1, b.y1);
  if (kind == IouKind::kIou) return iou;
  if (kind == IouKind::kGiou) return iou - (hull_w * hull_h - joined) / (hull_w * hull_h);
  const double apart =
      std::pow((a.x1 + a.x2) / 2 - (b.x1 + b.x2) / 2, 2) + std::pow((a.y1 + a.y2) / 2 - (b.y1 + b.y2) / 2, 2);
  const double diou = iou - apart / (hull_w * hull_w + hull_h * hull_h);
  if (kind == IouKind::kDiou) return diou;
  const double v = 4 / std::pow(std::numbers::pi, 2) * std::pow(std::atan(wb / hb) - std::atan(wa / ha), 2);
  return v == 0 ? diou : diou - v / (1 - iou + v) * v;
}

template <class T>
Corners<T> widen(const float* box) {
  return {T(box[0]), T(box[1]), T(box[2]), T(box[3])};
}

// Boxes in corners; some with no extent, some inverted, some the same as others, some with -0.
std::vector<float> odd_boxes(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> coordinate(-3, 4);
  std::vector<float> boxes(4 * count);
  for (float& value : boxes)
    value = static_cast<float>(coordinate(random)) / (coordinate(random) < 0 ? -3 : 3);
  return boxes;
}

std::vector<float> proper_boxes(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> corner(0, 1), extent(0.05f, 0.6f);
  std::vector<float> boxes;
  for (size_t i = 0; i < count; ++i) {
    const float x = corner(random), y = corner(random);
    boxes.insert(boxes.end(), {x, y, x + extent(random), y + extent(random)});
  }
  return boxes;
}

std::vector<uint32_t> bits(const std::vector<float>& values) {
  std::vector<uint32_t> result;
  for (const float value : values) result.push_back(std::bit_cast<uint32_t>(value));
  return result;
}

std::vector<float> pairwise(const std::vector<float>& a, const std::vector<float>& b, IouKind kind,
                            BoxFormat format = BoxFormat::kXyxy) {
  std::vector<float> out(a.size() / 4 * (b.size() / 4), -9);
  const Status status = pairwise_iou(a, b, kind, format, out);
  CHECK(status.ok());
  return out;
}

std::vector<Isa> sets() {
  std::vector<Isa> result;
  for (const Isa set : {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512})
    if (set <= isa()) result.push_back(set);
  return result;
}

constexpr BoxFormat kFormats[] = {BoxFormat::kXyxy, BoxFormat::kXywh, BoxFormat::kCxcywh};

// Pair by pair.
std::vector<float> by_formula(std::span<const float> a, std::span<const float> b, IouKind kind,
                              BoxFormat format) {
  std::vector<float> out;
  for (size_t i = 0; i < a.size(); i += 4)
    for (size_t j = 0; j < b.size(); j += 4)
      out.push_back(one(kind, to_corners(&a[i], format), to_corners(&b[j], format)));
  return out;
}

// Numbers of every size, extents beyond float's range among them.
std::vector<float> wild_boxes(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> boxes(4 * count);
  for (float& value : boxes) do
      value = std::bit_cast<float>(static_cast<uint32_t>(random()));
    while (!std::isfinite(value));
  return boxes;
}

struct ThreadCount {
  const int before = thread_count();
  explicit ThreadCount(int threads) { set_thread_count(threads); }
  ~ThreadCount() { set_thread_count(before); }
};

}  // namespace

TEST_CASE_TEMPLATE("iou: values by hand", T, float, double) {
  const auto near = [](double value) { return doctest::Approx(value).epsilon(1e-6); };
  // 2 x 2 and 2 x 2, overlap 1 x 1, hull 3 x 3, centres (1, 1) apart.
  const Corners<T> a{0, 0, 2, 2}, b{1, 1, 3, 3};
  CHECK(pair_iou(a, b) == near(1.0 / 7));
  CHECK(pair_giou(a, b) == near(1.0 / 7 - 2.0 / 9));
  CHECK(pair_diou(a, b) == near(1.0 / 7 - 2.0 / 18));
  CHECK(pair_ciou(a, b) == near(1.0 / 7 - 2.0 / 18));  // same aspect ratio
  // Side by side: hull = union.
  const Corners<T> left{0, 0, 1, 1}, right{1, 0, 2, 1};
  CHECK(pair_iou(left, right) == 0);
  CHECK(pair_giou(left, right) == 0);
  CHECK(pair_diou(left, right) == near(-1.0 / 5));
  // Apart: hull 4 x 1, union 2.
  const Corners<T> far{3, 0, 4, 1};
  CHECK(pair_giou(left, far) == near(-0.5));
  CHECK(pair_diou(left, far) == near(-9.0 / 17));
  // One inside the other, other aspect ratio: IoU 1/4, centres (1.5, 0) apart, hull 4 x 1.
  const Corners<T> wide{0, 0, 4, 1};
  CHECK(pair_iou(wide, left) == near(0.25));
  CHECK(pair_giou(wide, left) == near(0.25));
  CHECK(pair_diou(wide, left) == near(0.25 - 2.25 / 17));
  const double v = 4 / std::pow(std::numbers::pi, 2) * std::pow(std::atan(4.0) - std::atan(1.0), 2);
  CHECK(pair_ciou(wide, left) == near(0.25 - 2.25 / 17 - v * v / (0.75 + v)));
  // Epsilon goes to the union and to the hull's area.
  CHECK(pair_iou(a, b, T(0.5)) == near(1 / 7.5));
  CHECK(pair_giou(a, b, T(0.5)) == near(1 / 7.5 - 2 / 9.5));
}

TEST_CASE_TEMPLATE("iou: degenerate boxes give finite numbers", T, float, double) {
  const Corners<T> point{1, 1, 1, 1}, other{2, 3, 2, 3}, box{0, 0, 2, 2}, flat{0, 0, 2, 0}, tall{0, 0, 0, 2},
      inverted{2, 2, 0, 0};
  CHECK(pair_iou(point, point) == 0);
  CHECK(pair_giou(point, point) == 0);
  CHECK(pair_diou(point, point) == 0);
  CHECK(pair_ciou(point, point) == 0);
  CHECK(pair_diou(point, other) == -1);
  CHECK(pair_iou(point, box) == 0);
  CHECK(pair_iou(inverted, box) == 0);
  CHECK(pair_iou(inverted, inverted) == 0);
  CHECK(pair_iou(flat, flat) == 0);
  // Zero height is an angle of pi / 2, zero width one of 0: v = 1.
  CHECK(pair_ciou(flat, tall) == doctest::Approx(0 - 2.0 / 8 - 0.5));
  for (const IouKind kind : kKinds) {
    const Corners<T> boxes[] = {point, other, box, flat, tall, inverted};
    for (const auto& a : boxes)
      for (const auto& b : boxes) CHECK(std::isfinite(one(kind, a, b)));
    // Areas beyond the range of T.
    const T huge = std::numeric_limits<T>::max();
    const Corners<T> everything{-huge, -huge, huge, huge}, half{0, 0, huge, huge}, line{-huge, 0, huge, 0};
    for (const auto& a : {everything, half, line, box})
      for (const auto& b : {everything, half, line, box}) CHECK(std::isfinite(one(kind, a, b)));
  }
}

TEST_CASE("iou: identical boxes with an area give exactly 1") {
  const std::vector<float> boxes = proper_boxes(500, 3);
  for (size_t i = 0; i < boxes.size(); i += 4) {
    for (const IouKind kind : kKinds) {
      const auto box = widen<float>(&boxes[i]);
      CHECK(one(kind, box, box) == 1.0f);
      const auto wide = widen<double>(&boxes[i]);
      CHECK(one(kind, wide, wide) == 1.0);
    }
  }
}

TEST_CASE("iou: against the definitions in double") {
  const std::vector<float> a = proper_boxes(40, 5), b = proper_boxes(50, 6);
  for (const IouKind kind : kKinds) {
    const std::vector<float> out = pairwise(a, b, kind);
    for (size_t i = 0; i < 40; ++i) {
      for (size_t j = 0; j < 50; ++j) {
        const auto p = widen<double>(&a[4 * i]), q = widen<double>(&b[4 * j]);
        const double expected = naive(kind, p, q);
        CHECK(std::abs(one(kind, p, q) - expected) < 1e-12);
        CHECK(std::abs(out[i * 50 + j] - expected) < 2e-6);
        if (kind == IouKind::kIou) CHECK((out[i * 50 + j] >= 0 && out[i * 50 + j] <= 1));
      }
    }
  }
}

TEST_CASE("iou: one pair, both orders and every number of threads agree bit for bit") {
  for (const uint32_t seed : {1u, 2u}) {
    // Enough pairs for several chunks.
    std::vector<float> a = odd_boxes(211, seed), b = odd_boxes(309, seed + 7);
    const std::vector<float> more_a = proper_boxes(50, seed), more_b = proper_boxes(33, seed + 1);
    a.insert(a.end(), more_a.begin(), more_a.end());
    b.insert(b.end(), more_b.begin(), more_b.end());
    const size_t n = a.size() / 4, m = b.size() / 4;
    for (const IouKind kind : kKinds) {
      const std::vector<float> there = pairwise(a, b, kind), back = pairwise(b, a, kind);
      size_t differences = 0;
      for (size_t i = 0; i < n; ++i) {
        for (size_t j = 0; j < m; ++j) {
          const auto expected = std::bit_cast<uint32_t>(there[i * m + j]);
          const float pair = one(kind, widen<float>(&a[4 * i]), widen<float>(&b[4 * j]));
          differences += std::bit_cast<uint32_t>(back[j * n + i]) != expected;
          differences += std::bit_cast<uint32_t>(pair) != expected;
        }
      }
      CHECK(differences == 0);
      for (const int threads : {1, 4}) {
        const ThreadCount guard(threads);
        CHECK(bits(pairwise(a, b, kind)) == bits(there));
      }
    }
  }
}

TEST_CASE("iou: formats") {
  // The same two boxes, in numbers that are exact in every format.
  const std::vector<float> xyxy{0, 0, 2, 2, 1, 1, 5, 3}, xywh{0, 0, 2, 2, 1, 1, 4, 2},
      cxcywh{1, 1, 2, 2, 3, 2, 4, 2};
  for (const IouKind kind : kKinds) {
    const std::vector<float> expected = pairwise(xyxy, xyxy, kind);
    CHECK(expected[0] == 1);
    CHECK(expected[3] == 1);
    CHECK(pairwise(xywh, xywh, kind, BoxFormat::kXywh) == expected);
    CHECK(pairwise(cxcywh, cxcywh, kind, BoxFormat::kCxcywh) == expected);
  }
  CHECK(pairwise(xyxy, xyxy, IouKind::kIou)[1] == doctest::Approx(1.0 / 11));
}

TEST_CASE("iou: a ragged batch is its problems one by one") {
  std::mt19937 random(11);
  std::uniform_int_distribution<int32_t> length(0, 30);
  std::vector<int32_t> a_offsets{0}, b_offsets{0}, out_offsets{0};
  for (int i = 0; i < 300; ++i) {
    const int32_t n = length(random), m = length(random);
    a_offsets.push_back(a_offsets.back() + n);
    b_offsets.push_back(b_offsets.back() + m);
    out_offsets.push_back(out_offsets.back() + n * m);
  }
  const std::vector<float> a = odd_boxes(size_t(a_offsets.back()), 1),
                           b = odd_boxes(size_t(b_offsets.back()), 2);
  for (const IouKind kind : kKinds) {
    std::vector<float> expected;
    for (size_t i = 0; i < 300; ++i) {
      const std::vector<float> part =
          pairwise({a.begin() + 4 * a_offsets[i], a.begin() + 4 * a_offsets[i + 1]},
                   {b.begin() + 4 * b_offsets[i], b.begin() + 4 * b_offsets[i + 1]}, kind);
      expected.insert(expected.end(), part.begin(), part.end());
    }
    for (const int threads : {1, 4}) {
      const ThreadCount guard(threads);
      std::vector<float> out(expected.size(), -9);
      CHECK(pairwise_iou_batch(a, a_offsets, b, b_offsets, kind, BoxFormat::kXyxy, out_offsets, out).ok());
      CHECK(bits(out) == bits(expected));
    }
  }
}

TEST_CASE("iou: every instruction set and size gives the bits of the formula") {
  std::vector<std::pair<size_t, size_t>> sizes;
  for (size_t m = 0; m < 36; ++m) sizes.push_back({m % 11, m});
  for (const size_t m : {47, 48, 49, 63, 64, 65, 511, 512, 513, 530}) sizes.push_back({m % 23 + 1, m});
  sizes.insert(sizes.end(), {{129, 33}, {130, 515}, {600, 3}});
  uint32_t seed = 0;
  for (const auto& [n, m] : sizes) {
    CAPTURE(n);
    CAPTURE(m);
    for (const auto boxes : {odd_boxes, proper_boxes, wild_boxes}) {
      const std::vector<float> a = boxes(n, ++seed), b = boxes(m, ++seed);
      for (const IouKind kind : kKinds) {
        for (const BoxFormat format : kFormats) {
          const std::vector<uint32_t> expected = bits(by_formula(a, b, kind, format));
          for (const Isa set : sets()) {
            CAPTURE(isa_name(set));
            // Not aligned, and nothing beside it may be written.
            std::vector<float> out(n * m + 2, -9);
            CHECK(pairwise_iou(a, b, kind, format, {out.data() + 1, n * m}, set).ok());
            CHECK(out.front() == -9);
            CHECK(out.back() == -9);
            CHECK(bits({out.begin() + 1, out.end() - 1}) == expected);
          }
        }
      }
    }
  }
}

TEST_CASE("iou: every instruction set gives the bits of the formula in batches") {
  std::mt19937 random(17);
  for (const int32_t longest : {3, 20, 40, 700}) {
    std::vector<int32_t> a_offsets{0}, b_offsets{0}, out_offsets{0};
    for (int i = 0; i < (longest > 40 ? 9 : 300); ++i) {
      const auto n = static_cast<int32_t>(random() % longest), m = static_cast<int32_t>(random() % longest);
      a_offsets.push_back(a_offsets.back() + n);
      b_offsets.push_back(b_offsets.back() + m);
      out_offsets.push_back(out_offsets.back() + n * m);
    }
    const std::vector<float> a = odd_boxes(size_t(a_offsets.back()), 3),
                             b = odd_boxes(size_t(b_offsets.back()), 4);
    for (const IouKind kind : kKinds) {
      std::vector<float> expected;
      for (size_t i = 0; i + 1 < a_offsets.size(); ++i) {
        const std::vector<float> part = by_formula(
            {a.data() + 4 * a_offsets[i], a.data() + 4 * a_offsets[i + 1]},
            {b.data() + 4 * b_offsets[i], b.data() + 4 * b_offsets[i + 1]}, kind, BoxFormat::kXywh);
        expected.insert(expected.end(), part.begin(), part.end());
      }
      for (const Isa set : sets()) {
        CAPTURE(isa_name(set));
        std::vector<float> out(expected.size(), -9);
        CHECK(pairwise_iou_batch(a, a_offsets, b, b_offsets, kind, BoxFormat::kXywh, out_offsets, out, set)
                  .ok());
        CHECK(bits(out) == bits(expected));
      }
    }
  }
}

TEST_CASE("iou: every instruction set gives the bits of the formula in padded batches") {
  std::mt19937 random(19);
  const auto some = [&](int64_t rows) {
    return static_cast<int32_t>(random() % static_cast<uint64_t>(rows + 1));
  };
  for (const auto& [batch, n, m] :
       {std::tuple<int64_t, int64_t, int64_t>{40, 5, 7}, {7, 16, 16}, {3, 140, 33}, {2, 9, 600}}) {
    std::vector<float> a = odd_boxes(size_t(batch * n), 5), b = odd_boxes(size_t(batch * m), 6);
    a[size_t(4 * n + 1)] = kNan;
    b[size_t(4 * m + 6)] = kInf;
    std::vector<int32_t> a_counts, b_counts;
    for (int64_t i = 0; i < batch; ++i) {
      a_counts.push_back(some(n));
      b_counts.push_back(some(m));
    }
    for (const IouKind kind : kKinds) {
      for (const bool counted : {false, true}) {
        std::vector<float> expected;
        for (int64_t p = 0; p < batch; ++p) {
          for (int64_t i = 0; i < n; ++i) {
            for (int64_t j = 0; j < m; ++j) {
              const float *const x = &a[size_t(4 * (p * n + i))], *const y = &b[size_t(4 * (p * m + j))];
              const bool used = !counted || (i < a_counts[size_t(p)] && j < b_counts[size_t(p)]);
              expected.push_back(
                  used && finite_box(x) && finite_box(y)
                      ? one(kind, to_corners(x, BoxFormat::kXyxy), to_corners(y, BoxFormat::kXyxy))
                      : 0);
            }
          }
        }
        const std::vector<int32_t> none;
        for (const Isa set : sets()) {
          CAPTURE(isa_name(set));
          std::vector<float> out(expected.size(), -9);
          CHECK(pairwise_iou_padded({a, counted ? a_counts : none, n}, {b, counted ? b_counts : none, m},
                                    batch, kind, BoxFormat::kXyxy, out, set)
                    .ok());
          CHECK(bits(out) == bits(expected));
        }
      }
    }
  }
}

TEST_CASE("iou: what is written past the caches is the same") {
  // Wide, and so narrow that every register is put together from two rows or more.
  for (const auto& [n, m] : {std::pair<size_t, size_t>{2300, 2801}, {191000, 33}}) {
    const std::vector<float> a = proper_boxes(n, 21), b = proper_boxes(m, 22);
    const size_t half = n / 2;
    for (const Isa set : sets()) {
      CAPTURE(isa_name(set));
      for (const size_t offset : {0, 3}) {
        std::vector<float> out(n * m + 16, -9), part(half * m);
        CHECK(pairwise_iou(a, b, IouKind::kIou, BoxFormat::kXyxy, {out.data() + offset, n * m}, set).ok());
        CHECK(std::all_of(out.begin(), out.begin() + offset, [](float x) { return x == -9; }));
        CHECK(std::all_of(out.begin() + offset + n * m, out.end(), [](float x) { return x == -9; }));
        // Halves are small enough to be written as usual.
        for (const size_t first : {size_t{0}, n - half}) {
          CHECK(pairwise_iou({a.data() + 4 * first, 4 * half}, b, IouKind::kIou, BoxFormat::kXyxy, part, set)
                    .ok());
          CHECK(std::equal(part.begin(), part.end(), out.begin() + offset + first * m));
        }
      }
    }
  }
}

TEST_CASE("iou: the angle is the arctangent, all but correctly rounded") {
  const auto check = [](float width, float height) {
    const double expected = std::atan2(double{width}, double{height});
    const auto nearest = static_cast<float>(expected);
    const double ulp = std::nextafter(nearest, kInf) - double{nearest};
    return std::abs(angle_of(width, height) - expected) <= 0.505 * ulp;
  };
  std::mt19937 random(23);
  std::uniform_real_distribution<float> pixels(0, 2000);
  size_t wrong = 0;
  for (int i = 0; i < 200000; ++i) {
    const float x = pixels(random), y = pixels(random);
    wrong += !check(x, y);
    wrong += !check(std::floor(x), std::floor(y));
    wrong += !check(x, x * (1 + y * 1e-7f));
    wrong += !check(std::ldexp(x, static_cast<int>(random() % 200) - 100), y);
    wrong += angle_of(x, y) + angle_of(y, x) != doctest::Approx(std::numbers::pi / 2).epsilon(2e-7);
  }
  CHECK(wrong == 0);
  const float least = std::numeric_limits<float>::denorm_min(), most = std::numeric_limits<float>::max();
  const auto right = static_cast<float>(std::numbers::pi / 2),
             diagonal = static_cast<float>(std::numbers::pi / 4);
  CHECK(angle_of(0.0f, 0.0f) == 0);
  for (const float x : {least, 1.0f, most, kInf}) {
    CHECK(angle_of(0.0f, x) == 0);
    CHECK(angle_of(x, 0.0f) == right);
    CHECK(angle_of(x, x) == diagonal);
  }
  CHECK(angle_of(least, most) == 0);
  CHECK(angle_of(most, least) == right);
}

TEST_CASE("iou: empty lists") {
  CHECK(pairwise({}, {}, IouKind::kIou).empty());
  CHECK(pairwise({0, 0, 1, 1}, {}, IouKind::kGiou).empty());
  CHECK(pairwise({}, {0, 0, 1, 1}, IouKind::kCiou).empty());
  const std::vector<int32_t> zero{0}, zeros{0, 0, 0};
  CHECK(pairwise_iou_batch({}, zero, {}, zero, IouKind::kIou, BoxFormat::kXyxy, zero, {}).ok());
  CHECK(pairwise_iou_batch({}, zeros, {}, zeros, IouKind::kIou, BoxFormat::kXyxy, zeros, {}).ok());
}

TEST_CASE("iou: what is refused") {
  const auto refused = [](std::vector<float> a, std::vector<float> b, size_t out_size) {
    std::vector<float> out(out_size);
    return pairwise_iou(a, b, IouKind::kIou, BoxFormat::kXyxy, out);
  };
  const std::vector<float> box{0, 0, 1, 1};
  Status status = refused({0, 0, 1, 1, 0, 0, 1, kNan}, box, 2);
  CHECK(status.code() == Code::kInvalidValue);
  CHECK(status.message() == "a: expected finite numbers, received nan at index 7 (box 1)");
  status = refused(box, {0, -kInf, kNan, 1}, 1);
  CHECK(status.code() == Code::kInvalidValue);
  CHECK(status.message() == "b: expected finite numbers, received -inf at index 1 (box 0)");
  status = refused({0, 0, 1}, box, 1);
  CHECK(status.code() == Code::kShapeMismatch);
  CHECK(status.message() == "a: expected a length that is a multiple of 4, received 3");
  status = refused(box, box, 2);
  CHECK(status.code() == Code::kShapeMismatch);
  CHECK(status.message() == "out: expected length 1, received 2");

  using Offsets = std::vector<int32_t>;
  const auto batch = [](size_t n, Offsets a, size_t m, Offsets b, Offsets o, size_t out_size) {
    const std::vector<float> as(4 * n, 0.5f), bs(4 * m, 0.5f);
    std::vector<float> out(out_size);
    return pairwise_iou_batch(as, a, bs, b, IouKind::kIou, BoxFormat::kXyxy, o, out);
  };
  CHECK(batch(2, {0, 1, 2}, 3, {0, 1, 3}, {0, 1, 3}, 3).ok());
  CHECK(batch(2, {0, 2, 1}, 3, {0, 1, 3}, {0, 1, 3}, 3).code() == Code::kInvalidOffsets);
  CHECK(batch(2, {0, 1, 3}, 3, {0, 1, 3}, {0, 1, 3}, 3).code() == Code::kInvalidOffsets);
  CHECK(batch(2, {1, 1, 2}, 3, {0, 1, 3}, {0, 1, 3}, 3).code() == Code::kInvalidOffsets);
  CHECK(batch(2, {0, 1, 2}, 3, {0, -1, 3}, {0, 1, 3}, 3).code() == Code::kInvalidOffsets);
  CHECK(batch(2, {}, 3, {}, {}, 3).code() == Code::kInvalidOffsets);
  CHECK(batch(2, {0, 1, 2}, 3, {0, 3}, {0, 1, 3}, 3).code() == Code::kShapeMismatch);
  CHECK(batch(2, {0, 1, 2}, 3, {0, 1, 3}, {0, 3}, 3).code() == Code::kShapeMismatch);
  CHECK(batch(2, {0, 1, 2}, 3, {0, 1, 3}, {0, 1, 3}, 4).code() == Code::kShapeMismatch);
  status = batch(2, {0, 1, 2}, 3, {0, 1, 3}, {0, 2, 3}, 3);
  CHECK(status.code() == Code::kInvalidOffsets);
  CHECK(status.message() == "out_offsets[1]: expected 1 (the running sum of n * m), received 2");
  CHECK(batch(2, {0, 1, 2}, 3, {0, 1, 3}, {0, 1, 4}, 4).code() == Code::kInvalidOffsets);
  // 50,000 x 50,000 pairs have no int32 offset.
  CHECK(batch(50000, {0, 50000}, 50000, {0, 50000}, {0, 0}, 0).code() == Code::kTooLarge);
}

TEST_CASE("pairwise_distance") {
  const std::vector<float> a{0, 0, 3, 4}, b{3, 4, 0, 0, -5, 12};
  std::vector<float> out(6);
  CHECK(pairwise_distance(a, b, PointMetric::kL2, out).ok());
  CHECK(out == std::vector<float>{5, 0, 13, 0, 5, std::sqrt(128.0f)});
  CHECK(pairwise_distance(a, b, PointMetric::kL1, out).ok());
  CHECK(out == std::vector<float>{7, 0, 17, 0, 7, 16});
  // The square of the distance is beyond float, the distance is not.
  const std::vector<float> near{0, 0}, far{3e30f, 4e30f};
  std::vector<float> single(1);
  CHECK(pairwise_distance(near, far, PointMetric::kL2, single).ok());
  CHECK(single[0] == doctest::Approx(5e30));
  CHECK(pairwise_distance({}, b, PointMetric::kL2, {}).ok());

  const Status status = pairwise_distance(a, std::vector<float>{0, 0, 1, kInf}, PointMetric::kL2, out);
  CHECK(status.code() == Code::kInvalidValue);
  CHECK(status.message() == "b: expected finite numbers, received inf at index 3 (point 1)");
  CHECK(pairwise_distance(a, std::vector<float>{1}, PointMetric::kL2, out).code() == Code::kShapeMismatch);
  CHECK(pairwise_distance(a, a, PointMetric::kL2, out).code() == Code::kShapeMismatch);
}

TEST_CASE("pairwise_distance: every instruction set rounds the distance in double once") {
  for (const size_t n : {1, 5, 9}) {
    for (const size_t m : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33, 513}) {
      const std::vector<float> a = wild_boxes((n + 1) / 2, 31), b = odd_boxes((m + 1) / 2, 32);
      const std::span<const float> p(a.data(), 2 * n), q(b.data(), 2 * m);
      for (const PointMetric metric : {PointMetric::kL1, PointMetric::kL2}) {
        std::vector<float> expected;
        for (size_t i = 0; i < n; ++i) {
          for (size_t j = 0; j < m; ++j) {
            const double dx = double{p[2 * i]} - q[2 * j], dy = double{p[2 * i + 1]} - q[2 * j + 1];
            expected.push_back(static_cast<float>(metric == PointMetric::kL1 ? std::abs(dx) + std::abs(dy)
                                                                             : std::sqrt(dx * dx + dy * dy)));
          }
        }
        for (const Isa set : sets()) {
          CAPTURE(isa_name(set));
          std::vector<float> out(n * m, -9);
          CHECK(pairwise_distance(p, q, metric, out, set).ok());
          CHECK(bits(out) == bits(expected));
        }
      }
    }
  }
}
