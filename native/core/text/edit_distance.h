// Levenshtein distance (unit costs) over Unicode code points: Myers' bit-parallel algorithm (1999)
// in Hyyro's block form (2003), O(ceil(m / 64) * n).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/ragged.h"
#include "core/base/status.h"

namespace perception {

// Holds scratch memory between calls; one per thread. Memory is linear in the longest strings seen,
// whatever their alphabet. Values above U+10FFFF are no code points: safe, but the result is
// unspecified.
class EditDistance {
 public:
  int64_t operator()(std::u32string_view a, std::u32string_view b);

 private:
  void allocate(std::u32string_view pattern, size_t text_size);
  void number_pattern(std::u32string_view pattern);
  uint32_t& id_of(char32_t code_point);
  int64_t one_word(std::u32string_view pattern, std::u32string_view text);
  int64_t blocks(std::u32string_view pattern, std::u32string_view text);
  template <int kBlocks>
  int64_t strip(size_t begin, size_t end, size_t text_size);

  static constexpr size_t kPageSize = 256;
  static constexpr size_t kPages = 0x110000 / kPageSize;

  // Code point -> its number in the pattern's alphabet (from 1; 0 = not in the pattern), by pages
  // that are made when first used. Unlike a hash table it has no bad inputs. All zero between
  // calls.
  std::vector<uint32_t> page_start_ = std::vector<uint32_t>(kPages);  // 0: the page of no one
  std::vector<uint32_t> ids_ = std::vector<uint32_t>(kPageSize);

  std::vector<uint32_t> pattern_ids_, text_ids_;
  std::vector<uint64_t> masks_;   // [id][block of the strip]: match masks; all zero between strips
  std::vector<uint8_t> carries_;  // per text position: horizontal +1 (bit 0) or -1 (bit 1)
};

// Number of insertions, deletions and substitutions between a[i] and b[i], in code points. Parallel
// over the batch.
Status edit_distance_batch(const PackedStrings& a, const PackedStrings& b, std::span<int32_t> distances);

}  // namespace perception
