#include "core/text/token_metrics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "core/text/utf8.h"

namespace perception {
namespace {

using Tokens = std::vector<std::u32string_view>;

Tokens split(std::u32string_view text) {
  Tokens tokens;
  size_t i = 0;
  while (i < text.size()) {
    while (i < text.size() && is_python_space(text[i])) ++i;
    const size_t begin = i;
    while (i < text.size() && !is_python_space(text[i])) ++i;
    if (i > begin) tokens.push_back(text.substr(begin, i - begin));
  }
  return tokens;
}

Tokens sorted_set(Tokens tokens) {
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  return tokens;
}

// Calls `compare(x, y)`, which orders as strcmp, along two sorted ranges and counts the pairs of
// equal items, each item used once: the size of the intersection of the two multisets.
template <typename Items, typename Compare>
size_t count_common(const Items& a, const Items& b, Compare compare) {
  size_t common = 0;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const int order = compare(a[i], b[j]);
    common += order == 0;
    i += order <= 0;
    j += order >= 0;
  }
  return common;
}

constexpr size_t kOrders = 4;
constexpr int32_t kEnd = -1;
using Gram = std::array<int32_t, kOrders>;

// The 4-gram at every token, sorted, with kEnd past the text. Its first n entries are the n-gram
// there, so the one order serves every n.
std::vector<Gram> sorted_grams(const Tokens& tokens, const Tokens& vocabulary) {
  std::vector<Gram> grams(tokens.size(), Gram{kEnd, kEnd, kEnd, kEnd});
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto found = std::lower_bound(vocabulary.begin(), vocabulary.end(), tokens[i]);
    const bool known = found != vocabulary.end() && *found == tokens[i];
    const int32_t id = static_cast<int32_t>(known ? found - vocabulary.begin() : vocabulary.size());
    for (size_t k = 0; k < kOrders && k <= i; ++k) grams[i - k][k] = id;
  }
  std::sort(grams.begin(), grams.end());
  return grams;
}

// nltk's sentence_bleu with its defaults. `vocabulary` is the reference's; a token outside it
// cannot match, so all of those may share an id.
double sentence_bleu(const Tokens& prediction, const Tokens& reference, const Tokens& vocabulary) {
  if (prediction.empty() || reference.empty()) return 0;
  const std::vector<Gram> predicted = sorted_grams(prediction, vocabulary);
  const std::vector<Gram> expected = sorted_grams(reference, vocabulary);
  double log_sum = 0;
  for (size_t n = 1; n <= kOrders; ++n) {
    const size_t matches = count_common(predicted, expected, [n](const Gram& x, const Gram& y) {
      for (size_t k = 0; k < n; ++k)
        if (x[k] != y[k]) return x[k] < y[k] ? -1 : 1;
      return x[n - 1] == kEnd ? 1 : 0;  // no n-gram: step past it
    });
    if (n == 1 && matches == 0) return 0;
    const size_t total = prediction.size() >= n ? prediction.size() - n + 1 : 1;
    // nltk has the least normal number stand for a precision of zero: such a score is tiny, not 0.
    const double precision = matches == 0 ? std::numeric_limits<double>::min()
                                          : static_cast<double>(matches) / static_cast<double>(total);
    log_sum += std::log(precision) / kOrders;
  }
  const double ratio = static_cast<double>(reference.size()) / static_cast<double>(prediction.size());
  const double brevity_penalty = ratio < 1 ? 1 : std::exp(1 - ratio);
  return brevity_penalty * std::exp(log_sum);
}

}  // namespace

TokenScores token_scores(std::string_view prediction, std::string_view reference) {
  std::u32string prediction_text, reference_text;
  decode_utf8(prediction, prediction_text);
  decode_utf8(reference, reference_text);
  const Tokens predicted = split(prediction_text), expected = split(reference_text);
  const Tokens predicted_set = sorted_set(predicted), expected_set = sorted_set(expected);

  const double common = static_cast<double>(
      count_common(predicted_set, expected_set,
                   [](std::u32string_view x, std::u32string_view y) { return x.compare(y); }));
  TokenScores scores;
  if (!predicted_set.empty()) scores.precision = common / static_cast<double>(predicted_set.size());
  if (!expected_set.empty()) scores.recall = common / static_cast<double>(expected_set.size());
  if (common > 0) scores.f1 = 1.0 / (0.5 / scores.precision + 0.5 / scores.recall);
  scores.bleu = sentence_bleu(predicted, expected, expected_set);
  return scores;
}

}  // namespace perception
