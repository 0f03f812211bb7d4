#include "core/text/group_distance.h"

#include <algorithm>
#include <array>
#include <bit>

namespace perception {

void GroupDistance::reserve(size_t pairs, size_t symbols) {
  pairs_.clear();
  pairs_.reserve(pairs);
  order_.reserve(pairs);
  symbols_used_ = 0;
  // Of the last pattern a whole block is read.
  const size_t size = symbols + pairs * kPadding + kRowsPerBlock;
  if (symbols_.size() < size) symbols_.resize(size);
}

void GroupDistance::add(size_t pattern_size, size_t text_size, int64_t* distance) {
  std::fill_n(symbols_.begin() + static_cast<ptrdiff_t>(symbols_used_), kPadding, kNoSymbol);
  const size_t text = symbols_used_ + kPadding, pattern = text + text_size;
  symbols_used_ = pattern + pattern_size;
  pairs_.push_back({text, pattern, text_size, pattern_size, distance});
}

// By steps, roughly.
void GroupDistance::sort() {
  order_.resize(pairs_.size());
  constexpr size_t kSteps = 16, kClasses = 256;
  const auto class_of = [](const Pair& pair) { return std::min(pair.steps() / kSteps, kClasses - 1); };
  std::array<size_t, kClasses + 1> begin = {};
  for (const Pair& pair : pairs_) ++begin[class_of(pair) + 1];
  for (size_t i = 0; i < kClasses; ++i) begin[i + 1] += begin[i];
  for (const Pair& pair : pairs_) order_[begin[class_of(pair)]++] = &pair;
}

void GroupDistance::run() {
  sort();
  const size_t most_lanes = kMostVectors * static_cast<size_t>(kernels_.lanes);
  size_t first = 0, lanes = 0, least = 0, most = 0;
  for (size_t i = 0; i < order_.size(); ++i) {
    const size_t blocks = order_[i]->blocks(), steps = order_[i]->steps();
    if (lanes + blocks > most_lanes || std::max(most, steps) - std::min(least, steps) > kLongestWait) {
      if (lanes > 0) run_group({&order_[first], i - first});
      first = i;
      lanes = 0;
      least = most = steps;
    }
    lanes += blocks;
    least = std::min(least, steps);
    most = std::max(most, steps);
  }
  if (lanes > 0) run_group({&order_[first], order_.size() - first});
  pairs_.clear();
}

void GroupDistance::run_group(std::span<const Pair* const> pairs) {
  size_t steps = 0, most_blocks = 0;
  for (const Pair* pair : pairs) {
    steps = std::max(steps, pair->steps());
    most_blocks = std::max(most_blocks, pair->blocks());
  }

  // All pairs are done at the end. Until they start no symbol matches: that leaves a first column as it is.
  struct Lane {
    const Pair* pair;
    size_t block;
  };
  Lane lanes[kMostLanes];
  MatchLane match_lanes[kMostLanes];
  alignas(64) uint64_t inner[kMostLanes] = {}, start[kMostLanes] = {};
  size_t used = 0, last_start = 0;
  for (const Pair* pair : pairs) {
    *pair->distance = static_cast<int64_t>(pair->text_size);
    const size_t wait = steps - pair->steps();
    last_start = std::max(last_start, wait);
    for (size_t block = 0; block < pair->blocks(); ++block, ++used) {
      lanes[used] = {pair, block};
      match_lanes[used] = {symbols_.data() + pair->pattern + block * kRowsPerBlock,
                           symbols_.data() + pair->text - wait - block};
      inner[used] = block > 0 ? ~uint64_t{0} : 0;
      start[used] = block > 0 ? ~uint64_t{0} >> 1 : wait;  // an inner one has its row from above
    }
  }
  const auto width = static_cast<size_t>(kernels_.lanes);
  const size_t vectors = (used + width - 1) / width, stride = vectors * width;
  std::fill_n(wavefront_.plus, stride, ~uint64_t{0});
  std::fill_n(wavefront_.minus, stride, 0);
  std::fill_n(wavefront_.out_plus, stride, 0);
  std::fill_n(wavefront_.out_minus, stride, 0);

  // The first row ends with the text's length; from there down the last column's differences.
  const auto add_blocks = [&](size_t blocks_below) {
    for (size_t l = 0; l < used; ++l) {
      const auto [pair, block] = lanes[l];
      if (pair->blocks() - 1 - block != blocks_below) continue;
      *pair->distance +=
          sum_of_rows(wavefront_.plus[l], wavefront_.minus[l], pair->pattern_size - block * kRowsPerBlock);
    }
  };
  const bool words = most_blocks == 1;
  const size_t first_done = steps + 1 - most_blocks;
  for (size_t chunk = 0; chunk < steps; chunk += kChunk) {
    const size_t end = std::min(steps, chunk + kChunk);
    kernels_.find_matches(match_lanes, used, chunk, end - chunk, stride, masks_.data());
    for (size_t step = chunk; step < end;) {
      const uint64_t* const masks = masks_.data() + (step - chunk) * stride;
      size_t next = end;
      if (words && step >= last_start) {
        kernels_.advance_words[vectors - 1](wavefront_, masks, next - step);
      } else {
        if (words) next = std::min(end, last_start);
        if (!words) next = std::min(end, std::max(first_done, step + 1));
        kernels_.advance_group[vectors - 1](wavefront_, masks, inner, start, step, next - step);
      }
      step = next;
      // A block is done as many steps before the end as there are blocks below it.
      if (step >= first_done) add_blocks(steps - step);
    }
  }
}

}  // namespace perception
