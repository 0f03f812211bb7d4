// Edit distance through the plug-in's table against core.
#include <doctest.h>

#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/edit_distance.h"
#include "core/text/text_pairs.h"
#include "core/text/utf8.h"
#include "plugin_support.h"

namespace perception::cuda {
namespace {

using Random = std::mt19937;

struct Pairs {
  std::string bytes[2];
  std::vector<int32_t> offsets[2] = {{0}, {0}};

  void add(std::u32string_view a, std::u32string_view b) {
    for (const int side : {0, 1}) {
      for (const char32_t code_point : side == 0 ? a : b) append_utf8(code_point, bytes[side]);
      offsets[side].push_back(static_cast<int32_t>(bytes[side].size()));
    }
  }
  PackedStrings view(int side) const {
    return {{reinterpret_cast<const uint8_t*>(bytes[side].data()), bytes[side].size()}, offsets[side]};
  }
};

// `more_symbols`: what most_symbols says in excess.
void check(const Pairs& pairs, int64_t more_symbols = 0) {
  std::vector<int32_t> expected(pairs.offsets[0].size() - 1);
  REQUIRE(edit_distance_batch(pairs.view(0), pairs.view(1), expected).ok());

  NumberedPairs numbered;
  REQUIRE(number_pairs(pairs.view(0), pairs.view(1), numbered).ok());
  const DeviceArray<int32_t> pattern_ids(numbered.pattern_ids), pattern_offsets(numbered.pattern_offsets);
  const DeviceArray<int32_t> text_ids(numbered.text_ids), text_offsets(numbered.text_offsets);
  const DeviceArray<int32_t> distances(expected.size());
  const TextPairs arguments = {pattern_ids.data(),
                               pattern_offsets.data(),
                               text_ids.data(),
                               text_offsets.data(),
                               static_cast<int64_t>(expected.size()),
                               numbered.longest_pattern,
                               numbered.longest_text,
                               numbered.most_symbols + more_symbols};
  succeed(plugin().edit_distance(0, &arguments, distances.data()));
  CHECK(distances.read() == expected);
}

std::u32string random_text(Random& random, size_t symbols, size_t size) {
  std::u32string text(size, U'\0');
  for (char32_t& c : text) c = 0xFE00 + static_cast<char32_t>(random() % symbols);
  return text;
}

// `text` with `percent` of its characters replaced, deleted or joined by another.
std::u32string with_errors(Random& random, size_t symbols, std::u32string_view text, size_t percent) {
  std::u32string result;
  for (const char32_t c : text) {
    const bool is_error = random() % 100 < percent;
    const size_t kind = random() % 3;
    if (!is_error || kind == 1) result += c;
    if (is_error && kind != 0) result += random_text(random, symbols, 1);
  }
  return result;
}

// Not by operator+, in which GCC 12 sees an overlap that is none.
std::u32string enclosed(const std::u32string& text, char32_t by) {
  std::u32string result(1, by);
  result.append(text);
  result.push_back(by);
  return result;
}

TEST_CASE("plug-in: edit distance of texts of all sizes and alphabets") {
  Random random(1);
  // The last two alphabets' tables are beyond shared memory.
  for (const size_t symbols : {2, 26, 100, 700, 2000}) {
    for (const size_t size : {0, 1, 63, 64, 65, 500, 1100, 2047, 2048, 2049, 3000, 4096, 4097, 5000}) {
      Pairs pairs;
      const std::u32string text = random_text(random, symbols, size);
      pairs.add(text, with_errors(random, symbols, text, 10));
      pairs.add(with_errors(random, symbols, text, 80), text);
      // No common ends, so that the pattern keeps its size.
      pairs.add(enclosed(text.substr(0, size > 2 ? size - 2 : 0), U'-'),
                enclosed(random_text(random, symbols, size + 7), U'+'));
      CAPTURE(symbols);
      CAPTURE(size);
      check(pairs);
    }
  }
}

TEST_CASE("plug-in: edit distance of equal, empty, wholly different and endless texts") {
  Pairs pairs;
  pairs.add(U"", U"");
  pairs.add(U"", U"abc");
  pairs.add(U"abc", U"");
  pairs.add(U"\U0001F600\xD800", U"\U0001F600\xDC00\xFFFD");
  for (const size_t size : {10, 64, 2048, 4500}) {
    pairs.add(std::u32string(size, U'x'), std::u32string(size, U'x'));
    pairs.add(std::u32string(size, U'x'), std::u32string(size + 100, U'y'));
    pairs.add(std::u32string(size, U'x'), enclosed(std::u32string(size, U'x'), U'y'));
  }
  check(pairs);
  const TextPairs endless = {nullptr, nullptr, nullptr, nullptr, 1, 5, std::numeric_limits<int32_t>::max(),
                             5};
  CHECK(plugin().edit_distance(0, &endless, nullptr) == static_cast<int32_t>(Code::kTooLarge));
  Pairs empty;
  check(empty);
  empty.add(U"", U"nothing is left of the pattern");
  check(empty);
}

TEST_CASE("plug-in: edit distance where not even one warp's table fits what all should take") {
  Random random(3);
  Pairs pairs;
  for (int i = 0; i < 3; ++i) {
    const std::u32string text = random_text(random, 100, 2200);
    pairs.add(text, with_errors(random, 100, text, 30));
  }
  check(pairs, 800'000);
}

TEST_CASE("plug-in: edit distance of more pairs than warps") {
  Random random(2);
  for (const size_t size : {12, 150}) {
    Pairs pairs;
    for (int i = 0; i < 4000; ++i) {
      const std::u32string text = random_text(random, 30, random() % size);
      pairs.add(text, with_errors(random, 30, text, random() % 100));
    }
    if (size == 150) {  // one that makes tables wide
      const std::u32string text = random_text(random, 30, 2500);
      pairs.add(text, with_errors(random, 30, text, 30));
    }
    check(pairs);
  }
}

}  // namespace
}  // namespace perception::cuda
