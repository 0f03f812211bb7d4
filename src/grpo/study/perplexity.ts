import type { CountingTruth, DetectionTruth } from '../../rewards/ground-truth.js';
import type { Task } from '../tasks/task.js';

/**
 * Perceptual perplexity of a task (arXiv 2504.07954): the mean number of possible matchings of predictions with objects, n!
 * of n objects; 1 where there is one answer.
 */
export function perceptualPerplexity(task: Task, { examples = 10_000, seed = 0 } = {}): number {
  if (task.name === 'grounding' || task.name === 'ocr') return 1;
  let sum = 0;
  for (let i = 0; i < examples; i++) {
    const truth = task.example('train', seed, i).groundTruth;
    sum += factorial(
      task.name === 'counting'
        ? (truth as CountingTruth).points.length
        : (truth as DetectionTruth).labels.length,
    );
  }
  return sum / examples;
}

function factorial(n: number): number {
  let product = 1;
  for (let i = 2; i <= n; i++) product *= i;
  return product;
}
