import type { Scalar, Tensor, Tensor2D, TensorLike } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { invalid, PerceptionError } from '../errors.js';
import type { AdvantageFormula } from '../ops/advantages.js';
import { atLeastZero, choice, finiteNumber, optionsObject, wholeNumber } from '../ops/validate.js';
import { TensorArguments } from '../tfjs/arguments.js';

const lossTypes = ['grpo', 'bnpo', 'dr_grpo', 'dapo', 'cispo', 'sapo', 'vespo', 'luspo'] as const;
const levels = ['token', 'sequence'] as const;
const estimators = ['k1', 'k2', 'k3'] as const;

export type GrpoLossType = (typeof lossTypes)[number];
export type KlEstimator = (typeof estimators)[number];

/** What the loss is of: B completions of up to L tokens. All but `advantages` and `mask` may be of any value where the mask is 0. */
export interface GrpoLossInputs {
  /** float32 `[B, L]`: log probability of each token under the policy that is trained. */
  logProbs: Tensor2D | TensorLike;
  /** float32 `[B, L]`: under the policy that wrote them. Without it, the two are the same (on-policy). */
  oldLogProbs?: Tensor2D | TensorLike;
  /** float32 `[B, L]`: under the reference policy. Needed where `beta` is not 0. */
  refLogProbs?: Tensor2D | TensorLike;
  /** float32 `[B]`, or `[B, L]` for one of each token. */
  advantages: Tensor | TensorLike;
  /** float32 `[B, L]`: 1 for the tokens of a completion, 0 for those that do not count. */
  mask: Tensor2D | TensorLike;
  /** float32 `[B, L]`: entropy of the distribution that each token is from, in nats. Needed where `entropyCoef` is not 0. */
  entropies?: Tensor2D | TensorLike;
}

/** docs/grpo-loss.md has the formulas. The defaults are TRL's, but for `useBiasCorrectionKl`. */
export interface GrpoLossOptions {
  /** Default 'dapo'. */
  lossType?: GrpoLossType;
  /** Whether ratios of probabilities are of each token, or of a whole completion (the geometric mean of its tokens', GSPO). Default 'token'. */
  importanceSamplingLevel?: (typeof levels)[number];
  /** How far below 1 a ratio may count. Default 0.2. */
  epsilonLow?: number;
  /**
   * How far above 1 a ratio may count; for 'cispo' the most that it may count itself, for which the default is far too low
   * (5 is usual). Default: as `epsilonLow`.
   */
  epsilonHigh?: number;
  /** The most that a ratio may count where the clipping does not act: for bad tokens that became likelier. Default: no bound. */
  delta?: number;
  /** Weight of the divergence from the reference policy. Default 0. */
  beta?: number;
  /** Default 'k3'. */
  klEstimator?: KlEstimator;
  /** Multiplies the divergence by the ratio, which makes it unbiased off-policy. Default false. */
  useBiasCorrectionKl?: boolean;
  /** What 'dr_grpo' divides by: the longest completion that was allowed. Default L, which then should not differ between batches. */
  maxCompletionLength?: number;
  /** Weight of the mean entropy per token, which is taken off the loss. Default 0. */
  entropyCoef?: number;
}

/** Named settings: the loss, the advantages that belong to it, and updates per rollout. */
export const grpoPresets = {
  /** On-policy, with a k3 divergence of weight 0.04 and `(reward - mean) / (std + 1e-4)` (arXiv 2504.07954). */
  'perception-r1': {
    loss: { lossType: 'grpo', beta: 0.04, klEstimator: 'k3' },
    advantages: { scale: 'group', baseline: 'mean', epsilon: 1e-4, ddof: 1 },
    numIterations: 1,
  },
} as const satisfies Record<
  string,
  { loss: GrpoLossOptions; advantages: AdvantageFormula; numIterations: number }
>;

/** Log ratios and divergences act as if they were at most this, so that no exponential overflows. As verl and EasyR1. */
const logRatioBound = 20;

// SAPO's temperatures for good and bad tokens; VESPO's k and lambda for them, and the log of its smallest weight.
const sapoTemperature = { good: 1, bad: 1.05 };
const vespoShape = { good: { k: 2, lambda: 3 }, bad: { k: 3, lambda: 2 } };
const vespoLogFloor = Math.log(1e-8);

interface Settings {
  lossType: GrpoLossType;
  sequence: boolean;
  epsilonLow: number;
  epsilonHigh: number;
  delta: number;
  beta: number;
  klEstimator: KlEstimator;
  useBiasCorrectionKl: boolean;
  maxCompletionLength: number | undefined;
  entropyCoef: number;
}

function settingsOf(options: GrpoLossOptions | undefined): Settings {
  const o = optionsObject(options, 'options', [
    'lossType',
    'importanceSamplingLevel',
    'epsilonLow',
    'epsilonHigh',
    'delta',
    'beta',
    'klEstimator',
    'useBiasCorrectionKl',
    'maxCompletionLength',
    'entropyCoef',
  ]);
  const { useBiasCorrectionKl = false } = o;
  if (typeof useBiasCorrectionKl !== 'boolean') {
    throw invalid('INVALID_ARGUMENT', 'useBiasCorrectionKl', 'a boolean', useBiasCorrectionKl);
  }
  const epsilonLow = atLeastZero(o.epsilonLow ?? 0.2, 'epsilonLow');
  return {
    lossType: lossTypes[choice(o.lossType, 'dapo', lossTypes, 'lossType')]!,
    sequence: choice(o.importanceSamplingLevel, 'token', levels, 'importanceSamplingLevel') === 1,
    epsilonLow,
    epsilonHigh: atLeastZero(o.epsilonHigh ?? epsilonLow, 'epsilonHigh'),
    delta: o.delta === undefined ? Infinity : atLeastZero(o.delta, 'delta'),
    beta: atLeastZero(o.beta ?? 0, 'beta'),
    klEstimator: estimators[choice(o.klEstimator, 'k3', estimators, 'klEstimator')]!,
    useBiasCorrectionKl,
    maxCompletionLength:
      o.maxCompletionLength === undefined
        ? undefined
        : wholeNumber(o.maxCompletionLength, 'maxCompletionLength', 1),
    entropyCoef: finiteNumber(o.entropyCoef ?? 0, 'entropyCoef'),
  };
}

/** The inputs as tensors, 0 where the mask is; advantages `[B, 1]` or `[B, L]`. */
interface Batch {
  logProbs: Tensor2D;
  old: Tensor2D | undefined;
  reference: Tensor2D | undefined;
  advantages: Tensor2D;
  mask: Tensor2D;
  entropies: Tensor2D | undefined;
}

function batchOf(op: string, inputs: GrpoLossInputs): Batch {
  const given = optionsObject(inputs, 'inputs', [
    'logProbs',
    'oldLogProbs',
    'refLogProbs',
    'advantages',
    'mask',
    'entropies',
  ]) as GrpoLossInputs;
  const args = new TensorArguments(op);
  const matrix = (name: Exclude<keyof GrpoLossInputs, 'advantages'>): Tensor2D =>
    args.tensor<Tensor2D>(given[name]!, name, 'float32', ['B', 'L']);
  const logProbs = matrix('logProbs');
  const mask = matrix('mask');
  const advantages = args.tensor<Tensor>(given.advantages, 'advantages', 'float32', ['B'], ['B', 'L']);
  const counts = tf.cast(mask, 'bool');
  // A selection, not a product: 0 times an infinity or a NaN would spread.
  const masked = (x: Tensor2D): Tensor2D => tf.where(counts, x, tf.zerosLike(x));
  const optional = (name: 'oldLogProbs' | 'refLogProbs' | 'entropies'): Tensor2D | undefined =>
    given[name] === undefined ? undefined : masked(matrix(name));
  return {
    logProbs: masked(logProbs),
    old: optional('oldLogProbs'),
    reference: optional('refLogProbs'),
    advantages: advantages.rank === 1 ? tf.expandDims(advantages, 1) : masked(advantages as Tensor2D),
    mask,
    entropies: optional('entropies'),
  };
}

/** `x` as a constant to gradients. */
const detached = tf.customGrad<Tensor>((x) => ({
  value: tf.clone(x as Tensor),
  gradFunc: (dy) => tf.zerosLike(dy),
})) as <T extends Tensor>(x: T) => T;

/** 0, to gradients a function of `x`, which has no elements. */
const zeroOf = tf.customGrad((x) => {
  const { shape } = x as Tensor;
  return { value: tf.scalar(0), gradFunc: () => tf.zeros(shape) };
});

/** Within the bounds. Not clipByValue, which on wasm makes a number of NaN. */
function bounded<T extends Tensor>(x: T, low: number, high: number): T {
  return tf.maximum<T>(tf.minimum(x, high), low);
}

/** `[B, 1]` */
const lengthsOf = (mask: Tensor2D): Tensor2D => tf.maximum(tf.sum(mask, 1, true), 1);

/** Log of the probability now over that at sampling, `[B, L]`. */
function logRatioOf({ logProbs, old }: Batch): Tensor2D {
  return bounded(tf.sub(logProbs, old ?? detached(logProbs)), -logRatioBound, logRatioBound);
}

/** Ratios `[B, L]`, or `[B, 1]` of whole completions. */
function ratioOf(logRatio: Tensor2D, mask: Tensor2D, sequence: boolean): Tensor2D {
  if (!sequence) return tf.exp(logRatio);
  return tf.exp(tf.div<Tensor2D>(tf.sum(tf.mul(logRatio, mask), 1, true), lengthsOf(mask)));
}

/** Divergence of each token, estimated from d = log(policy / reference) (Schulman, "Approximating KL divergence"). */
function divergence(logProbs: Tensor2D, reference: Tensor2D, estimator: KlEstimator): Tensor2D {
  const d = bounded(tf.sub<Tensor2D>(logProbs, reference), -logRatioBound, logRatioBound);
  if (estimator === 'k1') return d;
  if (estimator === 'k2') return tf.mul(tf.square(d), 0.5);
  return tf.sub(tf.add(tf.exp(tf.neg(d)), d), 1);
}

/** `good` where the advantage is at least 0 (above it: `strictly`), else `bad`. */
function bySign(advantages: Tensor, good: number, bad: number, strictly = false): Tensor {
  const positive = strictly ? tf.greater(advantages, 0) : tf.greaterEqual(advantages, 0);
  return tf.add(tf.mul(tf.cast(positive, 'float32'), good - bad), bad);
}

/** The weight of each completion in VESPO, `[B, 1]` or `[B, L]`: e^lambda w^k e^(-lambda w), 1 at w = 1. */
function vespoWeight(logRatio: Tensor2D, { advantages, mask }: Batch): Tensor {
  const logW = bounded(tf.sum(tf.mul(logRatio, mask), 1, true), vespoLogFloor, logRatioBound);
  const k = bySign(advantages, vespoShape.good.k, vespoShape.bad.k);
  const lambda = bySign(advantages, vespoShape.good.lambda, vespoShape.bad.lambda);
  return detached(tf.exp(tf.add(tf.mul(k, logW), tf.mul(lambda, tf.sub(1, tf.exp(logW))))));
}

/** The policy's part of each token's loss, `[B, L]` or `[B, 1]`. */
function policyLoss(batch: Batch, logRatio: Tensor2D, ratio: Tensor2D, s: Settings): Tensor {
  const { advantages, logProbs } = batch;
  if (s.lossType === 'vespo') {
    return tf.neg(tf.mul(tf.mul(vespoWeight(logRatio, batch), advantages), logProbs));
  }
  if (s.lossType === 'cispo') {
    return tf.neg(tf.mul(tf.mul(detached(tf.minimum(ratio, s.epsilonHigh)), advantages), logProbs));
  }
  if (s.lossType === 'sapo') {
    const temperature = bySign(advantages, sapoTemperature.good, sapoTemperature.bad, true);
    const gate = tf.div(tf.mul(tf.sigmoid(tf.mul(temperature, tf.sub(ratio, 1))), 4), temperature);
    return tf.neg(tf.mul(gate, advantages));
  }
  const free = s.delta < Infinity ? tf.minimum(ratio, s.delta) : ratio;
  const clipped = bounded(ratio, 1 - s.epsilonLow, 1 + s.epsilonHigh);
  return tf.neg(tf.minimum(tf.mul(free, advantages), tf.mul(clipped, advantages)));
}

/** One number of the tokens' losses. */
function aggregated(tokens: Tensor, mask: Tensor2D, s: Settings): Tensor {
  const [completions, length] = mask.shape;
  const masked = tf.mul(tokens, mask);
  switch (s.lossType) {
    case 'grpo':
    case 'sapo':
      return tf.div(tf.sum(tf.div(masked, lengthsOf(mask))), completions);
    case 'dr_grpo':
      return tf.div(tf.sum(masked), completions * (s.maxCompletionLength ?? length));
    case 'luspo':
      return tf.div(tf.sum(masked), completions);
    default:
      return tf.div(tf.sum(masked), tokenCount(mask));
  }
}

const tokenCount = (mask: Tensor2D): Tensor => tf.maximum(tf.sum(mask), 1);

/**
 * The loss of group relative policy optimisation and of its relatives, to be minimised: TRL's GRPOTrainer loss, of one
 * batch. Differentiable in `logProbs` and `entropies`. A NaN in a token that counts makes the loss NaN; a log ratio or
 * divergence beyond ±20 counts as ±20 and has no gradient; of no tokens at all the loss is 0.
 *
 * @returns float32 scalar
 * @throws PerceptionError INVALID_ARGUMENT, SHAPE_MISMATCH
 * @example
 * const { value, grads } = tf.variableGrads(() =>
 *   grpoLoss({ logProbs: policy(), oldLogProbs, advantages, mask }, { lossType: 'dapo', epsilonHigh: 0.28 }),
 * );
 */
export function grpoLoss(inputs: GrpoLossInputs, options?: GrpoLossOptions): Scalar {
  const s = settingsOf(options);
  return tf.tidy(() => {
    const batch = batchOf('grpoLoss', inputs);
    const { logProbs, reference, entropies, mask } = batch;
    if (s.beta > 0 && !reference) throw missing('refLogProbs', 'beta');
    if (s.entropyCoef !== 0 && !entropies) throw missing('entropies', 'entropyCoef');
    if (logProbs.size === 0) return zeroOf(logProbs) as Scalar;
    const logRatio = logRatioOf(batch);
    const ratio = ratioOf(logRatio, mask, s.sequence);
    let tokens = policyLoss(batch, logRatio, ratio, s);
    if (s.beta > 0) {
      const kl = divergence(logProbs, reference!, s.klEstimator);
      tokens = tf.add(tokens, tf.mul(s.useBiasCorrectionKl ? tf.mul(kl, ratio) : kl, s.beta));
    }
    const loss = aggregated(tokens, mask, s) as Scalar;
    if (s.entropyCoef === 0) return loss;
    const entropy = tf.div(tf.sum(tf.mul(entropies!, mask)), tokenCount(mask));
    return tf.sub(loss, tf.mul(entropy, s.entropyCoef));
  });
}

function missing(input: string, option: string): PerceptionError {
  return new PerceptionError(
    'INVALID_ARGUMENT',
    `inputs.${input}: expected float32 [B, L] since ${option} is not 0, received undefined; give them, or leave ${option} out`,
  );
}

/**
 * What there is to watch in the inputs of {@link grpoLoss}, without gradients, read with one synchronisation. Means are
 * over all tokens that count:
 *
 * - `ratio/mean`: ratio of probabilities now and at sampling
 * - `clip/low`, `clip/high`: share of tokens whose clipping cuts the gradient off, at the lower and at the upper bound (for
 *   'cispo', above: the share that the cap acts on; 0 for 'sapo' and 'vespo', which do not clip)
 * - `kl/old`: divergence of the policy from the one that wrote the tokens, `mean((ratio - 1) - log ratio)` of tokens
 * - `kl`, with `refLogProbs`: divergence from the reference policy, by k3
 * - `entropy`, with `entropies`
 *
 * @throws PerceptionError INVALID_ARGUMENT, SHAPE_MISMATCH
 */
export function grpoDiagnostics(inputs: GrpoLossInputs, options?: GrpoLossOptions): Record<string, number> {
  const s = settingsOf(options);
  return tf.tidy(() => {
    const batch = batchOf('grpoDiagnostics', inputs);
    const { logProbs, reference, entropies, mask, advantages } = batch;
    const logRatio = logRatioOf(batch);
    const ratio = ratioOf(logRatio, mask, s.sequence);
    const never = tf.zerosLike(mask);
    const cut = (beyond: Tensor, sign: Tensor): Tensor => tf.cast(tf.logicalAnd(beyond, sign), 'float32');
    const clips = !['sapo', 'vespo', 'cispo'].includes(s.lossType);
    const high =
      s.lossType === 'cispo'
        ? tf.cast(tf.greater(ratio, s.epsilonHigh), 'float32')
        : cut(tf.greater(ratio, 1 + s.epsilonHigh), tf.greater(advantages, 0));
    const values: Record<string, Tensor> = {
      'ratio/mean': ratio,
      'clip/low': clips ? cut(tf.less(ratio, 1 - s.epsilonLow), tf.less(advantages, 0)) : never,
      'clip/high': clips || s.lossType === 'cispo' ? high : never,
      'kl/old': tf.sub(tf.sub(tf.exp(logRatio), 1), logRatio),
      ...(reference && { kl: divergence(logProbs, reference, 'k3') }),
      ...(entropies && { entropy: entropies }),
    };
    const sums = Object.values(values).map((value) => tf.sum(tf.mul(value, mask)));
    const [count, ...read] = tf.stack([tf.sum(mask), ...sums]).dataSync();
    return Object.fromEntries(Object.keys(values).map((name, i) => [name, read[i]! / Math.max(count!, 1)]));
  }) as unknown as Record<string, number>;
}
