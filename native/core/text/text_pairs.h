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

// Some pairs in a row.
struct Chunk {
  std::vector<int32_t> pattern_ids, text_ids;
  uint32_t most_symbols = 0;
};

// Pairs [begin, end). The sizes of pair i go to pattern_sizes[i] and text_sizes[i].
inline Chunk number(const PackedStrings& a, const PackedStrings& b, size_t begin, size_t end,
                    int32_t* pattern_sizes, int32_t* text_sizes) {
  // A string has no more code points than bytes.
  size_t most_pattern_ids = 0, most_text_ids = 0;
  for (size_t pair = begin; pair < end; ++pair) {
    most_pattern_ids += std::min(a[pair].size(), b[pair].size());
    most_text_ids += std::max(a[pair].size(), b[pair].size());
  }
  Chunk chunk;
  chunk.pattern_ids.reserve(most_pattern_ids);
  chunk.text_ids.reserve(most_text_ids);

  thread_local PatternAlphabet alphabet;
  thread_local std::u32string text_a, text_b;
  for (size_t pair = begin; pair < end; ++pair) {
    text_a.clear();
    text_b.clear();
    decode_utf8(a[pair], text_a);
    decode_utf8(b[pair], text_b);
    std::u32string_view pattern = text_a, text = text_b;
    reduce_pair(pattern, text);
    alphabet.reserve(pattern);
    for (const char32_t symbol : pattern)
      chunk.pattern_ids.push_back(static_cast<int32_t>(alphabet.add(symbol)));
    for (const char32_t symbol : text) chunk.text_ids.push_back(static_cast<int32_t>(alphabet[symbol]));
    chunk.most_symbols = std::max(chunk.most_symbols, alphabet.size());
    alphabet.clear(pattern);
    pattern_sizes[pair] = static_cast<int32_t>(pattern.size());
    text_sizes[pair] = static_cast<int32_t>(text.size());
  }
  return chunk;
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

// Parallel over the batch.
inline Status number_pairs(const PackedStrings& a, const PackedStrings& b, NumberedPairs& result) {
  PERCEPTION_RETURN_IF_ERROR(check_string_pairs(a, b));
  const auto count = static_cast<int64_t>(a.size());
  result = {};
  result.pattern_offsets.resize(a.size() + 1);
  result.text_offsets.resize(a.size() + 1);
  if (count == 0) return {};

  // Chunks of some tens of microseconds.
  constexpr int64_t kBytesPerChunk = 1 << 14;
  const int64_t bytes_of_pair = static_cast<int64_t>(a.bytes.size() + b.bytes.size()) / count + 1;
  const int64_t grain = std::clamp<int64_t>(kBytesPerChunk / bytes_of_pair, 1, 1024);
  std::vector<text_pairs::Chunk> chunks(static_cast<size_t>((count + grain - 1) / grain));
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    chunks[static_cast<size_t>(begin / grain)] =
        text_pairs::number(a, b, static_cast<size_t>(begin), static_cast<size_t>(end),
                           result.pattern_offsets.data() + 1, result.text_offsets.data() + 1);
  });

  PERCEPTION_RETURN_IF_ERROR(text_pairs::add_up(result.pattern_offsets, result.longest_pattern));
  PERCEPTION_RETURN_IF_ERROR(text_pairs::add_up(result.text_offsets, result.longest_text));
  result.pattern_ids.resize(static_cast<size_t>(result.pattern_offsets.back()));
  result.text_ids.resize(static_cast<size_t>(result.text_offsets.back()));
  parallel_for(count, grain, [&](int64_t begin, int64_t) {
    const text_pairs::Chunk& chunk = chunks[static_cast<size_t>(begin / grain)];
    const auto first = static_cast<size_t>(begin);
    std::copy(chunk.pattern_ids.begin(), chunk.pattern_ids.end(),
              result.pattern_ids.begin() + result.pattern_offsets[first]);
    std::copy(chunk.text_ids.begin(), chunk.text_ids.end(),
              result.text_ids.begin() + result.text_offsets[first]);
  });
  for (const text_pairs::Chunk& chunk : chunks)
    result.most_symbols = std::max<int64_t>(result.most_symbols, chunk.most_symbols);
  return {};
}

}  // namespace perception
