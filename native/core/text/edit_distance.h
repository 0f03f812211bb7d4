// Levenshtein distance (unit costs) over Unicode code points: Myers' bit-parallel algorithm (1999)
// in Hyyro's block form (2003), O(ceil(m / 64) * n).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/ragged.h"
#include "core/base/status.h"

namespace perception {

// Numbers the characters of a pattern from 1, by first appearance; all others are 0. By pages that are made
// when first used: unlike a hash table it has no bad inputs. Values above U+10FFFF are no code points: safe,
// but taken for others.
class PatternAlphabet {
 public:
  // All memory that numbering the pattern takes, before any state changes: running out of it leaves the
  // object usable.
  void reserve(std::u32string_view pattern);
  // Numbers one character more.
  uint32_t add(char32_t code_point) {
    uint32_t& number = numbers_[place_of(code_point)];
    if (number == 0) number = ++size_;
    return number;
  }
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

// Holds scratch memory between calls; one per thread. Memory is linear in the longest strings seen,
// whatever their alphabet. Values above U+10FFFF are no code points: safe, but the result is
// unspecified.
class EditDistance {
 public:
  int64_t operator()(std::u32string_view a, std::u32string_view b);

 private:
  void allocate(std::u32string_view pattern, size_t text_size);
  int64_t one_word(std::u32string_view pattern, std::u32string_view text);
  int64_t blocks(std::u32string_view pattern, std::u32string_view text);
  template <int kBlocks>
  int64_t strip(size_t begin, size_t end, size_t text_size);

  PatternAlphabet alphabet_;  // empty between calls
  std::vector<uint32_t> pattern_ids_, text_ids_;
  std::vector<uint64_t> masks_;   // [id][block of the strip]: match masks; all zero between strips
  std::vector<uint8_t> carries_;  // per text position: horizontal +1 (bit 0) or -1 (bit 1)
};

// Checks that `a` and `b` are whole, and as many.
Status check_string_pairs(const PackedStrings& a, const PackedStrings& b);

// Number of insertions, deletions and substitutions between a[i] and b[i], in code points. Parallel
// over the batch.
Status edit_distance_batch(const PackedStrings& a, const PackedStrings& b, std::span<int32_t> distances);

}  // namespace perception
