// The readers of the released Perception-R1 rewards. They accept what the released code accepts, no
// more and no less: its regular expressions, Python's json.loads and, for Python's eval, literals of
// numbers only.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "core/text/completion.h"
#include "core/text/lexing.h"

namespace perception {

namespace {

constexpr size_t kPythonIntDigits = 4300;  // int() refuses more
constexpr int kPythonJsonDepth = 990;      // json.loads reaches Python's recursion limit
constexpr int kPythonParentheses = 200;    // Python's tokenizer refuses more

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

void add(const ParsedObject& object, ParsedCompletion& out) {
  out.faults |= object.faults;
  if (out.objects.size() < kMaxObjects) {
    out.objects.push_back(object);
  } else {
    out.faults |= kFaultLimit;
  }
}

void flag_if_empty(ParsedCompletion& out) {
  for (const ParsedObject& object : out.objects) {
    if (object.kind != ObjectKind::kRejected) return;
  }
  out.faults |= kFaultNoObjects;
}

// Makes `object` a box if all coordinates are finite.
void set_box(const double* box, ParsedObject& object) {
  for (int i = 0; i < 4; ++i) {
    if (std::isfinite(box[i])) continue;
    object.faults |= kFaultNonFinite;
    return;
  }
  object.kind = ObjectKind::kBox;
  std::copy(box, box + 4, object.coordinates);
  if (box[2] < box[0] || box[3] < box[1]) object.faults |= kFaultInverted;
}

// ---- grounding ---------------------------------------------------------------------------------

// Skips what \s matches in a Python str.
size_t skip_python_space(std::string_view text, size_t i) {
  const auto byte = [&](size_t k) { return k < text.size() ? static_cast<unsigned char>(text[k]) : 0u; };
  while (i < text.size()) {
    const unsigned a = byte(i), b = byte(i + 1), c = byte(i + 2);
    size_t size = 0;
    if ((a >= 0x09 && a <= 0x0D) || (a >= 0x1C && a <= 0x20)) {
      size = 1;
    } else if (a == 0xC2) {
      size = b == 0x85 || b == 0xA0 ? 2 : 0;
    } else if (a == 0xE1) {
      size = b == 0x9A && c == 0x80 ? 3 : 0;  // U+1680
    } else if (a == 0xE2 && b == 0x80) {
      size = (c >= 0x80 && c <= 0x8A) || c == 0xA8 || c == 0xA9 || c == 0xAF ? 3 : 0;
    } else if (a == 0xE2) {
      size = b == 0x81 && c == 0x9F ? 3 : 0;  // U+205F
    } else if (a == 0xE3) {
      size = b == 0x80 && c == 0x80 ? 3 : 0;  // U+3000
    }
    if (size == 0) break;
    i += size;
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

// ---- detection ---------------------------------------------------------------------------------

// What torch.tensor would see of one bbox_2d value.
struct BoxValue {
  static constexpr uint32_t kUnset = std::numeric_limits<uint32_t>::max();
  static constexpr size_t kMaxDimensions = 127;  // torch's 128, less one for the list of boxes

  bool bad = false;              // holds a string, null or an object
  bool ragged = false;           // lists of different lengths or depths
  bool starts_empty = false;     // its first list, followed to the innermost, is empty
  std::vector<uint32_t> shape;   // of the nested lists; empty for a bare number
  size_t number_depth = kUnset;  // how many lists are around every number
  bool has_int = false, has_float = false, has_bool = false;
  bool beyond_int64 = false, beyond_double = false;  // some integer is
  size_t count = 0;
  double values[4] = {};
  int64_t integers[4] = {};  // the same, exact, where all are integers

  void clear() {
    std::vector<uint32_t> kept = std::move(shape);
    kept.clear();
    *this = BoxValue();
    shape = std::move(kept);
  }

  void add_number(size_t depth, double value, int64_t integer) {
    if (number_depth == kUnset) number_depth = depth;
    ragged |= number_depth != depth;
    if (count < 4) {
      values[count] = value;
      integers[count] = integer;
    }
    ++count;
  }

  void add_list(size_t depth, uint32_t size) {
    if (depth >= kMaxDimensions) {
      bad = true;
      return;
    }
    starts_empty |= size == 0 && shape.empty() && number_depth == kUnset;
    if (shape.size() <= depth) shape.resize(depth + 1, kUnset);
    ragged |= shape[depth] != kUnset && shape[depth] != size;
    shape[depth] = size;
  }

  void finish() { ragged |= number_depth != kUnset && number_depth != shape.size(); }
  bool is_box() const { return !bad && !ragged && shape.size() == 1 && shape[0] == 4; }
};

struct Item {
  bool is_object = false;
  bool has_box = false, has_label = false;
  BoxValue box;
  TextSpan label;
};

// What the tensor of all boxes depends on. torch derives its shape from the first box, and where
// that makes a tensor without elements it looks at no other.
struct BoxTensor {
  bool bad = false, ragged = false, empty = false, has_int = false, has_float = false;
  bool beyond_int64 = false, beyond_double = false;
  std::optional<std::vector<uint32_t>> shape;

  void add(const BoxValue& box) {
    bad |= box.bad;
    has_int |= box.has_int;
    has_float |= box.has_float;
    beyond_int64 |= box.beyond_int64;
    beyond_double |= box.beyond_double;
    ragged |= box.ragged || (shape.has_value() && *shape != box.shape);
    if (!shape.has_value()) {
      shape = box.shape;
      empty = box.starts_empty;
    }
  }
  bool fails() const { return bad || (ragged && !empty); }
  bool overflows() const { return !empty && (has_float ? beyond_double : beyond_int64); }
  bool four() const { return shape->size() == 1 && (*shape)[0] == 4; }
};

// A box is checked when the type of the tensor is known.
struct BoxChecks {
  bool inverted_as_integers = false, inverted_as_floats = false, overflows_as_floats = false;
};

BoxChecks check(const BoxValue& box) {
  BoxChecks checks;
  const int64_t* integers = box.integers;
  checks.inverted_as_integers = integers[2] < integers[0] || integers[3] < integers[1];
  float f[4];
  for (int i = 0; i < 4; ++i) {
    // A cast beyond float's range is undefined in C++; torch rounds it to infinity.
    const bool fits = std::abs(box.values[i]) <= std::numeric_limits<float>::max();
    f[i] = fits ? static_cast<float>(box.values[i]) : std::numeric_limits<float>::infinity();
    checks.overflows_as_floats |= !fits;
  }
  if (checks.overflows_as_floats) return checks;
  checks.inverted_as_floats = f[2] < f[0] || f[3] < f[1];
  // An infinite sum or area makes the released matching cost NaN.
  const float sums = std::abs(f[0] + f[2]) + std::abs(f[1] + f[3]);
  const float area = (f[2] - f[0]) * (f[3] - f[1]);
  checks.overflows_as_floats = !std::isfinite(sums) || !std::isfinite(area);
  return checks;
}

class DetectionReader {
 public:
  DetectionReader(std::string_view original, const Vocabulary& vocabulary, ParsedCompletion& out)
      : cleaned_(original), vocabulary_(vocabulary), out_(out) {
    cleaned_.remove("```json");
    cleaned_.remove("```");
    text_ = cleaned_.text();
  }

  void read() {
    skip();
    const bool list = at_end() || text_[position_] == '[';
    const bool valid = list ? root() : value(0, nullptr, 0);
    if (valid) {
      skip();
      if (!at_end()) fail();
    }
    if (valid && !list) out_.faults |= kFaultMalformed;
    if (invalid_ || !list) {
      const uint8_t why = out_.faults & (kFaultMalformed | kFaultTruncated);
      out_.clear();
      out_.failed = true;
      out_.faults = kFaultFormat | (invalid_ ? why_ : why);
    } else {
      judge();
    }
    flag_if_empty(out_);
  }

 private:
  // ---- JSON, as Python's json.loads takes it ----

  bool at_end() const { return position_ >= text_.size(); }

  void skip() {
    while (!at_end() && (text_[position_] == ' ' || (text_[position_] >= '\t' && text_[position_] <= '\n') ||
                         text_[position_] == '\r')) {
      ++position_;
    }
  }

  bool fail() {
    invalid_ = true;
    why_ = at_end() ? kFaultTruncated : kFaultMalformed;
    return false;
  }

  bool fail_truncated() {
    position_ = text_.size();
    return fail();
  }

  bool take(char c) {
    if (at_end() || text_[position_] != c) return false;
    ++position_;
    return true;
  }

  bool word(std::string_view expected) {
    const std::string_view rest = text_.substr(position_);
    if (rest.starts_with(expected)) {
      position_ += expected.size();
      return true;
    }
    return expected.starts_with(rest) ? fail_truncated() : fail();
  }

  // `box`, where given, learns about the value, which stands inside `depth_in_box` lists of it.
  bool value(int depth, BoxValue* box, size_t depth_in_box) {
    if (at_end()) return fail();
    switch (text_[position_]) {
      case '[':
        return list(depth + 1, box, depth_in_box);
      case '{':
        if (box != nullptr) box->bad = true;
        return object(depth + 1, nullptr);
      case '"': {
        if (box != nullptr) box->bad = true;
        TextSpan inside;
        return string(inside);
      }
      case 'n':
        if (box != nullptr) box->bad = true;
        return word("null");
      case 't':
      case 'f': {
        const bool truth = text_[position_] == 't';
        if (box != nullptr) {
          box->has_bool = true;
          box->add_number(depth_in_box, truth, truth);
        }
        return word(truth ? "true" : "false");
      }
      case 'N':
        return constant("NaN", std::numeric_limits<double>::quiet_NaN(), box, depth_in_box);
      case 'I':
        return constant("Infinity", std::numeric_limits<double>::infinity(), box, depth_in_box);
      case '-':
        if (position_ + 1 < text_.size() && text_[position_ + 1] == 'I') {
          return constant("-Infinity", -std::numeric_limits<double>::infinity(), box, depth_in_box);
        }
        return number(box, depth_in_box);
      default:
        return number(box, depth_in_box);
    }
  }

  bool constant(std::string_view name, double meaning, BoxValue* box, size_t depth_in_box) {
    if (box != nullptr) {
      box->has_float = true;
      box->add_number(depth_in_box, meaning, 0);
    }
    return word(name);
  }

  bool number(BoxValue* box, size_t depth_in_box) {
    const size_t begin = position_;
    take('-');
    const size_t digits = position_;
    if (!take('0')) position_ = skip_digits(text_, position_);
    if (position_ == digits) return fail();
    bool integer = true;
    if (!at_end() && text_[position_] == '.') {
      const size_t end = skip_digits(text_, position_ + 1);
      if (end == text_.size() && end == position_ + 1) return fail_truncated();
      if (end > position_ + 1) {
        position_ = end;
        integer = false;
      }
    }
    if (!at_end() && (text_[position_] == 'e' || text_[position_] == 'E')) {
      size_t first = position_ + 1;
      if (first < text_.size() && (text_[first] == '-' || text_[first] == '+')) ++first;
      const size_t end = skip_digits(text_, first);
      if (end == text_.size() && end == first) return fail_truncated();
      if (end > first) {
        position_ = end;
        integer = false;
      }
    }
    if (integer && position_ - digits > kPythonIntDigits) {
      position_ = begin;
      return fail();
    }
    if (box != nullptr) add_number(begin, integer, *box, depth_in_box);
    return true;
  }

  void add_number(size_t begin, bool integer, BoxValue& box, size_t depth_in_box) const {
    const std::string_view literal = text_.substr(begin, position_ - begin);
    const double real = to_double(literal);
    int64_t whole = 0;
    if (integer) {
      const auto result = std::from_chars(literal.data(), literal.data() + literal.size(), whole);
      box.has_int = true;
      box.beyond_int64 |= result.ec != std::errc();
      box.beyond_double |= std::isinf(real);
    } else {
      box.has_float = true;
    }
    box.add_number(depth_in_box, integer && real == 0 ? 0 : real, whole);
  }

  bool string(TextSpan& inside) {
    ++position_;
    inside.begin = position_;
    for (; !at_end(); ++position_) {
      const char c = text_[position_];
      if (c == '"') {
        inside.end = position_++;
        return true;
      }
      if (static_cast<unsigned char>(c) < 0x20) return fail();
      if (c != '\\') continue;
      if (++position_; at_end()) break;
      if (text_[position_] == 'u') {
        if (hex4(text_, position_ + 1) < 0) {
          position_ = skip_hex(position_ + 1);
          return fail();
        }
        position_ += 4;
      } else if (std::string_view("\"\\/bfnrt").find(text_[position_]) == std::string_view::npos) {
        return fail();
      }
    }
    return fail();
  }

  size_t skip_hex(size_t i) const {
    const size_t end = text_.find_first_not_of("0123456789abcdefABCDEF", i);
    return end == std::string_view::npos ? text_.size() : end;
  }

  // After an element: true if another follows; `closed` tells the end of the container.
  bool next(char closer, bool& closed) {
    skip();
    closed = take(closer);
    if (closed) return false;
    if (!take(',')) return fail();
    skip();
    return true;
  }

  bool enter(int depth) {
    if (depth > kPythonJsonDepth) return fail();
    ++position_;
    skip();
    return true;
  }

  bool list(int depth, BoxValue* box, size_t depth_in_box) {
    if (!enter(depth)) return false;
    uint32_t size = 0;
    bool closed = take(']');
    if (!closed) {
      do {
        if (!value(depth, box, depth_in_box + 1)) return false;
        ++size;
      } while (next(']', closed));
    }
    if (closed && box != nullptr) box->add_list(depth_in_box, size);
    return closed;
  }

  bool object(int depth, Item* item) {
    if (!enter(depth)) return false;
    bool closed = take('}');
    if (closed) return true;
    do {
      if (at_end() || text_[position_] != '"') return fail();
      TextSpan key;
      if (!string(key)) return false;
      skip();
      if (!take(':')) return fail();
      skip();
      if (!member(depth, key, item)) return false;
    } while (next('}', closed));
    return closed;
  }

  bool member(int depth, TextSpan key, Item* item) {
    if (item == nullptr) return value(depth, nullptr, 0);
    const std::string_view name = unescaped(key);
    if (name == "bbox_2d") {
      item->has_box = true;
      item->box.clear();
      if (!value(depth, &item->box, 0)) return false;
      item->box.finish();
      return true;
    }
    if (name == "label") {
      item->has_label = !at_end() && text_[position_] == '"';
      return item->has_label ? string(item->label) : value(depth, nullptr, 0);
    }
    return value(depth, nullptr, 0);
  }

  // Valid until the next call.
  std::string_view unescaped(TextSpan inside) {
    const std::string_view raw = text_.substr(inside.begin, inside.end - inside.begin);
    if (raw.find('\\') == std::string_view::npos) return raw;
    scratch_.clear();
    append_unescaped(raw, scratch_);
    return scratch_;
  }

  // ---- items ----

  bool root() {
    if (at_end() || !enter(1)) return fail();
    bool closed = take(']');
    if (closed) return true;
    Item item;
    do {
      const size_t begin = position_;
      item.is_object = !at_end() && text_[position_] == '{';
      item.has_box = item.has_label = false;
      item.box.clear();
      if (!(item.is_object ? object(2, &item) : value(1, nullptr, 0))) return false;
      add_item(item, {begin, position_});
    } while (next(']', closed));
    return closed;
  }

  void add_item(const Item& item, TextSpan span) {
    ++items_;
    ParsedObject object;
    cleaned_.set_span(span, object);
    if (item.has_label) {
      const std::string_view label = unescaped(item.label);
      object.has_label = true;
      object.label_id = vocabulary_.find(label);
      object.label_begin = static_cast<uint32_t>(out_.labels.size());
      object.label_size = static_cast<uint32_t>(label.size());
      out_.labels.append(label);
    }
    const bool known = object.label_id >= 0;
    if (!item.has_box || !known) {
      ++wrong_;
      object.faults = item.is_object && item.has_box ? kFaultUnknownLabel : kFaultMalformed;
    } else {
      tensor_.add(item.box);
      if (item.box.is_box()) {
        object.kind = ObjectKind::kBox;
        std::copy(item.box.values, item.box.values + 4, object.coordinates);
        checks_.push_back(check(item.box));
      } else {
        object.faults = kFaultMalformed;
      }
    }
    add(object, out_);
  }

  // What the released code makes of the items that it could read.
  void judge() {
    if (wrong_ == items_) {  // also where there are none
      out_.failed = true;
      return;
    }
    out_.format = 1 - static_cast<double>(wrong_) / static_cast<double>(items_);
    size_t next_checks = 0;
    for (ParsedObject& object : out_.objects) {
      if (object.kind != ObjectKind::kBox) continue;
      const BoxChecks& checks = checks_[next_checks++];
      // torch takes the numbers for int64 unless any of them has a fraction.
      if (tensor_.has_float ? checks.inverted_as_floats : checks.inverted_as_integers) {
        object.faults |= kFaultInverted;
      }
      if ((tensor_.has_float || tensor_.beyond_int64) && checks.overflows_as_floats) {
        object.kind = ObjectKind::kRejected;
        object.faults |= kFaultNonFinite;
        std::fill(object.coordinates, object.coordinates + 4, 0.0);
      }
      out_.failed_only_with_truth |= object.faults != 0;
      out_.faults |= object.faults;
    }
    const bool only_bools = !tensor_.has_float && !tensor_.has_int;  // torch cannot subtract them
    if (!tensor_.four() || only_bools) {
      out_.failed_only_with_truth = true;
      out_.faults |= kFaultMalformed;
    }
    if (tensor_.fails() || tensor_.overflows()) {
      out_.failed = true;
      out_.faults |= tensor_.fails() ? kFaultMalformed : kFaultNonFinite;
    }
    if (out_.failed) out_.failed_only_with_truth = false;
  }

  Cleaned cleaned_;
  const Vocabulary& vocabulary_;
  ParsedCompletion& out_;
  std::string_view text_;
  size_t position_ = 0;
  bool invalid_ = false;
  uint8_t why_ = 0;
  size_t items_ = 0, wrong_ = 0;
  BoxTensor tensor_;
  std::vector<BoxChecks> checks_;  // one for each box that was kept
  std::string scratch_;
};

// ---- counting ----------------------------------------------------------------------------------

// What a literal is worth to `(x1, y1), (x2, y2) = literal`.
struct Literal {
  enum Kind : uint8_t { kOther, kNumber, kPair, kBox } kind = kOther;
  double values[4] = {};
};

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

void read_pr1_detection(std::string_view text, const Vocabulary& vocabulary, ParsedCompletion& out) {
  out.clear();
  DetectionReader(clip_to_spans(text), vocabulary, out).read();
}

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
    Literal literal;
    if (LiteralReader(source.substr(inside, end - inside)).read(literal) && literal.kind == Literal::kBox) {
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
