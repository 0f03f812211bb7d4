// Edit distance of many short strings: of each pair the blocks are lanes of vectors, beside other pairs'.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/text/edit_distance_kernels.h"

namespace perception {

class GroupDistance {
 public:
  // Symbols are bytes, of which this one is taken.
  static constexpr uint8_t kNoSymbol = 0xFF;

  explicit GroupDistance(const DistanceKernels& kernels) : kernels_(kernels) {}

  // Longer ones are done faster by themselves.
  size_t longest_pattern() const { return static_cast<size_t>(kernels_.lanes) * kRowsPerBlock; }
  // Room for `pairs` of `symbols` in all, before the first is added.
  void reserve(size_t pairs, size_t symbols);
  // Adds a pair; the pattern is not empty, and not the longer one. Its symbols are put where text() and
  // pattern() point before the next is added.
  void add(size_t pattern_size, size_t text_size, int64_t* distance);
  uint8_t* text() { return symbols_.data() + pairs_.back().text; }
  uint8_t* pattern() { return symbols_.data() + pairs_.back().pattern; }
  // Writes the distances of all that were added, and forgets them.
  void run();

 private:
  struct Pair {
    size_t text, pattern;  // places in symbols_
    size_t text_size, pattern_size;
    int64_t* distance;

    size_t blocks() const { return (pattern_size + kRowsPerBlock - 1) / kRowsPerBlock; }
    // Until its last block has done the last column: each is a step behind the one above.
    size_t steps() const { return text_size + blocks() - 1; }
  };

  // Pairs of a group differ by no more steps; those with fewer wait at first.
  static constexpr size_t kLongestWait = 64;
  // Before each text, for lanes that wait.
  static constexpr size_t kPadding = kLongestWait + kMostLanes;
  // Steps whose match masks are found at a time; they stay in the first cache.
  static constexpr size_t kChunk = 96;

  void sort();
  void run_group(std::span<const Pair* const> pairs);

  const DistanceKernels& kernels_;
  Wavefront wavefront_;
  std::vector<Pair> pairs_;
  std::vector<const Pair*> order_;
  std::vector<uint8_t> symbols_;
  size_t symbols_used_ = 0;
  std::vector<uint64_t> masks_ = std::vector<uint64_t>(kChunk * kMostLanes);
};

}  // namespace perception
