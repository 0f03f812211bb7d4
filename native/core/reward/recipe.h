// A recipe says how a completion becomes a reward: how it is read, how predictions are paired with ground
// truth, which terms are computed and how they are summed. The JSON form, its validation and the presets are
// in src/rewards/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>

#include "core/base/portable.h"

namespace perception {

enum class Task : uint8_t { kGrounding, kDetection, kCounting, kOcr };

// How a completion is read; core/text/completion.h has one function for each.
enum class Reader : uint8_t { kAny, kPr1Grounding, kPr1Detection, kPr1Counting, kText };

// Units of coordinates: pixels of the image, thousandths of its width and height, or shares of them.
enum class Space : uint8_t { kPixels, kPerMille, kUnit };

enum class Term : uint8_t {
  kFormat,      // all tasks: the answer's form, 0..1
  kIou,         // grounding: IoU ^ iou_power; detection: mean IoU over the matched pairs
  kF1,          // detection: F1 of the matched pairs; OCR: F1 over the sets of tokens
  kClass,       // detection: share of matched pairs with equal labels
  kMissing,     // detection: share of predictions plus share of objects left unmatched, 0..2
  kCounting,    // counting: kCount * kProximity
  kCount,       // counting: matched / max(predicted, true)
  kProximity,   // counting: 1 - mean distance of the matched pairs / diagonal of the image
  kSimilarity,  // OCR: 1 - edit distance / length of the longer text, in code points
  kPrecision,   // OCR: over the sets of tokens
  kRecall,      // OCR: over the sets of tokens
  kBleu,        // OCR: sentence BLEU-4
};

// How predictions are paired with objects of the ground truth.
enum class MatchingMethod : uint8_t {
  kHungarian,  // at the least total cost
  kGreedy,     // the cheapest pair first, then the cheapest of those still free, ...
  kInOrder     // the i-th usable prediction with the i-th object
};

constexpr size_t kTerms = static_cast<size_t>(Term::kBleu) + 1;

struct WeightedTerm {
  Term term = Term::kFormat;
  double weight = 0;  // 0 = reported but not summed
};

// The terms of a recipe, each at most once. Held in place, so that a recipe can be handed to another device.
class WeightedTerms {
 public:
  WeightedTerms() = default;
  WeightedTerms(std::initializer_list<WeightedTerm> terms) {
    for (const WeightedTerm& term : terms) push_back(term);
  }
  // Beyond kTerms terms nothing is added: a recipe's validation has refused repeated ones before.
  void push_back(const WeightedTerm& term) {
    if (size_ < kTerms) terms_[size_++] = term;
  }
  PERCEPTION_PORTABLE size_t size() const { return size_; }
  PERCEPTION_PORTABLE const WeightedTerm& operator[](size_t i) const { return terms_[i]; }
  PERCEPTION_PORTABLE const WeightedTerm* begin() const { return terms_; }
  PERCEPTION_PORTABLE const WeightedTerm* end() const { return terms_ + size_; }

 private:
  WeightedTerm terms_[kTerms] = {};
  size_t size_ = 0;
};

struct Recipe {
  Task task = Task::kGrounding;
  Reader reader = Reader::kAny;
  WeightedTerms terms;
  double clamp_low = -std::numeric_limits<double>::infinity();
  double clamp_high = std::numeric_limits<double>::infinity();

  // Formulas are evaluated in this space; where it is not fixed, in the ground truth's own.
  bool space_fixed = false;
  Space space = Space::kPixels;

  bool format_gate = false;  // an answer whose format is 0 scores 0
  // Items that cannot be used (unreadable, inverted, of unknown label) count as predictions that match
  // nothing. Where this is off they cost nothing but the format term.
  bool count_faulty = false;
  // Detection: without predictions, objects or matched pairs only the format term is scored, as released.
  bool format_only_without_match = false;

  double iou_power = 1;    // grounding
  double iou_epsilon = 0;  // detection: added to unions and hulls

  // Detection's matcher: the cost of a pair is l1 * |difference of centre, size| - giou * GIoU - label * p, p
  // being the softmax of the one-hot label over `classes`. Matched pairs with IoU <= min_iou are dropped.
  double cost_l1 = 0, cost_giou = 0, cost_class = 0, min_iou = 0;
  int32_t classes = 1;

  MatchingMethod matching = MatchingMethod::kHungarian;  // detection and counting
};

}  // namespace perception
