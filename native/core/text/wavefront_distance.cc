#include "core/text/wavefront_distance.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

namespace perception {
namespace {

constexpr int64_t kRows = kRowsPerBlock;
constexpr int64_t kUnbounded = std::numeric_limits<int64_t>::max() / 2;
// Steps in which the wavefront of a band moves on by one block: its rows, and the column by which the next
// block is behind.
constexpr int64_t kPeriod = kRows + 1;
// Words of a table of match masks: it has fewer lanes where it would not stay in the second cache, and that
// of a band fewer blocks where it would take much of it.
constexpr int64_t kMostTableWords = 1 << 17;
constexpr int64_t kBandTableWords = 1 << 14;

template <typename T>
void grow(std::vector<T>& values, int64_t size) {
  if (values.size() < static_cast<size_t>(size)) values.resize(static_cast<size_t>(size));
}

// Blocks in the table of a band of `lanes`. An odd number of cache lines, so that rows do not fall on the
// same places of the first cache.
int64_t table_width(int64_t lanes, int64_t blocks, int64_t table_rows) {
  const int64_t width = std::min(blocks, std::max(2 * lanes, kBandTableWords / table_rows));
  return (width + 7) / 16 * 16 + 8;
}

}  // namespace

void WavefrontDistance::allocate(size_t pattern_size, size_t text_size, size_t symbols) {
  pattern_size_ = static_cast<int64_t>(pattern_size);
  text_size_ = static_cast<int64_t>(text_size);
  blocks_ = (pattern_size_ + kRows - 1) / kRows;
  table_rows_ = static_cast<int64_t>(symbols) + 1;
  const int64_t lanes = kernels_.lanes;
  most_vectors_ =
      static_cast<int>(std::clamp<int64_t>(kMostTableWords / (table_rows_ * lanes), 1, kMostVectors));
  const int64_t most_lanes = most_vectors_ * lanes;
  grow(pattern_, pattern_size_);
  grow(text_, text_size_ + 2 * kPadding);
  std::fill_n(text() + text_size, kPadding, 0);
  if (blocks_ > most_lanes) {
    grow(columns_, text_size_ + 2 * kPadding);
    grow(border_, text_size_ + 2 * kPadding);
  }
  const int64_t widest = most_vectors_ > 1 ? table_width(most_lanes, blocks_, table_rows_) : most_lanes;
  grow(masks_, table_rows_ * std::max(most_lanes, widest));
}

// Into a table that begins with block `table_first`.
void WavefrontDistance::set_masks(int64_t table_first, int64_t first, int64_t blocks, size_t stride) {
  const int64_t end = std::min(pattern_size_, (first + blocks) * kRows);
  for (int64_t row = first * kRows; row < end; ++row)
    masks_[pattern_[static_cast<size_t>(row)] * stride + static_cast<size_t>(row / kRows - table_first)] |=
        uint64_t{1} << row % kRows;
}

void WavefrontDistance::clear_masks(int64_t first, int64_t blocks, size_t stride) {
  const int64_t end = std::min(pattern_size_, (first + blocks) * kRows);
  const int64_t words = table_rows_ * static_cast<int64_t>(stride);
  if (words < 8 * (end - first * kRows)) {
    std::fill_n(masks_.begin(), words, 0);
    return;
  }
  for (int64_t row = first * kRows; row < end; ++row)
    masks_[pattern_[static_cast<size_t>(row)] * stride + static_cast<size_t>(row / kRows - first)] = 0;
}

// The first column is 0, 1, 2, ...
void WavefrontDistance::start_wavefront() {
  std::fill_n(wavefront_.plus, kMostLanes, ~uint64_t{0});
  std::fill_n(wavefront_.minus, kMostLanes, 0);
  std::fill_n(wavefront_.out_plus, kMostLanes, 0);
  std::fill_n(wavefront_.out_minus, kMostLanes, 0);
}

// Sum of the differences of all rows from block `first` on in the last column, which lane 0 has done.
template <class Advance>
int64_t WavefrontDistance::last_column(int64_t first, int64_t blocks, const Advance& advance) const {
  int64_t sum = 0;
  for (int64_t lane = 0; lane < blocks; ++lane) {
    if (lane > 0) advance();
    const auto rows = static_cast<size_t>(pattern_size_ - (first + lane) * kRows);
    sum += sum_of_rows(wavefront_.plus[lane], wavefront_.minus[lane], rows);
  }
  return sum;
}

// All blocks at once.
int64_t WavefrontDistance::whole() {
  const int64_t vectors = (blocks_ + kernels_.lanes - 1) / kernels_.lanes;
  const auto stride = static_cast<size_t>(vectors * kernels_.lanes);
  const auto kernel = kernels_.advance[vectors - 1];
  set_masks(0, 0, blocks_, stride);
  start_wavefront();
  const uint32_t* symbol = text();
  const auto advance = [&](int64_t steps) {
    kernel(wavefront_, symbol, {masks_.data(), stride}, static_cast<size_t>(steps));
    symbol += steps;
  };
  advance(text_size_);
  const int64_t distance = text_size_ + last_column(0, blocks_, [&] { advance(1); });
  clear_masks(0, blocks_, stride);
  return distance;
}

// What the distance would be if errors went on as they did up to lane 0's column, along the best of the paths
// that the wavefront has reached. `above` is the value above lane 0.
int64_t WavefrontDistance::extrapolate(int64_t first, int64_t lanes, int64_t column, int64_t above) const {
  int64_t least = kUnbounded;
  for (int64_t lane = 0; lane < lanes; ++lane, --column) {
    above += sum_of_rows(wavefront_.plus[lane], wavefront_.minus[lane], kRows);
    const int64_t row = (first + lane + 1) * kRows, diagonal = column - row;
    const int64_t done = std::min(row, column);
    if (done >= 2 * kRows) {
      const int64_t errors = above - std::abs(diagonal);
      least =
          std::min(least, errors * pattern_size_ / done + std::abs(diagonal) + std::abs(excess() - diagonal));
    }
    above -= static_cast<int64_t>(wavefront_.out_plus[lane] - wavefront_.out_minus[lane]);  // a column before
  }
  return least;
}

// As many blocks as there are lanes, along the main diagonal: whenever the wavefront has moved on by a block,
// the first is left, and the next one entered. All that is computed is the cost of a path: outside the band
// values rise by 1 from cell to cell. What is wider than a band is given up early.
WavefrontDistance::BandResult WavefrontDistance::band(int vectors) {
  const int64_t lanes = vectors * kernels_.lanes;
  // Diagonals that are in it for every row: `below` below the main one, and as many above that of the corner.
  const int64_t below = (lanes * kPeriod - kRows - excess()) / 2;
  const int64_t exact_up_to = excess() + 2 * below + 1;
  const int64_t width = table_width(lanes, blocks_, table_rows_);
  const auto stride = static_cast<size_t>(width);
  const auto kernel = kernels_.advance[vectors - 1];
  int64_t table_first = 0, table_blocks = lanes;
  int64_t first = 0;
  int64_t step = 0, above = 0;  // the value above `first` rises in every step
  const auto advance = [&](int64_t steps) {
    kernel(wavefront_, text() + step - first, {masks_.data() + first - table_first, stride},
           static_cast<size_t>(steps));
    step += steps;
    above += steps;
  };
  set_masks(0, table_first, table_blocks, stride);
  start_wavefront();
  while (first + lanes < blocks_) {
    advance(kPeriod * (first + lanes) - below - step);
    if (first % 8 == 0) {
      const int64_t guess = extrapolate(first, lanes, step - first, above);
      if (guess > exact_up_to) {
        clear_masks(table_first, table_blocks, stride);
        return {guess, exact_up_to, true};
      }
    }
    // The next block is a column behind.
    above += sum_of_rows(wavefront_.plus[0], wavefront_.minus[0], kRows) -
             static_cast<int64_t>(wavefront_.out_plus[0] - wavefront_.out_minus[0]);
    for (uint64_t* lane : {wavefront_.plus, wavefront_.minus, wavefront_.out_plus, wavefront_.out_minus})
      std::copy(lane + 1, lane + lanes, lane);
    wavefront_.plus[lanes - 1] = ~uint64_t{0};
    wavefront_.minus[lanes - 1] = 0;
    ++first;
    if (table_blocks < width) {
      set_masks(table_first, table_first + table_blocks, 1, stride);
      ++table_blocks;
    } else {
      clear_masks(table_first, table_blocks, stride);
      table_first = first;
      table_blocks = lanes;
      set_masks(table_first, table_first, lanes, stride);
    }
  }
  advance(text_size_ + first - step);
  const int64_t top = above;
  const int64_t cost = top + last_column(first, lanes, [&] { advance(1); });
  clear_masks(table_first, table_blocks, stride);
  return {cost, exact_up_to, false};
}

WavefrontDistance::Strip WavefrontDistance::strip(int64_t index, int64_t bound) const {
  // Vectors are spread evenly.
  const int64_t vectors = (blocks_ + kernels_.lanes - 1) / kernels_.lanes;
  const int64_t count = (vectors + most_vectors_ - 1) / most_vectors_;
  const int64_t begin = vectors * index / count, end = vectors * (index + 1) / count;
  const int64_t first = begin * kernels_.lanes, last = std::min(end * kernels_.lanes, blocks_);
  // A path of that cost leaves the diagonals between the corners by as many.
  const int64_t slack = std::max<int64_t>((bound - excess()) / 2, 0);
  return {first, last - first, std::max<int64_t>(first * kRows - slack, 0),
          std::min(text_size_, last * kRows + excess() + slack), static_cast<int>(end - begin)};
}

// Cells of the strips.
int64_t WavefrontDistance::area(int64_t bound) const {
  int64_t sum = 0;
  for (int64_t index = 0, blocks = 0; blocks < blocks_; ++index) {
    const Strip part = strip(index, bound);
    blocks += part.blocks;
    sum += part.blocks * (part.end_column - part.begin_column);
  }
  return sum;
}

// One strip after the other, from the top. Returns the cost of the best path in them: the distance if that is
// not above `bound`.
int64_t WavefrontDistance::strips(int64_t bound) {
  Difference* const border = border_.data() + kPadding;
  std::fill(border, border + text_size_ + kPadding, Difference{1, 0});
  const auto along_border = [&](int64_t begin, int64_t end) {
    uint64_t sum = 0;
    for (int64_t i = begin; i < end; ++i) sum += border[i].plus - border[i].minus;
    return static_cast<int64_t>(sum);
  };
  Strip part = strip(0, bound);
  int64_t corner = 0;  // the value above the strip's first row, before its first column
  for (int64_t index = 0;; ++index) {
    const int64_t lanes = part.vectors * kernels_.lanes;
    const auto stride = static_cast<size_t>(lanes);
    const auto kernel = kernels_.advance_border[part.vectors - 1];
    // Without the symbols before, which would be matched by lanes that have not begun.
    const uint32_t* symbol = text();
    if (part.begin_column > 0) {
      symbol = columns_.data() + kPadding;
      std::copy(text() + part.begin_column, text() + part.end_column + lanes, columns_.data() + kPadding);
    }
    Difference* above = border + part.begin_column;
    const auto advance = [&](int64_t steps) {
      kernel(wavefront_, symbol, {masks_.data(), stride}, static_cast<size_t>(steps), above);
      symbol += steps;
      above += steps;
    };
    set_masks(part.first, part.first, part.blocks, stride);
    start_wavefront();
    if (part.first + part.blocks == blocks_) {
      const int64_t top = corner + along_border(part.begin_column, text_size_);
      advance(text_size_ - part.begin_column);
      const int64_t cost = top + last_column(part.first, part.blocks, [&] { advance(1); });
      clear_masks(part.first, part.blocks, stride);
      return cost;
    }
    advance(part.end_column - part.begin_column + lanes - 1);
    clear_masks(part.first, part.blocks, stride);
    const Strip next = strip(index + 1, bound);
    corner += part.blocks * kRows + along_border(part.begin_column, next.begin_column);
    part = next;
  }
}

int64_t WavefrontDistance::distance() {
  // Bands, where the matrix is wider. Of fewer blocks or vectors than the first one they are hardly faster.
  int64_t bound = kUnbounded;
  for (int vectors = std::clamp(8 / kernels_.lanes, 2, kMostVectors); vectors <= most_vectors_;
       vectors *= 2) {
    const int64_t lanes = vectors * kernels_.lanes, widest = lanes * kPeriod - kRows;
    if (2 * blocks_ <= 3 * lanes) break;
    if (2 * excess() > widest || (bound != kUnbounded && bound > widest)) continue;
    const BandResult result = band(vectors);
    if (!result.given_up && result.cost <= result.exact_up_to) return result.cost;
    bound = result.cost;
    if (!result.given_up) continue;
    if (result.cost > pattern_size_ / 5 * 2) {  // little in common: then guesses are too low
      bound = kUnbounded;
      break;
    }
    bound += bound / 8;
  }
  if (blocks_ <= most_vectors_ * kernels_.lanes) return whole();
  if (4 * area(bound) > 3 * area(kUnbounded)) bound = kUnbounded;
  const int64_t cost = strips(bound);
  return cost <= bound ? cost : strips(cost);
}

}  // namespace perception
