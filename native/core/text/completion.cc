#include "core/text/completion.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <functional>

#include "core/text/lexing.h"

namespace perception {

namespace {

constexpr std::string_view kThinkOpen = "<think>";
constexpr std::string_view kThinkClose = "</think>";
constexpr std::string_view kAnswerOpen = "<answer>";
constexpr std::string_view kAnswerClose = "</answer>";
constexpr std::array<std::string_view, 3> kChatTokens = {kTurnEnd, kEndOfText, "<|im_start|>"};

// Length of the chat token at `position`, 0 where there is none.
size_t chat_token_size(std::string_view text, size_t position) {
  for (std::string_view token : kChatTokens) {
    if (has_at(text, position, token)) return token.size();
  }
  return 0;
}

// Appends `piece` without its chat tokens; true if it had any.
bool append_without_tokens(std::string_view piece, std::string& out) {
  bool found = false;
  size_t copied = 0;
  for (size_t at = piece.find("<|"); at < piece.size(); at = piece.find("<|", at)) {
    const size_t size = chat_token_size(piece, at);
    if (size == 0) {
      at += 2;
      continue;
    }
    out.append(piece.substr(copied, at - copied));
    copied = at += size;
    found = true;
  }
  out.append(piece.substr(copied));
  return found;
}

}  // namespace

void ParsedCompletion::clear() {
  objects.clear();
  labels.clear();
  faults = 0;
  format = 0;
  failed = false;
  failed_only_with_truth = false;
}

std::string_view ParsedCompletion::label(const ParsedObject& object) const {
  return std::string_view(labels).substr(object.label_begin, object.label_size);
}

Vocabulary::Slot Vocabulary::key_of(std::string_view label, size_t readable) {
  constexpr size_t kShort = sizeof Slot::words;
  static constexpr auto kMask = [] {
    std::array<uint8_t, 2 * kShort> mask = {};
    for (size_t i = 0; i < kShort; ++i) mask[i] = 0xff;
    return mask;
  }();
  Slot key;
  key.size = static_cast<uint32_t>(label.size());
  if (label.size() > kShort) {
    key.words[0] = std::hash<std::string_view>()(label);
  } else if (readable >= kShort) {
    uint64_t mask[2];
    std::memcpy(mask, kMask.data() + kShort - label.size(), kShort);
    std::memcpy(key.words, label.data(), kShort);
    key.words[0] &= mask[0];
    key.words[1] &= mask[1];
  } else {
    label.copy(reinterpret_cast<char*>(key.words), kShort);
  }
  return key;
}

size_t Vocabulary::slot_of(std::string_view label, const Slot& key) const {
  constexpr uint64_t kFactor = 0x9e3779b97f4a7c15;  // 2^64 / golden ratio
  const bool is_long = key.size > sizeof key.words;
  uint64_t hash = key.words[0] ^ (is_long ? 0 : std::rotl(key.words[1], 29));
  hash = (hash ^ hash >> 32) * kFactor;
  for (size_t at = hash >> 32;; ++at) {
    at &= slots_.size() - 1;
    const Slot& slot = slots_[at];
    if (slot.size == Slot::kFree) return at;
    if (slot.size != key.size || slot.words[0] != key.words[0]) continue;
    if (is_long ? long_labels_[slot.words[1]] == label : slot.words[1] == key.words[1]) return at;
  }
}

void Vocabulary::add(std::string_view label, int32_t id) {
  if (4 * (size_ + 1) > slots_.size()) {
    std::vector<Slot> before(std::max<size_t>(64, 2 * slots_.size()));
    before.swap(slots_);
    for (const Slot& slot : before) {
      if (slot.size == Slot::kFree) continue;
      const bool is_long = slot.size > sizeof slot.words;
      slots_[slot_of(is_long ? std::string_view(long_labels_[slot.words[1]]) : std::string_view(), slot)] =
          slot;
    }
  }
  Slot key = key_of(label, label.size());
  Slot& slot = slots_[slot_of(label, key)];
  if (slot.size == Slot::kFree) {
    if (label.size() > sizeof key.words) {
      key.words[1] = long_labels_.size();
      long_labels_.emplace_back(label);
    }
    slot = key;
    ++size_;
  }
  slot.id = id;
}

int32_t Vocabulary::find(std::string_view label, size_t readable) const {
  if (slots_.empty()) return -1;
  const Slot key = key_of(label, readable);
  return slots_[slot_of(label, key)].id;
}

size_t lex_number(std::string_view text, size_t position, double& value) {
  size_t i = position;
  bool negative = false;
  if (i < text.size() && (text[i] == '-' || text[i] == '+')) negative = text[i++] == '-';
  for (std::string_view word : {"NaN", "nan", "Infinity", "inf"}) {
    if (i < text.size() && text[i] != word[0]) continue;
    if (!has_at(text, i, word)) continue;
    const double infinity = std::numeric_limits<double>::infinity();
    value = word[0] == 'N' || word[0] == 'n' ? std::numeric_limits<double>::quiet_NaN()
            : negative                       ? -infinity
                                             : infinity;
    return i + word.size();
  }
  const size_t begin = i;
  i = skip_digits(text, begin);
  size_t digits = i - begin;
  if (i < text.size() && text[i] == '.') {
    const size_t end = skip_digits(text, i + 1);
    digits += end - i - 1;
    i = end;
  }
  if (digits == 0) return position;
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    const size_t sign = i + 1 < text.size() && (text[i + 1] == '-' || text[i + 1] == '+') ? 1 : 0;
    const size_t end = skip_digits(text, i + 1 + sign);
    if (end > i + 1 + sign) i = end;
  }
  value = to_double(text.substr(begin, i - begin));
  if (negative) value = -value;
  return i;
}

int32_t hex4(std::string_view text, size_t position) {
  if (position + 4 > text.size()) return -1;
  int32_t value = 0;
  const char* begin = text.data() + position;
  const auto result = std::from_chars(begin, begin + 4, value, 16);
  return result.ptr == begin + 4 && *begin != '-' ? value : -1;
}

void append_unescaped(std::string_view inside, std::string& out) {
  for (size_t i = 0; i < inside.size();) {
    const size_t backslash = inside.find('\\', i);
    out.append(inside.substr(i, backslash - i));
    if (backslash == std::string_view::npos) return;
    i = backslash + 1;
    const char c = i < inside.size() ? inside[i] : '\0';
    switch (c) {
      case '"':
      case '\'':
      case '\\':
      case '/':
        out.push_back(c);
        ++i;
        break;
      case 'b':
        out.push_back('\b');
        ++i;
        break;
      case 'f':
        out.push_back('\f');
        ++i;
        break;
      case 'n':
        out.push_back('\n');
        ++i;
        break;
      case 'r':
        out.push_back('\r');
        ++i;
        break;
      case 't':
        out.push_back('\t');
        ++i;
        break;
      case 'u': {
        int32_t code = hex4(inside, i + 1);
        if (code < 0) {
          out.push_back('\\');
          break;
        }
        i += 5;
        if (code >= 0xD800 && code < 0xDC00 && has_at(inside, i, "\\u")) {
          const int32_t low = hex4(inside, i + 2);
          if (low >= 0xDC00 && low < 0xE000) {
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
            i += 6;
          }
        }
        append_utf8(static_cast<char32_t>(code), out);
        break;
      }
      default:
        out.push_back('\\');
    }
  }
}

AnswerPieces answer_pieces(std::string_view text, std::vector<TextSpan>& pieces) {
  AnswerPieces result;
  pieces.clear();
  bool in_answer = false;
  size_t begin = 0;
  for (size_t at = text.find('<'); at < text.size(); at = text.find('<', at)) {
    if (has_at(text, at, kThinkOpen)) {
      result.wrapped = true;
      pieces.push_back({begin, at});
      const size_t close = text.find(kThinkClose, at);
      if (close == std::string_view::npos) {
        result.truncated = true;
        return result;
      }
      begin = at = close + kThinkClose.size();
    } else if (!in_answer && has_at(text, at, kThinkClose)) {
      result.wrapped = true;
      pieces.clear();
      begin = at += kThinkClose.size();
    } else if (!in_answer && has_at(text, at, kAnswerOpen)) {
      result.wrapped = in_answer = true;
      pieces.clear();
      begin = at += kAnswerOpen.size();
      const size_t close = text.find(kAnswerClose, at);
      result.truncated = close == std::string_view::npos;
      text = text.substr(0, close);
    } else {
      ++at;
    }
  }
  pieces.push_back({begin, text.size()});
  return result;
}

std::string_view read_text(std::string_view text, std::string& scratch) {
  std::vector<TextSpan> pieces;
  bool changed = answer_pieces(text, pieces).wrapped;
  scratch.clear();
  for (const TextSpan& piece : pieces) {
    changed |= append_without_tokens(text.substr(piece.begin, piece.end - piece.begin), scratch);
  }
  return changed ? trim(scratch) : text;
}

}  // namespace perception
