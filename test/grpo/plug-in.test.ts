/** The example of docs/grpo.md: a model of one's own in the trainers. Runs on the built package. */
import * as tf from '@tensorflow/tfjs-core';
import { createTask, evaluatePolicy, GrpoTrainer, SupervisedTrainer, useBackend } from 'perception-r1/grpo';
import { expect, test } from 'vitest';
import { PerceptronPolicy } from '../../examples/plug-in-policy.js';
import { leaked } from './backends.js';

test('a policy of one’s own learns, from rewards and supervised', async () => {
  await useBackend('wasm');
  const before = tf.memory().numTensors;
  const policy = new PerceptronPolicy(1);
  const tasks = [{ task: createTask('ocr', { maxObjects: 2 }) }];
  const optimizer = { learningRate: 0.01, warmupSteps: 0, decay: 'constant' } as const;
  const rewards: number[] = [];
  const grpo = new GrpoTrainer({
    policy,
    tasks,
    steps: 18,
    promptsPerStep: 8,
    optimizer,
    loss: { beta: 0.01 },
  });
  for await (const { metrics } of grpo) rewards.push(metrics['reward/mean']!);
  grpo.dispose();
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  expect(mean(rewards.slice(-4))).toBeGreaterThan(1.4 * mean(rewards.slice(0, 4)));

  const losses: number[] = [];
  const supervised = new SupervisedTrainer({ policy, tasks, steps: 8, batchSize: 8, optimizer });
  for await (const { metrics } of supervised) losses.push(metrics.loss!);
  supervised.dispose();
  expect(losses.at(-1)!).toBeLessThan(0.7 * losses[0]!);

  const { metrics, answers } = evaluatePolicy(policy, tasks[0]!.task, { examples: 10 });
  expect(answers).toHaveLength(10);
  expect(Object.keys(metrics)).toEqual(['reward', 'edit_distance', 'exact']);
  policy.dispose();
  expect(tf.memory().numTensors).toBe(before);
});

test('what it samples it finds as likely, in the same order, and leaves nothing behind', async () => {
  await useBackend('wasm');
  const policy = new PerceptronPolicy(2);
  const { image, prompt } = createTask('ocr').example('eval', 0, 0);
  const run = (): Float32Array =>
    tf.tidy(() => {
      const encoded = policy.encode(
        policy.batch([
          { image, prompt },
          { image: image.map((x) => 1 - x), prompt },
        ]),
      );
      const uniforms = (tokens: number, completions: number): Float32Array =>
        new Float32Array(tokens * completions);
      const { tokens } = policy.sample(encoded, {
        numGenerations: 2,
        maxTokens: 4,
        temperature: 0,
        uniforms,
      });
      const { logProbs } = policy.logProbs(encoded, tokens, 1);
      // The likeliest token has at least the mean probability.
      expect(tf.min(logProbs).dataSync()[0]!).toBeGreaterThan(-Math.log(policy.tokenizer.size));
      return logProbs.dataSync<'float32'>().slice();
    });
  const [a, b, c, d] = [0, 1, 2, 3].map((row) => [...run().subarray(4 * row, 4 * row + 4)]);
  expect(a).toEqual(b);
  expect(c).toEqual(d);
  expect(a).not.toEqual(c);
  expect(leaked(run)).toBe(0);
});
