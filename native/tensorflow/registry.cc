#include "tensorflow/registry.h"

#include <deque>
#include <mutex>
#include <tuple>

namespace perception::tensorflow {
namespace {

// Structured bindings name every field, so a field added to a struct does not compile here until it is
// compared.
bool equal(const WeightedTerm& a, const WeightedTerm& b) {
  const auto fields = [](const WeightedTerm& value) {
    const auto& [term, weight] = value;
    return std::tie(term, weight);
  };
  return fields(a) == fields(b);
}

bool equal(const Recipe& a, const Recipe& b) {
  const auto scalars = [](const Recipe& value) {
    const auto& [task, reader, terms, clamp_low, clamp_high, space_fixed, space, format_gate, count_faulty,
                 format_only_without_match, iou_power, iou_epsilon, cost_l1, cost_giou, cost_class, min_iou,
                 classes, matching] = value;
    return std::tuple(task, reader, terms.size(), clamp_low, clamp_high, space_fixed, space, format_gate,
                      count_faulty, format_only_without_match, iou_power, iou_epsilon, cost_l1, cost_giou,
                      cost_class, min_iou, classes, matching);
  };
  if (scalars(a) != scalars(b)) return false;
  for (size_t i = 0; i < a.terms.size(); ++i)
    if (!equal(a.terms[i], b.terms[i])) return false;
  return true;
}

bool equal(const AdvantageOptions& a, const AdvantageOptions& b) {
  const auto fields = [](const AdvantageOptions& value) {
    const auto& [scale, baseline, epsilon, ddof, clip_low, clip_high] = value;
    return std::tie(scale, baseline, epsilon, ddof, clip_low, clip_high);
  };
  return fields(a) == fields(b);
}

template <class Entry>
class Registry {
 public:
  int32_t keep(const Entry& entry) {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < entries_.size(); ++i)
      if (equal(entries_[i], entry)) return static_cast<int32_t>(i + 1);
    entries_.push_back(entry);
    return static_cast<int32_t>(entries_.size());
  }

  const Entry* find(int32_t number) {
    const std::lock_guard lock(mutex_);
    if (number < 1 || static_cast<size_t>(number) > entries_.size()) return nullptr;
    return &entries_[static_cast<size_t>(number) - 1];
  }

 private:
  std::mutex mutex_;
  std::deque<Entry> entries_;  // growing moves no entry
};

// Never destroyed: TensorFlow's threads may run kernels while the process ends.
Registry<Recipe>& recipes() {
  static auto& registry = *new Registry<Recipe>();
  return registry;
}

Registry<AdvantageOptions>& formulas() {
  static auto& registry = *new Registry<AdvantageOptions>();
  return registry;
}

}  // namespace

int32_t keep_recipe(const Recipe& recipe) { return recipes().keep(recipe); }
int32_t keep_formula(const AdvantageOptions& formula) { return formulas().keep(formula); }
const Recipe* find_recipe(int32_t number) { return recipes().find(number); }
const AdvantageOptions* find_formula(int32_t number) { return formulas().find(number); }

}  // namespace perception::tensorflow
