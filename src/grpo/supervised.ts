import type { Scalar, Tensor2D } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { Learner, type OptimizerOptions, type TrainingState, type TrainingStep } from './learner.js';
import { Mixture, type WeightedTask } from './mixture.js';
import type { Policy } from './policy.js';

export interface SupervisedOptions {
  /** What is trained: its weights change. */
  policy: Policy;
  tasks: readonly WeightedTask[];
  /** Steps in all. */
  steps: number;
  /** Examples per step. Default 32. */
  batchSize?: number;
  /** Default: learning rate 1.5e-3, warm-up over 100 steps, then cosine decay to a tenth. */
  optimizer?: Partial<OptimizerOptions>;
  /** Weight of the policy's dense loss, where it has one. Default 1. */
  denseWeight?: number;
  /** Of the examples. Default 0. */
  seed?: number;
  /** Ends the training after the step under way. */
  signal?: AbortSignal;
}

/**
 * Supervised training on the tasks' targets, the warm start of reinforcement learning: cross-entropy per token, and the
 * policy's dense loss. Iterate it; every step is reported when it is done.
 */
export class SupervisedTrainer implements AsyncIterable<TrainingStep> {
  readonly #options: Required<Omit<SupervisedOptions, 'optimizer' | 'signal' | 'tasks'>>;
  readonly #signal: AbortSignal | undefined;
  readonly #mixture: Mixture;
  readonly #learner: Learner;
  #step = 0;

  constructor(options: SupervisedOptions) {
    const { optimizer, signal, tasks, ...rest } = options;
    this.#options = { batchSize: 32, denseWeight: 1, seed: 0, ...rest };
    this.#signal = signal;
    this.#mixture = new Mixture(tasks, this.#options.seed);
    this.#learner = new Learner(this.#options.policy, {
      learningRate: 1.5e-3,
      warmupSteps: Math.min(100, this.#options.steps),
      decay: 'cosine',
      finalFraction: 0.1,
      totalSteps: this.#options.steps,
      ...optimizer,
    });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TrainingStep, void, void> {
    while (this.#step < this.#options.steps && !this.#signal?.aborted) {
      yield this.#next();
      await new Promise(setImmediate); // signals and timers get their turn
    }
  }

  #next(): TrainingStep {
    const { policy, batchSize, denseWeight } = this.#options;
    const started = performance.now();
    const examples = this.#mixture.batch(this.#step, batchSize).map(({ example }) => example);
    const { tokenizer } = policy;
    const targets = examples.map(({ target }) => [...tokenizer.encode(target), tokenizer.end]);
    const length = Math.max(...targets.map((target) => target.length));
    const padded = new Int32Array(batchSize * length).fill(tokenizer.pad);
    const mask = new Float32Array(batchSize * length);
    targets.forEach((target, i) => {
      padded.set(target, i * length);
      mask.fill(1, i * length, i * length + target.length);
    });
    const count = targets.reduce((sum, target) => sum + target.length, 0);
    const begun = performance.now();
    let tokenLoss = 0;
    let denseLoss = 0;
    const update = tf.tidy(() => {
      const batch = policy.batch(examples);
      const tokens = tf.tensor2d(padded, [batchSize, length], 'int32');
      const weights = tf.tensor2d(mask, [batchSize, length]) as Tensor2D;
      return this.#learner.update(this.#step, () => {
        const encoded = policy.encode(batch);
        const { logProbs } = policy.logProbs(encoded, tokens, 1);
        const nll = tf.div(tf.neg(tf.sum(tf.mul(logProbs, weights))), count);
        tokenLoss = nll.dataSync()[0]!;
        if (!policy.denseLoss || denseWeight === 0) return nll as Scalar;
        const dense = policy.denseLoss(
          encoded,
          examples.map(({ shown }) => shown),
        );
        denseLoss = dense.dataSync()[0]!;
        return tf.add(nll, tf.mul(dense, denseWeight)) as Scalar;
      });
    });
    this.#step++;
    const ended = performance.now();
    return {
      step: this.#step,
      metrics: {
        loss: update.loss,
        'loss/tokens': tokenLoss,
        'loss/dense': denseLoss,
        gradient_norm: update.gradientNorm,
        learning_rate: update.learningRate,
        'completion/length_mean': count / batchSize,
      },
      timing: {
        'time/data': (begun - started) / 1000,
        'time/update': (ended - begun) / 1000,
        tokens_per_second: (1000 * count) / (ended - started),
      },
    };
  }

  /** To be saved, and given to {@link SupervisedTrainer.restore} of an equal trainer. */
  state(): TrainingState {
    return { step: this.#step, tensors: this.#learner.tensors() };
  }

  /** @throws PerceptionError INVALID_INPUT */
  restore({ step, tensors }: TrainingState): void {
    this.#learner.restore(tensors);
    this.#step = step;
  }

  /** Frees the optimiser's tensors; the policy remains. */
  dispose(): void {
    this.#learner.dispose();
  }
}
