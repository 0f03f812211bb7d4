#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/text/edit_distance.h"
#include "core/text/token_metrics.h"
#include "core/text/utf8.h"
#include "doctest.h"

using perception::Code;
using perception::EditDistance;
using perception::PackedStrings;
using perception::Status;
using perception::TokenScores;

namespace {

std::u32string decoded(std::string_view text) {
  std::u32string out;
  perception::decode_utf8(text, out);
  return out;
}

std::string encoded(std::u32string_view text) {
  std::string out;
  for (char32_t code_point : text) perception::append_utf8(code_point, out);
  return out;
}

int64_t naive_distance(std::u32string_view a, std::u32string_view b) {
  std::vector<int64_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = static_cast<int64_t>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    int64_t diagonal = row[0];
    row[0] = static_cast<int64_t>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const int64_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

using Random = std::mt19937;

size_t below(Random& random, size_t bound) { return random() % bound; }

struct Alphabet {
  const char* name;
  char32_t first;
  size_t size;
};

constexpr Alphabet kAlphabets[] = {
    {"two letters", U'a', 2}, {"letters", U'a', 26},           {"CJK", 0x4E00, 3000},
    {"astral", 0x1F300, 700}, {"lone surrogates", 0xD800, 20}, {"plane 16", 0x10FF00, 256},
    {"page border", 0xFE, 4},
};

std::u32string random_text(Random& random, const Alphabet& alphabet, size_t size) {
  std::u32string text(size, U'\0');
  for (char32_t& c : text) c = alphabet.first + static_cast<char32_t>(below(random, alphabet.size));
  return text;
}

// `text` with some characters inserted, deleted or replaced.
std::u32string with_errors(Random& random, const Alphabet& alphabet, std::u32string_view text) {
  const size_t percent = 1 + below(random, 60);
  std::u32string out;
  for (char32_t c : text) {
    const size_t dice = below(random, 300);
    if (dice >= 3 * percent) {
      out += c;
      continue;
    }
    if (dice % 3 != 0) out += random_text(random, alphabet, 1);
    if (dice % 3 == 1) out += c;
  }
  return out;
}

struct Packed {
  std::string bytes;
  std::vector<int32_t> offsets = {0};

  void add(std::string_view text) {
    bytes += text;
    offsets.push_back(static_cast<int32_t>(bytes.size()));
  }
  PackedStrings view() const {
    return {{reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, offsets};
  }
};

bool contains(const Status& status, std::string_view part) {
  return status.message().find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("utf8: well-formed text") {
  CHECK(decoded("") == U"");
  CHECK(decoded("plain ASCII, more than eight bytes") == U"plain ASCII, more than eight bytes");
  CHECK(decoded(std::string_view("a\0b", 3)) == std::u32string_view(U"a\0b", 3));
  CHECK(decoded("12345678\xC3\xA9"
                "1234567\xE4\xB8\xAD"
                "12345678\xF0\x9F\x98\x80z") ==
        U"12345678\u00E9"
        U"1234567\u4E2D"
        U"12345678\U0001F600z");

  std::u32string out = U"kept ";
  perception::decode_utf8("text", out);
  CHECK(out == U"kept text");
}

TEST_CASE("utf8: every code point and surrogate survives the round trip") {
  bool same = true;
  std::string bytes;
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    bytes.clear();
    perception::append_utf8(c, bytes);
    const std::u32string back = decoded(bytes);
    same = same && back.size() == 1 && back[0] == c;
  }
  CHECK(same);
  CHECK(encoded(std::u32string(1, char32_t{0x110000})) == "\xEF\xBF\xBD");
}

TEST_CASE("utf8: ill-formed bytes become U+FFFD by maximal subparts") {
  struct Case {
    std::string_view bytes;
    std::u32string expected;
  };
  const char32_t r = 0xFFFD;
  using S = std::u32string;
  const Case cases[] = {
      {"\x80", {r}},
      {"\xBF\xBF", {r, r}},
      {"a\xFFz", {U'a', r, U'z'}},
      {"\xFE\xF5\xF8", {r, r, r}},
      {"\xC0\xAF", {r, r}},                // overlong '/'
      {"\xC1\xBF", {r, r}},                //
      {"\xE0\x80\xAF", {r, r, r}},         //
      {"\xE0\x9F\xBF", {r, r, r}},         // overlong U+07FF
      {"\xF0\x80\x80\xAF", {r, r, r, r}},  //
      {"\xF0\x8F\xBF\xBF", {r, r, r, r}},  // overlong U+FFFF
      {"\xF4\x90\x80\x80", {r, r, r, r}},  // U+110000
      {"\xF5\x80\x80\x80", {r, r, r, r}},  //
      {"\xC3", {r}},                       // truncated
      {"\xE4", {r}},                       //
      {"\xE4\xB8", {r}},                   //
      {"\xF0\x9F", {r}},                   //
      {"\xF0\x9F\x98", {r}},               //
      {"\xC3z", {r, U'z'}},                //
      {"\xE4\xB8z", {r, U'z'}},            //
      {"\xF0\x9F\x98z", {r, U'z'}},        //
      {"\xE4\xE4\xB8\xAD", {r, 0x4E2D}},   //
      {"\xF0\x9F\xC3\xA9", {r, 0xE9}},     //
      {"\xF4\x8F\xBF", {r}},               //
      {"\xED\xA0\x80", {0xD800}},          // lone surrogates are kept
      {"\xED\xBF\xBF", {0xDFFF}},          //
      {"\xED\xA0\xBD\xED\xB8\x80", {0xD83D, 0xDE00}},
      {"\xED\xA0", {r, r}},         // half of one is not
      {"\xED\xA0z", {r, r, U'z'}},  //
      {"\xED\x9F\xBF", {0xD7FF}},   //
      {"\xED\x9F", {r}},            //
      // The example of the Unicode Standard, table 3-11.
      {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", {r, r, r, r, U'A'}},
  };
  for (const Case& c : cases) {
    CAPTURE(std::string(c.bytes));
    CHECK(decoded(c.bytes) == c.expected);
    CHECK(decoded("12345678" + std::string(c.bytes)) == S(U"12345678") + c.expected);
  }
}

TEST_CASE("utf8: any bytes decode") {
  Random random(1);
  for (int i = 0; i < 2000; ++i) {
    std::string bytes(below(random, 40), '\0');
    for (char& c : bytes)
      c = static_cast<char>(below(random, 3) == 0 ? random() & 0x7F : 0x80 | (random() & 0x7F));
    const std::u32string text = decoded(bytes);
    REQUIRE(text.size() <= bytes.size());
    REQUIRE(decoded(encoded(text)) == text);
  }
}

TEST_CASE("edit distance: by hand") {
  EditDistance distance;
  CHECK(distance(U"", U"") == 0);
  CHECK(distance(U"", U"abc") == 3);
  CHECK(distance(U"abc", U"") == 3);
  CHECK(distance(U"abc", U"abc") == 0);
  CHECK(distance(U"kitten", U"sitting") == 3);
  CHECK(distance(U"intention", U"execution") == 5);
  CHECK(distance(U"prefix-a-suffix", U"prefix-b-suffix") == 1);
  CHECK(distance(U"aaa", U"aaaaa") == 2);  // prefix and suffix overlap
  CHECK(distance(U"abab", U"ab") == 2);
  CHECK(distance(U"\U0001F600", U"\U0001F601") == 1);
  CHECK(distance(U"\u00E9", U"e\u0301") == 2);  // code points, not what the reader sees
}

TEST_CASE("edit distance: agrees with the plain recurrence") {
  Random random(2);
  EditDistance distance;  // one object all along: what a call leaves behind must not matter
  const size_t borders[] = {63, 64, 65, 127, 128, 129, 191, 192, 193, 255, 256, 257, 320, 321};
  for (int round = 0; round < 60; ++round) {
    for (const Alphabet& alphabet : kAlphabets) {
      const size_t limit = round % 3 == 0 ? 12 : round % 3 == 1 ? 90 : 300;
      for (int kind = 0; kind < 6; ++kind) {
        size_t size_a = below(random, limit + 1), size_b = below(random, limit + 1);
        if (kind >= 3) size_a = borders[below(random, std::size(borders))];
        if (kind == 4) size_b = borders[below(random, std::size(borders))];
        std::u32string a = random_text(random, alphabet, size_a);
        std::u32string b =
            kind % 3 == 2 ? with_errors(random, alphabet, a) : random_text(random, alphabet, size_b);
        if (kind == 0) {
          const std::u32string start = random_text(random, alphabet, below(random, 70));
          const std::u32string end = random_text(random, alphabet, below(random, 70));
          a = start + a + end;
          b = start + b + end;
        }
        CAPTURE(alphabet.name);
        CAPTURE(a.size());
        CAPTURE(b.size());
        const int64_t expected = naive_distance(a, b);
        REQUIRE(distance(a, b) == expected);
        REQUIRE(distance(b, a) == expected);
      }
    }
  }
}

TEST_CASE("edit distance: every size around the word borders") {
  Random random(3);
  EditDistance distance;
  for (size_t m = 60; m <= 68; ++m) {
    for (size_t n : {m, m + 1, m + 40, size_t{130}}) {
      const std::u32string a = random_text(random, kAlphabets[0], m);
      const std::u32string b = random_text(random, kAlphabets[0], n);
      REQUIRE(distance(a, b) == naive_distance(a, b));
    }
    const std::u32string x(m, U'x'), y(2 * m, U'y');
    REQUIRE(distance(x, y) == static_cast<int64_t>(2 * m));
    REQUIRE(distance(x, y + x + y) == static_cast<int64_t>(4 * m));
  }
}

TEST_CASE("edit distance: a large alphabet") {
  // 60,000 different characters in 938 blocks; a table of all characters by all blocks would take
  // 450 MB.
  std::u32string a, b;
  for (char32_t i = 0; i < 60000; ++i) a += 0x20000 + i;
  b = U"-" + a.substr(0, 300) + U"-" + a.substr(300, 500) + a.substr(801, 100) + U"--";
  EditDistance distance;
  // Two hyphens inserted, one character deleted, the rest of `a` replaced by two hyphens.
  CHECK(distance(a, b) == 2 + 1 + (60000 - 901));
}

TEST_CASE("edit distance: values that are no code points are harmless") {
  EditDistance distance;
  const std::u32string a(80, char32_t{0xFFFFFFFF}), b(90, char32_t{0x110000});
  CHECK(distance(a, b) >= 10);
  CHECK(distance(U"kitten", U"sitting") == 3);
}

TEST_CASE("edit distance: batch") {
  Random random(4);
  Packed a, b;
  std::vector<int32_t> expected;
  const auto add = [&](const std::string& x, const std::string& y) {
    a.add(x);
    b.add(y);
    expected.push_back(static_cast<int32_t>(naive_distance(decoded(x), decoded(y))));
  };
  add("", "");
  add("", "\xE4\xB8\xAD\xE6\x96\x87");
  add("\xED\xA0\x80", "\xED\xA0\x81");
  add("\xED\xA0\x80", "\xEF\xBF\xBD");  // a lone surrogate is not the replacement character
  for (int i = 0; i < 1500; ++i) {
    const Alphabet& alphabet = kAlphabets[below(random, std::size(kAlphabets))];
    const std::u32string x = random_text(random, alphabet, below(random, 100));
    add(encoded(x), encoded(with_errors(random, alphabet, x)));
  }
  std::vector<int32_t> distances(expected.size(), -1);
  CHECK(perception::edit_distance_batch(a.view(), b.view(), distances).ok());
  CHECK(distances == expected);
  CHECK(expected[3] == 1);

  const Packed none;
  CHECK(perception::edit_distance_batch(none.view(), none.view(), {}).ok());
}

TEST_CASE("edit distance: batch refuses arguments that do not fit") {
  Packed a, b;
  a.add("one");
  a.add("two");
  b.add("one");
  std::vector<int32_t> distances(2);
  Status status = perception::edit_distance_batch(a.view(), b.view(), distances);
  CHECK(status.code() == Code::kShapeMismatch);
  CHECK(contains(status, "b: expected 2"));
  CHECK(contains(status, "received 1"));

  b.add("three");
  status = perception::edit_distance_batch(a.view(), b.view(), std::span(distances).first(1));
  CHECK(status.code() == Code::kShapeMismatch);
  CHECK(contains(status, "distances: expected length 2"));
  CHECK(contains(status, "received 1"));

  status = perception::edit_distance_batch(a.view(), {}, distances);
  CHECK(status.code() == Code::kInvalidOffsets);
  CHECK(contains(status, "b.offsets"));

  for (const std::vector<int32_t>& bad :
       std::vector<std::vector<int32_t>>{{1, 3, 6}, {0, 7, 6}, {0, -1, 6}, {0, 3, 5}, {0, 3, 2147483647}}) {
    PackedStrings broken = a.view();
    broken.offsets = bad;
    status = perception::edit_distance_batch(broken, b.view(), distances);
    CHECK(status.code() == Code::kInvalidOffsets);
    CHECK(contains(status, "a.offsets"));
  }
}

TEST_CASE("token scores: sets") {
  TokenScores scores = perception::token_scores("a b b c", "a b d e");
  CHECK(scores.precision == doctest::Approx(2.0 / 3));
  CHECK(scores.recall == doctest::Approx(0.5));
  CHECK(scores.f1 == doctest::Approx(4.0 / 7));

  scores = perception::token_scores("x y", "a b");
  CHECK(scores.precision == 0);
  CHECK(scores.recall == 0);
  CHECK(scores.f1 == 0);
  CHECK(scores.bleu == 0);

  // Case and punctuation are part of a token.
  CHECK(perception::token_scores("The end.", "the end").f1 == 0);
}

TEST_CASE("token scores: empty texts score 0") {
  for (const auto& [prediction, reference] : std::vector<std::pair<std::string, std::string>>{
           {"", ""}, {"", "a b"}, {"a b", ""}, {" \t\n", "a"}, {"a", "\xE3\x80\x80"}}) {
    const TokenScores scores = perception::token_scores(prediction, reference);
    CHECK(scores.precision == 0);
    CHECK(scores.recall == 0);
    CHECK(scores.f1 == 0);
    CHECK(scores.bleu == 0);
  }
}

TEST_CASE("token scores: white space is Python's") {
  const auto separates = [](char32_t c) {
    return perception::token_scores("a" + encoded(std::u32string(1, c)) + "b", "b a").f1 == 1;
  };
  for (char32_t c : {0x09,   0x0A,   0x0B,   0x0C,   0x0D,   0x1C,   0x1D,   0x1E,   0x1F,   0x20,
                     0x85,   0xA0,   0x1680, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006,
                     0x2007, 0x2008, 0x2009, 0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}) {
    CAPTURE(static_cast<uint32_t>(c));
    CHECK(separates(c));
  }
  for (char32_t c : {0x00, 0x08, 0x0E, 0x1B, 0x21, 0x180E, 0x200B, 0x2060, 0xFEFF}) {
    CAPTURE(static_cast<uint32_t>(c));
    CHECK_FALSE(separates(c));
  }
}

TEST_CASE("token scores: BLEU") {
  const auto bleu = [](std::string_view prediction, std::string_view reference) {
    return perception::token_scores(prediction, reference).bleu;
  };
  const double tiny = std::numeric_limits<double>::min();
  const auto close = [](double value) { return doctest::Approx(value).epsilon(1e-12).scale(0); };

  CHECK(bleu("a b c d", "a b c d") == close(1));
  CHECK(bleu("a b c d e", "a b c d") == close(std::pow(4.0 / 5 * 3 / 4 * 2 / 3 * 1 / 2, 0.25)));
  CHECK(bleu("a b c d", "a b c d e") == close(std::exp(1 - 5.0 / 4)));
  // Matches are clipped: 2 of 4 `the`, 1 of 3 pairs, nothing longer.
  CHECK(bleu("the the the the", "the the cat sat") ==
        close(std::pow(2.0 / 4 * 1 / 3, 0.25) * std::sqrt(tiny)));
  // Fewer than 4 tokens: the missing orders count as 0 of 1, even for an exact match.
  CHECK(bleu("a b c", "a b c") == close(std::pow(tiny, 0.25)));
  CHECK(bleu("a", "a") == close(std::pow(tiny, 0.75)));
  CHECK(bleu("a", "a b") == close(std::pow(tiny, 0.75) * std::exp(-1.0)));
  // Tokens that the reference lacks never match each other.
  CHECK(bleu("x y x y a", "a x2 y2 x2 y2") == close(std::pow(1.0 / 5, 0.25) * std::pow(tiny, 0.75)));
}
