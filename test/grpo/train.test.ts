/** The program around the trainers: settings, runs, interruptions, and what it does on each backend. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, test } from 'vitest';
import {
  createTask,
  GrpoTrainer,
  PerceptionError,
  type Rollout,
  RunFolder,
  readCheckpoint,
  resolveConfig,
  resumeTraining,
  type SampleOptions,
  type StepLine,
  type Task,
  type TrainOptions,
  train,
  useBackend,
  VisionPolicy,
} from '../../src/grpo/index.js';
import { codeOfAsync } from '../support.js';
import { backends } from './backends.js';

const folder = mkdtempSync(join(tmpdir(), 'perception-r1-train-'));
afterAll(() => rmSync(folder, { recursive: true }));
/** Where nothing is yet. */
const fresh = (): string => join(mkdtempSync(join(folder, 'at-')), 'run');

const fast = backends.includes('tensorflow') ? 'tensorflow' : 'wasm';
const size = { width: 16, heads: 2, headWidth: 8, encoderLayers: 1, decoderLayers: 1 };
/** What random weights write is a little like digits, so there is something to learn from. */
const tiny: TrainOptions = {
  backend: fast,
  tasks: ['ocr'],
  size,
  steps: 3,
  evaluation: { examples: 4, every: 2 },
};
const grpo: TrainOptions = { ...tiny, promptsPerStep: 2, numGenerations: 3 };
const sft: TrainOptions = { ...tiny, stage: 'sft', batchSize: 2 };

describe('resolveConfig', () => {
  test('fills in what depends on the stage and the backend', () => {
    expect(resolveConfig(undefined, 'tensorflow')).toMatchObject({
      stage: 'grpo',
      backend: 'tensorflow',
      size: 'small',
      tasks: [{ name: 'detection', weight: 1 }],
      promptsPerStep: 32,
      optimizer: { learningRate: 1e-4, decay: 'constant' },
    });
    expect(resolveConfig({ stage: 'sft', steps: 20 }, 'wasm')).toMatchObject({
      stage: 'sft',
      size: 'tiny',
      batchSize: 32,
      optimizer: { learningRate: 1.5e-3, warmupSteps: 20, decay: 'cosine' },
    });
  });

  test('what it gives it takes, and gives again', () => {
    for (const options of [
      sft,
      { ...grpo, from: 'x', maxMinutes: 2, topK: 3, topP: 0.5, maxCompletionLength: 7 },
      { preset: 'perception-r1', loss: { beta: 0.1 }, recipe: 'perception-r1/detection' },
    ] satisfies TrainOptions[]) {
      const config = resolveConfig(options, 'cpu');
      expect(resolveConfig(JSON.parse(JSON.stringify(config)), 'cpu')).toEqual(config);
    }
  });

  test('a preset gives way to what is said', () => {
    expect(resolveConfig({ preset: 'perception-r1', loss: { beta: 0.1 } }, 'cpu')).toMatchObject({
      preset: 'perception-r1',
      loss: { lossType: 'grpo', beta: 0.1, klEstimator: 'k3' },
      advantages: { ddof: 1, epsilon: 1e-4 },
      numIterations: 1,
    });
  });

  test("a recipe keeps the task's labels and coordinates", () => {
    expect(
      resolveConfig({ recipe: { extends: 'perception-r1/detection', clamp: [0, 1] } }, 'cpu'),
    ).toMatchObject({
      recipe: {
        extends: 'perception-r1/detection',
        clamp: [0, 1],
        coordinates: 'per-mille',
        vocabulary: ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'],
      },
    });
    expect(
      resolveConfig({ recipe: { extends: 'perception-r1/detection', coordinates: 'unit' } }, 'cpu'),
    ).toMatchObject({
      recipe: { coordinates: 'unit' },
    });
  });

  test.each<[unknown, RegExp]>([
    [null, /the settings: expected an object, received null/],
    [{ stepz: 3 }, /^stepz: unknown; did you mean steps\?$/],
    [{ xylophone: 3 }, /^xylophone: unknown; known are stage, tasks, seed/],
    [{ stage: 'dpo' }, /^stage: expected 'sft' or 'grpo', received "dpo"/],
    [
      { stage: 'sft', numGenerations: 4 },
      /^numGenerations: a setting of the stage 'grpo', and this one is 'sft'/,
    ],
    [{ batchSize: 4 }, /^batchSize: a setting of the stage 'sft'/],
    [{ steps: -1 }, /^steps: expected a whole number of at least 0, received -1/],
    [{ steps: 1.5 }, /^steps:/],
    [{ seed: '1' }, /^seed:.*received "1"/],
    [{ backend: 'webgl' }, /^backend: expected 'auto' or 'tensorflow'/],
    [{ tasks: [] }, /^tasks: expected an array of at least one task/],
    [{ tasks: 'ocr' }, /^tasks:/],
    [{ tasks: ['segmentation'] }, /^tasks\[0\]: the task: expected one of grounding/],
    [{ tasks: ['ocr', { name: 'ocr', weight: 2 }] }, /^tasks\[1\]: expected each task once/],
    [{ tasks: [{ name: 'ocr', weight: 0 }] }, /^tasks\[0\]\.weight: expected a number above 0/],
    [
      { tasks: [{ name: 'ocr', maxObject: 3 }] },
      /^tasks\[0\]\.maxObject: unknown; did you mean maxObjects\?/,
    ],
    [{ tasks: [{ name: 'ocr', maxObjects: 99 }] }, /^tasks\[0\]: options\.maxObjects: expected/],
    [{ size: 'huge' }, /^size: expected 'tiny' or 'small' or 'base'/],
    [{ size: { ...size, width: 18 } }, /^size\.width: expected a multiple of 4/],
    [{ size: { width: 16 } }, /^size\.heads: expected a whole number/],
    [{ size: { ...size, layers: 2 } }, /^size\.layers: unknown/],
    [{ from: 3 }, /^from: expected a path/],
    [{ optimizer: { learningrate: 1 } }, /^optimizer\.learningrate: unknown; did you mean learningRate\?/],
    [{ optimizer: { learningRate: Number.NaN } }, /^optimizer: learningRate: expected a finite number/],
    [{ optimizer: { decay: 'square' } }, /^optimizer: decay: expected 'constant'/],
    [{ optimizer: { maxGradNorm: 0 } }, /^optimizer\.maxGradNorm: expected a number above 0/],
    [{ optimizer: { weightDecay: -1 } }, /^optimizer\.weightDecay: expected a number of at least 0/],
    [
      { steps: 5, optimizer: { decay: 'linear', warmupSteps: 6 } },
      /^optimizer\.warmupSteps: expected at most 5/,
    ],
    [{ evaluation: { ever: 2 } }, /^evaluation\.ever: unknown; did you mean every\?/],
    [{ evaluation: { examples: -1 } }, /^evaluation\.examples:/],
    [{ evaluation: { temperatures: [] } }, /^evaluation\.temperatures: expected an array/],
    [{ evaluation: { temperatures: [0, 0] } }, /^evaluation\.temperatures: expected an array of different/],
    [{ evaluation: { temperatures: [-1] } }, /^evaluation\.temperatures\[0\]:/],
    [{ saveEvery: 0 }, /^saveEvery:/],
    [{ keepEvery: -1 }, /^keepEvery:/],
    [{ maxMinutes: 0 }, /^maxMinutes: expected a number above 0/],
    [{ stage: 'sft', batchSize: 0 }, /^batchSize:/],
    [{ stage: 'sft', denseWeight: -1 }, /^denseWeight:/],
    [{ preset: 'r1' }, /^preset: expected 'perception-r1'/],
    [{ promptsPerStep: 0 }, /^promptsPerStep:/],
    [{ numGenerations: 1 }, /^numGenerations: expected a whole number of at least 2/],
    [{ temperature: 0 }, /^temperature: expected a number above 0/],
    [{ topK: 0 }, /^topK:/],
    [{ topP: 1.1 }, /^topP: expected a number above 0 and at most 1/],
    [{ maxCompletionLength: 0 }, /^maxCompletionLength:/],
    [{ route: 'image' }, /^route: expected 'text' or 'tensor'/],
    [{ route: 'tensor', tasks: ['ocr'] }, /^route: expected 'text' for the task ocr/],
    [{ loss: 3 }, /^loss: expected an object/],
    [{ advantages: { epsilon: -1 } }, /^advantages: epsilon: expected a number of at least 0/],
    [{ advantages: { scal: 'none' } }, /^advantages\.scal: unknown; did you mean scale\?/],
    [{ numIterations: 0 }, /^numIterations:/],
    [{ promptsPerStep: 4, miniBatches: 5 }, /^miniBatches: expected a whole number from 1 to 4/],
    [{ zeroVariance: 'discard' }, /^zeroVariance:/],
    [{ maxResamples: -1 }, /^maxResamples:/],
    [{ syncReferenceEvery: -1 }, /^syncReferenceEvery:/],
    [{ recipe: 'perception-r1/none' }, /^recipe\.extends: expected one of perception-r1/],
    [{ recipe: 'perception-r1/ocr' }, /^recipe: expected one for detection, the task, received one for ocr/],
    [{ recipe: { extends: 'perception-r1/detection', term: {} } }, /^recipe\.term: unknown member/],
    [
      { recipe: 'perception-r1/ocr', tasks: ['ocr', 'detection'] },
      /^recipe: expected none where there are several/,
    ],
  ])('refuses %j', (options, message) => {
    let error: unknown;
    try {
      resolveConfig(options as TrainOptions, 'cpu');
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(PerceptionError);
    expect((error as PerceptionError).code).toMatch(/^INVALID_(ARGUMENT|RECIPE)$/);
    expect((error as PerceptionError).message).toMatch(message);
  });
});

/** The metrics of a run's steps. */
const metricsOf = (path: string): Record<string, number>[] =>
  RunFolder.open(path)
    .lines()
    .map(({ metrics }) => metrics);

describe('train', () => {
  test('a run has all that belongs to it, and leaves no tensor behind', async () => {
    await useBackend(fast);
    const before = tf.memory().numTensors;
    const path = fresh();
    const lines: StepLine[] = [];
    const tensors: number[] = [];
    const started: string[] = [];
    const result = await train({ ...grpo, steps: 4, keepEvery: 1 }, path, {
      started: ({ config, backend, done }) => started.push(config.stage, backend.name, String(done)),
      step: (line) => {
        lines.push(line);
        tensors.push(tf.memory().numTensors);
      },
    });
    expect(started).toEqual(['grpo', fast, '0']);
    expect(lines.map(({ step }) => step)).toEqual([0, 1, 2, 3, 4]);
    expect(lines).toEqual(RunFolder.open(path).lines());
    expect(new Set(tensors.slice(1)).size).toBe(1);
    expect(tf.memory().numTensors).toBe(before);

    const evaluated = lines.filter(({ metrics }) => 'eval/reward' in metrics);
    expect(evaluated.map(({ step }) => step)).toEqual([0, 2, 4]);
    expect(Object.keys(evaluated[0]!.metrics)).toEqual(
      ['eval', 'eval_t1'].flatMap((at) =>
        ['reward', 'edit_distance', 'exact'].map((name) => `${at}/${name}`),
      ),
    );
    expect(result).toEqual({
      path,
      report: join(path, 'report.html'),
      steps: 4,
      stopped: 'done',
      before: { step: 0, metrics: lines[0]!.metrics },
      after: {
        step: 4,
        metrics: Object.fromEntries(
          Object.entries(lines[4]!.metrics).filter(([name]) => name.startsWith('eval')),
        ),
      },
    });
    expect(lines[4]!.timing).toMatchObject({
      'time/save': expect.any(Number),
      'time/evaluate': expect.any(Number),
    });

    const run = RunFolder.open(path);
    expect(run.config).toEqual(resolveConfig({ ...grpo, steps: 4, keepEvery: 1 }, fast));
    expect(readdirSync(join(path, 'checkpoints')).length).toBe(5);
    expect(run.latest()).toMatchObject({ step: 4, metadata: { size: JSON.stringify(size) } });
    const scenes = run.samples();
    expect(scenes.map(({ step, name }) => `${name} ${step}`)).toEqual(['before 0', 'after 2', 'after 4']);
    const prompts = scenes.map((set) => set.scenes.map(({ image, truth }) => [image, truth]));
    expect(prompts[0]).toHaveLength(4);
    expect(prompts[2]).toEqual(prompts[0]); // the same examples
    expect(readFileSync(join(path, 'report.html'), 'utf8')).toContain('Before and after');
  });

  test('several tasks are evaluated each by itself', async () => {
    const path = fresh();
    const tasks: TrainOptions['tasks'] = ['ocr', { name: 'counting', weight: 2 }];
    await train({ ...sft, tasks, steps: 1, evaluation: { examples: 10, temperatures: [0.5] } }, path);
    expect(Object.keys(metricsOf(path)[0]!)).toEqual([
      'eval_t0.5/ocr/reward',
      'eval_t0.5/ocr/edit_distance',
      'eval_t0.5/ocr/exact',
      'eval_t0.5/counting/reward',
      'eval_t0.5/counting/exact_count',
      'eval_t0.5/counting/mae',
    ]);
    expect(RunFolder.open(path).samples()[0]!.scenes).toHaveLength(8);
  });

  test('begins with the weights of a run or of an export, and with their size', async () => {
    const [first, exported] = [fresh(), join(folder, 'weights.safetensors')];
    await train({ ...sft, seed: 5 }, first, { export: exported });
    const trained = RunFolder.open(first).latest()!.tensors;
    const { tensors } = readCheckpoint(exported);
    expect(Object.keys(tensors)).toEqual(Object.keys(trained).filter((name) => name.startsWith('policy/')));
    const { size: _, ...unsized } = grpo;
    for (const [from, digits] of [
      [first, 7],
      [exported, 2],
    ] as const) {
      const path = fresh();
      await train({ ...unsized, from, steps: 0, evaluation: { examples: 0 } }, path);
      const run = RunFolder.open(path);
      expect(run.config).toMatchObject({ size, from });
      for (const [name, { data }] of Object.entries(run.latest()!.tensors)) {
        if (!name.startsWith('policy/')) continue;
        data.forEach((value, i) => expect(value).toBeCloseTo(trained[name]!.data[i]!, digits));
      }
    }
    const { size: small, ...rest } = sft;
    expect(small).toBe(size);
    await expect(train({ ...rest, size: 'tiny', from: first }, fresh())).rejects.toThrow(/another size/);
  });

  test.each<[TrainOptions, string, RegExp]>([
    [{ ...grpo, stepz: 1 } as TrainOptions, 'INVALID_ARGUMENT', /stepz/],
    [
      { ...grpo, loss: { lossType: 'ppo' as 'grpo' } },
      'INVALID_ARGUMENT',
      /^loss: lossType: expected 'grpo'/,
    ],
    [{ ...grpo, loss: { betta: 1 } as object }, 'INVALID_ARGUMENT', /^loss: options\.betta: unknown option/],
    [{ ...grpo, from: '/nowhere' }, 'INVALID_ARGUMENT', /\/nowhere/],
    [
      { ...grpo, from: import.meta.filename },
      'INVALID_INPUT',
      /train\.test\.ts: expected a whole safetensors file/,
    ],
    [{ ...grpo, from: folder }, 'INVALID_ARGUMENT', /expected the folder of a run/],
  ])('what is wrong with settings is told before a folder is made (%#)', async (options, code, message) => {
    const path = fresh();
    const failure = train(options, path);
    await expect(failure).rejects.toThrow(message);
    expect(await codeOfAsync(failure)).toBe(code);
    expect(existsSync(path)).toBe(false);
  });

  test('does not touch another run', async () => {
    const path = fresh();
    await train({ ...sft, steps: 1, evaluation: { examples: 0 } }, path);
    const content = readFileSync(join(path, 'config.json'), 'utf8');
    expect(await codeOfAsync(train(grpo, path))).toBe('INVALID_ARGUMENT');
    expect(readFileSync(join(path, 'config.json'), 'utf8')).toBe(content);
    expect(await codeOfAsync(resumeTraining(fresh()))).toBe('INVALID_ARGUMENT');
  });

  test('a signal ends it after the step under way; what goes on later is as without it', async () => {
    const whole = fresh();
    await train(grpo, whole);
    const path = fresh();
    const abort = new AbortController();
    const first = await train({ ...grpo, saveEvery: 5 }, path, {
      signal: abort.signal,
      export: join(folder, 'not-written'),
      step: ({ step }) => step === 2 && abort.abort(),
    });
    expect(first).toMatchObject({ steps: 2, stopped: 'signal', after: { step: 2 } });
    expect(existsSync(join(folder, 'not-written'))).toBe(false);
    expect(existsSync(first.report)).toBe(true);
    expect(RunFolder.open(path).latest()).toMatchObject({ step: 2 });
    expect(await resumeTraining(path)).toMatchObject({ steps: 3, stopped: 'done' });
    const [expected, got] = [metricsOf(whole), metricsOf(path)];
    expect(got.length).toBe(expected.length);
    got.forEach((metrics, i) => expectClose(metrics, expected[i]!, 1e-6));
  });

  test('ends in time, with an evaluation', async () => {
    const path = fresh();
    const { steps, stopped, after } = await train({ ...grpo, steps: 1000, maxMinutes: 1e-6 }, path);
    expect([steps, stopped, after!.step]).toEqual([1, 'time', 1]);
    expect(RunFolder.open(path).samples().at(-1)).toMatchObject({ step: 1, name: 'after' });
  });

  test('a training that diverges says so, and keeps its last good state and a report', async () => {
    const path = fresh();
    const failure = train({ ...grpo, steps: 9, saveEvery: 9, optimizer: { learningRate: 1e30 } }, path);
    await expect(failure).rejects.toThrow(
      /^step \d: expected a finite loss.*The state after step \d and the report/,
    );
    expect(await codeOfAsync(failure)).toBe('DIVERGED');
    const run = RunFolder.open(path);
    const last = run.lines().at(-1)!;
    expect(last.step).toBeGreaterThan(0);
    expect(last.notes).toEqual([expect.stringMatching(/expected a finite loss/)]);
    expect(run.latest()!.step).toBe(last.step);
    for (const { data } of Object.values(run.latest()!.tensors))
      expect(data.every(Number.isFinite)).toBe(true);
    expect(readFileSync(join(path, 'report.html'), 'utf8')).toContain('expected a finite loss');
  });
});

function expectClose(got: Record<string, number>, expected: Record<string, number>, tolerance: number): void {
  expect(Object.keys(got)).toEqual(Object.keys(expected));
  for (const [name, value] of Object.entries(expected)) {
    expect(Math.abs(got[name]! - value), `${name}: ${got[name]} and ${value}`).toBeLessThanOrEqual(
      tolerance * Math.max(1, Math.abs(value)),
    );
  }
}

describe.each([
  { ...grpo, stage: 'grpo', steps: 20, evaluation: { examples: 0 }, loss: { beta: 0.04 } },
  { ...sft, tasks: ['detection'], evaluation: { examples: 0 } },
] satisfies TrainOptions[])('the first $steps steps of $stage', (options) => {
  test('are the same on every backend', async () => {
    const steps: Record<string, number>[][] = [];
    for (const backend of backends) {
      const path = fresh();
      await train({ ...options, backend: backend as typeof fast }, path);
      steps.push(metricsOf(path));
    }
    const [first, ...others] = steps;
    expect(first!.map(({ gradient_norm }) => gradient_norm! > 0.1)).toEqual(first!.map(() => true));
    expect(first).toHaveLength(options.steps!);
    for (const other of others) other.forEach((metrics, i) => expectClose(metrics, first![i]!, 1e-5));
  });
});

/** Writes the targets of its prompts with mistakes, and so what both routes of scoring can read. */
class Scribe extends VisionPolicy {
  readonly targets = new Map<Float32Array, string>();
  #prompts: string[] = [];

  override batch(prompts: Parameters<VisionPolicy['batch']>[0]): ReturnType<VisionPolicy['batch']> {
    this.#prompts = prompts.map(({ image }) => this.targets.get(image)!);
    return super.batch(prompts);
  }

  override sample(_: unknown, { numGenerations, maxTokens, uniforms }: SampleOptions): Rollout {
    const count = this.#prompts.length * numGenerations;
    const random = uniforms(maxTokens, count);
    const values = new Int32Array(count * maxTokens);
    for (let n = 0; n < count; n++) {
      const { coordinateSlot, label, end } = this.tokenizer;
      const tokens = this.tokenizer.encode(this.#prompts[Math.floor(n / numGenerations)]!);
      // Boxes move their upper left corner out by up to 7 places; labels change now and then.
      const written = tokens.map((token, t) => {
        const drawn = random[t * count + n]!;
        if (label[token]! >= 0)
          return drawn < 0.8 ? token : this.tokenizer.encode(labelText(Math.floor(50 * drawn) - 40))[0]!;
        const bin = this.tokenizer.coordinateBin[token]!;
        return coordinateSlot[token]! < 2 ? token - Math.min(bin, Math.floor(8 * drawn)) : token;
      });
      // And some boxes are left out.
      const ends = tokens.flatMap((token, t) => (coordinateSlot[token] === 3 ? [t + 1] : []));
      const kept = ends[Math.floor(random[n]! * ends.length)]!;
      values.set([...written.slice(0, kept), end], n * maxTokens);
    }
    return tf.tidy(() => {
      const tokens = tf.tensor2d(values, [count, maxTokens], 'int32') as Tensor2D;
      return { tokens, mask: tf.cast(tf.notEqual(tokens, 0), 'float32') };
    });
  }
}

const labelText = (label: number): string => `<|object_ref_start|>${label}<|object_ref_end|>`;

test.each(['detection', 'counting', 'grounding'] as const)(
  'rewards of %s from tensors train as those from text',
  async (name) => {
    await useBackend(fast);
    const own = createTask(name);
    const steps: Record<string, number>[][] = [];
    for (const route of ['text', 'tensor'] as const) {
      const policy = new Scribe({ size });
      const task: Task = {
        ...own,
        example: (...which) => {
          const example = own.example(...which);
          policy.targets.set(example.image, example.target);
          return example;
        },
      };
      const trainer = new GrpoTrainer({
        policy,
        tasks: [{ task }],
        route,
        steps: 3,
        promptsPerStep: 4,
        numGenerations: 4,
      });
      const metrics: Record<string, number>[] = [];
      for await (const step of trainer) metrics.push(step.metrics);
      steps.push(metrics);
      trainer.dispose();
      policy.dispose();
    }
    const [text, tensor] = steps;
    for (const { 'reward/std': spread, gradient_norm: norm } of text!) {
      expect(spread).toBeGreaterThan(0.05);
      expect(norm).toBeGreaterThan(0.1);
    }
    tensor!.forEach((metrics, i) => {
      expectClose(metrics, text![i]!, 1e-5);
    });
  },
);
