// What the readers of the released Perception-R1 rewards (read_pr1_*.cc) share. They accept what the released
// code accepts, no more and no less: its regular expressions, Python's json.loads and, for Python's eval,
// literals of numbers only.
#pragma once

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/completion.h"
#include "core/text/lexing.h"

namespace perception::released {

inline constexpr size_t kPythonIntDigits = 4300;  // int() refuses more

// A completion from which words were deleted, and where the rest stood in it.
class Cleaned {
 public:
  explicit Cleaned(std::string_view text) : text_(text) {}
  Cleaned(const Cleaned&) = delete;
  Cleaned& operator=(const Cleaned&) = delete;

  std::string_view text() const { return text_; }

  // At the front, where a fence around the answer stands, nothing has to be copied; nor is it at the end.
  void remove_front(std::string_view word) {
    while (text_.starts_with(word)) {
      text_.remove_prefix(word.size());
      front_ += word.size();
    }
  }

  // Before `from` the word is known not to begin.
  void remove(std::string_view word, size_t from = 0) {
    if (rounds_.empty() && from == 0) remove_front(word);
    size_t found = text_.find(word, from);
    if (found == std::string_view::npos) return;
    if (found + word.size() == text_.size()) {
      text_.remove_suffix(word.size());
      return;
    }
    std::string kept;
    kept.reserve(text_.size());
    std::vector<Cut> cuts;
    size_t begin = 0;
    while (found != std::string_view::npos) {
      kept.append(text_.substr(begin, found - begin));
      begin = found + word.size();
      cuts.push_back({kept.size(), begin - kept.size()});
      found = text_.find(word, begin);
    }
    kept.append(text_.substr(begin));
    storage_ = std::move(kept);
    text_ = storage_;
    rounds_.push_back(std::move(cuts));
  }

  void set_span(TextSpan span, ParsedObject& object) const {
    object.text_begin = original(span.begin);
    object.text_end = span.end == 0 ? 0 : original(span.end - 1) + 1;
  }

 private:
  // From `at` on, positions stood `shift` further right before the removal.
  struct Cut {
    size_t at, shift;
  };

  uint32_t original(size_t position) const {
    for (auto round = rounds_.rbegin(); round != rounds_.rend(); ++round) {
      const auto after = std::upper_bound(round->begin(), round->end(), position,
                                          [](size_t p, const Cut& cut) { return p < cut.at; });
      if (after != round->begin()) position += std::prev(after)->shift;
    }
    return static_cast<uint32_t>(position + front_);
  }

  std::string_view text_;
  size_t front_ = 0;  // how much was removed from the front without a copy, before all others
  std::string storage_;
  std::vector<std::vector<Cut>> rounds_;  // one per word removed, in order
};

inline void add(const ParsedObject& object, ParsedCompletion& out) {
  out.faults |= object.faults;
  if (out.objects.size() < kMaxObjects) {
    out.objects.push_back(object);
  } else {
    out.faults |= kFaultLimit;
  }
}

inline void flag_if_empty(ParsedCompletion& out) {
  for (const ParsedObject& object : out.objects) {
    if (object.kind != ObjectKind::kRejected) return;
  }
  out.faults |= kFaultNoObjects;
}

// Makes `object` a box if all coordinates are finite.
inline void set_box(const double* box, ParsedObject& object) {
  for (int i = 0; i < 4; ++i) {
    if (std::isfinite(box[i])) continue;
    object.faults |= kFaultNonFinite;
    return;
  }
  object.kind = ObjectKind::kBox;
  std::copy(box, box + 4, object.coordinates);
  if (box[2] < box[0] || box[3] < box[1]) object.faults |= kFaultInverted;
}

}  // namespace perception::released
