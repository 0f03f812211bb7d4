import type { Scalar, Variable } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { PerceptionError } from '../errors.js';
import { AdamW, type LearningRateOptions, learningRateSchedule } from './optimizer.js';
import type { Policy } from './policy.js';

export interface OptimizerOptions extends LearningRateOptions {
  /** Gradients with a larger norm are scaled down to it. Default 1. */
  maxGradNorm?: number;
  /** Default 0. */
  weightDecay?: number;
}

/** A tensor's values on the host. */
export interface StoredTensor {
  shape: readonly number[];
  data: Float32Array | Int32Array;
}

/** Everything that a training needs to go on as if it had not been stopped. */
export interface TrainingState {
  /** Steps done. */
  step: number;
  /** Weights as `policy/NAME`, the optimiser's as `optimizer/m` and `optimizer/v`, a reference's as `reference/NAME`. */
  tensors: Record<string, StoredTensor>;
}

/** What every step of a training tells. */
export interface TrainingStep {
  /** Counted from 1. */
  step: number;
  /** The same for equal runs on a deterministic backend. */
  metrics: Record<string, number>;
  /** Seconds by part, and what follows from them. */
  timing: Record<string, number>;
}

/** A policy, its optimiser and its learning rate: what supervised and reinforcement learning have in common. */
export class Learner {
  readonly #policy: Policy;
  readonly #optimizer: AdamW;
  readonly #list: Variable[];
  readonly #rate: (step: number) => number;
  readonly #maxGradNorm: number;

  constructor(policy: Policy, { maxGradNorm = 1, weightDecay = 0, ...schedule }: OptimizerOptions) {
    this.#policy = policy;
    this.#list = Object.values(policy.variables);
    this.#rate = learningRateSchedule(schedule);
    this.#maxGradNorm = maxGradNorm;
    this.#optimizer = new AdamW(policy.variables, { learningRate: schedule.learningRate, weightDecay });
  }

  /**
   * Takes one step down the gradient of `loss`.
   * @param step of the schedule, from 0
   * @throws PerceptionError DIVERGED where loss or gradient is not finite; the weights are then as they were
   */
  update(step: number, loss: () => Scalar): { loss: number; gradientNorm: number; learningRate: number } {
    const learningRate = this.#rate(step);
    return tf.tidy(() => {
      const { value, grads } = tf.variableGrads(loss, this.#list);
      const lossValue = value.dataSync()[0]!;
      const { gradientNorm, finite } = Number.isFinite(lossValue)
        ? this.#optimizer.apply(grads, { learningRate, maxGradNorm: this.#maxGradNorm })
        : { gradientNorm: Number.NaN, finite: false };
      if (!finite) {
        throw new PerceptionError(
          'DIVERGED',
          `step ${step + 1}: expected a finite loss and gradient, received a loss of ${lossValue} and a gradient of norm ${gradientNorm}; the weights are those before this step. Lower the learning rate or maxGradNorm, or look for NaN in rewards and images`,
        );
      }
      return { loss: lossValue, gradientNorm, learningRate };
    });
  }

  tensors(): Record<string, StoredTensor> {
    const { step, m, v } = this.#optimizer.state();
    return {
      ...storedWeights('policy', this.#policy),
      'optimizer/m': { shape: [m.length], data: m },
      'optimizer/v': { shape: [v.length], data: v },
      'optimizer/step': { shape: [1], data: Int32Array.of(step) },
    };
  }

  /** @throws PerceptionError INVALID_INPUT where `tensors` are not of such a training */
  restore(tensors: Record<string, StoredTensor>): void {
    loadWeights('policy', this.#policy, tensors);
    const [m, v, step] = ['m', 'v', 'step'].map((name) => stored(tensors, `optimizer/${name}`).data);
    this.#optimizer.restore({ m: m as Float32Array, v: v as Float32Array, step: step![0]! });
  }

  dispose(): void {
    this.#optimizer.dispose();
  }
}

/** The weights of a policy on the host, under `prefix/NAME`. */
export function storedWeights(prefix: string, policy: Policy): Record<string, StoredTensor> {
  return Object.fromEntries(
    Object.entries(policy.variables).map(([name, variable]) => [
      `${prefix}/${name}`,
      // A copy: some backends hand out their own memory.
      { shape: variable.shape, data: (variable.dataSync() as Float32Array).slice() },
    ]),
  );
}

/** @throws PerceptionError INVALID_INPUT where a weight is missing or has another shape */
export function loadWeights(prefix: string, policy: Policy, tensors: Record<string, StoredTensor>): void {
  for (const [name, variable] of Object.entries(policy.variables)) {
    const { shape, data } = stored(tensors, `${prefix}/${name}`);
    if (!tf.util.arraysEqual(shape as number[], variable.shape)) {
      throw new PerceptionError(
        'INVALID_INPUT',
        `checkpoint: expected "${prefix}/${name}" of shape [${variable.shape}], received [${shape}]; it is of a model of another size`,
      );
    }
    tf.tidy(() => variable.assign(tf.tensor(data, [...shape], 'float32')));
  }
}

function stored(tensors: Record<string, StoredTensor>, name: string): StoredTensor {
  const tensor = tensors[name];
  if (tensor) return tensor;
  throw new PerceptionError(
    'INVALID_INPUT',
    `checkpoint: expected a tensor "${name}", received ${Object.keys(tensors).length} others; it is of another model or training`,
  );
}
