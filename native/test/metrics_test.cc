#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/metrics/detection.h"
#include "core/metrics/matching.h"
#include "core/metrics/precision.h"
#include "doctest.h"

using namespace perception;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Box {
  double x1, y1, x2, y2;
};

struct Problem {
  std::vector<double> truth_boxes;
  std::vector<int32_t> truth_categories, truth_offsets{0};
  std::vector<double> areas;
  std::vector<uint8_t> crowd, ignore;
  std::vector<double> boxes;
  std::vector<int32_t> categories, offsets{0};
  std::vector<double> scores;

  std::vector<double> thresholds{0.5, 0.75}, area_ranges{0, 1e10, 0, 50};
  std::vector<int32_t> limits{1, 100};
  int32_t category_count = 2;
  bool by_category = true;

  void object(const Box& box, int32_t category, bool is_crowd = false, bool is_ignored = false) {
    truth_boxes.insert(truth_boxes.end(), {box.x1, box.y1, box.x2, box.y2});
    truth_categories.push_back(category);
    areas.push_back(kNan);
    crowd.push_back(is_crowd);
    ignore.push_back(is_ignored);
  }
  void detection(const Box& box, int32_t category, double score) {
    boxes.insert(boxes.end(), {box.x1, box.y1, box.x2, box.y2});
    categories.push_back(category);
    scores.push_back(score);
  }
  void end_image() {
    truth_offsets.push_back(static_cast<int32_t>(truth_categories.size()));
    offsets.push_back(static_cast<int32_t>(categories.size()));
  }

  DetectionTruth truth() const {
    return {truth_boxes, truth_categories, truth_offsets, areas, crowd, ignore};
  }
  Detections detections() const { return {boxes, categories, offsets, scores}; }
  DetectionProtocol protocol() const {
    return {BoxFormat::kXyxy, category_count, by_category, thresholds, area_ranges, limits};
  }
};

struct Figures {
  Status status;
  std::vector<double> average_precision, recall;
  std::vector<int32_t> objects;
  std::vector<double> precision, scores;
  std::vector<int32_t> matches;
  std::vector<uint8_t> ignored, ignored_truth;

  bool operator==(const Figures& other) const {
    return average_precision == other.average_precision && recall == other.recall &&
           objects == other.objects && precision == other.precision && scores == other.scores &&
           matches == other.matches && ignored == other.ignored && ignored_truth == other.ignored_truth;
  }
};

Figures evaluate(const Problem& problem) {
  const size_t thresholds = problem.thresholds.size(), areas = problem.area_ranges.size() / 2;
  const size_t categories = problem.by_category ? static_cast<size_t>(problem.category_count) : 1;
  const size_t size = thresholds * categories * areas * problem.limits.size();
  const size_t pairs = areas * thresholds * problem.categories.size();
  Figures result;
  result.average_precision.assign(size, -9);
  result.recall.assign(size, -9);
  result.objects.assign(categories * areas, -9);
  result.precision.assign(size * kRecallPoints, -9);
  result.scores.assign(size * kRecallPoints, -9);
  result.matches.assign(pairs, -9);
  result.ignored.assign(pairs, 9);
  result.ignored_truth.assign(areas * problem.truth_categories.size(), 9);
  result.status =
      evaluate_detections(problem.truth(), problem.detections(), problem.protocol(),
                          {result.average_precision, result.recall, result.objects, result.precision,
                           result.scores, result.matches, result.ignored, result.ignored_truth});
  return result;
}

// Of a problem whose protocol is reduced to what single lists take.
std::vector<float> each(Problem problem, int64_t per_truth = 1) {
  problem.area_ranges = {0, kInf};
  problem.limits = {100};
  std::vector<float> out(problem.offsets.size() - 1, -9);
  const Status status =
      average_precision(problem.truth(), problem.detections(), per_truth, problem.protocol(), out);
  CHECK(status.message() == "");
  return out;
}

Problem random_problem(uint32_t seed) {
  std::mt19937 random(seed);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<uint32_t>(n)); };
  Problem problem;
  problem.by_category = below(3) != 0;
  problem.category_count = 3;
  const int images = below(6);
  for (int i = 0; i < images; ++i) {
    for (int g = below(8); g > 0; --g) {
      const double x = below(8), y = below(8);
      problem.object({x, y, x + below(9), y + below(9)}, below(4) - 1, below(6) == 0, below(8) == 0);
      if (below(4) == 0) problem.areas.back() = below(80);
    }
    const int first = problem.truth_offsets.back(), last = static_cast<int>(problem.truth_categories.size());
    for (int d = below(12); d > 0; --d) {
      if (last > first && below(2) == 0) {  // at an object, or nearly
        const auto near = static_cast<size_t>(first + below(last - first));
        const double* const box = problem.truth_boxes.data() + 4 * near;
        problem.detection({box[0], box[1], box[2] + below(2), box[3] + below(2)},
                          problem.truth_categories[near], below(5));
      } else {  // inverted ones among them
        const double x = below(8), y = below(8);
        problem.detection({x, y, x + below(12) - 2, y + below(12) - 2}, below(4) - 1, below(5));
      }
    }
    problem.end_image();
  }
  return problem;
}

struct ThreadCount {
  const int before = thread_count();
  explicit ThreadCount(int threads) { set_thread_count(threads); }
  ~ThreadCount() { set_thread_count(before); }
};

Status status_of(void (*change)(Problem&)) {
  Problem problem;
  problem.object({0, 0, 10, 10}, 0);
  problem.detection({0, 0, 10, 10}, 0, 1);
  problem.end_image();
  CHECK(evaluate(problem).status.ok());
  change(problem);
  return evaluate(problem).status;
}

}  // namespace

TEST_CASE("metrics: recall points are numpy's") {
  CHECK(recall_point(0) == 0);
  CHECK(recall_point(100) == 1);
  int different = 0;
  for (int k = 0; k <= 100; ++k) different += recall_point(static_cast<size_t>(k)) != k / 100.0;
  CHECK(different == 10);
}

TEST_CASE("metrics: precision over recall by hand") {
  // Two of three objects found: right, wrong, ignored, right.
  const std::vector<Outcome> outcomes{{1, 0}, {0, 0}, {1, 1}, {1, 0}};
  const std::vector<Ranked> ranked{{0.9, 0, 0}, {0.8, 1, 1}, {0.7, 2, 2}, {0.6, 3, 3}};
  PrecisionAccumulator accumulator;
  PrecisionCurve curve;
  accumulator.set_objects(3);
  accumulator.add(ranked, outcomes.data(), 1, 100, 1);
  accumulator.curve(0, true, curve);
  CHECK(curve.recall == 2.0 / 3);
  for (size_t k = 0; k < kRecallPoints; ++k) {
    CAPTURE(k);
    CHECK(curve.precision[k] == doctest::Approx(k <= 33 ? 1 : k <= 66 ? 2.0 / 3 : 0).epsilon(1e-12));
    CHECK(curve.scores[k] == (k <= 33 ? 0.9 : k <= 66 ? 0.6 : 0));
  }
  CHECK(curve.average_precision == doctest::Approx((34 + 33 * 2.0 / 3) / 101).epsilon(1e-12));

  // Wrong before right: precision rises, and each recall has the greatest from there on.
  const std::vector<Outcome> rising{{0, 0}, {1, 0}, {1, 0}};
  accumulator.set_objects(2);
  accumulator.add(std::span(ranked).first(3), rising.data(), 1, 100, 1);
  accumulator.curve(0, true, curve);
  CHECK(curve.precision[0] == doctest::Approx(2.0 / 3).epsilon(1e-12));
  CHECK(curve.precision[50] == curve.precision[100]);
  CHECK(curve.scores[0] == 0.9);  // the first detection reaches a recall of 0
  CHECK(curve.scores[1] == 0.8);
  CHECK(curve.average_precision == doctest::Approx(2.0 / 3).epsilon(1e-12));

  accumulator.set_objects(3);
  accumulator.add(ranked, outcomes.data(), 1, 1, 1);  // the best one alone
  accumulator.curve(0, false, curve);
  CHECK(curve.recall == 1.0 / 3);
  CHECK(curve.average_precision == doctest::Approx(34.0 / 101).epsilon(1e-12));
}

TEST_CASE("metrics: matching by hand") {
  const std::vector<double> thresholds{0.5, 0.75};
  const auto terms = [](const Box& box) { return detection_terms(&box.x1, BoxFormat::kXyxy); };
  Matcher matcher;
  // A small object, a crowd around it, a second object.
  matcher.truths = {{terms({0, 0, 10, 10}), 100, false, false},
                    {terms({0, 0, 40, 40}), 1600, true, false},
                    {terms({50, 0, 60, 10}), 100, false, false}};
  // On the first object, again, in the crowd twice, and nowhere.
  matcher.detections = {terms({0, 0, 10, 10}), terms({0, 0, 10, 8}), terms({20, 20, 30, 30}),
                        terms({20, 20, 30, 35}), terms({80, 80, 90, 90})};
  matcher.overlap();
  matcher.match({0, 1e10}, thresholds);
  CHECK(matcher.objects() == 2);
  const auto check = [&](size_t d, Thresholds matched, Thresholds ignored, int32_t truth) {
    CAPTURE(d);
    CHECK(matcher.outcome(d).matched == matched);
    CHECK(matcher.outcome(d).ignored == ignored);
    CHECK(matcher.truth_of(0, d) == truth);
  };
  check(0, 3, 0, 0);
  check(1, 3, 3, 1);  // the object is taken, the crowd takes any number
  check(2, 3, 3, 1);
  check(3, 3, 3, 1);
  check(4, 0, 0, -1);

  // A range that has neither object: what matches one is ignored, and so is what lies outside and matches
  // nothing.
  matcher.match({500, 1e10}, thresholds);
  CHECK(matcher.objects() == 0);
  CHECK(matcher.ignores(0));
  check(0, 3, 3, 1);  // of equal overlaps the last is taken
  check(4, 0, 3, -1);
  matcher.match({0, 1e10}, thresholds);
  check(0, 3, 0, 0);
  check(4, 0, 0, -1);

  // An overlap that is a threshold's reaches it, and one that is 1 but for rounding reaches 1.
  matcher.clear();
  matcher.truths = {{terms({0, 0, 10, 10}), 100, false, false}};
  matcher.detections = {terms({0, 0, 10, 5})};
  matcher.overlap();
  matcher.match({0, 1e10}, thresholds);
  check(0, 1, 0, 0);
  matcher.detections = {terms({0, 0, 10, 10 - 1e-12})};
  matcher.overlap();
  matcher.match({0, 1e10}, std::vector<double>{1.0});
  check(0, 1, 0, 0);
  // Ignored objects take one detection each.
  matcher.truths[0].ignore = true;
  matcher.detections = {terms({0, 0, 10, 10}), terms({0, 0, 10, 10})};
  matcher.overlap();
  matcher.match({0, 1e10}, thresholds);
  CHECK(matcher.objects() == 0);
  check(0, 3, 3, 0);
  check(1, 0, 0, -1);
}

TEST_CASE("metrics: an evaluation by hand") {
  Problem problem;
  problem.object({0, 0, 10, 10}, 0);
  problem.object({20, 0, 25, 5}, 0);
  problem.detection({0, 0, 10, 6}, 0, 0.5);   // IoU 0.6
  problem.detection({20, 0, 25, 5}, 0, 0.9);  // 1
  problem.end_image();
  problem.detection({0, 0, 3, 3}, 0, 0.7);  // nothing there
  problem.end_image();
  problem.object({0, 0, 4, 4}, 1);
  problem.areas.back() = 60;  // not small, whatever its box says
  problem.detection({0, 0, 4, 4}, 1, 0.1);
  problem.end_image();
  const Figures figures = evaluate(problem);
  REQUIRE(figures.status.ok());
  CHECK(figures.objects == std::vector<int32_t>{2, 1, 1, 0});
  const auto at = [&](const std::vector<double>& values, size_t t, size_t k, size_t a, size_t m) {
    return values[((t * 2 + k) * 2 + a) * 2 + m];
  };
  // At 0.5: right, wrong, right.
  CHECK(at(figures.average_precision, 0, 0, 0, 1) ==
        doctest::Approx((51 + 50 * 2.0 / 3) / 101).epsilon(1e-12));
  CHECK(at(figures.recall, 0, 0, 0, 1) == 1);
  CHECK(at(figures.recall, 0, 0, 0, 0) == 0.5);  // one detection in an image
  CHECK(at(figures.recall, 1, 0, 0, 1) == 0.5);
  CHECK(at(figures.average_precision, 0, 0, 1, 1) == doctest::Approx(1).epsilon(1e-12));  // small
  CHECK(at(figures.recall, 0, 1, 0, 1) == 1);
  CHECK(at(figures.average_precision, 0, 1, 1, 1) == -1);
  CHECK(at(figures.recall, 0, 1, 1, 1) == -1);
  CHECK(std::vector<int32_t>(figures.matches.begin(), figures.matches.begin() + 8) ==
        std::vector<int32_t>{0, 1, -1, 0, -1, 1, -1, 0});
  CHECK(figures.ignored_truth == std::vector<uint8_t>{0, 0, 0, 1, 0, 1});
}

TEST_CASE("metrics: any problem, the same for every number of threads and list by list") {
  size_t scored = 0;
  for (uint32_t seed = 0; seed < 400; ++seed) {
    CAPTURE(seed);
    const Problem problem = random_problem(seed);
    const ThreadCount guard(1);
    const Figures figures = evaluate(problem);
    REQUIRE(figures.status.message() == "");
    for (size_t i = 0; i < figures.recall.size(); ++i) {
      CHECK((figures.recall[i] == -1) == (figures.average_precision[i] == -1));
      CHECK(figures.recall[i] <= 1);
      CHECK(figures.average_precision[i] <= 1);
      scored += figures.average_precision[i] > 0;
    }
    set_thread_count(4);
    CHECK(evaluate(problem) == figures);

    // The first of its boxes that are not inverted, as answers to truths of their own.
    Problem upright = problem;
    for (size_t d = 0; d < upright.categories.size(); ++d)
      if (upright.boxes[4 * d + 2] < upright.boxes[4 * d] ||
          upright.boxes[4 * d + 3] < upright.boxes[4 * d + 1])
        upright.categories[d] = -1;
    const std::vector<float> alone = each(upright);
    for (size_t i = 0; i + 1 < problem.offsets.size(); ++i) {
      Problem single;
      single.category_count = 3;
      single.by_category = problem.by_category;
      single.area_ranges = {0, kInf};
      single.limits = {100};
      for (int32_t g = upright.truth_offsets[i]; g < upright.truth_offsets[i + 1]; ++g) {
        const auto k = static_cast<size_t>(g);
        const double* const box = upright.truth_boxes.data() + 4 * k;
        single.object({box[0], box[1], box[2], box[3]}, upright.truth_categories[k], upright.crowd[k] != 0,
                      upright.ignore[k] != 0);
      }
      for (int32_t d = upright.offsets[i]; d < upright.offsets[i + 1]; ++d) {
        const auto k = static_cast<size_t>(d);
        const double* const box = upright.boxes.data() + 4 * k;
        single.detection({box[0], box[1], box[2], box[3]}, upright.categories[k], upright.scores[k]);
      }
      single.end_image();
      const Figures own = evaluate(single);
      double sum = 0;
      int count = 0;
      for (const double value : own.average_precision)
        if (value >= 0) sum += value, ++count;
      CAPTURE(i);
      if (count == 0)
        CHECK(std::isnan(alone[i]));
      else
        CHECK(alone[i] == doctest::Approx(sum / count).epsilon(1e-6));
    }
  }
  CHECK(scored > 1000);
}

TEST_CASE("metrics: answers with any numbers") {
  const std::vector<double> odd{kNan, kInf, -kInf, 1e308, -1e308, 0, 10};
  std::mt19937 random(3);
  const auto pick = [&] { return odd[random() % odd.size()]; };
  for (int run = 0; run < 500; ++run) {
    Problem problem;
    problem.object({0, 0, 10, 10}, 0);
    problem.end_image();
    const Box box{pick(), pick(), pick(), pick()};
    const bool right = box.x1 == 0 && box.y1 == 0 && box.x2 == 10 && box.y2 == 10;
    CAPTURE(run);
    problem.detection(box, 0, kInf);
    problem.detection({0, 0, 10, 10}, 0, 1);
    problem.offsets = {0, 2};
    CHECK(each(problem) == std::vector<float>{right ? 1.0f : 0.5f});
  }
  // Two answers to one truth.
  Problem problem;
  problem.object({0, 0, 10, 10}, 0);
  problem.end_image();
  problem.detection({0, 0, 10, 10}, 0, 1);
  problem.offsets = {0, 1, 1};
  CHECK(each(problem, 2) == std::vector<float>{1, 0});
}

TEST_CASE("metrics: what is refused") {
  const auto code = [](void (*change)(Problem&)) { return status_of(change).code(); };
  CHECK(status_of([](Problem& p) { p.truth_boxes[3] = kNan; }).message() ==
        "groundTruth[0].boxes[0]: expected finite numbers, received [0, 0, 10, nan]");
  CHECK(status_of([](Problem& p) { p.boxes[2] = -kInf; }).message() ==
        "detections[0].boxes[0]: expected finite numbers, received [0, 0, -inf, 10]");
  CHECK(code([](Problem& p) { p.truth_boxes[2] = -1; }) == Code::kInvalidValue);
  CHECK(code([](Problem& p) { p.boxes[2] = -1; }) == Code::kOk);
  CHECK(code([](Problem& p) { p.scores[0] = kNan; }) == Code::kInvalidValue);
  CHECK(code([](Problem& p) { p.scores[0] = kInf; }) == Code::kOk);
  CHECK(code([](Problem& p) { p.truth_categories[0] = 2; }) == Code::kInvalidValue);
  CHECK(code([](Problem& p) { p.categories[0] = -2; }) == Code::kInvalidValue);
  CHECK(code([](Problem& p) { p.truth_boxes.pop_back(); }) == Code::kShapeMismatch);
  CHECK(code([](Problem& p) { p.areas.clear(); }) == Code::kShapeMismatch);
  CHECK(code([](Problem& p) { p.crowd.push_back(0); }) == Code::kShapeMismatch);
  CHECK(code([](Problem& p) { p.ignore.clear(); }) == Code::kShapeMismatch);
  CHECK(code([](Problem& p) { p.scores.clear(); }) == Code::kShapeMismatch);
  CHECK(code([](Problem& p) { p.truth_categories.clear(); }) == Code::kShapeMismatch);
  CHECK(code([](Problem& p) { p.truth_offsets = {0, 2}; }) == Code::kInvalidOffsets);
  CHECK(code([](Problem& p) { p.offsets = {}; }) == Code::kInvalidOffsets);
  CHECK(code([](Problem& p) { p.offsets = {0, 1, 1}; }) == Code::kShapeMismatch);
  CHECK(code([](Problem& p) { p.thresholds = {}; }) == Code::kInvalidArgument);
  CHECK(code([](Problem& p) { p.thresholds.assign(33, 0.5); }) == Code::kInvalidArgument);
  CHECK(code([](Problem& p) { p.thresholds.assign(32, 0.5); }) == Code::kOk);
  CHECK(code([](Problem& p) { p.thresholds = {0}; }) == Code::kInvalidArgument);
  CHECK(code([](Problem& p) { p.thresholds = {kNan}; }) == Code::kInvalidArgument);
  CHECK(code([](Problem& p) { p.area_ranges = {}; }) == Code::kInvalidArgument);
  CHECK(code([](Problem& p) { p.area_ranges = {1}; }) == Code::kInvalidArgument);
  CHECK(code([](Problem& p) { p.area_ranges = {1, kNan}; }) == Code::kInvalidArgument);
  CHECK(code([](Problem& p) { p.limits = {}; }) == Code::kInvalidArgument);
  CHECK(code([](Problem& p) { p.limits = {0, 1}; }) == Code::kInvalidArgument);
  CHECK(code([](Problem& p) { p.limits = {2, 2}; }) == Code::kInvalidArgument);

  Problem problem;
  problem.object({0, 0, 10, 10}, 0);
  problem.detection({0, 0, 10, 10}, 0, 1);
  problem.end_image();
  std::vector<double> sixteen(16), none;
  std::vector<int32_t> four(4);
  const auto outputs = [&](const DetectionFigures& figures) {
    return evaluate_detections(problem.truth(), problem.detections(), problem.protocol(), figures).code();
  };
  std::vector<uint8_t> two(2);
  CHECK(outputs({sixteen, sixteen, four, {}, {}, {}, {}, {}}) == Code::kOk);
  CHECK(outputs({none, sixteen, four, {}, {}, {}, {}, {}}) == Code::kShapeMismatch);
  CHECK(outputs({sixteen, none, four, {}, {}, {}, {}, {}}) == Code::kShapeMismatch);
  CHECK(outputs({sixteen, sixteen, {}, {}, {}, {}, {}, {}}) == Code::kShapeMismatch);
  CHECK(outputs({sixteen, sixteen, four, sixteen, {}, {}, {}, {}}) == Code::kShapeMismatch);
  CHECK(outputs({sixteen, sixteen, four, {}, {}, four, {}, {}}) == Code::kShapeMismatch);
  CHECK(outputs({sixteen, sixteen, four, {}, {}, {}, {}, two}) == Code::kShapeMismatch);

  std::vector<float> one(1);
  const auto alone = [&](int64_t per_truth, std::span<float> out) {
    return average_precision(problem.truth(), problem.detections(), per_truth, problem.protocol(), out)
        .code();
  };
  CHECK(alone(1, one) == Code::kInvalidArgument);  // two limits and two area ranges
  problem.limits = {100};
  CHECK(alone(1, one) == Code::kInvalidArgument);
  problem.area_ranges = {0, kInf};
  CHECK(alone(1, one) == Code::kOk);
  CHECK(alone(0, one) == Code::kShapeMismatch);
  CHECK(alone(2, one) == Code::kShapeMismatch);
  CHECK(alone(1, {}) == Code::kShapeMismatch);
}
