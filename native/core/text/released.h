// What the readers of the released Perception-R1 rewards (read_pr1_*.cc) share. They accept what the released
// code accepts, no more and no less: its regular expressions, Python's json.loads and, for Python's eval,
// literals of numbers only.
#pragma once

#include <algorithm>
#include <cmath>
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

  void remove(std::string_view word) {
    size_t found = text_.find(word);
    if (found == std::string_view::npos) return;
    std::string kept;
    std::vector<uint32_t> origin;
    kept.reserve(text_.size());
    origin.reserve(text_.size());
    size_t i = 0;
    while (i < text_.size()) {
      const size_t end = found < text_.size() ? found : text_.size();
      kept.append(text_.substr(i, end - i));
      for (; i < end; ++i) origin.push_back(original(i));
      if (end == text_.size()) break;
      i = end + word.size();
      found = text_.find(word, i);
    }
    storage_ = std::move(kept);
    origin_ = std::move(origin);
    text_ = storage_;
    changed_ = true;
  }

  void set_span(TextSpan span, ParsedObject& object) const {
    object.text_begin = original(span.begin);
    object.text_end = span.end == 0 ? 0 : original(span.end - 1) + 1;
  }

 private:
  uint32_t original(size_t position) const {
    return changed_ ? origin_[position] : static_cast<uint32_t>(position);
  }

  std::string_view text_;
  std::string storage_;
  std::vector<uint32_t> origin_;
  bool changed_ = false;
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
