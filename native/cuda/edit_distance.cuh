// Edit distance of a pair of texts by a warp, in the bit-parallel form of core/text: 64 rows of the distance
// matrix are a word, and the words of a column are a wavefront. In step s word w is at text position s - 1 -
// w; what it finds at its last row is handed on to the word below, which needs it in the next step.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/text/bit_parallel.h"
#include "cuda/lanes.h"
#include "cuda/plugin.h"

namespace perception::cuda {

constexpr int kRowsPerWord = 64;

PERCEPTION_PORTABLE constexpr int32_t words_of(int32_t rows) {
  return rows / kRowsPerWord + (rows % kRowsPerWord != 0);
}

// A lane takes kWords words, all of them a step of the wavefront apart. Longer patterns are done in strips of
// kWords words by as many lanes as there are. A problem is every `groups`-th pair, from the problem's number
// on.
template <int kWords>
struct EditDistances {
  TextPairs pairs;
  int32_t* distances;
  int64_t groups;
  // Lanes whose words are in the tables of match masks [symbols + 1][kWords][width]. The row of symbol 0
  // stays zero; lanes beyond read that alone.
  int32_t width;
  // Of each problem its table, unless that is in shared memory, and then the strips' borders.
  unsigned char* workspace;
  size_t workspace_bytes;
  bool table_in_shared;

  // Wide enough for the longest pattern; rounded so that lanes with different symbols read shared memory from
  // different banks, unless they are few.
  static constexpr int32_t width_for(int32_t longest_pattern, int lanes) {
    const int32_t used = std::min(lanes, (words_of(longest_pattern) + kWords - 1) / kWords);
    constexpr int kRound = 16 / kWords;
    return used <= 8 ? used : std::min(lanes, (used + kRound - 1) / kRound * kRound);
  }
  static constexpr size_t table_bytes(int64_t symbols, int32_t width) {
    return static_cast<size_t>((symbols + 1) * kWords * width) * sizeof(uint64_t);
  }
  // Two borders of strips: the one above is read while the one below is written.
  static constexpr size_t border_bytes(int32_t longest_pattern, int64_t longest_text, int lanes) {
    return words_of(longest_pattern) > lanes * kWords ? static_cast<size_t>(2 * longest_text) : 0;
  }

  template <class Lanes>
  PERCEPTION_DEVICE void operator()(Lanes& lanes, int64_t problem, unsigned char* shared) const {
    unsigned char* const own = workspace + static_cast<size_t>(problem) * workspace_bytes;
    const size_t bytes = table_bytes(pairs.most_symbols, width);
    auto* const table = reinterpret_cast<uint64_t*>(table_in_shared ? shared : own);
    uint8_t* const borders = table_in_shared ? own : own + bytes;
    lanes.each([&](auto lane) {
      for (size_t i = static_cast<size_t>(lane.index); i < bytes / sizeof(uint64_t); i += Lanes::kSize)
        table[i] = 0;
    });
    lanes.sync();
    for (int64_t pair = problem; pair < pairs.count; pair += groups) solve(lanes, pair, table, borders);
  }

 private:
  struct Pair {
    const int32_t* pattern;
    const int32_t* text;
    int32_t pattern_size, text_size;
  };

  // One word of the wavefront.
  struct Word {
    DistanceBlock block;
    uint64_t match;  // mask for the next step
    // For the word below: where in the table the row of the symbol after this word's is, in bytes, and the
    // difference at this word's last row to the column before, +1 (bit 0) or -1 (bit 1).
    uint32_t message;
    int32_t sum;  // of those differences

    // The next step, in which `above` is the message of the word above in the step before; next_match is the
    // mask of the symbol in it.
    PERCEPTION_DEVICE void step(uint32_t above, uint64_t next_match) {
      uint64_t plus = above & 1, minus = above >> 1 & 1;
      block.step(match, plus, minus);
      match = next_match;
      message = (above & ~3u) | static_cast<uint32_t>(plus | minus << 1);
      sum += static_cast<int32_t>(plus) - static_cast<int32_t>(minus);
    }
  };
  struct Words {
    Word word[kWords];
  };

  template <class Lanes>
  PERCEPTION_DEVICE void solve(Lanes& lanes, int64_t index, uint64_t* table, uint8_t* borders) const {
    const int32_t pattern_begin = pairs.pattern_offsets[index], text_begin = pairs.text_offsets[index];
    const Pair pair = {pairs.pattern_ids + pattern_begin, pairs.text_ids + text_begin,
                       pairs.pattern_offsets[index + 1] - pattern_begin,
                       pairs.text_offsets[index + 1] - text_begin};
    constexpr int32_t kStrip = Lanes::kSize * kWords;
    const int32_t words = words_of(pair.pattern_size);
    if (words == 0)
      lanes.each([&](auto lane) {
        if (lane.index == 0) distances[index] = pair.text_size;
      });
    for (int32_t first = 0; first < words; first += kStrip) {
      const int turn = first / kStrip % 2;
      const uint8_t* const above = first > 0 ? borders + (1 - turn) * pair.text_size : nullptr;
      uint8_t* const below = words - first > kStrip ? borders + turn * pair.text_size : nullptr;
      set_masks(lanes, pair, first, table, true);
      const int32_t used = std::min(kStrip, words - first);
      sweep(lanes, pair, first, used, table, above, below, distances + index);
      set_masks(lanes, pair, first, table, false);
      lanes.sync();  // the border below is read next, the one above written
    }
  }

  // Rows above the pattern's first that fill up the first word. They match nothing: row 0 shows through.
  static PERCEPTION_DEVICE int32_t padding(const Pair& pair) {
    return words_of(pair.pattern_size) * kRowsPerWord - pair.pattern_size;
  }

  // Puts a strip's masks into the table, or takes them out: it is all zero in between. Every lane cares for
  // its own words.
  template <class Lanes>
  PERCEPTION_DEVICE void set_masks(Lanes& lanes, const Pair& pair, int32_t first, uint64_t* table,
                                   bool to_pattern) const {
    lanes.each([&](auto lane) {
      for (int i = 0; i < kWords; ++i) {
        const int32_t row = (first + lane.index * kWords + i) * kRowsPerWord - padding(pair);
        const int32_t end = std::min(row + kRowsPerWord, pair.pattern_size);
        uint64_t* const column = table + i * width + lane.index;
        for (int32_t at = std::max(row, 0); at < end; ++at) {
          uint64_t& mask = column[int64_t{pair.pattern[at]} * kWords * width];
          mask = to_pattern ? mask | uint64_t{1} << (at - row) : 0;
        }
      }
    });
  }

  // Words [first, first + words) against the whole text. `above` and `below` have the differences at the last
  // row of the strips there, by text position; above is null for the first strip, below for the last, whose
  // sum tells the distance.
  template <class Lanes>
  PERCEPTION_DEVICE void sweep(Lanes& lanes, const Pair& pair, int32_t first, int32_t words,
                               const uint64_t* table, const uint8_t* above, uint8_t* below,
                               int32_t* distance) const {
    typename Lanes::template PerLane<Words> own;
    typename Lanes::template PerLane<bool> keeps_border;
    typename Lanes::template PerLane<const unsigned char*> column;
    typename Lanes::template PerLane<uint32_t> row_bits, sent, feed, next_feed;
    const auto word_bytes = static_cast<uint32_t>(width) * static_cast<uint32_t>(sizeof(uint64_t));

    // What row 0, or the strip above, hands to the first word in step `step`.
    const auto message_from_above = [&](int32_t step) -> uint32_t {
      const uint32_t symbol = step < pair.text_size ? static_cast<uint32_t>(pair.text[step]) : 0;
      uint32_t difference = 0;
      if (step > 0 && step <= pair.text_size) difference = above ? above[step - 1] : 1;
      return symbol * (kWords * word_bytes) | difference;
    };

    // Before a word begins nothing changes it: differences and masks of 0 leave a block alone, and pass on 0.
    // The padded one begins a step later than its first message, and is left alone by matches in the padding.
    lanes.each([&](auto lane) {
      const bool is_used = lane.index < width;
      column[lane] = reinterpret_cast<const unsigned char*>(table + (is_used ? lane.index : 0));
      row_bits[lane] = is_used ? ~3u : 0;
      for (int i = 0; i < kWords; ++i) own[lane].word[i] = {DistanceBlock(), 0, 0, 0};
      if (first == 0 && lane.index == 0) {
        Word& padded = own[lane].word[0];
        padded.match = (uint64_t{1} << padding(pair)) - 1;
        padded.block.plus = ~padded.match;
      }
      sent[lane] = 0;
      keeps_border[lane] = below && lane.index == Lanes::kSize - 1;
      next_feed[lane] = message_from_above(lane.index);
    });

    const int32_t steps = pair.text_size + words;
    for (int32_t start = 0; start < steps; start += Lanes::kSize) {
      lanes.each([&](auto lane) {
        feed[lane] = next_feed[lane];
        next_feed[lane] = message_from_above(start + Lanes::kSize + lane.index);
      });
      const int32_t end = std::min(steps, start + Lanes::kSize);
      for (int32_t step = start; step < end; ++step) {
        const auto received = lanes.from_below(sent, lanes.broadcast(feed, step - start));
        lanes.each([&](auto lane) {
          uint32_t message = received[lane];
          for (int i = 0; i < kWords; ++i) {
            Word& word = own[lane].word[i];
            const unsigned char* const mask = column[lane] + (message & row_bits[lane]) + i * word_bytes;
            const uint64_t next_match = *reinterpret_cast<const uint64_t*>(mask);
            const uint32_t before = word.message;
            word.step(message, next_match);
            message = before;
          }
          sent[lane] = own[lane].word[kWords - 1].message;
          if (keeps_border[lane] && step >= words) below[step - words] = static_cast<uint8_t>(sent[lane] & 3);
        });
      }
    }
    if (below) return;
    lanes.each([&](auto lane) {
      for (int i = 0; i < kWords; ++i)
        if (lane.index * kWords + i == words - 1) *distance = pair.pattern_size + own[lane].word[i].sum;
    });
  }
};

}  // namespace perception::cuda
