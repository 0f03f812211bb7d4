import { invalid } from '../errors.js';
import { wholeNumber } from '../ops/validate.js';
import { isNumbers } from './lists.js';

export interface PerceptualPerplexity {
  /** Infinity where it is beyond the largest double, 1.8e308. */
  mean: number;
  /** Its decimal logarithm, which is always finite. */
  log10Mean: number;
}

/**
 * Perceptual perplexity of a dataset (Perception-R1, arXiv 2504.07954): the mean over its images of the number of possible
 * matchings of answers with objects, n! of n objects. The paper has 229,202 for PixMo-Count and 3.47e83 for COCO. Where
 * there is one answer, as in grounding and OCR, it is 1.
 *
 * @param counts objects of each image
 * @throws PerceptionError INVALID_ARGUMENT
 * @example perceptualPerplexity([1, 2, 3, 5]) // {mean: 32.25, log10Mean: 1.50...}
 */
export function perceptualPerplexity(counts: ArrayLike<number>): PerceptualPerplexity {
  if (!isNumbers(counts) || counts.length === 0) {
    throw invalid('INVALID_ARGUMENT', 'counts', 'at least one number of objects', counts);
  }
  const logs = Float64Array.from(counts, (count, i) => logFactorial(wholeNumber(count, `counts[${i}]`, 0)));
  const largest = logs.reduce((a, b) => Math.max(a, b));
  const sum = logs.reduce((total, log) => total + 10 ** (log - largest), 0);
  const log10Mean = largest + Math.log10(sum / counts.length);
  // Exact where the factorials are.
  const mean = Array.from(counts, factorial).reduce((a, b) => a + b) / counts.length;
  return { mean: Number.isFinite(mean) ? mean : 10 ** log10Mean, log10Mean };
}

const largestFactorial = 170; // of those that are finite

function factorial(n: number): number {
  if (n > largestFactorial) return Infinity;
  let product = 1;
  for (let i = 2; i <= n; i++) product *= i;
  return product;
}

/** Decimal; by Stirling's series where n! is infinite, which is exact to the last digits there. */
function logFactorial(n: number): number {
  if (n <= largestFactorial) return Math.log10(factorial(n));
  const natural = n * Math.log(n) - n + Math.log(2 * Math.PI * n) / 2 + 1 / (12 * n) - 1 / (360 * n ** 3);
  return natural / Math.LN10;
}
