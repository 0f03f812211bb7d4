// Reads what nearly every item of an answer is, {"bbox_2d": [a, b, c, d], "label": "..."} with short numbers
// and no escapes; all else is left to the readers. Items of one answer are mostly laid out alike, so what
// stands between numbers and label is compared with the item before, many bytes at a time, rather than read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "core/text/lexing.h"

namespace perception {

struct UsualItem {
  const char *begin, *end;
  double values[4];
  bool any_integer, any_fraction;
  std::string_view label;  // as written, without a backtick
};

class UsualItems {
 public:
  // The object that stands at `at`. False where it is not a usual one.
  bool read(const char* at, const char* end, UsualItem& item) {
    const char* const begin = at;
    layout_ = {};
    item.begin = begin;
    bool has_box = false, has_label = false;
    const auto take = [&](char c) {
      at = skip_json_space(at, end);
      if (at == end || *at != c) return false;
      ++at;
      return true;
    };
    size_t pieces = 0;
    const char* piece = begin;
    const auto piece_until = [&](const char* value) {
      layout_.pieces[pieces++] = {piece, static_cast<size_t>(value - piece)};
    };
    if (!take('{')) return false;
    do {
      if (!take('"')) return false;
      if (!has_box && starts_with(at, end, "bbox_2d\"")) {
        at += 8;
        if (!take(':') || !take('[')) return false;
        item.any_integer = item.any_fraction = false;
        for (int i = 0; i < 4; ++i) {
          if (i > 0 && !take(',')) return false;
          at = skip_json_space(at, end);
          piece_until(at);
          at = read_number(at, end, i, item);
          if (at == nullptr) return false;
          piece = at;
        }
        if (!take(']')) return false;
        has_box = true;
      } else if (!has_label && starts_with(at, end, "label\"")) {
        at += 6;
        if (!take(':') || !take('"')) return false;
        layout_.label_first = !has_box;
        piece_until(at);
        piece = plain_end(at, end);
        if (piece == end || *piece != '"') return false;
        item.label = {at, static_cast<size_t>(piece - at)};
        at = piece + 1;
        has_label = true;
      } else {
        return false;
      }
    } while (take(','));
    if (!take('}') || !has_box || !has_label) return false;
    piece_until(at);
    layout_.known = true;
    item.end = end_of_last_ = at;
    return true;
  }

  // The object that follows the last one that was read, after a comma. False where the two are not laid out
  // alike.
  bool read_next(const char* end, UsualItem& item) {
    if (!layout_.known) return false;
    Piece* const pieces = layout_.pieces;
    const char* at = end_of_last_;
    if (layout_.separator == 0) {  // it is seen for the first time
      at = skip_json_space(at, end);
      if (at == end || *at != ',') return false;
      at = skip_json_space(at + 1, end);
      const auto separator = static_cast<size_t>(at - end_of_last_);
      if (!skip(at, end, pieces[0])) return false;
      layout_.separator = separator;
      pieces[0] = {end_of_last_, static_cast<size_t>(at - end_of_last_)};
    } else if (!skip(at, end, pieces[0])) {
      return false;
    }
    if (layout_.label_first) {
      if (!next_label(at, end, item) || !skip(at, end, pieces[1]) || !next_numbers(at, end, pieces + 2, item))
        return false;
    } else {
      if (!next_numbers(at, end, pieces + 1, item) || !skip(at, end, pieces[4]) || !next_label(at, end, item))
        return false;
    }
    if (!skip(at, end, pieces[5])) return false;
    item.begin = end_of_last_ + layout_.separator;
    item.end = end_of_last_ = at;
    return true;
  }

 private:
  struct Piece {
    const char* text;
    size_t size;
  };

  struct Layout {
    bool known = false, label_first = false;
    size_t separator = 0;  // what stands between two items; 0 while only one of them is known
    // Between two values. The first begins with the separator.
    Piece pieces[6] = {};
  };

  static bool starts_with(const char* at, const char* end, std::string_view word) {
    return static_cast<size_t>(end - at) >= word.size() && std::string_view(at, word.size()) == word;
  }

  // Moves `at` behind the same bytes as in `piece`, of which there is at least one.
  static bool skip(const char*& at, const char* end, const Piece& piece) {
    const char* const text = piece.text;
    const size_t size = piece.size, left = static_cast<size_t>(end - at);
#ifdef PERCEPTION_SSE2
    if (left >=
        ((size + 15) & ~size_t{15})) {  // then so much may also be read from the piece, which stands before
      size_t done = 0;
      for (;; done += 16) {
        const __m128i here = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + done));
        const __m128i there = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + done));
        const auto differ = ~static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(here, there))) & 0xffff;
        if (size - done <= 16) {
          if ((differ << (16 - (size - done)) & 0xffff) != 0) return false;
          at += size;
          return true;
        }
        if (differ != 0) return false;
      }
    }
#endif
    if (left < size || std::memcmp(at, text, size) != 0) return false;
    at += size;
    return true;
  }

  static const char* read_number(const char* at, const char* end, int i, UsualItem& item) {
    int64_t whole;
    bool integer;
    const char* const after = short_number(at, end, item.values[i], whole, integer);
    if (after == nullptr || (integer && whole == 0 && *at == '-')) return nullptr;  // readers differ about -0
    (integer ? item.any_integer : item.any_fraction) = true;
    return after;
  }

  // As read_number, but of what follows only a fraction is looked at: it is compared with a piece next.
  static const char* next_number(const char* at, const char* end, int i, UsualItem& item) {
    if (kLittleEndian && end - at > 8) {
      uint64_t bytes;
      std::memcpy(&bytes, at, 8);
      const int count = std::countr_zero(marks_of_others(bytes)) / 8;
      if (count > 0 && count < 8 && (*at != '0' || count == 1) && at[count] != '.') {
        item.values[i] = static_cast<double>(value_of_digits(bytes, count));
        item.any_integer = true;
        return at + count;
      }
    }
    return read_number(at, end, i, item);
  }

  static bool next_numbers(const char*& at, const char* end, const Piece* between, UsualItem& item) {
    item.any_integer = item.any_fraction = false;
    for (int i = 0; i < 4; ++i) {
      if (i > 0 && !skip(at, end, between[i - 1])) return false;
      at = next_number(at, end, i, item);
      if (at == nullptr) return false;
    }
    return true;
  }

  static bool next_label(const char*& at, const char* end, UsualItem& item) {
    const char* const begin = at;
    at = plain_end(at, end);
    item.label = {begin, static_cast<size_t>(at - begin)};
    return true;  // what follows the label begins with a quote
  }

  Layout layout_;
  const char* end_of_last_ = nullptr;
};

}  // namespace perception
