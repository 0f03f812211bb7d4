// Token-overlap measures of the Perception-R1 OCR evaluation, over tokens split at white space as Python's
// str.split().
#pragma once

#include <string_view>

namespace perception {

struct TokenScores {
  double precision = 0, recall = 0, f1 = 0;  // over the sets of tokens, nltk.metrics.scores
  double bleu = 0;  // sentence BLEU-4, uniform weights, no smoothing, one reference (nltk)
};

// Both texts are UTF-8. Where nltk has no value (an empty set) the score is 0. As in nltk, BLEU without a
// match of some order above 1 (always so below 4 tokens) is tiny, not 0.
TokenScores token_scores(std::string_view prediction, std::string_view reference);

}  // namespace perception
