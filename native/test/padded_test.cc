// The padded forms that tensors use: the same answers as problem by problem, and derivatives against
// differences.
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/assignment/linear_sum_assignment.h"
#include "core/geometry/iou.h"
#include "core/geometry/overlap.h"
#include "core/reward/score.h"
#include "core/reward/score_tensors.h"
#include "doctest.h"
#include "test/detection_recipe.h"

using namespace perception;

namespace {

constexpr IouKind kKinds[] = {IouKind::kIou, IouKind::kGiou, IouKind::kDiou, IouKind::kCiou};
constexpr BoxFormat kFormats[] = {BoxFormat::kXyxy, BoxFormat::kXywh, BoxFormat::kCxcywh};

// Boxes that overlap often, without ties between their sides.
std::vector<float> random_boxes(std::mt19937& random, size_t count) {
  std::uniform_real_distribution<float> corner(0, 50), size(5, 50);
  std::vector<float> boxes;
  for (size_t i = 0; i < count; ++i) {
    const float x = corner(random), y = corner(random);
    boxes.insert(boxes.end(), {x, y, x + size(random), y + size(random)});
  }
  return boxes;
}

double overlap_of(IouKind kind, const double* a, const double* b, BoxFormat format) {
  const Corners<double> p = to_corners(a, format), q = to_corners(b, format);
  switch (kind) {
    case IouKind::kGiou:
      return pair_giou(p, q);
    case IouKind::kDiou:
      return pair_diou(p, q);
    case IouKind::kCiou:
      return pair_ciou(p, q);
    default:
      return pair_iou(p, q);
  }
}

}  // namespace

TEST_CASE(
    "padded IoU batch: each problem as by itself, zeros beyond the counts, nothing from boxes that are not "
    "finite") {
  std::mt19937 random(5);
  const int64_t batch = 7, n = 5, m = 4;
  std::vector<float> a = random_boxes(random, batch * n), b = random_boxes(random, batch * m);
  const std::vector<int32_t> a_counts = {5, 0, 3, 1, 5, 2, 4}, b_counts = {4, 4, 0, 2, 1, 3, 4};
  for (const IouKind kind : kKinds) {
    std::vector<float> out(batch * n * m, -7);
    REQUIRE(pairwise_iou_padded({a, a_counts, n}, {b, b_counts, m}, batch, kind, BoxFormat::kXyxy, out).ok());
    for (int64_t i = 0; i < batch; ++i) {
      const size_t rows = static_cast<size_t>(a_counts[i]), cols = static_cast<size_t>(b_counts[i]);
      std::vector<float> alone(rows * cols);
      REQUIRE(pairwise_iou({a.data() + i * n * 4, rows * 4}, {b.data() + i * m * 4, cols * 4}, kind,
                           BoxFormat::kXyxy, alone)
                  .ok());
      for (size_t r = 0; r < static_cast<size_t>(n); ++r)
        for (size_t c = 0; c < static_cast<size_t>(m); ++c)
          CHECK(out[(i * n + r) * m + c] == (r < rows && c < cols ? alone[r * cols + c] : 0.0f));
    }
  }
  a[1] = std::numeric_limits<float>::quiet_NaN();
  b[6] = std::numeric_limits<float>::infinity();
  std::vector<float> out(n * m);
  for (const IouKind kind : kKinds) {
    REQUIRE(pairwise_iou_padded({{a.data(), size_t(n * 4)}, {}, n}, {{b.data(), size_t(m * 4)}, {}, m}, 1,
                                kind, BoxFormat::kXyxy, out)
                .ok());
    for (int64_t k = 0; k < m; ++k) CHECK(out[k] == 0);
    for (int64_t k = 0; k < n; ++k) CHECK(out[k * m + 1] == 0);
    CHECK(out[m] != 0);
  }
}

TEST_CASE("IoU gradient: central differences of every kind and format") {
  std::mt19937 random(11);
  const int64_t batch = 3, n = 4, m = 5;
  for (const IouKind kind : kKinds) {
    for (const BoxFormat format : kFormats) {
      std::vector<float> a = random_boxes(random, batch * n), b = random_boxes(random, batch * m);
      if (format != BoxFormat::kXyxy)
        for (std::vector<float>* boxes : {&a, &b})
          for (size_t i = 2; i < boxes->size(); i += i % 4 == 2 ? 1 : 3)
            (*boxes)[i] -= 0.5f * (*boxes)[i - 2];
      std::vector<float> grad(batch * n * m), grad_a(a.size()), grad_b(b.size());
      for (float& g : grad) g = std::uniform_real_distribution<float>(-1, 1)(random);
      REQUIRE(pairwise_iou_gradient({a, {}, n}, {b, {}, m}, batch, kind, format, grad, grad_a, grad_b).ok());

      std::vector<double> wide_a(a.begin(), a.end()), wide_b(b.begin(), b.end());
      // alpha is a constant of CIoU's derivative, so the sum is differentiated with alpha frozen at the
      // start.
      const auto frozen = [&](int64_t p, int64_t i, int64_t j) {
        const double* x = wide_a.data() + (p * n + i) * 4;
        const double* y = wide_b.data() + (p * m + j) * 4;
        const double v_alpha =
            overlap_of(IouKind::kDiou, x, y, format) - overlap_of(IouKind::kCiou, x, y, format);
        const Corners<double> c = to_corners(x, format), d = to_corners(y, format);
        const double turn = std::atan2(c.x2 - c.x1, c.y2 - c.y1) - std::atan2(d.x2 - d.x1, d.y2 - d.y1);
        return turn == 0 ? 0 : v_alpha / (turn * turn);  // alpha * 4 / pi^2
      };
      std::vector<double> alphas;
      for (int64_t p = 0; p < batch; ++p)
        for (int64_t i = 0; i < n; ++i)
          for (int64_t j = 0; j < m; ++j) alphas.push_back(frozen(p, i, j));
      const auto sum = [&] {
        double total = 0;
        size_t k = 0;
        for (int64_t p = 0; p < batch; ++p)
          for (int64_t i = 0; i < n; ++i)
            for (int64_t j = 0; j < m; ++j, ++k) {
              const double* x = wide_a.data() + (p * n + i) * 4;
              const double* y = wide_b.data() + (p * m + j) * 4;
              double value = overlap_of(kind == IouKind::kCiou ? IouKind::kDiou : kind, x, y, format);
              if (kind == IouKind::kCiou) {
                const Corners<double> c = to_corners(x, format), d = to_corners(y, format);
                const double turn =
                    std::atan2(c.x2 - c.x1, c.y2 - c.y1) - std::atan2(d.x2 - d.x1, d.y2 - d.y1);
                value -= alphas[k] * turn * turn;
              }
              total += grad[k] * value;
            }
        return total;
      };
      const auto check = [&](std::vector<double>& numbers, const std::vector<float>& gradient) {
        for (size_t k = 0; k < numbers.size(); ++k) {
          const double before = numbers[k], step = 1e-5;
          numbers[k] = before + step;
          const double above = sum();
          numbers[k] = before - step;
          const double below = sum();
          numbers[k] = before;
          CHECK(gradient[k] == doctest::Approx((above - below) / (2 * step)).epsilon(1e-3).scale(0.01));
        }
      };
      check(wide_a, grad_a);
      check(wide_b, grad_b);
    }
  }
}

TEST_CASE("IoU gradient: finite where boxes touch, coincide or have no area; nothing beyond the counts") {
  const std::vector<float> a = {0, 0, 1, 1, 0, 0, 0, 0, 2, 2, 1, 1, 5, 5, 6, 6},
                           b = {0, 0, 1, 1, 1, 0, 2, 1, 0, 0, 0, 0, std::numeric_limits<float>::quiet_NaN(),
                                0, 1, 1};
  const std::vector<float> grad(16, 1);
  for (const IouKind kind : kKinds) {
    std::vector<float> grad_a(16, -7), grad_b(16, -7);
    REQUIRE(pairwise_iou_gradient({a, std::vector<int32_t>{3}, 4}, {b, {}, 4}, 1, kind, BoxFormat::kXyxy,
                                  grad, grad_a, grad_b)
                .ok());
    for (const float g : grad_a) CHECK(std::isfinite(g));
    for (const float g : grad_b) CHECK(std::isfinite(g));
    for (size_t k = 12; k < 16; ++k) {
      CHECK(grad_a[k] == 0);  // beyond the count
      CHECK(grad_b[k] == 0);  // of a box that is not finite
    }
  }
}

TEST_CASE("padded assignment batch: each problem as by itself, -1 beyond the counts") {
  std::mt19937 random(3);
  const int64_t batch = 40, n = 6, m = 7;
  std::uniform_real_distribution<float> cost(-1, 1);
  std::vector<float> costs(batch * n * m);
  for (float& c : costs) c = cost(random);
  std::vector<int32_t> rows(batch), cols(batch), columns(batch * n, -7);
  for (int64_t i = 0; i < batch; ++i) {
    rows[i] = static_cast<int32_t>(random() % (n + 1));
    cols[i] = static_cast<int32_t>(random() % (m + 1));
  }
  REQUIRE(linear_sum_assignment_padded(costs, batch, n, m, rows, cols, true, columns).ok());
  AssignmentWorkspace workspace;
  for (int64_t i = 0; i < batch; ++i) {
    std::vector<float> alone;
    for (int32_t r = 0; r < rows[i]; ++r)
      for (int32_t c = 0; c < cols[i]; ++c) alone.push_back(costs[(i * n + r) * m + c]);
    std::vector<int32_t> expected(rows[i]);
    double total;
    REQUIRE(linear_sum_assignment<float>(alone, rows[i], cols[i], true, expected, &total, workspace).ok());
    expected.resize(n, -1);
    CHECK(std::vector<int32_t>(columns.begin() + i * n, columns.begin() + (i + 1) * n) == expected);
  }
  costs[0] = std::numeric_limits<float>::quiet_NaN();
  rows[0] = cols[0] = 1;
  CHECK(linear_sum_assignment_padded(costs, batch, n, m, rows, cols, true, columns)
            .message()
            .starts_with("problem 0"));
  rows[1] = 99;
  CHECK(linear_sum_assignment_padded(costs, batch, n, m, rows, cols, true, columns).code() ==
        Code::kInvalidValue);
  const int64_t huge = std::numeric_limits<int32_t>::max();
  CHECK(linear_sum_assignment_padded(costs, huge, huge, huge, {}, {}, true, columns).code() ==
        Code::kTooLarge);
}

TEST_CASE("score tensors batch: what the same boxes earn as text") {
  Recipe recipe = detection_recipe();
  recipe.clamp_low = -std::numeric_limits<double>::infinity();  // rewards below 0 are to be compared too
  Vocabulary vocabulary;
  for (int32_t id = 0; id < 3; ++id) vocabulary.add(std::string(1, static_cast<char>('a' + id)), id);

  std::mt19937 random(17);
  const int64_t count = 60, rows = 5, truths = 30, true_rows = 4;
  std::vector<float> boxes, truth = random_boxes(random, truths * true_rows);
  for (float& x : truth) x = std::round(x);
  std::vector<int32_t> labels, counts, true_labels, true_counts, offsets = {0};
  std::vector<double> coordinates;
  std::vector<int32_t> flat_labels;
  for (int64_t t = 0; t < truths; ++t) {
    true_counts.push_back(static_cast<int32_t>(random() % (true_rows + 1)));
    for (int64_t k = 0; k < true_rows; ++k) true_labels.push_back(static_cast<int32_t>(random() % 3));
    for (int64_t k = 0; k < true_counts.back(); ++k) {
      const size_t at = static_cast<size_t>(t * true_rows + k);
      coordinates.insert(coordinates.end(), truth.begin() + 4 * at, truth.begin() + 4 * at + 4);
      flat_labels.push_back(true_labels[at]);
    }
    offsets.push_back(static_cast<int32_t>(flat_labels.size()));
  }
  std::string text;
  std::vector<int32_t> text_offsets = {0};
  for (int64_t i = 0; i < count; ++i) {
    counts.push_back(static_cast<int32_t>(random() % (rows + 1)));
    text += "[";
    for (int64_t k = 0; k < rows; ++k) {
      const size_t at = static_cast<size_t>(i / 2 * true_rows + k % true_rows) * 4;
      int32_t label = static_cast<int32_t>(random() % 4);
      std::vector<float> box(truth.begin() + at, truth.begin() + at + 4);
      for (float& x : box) x += static_cast<float>(random() % 5);
      if (random() % 9 == 0) std::swap(box[0], box[2]);
      boxes.insert(boxes.end(), box.begin(), box.end());
      labels.push_back(label == 3 ? -1 : label);
      if (k >= counts.back()) continue;
      text += R"({"bbox_2d": [)";
      for (size_t c = 0; c < 4; ++c) text += (c ? "," : "") + std::to_string(static_cast<int>(box[c]));
      text += R"(], "label": ")" + std::string(1, static_cast<char>('a' + label)) + R"("},)";
    }
    text += "]";
    text_offsets.push_back(static_cast<int32_t>(text.size()));
  }

  std::vector<float> rewards(count), terms(count * recipe.terms.size());
  REQUIRE(
      score_tensors(
          {&recipe, {boxes, labels, counts, rows}, {truth, true_labels, true_counts, true_rows}, count, 2},
          rewards, terms)
          .ok());
  ScoreRequest request;
  request.recipe = &recipe;
  request.vocabulary = &vocabulary;
  request.completions = {{reinterpret_cast<const uint8_t*>(text.data()), text.size()}, text_offsets};
  request.truth.offsets = offsets;
  request.truth.coordinates = coordinates;
  request.truth.labels = flat_labels;
  request.completions_per_truth = 2;
  std::vector<int32_t> groups = {0, static_cast<int32_t>(count)};
  request.group_offsets = groups;
  std::vector<float> text_rewards(count), text_terms(terms.size()), advantages(count);
  std::vector<uint8_t> status(count);
  ScoreResult result;
  result.rewards = text_rewards;
  result.terms = text_terms;
  result.advantages = advantages;
  result.status = status;
  REQUIRE(score_batch(request, result).ok());
  CHECK(rewards == text_rewards);
  CHECK(terms == text_terms);

  counts[0] = rows + 1;
  CHECK_FALSE(
      score_tensors(
          {&recipe, {boxes, labels, counts, rows}, {truth, true_labels, true_counts, true_rows}, count, 2},
          rewards, terms)
          .ok());
  CHECK_FALSE(score_tensors({&recipe, {boxes, {}, {}, rows}, {truth, true_labels, {}, true_rows}, count, 2},
                            rewards, terms)
                  .ok());
}
