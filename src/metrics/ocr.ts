import type { OcrTruth } from '../rewards/ground-truth.js';
import { scoreCompletions } from '../rewards/score.js';
import { listOf } from './lists.js';

export interface OcrSummary {
  count: number;
  /** Those that were null. They count as wrong in everything. */
  missing: number;
  /** Mean of edit distance / length of the longer text, in code points. */
  normalizedEditDistance: number;
  /** The share of predictions that are the text itself. */
  exact: number;
  /** Means over the sets of white-space tokens. */
  precision: number;
  recall: number;
  f1: number;
  /** [n] normalised. */
  editDistances: Float32Array;
}

/**
 * How far texts that were read are from what is written, by the formulas of the OCR reward.
 *
 * @param groundTruth n texts
 * @param predictions n; completions too: thoughts and chat tokens are removed as for the reward
 * @throws PerceptionError INVALID_ARGUMENT, SHAPE_MISMATCH
 * @example evaluateOcr(['the cat'], ['the bat']) // {normalizedEditDistance: 0.14..., exact: 0, f1: 0.5, ...}
 */
export function evaluateOcr(
  groundTruth: readonly (string | OcrTruth)[],
  predictions: readonly (string | null)[],
): OcrSummary {
  const count = listOf(groundTruth, 'groundTruth').length;
  listOf(predictions, 'predictions', count);
  const { terms } = scoreCompletions({
    recipe: { extends: 'perception-r1/ocr', terms: { similarity: 1, precision: 0, recall: 0, f1: 0 } },
    completions: predictions.map((prediction) => prediction ?? ''),
    groundTruth: groundTruth.map((text) => (typeof text === 'string' ? { text } : text)),
  });
  // A text that is missing is not an empty text read rightly.
  const given = (name: string): Float32Array =>
    terms[name]!.map((value, i) => (predictions[i] === null ? 0 : value));
  const mean = (values: Float32Array): number => values.reduce((sum, value) => sum + value, 0) / count;
  const similarity = given('similarity');
  return {
    count,
    missing: predictions.filter((prediction) => prediction === null).length,
    normalizedEditDistance: 1 - mean(similarity),
    exact: similarity.filter((value) => value === 1).length / count,
    precision: mean(given('precision')),
    recall: mean(given('recall')),
    f1: mean(given('f1')),
    editDistances: similarity.map((value) => 1 - value),
  };
}
