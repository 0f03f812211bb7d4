// Overlaps, their gradient and distances through the plug-in, against core.
#include <algorithm>
#include <cmath>
#include <random>

#include "core/geometry/iou.h"
#include "plugin_support.h"

namespace perception::cuda {
namespace {

constexpr IouKind kKinds[] = {IouKind::kIou, IouKind::kGiou, IouKind::kDiou, IouKind::kCiou};
constexpr BoxFormat kFormats[] = {BoxFormat::kXyxy, BoxFormat::kXywh, BoxFormat::kCxcywh};

// Boxes of all sorts: on a small grid so that sides touch and coincide, anywhere, inverted, of no area, huge.
std::vector<float> random_boxes(size_t count, std::mt19937& random, bool broken = false) {
  std::uniform_int_distribution<int> grid(0, 8), sort(0, 19);
  std::uniform_real_distribution<float> anywhere(0, 1000);
  std::vector<float> boxes(4 * count);
  for (size_t i = 0; i < count; ++i) {
    const int s = sort(random);
    for (size_t k = 0; k < 4; ++k) {
      float& value = boxes[4 * i + k];
      value = s < 8 ? static_cast<float>(grid(random)) : anywhere(random);
      if (s >= 8 && s < 17 && k >= 2) value += boxes[4 * i + k - 2];
      if (s == 18) value *= 1e30f;
      if (broken && s == 19) value = k % 2 == 0 ? std::nanf("") : INFINITY;
    }
  }
  return boxes;
}

std::vector<int32_t> random_counts(int64_t batch, int64_t rows, std::mt19937& random) {
  std::uniform_int_distribution<int32_t> count(0, static_cast<int32_t>(rows));
  std::vector<int32_t> counts(static_cast<size_t>(batch));
  std::generate(counts.begin(), counts.end(), [&] { return count(random); });
  return counts;
}

// Arctangents differ in their last bits between machines; all else is the same arithmetic.
void check_equal(const std::vector<float>& received, const std::vector<float>& expected, IouKind kind) {
  REQUIRE(received.size() == expected.size());
  size_t wrong = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const bool equal = kind == IouKind::kCiou ? std::abs(received[i] - expected[i]) <=
                                                    1e-6f * std::max(1.0f, std::abs(expected[i]))
                                              : received[i] == expected[i];
    wrong += !equal;
  }
  CHECK(wrong == 0);
}

struct Padded {
  std::vector<float> values;
  std::vector<int32_t> counts;
  int64_t rows;
  DeviceArray<float> device_values{values};
  DeviceArray<int32_t> device_counts{counts};
  PaddedBoxes host() const { return {values, counts, rows}; }
  Boxes device() const {
    return {device_values.data(), counts.empty() ? nullptr : device_counts.data(), rows};
  }
};

TEST_CASE("plug-in: overlaps of padded batches are core's") {
  std::mt19937 random(1);
  struct Size {
    int64_t batch, n, m;
  };
  for (const Size size : {Size{1, 1, 1},
                          {1, 3, 4},
                          {5, 3, 7},
                          {64, 10, 10},
                          {3, 40, 33},
                          {1, 70, 600},
                          {1, 33, 1028},
                          {1, 5, 513},
                          {2, 4, 516},
                          {1, 65, 2052},
                          {0, 3, 3},
                          {4, 0, 3},
                          {4, 3, 0}}) {
    for (const bool with_counts : {false, true}) {
      const auto boxes = [&](int64_t rows) {
        return Padded{random_boxes(size_t(size.batch * rows), random, true),
                      with_counts ? random_counts(size.batch, rows, random) : std::vector<int32_t>(), rows};
      };
      const Padded a = boxes(size.n), b = boxes(size.m);
      for (const IouKind kind : kKinds) {
        for (const BoxFormat format : kFormats) {
          INFO("batch " << size.batch << " n " << size.n << " m " << size.m << " counts " << with_counts
                        << " kind " << int(kind) << " format " << int(format));
          std::vector<float> expected(size_t(size.batch * size.n * size.m));
          REQUIRE(pairwise_iou_padded(a.host(), b.host(), size.batch, kind, format, expected).ok());
          const DeviceArray<float> out(expected.size());
          const Boxes device_a = a.device(), device_b = b.device();
          succeed(plugin().pairwise_iou(0, &device_a, &device_b, size.batch, kind, format, out.data()));
          check_equal(out.read(), expected, kind);
        }
      }
    }
  }
}

TEST_CASE("plug-in: counts beyond the rows read and write nothing beyond them") {
  std::mt19937 random(2);
  const Padded a{random_boxes(6, random), {9, -4}, 3}, b{random_boxes(8, random), {4, 1000000}, 4};
  std::vector<float> expected(24);
  const std::vector<int32_t> a_counts = {3, 0}, b_counts = {4, 4};
  REQUIRE(pairwise_iou_padded({a.values, a_counts, 3}, {b.values, b_counts, 4}, 2, IouKind::kIou,
                              BoxFormat::kXyxy, expected)
              .ok());
  const DeviceArray<float> out(24);
  const Boxes device_a = a.device(), device_b = b.device();
  succeed(plugin().pairwise_iou(0, &device_a, &device_b, 2, IouKind::kIou, BoxFormat::kXyxy, out.data()));
  CHECK(out.read() == expected);
}

TEST_CASE("plug-in: arrays that are not aligned to 16 bytes") {
  std::mt19937 random(3);
  const std::vector<float> a = random_boxes(9, random), b = random_boxes(516, random);
  const auto shifted = [](const std::vector<float>& values) {
    std::vector<float> result = {0};
    result.insert(result.end(), values.begin(), values.end());
    return result;
  };
  const DeviceArray<float> device_a(shifted(a)), device_b(shifted(b)), out(1 + 9 * 516);
  const Boxes boxes_a = {device_a.data() + 1, nullptr, 9}, boxes_b = {device_b.data() + 1, nullptr, 516};
  succeed(plugin().pairwise_iou(0, &boxes_a, &boxes_b, 1, IouKind::kGiou, BoxFormat::kXyxy, out.data() + 1));
  std::vector<float> expected(9 * 516);
  REQUIRE(pairwise_iou(a, b, IouKind::kGiou, BoxFormat::kXyxy, expected).ok());
  std::vector<float> received = out.read();
  received.erase(received.begin());
  check_equal(received, expected, IouKind::kGiou);
}

TEST_CASE("plug-in: overlaps of ragged batches are core's") {
  std::mt19937 random(4);
  std::uniform_int_distribution<int32_t> few(0, 5), more(0, 90);
  for (const size_t problems : {0, 1, 7, 300}) {
    std::vector<int32_t> a_offsets = {0}, b_offsets = {0}, out_offsets = {0};
    for (size_t i = 0; i < problems; ++i) {
      const int32_t n = i % 3 ? few(random) : more(random), m = i % 5 ? few(random) : more(random);
      a_offsets.push_back(a_offsets.back() + n);
      b_offsets.push_back(b_offsets.back() + m);
      out_offsets.push_back(out_offsets.back() + n * m);
    }
    const std::vector<float> a = random_boxes(size_t(a_offsets.back()), random),
                             b = random_boxes(size_t(b_offsets.back()), random);
    const DeviceArray<float> device_a(a), device_b(b), out(size_t(out_offsets.back()));
    const DeviceArray<int32_t> device_a_offsets(a_offsets), device_b_offsets(b_offsets),
        device_out_offsets(out_offsets);
    for (const IouKind kind : kKinds) {
      std::vector<float> expected(size_t(out_offsets.back()));
      REQUIRE(
          pairwise_iou_batch(a, a_offsets, b, b_offsets, kind, BoxFormat::kXywh, out_offsets, expected).ok());
      succeed(plugin().pairwise_iou_ragged(0, device_a.data(), device_a_offsets.data(), device_b.data(),
                                           device_b_offsets.data(), device_out_offsets.data(),
                                           int64_t(problems), out_offsets.back(), kind, BoxFormat::kXywh,
                                           out.data()));
      check_equal(out.read(), expected, kind);
    }
  }
}

TEST_CASE("plug-in: gradients of overlaps are core's within 1e-6") {
  std::mt19937 random(5);
  std::uniform_real_distribution<float> weight(-1, 1);
  struct Size {
    int64_t batch, n, m;
  };
  for (const Size size : {Size{1, 1, 1}, {7, 5, 3}, {2, 33, 70}, {0, 2, 2}, {3, 0, 4}}) {
    for (const bool with_counts : {false, true}) {
      const auto boxes = [&](int64_t rows) {
        return Padded{random_boxes(size_t(size.batch * rows), random, true),
                      with_counts ? random_counts(size.batch, rows, random) : std::vector<int32_t>(), rows};
      };
      const Padded a = boxes(size.n), b = boxes(size.m);
      std::vector<float> grad(size_t(size.batch * size.n * size.m));
      std::generate(grad.begin(), grad.end(), [&] { return weight(random); });
      const DeviceArray<float> device_grad(grad), grad_a(a.values.size()), grad_b(b.values.size());
      for (const IouKind kind : kKinds) {
        for (const BoxFormat format : kFormats) {
          INFO("batch " << size.batch << " n " << size.n << " m " << size.m << " counts " << with_counts
                        << " kind " << int(kind) << " format " << int(format));
          std::vector<float> expected_a(a.values.size()), expected_b(b.values.size());
          REQUIRE(pairwise_iou_gradient(a.host(), b.host(), size.batch, kind, format, grad, expected_a,
                                        expected_b)
                      .ok());
          const Boxes device_a = a.device(), device_b = b.device();
          succeed(plugin().pairwise_iou_gradient(0, &device_a, &device_b, size.batch, kind, format,
                                                 device_grad.data(), grad_a.data(), grad_b.data()));
          size_t wrong = 0;
          const auto compare = [&](const std::vector<float>& received, const std::vector<float>& expected) {
            // Sums in another order: relative to the greatest of a box's derivatives, since they may cancel.
            for (size_t i = 0; i < expected.size(); i += 4) {
              float scale = 1e-3f;
              for (size_t k = i; k < i + 4; ++k) scale = std::max(scale, std::abs(expected[k]));
              for (size_t k = i; k < i + 4; ++k)
                wrong += !(std::abs(received[k] - expected[k]) <= 1e-6f * scale);
            }
          };
          compare(grad_a.read(), expected_a);
          compare(grad_b.read(), expected_b);
          CHECK(wrong == 0);
        }
      }
    }
  }
}

TEST_CASE("plug-in: distances of points are core's") {
  std::mt19937 random(6);
  std::uniform_real_distribution<float> place(-1e5f, 1e5f);
  struct Size {
    size_t n, m;
  };
  for (const Size size : {Size{1, 1}, {7, 5}, {40, 516}, {33, 1100}, {0, 4}, {4, 0}}) {
    std::vector<float> a(2 * size.n), b(2 * size.m), expected(size.n * size.m);
    std::generate(a.begin(), a.end(), [&] { return place(random); });
    std::generate(b.begin(), b.end(), [&] { return place(random); });
    const DeviceArray<float> device_a(a), device_b(b), out(expected.size());
    for (const PointMetric metric : {PointMetric::kL2, PointMetric::kL1}) {
      REQUIRE(pairwise_distance(a, b, metric, expected).ok());
      succeed(plugin().pairwise_distance(0, device_a.data(), int64_t(size.n), device_b.data(),
                                         int64_t(size.m), metric, out.data()));
      CHECK(out.read() == expected);
    }
  }
}

}  // namespace
}  // namespace perception::cuda
