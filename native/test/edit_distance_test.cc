// The edit distance by every instruction set that this machine has, at the borders of blocks, vectors,
// groups, bands and strips. text_test.cc has what does not depend on those.
#include "core/text/edit_distance.h"

#include <doctest.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/isa.h"
#include "core/text/bit_parallel.h"
#include "core/text/utf8.h"

namespace perception {
namespace {

using Random = std::mt19937;

// By words, one column after the other; text_test.cc holds core to the plain recurrence.
int64_t reference(std::u32string_view a, std::u32string_view b) {
  const size_t words = (a.size() + 63) / 64;
  std::vector<DistanceBlock> column(words);
  std::u32string symbols(a);
  std::sort(symbols.begin(), symbols.end());
  symbols.erase(std::unique(symbols.begin(), symbols.end()), symbols.end());
  const auto place = [&](char32_t c) {
    return static_cast<size_t>(std::lower_bound(symbols.begin(), symbols.end(), c) - symbols.begin());
  };
  std::vector<uint64_t> masks((symbols.size() + 1) * words);
  for (size_t i = 0; i < a.size(); ++i) masks[place(a[i]) * words + i / 64] |= uint64_t{1} << i % 64;
  for (const char32_t c : b) {
    const size_t at = place(c);
    const size_t row = at < symbols.size() && symbols[at] == c ? at : symbols.size();
    uint64_t plus = 1, minus = 0;
    for (size_t w = 0; w < words; ++w) column[w].step(masks[row * words + w], plus, minus);
  }
  auto distance = static_cast<int64_t>(b.size());
  for (size_t w = 0; w < words; ++w) {
    const uint64_t valid = ~uint64_t{0} >> (64 - std::min<size_t>(a.size() - w * 64, 64));
    distance += std::popcount(column[w].plus & valid) - std::popcount(column[w].minus & valid);
  }
  return distance;
}

std::vector<Isa> sets() {
  std::vector<Isa> result;
  for (const Isa set : {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512})
    if (set <= isa()) result.push_back(set);
  return result;
}

struct Alphabet {
  char32_t first;
  size_t size;
};

constexpr Alphabet kLetters = {U'a', 26};
constexpr Alphabet kAlphabets[] = {{U'a', 2},      {U'a', 26},   {0, 128},       {0, 300},
                                   {0x4E00, 3000}, {0xD7F0, 40}, {0x1F300, 700}, {0x10FF00, 256}};

std::u32string random_text(Random& random, const Alphabet& alphabet, size_t size) {
  std::u32string text(size, U'\0');
  for (char32_t& c : text) c = alphabet.first + static_cast<char32_t>(random() % alphabet.size);
  return text;
}

std::u32string with_errors(Random& random, const Alphabet& alphabet, std::u32string_view text,
                           size_t percent) {
  std::u32string result;
  for (const char32_t c : text) {
    const size_t dice = random() % 300;
    if (dice >= 3 * percent || dice % 3 == 0) result += c;
    if (dice < 3 * percent && dice % 3 != 1) result += random_text(random, alphabet, 1);
  }
  return result;
}

// Pairs of strings, each in memory of just its size, and what their distances must be.
struct Batch {
  std::vector<std::u32string> a, b;

  void add(std::u32string x, std::u32string y) {
    a.push_back(std::move(x));
    b.push_back(std::move(y));
  }
  void check() const {
    std::vector<std::vector<char>> bytes;
    const auto encoded = [&](std::u32string_view text) {
      std::string code_units;
      for (const char32_t c : text) append_utf8(c, code_units);
      bytes.emplace_back(code_units.begin(), code_units.end());
      return std::string_view(bytes.back().data(), bytes.back().size());
    };
    bytes.reserve(2 * a.size());
    std::vector<TextPair> pairs;
    std::vector<int64_t> expected;
    for (size_t i = 0; i < a.size(); ++i) {
      const std::string_view first = encoded(a[i]);
      pairs.push_back({first, encoded(b[i])});
      expected.push_back(a[i].empty() ? static_cast<int64_t>(b[i].size()) : reference(a[i], b[i]));
    }
    for (const Isa set : sets()) {
      CAPTURE(isa_name(set));
      EditDistance distance(set);
      std::vector<TextDistance> results(pairs.size());
      distance(pairs, results);
      for (size_t i = 0; i < pairs.size(); ++i) {
        CAPTURE(a[i].size());
        CAPTURE(b[i].size());
        REQUIRE(results[i].distance == expected[i]);
        REQUIRE(results[i].longest == static_cast<int64_t>(std::max(a[i].size(), b[i].size())));
        if (i % 4 == 0) REQUIRE(distance(b[i], a[i]) == expected[i]);
        if (i % 4 == 1) {
          TextDistance alone;
          distance({&pairs[i], 1}, {&alone, 1});
          REQUIRE(alone.distance == expected[i]);
        }
      }
    }
  }
};

}  // namespace

TEST_CASE("edit distance, every set: batches of short strings, of all sizes beside each other") {
  Random random(1);
  for (int round = 0; round < 60; ++round) {
    Batch batch;
    const size_t count = 1 + random() % 80, longest = size_t{16} << random() % 5;
    for (size_t i = 0; i < count; ++i) {
      const Alphabet& alphabet = kAlphabets[random() % std::size(kAlphabets)];
      std::u32string text = random_text(random, alphabet, random() % longest);
      std::u32string other = random() % 3 == 0 ? random_text(random, alphabet, random() % (2 * longest))
                                               : with_errors(random, alphabet, text, random() % 70);
      if (random() % 2) text.swap(other);
      batch.add(std::move(text), std::move(other));
    }
    batch.check();
  }
}

TEST_CASE("edit distance, every set: around the borders of blocks and vectors") {
  Random random(2);
  for (const size_t border : {32, 64, 128, 192, 256, 320, 512, 1024, 1536, 2048, 2112, 3072}) {
    Batch batch;
    for (size_t size = border - 2; size <= border + 2; ++size) {
      const Alphabet& alphabet = kAlphabets[random() % std::size(kAlphabets)];
      const std::u32string text = random_text(random, alphabet, size);
      batch.add(text, random_text(random, alphabet, size));
      batch.add(text, random_text(random, alphabet, size + random() % 300));
      batch.add(text, with_errors(random, alphabet, text, 1 + random() % 50));
    }
    batch.check();
  }
}

TEST_CASE("edit distance, every set: pairs that wait for longer ones") {
  Random random(3);
  // Of one group are those that differ by up to 64 steps; and there is more than one stretch of match masks.
  for (const size_t text_size : {70, 96, 97, 200}) {
    for (const size_t wait : {0, 1, 63, 64, 65, 110, 130}) {
      Batch batch;
      for (const size_t pattern_size : {1, 5, 64, 65, 130}) {
        batch.add(random_text(random, kLetters, pattern_size),
                  random_text(random, kLetters, std::max(text_size, pattern_size)));
        batch.add(random_text(random, kLetters, pattern_size),
                  random_text(random, kLetters, std::max(text_size + wait, pattern_size)));
      }
      batch.check();
    }
  }
}

TEST_CASE("edit distance, every set: words of nearly the same size") {
  Random random(9);
  for (size_t size = 1; size <= 40; ++size) {
    Batch batch;
    for (int i = 0; i < 20; ++i)
      batch.add(random_text(random, kAlphabets[0], size), random_text(random, kAlphabets[0], size + i % 2));
    batch.check();
  }
}

TEST_CASE("edit distance, every set: one character that is not ASCII") {
  Batch batch;
  for (size_t size = 1; size <= 70; ++size) {
    for (size_t place = 0; place < size; ++place) {
      std::u32string text(size, U'a');
      text[place] = U'\u00E9';
      batch.add(text, std::u32string(size, U'b'));
    }
  }
  batch.check();
}

TEST_CASE("edit distance, every set: patterns of as many symbols as bytes have") {
  Random random(4);
  Batch batch;
  for (const size_t symbols : {253, 254, 255, 256, 257}) {
    std::u32string pattern;
    for (size_t i = 0; i < symbols; ++i) pattern += static_cast<char32_t>(0x3B1 + i);
    std::shuffle(pattern.begin(), pattern.end(), random);
    batch.add(pattern, with_errors(random, {0x3B1, symbols}, pattern, 30));
    pattern += random_text(random, {0x3B1, symbols}, 40);
    batch.add(pattern, with_errors(random, {0x3B1, symbols}, pattern, 30));
  }
  batch.check();
}

TEST_CASE("edit distance, every set: bands") {
  Random random(5);
  for (const size_t size : {1000, 1700, 3300, 4200}) {
    Batch batch;
    const std::u32string text = random_text(random, kLetters, size);
    for (const size_t percent : {0, 1, 5, 15, 30, 45, 60})
      batch.add(text, with_errors(random, kLetters, text, percent));
    batch.add(text, random_text(random, kLetters, size));
    batch.add(text, random_text(random, kLetters, 3 * size));
    // All errors in one place: the band is not as wide as they seem, or wider.
    for (const size_t place : {size_t{0}, size / 2, size - 100}) {
      for (const size_t insertion : {100, 300, 600, 1200}) {
        std::u32string longer = text;
        longer.insert(place, random_text(random, kLetters, insertion));
        batch.add(text, longer);
        batch.add(text, longer.substr(insertion / 2));
      }
    }
    batch.check();
  }
}

// Of so many characters that no path is cheap but the one that is meant.
constexpr Alphabet kMany = {0x4E00, 3000};

TEST_CASE("edit distance, every set: paths along the edges of bands") {
  Random random(6);
  // Bands of 4, 8, 16 and 32 blocks hold the diagonals that are up to these from the main one.
  for (const size_t blocks : {4, 8, 16, 32}) {
    const size_t edge = (blocks * 65 - 64) / 2;
    Batch batch;
    for (size_t shift = edge - 3; shift <= edge + 3; ++shift) {
      const size_t size = 160 * blocks + 600 + random() % 64, place = 40 * blocks + 300;
      const std::u32string text = random_text(random, kMany, size);
      const std::u32string shifted = text.substr(0, place) + random_text(random, kLetters, shift) +
                                     text.substr(place, size - place - shift);
      batch.add(text, shifted);
      batch.add(shifted, text);
      batch.add(text, shifted + random_text(random, kLetters, random() % 40));
    }
    batch.check();
  }
}

TEST_CASE("edit distance, every set: texts with less in common than it seems at first") {
  Random random(7);
  Batch batch;
  for (const size_t size : {2000, 3000, 6000}) {
    for (const size_t percent : {10, 25, 35}) {
      // The rest is far from the diagonals between the corners.
      const std::u32string text = random_text(random, kMany, size);
      batch.add(text, with_errors(random, kMany, text.substr(0, size / 3), percent) +
                          random_text(random, kLetters, size / 4) +
                          text.substr(size / 3, size - size / 3 - size / 4));
    }
  }
  batch.check();
}

TEST_CASE("edit distance, every set: texts much longer than the pattern") {
  Random random(7);
  Batch batch;
  for (const size_t size : {3, 64, 100, 300, 700, 2500}) {
    const std::u32string pattern = random_text(random, kLetters, size);
    std::u32string text = random_text(random, kLetters, 9000);
    batch.add(pattern, text);
    text.replace(6000, size, pattern);
    batch.add(pattern, text);
  }
  batch.check();
}

TEST_CASE("edit distance, every set: long texts of a large alphabet") {
  // 20,000 different characters: the table has room for the lanes of one vector.
  std::u32string a, b;
  for (char32_t i = 0; i < 20000; ++i) a += 0x20000 + i;
  b = a.substr(700, 9000) + U"-" + a.substr(9700, 500) + a.substr(10201);
  for (const Isa set : sets()) CHECK(EditDistance(set)(a, b) == 700 + 1 + 1);
}

}  // namespace perception
