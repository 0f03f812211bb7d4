#include "core/text/token_metrics.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "core/text/utf8.h"

namespace perception {
namespace {

using Token = std::u32string_view;

// Appends the tokens of `text`, which are inside `decoded`.
void split(std::string_view text, std::u32string& decoded, std::vector<Token>& tokens) {
  decoded.clear();
  decode_utf8(text, decoded);
  const char32_t *const end = decoded.data() + decoded.size(), *begin = decoded.data();
  for (const char32_t* c = begin;; ++c) {
    if (c < end && !is_python_space(*c)) continue;
    if (c > begin) tokens.emplace_back(begin, static_cast<size_t>(c - begin));
    if (c == end) return;
    begin = c + 1;
  }
}

// What hashes are multiplied by: odd, so that nothing is lost, and another one in every process, so that no
// text can be made to be slow.
uint64_t multiplier() {
  static const uint64_t value =
      static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()) *
          0x9E3779B97F4A7C15 |
      1;
  return value;
}

uint64_t hash_of(Token token, uint64_t multiplier) {
  uint64_t hash = token.size();
  for (size_t i = 0; i < token.size(); i += 2) {
    const uint64_t next = i + 1 < token.size() ? token[i + 1] : 0;
    hash = (hash ^ (next << 32 | token[i])) * multiplier;
    hash ^= hash >> 32;
  }
  return hash * multiplier;
}

// Numbers items from 0, equal ones alike.
class Numbering {
 public:
  // equal(i, j) is asked of items with the same hash. Returns how many numbers there are.
  template <class Equal>
  uint32_t operator()(const std::vector<uint64_t>& hashes, const Equal& equal,
                      std::vector<uint32_t>& numbers) {
    const int bits = static_cast<int>(std::bit_width(hashes.size())) + 1;
    const size_t last = (size_t{1} << bits) - 1;
    items_.assign(last + 1, kNone);
    numbers.resize(hashes.size());
    uint32_t count = 0;
    for (uint32_t i = 0; i < hashes.size(); ++i) {
      size_t place = hashes[i] >> (64 - bits);
      while (items_[place] != kNone && (hashes[items_[place]] != hashes[i] || !equal(items_[place], i)))
        place = (place + 1) & last;
      if (items_[place] == kNone) {
        items_[place] = i;
        numbers[i] = count++;
      } else {
        numbers[i] = numbers[items_[place]];
      }
    }
    return count;
  }

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};
  std::vector<uint32_t> items_;  // by hash
};

struct Overlap {
  size_t predicted = 0, expected = 0;  // different items
  size_t common = 0;                   // different items that are in both
  size_t matches = 0;                  // items in both, each used once
};

// The first `predicted` numbers are the prediction's, the others the reference's.
Overlap overlap(const std::vector<uint32_t>& numbers, size_t predicted, uint32_t count,
                std::vector<uint32_t>& uses) {
  uses.assign(2 * size_t{count}, 0);
  for (size_t i = 0; i < numbers.size(); ++i) ++uses[2 * size_t{numbers[i]} + (i >= predicted)];
  Overlap result;
  for (size_t i = 0; i < uses.size(); i += 2) {
    const uint32_t least = std::min(uses[i], uses[i + 1]);
    result.predicted += uses[i] > 0;
    result.expected += uses[i + 1] > 0;
    result.common += least > 0;
    result.matches += least;
  }
  return result;
}

constexpr size_t kOrders = 4;

// Scratch memory of a thread.
struct Scratch {
  std::u32string prediction, reference;
  std::vector<Token> tokens;
  std::vector<uint64_t> hashes;
  std::vector<uint32_t> words, grams, uses;
  Numbering number;
};

}  // namespace

TokenScores token_scores(std::string_view prediction, std::string_view reference) {
  thread_local Scratch scratch;
  std::vector<Token>& tokens = scratch.tokens;
  std::vector<uint64_t>& hashes = scratch.hashes;
  std::vector<uint32_t>&words = scratch.words, &grams = scratch.grams;
  tokens.clear();
  split(prediction, scratch.prediction, tokens);
  const size_t predicted = tokens.size();
  split(reference, scratch.reference, tokens);
  const size_t expected = tokens.size() - predicted;
  hashes.resize(tokens.size());
  const uint64_t scatter = multiplier();
  std::transform(tokens.begin(), tokens.end(), hashes.begin(),
                 [&](Token token) { return hash_of(token, scatter); });
  const uint32_t vocabulary = scratch.number(
      hashes, [&](uint32_t i, uint32_t j) { return tokens[i] == tokens[j]; }, words);

  const Overlap sets = overlap(words, predicted, vocabulary, scratch.uses);
  const auto common = static_cast<double>(sets.common);
  TokenScores scores;
  if (sets.predicted > 0) scores.precision = common / static_cast<double>(sets.predicted);
  if (sets.expected > 0) scores.recall = common / static_cast<double>(sets.expected);
  if (common > 0) scores.f1 = 1.0 / (0.5 / scores.precision + 0.5 / scores.recall);

  // nltk's sentence_bleu with its defaults.
  if (sets.matches == 0) return scores;
  double log_sum = 0;
  size_t matches = sets.matches, predicted_grams = predicted;
  grams = words;
  for (size_t n = 1; n <= kOrders; ++n) {
    if (n > 1) {
      // An n-gram is the shorter one there and another word: by their numbers.
      const size_t next_predicted = predicted - std::min(predicted, n - 1);
      const size_t next_expected = expected - std::min(expected, n - 1);
      hashes.clear();
      const auto add = [&](size_t gram, size_t word) {
        hashes.push_back((uint64_t{grams[gram]} << 32 | words[word]) * scatter);
      };
      for (size_t i = 0; i < next_predicted; ++i) add(i, i + n - 1);
      for (size_t i = 0; i < next_expected; ++i) add(predicted_grams + i, predicted + i + n - 1);
      const uint32_t count = scratch.number(
          hashes, [](uint32_t, uint32_t) { return true; }, grams);
      predicted_grams = next_predicted;
      matches = overlap(grams, predicted_grams, count, scratch.uses).matches;
    }
    // nltk has the least normal number stand for a precision of zero: such a score is tiny, not 0.
    const double total = static_cast<double>(std::max<size_t>(predicted + 1, n + 1) - n);
    const double precision =
        matches == 0 ? std::numeric_limits<double>::min() : static_cast<double>(matches) / total;
    log_sum += std::log(precision) / kOrders;
  }
  const double ratio = static_cast<double>(expected) / static_cast<double>(predicted);
  const double brevity_penalty = ratio < 1 ? 1 : std::exp(1 - ratio);
  scores.bleu = brevity_penalty * std::exp(log_sum);
  return scores;
}

}  // namespace perception
