// Edit distance of long strings: the blocks of a column of the distance matrix are lanes of vectors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/text/edit_distance_kernels.h"

namespace perception {

// Symbols are numbered from 1; in the text, 0 is one that the pattern does not have. Memory is linear in the
// longest strings seen, whatever their alphabet.
class WavefrontDistance {
 public:
  explicit WavefrontDistance(const DistanceKernels& kernels) : kernels_(kernels) {}

  // All memory that a pair takes; its symbols, 1 to `symbols`, are then put where pattern() and text() point.
  // The pattern is not empty, and not the longer one.
  void allocate(size_t pattern_size, size_t text_size, size_t symbols);
  uint32_t* pattern() { return pattern_.data(); }
  uint32_t* text() { return text_.data() + kPadding; }
  int64_t distance();

 private:
  // Before the text and behind it, for lanes that have not begun or are done: no symbol.
  static constexpr int64_t kPadding = kMostLanes;

  // What a band of the matrix tells: the cost of the best path inside it. It is the distance if it is not
  // above `exact_up_to`. Of a band that was given up it is a guess.
  struct BandResult {
    int64_t cost, exact_up_to;
    bool given_up;
  };
  // Blocks [first, first + blocks), and of the columns those that paths within a bound may visit there.
  struct Strip {
    int64_t first, blocks, begin_column, end_column;
    int vectors;
  };

  int64_t excess() const { return text_size_ - pattern_size_; }
  void set_masks(int64_t table_first, int64_t first, int64_t blocks, size_t stride);
  void clear_masks(int64_t first, int64_t blocks, size_t stride);
  void start_wavefront();
  int64_t whole();
  BandResult band(int vectors);
  int64_t extrapolate(int64_t first, int64_t lanes, int64_t column, int64_t above) const;
  Strip strip(int64_t index, int64_t bound) const;
  int64_t area(int64_t bound) const;
  int64_t strips(int64_t bound);
  template <class Advance>
  int64_t last_column(int64_t first, int64_t blocks, const Advance& advance) const;

  const DistanceKernels& kernels_;
  Wavefront wavefront_;
  int64_t pattern_size_ = 0, text_size_ = 0, blocks_ = 0;
  int64_t table_rows_ = 0;
  int most_vectors_ = 0;
  std::vector<uint32_t> pattern_, text_;
  std::vector<uint32_t> columns_;   // the text of a strip
  std::vector<uint64_t> masks_;     // match masks by symbol and block; all zero between calls
  std::vector<Difference> border_;  // between two strips
};

}  // namespace perception
