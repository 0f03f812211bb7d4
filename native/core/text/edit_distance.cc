#include "core/text/edit_distance.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "core/base/thread_pool.h"
#include "core/text/bit_parallel.h"
#include "core/text/utf8.h"

namespace perception {
namespace {

uint64_t word_at(const void* p) {
  uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

// Bytes before the first one that is not 0, and after the last.
constexpr bool kLittleEndian = std::endian::native == std::endian::little;
size_t zeros_before(uint64_t word) {
  return static_cast<size_t>(kLittleEndian ? std::countr_zero(word) : std::countl_zero(word)) / 8;
}
size_t zeros_after(uint64_t word) {
  return static_cast<size_t>(kLittleEndian ? std::countl_zero(word) : std::countr_zero(word)) / 8;
}

bool is_ascii(std::string_view text) {
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const char* p = begin;
  uint64_t all = 0;
  for (; end - p >= 32; p += 32) all |= word_at(p) | word_at(p + 8) | word_at(p + 16) | word_at(p + 24);
  for (; end - p >= 8; p += 8) all |= word_at(p);
  if (text.size() >= 8)
    all |= word_at(end - 8);
  else
    for (; p < end; ++p) all |= static_cast<uint8_t>(*p);
  return (all & 0x8080808080808080u) == 0;
}

// Characters that two texts of `size` begin with, both.
template <class Char>
size_t common_prefix(const Char* a, const Char* b, size_t size) {
  constexpr size_t kStep = 8 / sizeof(Char);
  size_t i = 0;
  for (; i + kStep <= size; i += kStep)
    if (const uint64_t differ = word_at(a + i) ^ word_at(b + i))
      return i + zeros_before(differ) / sizeof(Char);
  while (i < size && a[i] == b[i]) ++i;
  return i;
}

// The same of texts that end at `a` and `b`.
template <class Char>
size_t common_suffix(const Char* a, const Char* b, size_t size) {
  constexpr size_t kStep = 8 / sizeof(Char);
  size_t i = 0;
  for (; i + kStep <= size; i += kStep)
    if (const uint64_t differ = word_at(a - i - kStep) ^ word_at(b - i - kStep))
      return i + zeros_after(differ) / sizeof(Char);
  while (i < size && a[-1 - static_cast<ptrdiff_t>(i)] == b[-1 - static_cast<ptrdiff_t>(i)]) ++i;
  return i;
}

template <class View>
void reduce(View& pattern, View& text) {
  if (pattern.size() > text.size()) std::swap(pattern, text);
  const size_t prefix = common_prefix(pattern.data(), text.data(), pattern.size());
  pattern.remove_prefix(prefix);
  text.remove_prefix(prefix);
  const size_t suffix =
      common_suffix(pattern.data() + pattern.size(), text.data() + text.size(), pattern.size());
  pattern.remove_suffix(suffix);
  text.remove_suffix(suffix);
}

// Of texts of 8 characters or more.
bool ends_alike(std::string_view a, std::string_view b) {
  const uint64_t first = word_at(a.data()) ^ word_at(b.data());
  const uint64_t last = word_at(a.data() + a.size() - 8) ^ word_at(b.data() + b.size() - 8);
  return (first | last) == 0;
}

}  // namespace

void PatternAlphabet::number(std::u32string_view pattern) {
  for (char32_t code_point : pattern) {
    uint32_t& start = page_start_[page_of(code_point)];
    if (start != 0) continue;
    const size_t end = numbers_.size();
    numbers_.resize(end + kPageSize);
    start = static_cast<uint32_t>(end);
  }
  uint32_t size = 0;
  uint32_t* const numbers = numbers_.data();
  for (char32_t code_point : pattern) {
    uint32_t& number = numbers[place_of(code_point)];
    size += number == 0;  // no branch: it would be hard to predict
    number = number == 0 ? size : number;
  }
  size_ = size;
}

void PatternAlphabet::clear(std::u32string_view pattern) {
  for (char32_t code_point : pattern) numbers_[place_of(code_point)] = 0;
  size_ = 0;
}

void reduce_pair(std::u32string_view& pattern, std::u32string_view& text) { reduce(pattern, text); }

EditDistance::EditDistance(Isa set)
    : group_(distance_kernels(set)),
      wavefront_(distance_kernels(set)),
      masks_((kMostWords * kRowsPerBlock + 1) * kMostWords) {}

template <int kWords, class View, class Number>
int64_t EditDistance::by_words(View pattern, View text, const Number& number) {
  uint32_t numbers[kWords * kRowsPerBlock];
  for (size_t i = 0; i < pattern.size(); ++i) {
    numbers[i] = number(pattern[i]);
    masks_[size_t{numbers[i]} * kWords + i / kRowsPerBlock] |= uint64_t{1} << i % kRowsPerBlock;
  }
  DistanceBlock column[kWords];
  for (const auto character : text) {
    const uint64_t* const match = masks_.data() + size_t{number(character)} * kWords;
    uint64_t carry_plus = 1, carry_minus = 0;  // the first row is 0, 1, 2, ...
    for (int k = 0; k < kWords; ++k) column[k].step(match[k], carry_plus, carry_minus);
  }
  for (size_t i = 0; i < pattern.size(); ++i) masks_[size_t{numbers[i]} * kWords + i / kRowsPerBlock] = 0;
  // The first row ends with the text's length; from there down the last column's differences.
  auto distance = static_cast<int64_t>(text.size());
  for (int k = 0; k < kWords; ++k)
    distance += sum_of_rows(column[k].plus, column[k].minus, pattern.size() - k * kRowsPerBlock);
  return distance;
}

// Writes the distance at once, or leaves the pair to the group if it is not alone. The pattern is not empty;
// its characters have numbers from 1 to `symbols`.
template <class View, class Number>
void EditDistance::solve(View pattern, View text, size_t symbols, const Number& number, bool alone,
                         int64_t* distance) {
  if (alone && pattern.size() <= kMostWords * kRowsPerBlock) {
    static_assert(kMostWords == 2);
    *distance = pattern.size() <= kRowsPerBlock ? by_words<1>(pattern, text, number)
                                                : by_words<2>(pattern, text, number);
  } else if (!alone && pattern.size() <= group_.longest_pattern() && symbols < GroupDistance::kNoSymbol) {
    group_.add(pattern.size(), text.size(), distance);
    const auto put = [&](View characters, uint8_t* to) {
      if constexpr (sizeof(characters[0]) == 1) {
        std::memcpy(to, characters.data(), characters.size());  // they need no numbers
      } else {
        for (const auto character : characters) *to++ = static_cast<uint8_t>(number(character));
      }
    };
    put(pattern, group_.pattern());
    put(text, group_.text());
  } else {
    wavefront_.allocate(pattern.size(), text.size(), symbols);
    std::transform(pattern.begin(), pattern.end(), wavefront_.pattern(), number);
    std::transform(text.begin(), text.end(), wavefront_.text(), number);
    *distance = wavefront_.distance();
  }
}

// ASCII: characters are numbers.
void EditDistance::solve(std::string_view pattern, std::string_view text, bool alone, int64_t* distance) {
  *distance = static_cast<int64_t>(text.size());
  if (pattern.empty()) return;
  const auto number = [](char c) { return static_cast<uint32_t>(static_cast<uint8_t>(c)) + 1; };
  solve(pattern, text, 128, number, alone, distance);
}

void EditDistance::solve(std::u32string_view pattern, std::u32string_view text, bool alone,
                         int64_t* distance) {
  *distance = static_cast<int64_t>(text.size());
  if (pattern.empty()) return;
  alphabet_.number(pattern);
  struct Clear {
    ~Clear() { alphabet.clear(pattern); }
    PatternAlphabet& alphabet;
    std::u32string_view pattern;
  } clear{alphabet_, pattern};
  const auto number = [this](char32_t c) { return alphabet_[c]; };
  solve(pattern, text, alphabet_.size(), number, alone, distance);
}

int64_t EditDistance::operator()(std::u32string_view a, std::u32string_view b) {
  reduce(a, b);
  int64_t distance = 0;
  solve(a, b, true, &distance);
  return distance;
}

void EditDistance::operator()(std::span<const TextPair> pairs, std::span<TextDistance> results) {
  const bool alone = pairs.size() == 1;
  if (!alone) {
    size_t bytes = 0;
    for (const TextPair& pair : pairs) bytes += pair.a.size() + pair.b.size();
    group_.reserve(pairs.size(), bytes);
  }
  // The numbers of so few characters are not worth what a group takes.
  constexpr size_t kFew = 8;
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto [a, b] = pairs[i];
    if (is_ascii(a) && is_ascii(b)) {
      std::string_view pattern = a.size() < b.size() ? a : b, text = a.size() < b.size() ? b : a;
      results[i].longest = static_cast<int64_t>(text.size());
      // Within a block that is hard to predict, and saves little unless they are nearly the same.
      if (pattern.size() < 16 || pattern.size() > kRowsPerBlock || ends_alike(pattern, text))
        reduce(pattern, text);
      solve(pattern, text, alone, &results[i].distance);
    } else {
      text_a_.clear();
      text_b_.clear();
      decode_utf8(a, text_a_);
      decode_utf8(b, text_b_);
      results[i].longest = static_cast<int64_t>(std::max(text_a_.size(), text_b_.size()));
      std::u32string_view pattern = text_a_, text = text_b_;
      reduce(pattern, text);
      solve(pattern, text, alone || pattern.size() < kFew, &results[i].distance);
    }
  }
  if (!alone) group_.run();
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
    thread_local std::vector<TextPair> chunk;
    thread_local std::vector<TextDistance> results;
    chunk.clear();
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
      chunk.push_back({a[i], b[i]});
    results.resize(chunk.size());
    edit_distance(chunk, results);
    for (size_t i = 0; i < chunk.size(); ++i)
      distances[static_cast<size_t>(begin) + i] = static_cast<int32_t>(results[i].distance);
  });
  return {};
}

}  // namespace perception
