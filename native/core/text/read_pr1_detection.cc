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

  // As after [a, b, c, d], whose numbers were put into `values` and `integers`.
  void set_four(bool any_int, bool any_float) {
    bad = ragged = starts_empty = has_bool = beyond_int64 = beyond_double = false;
    has_int = any_int;
    has_float = any_float;
    number_depth = 1;
    count = 4;
    shape.assign(1, 4);
  }
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

  // Reads what nearly every item is, {"bbox_2d": [a, b, c, d], "label": "..."} in either order with short
  // numbers and no escapes, as object() would but faster. False, with nothing read, where it is anything
  // else.
  bool usual_item(Item& item) {
    const char* at = text_.data() + position_;
    const char* const end = text_.data() + text_.size();
    const auto take = [&](char c) {
      at = skip_json_space(at, end);
      if (at == end || *at != c) return false;
      ++at;
      return true;
    };
    item.is_object = true;
    item.has_box = item.has_label = false;
    if (!take('{')) return false;
    do {
      if (!take('"')) return false;
      if (!item.has_box && starts_with(at, end, "bbox_2d\"")) {
        at += 8;
        if (!take(':') || !take('[')) return false;
        bool any_int = false, any_float = false;
        for (int i = 0; i < 4; ++i) {
          if (i > 0 && !take(',')) return false;
          bool integer;
          at = short_number(skip_json_space(at, end), end, item.box.values[i], item.box.integers[i], integer);
          if (at == nullptr) return false;
          (integer ? any_int : any_float) = true;
        }
        if (!take(']')) return false;
        item.box.set_four(any_int, any_float);
        item.has_box = true;
      } else if (!item.has_label && starts_with(at, end, "label\"")) {
        at += 6;
        if (!take(':') || !take('"')) return false;
        item.label.begin = static_cast<size_t>(at - text_.data());
        at = plain_end(at, end);
        if (at == end || *at != '"') return false;
        item.label.end = static_cast<size_t>(at++ - text_.data());
        item.has_label = true;
      } else {
        return false;
      }
    } while (take(','));
    if (!take('}')) return false;
    position_ = static_cast<size_t>(at - text_.data());
    return true;
  }

  static bool starts_with(const char* at, const char* end, std::string_view word) {
    return static_cast<size_t>(end - at) >= word.size() && std::string_view(at, word.size()) == word;
  }

  bool root() {
    if (at_end() || !enter(1)) return fail();
    bool closed = take(']');
    if (closed) return true;
    Item item;
    do {
      const size_t begin = position_;
      if (!usual_item(item)) {
        item.is_object = !at_end() && text_[position_] == '{';
        item.has_box = item.has_label = false;
        item.box.clear();
        if (!(item.is_object ? object(2, &item) : value(1, nullptr, 0))) return false;
      }
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

}  // namespace

void read_pr1_detection(std::string_view text, const Vocabulary& vocabulary, ParsedCompletion& out) {
  out.clear();
  DetectionReader(clip_to_spans(text), vocabulary, out).read();
}

}  // namespace perception
