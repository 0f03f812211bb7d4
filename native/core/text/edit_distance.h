// Levenshtein distance (unit costs) over Unicode code points.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/isa.h"
#include "core/base/ragged.h"
#include "core/base/status.h"
#include "core/text/group_distance.h"
#include "core/text/wavefront_distance.h"

namespace perception {

// Numbers the characters of a pattern from 1, by first appearance; all others are 0. By pages that are made
// when first used: unlike a hash table it has no bad inputs. Values above U+10FFFF are no code points: safe,
// but taken for others.
class PatternAlphabet {
 public:
  // Of an empty alphabet. Running out of memory leaves it empty.
  void number(std::u32string_view pattern);
  uint32_t operator[](char32_t code_point) const { return numbers_[place_of(code_point)]; }
  uint32_t size() const { return size_; }
  // Forgets the pattern. Pages stay.
  void clear(std::u32string_view pattern);

 private:
  static constexpr size_t kPageSize = 256;
  static constexpr size_t kPages = 0x110000 / kPageSize;

  static size_t page_of(char32_t code_point) { return std::min<size_t>(code_point / kPageSize, kPages - 1); }
  size_t place_of(char32_t code_point) const {
    return page_start_[page_of(code_point)] + code_point % kPageSize;
  }

  uint32_t size_ = 0;
  std::vector<uint32_t> page_start_ = std::vector<uint32_t>(kPages);  // 0: the page of no one
  std::vector<uint32_t> numbers_ = std::vector<uint32_t>(kPageSize);
};

// Swaps the two where `text` is the shorter, and takes what they have in common from both ends.
void reduce_pair(std::u32string_view& pattern, std::u32string_view& text);

// Two strings of UTF-8.
struct TextPair {
  std::string_view a, b;
};

struct TextDistance {
  int64_t distance;
  int64_t longest;  // code points of the longer string
};

// Holds scratch memory between calls; one per thread. Memory is linear in the longest strings seen,
// whatever their alphabet. Values above U+10FFFF are no code points: safe, but the result is
// unspecified.
class EditDistance {
 public:
  explicit EditDistance(Isa set = isa());

  int64_t operator()(std::u32string_view a, std::u32string_view b);
  // Of many pairs at once, which is faster for short ones.
  void operator()(std::span<const TextPair> pairs, std::span<TextDistance> results);

 private:
  // So long a pattern is done faster by plain words if it is alone.
  static constexpr size_t kMostWords = 2;

  template <int kWords, class View, class Number>
  int64_t by_words(View pattern, View text, const Number& number);
  template <class View, class Number>
  void solve(View pattern, View text, size_t symbols, const Number& number, bool alone, int64_t* distance);
  void solve(std::string_view pattern, std::string_view text, bool alone, int64_t* distance);
  void solve(std::u32string_view pattern, std::u32string_view text, bool alone, int64_t* distance);

  PatternAlphabet alphabet_;  // empty between calls
  GroupDistance group_;
  WavefrontDistance wavefront_;
  std::u32string text_a_, text_b_;
  std::vector<uint64_t> masks_;  // by symbol and word; all zero between calls
};

// Checks that `a` and `b` are whole, and as many.
Status check_string_pairs(const PackedStrings& a, const PackedStrings& b);

// Number of insertions, deletions and substitutions between a[i] and b[i], in code points. Parallel
// over the batch.
Status edit_distance_batch(const PackedStrings& a, const PackedStrings& b, std::span<int32_t> distances);

}  // namespace perception
