import type { NamedTensorMap, Tensor, Tensor1D, Variable } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { invalid, PerceptionError } from '../errors.js';
import { aboveZero, atLeastZero, choice, optionsObject, typedArray, wholeNumber } from '../ops/validate.js';

export interface AdamWOptions {
  learningRate: number;
  /** Decay of the mean of gradients. Default 0.9. */
  beta1?: number;
  /** Decay of the mean of squared gradients. Default 0.999. */
  beta2?: number;
  /** Default 1e-8. */
  epsilon?: number;
  /** Share of a weight, times the learning rate, that is taken off it in a step. Default 0. */
  weightDecay?: number;
  /** Which variables weight decay is for. Default: those with two axes or more, not biases and gains of norms. */
  decayed?: (name: string, variable: Variable) => boolean;
}

export interface AdamWStep {
  /** Replaces the learning rate of the optimiser, for a schedule. */
  learningRate?: number;
  /** Gradients with a larger global norm are scaled by `maxGradNorm / (norm + 1e-6)`, as PyTorch's clip_grad_norm_. */
  maxGradNorm?: number;
}

export interface AdamWResult {
  /** L2 norm of all gradients together, before it is clipped. */
  gradientNorm: number;
  /** False where the norm is not finite: the step was not taken. */
  finite: boolean;
}

/** Where an optimiser is: what it takes to go on as if it had never stopped. */
export interface AdamWState {
  step: number;
  /** Mean of gradients and of their squares, of all variables one after the other. */
  m: Float32Array;
  v: Float32Array;
}

/** Variables of one shape but for the first axis: concatenated and split as they are, without a reshape of each. */
interface Group {
  variables: Variable[];
  /** Of each on its first axis. */
  lengths: number[];
  /** Their common shape after it. */
  rest: number[];
}

/**
 * Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101), in the form of PyTorch's AdamW. All weights
 * are updated as one long vector: small models have many variables, and the cost of an operation hardly depends on size.
 *
 * @example
 * const optimizer = new AdamW(policy.variables, { learningRate: 1e-4, weightDecay: 0.01 });
 * const { value, grads } = tf.variableGrads(loss);
 * const { finite, gradientNorm } = optimizer.apply(grads, { maxGradNorm: 1 });
 */
export class AdamW {
  readonly #learningRate: number;
  readonly #beta1: number;
  readonly #beta2: number;
  readonly #epsilon: number;
  readonly #weightDecay: number;
  readonly #groups: Group[];
  readonly #names: ReadonlySet<string>;
  readonly #size: number;
  /** 1 for each weight that decays, 0 for the others; none where nothing does. */
  readonly #decayed: Tensor1D | undefined;
  #step = 0;
  #m: Tensor1D;
  #v: Tensor1D;

  /**
   * @param variables what is trained; the state is in their order, so it must stay the same where a state is restored
   * @throws PerceptionError INVALID_ARGUMENT
   */
  constructor(variables: Readonly<Record<string, Variable>> | readonly Variable[], options: AdamWOptions) {
    const o = optionsObject(options, 'options', [
      'learningRate',
      'beta1',
      'beta2',
      'epsilon',
      'weightDecay',
      'decayed',
    ]);
    this.#learningRate = atLeastZero(o.learningRate, 'learningRate');
    this.#beta1 = share(o.beta1 ?? 0.9, 'beta1');
    this.#beta2 = share(o.beta2 ?? 0.999, 'beta2');
    this.#epsilon = aboveZero(o.epsilon ?? 1e-8, 'epsilon');
    this.#weightDecay = atLeastZero(o.weightDecay ?? 0, 'weightDecay');
    const named: readonly (readonly [string, Variable])[] = Array.isArray(variables)
      ? (variables as readonly Variable[]).map((variable) => [variable.name, variable] as const)
      : Object.entries(variables);
    if (named.length === 0)
      throw invalid('INVALID_ARGUMENT', 'variables', 'at least one variable', variables);
    const groups = new Map<string, Group>();
    const { decayed = (_, variable) => variable.rank >= 2 } = o;
    const decays = new Set<Variable>();
    for (const [name, variable] of named) {
      const [length = 1, ...rest] = variable.shape;
      const group = groups.get(rest.join()) ?? { variables: [], lengths: [], rest };
      groups.set(rest.join(), group);
      group.variables.push(variable);
      group.lengths.push(length);
      if (decayed(name, variable)) decays.add(variable);
    }
    this.#groups = [...groups.values()];
    const ordered = this.#groups.flatMap((group) => group.variables);
    this.#names = new Set(ordered.map((variable) => variable.name));
    this.#size = ordered.reduce((sum, { size }) => sum + size, 0);
    this.#m = tf.keep(tf.zeros([this.#size]));
    this.#v = tf.keep(tf.zeros([this.#size]));
    if (this.#weightDecay > 0) {
      const mask = new Float32Array(this.#size);
      let at = 0;
      for (const variable of ordered) {
        if (decays.has(variable)) mask.fill(1, at, at + variable.size);
        at += variable.size;
      }
      this.#decayed = tf.keep(tf.tensor1d(mask));
    }
  }

  /**
   * One step. The gradients remain the caller's; a variable without one counts as having zeros. Where their norm is not
   * finite (a NaN, an infinity, or numbers above 1e19 whose squares are) nothing is changed.
   *
   * @param gradients by the variables' own names, as tf.variableGrads gives them
   * @throws PerceptionError INVALID_ARGUMENT (a gradient of no variable)
   */
  apply(gradients: NamedTensorMap, options?: AdamWStep): AdamWResult {
    const o = optionsObject(options, 'options', ['learningRate', 'maxGradNorm']);
    const rate = atLeastZero(o.learningRate ?? this.#learningRate, 'learningRate');
    const maxNorm = o.maxGradNorm === undefined ? Infinity : aboveZero(o.maxGradNorm, 'maxGradNorm');
    for (const name of Object.keys(gradients)) {
      if (this.#names.has(name)) continue;
      throw new PerceptionError(
        'INVALID_ARGUMENT',
        `gradients.${name}: expected the name of one of the optimiser's variables (${[...this.#names].slice(0, 3).join(', ')}, ...); give tf.variableGrads the list of variables that are trained`,
      );
    }
    return tf.tidy(() => {
      const g = this.#flat((variable) => gradients[variable.name] ?? tf.zerosLike(variable));
      const squares = tf.square(g);
      const gradientNorm = Math.sqrt(sumOf(squares).dataSync()[0]!);
      if (!Number.isFinite(gradientNorm)) return { gradientNorm, finite: false };
      const clip = Math.min(1, maxNorm / (gradientNorm + 1e-6));
      this.#step++;
      const bias1 = 1 - this.#beta1 ** this.#step;
      const bias2 = Math.sqrt(1 - this.#beta2 ** this.#step);
      const m = tf.add<Tensor1D>(tf.mul(this.#m, this.#beta1), tf.mul(g, (1 - this.#beta1) * clip));
      const v = tf.add<Tensor1D>(
        tf.mul(this.#v, this.#beta2),
        tf.mul(squares, (1 - this.#beta2) * clip * clip),
      );
      // m / bias1 / (sqrt(v) / bias2 + epsilon), with one pass over the weights less.
      const direction = tf.div(m, tf.add(tf.sqrt(v), this.#epsilon * bias2));
      const weights = this.#flat((variable) => variable);
      const kept = this.#decayed
        ? tf.sub(weights, tf.mul(tf.mul(weights, this.#decayed), rate * this.#weightDecay))
        : weights;
      this.#assign(tf.sub<Tensor1D>(kept, tf.mul(direction, (rate * bias2) / bias1)));
      this.#replace(m, v);
      return { gradientNorm, finite: true };
    });
  }

  state(): AdamWState {
    // Copies: the cpu backend hands out its own memory.
    return {
      step: this.#step,
      m: this.#m.dataSync<'float32'>().slice(),
      v: this.#v.dataSync<'float32'>().slice(),
    };
  }

  /** @throws PerceptionError INVALID_ARGUMENT, SHAPE_MISMATCH (a state of other variables) */
  restore(state: AdamWState): void {
    const s = optionsObject(state, 'state', ['step', 'm', 'v']);
    const step = wholeNumber(s.step, 'state.step', 0);
    const m = this.#moments(s.m, 'state.m');
    const v = this.#moments(s.v, 'state.v');
    this.#step = step;
    this.#replace(tf.tensor1d(m), tf.tensor1d(v));
  }

  /** Frees the state's tensors. The variables remain. */
  dispose(): void {
    tf.dispose([this.#m, this.#v, this.#decayed]);
  }

  #moments(values: unknown, name: string): Float32Array {
    const array = typedArray(values, name, Float32Array);
    if (array.length === this.#size) return array.slice(); // the cpu backend keeps what it is given
    throw invalid('SHAPE_MISMATCH', name, `${this.#size} numbers, one for each weight`, array);
  }

  #replace(m: Tensor1D, v: Tensor1D): void {
    tf.dispose([this.#m, this.#v]);
    this.#m = tf.keep(m);
    this.#v = tf.keep(v);
  }

  /** One vector of a tensor for each variable. */
  #flat(tensorOf: (variable: Variable) => Tensor): Tensor1D {
    const parts = this.#groups.map(({ variables }) =>
      tf.reshape<tf.Rank.R1>(tf.concat(variables.map((variable) => lined(tensorOf(variable)))), [-1]),
    );
    return tf.concat1d(parts);
  }

  #assign(flat: Tensor1D): void {
    if (tf.getBackend() === 'wasm') this.#assignFromHost(flat);
    else this.#assignBySplit(flat);
  }

  #assignBySplit(flat: Tensor1D): void {
    const sizes = this.#groups.map(({ variables }) => variables.reduce((sum, { size }) => sum + size, 0));
    tf.split(flat, sizes).forEach((part, i) => {
      const { variables, lengths, rest } = this.#groups[i]!;
      tf.split(tf.reshape(part, [-1, ...rest]), lengths).forEach((value, k) => {
        const variable = variables[k]!;
        variable.assign(variable.rank === 0 ? tf.reshape(value, []) : value);
      });
    });
  }

  /** For wasm, whose split copies the whole for each of its parts. */
  #assignFromHost(flat: Tensor1D): void {
    const values = flat.dataSync();
    let at = 0;
    for (const variable of this.#groups.flatMap((group) => group.variables)) {
      variable.assign(tf.tensor(values.subarray(at, at + variable.size), variable.shape));
      at += variable.size;
    }
  }
}

/** A scalar as a vector of one, anything else as it is: there is then a first axis. */
function lined(x: Tensor): Tensor {
  return x.rank === 0 ? tf.reshape(x, [1]) : x;
}

/**
 * The sum of all elements, by rows. Summed one after the other, as wasm does, a million squares lose their last digits in
 * single precision, and backends part.
 */
function sumOf(x: Tensor1D): Tensor {
  const columns = Math.ceil(Math.sqrt(x.size));
  const padded = tf.pad1d(x, [0, columns * columns - x.size]);
  return tf.sum(tf.sum(tf.reshape(padded, [columns, columns]), 1));
}

function share(value: unknown, name: string): number {
  const number = atLeastZero(value, name);
  if (number >= 1) throw invalid('INVALID_ARGUMENT', name, 'a number from 0 to below 1', value);
  return number;
}

export interface LearningRateOptions {
  /** The highest, reached at the end of the warm-up. */
  learningRate: number;
  /** Steps over which it rises from 0 in a line. Default 0. */
  warmupSteps?: number;
  /** How it falls afterwards, until `totalSteps`. Default 'cosine'. */
  decay?: 'constant' | 'linear' | 'cosine';
  /** Needed for 'linear' and 'cosine'. */
  totalSteps?: number;
  /** Share of `learningRate` that is left at `totalSteps` and after it. Default 0. */
  finalFraction?: number;
}

const courses = ['constant', 'linear', 'cosine'] as const;

/**
 * The learning rate of each step, counted from 0: step s of a warm-up of w has (s + 1) / w of it, so that no step is
 * without effect, and step `totalSteps` (the one after the last) has `finalFraction` of it.
 *
 * @throws PerceptionError INVALID_ARGUMENT
 * @example learningRateSchedule({ learningRate: 1e-4, warmupSteps: 10, totalSteps: 600 })(0) // 1e-5
 */
export function learningRateSchedule(options: LearningRateOptions): (step: number) => number {
  const o = optionsObject(options, 'options', [
    'learningRate',
    'warmupSteps',
    'decay',
    'totalSteps',
    'finalFraction',
  ]);
  const peak = atLeastZero(o.learningRate, 'learningRate');
  const warmup = wholeNumber(o.warmupSteps ?? 0, 'warmupSteps', 0);
  const decay = courses[choice(o.decay, 'cosine', courses, 'decay')]!;
  const final = atLeastZero(o.finalFraction ?? 0, 'finalFraction');
  if (final > 1) throw invalid('INVALID_ARGUMENT', 'finalFraction', 'a number from 0 to 1', final);
  const total = decay === 'constant' ? 0 : wholeNumber(o.totalSteps, 'totalSteps', warmup);
  return (step) => {
    if (step < warmup) return (peak * (step + 1)) / warmup;
    if (decay === 'constant') return peak;
    const progress = step < total ? (step - warmup) / (total - warmup) : 1;
    const left = decay === 'linear' ? 1 - progress : (1 + Math.cos(Math.PI * progress)) / 2;
    return peak * (final + (1 - final) * left);
  };
}
