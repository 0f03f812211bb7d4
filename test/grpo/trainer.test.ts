/** The loops of supervised and reinforcement learning, with a policy that learns in a few steps. */
import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, test } from 'vitest';
import type { TrainingStep } from '../../src/grpo/learner.js';
import { Mixture, type WeightedTask } from '../../src/grpo/mixture.js';
import { SupervisedTrainer } from '../../src/grpo/supervised.js';
import { createTask } from '../../src/grpo/tasks/index.js';
import { type GrpoOptions, GrpoTrainer } from '../../src/grpo/trainer.js';
import { codeOf, codeOfAsync } from '../support.js';
import { ToyPolicy, toyTask } from './toy.js';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

const defaults = {
  steps: 12,
  promptsPerStep: 4,
  numGenerations: 8,
  seed: 1,
  optimizer: { learningRate: 0.3, warmupSteps: 0 },
} as const;

function trainer(options: Partial<GrpoOptions> = {}): { grpo: GrpoTrainer; policy: ToyPolicy } {
  const policy = (options.policy as ToyPolicy | undefined) ?? new ToyPolicy();
  return {
    grpo: new GrpoTrainer({ tasks: [{ task: toyTask('427') }], ...defaults, ...options, policy }),
    policy,
  };
}

async function collect(steps: AsyncIterable<TrainingStep>): Promise<TrainingStep[]> {
  const all: TrainingStep[] = [];
  for await (const step of steps) all.push(step);
  return all;
}

async function run(
  options: Partial<GrpoOptions> = {},
): Promise<{ steps: TrainingStep[]; policy: ToyPolicy }> {
  const { grpo, policy } = trainer(options);
  const steps = await collect(grpo);
  grpo.dispose();
  return { steps, policy };
}

const weights = (policy: ToyPolicy): Float32Array =>
  (policy.variables.logits!.dataSync() as Float32Array).slice();
const column = (steps: readonly TrainingStep[], name: string): number[] =>
  steps.map(({ metrics }) => metrics[name]!);
const average = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

describe('GrpoTrainer', () => {
  test('learns what is rewarded', async () => {
    const { steps } = await run({ steps: 40 });
    const rewards = column(steps, 'reward/mean');
    expect(average(rewards.slice(0, 3))).toBeLessThan(0.35);
    expect(average(rewards.slice(-3))).toBeGreaterThan(0.9);
    expect(column(steps, 'entropy').at(-1)).toBeLessThan(column(steps, 'entropy')[0]!);
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
  });

  test.each<[string, Partial<GrpoOptions>]>([
    ['several passes over parts of the prompts', { numIterations: 2, miniBatches: 3 }],
    ['a reference policy', { loss: { beta: 0.04, lossType: 'grpo' } }],
    ['groups without variance dropped', { zeroVariance: 'drop' }],
    ['groups without variance replaced', { zeroVariance: 'resample' }],
    ['top-k and a temperature', { topK: 20, temperature: 0.8 }],
    ['whole-completion ratios', { loss: { importanceSamplingLevel: 'sequence' }, miniBatches: 2 }],
  ])('learns with %s', async (_, options) => {
    const { steps } = await run({ steps: 40, ...options });
    expect(average(column(steps, 'reward/mean').slice(-3))).toBeGreaterThan(0.8);
  });

  test('the same seed gives the same steps and weights, another seed others', async () => {
    const [a, b, c] = [await run(), await run(), await run({ seed: 2 })];
    expect(a.steps.map(({ metrics }) => metrics)).toEqual(b.steps.map(({ metrics }) => metrics));
    expect(weights(a.policy)).toEqual(weights(b.policy));
    expect(weights(c.policy)).not.toEqual(weights(a.policy));
  });

  test.each<[string, Partial<GrpoOptions>]>([
    ['', {}],
    [
      ' with a reference that follows and several updates',
      { loss: { beta: 0.1 }, syncReferenceEvery: 3, numIterations: 2, miniBatches: 2 },
    ],
  ])('a restored trainer goes on as if it had not stopped%s', async (_, options) => {
    const whole = await run(options);
    const first = trainer(options);
    const early: TrainingStep[] = [];
    for await (const step of first.grpo) {
      early.push(step);
      if (step.step === 5) break;
    }
    const state = first.grpo.state();
    const second = trainer(options);
    second.grpo.restore(state);
    expect(second.grpo.step).toBe(5);
    const late = await collect(second.grpo);
    expect([...early, ...late].map(({ metrics }) => metrics)).toEqual(
      whole.steps.map(({ metrics }) => metrics),
    );
    expect(weights(second.policy)).toEqual(weights(whole.policy));
  });

  test('the reference holds the policy back', async () => {
    const free = await run({ steps: 30 });
    const held = await run({ steps: 30, loss: { beta: 5, lossType: 'grpo' } });
    expect(average(column(held.steps, 'reward/mean').slice(-5))).toBeLessThan(
      average(column(free.steps, 'reward/mean').slice(-5)),
    );
    expect(column(held.steps, 'kl')[0]).toBeCloseTo(0, 6);
    expect(column(held.steps, 'kl').at(-1)).toBeGreaterThan(0);
  });

  test('groups without variance are kept, dropped or replaced', async () => {
    // A reward that only the exact text gets: most groups of a fresh policy have none.
    const exact = toyTask('4', { extends: 'perception-r1/ocr', terms: { precision: 1 } });
    const options = { tasks: [{ task: exact }], steps: 3, numGenerations: 2 };
    const kept = await run(options);
    const dropped = await run({ ...options, zeroVariance: 'drop' });
    const replaced = await run({ ...options, zeroVariance: 'resample', maxResamples: 10 });
    const share = column(kept.steps, 'group/zero_variance_share')[0]!;
    expect(share).toBeGreaterThan(0);
    expect(column(kept.steps, 'group/kept')[0]).toBe(4);
    expect(column(dropped.steps, 'group/kept')[0]).toBe(4 * (1 - share));
    expect(column(replaced.steps, 'group/kept')[0]).toBeGreaterThan(4 * (1 - share));
  });

  test('a step in which no group teaches anything changes no weight', async () => {
    const flat = toyTask('4', { extends: 'perception-r1/ocr', terms: { similarity: 0 } });
    const { steps, policy } = await run({ tasks: [{ task: flat }], zeroVariance: 'drop', steps: 2 });
    const fresh = new ToyPolicy();
    expect(weights(policy)).toEqual(weights(fresh));
    expect(column(steps, 'group/kept')).toEqual([0, 0]);
  });

  test('several tasks are mixed by weight, and each is reported', async () => {
    const tasks: WeightedTask[] = [
      { task: toyTask('4'), weight: 3 },
      { task: { ...toyTask('5'), name: 'counting' } },
    ];
    const { steps } = await run({ tasks, promptsPerStep: 16, steps: 2 });
    for (const name of ['reward/ocr', 'reward/counting']) expect(column(steps, name)[0]).toBeGreaterThan(0);
    const drawn = new Mixture(tasks, 1).batch(0, 4000).filter(({ task }) => task.name === 'ocr').length;
    expect(drawn / 4000).toBeCloseTo(0.75, 1);
  });

  test('a signal ends it after the step under way', async () => {
    const abort = new AbortController();
    const { grpo } = trainer({ signal: abort.signal, steps: 1000 });
    const seen: number[] = [];
    for await (const { step } of grpo) {
      seen.push(step);
      if (step === 3) abort.abort();
    }
    expect(seen).toEqual([1, 2, 3]);
  });

  test('a loss that is not finite stops it, with the weights as they were', async () => {
    const policy = new ToyPolicy();
    const { grpo } = trainer({ policy });
    const steps = grpo[Symbol.asyncIterator]();
    await steps.next();
    const before = weights(policy);
    const logProbs = policy.logProbs.bind(policy);
    policy.logProbs = (...args) => {
      const out = logProbs(...args);
      return { ...out, logProbs: tf.mul(out.logProbs, Number.NaN) };
    };
    expect(await codeOfAsync(steps.next())).toBe('DIVERGED');
    expect(weights(policy)).toEqual(before);
    expect(grpo.state().step).toBe(1);
  });

  test('no step leaves tensors behind, in no mode', async () => {
    for (const options of [
      {},
      { zeroVariance: 'resample', numIterations: 2, miniBatches: 2, loss: { beta: 0.1 } },
    ] as const) {
      const { grpo } = trainer(options);
      const counts: number[] = [];
      for await (const _ of grpo) counts.push(tf.memory().numTensors);
      expect(new Set(counts).size).toBe(1);
      grpo.dispose();
    }
  });

  test.each<[Partial<GrpoOptions>, RegExp]>([
    [{ numGenerations: 1 }, /numGenerations/],
    [{ temperature: 0 }, /temperature/],
    [{ miniBatches: 99 }, /miniBatches/],
    [{ zeroVariance: 'hide' as never }, /zeroVariance.*'keep', 'drop' or 'resample'/],
    [{ route: 'gpu' as never }, /route/],
    [{ tasks: [] }, /tasks/],
    [{ tasks: [{ task: toyTask(), weight: 0 }] }, /weight/],
    [{ tasks: [{ task: toyTask() }, { task: createTask('ocr') }] }, /tasks\[1\].*1 x 1/],
  ])('refuses %o', (options, message) => {
    expect(() => trainer(options)).toThrow(message);
    expect(codeOf(() => trainer(options))).toBe('INVALID_ARGUMENT');
  });

  test('refuses the state of another training', () => {
    const { grpo } = trainer();
    expect(codeOf(() => grpo.restore({ step: 1, tensors: {} }))).toBe('INVALID_INPUT');
    const { tensors } = grpo.state();
    const other = { ...tensors, 'policy/logits': { shape: [1, 2], data: new Float32Array(2) } };
    expect(codeOf(() => grpo.restore({ step: 1, tensors: other }))).toBe('INVALID_INPUT');
  });
});

describe('SupervisedTrainer', () => {
  const supervised = (policy = new ToyPolicy(), steps = 30): SupervisedTrainer =>
    new SupervisedTrainer({
      policy,
      tasks: [{ task: toyTask() }],
      steps,
      batchSize: 2,
      optimizer: { learningRate: 0.3, warmupSteps: 0 },
    });

  test('learns the targets', async () => {
    const steps = await collect(supervised());
    expect(column(steps, 'loss')[0]).toBeGreaterThan(2);
    expect(column(steps, 'loss').at(-1)).toBeLessThan(0.1);
    expect(column(steps, 'completion/length_mean')[0]).toBe(3);
  });

  test('a restored trainer goes on as if it had not stopped', async () => {
    const policy = new ToyPolicy();
    const whole = await collect(supervised(policy));
    const first = supervised();
    for await (const { step } of first) if (step === 7) break;
    const resumed = new ToyPolicy();
    const second = supervised(resumed);
    second.restore(first.state());
    const late = await collect(second);
    expect(late.map(({ metrics }) => metrics)).toEqual(whole.slice(7).map(({ metrics }) => metrics));
    expect(weights(resumed)).toEqual(weights(policy));
  });
});
