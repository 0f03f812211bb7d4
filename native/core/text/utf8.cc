#include "core/text/utf8.h"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace perception {
namespace {

constexpr char32_t kReplacement = 0xFFFD;
constexpr bool kLittleEndian = std::endian::native == std::endian::little;

bool is_continuation(uint8_t byte) { return (byte & 0xC0) == 0x80; }

struct Decoded {
  char32_t code_point;
  size_t size;  // bytes consumed
};

// Decodes the sequence that starts with the non-ASCII byte p[0]; `left` bytes are there. An
// ill-formed one consumes its maximal subpart: the longest start of some well-formed sequence, or
// one byte (WHATWG Encoding, Unicode chapter 3.9).
Decoded decode_sequence(const uint8_t* p, size_t left) {
  const uint8_t lead = p[0];
  // The range of the second byte refuses overlong forms and what lies beyond U+10FFFF.
  uint8_t low = 0x80, high = 0xBF;
  size_t size;
  char32_t code_point;
  if (lead >= 0xC2 && lead <= 0xDF) {
    size = 2;
    code_point = lead & 0x1F;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    size = 3;
    code_point = lead & 0x0F;
    if (lead == 0xE0) low = 0xA0;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    size = 4;
    code_point = lead & 0x07;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return {kReplacement, 1};
  }
  if (left < 2 || p[1] < low || p[1] > high) return {kReplacement, 1};
  // Only a whole surrogate is taken; the start of one is no start of a well-formed sequence.
  const bool surrogate = lead == 0xED && p[1] >= 0xA0;
  code_point = code_point << 6 | (p[1] & 0x3Fu);
  for (size_t i = 2; i < size; ++i) {
    if (i >= left || !is_continuation(p[i])) return {kReplacement, surrogate ? 1 : i};
    code_point = code_point << 6 | (p[i] & 0x3Fu);
  }
  return {code_point, size};
}

}  // namespace

void decode_utf8(std::string_view text, std::u32string& out) {
  const auto* p = reinterpret_cast<const uint8_t*>(text.data());
  const size_t size = text.size();
  const size_t old_size = out.size();
  out.resize(old_size + size);  // no byte makes more than one code point
  char32_t* to = out.data() + old_size;
  size_t i = 0;
  while (i < size) {
    while (size - i >= 8) {
      uint64_t word;
      std::memcpy(&word, p + i, 8);
      if ((word & 0x8080808080808080u) != 0) break;
      for (int k = 0; k < 8; ++k) to[k] = p[i + k];
      to += 8;
      i += 8;
    }
    while (i < size && p[i] < 0x80) *to++ = p[i++];
    // Three bytes for each character, in long runs: most scripts of Asia.
    while (kLittleEndian && size - i >= 4) {
      uint32_t bytes;
      std::memcpy(&bytes, p + i, sizeof bytes);
      const char32_t code_point = (bytes & 0x0F) << 12 | (bytes >> 8 & 0x3F) << 6 | (bytes >> 16 & 0x3F);
      if ((bytes & 0xC0C0F0) != 0x8080E0 || code_point < 0x800) break;  // the latter is an overlong form
      *to++ = code_point;
      i += 3;
    }
    if (i == size || p[i] < 0x80) continue;
    const Decoded decoded = decode_sequence(p + i, size - i);
    *to++ = decoded.code_point;
    i += decoded.size;
  }
  out.resize(static_cast<size_t>(to - out.data()));
}

char32_t next_code_point(std::string_view text, size_t& position) {
  const auto* p = reinterpret_cast<const uint8_t*>(text.data()) + position;
  const Decoded decoded = *p < 0x80 ? Decoded{*p, 1} : decode_sequence(p, text.size() - position);
  position += decoded.size;
  return decoded.code_point;
}

void append_utf8(char32_t code_point, std::string& out) {
  if (code_point > 0x10FFFF) code_point = kReplacement;
  const auto continuation = [&](int shift) {
    out.push_back(static_cast<char>(0x80 | (code_point >> shift & 0x3F)));
  };
  if (code_point < 0x80) {
    out.push_back(static_cast<char>(code_point));
  } else if (code_point < 0x800) {
    out.push_back(static_cast<char>(0xC0 | code_point >> 6));
    continuation(0);
  } else if (code_point < 0x10000) {
    out.push_back(static_cast<char>(0xE0 | code_point >> 12));
    continuation(6);
    continuation(0);
  } else {
    out.push_back(static_cast<char>(0xF0 | code_point >> 18));
    continuation(12);
    continuation(6);
    continuation(0);
  }
}

}  // namespace perception
