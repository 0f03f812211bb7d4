#include "core/json/json_reader.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "core/text/lexing.h"
#include "core/text/utf8.h"

namespace perception {
namespace {

constexpr size_t kPadding = 16;  // zero bytes behind the buffer's content: words are read beyond its end

bool is_json_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// Bytes of which numbers consist, those that are none included: "1x" is taken as a whole.
bool is_number_byte(char c) {
  return is_digit(c) || c == '-' || c == '+' || c == '.' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

uint64_t word_at(const char* p) {
  uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

// How many of the 8 bytes at `p` come before the first that is no digit.
size_t leading_digits(const char* p) {
  if constexpr (std::endian::native == std::endian::little) {
    const uint64_t word = word_at(p);
    // A digit is 0x3X, and stays so when 6 is added.
    const uint64_t other = ((word & 0xF0F0F0F0F0F0F0F0u) ^ 0x3030303030303030u) |
                           (((word + 0x0606060606060606u) & 0xF0F0F0F0F0F0F0F0u) ^ 0x3030303030303030u);
    return static_cast<size_t>(std::countr_zero(other)) / 8;
  } else {
    size_t count = 0;
    while (count < 8 && is_digit(p[count])) ++count;
    return count;
  }
}

// Whether one of 8 bytes is a quotation mark, a backslash or a control character.
bool has_string_end(uint64_t word) {
  constexpr uint64_t kOnes = 0x0101010101010101u, kHigh = 0x8080808080808080u;
  const auto zero_byte = [](uint64_t w) { return (w - kOnes) & ~w & kHigh; };
  return (zero_byte(word ^ kOnes * '"') | zero_byte(word ^ kOnes * '\\') |
          ((word - kOnes * 0x20) & ~word & kHigh)) != 0;
}

bool ends_plain(char c) { return c == '"' || c == '\\' || static_cast<uint8_t>(c) < 0x20; }

// The first byte from `p` on that is not simply part of a string; there is one.
const char* plain_end(const char* p) {
  while (!has_string_end(word_at(p))) p += 8;
  while (!ends_plain(*p)) ++p;
  return p;
}

bool valid_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    if (static_cast<uint8_t>(text[i]) < 0x80) {
      ++i;
      continue;
    }
    const size_t begin = i;
    const char32_t c = next_code_point(text, i);
    if ((c >= 0xD800 && c <= 0xDFFF) || (c == 0xFFFD && text.substr(begin, i - begin) != "\xEF\xBF\xBD"))
      return false;
  }
  return true;
}

constexpr double kPowersOfTen[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

// The number at `begin`, in memory that ends with a byte of no number, and what comes after it. nullptr where
// there is none.
const char* read_number(const char* begin, double& value) {
  const char* p = begin;
  const bool negative = *p == '-';
  p += negative;
  if (!is_digit(*p)) {
    const bool nan = !negative && std::strncmp(p, "NaN", 3) == 0;
    if (!nan && std::strncmp(p, "Infinity", 8) != 0) return nullptr;
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    value = nan ? std::numeric_limits<double>::quiet_NaN() : negative ? -kInfinity : kInfinity;
    return p + (nan ? 3 : 8);
  }
  uint64_t digits = 0;  // wraps around where there are too many
  const auto take_digits = [&] {
    const char* const first = p;
    for (; is_digit(*p); ++p) digits = digits * 10 + static_cast<uint64_t>(*p - '0');
    return static_cast<size_t>(p - first);
  };
  const char first = *p;
  size_t count = take_digits(), decimals = 0;
  if (first == '0' && count > 1) return nullptr;
  if (*p == '.') {
    ++p;
    decimals = take_digits();
    if (decimals == 0) return nullptr;
    count += decimals;
  }
  const bool scaled = *p == 'e' || *p == 'E';
  if (scaled) {
    ++p;
    if (*p == '+' || *p == '-') ++p;
    if (take_digits() == 0) return nullptr;
  }
  // Both exact as doubles: then their quotient is rounded once, and rightly.
  if (!scaled && count <= 19 && digits <= uint64_t{1} << 53) {
    value = static_cast<double>(digits) / kPowersOfTen[decimals];
    if (negative) value = -value;
  } else {
    value = to_double({begin, static_cast<size_t>(p - begin)});
  }
  return p;
}

std::string text_of(char c) {
  if (c >= 0x20 && c < 0x7F) return std::string("'") + c + "'";
  constexpr char kDigits[] = "0123456789abcdef";
  const auto byte = static_cast<uint8_t>(c);
  return std::string("byte 0x") + kDigits[byte >> 4] + kDigits[byte & 15];
}

}  // namespace

const char* json_kind_name(JsonKind kind) {
  switch (kind) {
    case JsonKind::kObject:
      return "an object";
    case JsonKind::kArray:
      return "a list";
    case JsonKind::kString:
      return "a string";
    case JsonKind::kNumber:
      return "a number";
    case JsonKind::kBoolean:
      return "a boolean";
    case JsonKind::kNull:
      return "null";
    case JsonKind::kNone:
      break;
  }
  return "nothing";
}

JsonReader::JsonReader(ByteSource& source, size_t buffer_bytes)
    : source_(source), buffer_(buffer_bytes + kPadding), p_(buffer_.data()), end_(p_) {
  if (peek() != 0xEF || position() != 0) return;
  take();
  if (take() != 0xBB || take() != 0xBF) fail("expected JSON in UTF-8, received byte 0xef at byte 0");
}

// --- Bytes. ---

// Once all of the buffer was read: false at the end of the text, and where it cannot be read.
bool JsonReader::refill() {
  if (exhausted_) return false;
  const size_t capacity = buffer_.size() - kPadding;
  size_t count = 0;
  buffer_begin_ += static_cast<uint64_t>(end_ - buffer_.data());
  if (Status status = source_.read({buffer_.data(), capacity}, count); !status.ok()) {
    status_ = std::move(status);
    count = 0;
  }
  exhausted_ = count < capacity;
  p_ = buffer_.data();
  end_ = p_ + count;
  std::memset(buffer_.data() + count, 0, kPadding);
  return count > 0;
}

// The next byte that is no white space, which is not taken; -1 at the end.
int JsonReader::peek() {
  for (;;) {
    while (is_json_space(*p_)) ++p_;
    if (p_ != end_) return static_cast<uint8_t>(*p_);
    if (!refill()) return -1;
  }
}

int JsonReader::take() { return p_ != end_ || refill() ? static_cast<uint8_t>(*p_++) : -1; }

// --- Errors. ---

bool JsonReader::fail(std::string message) {
  if (status_.ok()) status_ = {Code::kInvalidInput, std::move(message)};
  // Nothing is read any more, whatever is called.
  exhausted_ = true;
  p_ = end_ = buffer_.data() + buffer_.size() - kPadding;
  std::memset(buffer_.data() + buffer_.size() - kPadding, 0, kPadding);
  return false;
}

bool JsonReader::truncated(const char* what) {
  return fail("it ends at byte " + std::to_string(position()) + ", in the middle of " + what +
              ": it is not complete");
}

// `expected` was, and the byte at p_ came instead.
bool JsonReader::unexpected(const std::string& expected) {
  if (p_ == end_ && !refill()) {
    if (depth_ > 0) return truncated(json_kind_name(in_array() ? JsonKind::kArray : JsonKind::kObject));
    return fail("expected " + expected + ", received nothing" +
                (position() == 0 ? ": it is empty" : " but white space"));
  }
  if (position() == 0 && *p_ == '\x1F' && p_[1] == '\x8B')
    return fail("expected JSON, received data packed by gzip: unpack it first");
  return fail("expected " + expected + ", received " + text_of(*p_) + " at byte " +
              std::to_string(position()));
}

// --- Values. ---

JsonKind JsonReader::kind() {
  switch (peek()) {
    case '{':
      return JsonKind::kObject;
    case '[':
      return JsonKind::kArray;
    case '"':
      return JsonKind::kString;
    case 't':
    case 'f':
      return JsonKind::kBoolean;
    case 'n':
      return JsonKind::kNull;
    case '-':
    case 'N':
    case 'I':
      return JsonKind::kNumber;
    default:
      if (is_digit(*p_)) return JsonKind::kNumber;
      unexpected("a JSON value");
      return JsonKind::kNone;
  }
}

bool JsonReader::enter(char open, bool array) {
  if (peek() != open) return unexpected(array ? "a list" : "an object");
  if (depth_ == kJsonDepth)
    return fail("expected lists and objects at most " + std::to_string(kJsonDepth) +
                " deep, received deeper ones at byte " + std::to_string(position()));
  ++p_;
  const uint64_t bit = uint64_t{1} << (depth_ % 64);
  uint64_t& bits = arrays_[depth_ / 64];
  bits = array ? bits | bit : bits & ~bit;
  ++depth_;
  fresh_ = true;
  return true;
}

void JsonReader::leave() {
  ++p_;
  --depth_;
  fresh_ = false;
}

bool JsonReader::begin_object() { return enter('{', false); }

bool JsonReader::begin_array() { return enter('[', true); }

bool JsonReader::next_element() {
  const int c = peek();
  if (c == ']') {
    leave();
    return false;
  }
  if (fresh_) {
    fresh_ = false;
    return c >= 0 || unexpected("a JSON value");
  }
  if (c != ',') return unexpected("',' or ']'");
  ++p_;
  return true;
}

bool JsonReader::member(std::string_view* name) {
  int c = peek();
  if (c == '}') {
    leave();
    return false;
  }
  if (!fresh_) {
    if (c != ',') return unexpected("',' or '}'");
    ++p_;
    c = peek();
  }
  if (c != '"') return unexpected(fresh_ ? "a member's name or '}'" : "a member's name");
  fresh_ = false;
  if (!string_token(name)) return false;
  if (*p_ != ':') {
    // To look further may refill the buffer, in which the name may lie.
    if (name && name->data() != scratch_.data() && name->data() != unescaped_.data())
      *name = scratch_.assign(*name);
    if (peek() != ':') return unexpected("':'");
  }
  ++p_;
  return true;
}

bool JsonReader::string(std::string_view& value) {
  if (peek() != '"') return unexpected("a string");
  return string_token(&value);
}

// What follows a backslash; kept as it is written.
bool JsonReader::escape(bool keep) {
  int c = take();
  if (c < 0) return truncated("a string");
  const auto refuse = [&] {
    --p_;
    return unexpected("a JSON escape such as \\n or \\u00e9");
  };
  if (c == 0 || !std::strchr("\"\\/bfnrtu", c)) return refuse();
  if (keep) scratch_.push_back(static_cast<char>(c));
  if (c != 'u') return true;
  for (int i = 0; i < 4; ++i) {
    c = take();
    if (c < 0) return truncated("a string");
    if (!is_digit(static_cast<char>(c)) && !((c | 0x20) >= 'a' && (c | 0x20) <= 'f')) return refuse();
    if (keep) scratch_.push_back(static_cast<char>(c));
  }
  return true;
}

// `value` is null where it is not wanted.
bool JsonReader::string_token(std::string_view* value) {
  const uint64_t begin = position();
  ++p_;
  scratch_.clear();
  bool whole = true, escaped = false;  // `whole`: it lies in the buffer
  for (;;) {
    const char* const first = p_;
    p_ = plain_end(p_);
    const std::string_view piece(first, static_cast<size_t>(p_ - first));
    if (value && scratch_.size() + piece.size() > kJsonStringBytes)
      return fail("expected a string of at most " + std::to_string(kJsonStringBytes) +
                  " bytes, received a longer one at byte " + std::to_string(begin));
    if (value) *value = piece;
    if (*p_ == '"' && p_ != end_) {
      if (value && !whole) *value = scratch_.append(piece);
      ++p_;
      break;
    }
    if (value) scratch_.append(piece);
    whole = false;
    if (p_ == end_) {
      if (!refill()) return truncated("a string");
    } else if (*p_ == '\\') {
      escaped = true;
      ++p_;
      if (value) scratch_.push_back('\\');
      if (!escape(value != nullptr)) return false;
    } else {
      return unexpected("a string without control characters");
    }
  }
  if (!value) return true;
  if (!valid_utf8(*value))
    return fail("expected a string in UTF-8, received other bytes in the one at byte " +
                std::to_string(begin));
  if (escaped) {
    unescaped_.clear();
    append_unescaped(scratch_, unescaped_);
    *value = unescaped_;
  }
  return true;
}

bool JsonReader::number(double& value) {
  if (peek() < 0) return unexpected("a number");
  const char* const stop = read_number(p_, value);
  // One that the buffer's end cuts, and one that is none, are looked at again as a whole.
  if (!stop || is_number_byte(*stop) || stop >= end_) return number_across(value);
  p_ = stop;
  return true;
}

bool JsonReader::number_across(double& value) {
  if (!is_digit(*p_) && *p_ != '-' && *p_ != 'N' && *p_ != 'I') return unexpected("a number");
  const uint64_t begin = position();
  scratch_.clear();
  do {
    const char* const first = p_;
    while (is_number_byte(*p_)) ++p_;
    scratch_.append(first, p_);
    if (scratch_.size() > kJsonNumberCharacters)
      return fail("expected a number of at most " + std::to_string(kJsonNumberCharacters) +
                  " characters, received a longer one at byte " + std::to_string(begin));
  } while (p_ == end_ && refill());
  if (!status_.ok()) return false;
  const char* const stop = read_number(scratch_.c_str(), value);
  if (stop == scratch_.data() + scratch_.size()) return true;
  if (p_ == end_ && depth_ > 0) return truncated("a number");
  return fail("expected a number, received " + scratch_.substr(0, 40) + " at byte " + std::to_string(begin));
}

bool JsonReader::word(const char* letters) {
  for (const char* expected = letters; *expected; ++expected) {
    const int c = take();
    if (c == *expected) continue;
    if (c < 0) return truncated("a word");
    --p_;
    return unexpected(letters);
  }
  return true;
}

bool JsonReader::boolean(bool& value) {
  const int c = peek();
  if (c != 't' && c != 'f') return unexpected("true or false");
  value = c == 't';
  return word(value ? "true" : "false");
}

bool JsonReader::end() {
  if (!status_.ok()) return false;
  return peek() < 0 ? status_.ok() : unexpected("the end of the text");
}

// --- What is not wanted. ---

// Where a value is expected in a list: goes on to a later one of the list, past numbers of the simplest form.
// Stops at whatever it does not know.
void JsonReader::skip_plain_numbers() {
  const char* p = p_;
  for (;;) {  // up to the zero byte at the latest
    const char* q = p + (*p == '-');
    const size_t whole = leading_digits(q);
    if (whole == 0 || (*q == '0' && whole > 1)) break;
    q += whole;
    if (*q == '.') {
      const size_t decimals = leading_digits(++q);
      if (decimals == 0) break;
      q += decimals;
    }
    if (*q != ',') break;  // also a digit: it has more than 8
    ++q;
    while (is_json_space(*q)) ++q;
    p = q;
  }
  p_ = p;
}

bool JsonReader::skip() {
  const size_t base = depth_;
  for (;;) {
    bool ignored_boolean;
    double ignored_number;
    bool read = true;
    switch (kind()) {
      case JsonKind::kObject:
        read = begin_object();
        break;
      case JsonKind::kArray:
        read = begin_array();
        break;
      case JsonKind::kString:
        read = string_token(nullptr);
        break;
      case JsonKind::kNumber:
        if (depth_ > base && in_array()) skip_plain_numbers();
        if (kind() != JsonKind::kNumber) continue;
        read = number(ignored_number);
        break;
      case JsonKind::kBoolean:
        read = boolean(ignored_boolean);
        break;
      case JsonKind::kNull:
        read = word("null");
        break;
      case JsonKind::kNone:
        return false;
    }
    if (!read) return false;
    // On to the next value, out of what ends here.
    for (;;) {
      if (depth_ == base) return true;
      if (in_array() ? next_element() : member(nullptr)) break;
      if (!status_.ok()) return false;
    }
  }
}

}  // namespace perception
