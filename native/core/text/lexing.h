// Small lexical helpers that the completion readers share. Positions are byte offsets.
#pragma once

#include <bit>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "core/text/utf8.h"

#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#define PERCEPTION_SSE2
#endif

namespace perception {

struct TextSpan {
  size_t begin = 0, end = 0;
};

inline constexpr std::string_view kBoxStart = "<|box_start|>";
inline constexpr std::string_view kBoxEnd = "<|box_end|>";
inline constexpr std::string_view kLabelStart = "<|object_ref_start|>";
inline constexpr std::string_view kLabelEnd = "<|object_ref_end|>";
inline constexpr std::string_view kEndOfText = "<|endoftext|>";
inline constexpr std::string_view kTurnEnd = "<|im_end|>";

// Spans are 32-bit. No JavaScript string is this long, so the cut is a safeguard only.
inline std::string_view clip_to_spans(std::string_view text) {
  return text.substr(0, std::numeric_limits<uint32_t>::max());
}

inline bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
inline bool is_digit(char c) { return c >= '0' && c <= '9'; }

inline bool has_at(std::string_view text, size_t position, std::string_view word) {
  return text.substr(position < text.size() ? position : text.size(), word.size()) == word;
}

inline size_t skip_space(std::string_view text, size_t position) {
  while (position < text.size() && is_space(text[position])) ++position;
  return position;
}

// JSON knows four kinds of white space. Runs of them are what answers with indented JSON mostly consist of.
inline const char* skip_json_space(const char* at, const char* end) {
#ifdef PERCEPTION_SSE2
  if (at == end || static_cast<unsigned char>(*at) > ' ') return at;
  while (end - at >= 16) {
    const __m128i text = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const auto equals = [text](char c) { return _mm_cmpeq_epi8(text, _mm_set1_epi8(c)); };
    const __m128i space =
        _mm_or_si128(_mm_or_si128(equals(' '), equals('\n')), _mm_or_si128(equals('\t'), equals('\r')));
    const auto others = ~static_cast<uint32_t>(_mm_movemask_epi8(space)) & 0xffff;
    if (others != 0) return at + std::countr_zero(others);
    at += 16;
  }
#endif
  while (at != end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r')) ++at;
  return at;
}

inline size_t skip_digits(std::string_view text, size_t position) {
  while (position < text.size() && is_digit(text[position])) ++position;
  return position;
}

inline std::string_view trim(std::string_view text) {
  size_t begin = skip_space(text, 0), end = text.size();
  while (end > begin && is_space(text[end - 1])) --end;
  return text.substr(begin, end - begin);
}

// The value of a decimal literal that was already lexed: digits with at most one point and one
// exponent, and perhaps a leading '-'. Infinite where it overflows, zero where it underflows.
inline double to_double(std::string_view literal) {
  double value = 0;
  const auto result = std::from_chars(literal.data(), literal.data() + literal.size(), value);
  if (result.ec != std::errc::result_out_of_range) return value;
  // from_chars does not say whether the value was too large or too small, so find the power of ten
  // of its first digit that is not zero.
  const bool negative = !literal.empty() && literal[0] == '-';
  const size_t exponent_at = literal.find_first_of("eE");
  const std::string_view digits = literal.substr(negative, exponent_at - negative);
  const size_t first = digits.find_first_of("123456789");
  if (first == std::string_view::npos) return 0;
  const size_t point = digits.find('.') < digits.size() ? digits.find('.') : digits.size();
  int64_t power = static_cast<int64_t>(point) - static_cast<int64_t>(first);
  if (exponent_at != std::string_view::npos) {
    size_t i = exponent_at + 1;
    const bool negative_exponent = i < literal.size() && literal[i] == '-';
    if (i < literal.size() && !is_digit(literal[i])) ++i;
    int64_t exponent = 0;
    for (; i < literal.size(); ++i) {
      if (exponent < int64_t{1} << 48) exponent = exponent * 10 + (literal[i] - '0');
    }
    power += negative_exponent ? -exponent : exponent;
  }
  if (power < 0) return 0;
  const double infinity = std::numeric_limits<double>::infinity();
  return negative ? -infinity : infinity;
}

inline constexpr bool kLittleEndian = std::endian::native == std::endian::little;

// The highest bit of each of eight bytes that is no digit.
inline uint64_t marks_of_others(uint64_t bytes) {
  const uint64_t digits = bytes ^ 0x3030303030303030;  // 0 to 9
  return ((digits + 0x7676767676767676) | digits) & 0x8080808080808080;
}

// The number whose `count` digits, 1 to 8, are the first of eight bytes; without a branch on how many there
// are.
inline int64_t value_of_digits(uint64_t bytes, int count) {
  uint64_t digits = (bytes ^ 0x3030303030303030) << (64 - 8 * count);
  digits = digits * 10 + (digits >> 8);  // pairs, then all four of them
  return static_cast<int64_t>(((digits & 0x000000ff000000ff) * 0x000f424000000064 +
                               (digits >> 16 & 0x000000ff000000ff) * 0x0000271000000001) >>
                              32);
}

// The digits at `at`, at most 15 of them, appended to `value`; returns the position after the last one that
// was taken.
inline const char* take_digits(const char* at, const char* end, int64_t& value) {
  const char* const last = end - at > 15 ? at + 15 : end;
  if constexpr (kLittleEndian) {
    // Up to eight at once: coordinates have one to four.
    static constexpr int64_t kPowers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
    if (end - at >= 8) {
      uint64_t bytes;
      std::memcpy(&bytes, at, 8);
      const uint64_t others = marks_of_others(bytes);
      const int count = others == 0 ? 8 : std::countr_zero(others) / 8;
      if (count == 0) return at;
      value = value * kPowers[count] + value_of_digits(bytes, count);
      at += count;
      if (count < 8) return at;
    }
  }
  for (; at != last && is_digit(*at); ++at) value = 10 * value + (*at - '0');
  return at;
}

// A JSON number of at most 15 digits without an exponent, exactly rounded since its digits and its power of
// ten are whole in a double. Returns the position after it, or null where it is anything else (longer, or no
// number). Where it has no fraction `integer` is set and -0 is 0, as integers have it.
inline const char* short_number(const char* at, const char* end, double& value, int64_t& whole,
                                bool& integer) {
  static constexpr double kPowers[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                       1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
  const bool negative = at != end && *at == '-';
  at += negative;
  const char* const first = at;
  int64_t digits = 0;
  at = take_digits(at, end, digits);
  auto count = at - first;
  if (count == 0 || (*first == '0' && count > 1)) return nullptr;
  integer = at == end || *at != '.';
  if (integer) {
    whole = negative ? -digits : digits;
    value = static_cast<double>(whole);
  } else {
    const char* const fraction = ++at;
    at = take_digits(at, end, digits);
    count += at - fraction;
    if (at == fraction || count > 15) return nullptr;
    const double size = static_cast<double>(digits) / kPowers[at - fraction];
    value = negative ? -size : size;
  }
  if (at != end && (is_digit(*at) || *at == 'e' || *at == 'E')) return nullptr;
  return at;
}

// The first quote, backslash, control character or backtick: where the plain part of a JSON string ends at
// the latest.
inline const char* plain_end(const char* at, const char* end) {
#ifdef PERCEPTION_SSE2
  for (; end - at >= 16; at += 16) {
    const __m128i text = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const auto equals = [text](char c) { return _mm_cmpeq_epi8(text, _mm_set1_epi8(c)); };
    const __m128i special = _mm_or_si128(_mm_or_si128(equals('"'), equals('\\')), equals('`'));
    // The least of a byte and 0x1f is the byte itself only where it is below 0x20, as unsigned numbers.
    const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(text, _mm_set1_epi8(0x1f)), text);
    const auto found = static_cast<uint32_t>(_mm_movemask_epi8(_mm_or_si128(special, control)));
    if (found != 0) return at + std::countr_zero(found);
  }
#endif
  while (at != end && *at != '"' && *at != '\\' && *at != '`' && static_cast<unsigned char>(*at) >= 0x20)
    ++at;
  return at;
}

// A number as models write it: optional signs, "5", "5.", ".5", "5e3", and the words NaN, Infinity,
// nan, inf. Returns the position after it, or `position` where there is none.
size_t lex_number(std::string_view text, size_t position, double& value);

// Four hexadecimal digits at `position`, or -1.
int32_t hex4(std::string_view text, size_t position);

// Appends the inside of a quoted string with its JSON escapes (and \') resolved. What is no valid
// escape is kept as written.
void append_unescaped(std::string_view inside, std::string& out);

struct AnswerPieces {
  bool wrapped = false;    // there was a <think> or <answer> tag
  bool truncated = false;  // the last such tag was never closed
};

// The parts of `text` that count as the answer, in order: without <think>...</think>, without what
// stands before a </think> that nobody opened (chat templates put <think> into the prompt), and only
// the inside of the first <answer> where there is one.
AnswerPieces answer_pieces(std::string_view text, std::vector<TextSpan>& pieces);

}  // namespace perception
