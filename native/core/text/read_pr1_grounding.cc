// Reads as the released grounding reward does: the first four numbers that one of three patterns finds.
#include <array>
#include <cmath>
#include <string_view>

#include "core/text/completion.h"
#include "core/text/lexing.h"
#include "core/text/released.h"

namespace perception {

using namespace released;

namespace {

// Skips what \s matches in a Python str.
size_t skip_python_space(std::string_view text, size_t i) {
  while (i < text.size()) {
    size_t next = i;
    if (!is_python_space(next_code_point(text, next))) break;
    i = next;
  }
  return i;
}

// Matches pieces of the released regular expressions, which never have to give back a character.
class BoxPattern {
 public:
  explicit BoxPattern(std::string_view text) : text_(text) {}

  // The first match of open N, N, N, N close.
  bool find_four(char open, char close) {
    return find(open, [&] {
      return space() && number(0) && comma() && number(1) && comma() && number(2) && comma() && number(3) &&
             space() && literal(close);
    });
  }

  // The first match of (N, N), (N, N).
  bool find_two_pairs() {
    return find('(', [&] {
      return space() && number(0) && comma() && number(1) && literal(')') && comma() && literal('(') &&
             space() && number(2) && comma() && number(3) && literal(')');
    });
  }

  TextSpan span() const { return {begin_, position_}; }
  double value(size_t index) const {
    const TextSpan& span = numbers_[index];
    return to_double(text_.substr(span.begin, span.end - span.begin));
  }

 private:
  template <typename Rest>
  bool find(char open, Rest rest) {
    for (begin_ = text_.find(open); begin_ < text_.size(); begin_ = text_.find(open, begin_ + 1)) {
      position_ = begin_ + 1;
      if (rest()) return true;
    }
    return false;
  }

  bool literal(char c) {
    if (position_ >= text_.size() || text_[position_] != c) return false;
    ++position_;
    return true;
  }
  bool space() {
    position_ = skip_python_space(text_, position_);
    return true;
  }
  bool comma() { return literal(',') && space(); }
  bool number(size_t index) {
    TextSpan& span = numbers_[index];
    span.begin = position_;
    literal('-');
    span.end = skip_digits(text_, position_);
    if (span.end == position_) return false;
    if (span.end < text_.size() && text_[span.end] == '.') {
      const size_t end = skip_digits(text_, span.end + 1);
      if (end > span.end + 1) span.end = end;
    }
    position_ = span.end;
    return true;
  }

  std::string_view text_;
  size_t begin_ = 0, position_ = 0;
  std::array<TextSpan, 4> numbers_;
};

bool grounding_format(std::string_view text) {
  for (std::string_view start :
       {"<", ">", "object_ref_start", "object_ref_end", "box_start", "box_end", "im_end"}) {
    if (text.starts_with(start)) return true;
  }
  return false;
}

}  // namespace

void read_pr1_grounding(std::string_view text, ParsedCompletion& out) {
  out.clear();
  Cleaned cleaned(clip_to_spans(text));
  cleaned.remove(kEndOfText);
  out.format = grounding_format(cleaned.text()) ? 1 : 0;
  if (out.format == 0) out.faults |= kFaultFormat;

  BoxPattern pattern(cleaned.text());
  if (!pattern.find_four('[', ']') && !pattern.find_four('(', ')') && !pattern.find_two_pairs()) {
    out.faults |= kFaultNoObjects;
    return;
  }
  const bool unit = cleaned.text().find(kBoxStart) == std::string_view::npos;
  ParsedObject object;
  cleaned.set_span(pattern.span(), object);
  double box[4];
  for (size_t i = 0; i < 4; ++i) {
    box[i] = pattern.value(i);
    if (unit) box[i] = std::trunc(box[i] * 1000) + 0.0;  // + 0.0: integers have no negative zero
  }
  set_box(box, object);
  add(object, out);
  flag_if_empty(out);
}

}  // namespace perception
