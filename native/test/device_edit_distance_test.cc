// Pairs of strings as numbers, and the GPU's edit distance, by lanes of the host, against core.
#include <doctest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/text/edit_distance.h"
#include "core/text/text_pairs.h"
#include "core/text/utf8.h"
#include "cuda/edit_distance.cuh"
#include "cuda/host_lanes.h"

namespace perception::cuda {
namespace {

using Random = std::mt19937;

struct Strings {
  std::string bytes;
  std::vector<int32_t> offsets = {0};

  void add(std::string_view text) {
    bytes += text;
    offsets.push_back(static_cast<int32_t>(bytes.size()));
  }
  void add(std::u32string_view text) {
    for (const char32_t code_point : text) append_utf8(code_point, bytes);
    offsets.push_back(static_cast<int32_t>(bytes.size()));
  }
  PackedStrings view() const {
    return {{reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, offsets};
  }
};

struct Pairs {
  Strings a, b;

  template <class Text>
  void add(const Text& x, const Text& y) {
    a.add(x);
    b.add(y);
  }
  NumberedPairs numbered() const {
    NumberedPairs result;
    REQUIRE(number_pairs(a.view(), b.view(), result).ok());
    return result;
  }
  std::vector<int32_t> by_core() const {
    std::vector<int32_t> distances(a.offsets.size() - 1);
    REQUIRE(edit_distance_batch(a.view(), b.view(), distances).ok());
    return distances;
  }
};

std::u32string random_text(Random& random, size_t symbols, size_t size) {
  // From ASCII to beyond the basic plane, lone surrogates among them.
  const char32_t first = symbols <= 64 ? U' ' : symbols <= 1000 ? 0xD700 : 0xFF00;
  std::u32string text(size, U'\0');
  for (char32_t& c : text) c = first + static_cast<char32_t>(random() % symbols);
  return text;
}

// `text` with some characters replaced, deleted or inserted.
std::u32string with_errors(Random& random, size_t symbols, std::u32string_view text, size_t percent) {
  std::u32string result;
  for (const char32_t c : text) {
    const size_t dice = random() % 300;
    if (dice >= percent || dice % 3 == 1) result += c;
    if (dice < percent && dice % 3 != 0) result += random_text(random, symbols, 1);
  }
  return result;
}

void add_random(Random& random, Pairs& pairs, size_t symbols, size_t size) {
  const std::u32string text = random_text(random, symbols, size);
  switch (random() % 4) {
    case 0:
      return pairs.add(text, random_text(random, symbols, random() % (2 * size + 2)));
    case 1:
      return pairs.add(with_errors(random, symbols, text, 5), text);
    default:
      return pairs.add(text, with_errors(random, symbols, text, 100));
  }
}

TEST_CASE("text pairs: the shorter one is the pattern, without common ends, numbered by appearance") {
  Pairs pairs;
  pairs.add(std::string_view("xxsittingyy"), std::string_view("xxkittenyy"));
  pairs.add(std::string_view(""), std::string_view("ab"));
  pairs.add(std::string_view("same"), std::string_view("same"));
  // An astral code point, a lone surrogate, and bytes that are no UTF-8 (U+FFFD each).
  pairs.add(std::string_view("\xF0\x9F\x98\x80\xED\xA0\x80."),
            std::string_view("\xED\xA0\x80\xFF\xFE\xEF\xBF\xBD"));
  const NumberedPairs result = pairs.numbered();
  CHECK(result.pattern_offsets == std::vector<int32_t>{0, 6, 6, 6, 9});
  CHECK(result.text_offsets == std::vector<int32_t>{0, 7, 9, 9, 13});
  // Of kitten and sitting, and of the last pair.
  CHECK(result.pattern_ids == std::vector<int32_t>{1, 2, 3, 3, 4, 5, 1, 2, 3});
  CHECK(result.text_ids == std::vector<int32_t>{0, 2, 3, 3, 2, 5, 0, 0, 0, 2, 0, 0, 0});
  CHECK(result.longest_pattern == 6);
  CHECK(result.longest_text == 7);
  CHECK(result.most_symbols == 5);
}

TEST_CASE("text pairs: random ones keep their distance, for every number of threads") {
  Random random(1);
  Pairs pairs;
  for (int i = 0; i < 3000; ++i) add_random(random, pairs, size_t{2} << random() % 12, random() % 90);
  for (int i = 0; i < 3; ++i) add_random(random, pairs, 2000, 3000);
  const NumberedPairs result = pairs.numbered();
  const std::vector<int32_t> expected = pairs.by_core();
  REQUIRE(result.pattern_offsets.size() == expected.size() + 1);
  REQUIRE(result.text_offsets.size() == expected.size() + 1);
  EditDistance distance;
  int64_t longest_pattern = 0, longest_text = 0, most_symbols = 0;
  bool as_told = true;
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto part = [&](const std::vector<int32_t>& ids, const std::vector<int32_t>& offsets) {
      return std::u32string(ids.begin() + offsets[i], ids.begin() + offsets[i + 1]);
    };
    const std::u32string pattern = part(result.pattern_ids, result.pattern_offsets);
    const std::u32string text = part(result.text_ids, result.text_offsets);
    char32_t symbols = 0;
    for (const char32_t id : pattern) {
      as_told &= id >= 1 && id <= symbols + 1;
      symbols = std::max(symbols, id);
    }
    for (const char32_t id : text) as_told &= id <= symbols;
    as_told &= pattern.size() <= text.size();
    as_told &= pattern.empty() || (pattern.front() != text.front() && pattern.back() != text.back());
    longest_pattern = std::max(longest_pattern, static_cast<int64_t>(pattern.size()));
    longest_text = std::max(longest_text, static_cast<int64_t>(text.size()));
    most_symbols = std::max(most_symbols, static_cast<int64_t>(symbols));
    REQUIRE(distance(pattern, text) == expected[i]);
  }
  CHECK(as_told);
  CHECK(result.longest_pattern == longest_pattern);
  CHECK(result.longest_text == longest_text);
  CHECK(result.most_symbols == most_symbols);

  const int before = thread_count();
  for (const int threads : {1, 4}) {
    set_thread_count(threads);
    const NumberedPairs again = pairs.numbered();
    CHECK(again.pattern_ids == result.pattern_ids);
    CHECK(again.text_ids == result.text_ids);
    CHECK(again.pattern_offsets == result.pattern_offsets);
    CHECK(again.text_offsets == result.text_offsets);
  }
  set_thread_count(before);
}

TEST_CASE("text pairs: none, and what is refused") {
  Pairs pairs;
  const NumberedPairs none = pairs.numbered();
  CHECK(none.pattern_offsets == std::vector<int32_t>{0});
  CHECK(none.text_offsets == std::vector<int32_t>{0});
  CHECK(none.text_ids.empty());

  pairs.a.add(std::string_view("one"));
  NumberedPairs result;
  CHECK(number_pairs(pairs.a.view(), pairs.b.view(), result).code() == Code::kShapeMismatch);
  pairs.b.add(std::string_view("two"));
  PackedStrings broken = pairs.b.view();
  broken.bytes = broken.bytes.first(2);
  CHECK(number_pairs(pairs.a.view(), broken, result).code() == Code::kInvalidOffsets);

  int64_t longest = 0;
  std::vector<int32_t> offsets = {0, std::numeric_limits<int32_t>::max() - 1, 0, 1};
  CHECK(text_pairs::add_up(offsets, longest).ok());
  CHECK(offsets.back() == std::numeric_limits<int32_t>::max());
  CHECK(longest == std::numeric_limits<int32_t>::max() - 1);
  offsets = {0, std::numeric_limits<int32_t>::max() - 1, 0, 2};
  CHECK(text_pairs::add_up(offsets, longest).code() == Code::kTooLarge);
}

// The arguments of a kernel for lanes in groups of `lanes`, and their memory, of exactly the size.
template <int kWords>
struct Arguments {
  const NumberedPairs pairs;
  const bool table_in_shared;
  const int32_t width;
  const size_t table_bytes, workspace_bytes;
  std::vector<uint64_t> workspace, shared;
  std::vector<int32_t> distances;
  EditDistances<kWords> kernel;

  Arguments(const Pairs& strings, int lanes, int64_t groups, bool table_in_shared)
      : pairs(strings.numbered()),
        table_in_shared(table_in_shared),
        width(EditDistances<kWords>::width_for(static_cast<int32_t>(pairs.longest_pattern), lanes)),
        table_bytes(EditDistances<kWords>::table_bytes(pairs.most_symbols, width)),
        workspace_bytes((table_in_shared ? 0 : table_bytes) +
                        (EditDistances<kWords>::border_bytes(static_cast<int32_t>(pairs.longest_pattern),
                                                             pairs.longest_text, lanes) +
                         7) /
                            8 * 8),
        workspace(workspace_bytes * static_cast<size_t>(groups) / 8, 0x5a5a5a5a5a5a5a5a),
        shared(table_in_shared ? table_bytes / 8 : 0, 0x5a5a5a5a5a5a5a5a),
        distances(strings.a.offsets.size() - 1, -1),
        kernel{{pairs.pattern_ids.data(), pairs.pattern_offsets.data(), pairs.text_ids.data(),
                pairs.text_offsets.data(), static_cast<int64_t>(distances.size()), pairs.longest_pattern,
                pairs.longest_text, pairs.most_symbols},
               distances.data(),
               groups,
               width,
               reinterpret_cast<unsigned char*>(workspace.data()),
               workspace_bytes,
               table_in_shared} {}

  template <class Lanes>
  void run(Lanes& lanes, int64_t problem) {
    kernel(lanes, problem, reinterpret_cast<unsigned char*>(shared.data()));
  }
};

template <int kSize, int kWords>
std::vector<int32_t> in_lockstep(const Pairs& pairs, int64_t groups, bool table_in_shared) {
  Arguments<kWords> arguments(pairs, kSize, groups, table_in_shared);
  for (int64_t problem = 0; problem < groups; ++problem) {
    LockstepLanes<kSize> lanes;
    arguments.run(lanes, problem);
  }
  return arguments.distances;
}

template <int kSize, int kWords>
void check_random(Random& random, size_t pairs_per_batch, size_t most) {
  CAPTURE(kSize);
  CAPTURE(kWords);
  for (int round = 0; round < 24; ++round) {
    Pairs pairs;
    const size_t symbols = size_t{2} << random() % 11;
    for (size_t i = random() % (pairs_per_batch + 1); i > 0; --i)
      add_random(random, pairs, symbols, random() % (1 + (most >> round % 6)));
    CAPTURE(round);
    REQUIRE(in_lockstep<kSize, kWords>(pairs, 1 + random() % 3, round % 2 == 0) == pairs.by_core());
  }
}

TEST_CASE("edit distance on lanes: random texts, within a strip and over several") {
  Random random(2);
  check_random<4, 1>(random, 20, 900);
  check_random<4, 2>(random, 20, 1400);
  check_random<32, 1>(random, 20, 400);
  check_random<32, 2>(random, 20, 400);
  check_random<64, 2>(random, 20, 400);
}

TEST_CASE("edit distance on lanes: sizes around the borders of words and strips") {
  Random random(3);
  for (const size_t border : {64, 128, 256, 512, 768}) {
    Pairs pairs;
    for (const size_t size : {border - 1, border, border + 1}) {
      for (const size_t more : {0, 1, 30, 64}) {
        // No common ends, which would make them shorter.
        const std::u32string core_a = random_text(random, 3, size - 2),
                             core_b = random_text(random, 3, size - 2 + more);
        pairs.add(U"-" + core_a + U"-", U"+" + core_b + U"+");
      }
      pairs.add(std::u32string(size, U'x'), std::u32string(2 * size, U'y'));
      pairs.add(std::u32string(size, U'x'), U"y" + std::u32string(size, U'x') + U"y");
    }
    const std::vector<int32_t> expected = pairs.by_core();
    CAPTURE(border);
    CHECK(in_lockstep<4, 1>(pairs, 1, true) == expected);
    CHECK(in_lockstep<4, 2>(pairs, 2, false) == expected);
    CHECK(in_lockstep<32, 1>(pairs, 1, false) == expected);
    CHECK(in_lockstep<32, 2>(pairs, 2, true) == expected);
  }
}

TEST_CASE("edit distance on lanes: empty, equal and very different texts") {
  Pairs pairs;
  pairs.add(std::string_view(""), std::string_view(""));
  pairs.add(std::string_view("abc"), std::string_view(""));
  pairs.add(std::string_view("same text"), std::string_view("same text"));
  pairs.add(std::string_view("a"), std::string_view("b"));
  pairs.add(std::string_view("aaa"), std::string_view("aaaaa"));
  const std::vector<int32_t> expected = {0, 3, 0, 1, 2};
  for (const int64_t groups : {1, 2, 5}) CHECK(in_lockstep<32, 1>(pairs, groups, true) == expected);
  // Where no pattern is left there is no table.
  Pairs empty;
  empty.add(std::string_view(""), std::string_view("abc"));
  CHECK(in_lockstep<32, 1>(empty, 1, true) == std::vector<int32_t>{3});
  CHECK(in_lockstep<32, 2>(empty, 1, false) == std::vector<int32_t>{3});
}

template <int kWords>
void check_threads() {
  Random random(4);
  // Several strips; and so short that not all lanes have words.
  for (const std::vector<size_t>& sizes : {std::vector<size_t>{5, 80, 330, 800, 0, 600}, {70, 3, 64}}) {
    Pairs pairs;
    for (const size_t size : sizes) add_random(random, pairs, 6, size);
    for (const bool table_in_shared : {false, true}) {
      Arguments<kWords> arguments(pairs, 4, 1, table_in_shared);
      run_on_threads<4>([&](ThreadLanes<4>& lanes) { arguments.run(lanes, 0); });
      CHECK(arguments.distances == pairs.by_core());
    }
  }
}

TEST_CASE("edit distance on threads") {
  check_threads<1>();
  check_threads<2>();
}

}  // namespace
}  // namespace perception::cuda
