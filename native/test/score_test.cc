// The batch scorer: what its own code adds to the readers and kernels, and that nothing a caller passes can
// make it read or write out of bounds (run under AddressSanitizer).
#include "core/reward/score.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/base/thread_pool.h"
#include "doctest.h"
#include "test/detection_recipe.h"

using namespace perception;

namespace {

// Owns everything that a request and its result point to.
struct Batch {
  Recipe recipe;
  Vocabulary vocabulary;
  std::string text;
  std::vector<int32_t> text_offsets = {0};
  std::vector<int32_t> truth_offsets = {0};
  std::vector<double> coordinates;
  std::vector<int32_t> labels;
  std::string truth_text;
  std::vector<int32_t> truth_text_offsets = {0};
  std::vector<double> image_sizes, resized_sizes;
  std::vector<int32_t> group_offsets, group_of;
  int32_t groups = 0;
  int64_t completions_per_truth = 1;
  Space prediction_space = Space::kPixels, truth_space = Space::kPixels;

  std::vector<float> rewards, terms, advantages;
  std::vector<uint8_t> status;
  std::vector<int32_t> matches, match_offsets;
  SpaceCheck space;

  explicit Batch(Recipe r) : recipe(std::move(r)) {
    vocabulary.add("dog", 1);
    vocabulary.add("cat", 2);
    vocabulary.add("car", 7);
  }

  void add(const std::string& completion) {
    text += completion;
    text_offsets.push_back(static_cast<int32_t>(text.size()));
  }

  void add_truth(const std::vector<double>& objects, const std::vector<int32_t>& ids = {}) {
    coordinates.insert(coordinates.end(), objects.begin(), objects.end());
    labels.insert(labels.end(), ids.begin(), ids.end());
    const size_t width = recipe.task == Task::kCounting ? 2 : 4;
    truth_offsets.push_back(static_cast<int32_t>(coordinates.size() / width));
  }

  void add_truth_text(const std::string& page) {
    truth_text += page;
    truth_text_offsets.push_back(static_cast<int32_t>(truth_text.size()));
  }

  Status score() {
    const size_t count = text_offsets.size() - 1;
    rewards.assign(count, -7);
    terms.assign(count * recipe.terms.size(), -7);
    advantages.assign(count, -7);
    status.assign(count, 255);
    if (group_offsets.empty() && group_of.empty())
      for (size_t i = 0; i <= count; ++i) group_offsets.push_back(static_cast<int32_t>(i));
    if (recipe.task != Task::kOcr &&
        truth_offsets.size() * static_cast<size_t>(completions_per_truth) > count) {
      match_offsets.assign(1, 0);
      for (size_t i = 0; i < count; ++i) {
        const size_t prompt = i / static_cast<size_t>(completions_per_truth);
        match_offsets.push_back(match_offsets.back() + truth_offsets[prompt + 1] - truth_offsets[prompt]);
      }
      matches.assign(static_cast<size_t>(match_offsets.back()), -7);
    }
    return run();
  }

  Status run() {
    ScoreRequest request;
    request.recipe = &recipe;
    request.vocabulary = &vocabulary;
    request.completions = packed(text, text_offsets);
    request.truth.offsets = truth_offsets;
    request.truth.coordinates = coordinates;
    request.truth.labels = labels;
    request.truth.texts = packed(truth_text, truth_text_offsets);
    request.truth.image_sizes = image_sizes;
    request.truth.resized_sizes = resized_sizes;
    request.completions_per_truth = completions_per_truth;
    request.prediction_space = prediction_space;
    request.truth_space = truth_space;
    request.group_offsets = group_offsets;
    request.group_of = group_of;
    request.groups = groups;
    ScoreResult result;
    result.rewards = rewards;
    result.terms = terms;
    result.advantages = advantages;
    result.status = status;
    result.matches = matches;
    result.match_offsets = match_offsets;
    Status outcome = score_batch(request, result);
    space = result.space;
    return outcome;
  }

  static PackedStrings packed(const std::string& bytes, const std::vector<int32_t>& offsets) {
    return {{reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, offsets};
  }
};

const std::string kDogAndCat =
    R"([{"bbox_2d": [0, 0, 10, 10], "label": "dog"}, {"bbox_2d": [50, 50, 70, 70], "label": "cat"}])";
const std::vector<double> kTwoBoxes = {50, 50, 70, 70, 0, 0, 10, 10};

}  // namespace

TEST_CASE("score batch: detection terms, matches and advantages") {
  Batch batch(detection_recipe());
  batch.add(kDogAndCat);
  batch.add(R"([{"bbox_2d": [50, 50, 70, 70], "label": "dog"}])");
  batch.add_truth(kTwoBoxes, {2, 1});
  batch.completions_per_truth = 2;
  batch.group_offsets = {0, 2};
  REQUIRE(batch.score().ok());
  CHECK(batch.rewards[0] == doctest::Approx(3));
  CHECK(batch.matches == std::vector<int32_t>{1, 0, 0, -1});
  // One of two objects found, with the wrong label: f1 2/3, class 0, iou 1, missing 1/2.
  CHECK(batch.rewards[1] == doctest::Approx(0.25 + 0.75 * 2 / 3 + 1 - 0.25));
  CHECK(batch.terms[2 * 1 + 1] == doctest::Approx(2.0 / 3));
  CHECK(batch.terms[2 * 4 + 1] == doctest::Approx(0.5));
  CHECK(batch.advantages[0] == doctest::Approx(std::sqrt(0.5)).epsilon(1e-3));
  CHECK(batch.advantages[0] == -batch.advantages[1]);
  CHECK(batch.space.predictions == 3);
  CHECK(batch.space.truths == 2);
}

TEST_CASE("score batch: thousands of completions give the same for any number of threads") {
  const auto scored = [](int threads) {
    set_thread_count(threads);
    Batch batch(detection_recipe());
    for (int i = 0; i < 3000; ++i) {
      const std::string x = std::to_string(i % 7), label = i % 3 ? "dog" : "unicorn";
      batch.add(i % 11 ? R"([{"bbox_2d": [)" + x + R"(, 0, 10, 10], "label": ")" + label +
                             R"("}, {"bbox_2d": [50,)"
                       : kDogAndCat);
      batch.add_truth(i % 5 ? kTwoBoxes : std::vector<double>{},
                      i % 5 ? std::vector<int32_t>{2, 1} : std::vector<int32_t>{});
      if (i % 8 == 0) batch.group_offsets.push_back(i);
    }
    batch.group_offsets.push_back(3000);
    REQUIRE(batch.score().ok());
    return batch;
  };
  const Batch one = scored(1), four = scored(4);
  CHECK(one.rewards == four.rewards);
  CHECK(one.terms == four.terms);
  CHECK(one.advantages == four.advantages);
  CHECK(one.status == four.status);
  CHECK(one.matches == four.matches);
  CHECK(one.space.predictions_outside == four.space.predictions_outside);
}

TEST_CASE("score batch: spaces are converted, and wrong ones noticed") {
  Recipe recipe;
  recipe.task = Task::kGrounding;
  recipe.terms = {{Term::kIou, 1}};
  Batch batch(recipe);
  batch.add("[0.1, 0.2, 0.5, 0.6]");
  batch.add_truth({20, 20, 100, 60});
  batch.prediction_space = Space::kUnit;
  CHECK(batch.score().code() == Code::kInvalidArgument);  // no size to convert with
  batch.image_sizes = {200, 100};
  REQUIRE(batch.score().ok());
  CHECK(batch.rewards[0] == doctest::Approx(1));
  CHECK(batch.space.predictions_outside == 0);

  batch.prediction_space = Space::kPixels;
  REQUIRE(batch.score().ok());
  CHECK(batch.space.predictions_outside == 1);  // all within 0..1
  batch.prediction_space = Space::kPerMille;
  batch.text = "[100, 200, 500, 600]";
  batch.text_offsets = {0, static_cast<int32_t>(batch.text.size())};
  REQUIRE(batch.score().ok());
  CHECK(batch.rewards[0] == doctest::Approx(1));
}

TEST_CASE("score batch: counting and OCR") {
  Recipe counting;
  counting.task = Task::kCounting;
  counting.terms = {{Term::kCounting, 1}};
  counting.space_fixed = true;
  counting.space = Space::kPerMille;
  counting.count_faulty = true;
  Batch points(counting);
  points.prediction_space = points.truth_space = Space::kPerMille;
  points.add("(10,10) and (900,900) and (20,30),(10,10)");  // two points and an inverted box
  points.add_truth({900, 900, 10, 10});
  REQUIRE(points.score().ok());
  CHECK(points.rewards[0] == doctest::Approx(2.0 / 3));
  CHECK(points.matches == std::vector<int32_t>{1, 0});

  Recipe ocr;
  ocr.task = Task::kOcr;
  ocr.reader = Reader::kText;
  ocr.terms = {{Term::kSimilarity, 1}, {Term::kF1, 0}};
  Batch pages(ocr);
  pages.add("kitten");
  pages.add("");
  pages.add_truth_text("sitting");
  pages.add_truth_text("");
  REQUIRE(pages.score().ok());
  CHECK(pages.rewards[0] == doctest::Approx(1 - 3.0 / 7));
  CHECK(pages.rewards[1] == 1);
}

TEST_CASE("score batch: numbers that overflow in the costs match nothing and stay finite") {
  Recipe counting;
  counting.task = Task::kCounting;
  counting.terms = {{Term::kCounting, 1}};
  Batch batch(counting);
  batch.prediction_space = batch.truth_space = Space::kPerMille;
  batch.add("[1e200, 1e200]");
  batch.add_truth({-1e200, 1e200});
  REQUIRE(batch.score().ok());
  CHECK(std::isfinite(batch.rewards[0]));

  Batch boxes(detection_recipe());
  boxes.add(
      R"([{"bbox_2d": [-1e38, -1e38, 3e38, 3e38], "label": "dog"}, {"bbox_2d": [0, 0, 1e300, 1e300], "label": "dog"}])");
  boxes.add_truth(kTwoBoxes, {2, 1});
  REQUIRE(boxes.score().ok());
  CHECK(std::isfinite(boxes.rewards[0]));
  for (const float term : boxes.terms) CHECK(std::isfinite(term));
}

TEST_CASE("score batch: refuses what does not fit together") {
  const auto fresh = [] {
    Batch batch(detection_recipe());
    batch.add(kDogAndCat);
    batch.add("");
    batch.add_truth(kTwoBoxes, {2, 1});
    batch.completions_per_truth = 2;
    REQUIRE(batch.score().ok());
    return batch;
  };
  const auto refused = [&](auto&& spoil) {
    Batch batch = fresh();
    spoil(batch);
    const Status status = batch.run();
    CHECK_FALSE(status.ok());
    CHECK_FALSE(status.message().empty());
  };
  refused([](Batch& b) { b.text_offsets[1] = 9999; });
  refused([](Batch& b) { b.text_offsets.clear(); });
  refused([](Batch& b) { b.truth_offsets[1] = 3; });
  refused([](Batch& b) { b.truth_offsets.push_back(2); });
  refused([](Batch& b) { b.coordinates.pop_back(); });
  refused([](Batch& b) { b.coordinates[3] = std::numeric_limits<double>::quiet_NaN(); });
  refused([](Batch& b) { b.labels.pop_back(); });
  refused([](Batch& b) { b.completions_per_truth = 0; });
  refused([](Batch& b) { b.completions_per_truth = 1; });
  refused([](Batch& b) { b.rewards.pop_back(); });
  refused([](Batch& b) { b.terms.pop_back(); });
  refused([](Batch& b) { b.advantages.pop_back(); });
  refused([](Batch& b) { b.status.pop_back(); });
  refused([](Batch& b) { b.matches.pop_back(); });
  refused([](Batch& b) { b.match_offsets = {0, 1, 4}; });
  refused([](Batch& b) { b.group_offsets = {0, 3}; });
  refused([](Batch& b) {
    b.group_of = {0, 5};
    b.groups = 2;
  });
  refused([](Batch& b) {
    b.group_of = {0, 1};
    b.groups = -1;
  });
  refused([](Batch& b) { b.image_sizes = {100, 100, 5}; });
  refused([](Batch& b) { b.image_sizes = {100, 0}; });
  refused([](Batch& b) { b.image_sizes = {100, -1}; });
  refused([](Batch& b) { b.prediction_space = Space::kUnit; });
  refused([](Batch& b) { b.resized_sizes = {100, 100}; });
  refused([](Batch& b) { b.recipe.task = Task::kGrounding; });  // two boxes where one is expected
}

TEST_CASE("score batch: each method of matching pairs points in its own way") {
  Recipe recipe;
  recipe.task = Task::kCounting;
  recipe.terms = {{Term::kCount, 1}, {Term::kProximity, 0}};
  recipe.count_faulty = true;
  Batch batch(recipe);
  batch.prediction_space = batch.truth_space = Space::kPerMille;
  batch.add("(30, 0) and (9, 0) and (70, 0)");
  batch.add_truth({20, 0, 70, 0, 50, 0});
  const auto check = [&](MatchingMethod method, const std::vector<int32_t>& matches, double distance) {
    batch.recipe.matching = method;
    REQUIRE(batch.score().ok());
    CHECK(batch.matches == matches);
    CHECK(batch.terms[1] == doctest::Approx(1 - distance / 3 / 1000 / std::sqrt(2)));
  };
  check(MatchingMethod::kHungarian, {1, 2, 0}, 11 + 0 + 20);
  check(MatchingMethod::kGreedy, {0, 2, 1}, 10 + 0 + 41);
  check(MatchingMethod::kInOrder, {0, 1, 2}, 10 + 61 + 20);

  // In order of what can be used; what is left over on either side has no partner.
  Batch faulty(recipe);
  faulty.recipe.matching = MatchingMethod::kInOrder;
  faulty.prediction_space = faulty.truth_space = Space::kPerMille;
  faulty.add("(30, 0) and (5,5),(1,1) and (9, 0)");
  faulty.add_truth({20, 0, 70, 0, 50, 0});
  REQUIRE(faulty.score().ok());
  CHECK(faulty.matches == std::vector<int32_t>{0, 2, -1});
  CHECK(faulty.rewards[0] == doctest::Approx(2.0 / 3));
}

TEST_CASE("score batch: baselines leave pairs that cost too much unmatched, as the optimum does") {
  for (const MatchingMethod method : {MatchingMethod::kGreedy, MatchingMethod::kInOrder}) {
    Recipe recipe;
    recipe.task = Task::kCounting;
    recipe.terms = {{Term::kCount, 1}};
    recipe.matching = method;
    Batch batch(recipe);
    batch.prediction_space = batch.truth_space = Space::kPerMille;
    batch.add("[1e200, 0] [5, 5]");
    batch.add("[5, 5] [1e200, 0]");
    batch.add("[5, 5]");
    for (int i = 0; i < 3; ++i) batch.add_truth({5, 5, 6, 6});
    REQUIRE(batch.score().ok());
    CHECK(batch.rewards == std::vector<float>{0, 0, 0.5f});
    CHECK(batch.matches == std::vector<int32_t>{-1, -1, -1, -1, 0, -1});
  }
}
