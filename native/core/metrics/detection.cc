#include "core/metrics/detection.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "core/base/ragged.h"
#include "core/base/thread_pool.h"
#include "core/metrics/precision.h"

namespace perception {
namespace {

// Cells (one category of one image) that a chunk of parallel_for holds: some tens of microseconds.
constexpr int64_t kCellsPerChunk = 64;
// Lists of detections that are evaluated by themselves: the like.
constexpr int64_t kListsPerChunk = 8;

// --- Checks. ---

std::string text_of(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::string text = std::to_string(value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

// "groundTruth[2].boxes[0]: expected ..., received ..." for the item at `index` of the whole list.
Status item_error(const char* list, const char* member, std::span<const int32_t> offsets, size_t index,
                  const char* expected, const std::string& received) {
  const auto image =
      std::upper_bound(offsets.begin(), offsets.end(), static_cast<int64_t>(index)) - offsets.begin() - 1;
  return {Code::kInvalidValue,
          std::string(list) + "[" + std::to_string(image) + "]." + member + "[" +
              std::to_string(index - static_cast<size_t>(offsets[static_cast<size_t>(image)])) +
              "]: expected " + expected + ", received " + received};
}

std::string box_text(const double* box) {
  std::string text = "[";
  for (int c = 0; c < 4; ++c) text.append(c > 0 ? ", " : "").append(text_of(box[c]));
  return text.append("]");
}

bool finite_box(const double* box) {
  return std::isfinite(box[0]) && std::isfinite(box[1]) && std::isfinite(box[2]) && std::isfinite(box[3]);
}

Status validate_categories(std::span<const int32_t> categories, size_t count, int32_t limit,
                           const char* name) {
  PERCEPTION_RETURN_IF_ERROR(check_length(categories.size(), count, name));
  for (const int32_t category : categories)
    if (category < -1 || category >= limit)
      return {Code::kInvalidValue, std::string(name) + ": expected numbers from -1 to " +
                                       std::to_string(limit - 1) + ", received " + std::to_string(category)};
  return {};
}

Status validate_truth(const DetectionTruth& truth, const DetectionProtocol& protocol) {
  const size_t count = truth.boxes.size() / 4;
  PERCEPTION_RETURN_IF_ERROR(check_length(truth.boxes.size(), 4 * count, "groundTruth boxes"));
  PERCEPTION_RETURN_IF_ERROR(validate_offsets(truth.offsets, count, "groundTruth offsets"));
  PERCEPTION_RETURN_IF_ERROR(
      validate_categories(truth.categories, count, protocol.categories, "groundTruth labels"));
  PERCEPTION_RETURN_IF_ERROR(check_length(truth.areas.size(), count, "groundTruth areas"));
  PERCEPTION_RETURN_IF_ERROR(check_length(truth.crowd.size(), count, "groundTruth crowd"));
  PERCEPTION_RETURN_IF_ERROR(check_length(truth.ignore.size(), count, "groundTruth ignore"));
  for (size_t g = 0; g < count; ++g) {
    const double* const box = truth.boxes.data() + 4 * g;
    if (!finite_box(box))
      return item_error("groundTruth", "boxes", truth.offsets, g, "finite numbers", box_text(box));
    if (inverted(box, protocol.format))
      return item_error(
          "groundTruth", "boxes", truth.offsets, g,
          protocol.format == BoxFormat::kXyxy
              ? "x1 y1 x2 y2 with x1 <= x2 and y1 <= y2 (COCO's x y width height need format 'xywh')"
              : "no negative width or height",
          box_text(box));
  }
  return {};
}

Status validate_detections(const Detections& detections, int32_t categories) {
  const size_t count = detections.boxes.size() / 4;
  PERCEPTION_RETURN_IF_ERROR(check_length(detections.boxes.size(), 4 * count, "detections boxes"));
  PERCEPTION_RETURN_IF_ERROR(validate_offsets(detections.offsets, count, "detections offsets"));
  PERCEPTION_RETURN_IF_ERROR(
      validate_categories(detections.categories, count, categories, "detections labels"));
  PERCEPTION_RETURN_IF_ERROR(check_length(detections.scores.size(), count, "detections scores"));
  for (size_t d = 0; d < detections.scores.size(); ++d)
    if (std::isnan(detections.scores[d]))
      return item_error("detections", "scores", detections.offsets, d, "a number", "nan");
  return {};
}

Status validate_protocol(const DetectionProtocol& protocol) {
  if (protocol.thresholds.empty() || protocol.thresholds.size() > kMaxThresholds)
    return {Code::kInvalidArgument, "iouThresholds: expected 1 to " + std::to_string(kMaxThresholds) +
                                        " numbers, received " + std::to_string(protocol.thresholds.size())};
  for (const double threshold : protocol.thresholds)
    if (!(threshold > 0 && threshold <= 1))
      return {Code::kInvalidArgument,
              "iouThresholds: expected numbers above 0 and up to 1, received " + text_of(threshold)};
  if (protocol.area_ranges.empty() || protocol.area_ranges.size() % 2 != 0)
    return {Code::kInvalidArgument, "areaRanges: expected at least one pair of numbers"};
  for (size_t a = 0; a < protocol.area_ranges.size(); a += 2)
    if (!(protocol.area_ranges[a] <= protocol.area_ranges[a + 1]))
      return {Code::kInvalidArgument, "areaRanges: expected [low, high] with low <= high, received [" +
                                          text_of(protocol.area_ranges[a]) + ", " +
                                          text_of(protocol.area_ranges[a + 1]) + "]"};
  if (protocol.max_detections.empty())
    return {Code::kInvalidArgument, "maxDetections: expected at least one number"};
  for (size_t m = 0; m < protocol.max_detections.size(); ++m)
    if (protocol.max_detections[m] < 1 ||
        (m > 0 && protocol.max_detections[m] <= protocol.max_detections[m - 1]))
      return {Code::kInvalidArgument, "maxDetections: expected ascending numbers from 1 on, received " +
                                          std::to_string(protocol.max_detections[m]) + " at index " +
                                          std::to_string(m)};
  return {};
}

// --- Lists by category and image. ---

double score_of(const Detections& detections, int32_t index) {
  return detections.scores[static_cast<size_t>(index)];
}

// Best first, ties in the order of the list.
void sort_by_score(const Detections& detections, std::span<int32_t> indices) {
  std::stable_sort(indices.begin(), indices.end(),
                   [&](int32_t a, int32_t b) { return score_of(detections, a) > score_of(detections, b); });
}

// Items of all images in the order of their category, images in order within each, those of no category left
// out. Category k has order[starts[k]..starts[k + 1]).
struct ByCategory {
  std::vector<int32_t> order, starts;

  ByCategory(std::span<const int32_t> categories, int32_t count) : starts(static_cast<size_t>(count) + 1) {
    for (const int32_t category : categories)
      if (category >= 0) ++starts[static_cast<size_t>(category) + 1];
    std::partial_sum(starts.begin(), starts.end(), starts.begin());
    order.resize(static_cast<size_t>(starts.back()));
    std::vector<int32_t> next(starts.begin(), starts.end() - 1);
    for (size_t i = 0; i < categories.size(); ++i)
      if (categories[i] >= 0)
        order[static_cast<size_t>(next[static_cast<size_t>(categories[i])]++)] = static_cast<int32_t>(i);
  }

  // All as one category: image by image, within each by category.
  void merge(std::span<const int32_t> image_of) {
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      return image_of[static_cast<size_t>(a)] < image_of[static_cast<size_t>(b)];
    });
    starts = {0, static_cast<int32_t>(order.size())};
  }
};

std::vector<int32_t> images_of(std::span<const int32_t> offsets) {
  std::vector<int32_t> images(static_cast<size_t>(offsets.back()));
  for (size_t i = 0; i + 1 < offsets.size(); ++i)
    std::fill(images.begin() + offsets[i], images.begin() + offsets[i + 1], static_cast<int32_t>(i));
  return images;
}

// One category of one image: ranges of the two ordered lists.
struct Cell {
  int32_t truth_begin, truth_end, detection_begin, detection_end;
};

TruthItem truth_item(const DetectionTruth& truth, BoxFormat format, int32_t index) {
  const auto g = static_cast<size_t>(index);
  const BoxTerms<double> box = detection_terms(truth.boxes.data() + 4 * g, format);
  return {box, std::isnan(truth.areas[g]) ? box.area : truth.areas[g], truth.crowd[g] != 0,
          truth.ignore[g] != 0};
}

AreaRange area_range(const DetectionProtocol& protocol, size_t a) {
  return {protocol.area_ranges[2 * a], protocol.area_ranges[2 * a + 1]};
}

class Evaluation {
 public:
  Evaluation(const DetectionTruth& truth, const Detections& detections, const DetectionProtocol& protocol,
             const DetectionFigures& figures)
      : truth_(truth),
        detections_(detections),
        protocol_(protocol),
        figures_(figures),
        with_matches_(!figures.matches.empty() || !figures.ignored_truth.empty()),
        categories_(protocol.by_category ? static_cast<size_t>(protocol.categories) : 1),
        areas_(protocol.area_ranges.size() / 2),
        truth_images_(images_of(truth.offsets)),
        detection_images_(images_of(detections.offsets)),
        truths_(truth.categories, protocol.categories),
        ranked_(detections.categories, protocol.categories) {
    if (!protocol.by_category) {
      truths_.merge(truth_images_);
      ranked_.merge(detection_images_);
    }
  }

  void run() {
    make_cells();
    outcomes_.resize(ranked_.order.size() * areas_);
    ranks_.resize(ranked_.order.size());
    objects_.resize(cells_.size() * areas_);
    parallel_for(static_cast<int64_t>(cells_.size()), kCellsPerChunk, [&](int64_t begin, int64_t end) {
      Matcher matcher;
      for (int64_t i = begin; i < end; ++i) match_cell(static_cast<size_t>(i), matcher);
    });
    parallel_for(static_cast<int64_t>(categories_), 1, [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) accumulate(static_cast<size_t>(k));
    });
  }

 private:
  int32_t image_of_truth(int32_t at) const {
    return truth_images_[static_cast<size_t>(truths_.order[static_cast<size_t>(at)])];
  }
  int32_t image_of_detection(int32_t at) const {
    return detection_images_[static_cast<size_t>(ranked_.order[static_cast<size_t>(at)])];
  }

  void make_cells() {
    cell_starts_.push_back(0);
    for (size_t k = 0; k < categories_; ++k) {
      int32_t g = truths_.starts[k], d = ranked_.starts[k];
      const int32_t last_g = truths_.starts[k + 1], last_d = ranked_.starts[k + 1];
      while (g < last_g || d < last_d) {
        constexpr int32_t kNone = std::numeric_limits<int32_t>::max();
        const int32_t image =
            std::min(g < last_g ? image_of_truth(g) : kNone, d < last_d ? image_of_detection(d) : kNone);
        Cell cell{g, g, d, d};
        while (cell.truth_end < last_g && image_of_truth(cell.truth_end) == image) ++cell.truth_end;
        while (cell.detection_end < last_d && image_of_detection(cell.detection_end) == image)
          ++cell.detection_end;
        g = cell.truth_end;
        d = cell.detection_end;
        cells_.push_back(cell);
      }
      cell_starts_.push_back(cells_.size());
    }
  }

  void match_cell(size_t index, Matcher& matcher) {
    const Cell& cell = cells_[index];
    const std::span<int32_t> order =
        std::span(ranked_.order)
            .subspan(static_cast<size_t>(cell.detection_begin),
                     static_cast<size_t>(cell.detection_end - cell.detection_begin));
    sort_by_score(detections_, order);
    const size_t evaluated = std::min(order.size(), static_cast<size_t>(protocol_.max_detections.back()));
    matcher.clear();
    for (int32_t at = cell.truth_begin; at < cell.truth_end; ++at)
      matcher.truths.push_back(truth_item(truth_, protocol_.format, truths_.order[static_cast<size_t>(at)]));
    for (size_t d = 0; d < evaluated; ++d)
      matcher.detections.push_back(
          detection_terms(detections_.boxes.data() + 4 * static_cast<size_t>(order[d]), protocol_.format));
    matcher.overlap();
    const auto first = static_cast<size_t>(cell.detection_begin);
    for (size_t d = 0; d < order.size(); ++d) ranks_[first + d] = static_cast<int32_t>(d);
    for (size_t a = 0; a < areas_; ++a) {
      matcher.match(area_range(protocol_, a), protocol_.thresholds);
      objects_[index * areas_ + a] = static_cast<int32_t>(matcher.objects());
      for (size_t d = 0; d < evaluated; ++d) outcomes_[(first + d) * areas_ + a] = matcher.outcome(d);
      if (with_matches_) write_matches(cell, a, order.first(evaluated), matcher);
    }
  }

  void write_matches(const Cell& cell, size_t a, std::span<const int32_t> order, const Matcher& matcher) {
    const size_t thresholds = protocol_.thresholds.size(), count = detections_.categories.size();
    for (size_t d = 0; d < order.size(); ++d) {
      const Outcome outcome = matcher.outcome(d);
      for (size_t t = 0; t < thresholds; ++t) {
        const size_t to = (a * thresholds + t) * count + static_cast<size_t>(order[d]);
        const int32_t matched = matcher.truth_of(t, d);
        figures_.ignored[to] = outcome.ignored >> t & 1;
        figures_.matches[to] = matched < 0 ? -1 : truth_within_image(cell.truth_begin + matched);
      }
    }
    for (int32_t at = cell.truth_begin; at < cell.truth_end; ++at)
      figures_.ignored_truth[a * truth_.categories.size() +
                             static_cast<size_t>(truths_.order[static_cast<size_t>(at)])] =
          matcher.ignores(static_cast<size_t>(at - cell.truth_begin));
  }

  int32_t truth_within_image(int32_t at) const {
    return truths_.order[static_cast<size_t>(at)] - truth_.offsets[static_cast<size_t>(image_of_truth(at))];
  }

  void accumulate(size_t k) {
    const auto begin = static_cast<size_t>(ranked_.starts[k]),
               end = static_cast<size_t>(ranked_.starts[k + 1]);
    std::vector<Ranked> ranked;
    ranked.reserve(end - begin);
    int32_t deepest = 0;  // detections of this category in one image, at most
    for (size_t at = begin; at < end; ++at) {
      if (ranks_[at] >= protocol_.max_detections.back()) continue;
      ranked.push_back({score_of(detections_, ranked_.order[at]), static_cast<int32_t>(at), ranks_[at]});
      deepest = std::max(deepest, ranks_[at] + 1);
    }
    std::stable_sort(ranked.begin(), ranked.end(),
                     [](const Ranked& a, const Ranked& b) { return a.score > b.score; });
    PrecisionAccumulator accumulator;
    for (size_t a = 0; a < areas_; ++a) {
      int64_t objects = 0;
      for (size_t cell = cell_starts_[k]; cell < cell_starts_[k + 1]; ++cell)
        objects += objects_[cell * areas_ + a];
      figures_.objects[k * areas_ + a] = static_cast<int32_t>(objects);
      if (objects > 0) accumulator.set_objects(objects);
      for (size_t m = 0; m < protocol_.max_detections.size(); ++m) {
        // Where no image has more, what was added last holds still.
        if (objects > 0 && (m == 0 || deepest > protocol_.max_detections[m - 1]))
          accumulator.add(ranked, outcomes_.data() + a, areas_, protocol_.max_detections[m],
                          protocol_.thresholds.size());
        write_curves(accumulator, objects > 0, k, a, m);
      }
    }
  }

  void write_curves(const PrecisionAccumulator& accumulator, bool defined, size_t k, size_t a, size_t m) {
    const bool with_points = !figures_.precision.empty();
    PrecisionCurve curve;
    if (!defined) {
      curve.recall = curve.average_precision = -1;
      curve.precision.fill(-1);
      curve.scores.fill(-1);
    }
    const size_t limits = protocol_.max_detections.size(), row = categories_ * areas_ * limits;
    const size_t column = (k * areas_ + a) * limits + m;
    for (size_t t = 0; t < protocol_.thresholds.size(); ++t) {
      if (defined) accumulator.curve(t, with_points, curve);
      figures_.average_precision[t * row + column] = curve.average_precision;
      figures_.recall[t * row + column] = curve.recall;
      if (!with_points) continue;
      for (size_t r = 0; r < kRecallPoints; ++r) {
        figures_.precision[(t * kRecallPoints + r) * row + column] = curve.precision[r];
        figures_.scores[(t * kRecallPoints + r) * row + column] = curve.scores[r];
      }
    }
  }

  const DetectionTruth& truth_;
  const Detections& detections_;
  const DetectionProtocol& protocol_;
  const DetectionFigures& figures_;
  const bool with_matches_;
  const size_t categories_, areas_;
  const std::vector<int32_t> truth_images_, detection_images_;
  ByCategory truths_, ranked_;
  std::vector<Cell> cells_;
  std::vector<size_t> cell_starts_;
  std::vector<Outcome> outcomes_;  // [order, A]
  std::vector<int32_t> ranks_;     // [order]
  std::vector<int32_t> objects_;   // [cells, A]
};

// --- Each list by itself. ---

// A box that matches nothing: of no size.
BoxTerms<double> answer_terms(const double* box, BoxFormat format) {
  return finite_box(box) && !inverted(box, format) ? detection_terms(box, format) : BoxTerms<double>{};
}

class SingleLists {
 public:
  SingleLists(const DetectionTruth& truth, const Detections& detections, const DetectionProtocol& protocol)
      : truth_(truth), detections_(detections), protocol_(protocol) {}

  double average_precision(size_t prompt, size_t list) {
    gather(truth_.categories, truth_.offsets, prompt, truths_);
    gather(detections_.categories, detections_.offsets, list, found_);
    double sum = 0;
    int32_t categories = 0;
    for (size_t g = 0, d = 0; g < truths_.size();) {
      const int32_t category = category_of(truth_.categories, truths_[g]);
      size_t last_g = g;
      while (last_g < truths_.size() && category_of(truth_.categories, truths_[last_g]) == category) ++last_g;
      while (d < found_.size() && category_of(detections_.categories, found_[d]) < category) ++d;
      size_t last_d = d;
      while (last_d < found_.size() && category_of(detections_.categories, found_[last_d]) == category)
        ++last_d;
      if (evaluate(std::span(truths_).subspan(g, last_g - g), std::span(found_).subspan(d, last_d - d), sum))
        ++categories;
      g = last_g;
      d = last_d;
    }
    if (categories == 0) return std::numeric_limits<double>::quiet_NaN();
    return sum / static_cast<double>(protocol_.thresholds.size()) / categories;
  }

 private:
  int32_t category_of(std::span<const int32_t> categories, int32_t index) const {
    return protocol_.by_category ? categories[static_cast<size_t>(index)] : 0;
  }

  // Those of list i that have a category, ordered by it.
  static void gather(std::span<const int32_t> categories, std::span<const int32_t> offsets, size_t i,
                     std::vector<int32_t>& indices) {
    indices.clear();
    for (int32_t k = offsets[i]; k < offsets[i + 1]; ++k)
      if (categories[static_cast<size_t>(k)] >= 0) indices.push_back(k);
    // No two are equal, so that no stable sort is needed (which would allocate).
    std::sort(indices.begin(), indices.end(), [&](int32_t a, int32_t b) {
      return std::pair(categories[static_cast<size_t>(a)], a) <
             std::pair(categories[static_cast<size_t>(b)], b);
    });
  }

  // Adds one category's average precisions at all thresholds; false where it has no object to find.
  bool evaluate(std::span<const int32_t> truths, std::span<int32_t> found, double& sum) {
    sort_by_score(detections_, found);
    found = found.first(std::min(found.size(), static_cast<size_t>(protocol_.max_detections[0])));
    matcher_.clear();
    for (const int32_t g : truths) matcher_.truths.push_back(truth_item(truth_, protocol_.format, g));
    for (const int32_t d : found)
      matcher_.detections.push_back(
          answer_terms(detections_.boxes.data() + 4 * static_cast<size_t>(d), protocol_.format));
    matcher_.overlap();
    matcher_.match(area_range(protocol_, 0), protocol_.thresholds);
    if (matcher_.objects() == 0) return false;
    ranked_.clear();
    outcomes_.clear();
    for (size_t d = 0; d < found.size(); ++d) {
      const auto at = static_cast<int32_t>(d);
      ranked_.push_back({score_of(detections_, found[d]), at, at});
      outcomes_.push_back(matcher_.outcome(d));
    }
    accumulator_.set_objects(static_cast<int64_t>(matcher_.objects()));
    accumulator_.add(ranked_, outcomes_.data(), 1, protocol_.max_detections[0], protocol_.thresholds.size());
    for (size_t t = 0; t < protocol_.thresholds.size(); ++t) {
      accumulator_.curve(t, false, curve_);
      sum += curve_.average_precision;
    }
    return true;
  }

  const DetectionTruth& truth_;
  const Detections& detections_;
  const DetectionProtocol& protocol_;
  std::vector<int32_t> truths_, found_;
  std::vector<Ranked> ranked_;
  std::vector<Outcome> outcomes_;
  Matcher matcher_;
  PrecisionAccumulator accumulator_;
  PrecisionCurve curve_;
};

}  // namespace

Status average_precision(const DetectionTruth& truth, const Detections& detections, int64_t per_truth,
                         const DetectionProtocol& protocol, std::span<float> out) {
  PERCEPTION_RETURN_IF_ERROR(validate_protocol(protocol));
  PERCEPTION_RETURN_IF_ERROR(validate_truth(truth, protocol));
  PERCEPTION_RETURN_IF_ERROR(validate_detections(detections, protocol.categories));
  if (protocol.area_ranges.size() != 2 || protocol.max_detections.size() != 1)
    return {Code::kInvalidArgument, "protocol: expected one area range and one number of detections"};
  const size_t prompts = truth.offsets.size() - 1, lists = detections.offsets.size() - 1;
  if (per_truth < 1 || prompts != lists / static_cast<size_t>(per_truth) ||
      lists % static_cast<size_t>(per_truth) != 0)
    return {Code::kShapeMismatch, "groundTruth: expected one entry for every " + std::to_string(per_truth) +
                                      " of the " + std::to_string(lists) + " lists of detections, received " +
                                      std::to_string(prompts)};
  PERCEPTION_RETURN_IF_ERROR(check_length(out.size(), lists, "out"));
  parallel_for(static_cast<int64_t>(lists), kListsPerChunk, [&](int64_t begin, int64_t end) {
    SingleLists evaluation(truth, detections, protocol);
    for (int64_t i = begin; i < end; ++i)
      out[static_cast<size_t>(i)] = static_cast<float>(
          evaluation.average_precision(static_cast<size_t>(i / per_truth), static_cast<size_t>(i)));
  });
  return {};
}

Status evaluate_detections(const DetectionTruth& truth, const Detections& detections,
                           const DetectionProtocol& protocol, const DetectionFigures& figures) {
  PERCEPTION_RETURN_IF_ERROR(validate_protocol(protocol));
  PERCEPTION_RETURN_IF_ERROR(validate_truth(truth, protocol));
  PERCEPTION_RETURN_IF_ERROR(validate_detections(detections, protocol.categories));
  PERCEPTION_RETURN_IF_ERROR(
      check_length(detections.offsets.size(), truth.offsets.size(), "detections offsets"));
  for (size_t d = 0; 4 * d < detections.boxes.size(); ++d)
    if (!finite_box(detections.boxes.data() + 4 * d))
      return item_error("detections", "boxes", detections.offsets, d, "finite numbers",
                        box_text(detections.boxes.data() + 4 * d));
  const auto thresholds = static_cast<int64_t>(protocol.thresholds.size());
  const auto areas = static_cast<int64_t>(protocol.area_ranges.size() / 2);
  const auto limits = static_cast<int64_t>(protocol.max_detections.size());
  const int64_t categories = protocol.by_category ? protocol.categories : 1;
  const auto check = [&](size_t size, std::initializer_list<int64_t> shape, const char* name) {
    return check_shape(size, shape, name);
  };
  PERCEPTION_RETURN_IF_ERROR(
      check(figures.average_precision.size(), {thresholds, categories, areas, limits}, "averagePrecision"));
  PERCEPTION_RETURN_IF_ERROR(check(figures.recall.size(), {thresholds, categories, areas, limits}, "recall"));
  PERCEPTION_RETURN_IF_ERROR(check(figures.objects.size(), {categories, areas}, "objects"));
  if (!figures.precision.empty() || !figures.scores.empty()) {
    const auto points = static_cast<int64_t>(kRecallPoints);
    PERCEPTION_RETURN_IF_ERROR(
        check(figures.precision.size(), {thresholds, points, categories, areas, limits}, "precision"));
    PERCEPTION_RETURN_IF_ERROR(
        check(figures.scores.size(), {thresholds, points, categories, areas, limits}, "scores"));
  }
  if (!figures.matches.empty() || !figures.ignored.empty() || !figures.ignored_truth.empty()) {
    const auto d = static_cast<int64_t>(detections.categories.size());
    const auto g = static_cast<int64_t>(truth.categories.size());
    PERCEPTION_RETURN_IF_ERROR(check(figures.matches.size(), {areas, thresholds, d}, "matches"));
    PERCEPTION_RETURN_IF_ERROR(check(figures.ignored.size(), {areas, thresholds, d}, "ignored"));
    PERCEPTION_RETURN_IF_ERROR(check(figures.ignored_truth.size(), {areas, g}, "ignoredTruth"));
    std::fill(figures.matches.begin(), figures.matches.end(), -2);
    std::fill(figures.ignored.begin(), figures.ignored.end(), 0);
    std::fill(figures.ignored_truth.begin(), figures.ignored_truth.end(), 0);
  }
  Evaluation(truth, detections, protocol, figures).run();
  return {};
}

}  // namespace perception
