/** The small multimodal policy: that its cache, masks and gradients are those of one transformer. */

import * as tf from '@tensorflow/tfjs';
import type { Tensor2D } from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { VisionPolicy } from '../../src/grpo/model/vision-policy.js';
import type { SampleOptions } from '../../src/grpo/policy.js';
import { createTask } from '../../src/grpo/tasks/index.js';
import { Random } from '../../src/random.js';
import { codeOf } from '../support.js';

const size = { width: 16, heads: 2, headWidth: 8, encoderLayers: 1, decoderLayers: 2 };
const detection = createTask('detection');
const grounding = createTask('grounding');
const prompts = [0, 1].map((i) => detection.example('train', 1, i));

let policy: VisionPolicy;
beforeAll(async () => {
  await tf.setBackend('cpu');
  policy = new VisionPolicy({ size, seed: 3 });
});
afterAll(() => policy.dispose());

function sampled(options: Partial<SampleOptions> = {}, of = policy): number[][] {
  const random = new Random(5);
  return tf.tidy(() => {
    const rollout = of.sample(of.encode(of.batch(prompts)), {
      numGenerations: 2,
      maxTokens: 7,
      temperature: 1,
      uniforms: (tokens, count) => Float32Array.from({ length: tokens * count }, () => random.next()),
      ...options,
    });
    expect(rollout.mask.arraySync()).toEqual(
      (rollout.tokens.arraySync() as number[][]).map((row) => row.map((token) => (token === 0 ? 0 : 1))),
    );
    return rollout.tokens.arraySync();
  });
}

function logProbs(tokens: number[][], temperature = 1, examples = prompts, of = policy): number[][] {
  return tf.tidy(() => {
    const encoded = of.encode(of.batch(examples));
    return of.logProbs(encoded, tf.tensor2d(tokens, undefined, 'int32'), temperature).logProbs.arraySync();
  });
}

describe('VisionPolicy', () => {
  test('what it samples with its cache is what it finds likeliest without', () => {
    const tokens = sampled({ temperature: 0 });
    const chosen = logProbs(tokens);
    const random = new Random(8);
    for (let t = 0; t < tokens[0]!.length; t++) {
      for (let trial = 0; trial < 4; trial++) {
        const others = tokens.map((row) => [...row]);
        for (const row of others) row[t] = 1 + random.integer(policy.tokenizer.size - 1);
        logProbs(others).forEach((row, n) => expect(row[t]!).toBeLessThanOrEqual(chosen[n]![t]! + 1e-5));
      }
    }
  });

  test('completions of one prompt differ, and the same numbers draw the same ones', () => {
    const tokens = sampled();
    expect(tokens).toHaveLength(4);
    expect(tokens[0]).not.toEqual(tokens[1]);
    expect(sampled()).toEqual(tokens);
  });

  test('after the end token there is only padding, and sampling stops when all have ended', () => {
    const always = new VisionPolicy({ size, seed: 3 });
    const { end } = always.tokenizer;
    const bias = always.variables['output/tokens']!;
    const gain = always.variables['decoder/norm']!;
    tf.tidy(() => {
      // All states alike and the end token in their direction.
      gain.assign(tf.zerosLike(gain));
      bias.assign(tf.zerosLike(bias));
    });
    const uniforms = (tokens: number, count: number): Float32Array =>
      new Float32Array(tokens * count).fill((end + 0.5) / always.tokenizer.size);
    expect(sampled({ uniforms, maxTokens: 20 }, always)).toEqual([[end], [end], [end], [end]]);
    always.dispose();
  });

  test('probabilities of the first token add up to 1, at any temperature', () => {
    for (const temperature of [1, 0.5]) {
      const rows = Array.from({ length: 2 * policy.tokenizer.size }, (_, i) => [i % policy.tokenizer.size]);
      const all = logProbs(rows, temperature).map(([logProb]) => Math.exp(logProb!));
      const sum = (values: number[]): number => values.reduce((a, b) => a + b, 0);
      expect(sum(all.slice(0, policy.tokenizer.size))).toBeCloseTo(1, 5);
      expect(sum(all.slice(policy.tokenizer.size))).toBeCloseTo(1, 5);
    }
  });

  test('entropies are those of the distributions', () => {
    const rows = Array.from({ length: policy.tokenizer.size }, (_, i) => [i]);
    const [expected, entropy] = tf.tidy(() => {
      const encoded = policy.encode(policy.batch(prompts.slice(0, 1)));
      const { logProbs, entropies } = policy.logProbs(encoded, tf.tensor2d(rows, undefined, 'int32'), 1);
      return [
        -(logProbs.arraySync() as number[][]).reduce((sum, [p]) => sum + Math.exp(p!) * p!, 0),
        (entropies.arraySync() as number[][])[0]![0]!,
      ];
    }) as unknown as [number, number];
    expect(entropy).toBeCloseTo(expected, 4);
  });

  test('a token does not see those after it', () => {
    const tokens = sampled();
    const before = logProbs(tokens);
    const changed = tokens.map((row) => row.map((token, t) => (t >= 4 ? 5 : token)));
    logProbs(changed).forEach((row, n) => {
      for (let t = 0; t < 4; t++) expect(row[t]).toBe(before[n]![t]);
    });
  });

  test('completions belong to their prompt, and it is looked at', () => {
    const tokens = sampled();
    const swapped = logProbs([...tokens.slice(2), ...tokens.slice(0, 2)], 1, [prompts[1]!, prompts[0]!]);
    const straight = logProbs(tokens);
    expect(swapped[0]).toEqual(straight[2]);
    expect(logProbs(tokens, 1, [prompts[1]!, prompts[0]!])[0]).not.toEqual(straight[0]);
  });

  test('the padding of a short prompt beside a long one changes nothing', () => {
    const long = { ...grounding.example('train', 1, 0) };
    const short = prompts[0]!;
    expect(policy.tokenizer.encode(long.prompt).length).toBeGreaterThan(
      policy.tokenizer.encode(short.prompt).length,
    );
    const row = [20, 90, 160, 230];
    const alone = logProbs([row], 1, [short])[0]!;
    const beside = logProbs([row, row], 1, [short, long])[0]!;
    beside.forEach((value, t) => expect(value).toBeCloseTo(alone[t]!, 5));
  });

  test('gradients are those of finite differences', () => {
    const tokens = tf.tensor2d([[11, 80, 150, 1]], undefined, 'int32') as Tensor2D;
    const one = prompts.slice(0, 1);
    const loss = (): tf.Scalar => {
      const encoded = policy.encode(policy.batch(one));
      const nll = tf.neg(tf.sum(policy.logProbs(encoded, tokens, 1).logProbs));
      return tf.add(nll, policy.denseLoss(encoded, [one[0]!.shown])) as tf.Scalar;
    };
    const { grads } = tf.tidy(() => tf.variableGrads(loss, Object.values(policy.variables)));
    const random = new Random(2);
    for (const [name, variable] of Object.entries(policy.variables)) {
      // Along one direction over the whole variable: single weights drown in single precision.
      const direction = tf.tensor(
        Float32Array.from({ length: variable.size }, () => random.normal()),
        variable.shape,
      );
      const step = 0.02 / Math.sqrt(variable.size);
      const at = (by: number): number =>
        tf.tidy(() => {
          const kept = variable.clone();
          variable.assign(tf.add(variable, tf.mul(direction, by)));
          const value = loss().dataSync()[0]!;
          variable.assign(kept);
          return value;
        });
      const measured = (at(step) - at(-step)) / (2 * step);
      const derived = tf.tidy(() => tf.sum(tf.mul(grads[variable.name]!, direction)).dataSync()[0]!);
      const scale = tf.tidy(() => tf.norm(grads[variable.name]!).dataSync()[0]!);
      expect(Math.abs(measured - derived), name).toBeLessThan(0.03 * scale + 0.02);
      direction.dispose();
    }
    tf.dispose([grads, tokens]);
  });

  test('the dense loss goes by the smallest object over a patch', () => {
    const value = tf.tidy(() => {
      const encoded = policy.encode(policy.batch(prompts.slice(0, 1)));
      const over = policy.denseLoss(encoded, [
        [
          { label: '3', box: [0, 0, 1000, 1000] },
          { label: '4', box: [0, 0, 500, 500] },
        ],
      ]);
      const under = policy.denseLoss(encoded, [
        [
          { label: '4', box: [0, 0, 500, 500] },
          { label: '3', box: [0, 0, 1000, 1000] },
        ],
      ]);
      const other = policy.denseLoss(encoded, [[{ label: '3', box: [0, 0, 1000, 1000] }]]);
      return [over, under, other].map((x) => x.dataSync()[0]!);
    }) as unknown as number[];
    expect(value[0]).toBe(value[1]);
    expect(value[0]).not.toBe(value[2]);
  });

  test('a copy answers alike, and keeps its weights when the model learns', () => {
    const copy = policy.copy();
    const tokens = sampled();
    expect(logProbs(tokens, 1, prompts, copy)).toEqual(logProbs(tokens));
    const other = new VisionPolicy({ size, seed: 4 });
    expect(logProbs(tokens, 1, prompts, other)).not.toEqual(logProbs(tokens));
    copy.dispose();
    other.dispose();
  });

  test('leaves nothing behind', () => {
    const before = tf.memory().numTensors;
    const own = new VisionPolicy({ size });
    sampled({}, own);
    logProbs([[5], [5]], 1, prompts, own);
    own.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  test('refuses what it cannot be or do', () => {
    expect(codeOf(() => new VisionPolicy({ size: 'huge' as never }))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => new VisionPolicy({ height: 60 }))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => new VisionPolicy({ depth: 2 } as never))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => policy.batch([{ image: new Float32Array(5), prompt: prompts[0]!.prompt }]))).toBe(
      'SHAPE_MISMATCH',
    );
    expect(codeOf(() => sampled({ maxTokens: 1000 }))).toBe('TOO_LARGE');
  });
});
