import { perceptualPerplexity as perplexityOfCounts } from '../../metrics/perplexity.js';
import type { CountingTruth, DetectionTruth } from '../../rewards/ground-truth.js';
import type { Task } from '../tasks/task.js';

/** Perceptual perplexity of a task, by its training examples. */
export function perceptualPerplexity(task: Task, { examples = 10_000, seed = 0 } = {}): number {
  if (task.name === 'grounding' || task.name === 'ocr') return 1;
  const counts = Array.from({ length: examples }, (_, i) => {
    const truth = task.example('train', seed, i).groundTruth;
    return task.name === 'counting'
      ? (truth as CountingTruth).points.length
      : (truth as DetectionTruth).labels.length;
  });
  return perplexityOfCounts(counts).mean;
}
