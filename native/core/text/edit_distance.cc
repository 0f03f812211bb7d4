#include "core/text/edit_distance.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "core/base/thread_pool.h"
#include "core/text/bit_parallel.h"
#include "core/text/utf8.h"

namespace perception {
namespace {

constexpr size_t kWord = 64;
// Blocks that one pass over the text carries along: their dependency chains overlap in the CPU.
constexpr size_t kStrip = 4;

template <typename T>
void grow(std::vector<T>& values, size_t size) {
  if (values.size() < size) values.resize(size);
}

// Sum of the differences of a block's first `rows` rows.
int64_t sum_of_rows(const DistanceBlock& block, size_t rows) {
  const uint64_t valid = rows >= kWord ? ~uint64_t{0} : (uint64_t{1} << rows) - 1;
  return std::popcount(block.plus & valid) - std::popcount(block.minus & valid);
}

}  // namespace

void PatternAlphabet::reserve(std::u32string_view pattern) {
  for (char32_t code_point : pattern) {
    uint32_t& start = page_start_[page_of(code_point)];
    if (start != 0) continue;
    const size_t end = numbers_.size();
    numbers_.resize(end + kPageSize);
    start = static_cast<uint32_t>(end);
  }
}

void PatternAlphabet::clear(std::u32string_view pattern) {
  for (char32_t code_point : pattern) numbers_[place_of(code_point)] = 0;
  size_ = 0;
}

void reduce_pair(std::u32string_view& pattern, std::u32string_view& text) {
  if (pattern.size() > text.size()) std::swap(pattern, text);
  const auto prefix = std::mismatch(pattern.begin(), pattern.end(), text.begin()).first;
  const size_t prefix_size = static_cast<size_t>(prefix - pattern.begin());
  pattern.remove_prefix(prefix_size);
  text.remove_prefix(prefix_size);
  const auto suffix = std::mismatch(pattern.rbegin(), pattern.rend(), text.rbegin()).first;
  const size_t suffix_size = static_cast<size_t>(suffix - pattern.rbegin());
  pattern.remove_suffix(suffix_size);
  text.remove_suffix(suffix_size);
}

// All memory of a call, before any state changes: running out of it leaves the object usable.
void EditDistance::allocate(std::u32string_view pattern, size_t text_size) {
  alphabet_.reserve(pattern);
  grow(pattern_ids_, pattern.size());
  if (pattern.size() <= kWord) {
    grow(masks_, kWord + 1);
    return;
  }
  grow(text_ids_, text_size);
  grow(carries_, text_size);
  grow(masks_, (std::min<size_t>(pattern.size(), 0x110000) + 1) * kStrip);
}

int64_t EditDistance::one_word(std::u32string_view pattern, std::u32string_view text) {
  for (size_t i = 0; i < pattern.size(); ++i) masks_[pattern_ids_[i]] |= uint64_t{1} << i;
  DistanceBlock block;
  for (char32_t code_point : text) {
    uint64_t carry_plus = 1, carry_minus = 0;  // the first row of the matrix is 0, 1, 2, ...
    block.step(masks_[alphabet_[code_point]], carry_plus, carry_minus);
  }
  for (size_t i = 0; i < pattern.size(); ++i) masks_[pattern_ids_[i]] = 0;
  return sum_of_rows(block, pattern.size());
}

// Rows [begin, end) of the pattern against the whole text; carries_ holds the row above and then
// the last one. Returns the sum of the last column's differences.
template <int kBlocks>
int64_t EditDistance::strip(size_t begin, size_t end, size_t text_size) {
  for (size_t i = begin; i < end; ++i) {
    masks_[size_t{pattern_ids_[i]} * kBlocks + (i - begin) / kWord] |= uint64_t{1} << (i - begin) % kWord;
  }
  const uint64_t* masks = masks_.data();
  const uint32_t* ids = text_ids_.data();
  uint8_t* carries = carries_.data();
  DistanceBlock column[kBlocks];
  for (size_t j = 0; j < text_size; ++j) {
    const uint64_t* match = masks + size_t{ids[j]} * kBlocks;
    uint64_t carry_plus = carries[j] & 1u, carry_minus = carries[j] >> 1;
    for (int k = 0; k < kBlocks; ++k) column[k].step(match[k], carry_plus, carry_minus);
    carries[j] = static_cast<uint8_t>(carry_plus | carry_minus << 1);
  }
  int64_t sum = 0;
  for (int k = 0; k < kBlocks; ++k) sum += sum_of_rows(column[k], end - begin - k * kWord);
  for (size_t i = begin; i < end; ++i) masks_[size_t{pattern_ids_[i]} * kBlocks + (i - begin) / kWord] = 0;
  return sum;
}

int64_t EditDistance::blocks(std::u32string_view pattern, std::u32string_view text) {
  for (size_t j = 0; j < text.size(); ++j) text_ids_[j] = alphabet_[text[j]];
  std::fill_n(carries_.begin(), text.size(), uint8_t{1});
  static_assert(kStrip == 4, "the cases below");
  int64_t sum = 0;
  for (size_t begin = 0; begin < pattern.size(); begin += kStrip * kWord) {
    const size_t end = std::min(pattern.size(), begin + kStrip * kWord);
    switch ((end - begin + kWord - 1) / kWord) {
      case 1:
        sum += strip<1>(begin, end, text.size());
        break;
      case 2:
        sum += strip<2>(begin, end, text.size());
        break;
      case 3:
        sum += strip<3>(begin, end, text.size());
        break;
      default:
        sum += strip<4>(begin, end, text.size());
        break;
    }
  }
  return sum;
}

int64_t EditDistance::operator()(std::u32string_view a, std::u32string_view b) {
  std::u32string_view pattern = a, text = b;
  reduce_pair(pattern, text);
  if (pattern.empty()) return static_cast<int64_t>(text.size());

  allocate(pattern, text.size());
  for (size_t i = 0; i < pattern.size(); ++i) pattern_ids_[i] = alphabet_.add(pattern[i]);
  // The first row ends with the text's length; from there down the last column's differences.
  const int64_t distance = static_cast<int64_t>(text.size()) +
                           (pattern.size() <= kWord ? one_word(pattern, text) : blocks(pattern, text));
  alphabet_.clear(pattern);
  return distance;
}

Status check_string_pairs(const PackedStrings& a, const PackedStrings& b) {
  PERCEPTION_RETURN_IF_ERROR(validate_offsets(a.offsets, a.bytes.size(), "a.offsets"));
  PERCEPTION_RETURN_IF_ERROR(validate_offsets(b.offsets, b.bytes.size(), "b.offsets"));
  if (b.size() != a.size()) {
    return {Code::kShapeMismatch, "b: expected " + std::to_string(a.size()) +
                                      " strings (as many as a), received " + std::to_string(b.size())};
  }
  return {};
}

Status edit_distance_batch(const PackedStrings& a, const PackedStrings& b, std::span<int32_t> distances) {
  PERCEPTION_RETURN_IF_ERROR(check_string_pairs(a, b));
  PERCEPTION_RETURN_IF_ERROR(check_length(distances.size(), a.size(), "distances"));
  const int64_t count = static_cast<int64_t>(a.size());
  if (count == 0) return {};

  // Short pairs share a chunk, so that handing out chunks stays cheap beside the work.
  constexpr double kCellsPerChunk = 1 << 20;
  const double pairs = static_cast<double>(count);
  const double cells =
      (static_cast<double>(a.bytes.size()) / pairs + 1) * (static_cast<double>(b.bytes.size()) / pairs + 1);
  const int64_t grain = std::clamp<int64_t>(static_cast<int64_t>(kCellsPerChunk / cells), 1, 256);
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    thread_local EditDistance edit_distance;
    thread_local std::u32string text_a, text_b;
    for (int64_t i = begin; i < end; ++i) {
      const size_t pair = static_cast<size_t>(i);
      text_a.clear();
      text_b.clear();
      decode_utf8(a[pair], text_a);
      decode_utf8(b[pair], text_b);
      distances[pair] = static_cast<int32_t>(edit_distance(text_a, text_b));
    }
  });
  return {};
}

}  // namespace perception
