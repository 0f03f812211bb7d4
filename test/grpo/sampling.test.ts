import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { type SampleTokensOptions, sampleTokens } from '../../src/grpo/sampling.js';
import { Generator } from '../reference/random.js';
import { codeOf } from '../support.js';
import { backends, leaked, onEachBackend } from './backends.js';

/** The tokens that `uniforms` give, each with the same logits. */
function drawn(logits: number[], uniforms: number[], options: SampleTokensOptions): number[] {
  const rows = tf.tensor2d(uniforms.map(() => logits));
  return [...sampleTokens(rows, tf.tensor1d(uniforms), options).dataSync()];
}

/** Evenly spread over [0, 1), the edges included. */
const even = (n: number): number[] => [
  0,
  ...Array.from({ length: n }, (_, i) => (i + 0.5) / n),
  1 - 2 ** -24,
];

const support = (logits: number[], options: Partial<SampleTokensOptions>): number[] =>
  [...new Set(drawn(logits, even(400), { temperature: 1, ...options }))].sort((a, b) => a - b);

const logs = (...weights: number[]): number[] => weights.map((w) => Math.log(w));

/** Pearson's statistic of counts against probabilities. */
function chiSquare(tokens: number[], probabilities: number[]): number {
  const counts = new Array<number>(probabilities.length).fill(0);
  for (const token of tokens) counts[token]!++;
  return probabilities.reduce((sum, p, i) => {
    const expected = p * tokens.length;
    return p === 0 ? sum + (counts[i]! > 0 ? Infinity : 0) : sum + (counts[i]! - expected) ** 2 / expected;
  }, 0);
}

function normalised(weights: number[]): number[] {
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => w / total);
}

onEachBackend(() => {
  test('the cumulative probability decides, its lower edge included', () => {
    const weights = logs(1, 2, 1);
    const options = { temperature: 1 };
    expect(drawn(weights, [0, 0.2499, 0.2501, 0.7499, 0.7501, 0.99], options)).toEqual([0, 0, 1, 1, 2, 2]);
    const result = sampleTokens(tf.zeros([0, 3]), tf.zeros([0]), options);
    expect([result.dtype, result.shape]).toEqual(['int32', [0]]);
  });

  describe('chi-square at 1e-4 of 20,000 draws', () => {
    const random = new Generator(5);
    const weights = [5, 0, 1, 12, 0.5, 3, 8, 0];
    const uniforms = Array.from({ length: 20_000 }, () => random.next());
    const cases: [SampleTokensOptions, expected: number[], limit: number][] = [
      [{ temperature: 1 }, weights, 25.7], // 5 degrees of freedom
      [{ temperature: 2 }, weights.map(Math.sqrt), 25.7],
      [{ temperature: 1, topK: 3 }, [5, 0, 0, 12, 0, 0, 8, 0], 18.4],
      [{ temperature: 1, topP: 0.9 }, [5, 0, 0, 12, 0, 3, 8, 0], 21.1],
      // Of the three, 12 and 8 hold 20/25.
      [{ temperature: 1, topK: 3, topP: 0.79 }, [0, 0, 0, 12, 0, 0, 8, 0], 15.1],
    ];
    test.each(cases)('%o', (options, expected, limit) => {
      const value = chiSquare(drawn(logs(...weights), uniforms, options), normalised(expected));
      expect(value).toBeLessThan(limit);
    });
  });

  test('temperature 0 is the likeliest, the first of equals', () => {
    expect(drawn([1, 3, 3, 2], [0, 0.5, 0.99], { temperature: 0 })).toEqual([1, 1, 1]);
  });

  test('no token of probability zero, at either edge of the uniform numbers', () => {
    const logits = [-Infinity, 0, -Infinity, -200, 1, -Infinity];
    const edges = [0, 2 ** -149, 1 - 2 ** -24, 1 - 2 ** -40, 1]; // the last two are 1 in single precision
    for (const options of [{}, { topK: 6 }, { topK: 5 }, { topP: 0.9999 }]) {
      expect(drawn(logits, edges, { temperature: 1, ...options }).every((t) => t === 1 || t === 4)).toBe(
        true,
      );
    }
    expect(drawn(logits, edges, { temperature: 1 })).toEqual([1, 1, 4, 4, 4]);
    // Many columns, whose sum is not 1 in single precision, and none after the last that counts.
    const random = new Generator(8);
    const long = Array.from({ length: 500 }, (_, i) => (i < 450 ? 4 * random.next() : -Infinity));
    expect(Math.max(...drawn(long, [1 - 2 ** -24, 1], { temperature: 1 }))).toBe(449);
  });

  test('top-k keeps k, of equals the first', () => {
    expect(support(logs(4, 1, 3, 2), { topK: 2 })).toEqual([0, 2]);
    expect(support(logs(1, 2, 2, 2), { topK: 2 })).toEqual([1, 2]);
    expect(support(logs(1, 2, 2, 2), { topK: 1 })).toEqual([1]);
    for (const topK of [4, 9]) expect(support(logs(4, 1, 3, 2), { topK })).toEqual([0, 1, 2, 3]);
  });

  test('top-p keeps the fewest that reach p, at least one', () => {
    const quarters = logs(2, 4, 1, 1); // probabilities 0.25 0.5 0.125 0.125, exact
    expect(support(quarters, { topP: 0.001 })).toEqual([1]);
    expect(support(quarters, { topP: 0.49 })).toEqual([1]);
    expect(support(quarters, { topP: 0.51 })).toEqual([0, 1]);
    expect(support(quarters, { topP: 0.76 })).toEqual([0, 1, 2]);
    expect(support(quarters, { topP: 0.88 })).toEqual([0, 1, 2, 3]);
    expect(support(quarters, { topP: 1 })).toEqual([0, 1, 2, 3]);
    // Of equals the first.
    expect(support([0, 0, 0, 0], { topP: 0.4999 })).toEqual([0, 1]);
    expect(support([0, 0, 0, 0], { topP: 0.5001 })).toEqual([0, 1, 2]);
  });

  test('rows are independent', () => {
    const logits = tf.tensor2d([logs(1, 0, 0), logs(0, 1, 0), logs(0, 0, 1)]);
    for (const options of [{}, { topK: 2 }, { topP: 0.5 }]) {
      const tokens = sampleTokens(logits, tf.tensor1d([0.9, 0.1, 0]), { temperature: 1, ...options });
      expect([...tokens.dataSync()]).toEqual([0, 1, 2]);
    }
  });

  test('leaves nothing behind but the tokens', () => {
    const logits = tf.randomNormal<tf.Rank.R2>([4, 9]);
    const uniforms = tf.randomUniform<tf.Rank.R1>([4]);
    const all = [{ temperature: 1 }, { temperature: 0 }, { temperature: 0.5, topK: 3, topP: 0.5 }];
    for (const options of all) expect(leaked(() => void sampleTokens(logits, uniforms, options))).toBe(1);
  });

  test('bad arguments', () => {
    const logits = tf.zeros<tf.Rank.R2>([2, 3]);
    const uniforms = tf.zeros<tf.Rank.R1>([2]);
    const call = (options: object) => () => sampleTokens(logits, uniforms, options as SampleTokensOptions);
    const refused: [() => unknown, string, RegExp][] = [
      [call({}), 'INVALID_ARGUMENT', /^temperature: expected a finite number, received undefined/],
      [call({ temperature: -1 }), 'INVALID_ARGUMENT', /^temperature: expected a number of at least 0/],
      [call({ temperature: 1, topK: 0 }), 'INVALID_ARGUMENT', /^topK: expected a whole number of at least 1/],
      [
        call({ temperature: 1, topP: 0 }),
        'INVALID_ARGUMENT',
        /^topP: expected a number above 0 and at most 1/,
      ],
      [call({ temperature: 1, topP: 1.1 }), 'INVALID_ARGUMENT', /^topP: .* received 1.1/],
      [call({ temperature: 1, top_p: 1 }), 'INVALID_ARGUMENT', /^options.top_p: unknown option/],
      [
        () => sampleTokens(logits, tf.zeros([3]), { temperature: 1 }),
        'SHAPE_MISMATCH',
        /'uniforms' .* \[N\] with N = 2 as in 'logits', but got \[3\]/,
      ],
      [
        () => sampleTokens(tf.zeros([2, 3], 'int32'), uniforms, { temperature: 1 }),
        'INVALID_ARGUMENT',
        /'logits' .* float32 tensor/,
      ],
    ];
    for (const [body, code, message] of refused) {
      expect(codeOf(body)).toBe(code);
      expect(body).toThrow(message);
    }
  });
});

test('the same numbers give the same tokens on every backend', async () => {
  const random = new Generator(11);
  const values = Float32Array.from({ length: 256 * 320 }, () => 6 * random.next());
  const uniforms = Float32Array.from({ length: 256 }, () => random.next());
  for (const options of [{}, { temperature: 0.7 }, { topK: 20 }, { topP: 0.8 }, { topK: 50, topP: 0.5 }]) {
    const perBackend: number[][] = [];
    for (const backend of backends) {
      await tf.setBackend(backend);
      const tokens = sampleTokens(tf.tensor2d(values, [256, 320]), tf.tensor1d(uniforms), {
        temperature: 1,
        ...options,
      });
      perBackend.push([...tokens.dataSync()]);
    }
    for (const tokens of perBackend) expect(tokens).toEqual(perBackend[0]);
    expect(new Set(perBackend[0]).size).toBeGreaterThan(40);
  }
});
