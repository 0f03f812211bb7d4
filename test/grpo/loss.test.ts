import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import {
  type GrpoLossInputs,
  type GrpoLossOptions,
  type GrpoLossType,
  grpoDiagnostics,
  grpoLoss,
  grpoPresets,
} from '../../src/grpo/loss.js';
import { groupAdvantages } from '../../src/index.js';
import { Generator } from '../reference/random.js';
import { codeOf } from '../support.js';
import { leaked, onEachBackend } from './backends.js';

/** TRL 1.13's loss: its file says what the keys are. */
interface Golden {
  config: {
    loss: GrpoLossType;
    el?: number;
    eh?: number;
    delta?: number;
    beta?: number;
    level?: 'token' | 'sequence';
    bias?: boolean;
    ent?: number;
    maxlen?: number;
    onpolicy?: boolean;
  };
  shape: [number, number];
  logps: number[];
  old_logps: number[];
  ref_logps: number[];
  entropies: number[];
  advantages: number[];
  mask: number[];
  loss: number;
  grad_logps: number[];
}

const golden = (
  JSON.parse(
    gunzipSync(readFileSync(new URL('../fixtures/grpo_loss_trl.json.gz', import.meta.url))).toString(),
  ) as { cases: Golden[] }
).cases;

function callOf(c: Golden): [inputs: GrpoLossInputs, options: GrpoLossOptions] {
  const { loss, el, eh, delta, beta, level, bias, ent, maxlen, onpolicy } = c.config;
  const matrix = (values: number[]): tf.Tensor2D => tf.tensor2d(values, c.shape);
  return [
    {
      logProbs: matrix(c.logps),
      ...(!onpolicy && { oldLogProbs: matrix(c.old_logps) }),
      ...(beta && { refLogProbs: matrix(c.ref_logps) }),
      ...(ent && { entropies: matrix(c.entropies) }),
      advantages: tf.tensor1d(c.advantages),
      mask: matrix(c.mask),
    },
    {
      lossType: loss,
      ...(el !== undefined && { epsilonLow: el }),
      ...(eh !== undefined && { epsilonHigh: eh }),
      ...(delta !== undefined && { delta }),
      ...(beta !== undefined && { beta }),
      ...(level && { importanceSamplingLevel: level }),
      ...(bias && { useBiasCorrectionKl: true }),
      ...(ent !== undefined && { entropyCoef: ent }),
      ...(maxlen !== undefined && { maxCompletionLength: maxlen }),
    },
  ];
}

/** Loss and gradient. */
function differentiated(
  inputs: GrpoLossInputs,
  options?: GrpoLossOptions,
): { loss: number; gradient: number[] } {
  const f = (x: tf.Tensor): tf.Tensor => grpoLoss({ ...inputs, logProbs: x as tf.Tensor2D }, options);
  const { value, grad } = tf.valueAndGrad(f)(inputs.logProbs as tf.Tensor2D);
  return { loss: value.dataSync()[0]!, gradient: [...grad.dataSync()] };
}

/** Inputs as plain numbers: rows of tokens. */
interface Plain {
  logProbs: number[][];
  old: number[][];
  reference: number[][];
  entropies: number[][];
  advantages: number[][];
  mask: number[][];
}

const sum = (values: number[]): number => values.reduce((a, b) => a + b, 0);

/** The loss one token at a time in double precision; what is a constant to gradients is taken at `at`. */
function slow(p: Plain, o: GrpoLossOptions, at: number[][] = p.logProbs): number {
  const low = o.epsilonLow ?? 0.2;
  const high = o.epsilonHigh ?? low;
  const { lossType = 'dapo', beta = 0, klEstimator = 'k3' } = o;
  const lengths = p.mask.map((row) => sum(row));
  const count = Math.max(1, sum(lengths));
  const completions = p.mask.length;
  let loss = 0;
  p.mask.forEach((mask, b) => {
    const ratios = (x: number[]): { token: number[]; mean: number; sum: number } => {
      const log = x.map((value, t) => (mask[t] ? value - p.old[b]![t]! : 0));
      return { token: log.map(Math.exp), mean: Math.exp(sum(log) / Math.max(1, lengths[b]!)), sum: sum(log) };
    };
    const now = ratios(p.logProbs[b]!);
    const fixed = ratios(at[b]!);
    mask.forEach((counts, t) => {
      if (!counts) return;
      const sequence = o.importanceSamplingLevel === 'sequence';
      const ratio = sequence ? now.mean : now.token[t]!;
      const advantage = p.advantages[b]![t]!;
      const logProb = p.logProbs[b]![t]!;
      let token: number;
      if (lossType === 'cispo') {
        token = -Math.min(sequence ? fixed.mean : fixed.token[t]!, high) * advantage * logProb;
      } else if (lossType === 'sapo') {
        const tau = advantage > 0 ? 1 : 1.05;
        token = (((-4 / tau) * 1) / (1 + Math.exp(-tau * (ratio - 1)))) * advantage;
      } else if (lossType === 'vespo') {
        const w = Math.exp(Math.max(Math.log(1e-8), fixed.sum));
        const [k, lambda] = advantage >= 0 ? [2, 3] : [3, 2];
        token = -Math.exp(lambda) * w ** k * Math.exp(-lambda * w) * advantage * logProb;
      } else {
        const clipped = Math.min(Math.max(ratio, 1 - low), 1 + high);
        token = -Math.min(Math.min(ratio, o.delta ?? Infinity) * advantage, clipped * advantage);
      }
      if (beta) {
        const d = logProb - p.reference[b]![t]!;
        const kl = { k1: d, k2: d ** 2 / 2, k3: Math.exp(-d) + d - 1 }[klEstimator];
        token += beta * kl * (o.useBiasCorrectionKl ? ratio : 1);
      }
      if (lossType === 'grpo' || lossType === 'sapo') loss += token / lengths[b]! / completions;
      else if (lossType === 'luspo') loss += token / completions;
      else if (lossType === 'dr_grpo') loss += token / completions / (o.maxCompletionLength ?? mask.length);
      else loss += token / count;
      loss -= ((o.entropyCoef ?? 0) * p.entropies[b]![t]!) / count;
    });
  });
  return loss;
}

function finiteDifferences(p: Plain, o: GrpoLossOptions): number[] {
  const step = 1e-6;
  return p.logProbs.flatMap((row, b) =>
    row.map((_, t) => {
      const [above, below] = [step, -step].map((change) => {
        const moved = p.logProbs.map((values) => [...values]);
        moved[b]![t]! += change;
        return slow({ ...p, logProbs: moved }, o, p.logProbs);
      }) as [number, number];
      return (above - below) / (2 * step);
    }),
  );
}

/** Completions of every length from none to `length`, numbers that single precision holds. */
function randomPlain(seed: number, { length = 6, perToken = false, drift = 0.6 } = {}): Plain {
  const random = new Generator(seed);
  const matrix = (next: () => number): number[][] =>
    Array.from({ length: length + 1 }, () => Array.from({ length }, () => Math.fround(next())));
  const logProbs = matrix(() => -3 * random.next());
  const near = (scale: number): number[][] =>
    logProbs.map((row) => row.map((x) => Math.fround(x + scale * (random.next() - 0.5))));
  const advantages = matrix(() => 2 * random.next() - 1);
  return {
    logProbs,
    old: near(drift),
    reference: near(2),
    entropies: matrix(() => 3 * random.next()),
    advantages: perToken ? advantages : advantages.map((row) => row.map(() => row[0]!)),
    mask: logProbs.map((row, b) => row.map((_, t) => (t < b ? 1 : 0))),
  };
}

function inputsOf(p: Plain, perToken: boolean): GrpoLossInputs {
  return {
    logProbs: tf.tensor2d(p.logProbs),
    oldLogProbs: tf.tensor2d(p.old),
    refLogProbs: tf.tensor2d(p.reference),
    entropies: tf.tensor2d(p.entropies),
    advantages: perToken ? tf.tensor2d(p.advantages) : tf.tensor1d(p.advantages.map((row) => row[0]!)),
    mask: tf.tensor2d(p.mask),
  };
}

const types = ['grpo', 'bnpo', 'dr_grpo', 'dapo', 'cispo', 'sapo', 'vespo', 'luspo'] as const;

const variants: GrpoLossOptions[] = types.flatMap((lossType) => [
  { lossType },
  { lossType, importanceSamplingLevel: 'sequence' as const, epsilonLow: 0.03, epsilonHigh: 0.05 },
  { lossType, beta: 0.1, epsilonHigh: 0.3, delta: 1.4 },
  { lossType, beta: 0.2, klEstimator: 'k1' as const, useBiasCorrectionKl: true, maxCompletionLength: 9 },
  {
    lossType,
    importanceSamplingLevel: 'sequence' as const,
    beta: 0.2,
    klEstimator: 'k2' as const,
    useBiasCorrectionKl: true,
  },
  { lossType, entropyCoef: 0.05 },
]);

const expectClose = (actual: number, expected: number, tolerance: number, name: string): void =>
  expect(Math.abs(actual - expected) / Math.max(1, Math.abs(expected)), name).toBeLessThan(tolerance);

onEachBackend(() => {
  test(`${golden.length} losses and gradients of TRL`, () => {
    golden.forEach((c, i) => {
      const { loss, gradient } = differentiated(...callOf(c));
      const name = `${i} ${JSON.stringify(c.config)}`;
      expectClose(loss, c.loss, 2e-6, name);
      const largest = Math.max(...c.grad_logps.map(Math.abs));
      gradient.forEach((g, k) => expectClose(g / largest, c.grad_logps[k]! / largest, 2e-5, `${name} ${k}`));
    });
  });

  describe('as one token at a time, the gradient by finite differences', () => {
    for (const perToken of [false, true]) {
      test(perToken ? 'advantages of tokens' : 'advantages of completions', () => {
        variants.forEach((options, i) => {
          const p = randomPlain(100 + i, { perToken });
          const inputs = inputsOf(p, perToken);
          const { loss, gradient } = differentiated(inputs, options);
          const name = JSON.stringify(options);
          expectClose(loss, slow(p, options), 1e-5, name);
          const expected = finiteDifferences(p, options);
          gradient.forEach((g, k) => expectClose(g, expected[k]!, 1e-5, `${name} ${k}`));
          expect(Math.max(...gradient.map(Math.abs))).toBeGreaterThan(1e-3);
        });
      });
    }
  });

  test('the entropy bonus has a gradient of its own', () => {
    const inputs = inputsOf(randomPlain(1), false);
    const f = (entropies: tf.Tensor): tf.Tensor =>
      grpoLoss({ ...inputs, entropies: entropies as tf.Tensor2D }, { entropyCoef: 0.5 });
    const mask = [...(inputs.mask as tf.Tensor).dataSync()];
    const gradient = tf
      .grad(f)(inputs.entropies as tf.Tensor)
      .dataSync();
    mask.forEach((m, k) => expect(gradient[k]).toBeCloseTo((-0.5 * m) / 21, 6));
  });

  test('on-policy is what the same log probabilities as old ones give', () => {
    for (const lossType of types) {
      const { oldLogProbs, ...inputs } = inputsOf(randomPlain(2), false);
      const options = { lossType, beta: 0.04 };
      const given = { ...inputs, oldLogProbs: inputs.logProbs };
      const explicit = differentiated(
        { ...given, oldLogProbs: tf.clone(inputs.logProbs as tf.Tensor2D) },
        options,
      );
      expect(differentiated(inputs, options), lossType).toEqual(explicit);
    }
  });

  test('what is masked may be anything, and has no gradient', () => {
    const options = { beta: 0.1, entropyCoef: 0.1, useBiasCorrectionKl: true };
    for (const lossType of types) {
      for (const importanceSamplingLevel of ['token', 'sequence'] as const) {
        const all = { ...options, lossType, importanceSamplingLevel };
        const p = randomPlain(3, { perToken: true });
        const clean = differentiated(inputsOf(p, true), all);
        expect(clean.loss).not.toBe(0);
        for (const garbage of [Number.NaN, Infinity, -Infinity, 1e30]) {
          const filled = (rows: number[][]): number[][] =>
            rows.map((row, b) => row.map((x, t) => (p.mask[b]![t] ? x : garbage)));
          const { mask, ...rest } = p;
          const dirty = Object.fromEntries(Object.entries(rest).map(([k, rows]) => [k, filled(rows)]));
          expect(differentiated(inputsOf({ mask, ...dirty } as unknown as Plain, true), all)).toEqual(clean);
        }
        clean.gradient.forEach((g, k) => {
          if (!p.mask.flat()[k]) expect(Math.abs(g)).toBe(0);
        });
      }
    }
  });

  test('no tokens: 0, with a gradient of zeros', () => {
    for (const lossType of types) {
      const options = { lossType, beta: 0.1, entropyCoef: 0.1 };
      const p = randomPlain(4);
      const none = { ...p, mask: p.mask.map((row) => row.map(() => 0)) };
      const { loss, gradient } = differentiated(inputsOf(none, false), options);
      expect([Math.abs(loss), ...new Set(gradient.map(Math.abs))], lossType).toEqual([0, 0]);
      for (const shape of [
        [0, 5],
        [3, 0],
        [0, 0],
      ] as [number, number][]) {
        const empty = (): tf.Tensor2D => tf.zeros(shape);
        const inputs: GrpoLossInputs = {
          logProbs: empty(),
          refLogProbs: empty(),
          entropies: empty(),
          advantages: tf.zeros([shape[0]]),
          mask: empty(),
        };
        expect(differentiated(inputs, options)).toEqual({ loss: 0, gradient: [] });
      }
    }
  });

  test('a NaN that counts is not hidden', () => {
    for (const options of variants) {
      const p = randomPlain(5);
      p.logProbs[6]![2] = Number.NaN;
      expect(grpoLoss(inputsOf(p, false), options).dataSync()[0], JSON.stringify(options)).toBeNaN();
    }
  });

  test('however far apart the policies are, loss and gradient are finite', () => {
    for (const options of variants) {
      const p = randomPlain(6);
      p.old[3]!.fill(-1000);
      p.old[4]!.fill(1000);
      p.reference[5]!.fill(-1000);
      p.reference[6]!.fill(1000);
      p.logProbs[6]![1] = -Infinity;
      const { gradient } = differentiated(inputsOf(p, false), options);
      expect(gradient.every(Number.isFinite), JSON.stringify(options)).toBe(true);
    }
  });

  test('plain arrays will do', () => {
    const p = randomPlain(7);
    const inputs = { logProbs: p.logProbs, advantages: p.advantages.map((row) => row[0]!), mask: p.mask };
    const options: GrpoLossOptions = { lossType: 'grpo' };
    expectClose(grpoLoss(inputs, options).dataSync()[0]!, slow({ ...p, old: p.logProbs }, options), 1e-5, '');
  });

  test('the Perception-R1 preset', () => {
    const { loss: options, advantages: formula, numIterations } = grpoPresets['perception-r1'];
    const rewards = Float32Array.of(1, 0, 0.5, 0.5, 3, 2, 2, 2);
    const { advantages } = groupAdvantages(rewards, { groupSize: 4, ...formula });
    // (1 - 0.5) / (sqrt(0.5 / 3) + 1e-4)
    expect(advantages[0]).toBeCloseTo(0.5 / (Math.sqrt(0.5 / 3) + 1e-4), 5);
    expect(numIterations).toBe(1);
    const p = randomPlain(8, { length: 7 });
    const { oldLogProbs, ...inputs } = inputsOf(p, false);
    const { loss } = differentiated({ ...inputs, advantages: tf.tensor1d(advantages) }, options);
    // On-policy: the mean over completions of the mean over tokens of -advantage + 0.04 k3.
    const expected = p.mask.map((mask, b) => {
      const tokens = mask.flatMap((m, t) => {
        const d = p.logProbs[b]![t]! - p.reference[b]![t]!;
        return m ? [-advantages[b]! + 0.04 * (Math.exp(-d) + d - 1)] : [];
      });
      return tokens.length ? sum(tokens) / tokens.length : 0;
    });
    expectClose(loss, sum(expected) / 8, 1e-5, '');
  });

  describe('diagnostics', () => {
    const mean = (p: Plain, of: (b: number, t: number) => number): number => {
      const tokens = p.mask.flatMap((row, b) => row.flatMap((m, t) => (m ? [of(b, t)] : [])));
      return sum(tokens) / Math.max(1, tokens.length);
    };

    test('are means over the tokens that count, read at once', () => {
      const p = randomPlain(9, { length: 9, drift: 1.5 });
      const inputs = inputsOf(p, false);
      const log = (b: number, t: number): number => p.logProbs[b]![t]! - p.old[b]![t]!;
      const d = (b: number, t: number): number => p.logProbs[b]![t]! - p.reference[b]![t]!;
      const sequence = (b: number): number =>
        Math.exp(mean({ ...p, mask: p.mask.map((row, i) => (i === b ? row : row.map(() => 0))) }, log));
      const token = (b: number, t: number): number => Math.exp(log(b, t));
      const clips = (ratio: (b: number, t: number) => number): Record<string, number> => ({
        'ratio/mean': mean(p, ratio),
        'clip/low': mean(p, (b, t) => Number(ratio(b, t) < 0.8 && p.advantages[b]![t]! < 0)),
        'clip/high': mean(p, (b, t) => Number(ratio(b, t) > 1.1 && p.advantages[b]![t]! > 0)),
      });
      const same = {
        'kl/old': mean(p, (b, t) => token(b, t) - 1 - log(b, t)),
        kl: mean(p, (b, t) => Math.exp(-d(b, t)) + d(b, t) - 1),
        entropy: mean(p, (b, t) => p.entropies[b]![t]!),
      };
      const cases: [GrpoLossOptions, Record<string, number>][] = [
        [{ lossType: 'grpo' }, clips(token)],
        [{ importanceSamplingLevel: 'sequence' }, clips(sequence)],
        [{ lossType: 'sapo' }, { ...clips(token), 'clip/low': 0, 'clip/high': 0 }],
        [{ lossType: 'vespo' }, { ...clips(token), 'clip/low': 0, 'clip/high': 0 }],
        [
          { lossType: 'cispo' },
          { ...clips(token), 'clip/low': 0, 'clip/high': mean(p, (b, t) => Number(token(b, t) > 0.1)) },
        ],
      ];
      const backend = tf.backend();
      const readSync = backend.readSync;
      let reads = 0;
      backend.readSync = function (this: typeof backend, ...args) {
        reads++;
        return readSync.apply(this, args);
      };
      try {
        for (const [options, expected] of cases) {
          reads = 0;
          const epsilonHigh = 0.1;
          const actual = grpoDiagnostics(inputs, { epsilonHigh, ...options });
          expect(reads).toBe(1);
          expect(Object.keys(actual)).toEqual([
            'ratio/mean',
            'clip/low',
            'clip/high',
            'kl/old',
            'kl',
            'entropy',
          ]);
          for (const [name, value] of Object.entries({ ...expected, ...same })) {
            expectClose(actual[name]!, value, 1e-5, name);
          }
        }
      } finally {
        backend.readSync = readSync;
      }
      expect(mean(p, (b, t) => Number(token(b, t) > 1.1))).toBeGreaterThan(0.2);
    });

    test('only of what is given, and of nothing', () => {
      const { oldLogProbs, refLogProbs, entropies, ...inputs } = inputsOf(randomPlain(10), false);
      const onPolicy = { 'ratio/mean': 1, 'clip/low': 0, 'clip/high': 0, 'kl/old': 0 };
      expect(grpoDiagnostics(inputs)).toEqual(onPolicy);
      const none = { ...inputs, mask: tf.zerosLike(inputs.mask as tf.Tensor2D) };
      expect(grpoDiagnostics(none)).toEqual({ ...onPolicy, 'ratio/mean': 0 });
    });
  });

  test('nothing is left behind but the loss', () => {
    const inputs = inputsOf(randomPlain(11), false);
    for (const lossType of types) {
      const options = { lossType, beta: 0.1, useBiasCorrectionKl: true, entropyCoef: 0.1, delta: 2 };
      expect(leaked(() => void grpoLoss(inputs, options))).toBe(1);
      expect(leaked(() => void differentiated(inputs, options))).toBe(2);
      expect(leaked(() => void grpoDiagnostics(inputs, options))).toBe(0);
    }
  });

  test('bad arguments', () => {
    const inputs = inputsOf(randomPlain(12), false);
    const { refLogProbs, entropies, ...few } = inputs;
    const refused: [GrpoLossInputs, object | undefined, code: string, message: RegExp][] = [
      [inputs, { lossType: 'ppo' }, 'INVALID_ARGUMENT', /^lossType: expected 'grpo' or .*, received "ppo"$/],
      [
        inputs,
        { importanceSamplingLevel: 'word' },
        'INVALID_ARGUMENT',
        /^importanceSamplingLevel: expected 'token' or 'sequence'/,
      ],
      [inputs, { klEstimator: 'k4' }, 'INVALID_ARGUMENT', /^klEstimator: expected 'k1' or 'k2' or 'k3'/],
      [
        inputs,
        { epsilonLow: -0.1 },
        'INVALID_ARGUMENT',
        /^epsilonLow: expected a number of at least 0, received -0.1$/,
      ],
      [inputs, { epsilonHigh: Number.NaN }, 'INVALID_ARGUMENT', /^epsilonHigh: expected a finite number/],
      [inputs, { delta: -1 }, 'INVALID_ARGUMENT', /^delta: /],
      [inputs, { beta: -1 }, 'INVALID_ARGUMENT', /^beta: expected a number of at least 0/],
      [
        inputs,
        { useBiasCorrectionKl: 1 },
        'INVALID_ARGUMENT',
        /^useBiasCorrectionKl: expected a boolean, received 1$/,
      ],
      [
        inputs,
        { maxCompletionLength: 0 },
        'INVALID_ARGUMENT',
        /^maxCompletionLength: expected a whole number of at least 1/,
      ],
      [
        inputs,
        { entropyCoef: '1' },
        'INVALID_ARGUMENT',
        /^entropyCoef: expected a finite number, received "1"$/,
      ],
      [
        inputs,
        { epsilon: 0.2 },
        'INVALID_ARGUMENT',
        /^options.epsilon: unknown option; known are lossType, /,
      ],
      [{ ...inputs, rewards: 1 } as never, {}, 'INVALID_ARGUMENT', /^inputs.rewards: unknown option/],
      [few, { beta: 0.1 }, 'INVALID_ARGUMENT', /^inputs.refLogProbs: expected .* since beta is not 0/],
      [
        few,
        { entropyCoef: 0.1 },
        'INVALID_ARGUMENT',
        /^inputs.entropies: expected .* since entropyCoef is not 0/,
      ],
      [
        { ...inputs, logProbs: tf.zeros([7]) as never },
        undefined,
        'SHAPE_MISMATCH',
        /'logProbs' .* \[B, L\], but got \[7\]$/,
      ],
      [
        { ...inputs, mask: tf.zeros([7, 5]) },
        undefined,
        'SHAPE_MISMATCH',
        /^Argument 'mask' passed to 'grpoLoss' must have shape \[B, L\] with B = 7 as in 'logProbs' and L = 6 as in 'logProbs', but got \[7, 5\]$/,
      ],
      [
        { ...inputs, advantages: tf.zeros([6]) },
        undefined,
        'SHAPE_MISMATCH',
        /'advantages' .* \[B\] with B = 7 .* got \[6\]$/,
      ],
      [
        { ...inputs, advantages: tf.zeros([7, 1]) },
        undefined,
        'SHAPE_MISMATCH',
        /'advantages' .* \[B, L\] with .* got \[7, 1\]$/,
      ],
      [{ ...inputs, oldLogProbs: tf.zeros([6, 6]) }, undefined, 'SHAPE_MISMATCH', /'oldLogProbs'/],
      [
        { ...inputs, mask: tf.zeros([7, 6], 'int32') },
        undefined,
        'INVALID_ARGUMENT',
        /'mask' .* float32 tensor, but got int32 tensor$/,
      ],
      [
        { ...inputs, mask: undefined as never },
        undefined,
        'INVALID_ARGUMENT',
        /'mask' .* but got undefined$/,
      ],
    ];
    for (const [given, options, code, message] of refused) {
      expect(
        codeOf(() => grpoLoss(given, options as GrpoLossOptions)),
        String(message),
      ).toBe(code);
      expect(() => grpoLoss(given, options as GrpoLossOptions)).toThrow(message);
    }
    expect(() => grpoDiagnostics({ ...inputs, mask: tf.zeros([7, 5]) })).toThrow(
      /passed to 'grpoDiagnostics'/,
    );
    expect(() => grpoDiagnostics(inputs, { lossType: 'ppo' as never })).toThrow(/^lossType: /);
  });
});
