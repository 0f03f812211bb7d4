// Small lexical helpers that the completion readers share. Positions are byte offsets.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "core/text/utf8.h"

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
