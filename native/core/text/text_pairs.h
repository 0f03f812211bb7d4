// Pairs of strings as numbers of symbols, by which an edit distance is computed elsewhere (on a GPU).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/ragged.h"
#include "core/base/status.h"
#include "core/base/thread_pool.h"
#include "core/text/edit_distance.h"
#include "core/text/utf8.h"

namespace perception {

// Of each pair the shorter string is the pattern, the other the text; what both begin and end with is left
// out, which does not change their distance. Symbols are code points, numbered from 1 by their first
// appearance in the pattern; 0 is a code point that the pattern does not have. Ragged: pair i is
// pattern_ids[pattern_offsets[i]..], text_ids[text_offsets[i]..].
struct NumberedPairs {
  std::vector<int32_t> pattern_ids, text_ids;
  std::vector<int32_t> pattern_offsets = {0}, text_offsets = {0};
  int64_t longest_pattern = 0, longest_text = 0, most_symbols = 0;
};

namespace text_pairs {

// Calls body(pattern, text) for one pair.
template <class Body>
void reduced(std::string_view a, std::string_view b, const Body& body) {
  thread_local std::u32string text_a, text_b;
  text_a.clear();
  text_b.clear();
  decode_utf8(a, text_a);
  decode_utf8(b, text_b);
  std::u32string_view pattern = text_a, text = text_b;
  reduce_pair(pattern, text);
  body(pattern, text);
}

// Makes offsets of sizes: `offsets` is 0, and then those. Tells the greatest.
inline Status add_up(std::vector<int32_t>& offsets, int64_t& longest) {
  int64_t total = 0;
  for (size_t i = 1; i < offsets.size(); ++i) {
    longest = std::max<int64_t>(longest, offsets[i]);
    total += offsets[i];
    if (total > std::numeric_limits<int32_t>::max())
      return {Code::kTooLarge, "strings: expected at most " +
                                   std::to_string(std::numeric_limits<int32_t>::max()) +
                                   " code points in the longer ones of all pairs, received more"};
    offsets[i] = static_cast<int32_t>(total);
  }
  return {};
}

}  // namespace text_pairs

// Parallel over the batch. `result` may have been used before, and keeps its memory.
inline Status number_pairs(const PackedStrings& a, const PackedStrings& b, NumberedPairs& result) {
  PERCEPTION_RETURN_IF_ERROR(check_string_pairs(a, b));
  const auto count = static_cast<int64_t>(a.size());
  result.pattern_offsets.assign(a.size() + 1, 0);
  result.text_offsets.assign(a.size() + 1, 0);
  result.longest_pattern = result.longest_text = result.most_symbols = 0;

  // Chunks of some tens of microseconds. Strings are decoded twice, which takes less than memory for what
  // would have to be kept between.
  constexpr int64_t kBytesPerChunk = 1 << 14;
  const int64_t bytes_of_pair =
      static_cast<int64_t>(a.bytes.size() + b.bytes.size()) / std::max<int64_t>(count, 1) + 1;
  const int64_t grain = std::clamp<int64_t>(kBytesPerChunk / bytes_of_pair, 1, 1024);
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    for (auto pair = static_cast<size_t>(begin); pair < static_cast<size_t>(end); ++pair) {
      text_pairs::reduced(a[pair], b[pair], [&](std::u32string_view pattern, std::u32string_view text) {
        result.pattern_offsets[pair + 1] = static_cast<int32_t>(pattern.size());
        result.text_offsets[pair + 1] = static_cast<int32_t>(text.size());
      });
    }
  });
  PERCEPTION_RETURN_IF_ERROR(text_pairs::add_up(result.pattern_offsets, result.longest_pattern));
  PERCEPTION_RETURN_IF_ERROR(text_pairs::add_up(result.text_offsets, result.longest_text));

  result.pattern_ids.resize(static_cast<size_t>(result.pattern_offsets.back()));
  result.text_ids.resize(static_cast<size_t>(result.text_offsets.back()));
  std::vector<uint32_t> most_symbols(static_cast<size_t>((count + grain - 1) / grain));  // by chunk
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    thread_local PatternAlphabet alphabet;
    uint32_t& most = most_symbols[static_cast<size_t>(begin / grain)];
    for (auto pair = static_cast<size_t>(begin); pair < static_cast<size_t>(end); ++pair) {
      text_pairs::reduced(a[pair], b[pair], [&](std::u32string_view pattern, std::u32string_view text) {
        const auto number_of = [](char32_t symbol) { return static_cast<int32_t>(alphabet[symbol]); };
        alphabet.number(pattern);
        std::transform(pattern.begin(), pattern.end(),
                       result.pattern_ids.begin() + result.pattern_offsets[pair], number_of);
        std::transform(text.begin(), text.end(), result.text_ids.begin() + result.text_offsets[pair],
                       number_of);
        most = std::max(most, alphabet.size());
        alphabet.clear(pattern);
      });
    }
  });
  for (const uint32_t most : most_symbols) result.most_symbols = std::max<int64_t>(result.most_symbols, most);
  return {};
}

}  // namespace perception
