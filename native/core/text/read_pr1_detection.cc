// Reads as the released detection reward does: one JSON list as json.loads takes it, whose boxes make one
// tensor.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/completion.h"
#include "core/text/lexing.h"
#include "core/text/released.h"
#include "core/text/usual_items.h"

namespace perception {

using namespace released;

namespace {

constexpr int kPythonJsonDepth = 990;  // json.loads reaches Python's recursion limit

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

// An item that is no usual one.
struct Item {
  bool is_object = false;
  bool has_box = false, has_label = false;
  BoxValue box;
  TextSpan label;
};

// What the tensor of all boxes depends on. torch derives its shape from the first box, and where
// that makes a tensor without elements it looks at no other.
class BoxTensor {
 public:
  void add(const BoxValue& box) {
    bad_ |= box.bad;
    beyond_int64_ |= box.beyond_int64;
    beyond_double_ |= box.beyond_double;
    ragged_ |= box.ragged;
    add_numbers(box.has_int, box.has_float);
    const bool four = box.shape.size() == 1 && box.shape[0] == 4;
    if (!any_) {
      four_ = four;
      empty_ = box.starts_empty;
      if (!four) shape_ = box.shape;
    } else {
      ragged_ |= four_ ? !four : shape_ != box.shape;
    }
    any_ = true;
  }
  // Four numbers, neither of them large.
  void add_four(bool has_int, bool has_float) {
    add_numbers(has_int, has_float);
    if (!any_) any_ = four_ = true;
    ragged_ |= !four_;
  }

  bool has_float() const { return has_float_; }
  bool only_bools() const { return !has_float_ && !has_int_; }
  bool beyond_int64() const { return beyond_int64_; }
  bool fails() const { return bad_ || (ragged_ && !empty_); }
  bool overflows() const { return !empty_ && (has_float_ ? beyond_double_ : beyond_int64_); }
  bool four() const { return four_; }

 private:
  void add_numbers(bool has_int, bool has_float) {
    has_int_ |= has_int;
    has_float_ |= has_float;
  }

  bool any_ = false, bad_ = false, ragged_ = false, empty_ = false, has_int_ = false, has_float_ = false;
  bool beyond_int64_ = false, beyond_double_ = false;
  bool four_ = false;            // the shape of the first box is [4],
  std::vector<uint32_t> shape_;  // or else this one
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

BoxChecks check(const UsualItem& item) {
  const double* const values = item.values;
  float f[4];
  std::copy(values, values + 4, f);
  return {values[2] < values[0] || values[3] < values[1], f[2] < f[0] || f[3] < f[1], false};
}

class DetectionReader {
 public:
  DetectionReader(std::string_view original, const Vocabulary& vocabulary, std::vector<BoxChecks>& checks,
                  ParsedCompletion& out)
      : cleaned_(original), vocabulary_(vocabulary), out_(out), checks_(checks) {
    cleaned_.remove_front("```json");
    text_ = cleaned_.text();
  }

  void read() {
    skip();
    if (at_end() || text_[position_] != '[') clean();
    const bool list = at_end() || text_[position_] == '[';
    const bool valid = list ? root() : value(0, nullptr, 0);
    if (valid) {
      skip();
      if (!at_end()) clean();
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
  // Removes the fences from the rest of the text. Before anything else than usual items is read this has to
  // be called; of those none has a backtick, so that nothing has to be removed from what was read.
  void clean() {
    if (clean_) return;
    clean_ = true;
    cleaned_.remove("```json", position_);
    cleaned_.remove("```", position_);
    text_ = cleaned_.text();
    usual_items_ = {};
    skip();
  }

  // ---- JSON, as Python's json.loads takes it ----

  bool at_end() const { return position_ >= text_.size(); }
  size_t position_of(const char* at) const { return static_cast<size_t>(at - text_.data()); }

  void skip() {
    position_ = static_cast<size_t>(skip_json_space(text_.data() + position_, text_.data() + text_.size()) -
                                    text_.data());
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
    bool closed = false;
    if (at_end() || text_[position_] != '{') {
      clean();
      closed = take(']');
    }
    if (closed) return true;
    UsualItem usual;
    Item item;
    do {
      const char* const end = text_.data() + text_.size();
      if (usual_items_.read(text_.data() + position_, end, usual)) {
        do add_item(usual);
        while (usual_items_.read_next(end, usual));
        position_ = position_of(usual.end);
      } else {
        clean();
        const size_t begin = position_;
        item.is_object = !at_end() && text_[position_] == '{';
        item.has_box = item.has_label = false;
        item.box.clear();
        if (!(item.is_object ? object(2, &item) : value(1, nullptr, 0))) return false;
        add_item(item, {begin, position_});
      }
      skip();
      if (at_end() || (text_[position_] != ',' && text_[position_] != ']')) clean();
    } while (next(']', closed));
    return closed;
  }

  void add_item(const UsualItem& item) {
    ++items_;
    const bool room = out_.objects.size() < kMaxObjects;
    ParsedObject beyond;
    ParsedObject& object = room ? out_.objects.emplace_back() : beyond;  // in place: it is not copied again
    cleaned_.set_span({position_of(item.begin), position_of(item.end)}, object);
    set_label(item.label, text_.size() - position_of(item.label.data()), object);
    if (object.label_id < 0) {
      ++wrong_;
      object.faults = kFaultUnknownLabel;
    } else {
      tensor_.add_four(item.any_integer, item.any_fraction);
      object.kind = ObjectKind::kBox;
      std::copy(item.values, item.values + 4, object.coordinates);
      checks_.push_back(check(item));
    }
    out_.faults |= object.faults | (room ? 0 : kFaultLimit);
  }

  void set_label(std::string_view label, size_t readable, ParsedObject& object) {
    object.has_label = true;
    object.label_id = vocabulary_.find(label, readable);
    object.label_begin = static_cast<uint32_t>(out_.labels.size());
    object.label_size = static_cast<uint32_t>(label.size());
    out_.labels.append(label);
  }

  void add_item(const Item& item, TextSpan span) {
    ++items_;
    ParsedObject object;
    cleaned_.set_span(span, object);
    if (item.has_label) {
      const std::string_view label = unescaped(item.label);
      set_label(label, label.size(), object);
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
      if (tensor_.has_float() ? checks.inverted_as_floats : checks.inverted_as_integers) {
        object.faults |= kFaultInverted;
      }
      if ((tensor_.has_float() || tensor_.beyond_int64()) && checks.overflows_as_floats) {
        object.kind = ObjectKind::kRejected;
        object.faults |= kFaultNonFinite;
        std::fill(object.coordinates, object.coordinates + 4, 0.0);
      }
      out_.failed_only_with_truth |= object.faults != 0;
      out_.faults |= object.faults;
    }
    if (!tensor_.four() || tensor_.only_bools()) {  // torch cannot subtract bools
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
  bool clean_ = false;
  UsualItems usual_items_;
  bool invalid_ = false;
  uint8_t why_ = 0;
  size_t items_ = 0, wrong_ = 0;
  BoxTensor tensor_;
  std::vector<BoxChecks>& checks_;  // one for each box that was kept
  std::string scratch_;
};

}  // namespace

void read_pr1_detection(std::string_view text, const Vocabulary& vocabulary, ParsedCompletion& out) {
  thread_local std::vector<BoxChecks> checks;  // its memory is kept
  checks.clear();
  out.clear();
  DetectionReader(clip_to_spans(text), vocabulary, checks, out).read();
}

}  // namespace perception
