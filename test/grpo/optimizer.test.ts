import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import {
  AdamW,
  type AdamWOptions,
  type LearningRateOptions,
  learningRateSchedule,
} from '../../src/grpo/optimizer.js';
import { Generator } from '../reference/random.js';
import { codeOf } from '../support.js';
import { leaked, onEachBackend } from './backends.js';

// Of one trailing shape and of several, a scalar, an axis of one.
const shapes: Record<string, number[]> = {
  kernel: [3, 3, 2, 4],
  bias: [4],
  dense: [6, 4],
  gain: [],
  other: [5, 4],
  gains: [7],
  row: [1, 3],
};

const sizeOf = (name: string): number => tf.util.sizeFromShape(shapes[name]!);

const values = (random: Generator, scale = 1): Record<string, Float32Array> =>
  Object.fromEntries(
    Object.keys(shapes).map((name) => [
      name,
      Float32Array.from({ length: sizeOf(name) }, () => scale * (random.next() - 0.5)),
    ]),
  );

let made = 0;
/** Variables whose own names differ from their keys, as those of a copied model do. */
function variables(initial: Record<string, Float32Array>): Record<string, tf.Variable> {
  made++;
  return Object.fromEntries(
    Object.entries(initial).map(([name, v]) => [
      name,
      tf.variable(tf.tensor(v.slice(), shapes[name]!), true, `${name}_${made}`),
    ]),
  );
}

/** Gradients under the variables' own names. */
const gradientsFor = (
  weights: Record<string, tf.Variable>,
  gradients: Partial<Record<string, Float32Array>>,
): tf.NamedTensorMap =>
  Object.fromEntries(
    Object.entries(gradients).map(([name, g]) => [weights[name]!.name, tf.tensor(g!.slice(), shapes[name]!)]),
  );

const read = (weights: Record<string, tf.Variable>): Record<string, number[]> =>
  Object.fromEntries(Object.entries(weights).map(([name, v]) => [name, [...v.dataSync()]]));

/** AdamW one number at a time in double precision, as torch.optim.AdamW's page has it, after clip_grad_norm_. */
class Slow {
  step = 0;
  readonly m = new Map<string, number>();
  readonly v = new Map<string, number>();

  constructor(
    readonly weights: Record<string, number[]>,
    readonly o: Required<Omit<AdamWOptions, 'decayed'>> & {
      decayed: (name: string, variable: never) => boolean;
    },
  ) {}

  apply(gradients: Partial<Record<string, Float32Array>>, rate: number, maxNorm: number): number {
    const { beta1, beta2, epsilon, weightDecay, decayed } = this.o;
    const norm = Math.hypot(...Object.values(gradients).flatMap((g) => [...g!]));
    const clip = Math.min(1, maxNorm / (norm + 1e-6));
    this.step++;
    for (const [name, weights] of Object.entries(this.weights)) {
      weights.forEach((weight, i) => {
        const key = `${name}${i}`;
        const g = (gradients[name]?.[i] ?? 0) * clip;
        const m = beta1 * (this.m.get(key) ?? 0) + (1 - beta1) * g;
        const v = beta2 * (this.v.get(key) ?? 0) + (1 - beta2) * g * g;
        this.m.set(key, m);
        this.v.set(key, v);
        const decay = decayed(name, undefined as never) ? 1 - rate * weightDecay : 1;
        const corrected = m / (1 - beta1 ** this.step);
        const spread = Math.sqrt(v / (1 - beta2 ** this.step));
        weights[i] = weight * decay - (rate * corrected) / (spread + epsilon);
      });
    }
    return norm;
  }
}

function inTidy<T>(body: () => T): T {
  let result!: T;
  tf.tidy(() => {
    result = body();
  });
  return result;
}

const matrices = (name: string): boolean => shapes[name]!.length >= 2;

onEachBackend(() => {
  const cases: Record<string, Partial<AdamWOptions> & { maxGradNorm?: number }> = {
    'its defaults': {},
    'weight decay of matrices': { weightDecay: 0.5 },
    'weight decay of what is chosen': { weightDecay: 0.5, decayed: (name) => name === 'bias' },
    'clipped gradients': { maxGradNorm: 0.7 },
    'clipping that never acts': { maxGradNorm: 1e3 },
    'other constants': { beta1: 0.5, beta2: 0.9, epsilon: 1e-2, weightDecay: 0.1, maxGradNorm: 2 },
  };
  for (const [name, { maxGradNorm, ...options }] of Object.entries(cases)) {
    test(`${name}: as one number at a time`, () => {
      const random = new Generator(3);
      const initial = values(random);
      const weights = variables(initial);
      const defaults = { learningRate: 0.05, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 };
      const slow = new Slow(Object.fromEntries(Object.entries(initial).map(([key, v]) => [key, [...v]])), {
        decayed: matrices,
        ...defaults,
        ...options,
      });
      const optimizer = new AdamW(weights, { learningRate: 0.05, ...options });
      for (let step = 0; step < 12; step++) {
        const { dense, ...rest } = values(random, step < 6 ? 1 : 1e-3);
        const gradients = step === 4 ? rest : { dense: dense!, ...rest }; // a variable without a gradient
        const learningRate = step < 8 ? undefined : 0.01;
        const result = optimizer.apply(gradientsFor(weights, gradients), {
          ...(learningRate && { learningRate }),
          ...(maxGradNorm && { maxGradNorm }),
        });
        const norm = slow.apply(gradients, learningRate ?? 0.05, maxGradNorm ?? Infinity);
        expect(result.finite).toBe(true);
        expect(result.gradientNorm / norm).toBeCloseTo(1, 5);
      }
      for (const [key, numbers] of Object.entries(read(weights))) {
        numbers.forEach((value, i) => expect(value, `${key} ${i}`).toBeCloseTo(slow.weights[key]![i]!, 5));
      }
    });
  }

  test('a norm that is not finite changes nothing', () => {
    const random = new Generator(4);
    const weights = variables(values(random));
    const optimizer = new AdamW(weights, { learningRate: 0.1, weightDecay: 0.1 });
    optimizer.apply(gradientsFor(weights, values(random)));
    const before = [read(weights), optimizer.state()];
    for (const bad of [Number.NaN, Infinity, -Infinity, 1e30]) {
      const gradients = values(random);
      gradients.other![3] = bad;
      const result = optimizer.apply(gradientsFor(weights, gradients), { maxGradNorm: 1 });
      expect([result.finite, Number.isFinite(result.gradientNorm)]).toEqual([false, false]);
      expect([read(weights), optimizer.state()]).toEqual(before);
    }
  });

  test('restored, it goes on bit for bit; what is handed out or in is a copy', () => {
    const random = new Generator(6);
    const initial = values(random);
    const gradients = Array.from({ length: 9 }, () => values(random));
    const straight = variables(initial);
    const options = { learningRate: 0.02, weightDecay: 0.1 };
    const one = new AdamW(straight, options);
    for (const g of gradients) one.apply(gradientsFor(straight, g), { maxGradNorm: 1 });

    const first = variables(initial);
    const stopped = new AdamW(first, options);
    for (const g of gradients.slice(0, 4)) stopped.apply(gradientsFor(first, g), { maxGradNorm: 1 });
    const saved = stopped.state();
    expect(saved.step).toBe(4);
    const written = stopped.state();
    written.m.fill(1);
    written.v.fill(1);
    expect(stopped.state()).toEqual(saved);
    stopped.apply(gradientsFor(first, gradients[8]!));

    // Weights as they were after four steps: from a second run of them.
    const second = variables(initial);
    const again = new AdamW(second, options);
    for (const g of gradients.slice(0, 4)) again.apply(gradientsFor(second, g), { maxGradNorm: 1 });
    const resumed = new AdamW(Object.values(second), options);
    const handed = { step: saved.step, m: saved.m.slice(), v: saved.v.slice() };
    resumed.restore(handed);
    handed.m.fill(1);
    handed.v.fill(1);
    for (const g of gradients.slice(4)) resumed.apply(gradientsFor(second, g), { maxGradNorm: 1 });
    expect(read(second)).toEqual(read(straight));
    expect(resumed.state()).toEqual(one.state());
  });

  test('takes what tf.variableGrads gives, and learns', () => {
    const x = tf.variable(tf.tensor1d([3, -2]), true, `x${made++}`);
    const unused = tf.variable(tf.tensor1d([1]), true, `unused${made}`);
    const optimizer = new AdamW([x, unused], { learningRate: 0.1 });
    for (let i = 0; i < 150; i++) {
      optimizer.apply(tf.variableGrads(() => tf.sum(tf.square(x)), [x]).grads);
    }
    for (const value of x.dataSync()) expect(Math.abs(value)).toBeLessThan(0.02);
    expect([...unused.dataSync()]).toEqual([1]);
  });

  test('memory is flat, inside of tf.tidy too, and dispose frees all', () => {
    const weights = variables(values(new Generator(1)));
    const gradients = gradientsFor(weights, values(new Generator(2)));
    const owned = tf.memory().numTensors;
    const optimizer = inTidy(() => new AdamW(weights, { learningRate: 0.1, weightDecay: 0.1 }));
    expect(tf.memory().numTensors - owned).toBe(3);
    expect(leaked(() => void optimizer.apply(gradients, { maxGradNorm: 1 }))).toBe(0);
    expect(leaked(() => void tf.tidy(() => void optimizer.apply(gradients)))).toBe(0);
    expect(leaked(() => optimizer.restore(optimizer.state()))).toBe(0);
    optimizer.dispose();
    expect(tf.memory().numTensors).toBe(owned);
  });

  test('bad arguments', () => {
    const weights = variables({ bias: new Float32Array(4) });
    const make = (options: object) => () =>
      new AdamW(weights, { learningRate: 0.1, ...options } as AdamWOptions);
    const optimizer = make({})();
    const zeros = gradientsFor(weights, { bias: new Float32Array(4) });
    const state = optimizer.state();
    const refused: [() => unknown, string, RegExp][] = [
      [make({ learningRate: undefined }), 'INVALID_ARGUMENT', /^learningRate: expected a finite number/],
      [make({ learningRate: -1 }), 'INVALID_ARGUMENT', /^learningRate: expected a number of at least 0/],
      [make({ beta1: 1 }), 'INVALID_ARGUMENT', /^beta1: expected a number from 0 to below 1, received 1/],
      [make({ beta2: -0.1 }), 'INVALID_ARGUMENT', /^beta2: /],
      [make({ epsilon: 0 }), 'INVALID_ARGUMENT', /^epsilon: expected a number above 0/],
      [make({ weightDecay: Number.NaN }), 'INVALID_ARGUMENT', /^weightDecay: expected a finite number/],
      [make({ momentum: 1 }), 'INVALID_ARGUMENT', /^options.momentum: unknown option/],
      [() => new AdamW({}, { learningRate: 1 }), 'INVALID_ARGUMENT', /^variables: expected at least one/],
      [
        () => optimizer.apply({ ...zeros, other: tf.scalar(0) }),
        'INVALID_ARGUMENT',
        /^gradients.other: expected the name of one of the optimiser's variables \(bias_/,
      ],
      [() => optimizer.apply(zeros, { learningRate: Infinity }), 'INVALID_ARGUMENT', /^learningRate: /],
      [() => optimizer.apply(zeros, { maxGradNorm: 0 }), 'INVALID_ARGUMENT', /^maxGradNorm: .* above 0/],
      [() => optimizer.apply(zeros, { clip: 1 } as never), 'INVALID_ARGUMENT', /^options.clip: unknown/],
      [() => optimizer.restore({ ...state, step: -1 }), 'INVALID_ARGUMENT', /^state.step: /],
      [
        () => optimizer.restore({ ...state, v: new Float32Array(3) }),
        'SHAPE_MISMATCH',
        /^state.v: expected 4 numbers, one for each weight, received a Float32Array of 3/,
      ],
      [
        () => optimizer.restore({ ...state, m: [0, 0, 0, 0] as never }),
        'INVALID_ARGUMENT',
        /^state.m: expected a Float32Array/,
      ],
    ];
    for (const [body, code, message] of refused) {
      expect(codeOf(body), String(message)).toBe(code);
      expect(body).toThrow(message);
    }
    expect(optimizer.state()).toEqual(state);
  });
});

describe('learningRateSchedule', () => {
  const rates = (options: Omit<LearningRateOptions, 'learningRate'>, ...steps: number[]): number[] => {
    const rate = learningRateSchedule({ learningRate: 2, ...options });
    return steps.map((step) => Math.round(1e6 * rate(step)) / 1e6);
  };

  test('rises in a line, then falls', () => {
    const warmupSteps = 4;
    expect(rates({ warmupSteps, decay: 'constant' }, 0, 1, 3, 4, 1e6)).toEqual([0.5, 1, 2, 2, 2]);
    expect(rates({ warmupSteps, decay: 'linear', totalSteps: 8 }, 0, 3, 4, 5, 6, 7, 8, 9)).toEqual([
      0.5, 2, 2, 1.5, 1, 0.5, 0, 0,
    ]);
    const cosine = rates({ warmupSteps, totalSteps: 10 }, 3, 4, 6, 7, 8, 10, 99);
    expect(cosine).toEqual([2, 2, 1.5, 1, 0.5, 0, 0]);
  });

  test('down to a share, without a warm-up, or with nothing but one', () => {
    expect(rates({ decay: 'linear', totalSteps: 4, finalFraction: 0.5 }, 0, 2, 4, 5)).toEqual([2, 1.5, 1, 1]);
    expect(rates({ totalSteps: 4, finalFraction: 0.1 }, 0, 2, 4)).toEqual([2, 1.1, 0.2]);
    expect(rates({ warmupSteps: 2, totalSteps: 2, finalFraction: 0.1 }, 0, 1, 2)).toEqual([1, 2, 0.2]);
  });

  test('bad arguments', () => {
    const refused: [object, RegExp][] = [
      [{}, /^totalSteps: expected a whole number of at least 0, received undefined/],
      [{ warmupSteps: 5, totalSteps: 4 }, /^totalSteps: expected a whole number of at least 5, received 4/],
      [{ warmupSteps: 0.5 }, /^warmupSteps: /],
      [{ decay: 'step' }, /^decay: expected 'constant' or 'linear' or 'cosine'/],
      [{ totalSteps: 4, finalFraction: 1.5 }, /^finalFraction: expected a number from 0 to 1/],
      [{ totalSteps: 4, learningRate: -1 }, /^learningRate: /],
      [{ totalSteps: 4, warmup: 1 }, /^options.warmup: unknown option/],
    ];
    for (const [options, message] of refused) {
      const body = (): unknown => learningRateSchedule({ learningRate: 1, ...options });
      expect(codeOf(body)).toBe('INVALID_ARGUMENT');
      expect(body).toThrow(message);
    }
  });
});
