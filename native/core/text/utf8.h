// UTF-8 to code points. Total: what is ill-formed becomes U+FFFD, one per maximal subpart as the WHATWG
// decoder does; a lone surrogate's three bytes (WTF-8) are kept as that code point, so that JavaScript
// strings which are not well-formed still compare exactly.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace perception {

// Appends the code points of `text` to `out`.
void decode_utf8(std::string_view text, std::u32string& out);

// The code point at `position`, which must lie inside the text and is moved behind it.
char32_t next_code_point(std::string_view text, size_t& position);

// What Python's str.isspace and its regular expressions' \s take for white space.
constexpr bool is_python_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

// Appends `code_point` to `out` as UTF-8 (surrogates as WTF-8; above U+10FFFF, U+FFFD).
void append_utf8(char32_t code_point, std::string& out);

}  // namespace perception
