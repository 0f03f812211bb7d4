// Decoding as a whole against decoding one by one; text_test.cc has what the results are.
#include "core/text/utf8.h"

#include <doctest.h>

#include <cstddef>
#include <iterator>
#include <random>
#include <string>

namespace perception {

TEST_CASE("utf8: a text decodes as its characters one by one, whatever its bytes") {
  std::mt19937 random(1);
  // Leads and continuations of three bytes make long runs of them; the others end these in all ways.
  constexpr unsigned char kBytes[] = {0x41, 0x7F, 0x80, 0x9F, 0xA0, 0xBF, 0xC1, 0xC3,
                                      0xE0, 0xE4, 0xED, 0xEF, 0xF0, 0xF4, 0xFF};
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    const size_t size = random() % 40, rate = 2 + random() % 20;
    while (text.size() < size) {
      if (random() % rate == 0) {
        text += static_cast<char>(kBytes[random() % std::size(kBytes)]);
      } else {
        append_utf8(0x4E00 + random() % 0x5000, text);
      }
    }
    std::u32string expected;
    for (size_t at = 0; at < text.size();) expected += next_code_point(text, at);
    std::u32string decoded;
    decode_utf8(text, decoded);
    REQUIRE(decoded == expected);
  }
}

}  // namespace perception
