import { createTasks, resolveConfig, type TrainOptions } from '../config.js';

/** Seconds that a training takes with its evaluations, roughly, on one core of a server with tfjs-node. */
export function estimatedSeconds(options: TrainOptions): number {
  const config = resolveConfig(options, 'tensorflow');
  const tasks = createTasks(config.tasks).map(({ task }) => task);
  const tokens = tasks.reduce((sum, { maxTokens }) => sum + maxTokens, 0) / tasks.length;
  const { examples, temperatures } = config.evaluation;
  const evaluations = 2 * temperatures.length * tasks.length * examples * (0.001 + 0.0001 * tokens);
  const perStep =
    config.stage === 'sft'
      ? config.batchSize * (0.003 + 0.00005 * tokens)
      : config.promptsPerStep * (0.004 + config.numGenerations * 0.0001 * tokens);
  return 5 + evaluations + config.steps * perStep;
}
