// Reads as the released counting reward does: box tokens behind a format gate, their insides as eval would
// take literals.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

#include "core/text/completion.h"
#include "core/text/lexing.h"
#include "core/text/released.h"

namespace perception {

using namespace released;

namespace {

constexpr int kPythonParentheses = 200;  // Python's tokenizer refuses more

// What a literal is worth to `(x1, y1), (x2, y2) = literal`.
struct Literal {
  enum Kind : uint8_t { kOther, kNumber, kPair, kBox } kind = kOther;
  double values[4] = {};
};

// "(a, b), (c, d)" with short numbers and at most blanks between, which is what nearly every literal is: as
// LiteralReader reads it but faster. False where it is anything else.
bool usual_box(std::string_view text, double* box) {
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto take = [&](char c) {
    while (at != end && *at == ' ') ++at;
    if (at == end || *at != c) return false;
    ++at;
    return true;
  };
  for (int i = 0; i < 4; ++i) {
    if (i == 2 && !take(',')) return false;
    if (!take(i % 2 == 0 ? '(' : ',')) return false;
    while (at != end && *at == ' ') ++at;
    const char* const number = at;
    int64_t whole;
    bool integer;
    at = short_number(at, end, box[i], whole, integer);
    if (at == nullptr || (*number == '-' && box[i] == 0)) return false;
    if (i % 2 == 1 && !take(')')) return false;
  }
  return at == end;
}

// Python's grammar for numbers, tuples and lists; nothing is evaluated.
class LiteralReader {
 public:
  explicit LiteralReader(std::string_view text) : text_(text) {}

  bool read(Literal& result) {
    if (text_.find('\0') != std::string_view::npos) return false;
    // eval strips leading blanks; a line after that must not be indented, nor an empty last line.
    const size_t begin = text_.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return false;
    position_ = text_.find_first_not_of(" \t\r\f", begin);
    if (position_ == std::string_view::npos) return false;
    if (position_ > begin && text_[position_ - 1] != '\r' && text_[position_ - 1] != '\f') {
      return false;
    }
    bool comma = false;
    const size_t count = items(result, comma);
    if (count == 0) return false;
    skip(true);
    if (position_ < text_.size()) return false;
    const size_t last = text_.find_last_not_of(" \t");
    return last + 1 == text_.size() || text_[last] != '\r';
  }

 private:
  char peek() const { return position_ < text_.size() ? text_[position_] : '\0'; }

  // Only brackets make a line end (here \r) mean nothing.
  void skip(bool line_ends) {
    for (; position_ < text_.size(); ++position_) {
      const char c = text_[position_];
      if (c == ' ' || c == '\t' || c == '\f' || (c == '\r' && line_ends)) continue;
      if (c != '#') return;
      const size_t end = text_.find('\r', position_);
      position_ = (end < text_.size() ? end : text_.size()) - 1;
    }
  }

  // Items up to a closing bracket, which stays. Returns how many, 0 where the grammar is broken or
  // there are none; `result` is what they make together, one item without a comma being itself.
  size_t items(Literal& result, bool& comma) {
    size_t count = 0;
    Literal first, second;
    comma = false;
    for (;;) {
      skip(depth_ > 0);
      const char c = peek();
      if (c == '\0' || c == ')' || c == ']' || c == '\r') break;
      if (count > 0 && !separated_) return broken();
      Literal item;
      if (!read_item(item)) return broken();
      (count == 0 ? first : second) = item;
      ++count;
      skip(depth_ > 0);
      separated_ = peek() == ',';
      if (separated_) {
        comma = true;
        ++position_;
      }
    }
    if (count == 1 && !comma) {
      result = first;
      return 1;
    }
    result = Literal();
    if (count == 2 && first.kind == second.kind) {
      if (first.kind == Literal::kNumber) {
        result = {Literal::kPair, {first.values[0], second.values[0]}};
      } else if (first.kind == Literal::kPair) {
        result = {Literal::kBox, {first.values[0], first.values[1], second.values[0], second.values[1]}};
      }
    }
    return count;
  }

  size_t broken() {
    broken_ = true;
    return 0;
  }

  bool read_item(Literal& item) {
    bool negative = false, has_sign = false;
    while (peek() == '-' || peek() == '+') {
      has_sign = true;
      negative ^= peek() == '-';
      ++position_;
      skip(depth_ > 0);
    }
    const char c = peek();
    if (c == '(' || c == '[') {
      if (!group(c, item)) return false;
    } else if (!number(item)) {
      return false;
    }
    if (has_sign && item.kind != Literal::kNumber) return false;
    if (negative) item.values[0] = -item.values[0];
    return true;
  }

  bool group(char open, Literal& item) {
    if (++depth_ > kPythonParentheses) return false;
    ++position_;
    bool comma = false;
    const size_t count = items(item, comma);
    if (broken_ || peek() != (open == '(' ? ')' : ']')) return false;
    ++position_;
    --depth_;
    // "(1)" is a number, "[1]" is a list.
    if (open == '[' && count == 1 && !comma) item = Literal();
    return true;
  }

  bool number(Literal& item) {
    const size_t begin = position_;
    size_t i = skip_digits(text_, begin);
    const size_t whole = i - begin;
    size_t digits = whole;
    bool integer = true;
    if (i < text_.size() && text_[i] == '.') {
      const size_t end = skip_digits(text_, i + 1);
      digits += end - i - 1;
      i = end;
      integer = false;
    }
    if (digits == 0) return false;
    if (i < text_.size() && (text_[i] == 'e' || text_[i] == 'E')) {
      size_t first = i + 1;
      if (first < text_.size() && (text_[first] == '-' || text_[first] == '+')) ++first;
      const size_t end = skip_digits(text_, first);
      if (end == first) return false;
      i = end;
      integer = false;
    }
    const std::string_view literal = text_.substr(begin, i - begin);
    if (integer && literal[0] == '0' && literal.find_first_not_of('0') != std::string_view::npos) {
      return false;
    }
    if (integer && whole > kPythonIntDigits) return false;
    item.kind = Literal::kNumber;
    item.values[0] = to_double(literal);
    position_ = i;
    return true;
  }

  std::string_view text_;
  size_t position_ = 0;
  int depth_ = 0;
  bool separated_ = false;  // the last item was followed by a comma
  bool broken_ = false;
};

// <|object_ref_start|>[^<]*<|object_ref_end|>(?:<|box_start|>[^<]*<|box_end|>)+<|im_end|>
bool counting_format(std::string_view text) {
  size_t position = 0;
  const auto token = [&](std::string_view word) {
    if (!has_at(text, position, word)) return false;
    position += word.size();
    return true;
  };
  const auto filler = [&] {
    position = text.find('<', position);
    return position != std::string_view::npos;
  };
  if (!token(kLabelStart) || !filler() || !token(kLabelEnd)) return false;
  bool any = false;
  while (token(kBoxStart)) {
    if (!filler() || !token(kBoxEnd)) return false;
    any = true;
  }
  return any && token(kTurnEnd);
}

}  // namespace

void read_pr1_counting(std::string_view text, ParsedCompletion& out) {
  out.clear();
  text = clip_to_spans(text);
  out.format = counting_format(text) ? 1 : 0;
  if (out.format == 0) out.faults |= kFaultFormat;

  Cleaned cleaned(text);
  cleaned.remove(kEndOfText);
  const std::string_view source = cleaned.text();
  size_t end = 0, line_end = 0;  // the next box_end and the next \n; found once
  size_t begin = source.find(kBoxStart);
  while (begin < source.size()) {
    const size_t inside = begin + kBoxStart.size();
    if (end < inside) end = source.find(kBoxEnd, inside);
    if (end == std::string_view::npos) break;
    if (line_end < inside) line_end = source.find('\n', inside);
    if (line_end < end) {
      begin = source.find(kBoxStart, line_end);
      continue;
    }
    ParsedObject object;
    cleaned.set_span({begin, end + kBoxEnd.size()}, object);
    const std::string_view inner = source.substr(inside, end - inside);
    Literal literal;
    if (usual_box(inner, literal.values) ||
        (LiteralReader(inner).read(literal) && literal.kind == Literal::kBox)) {
      set_box(literal.values, object);
    } else {
      object.faults = kFaultMalformed;
    }
    add(object, out);
    begin = source.find(kBoxStart, end + kBoxEnd.size());
  }
  flag_if_empty(out);
}

}  // namespace perception
