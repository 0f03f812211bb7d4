// UTF-8 to code points. Total: what is ill-formed becomes U+FFFD, one per maximal subpart as the WHATWG
// decoder does; a lone surrogate's three bytes (WTF-8) are kept as that code point, so that JavaScript
// strings which are not well-formed still compare exactly.
#pragma once

#include <string>
#include <string_view>

namespace perception {

// Appends the code points of `text` to `out`.
void decode_utf8(std::string_view text, std::u32string& out);

// Appends `code_point` to `out` as UTF-8 (surrogates as WTF-8; above U+10FFFF, U+FFFD).
void append_utf8(char32_t code_point, std::string& out);

}  // namespace perception
