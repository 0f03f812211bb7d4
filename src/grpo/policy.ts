import type { Scalar, Tensor2D, TensorContainer, Variable } from '@tensorflow/tfjs-core';
import type { SceneObject } from './tasks/task.js';
import type { Tokenizer } from './tokenizer.js';

/** What a policy is asked: an image and a text. */
export interface Prompt {
  /** `[height * width]`, rows of grey values in 0..1. */
  readonly image: Float32Array;
  readonly prompt: string;
}

export interface SampleOptions {
  /** G, completions per prompt. */
  numGenerations: number;
  /** The longest completion, its end token included. */
  maxTokens: number;
  /** Divides the logits; 0 takes the likeliest token. */
  temperature: number;
  /** Only the k likeliest tokens are drawn from. */
  topK?: number;
  /** Only the likeliest tokens that hold this share of the probability are drawn from. */
  topP?: number;
  /** The numbers in [0, 1) that decide: for token t of completion n, `uniform(t, n)`. */
  uniforms: (tokens: number, completions: number) => Float32Array;
}

/** A type rather than an interface, so that tf.tidy takes it as a container of tensors. */
export type Rollout = {
  /** int32 `[N, L]`, N = prompts * G, a prompt's completions one after the other; pad after the end token. */
  tokens: Tensor2D;
  /** float32 `[N, L]`: 1 for the tokens of a completion, its end token included, 0 after them. */
  mask: Tensor2D;
};

export type TokenLogProbs = {
  /** float32 `[N, L]`: log probability of each token, differentiable. */
  logProbs: Tensor2D;
  /** float32 `[N, L]`: entropy in nats of the distribution that each token was drawn from, differentiable. */
  entropies: Tensor2D;
};

/**
 * A model that answers prompts with tokens. The trainers need no more than this; docs/grpo.md shows how to plug in
 * another model.
 */
export interface Policy<
  Batch extends TensorContainer = TensorContainer,
  Encoded extends TensorContainer = TensorContainer,
> {
  readonly tokenizer: Tokenizer;
  /** What is trained, under names that stay the same from one process to the next. */
  readonly variables: Readonly<Record<string, Variable>>;
  /** The prompts as tensors; disposed by the caller. */
  batch(prompts: readonly Prompt[]): Batch;
  /** What the model makes of the prompts before it writes: once for all completions of each. Differentiable. */
  encode(batch: Batch): Encoded;
  /** Draws G completions of each prompt. Not differentiable. */
  sample(encoded: Encoded, options: SampleOptions): Rollout;
  /**
   * Log probabilities of given completions, in the order in which {@link Policy.sample} gives them.
   * @param tokens int32 `[N, L]` with N a multiple of the number of prompts
   * @param temperature divides the logits, as it did when the tokens were drawn
   */
  logProbs(encoded: Encoded, tokens: Tensor2D, temperature: number): TokenLogProbs;
  /**
   * A loss beside that of the tokens, for supervised training: what the image shows, place by place. Optional.
   * @param objects what is in each prompt's image
   */
  denseLoss?(encoded: Encoded, objects: readonly (readonly SceneObject[])[]): Scalar;
  /** The same model with the same weights in variables of its own, as a reference policy. */
  copy(): Policy<Batch, Encoded>;
  dispose(): void;
}
