import type { Tensor, Tensor3D, Variable } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { applyLinear, type Linear, linear, type Parameters, relu, rmsNorm } from './parameters.js';

/** Sizes of an attention. Keys and values are shared by all heads (multi-query attention, arXiv 1911.02150). */
export interface AttentionSize {
  width: number;
  heads: number;
  headWidth: number;
}

/** Queries of one sequence, keys and values of the same or of another. */
export interface Attention {
  norm: Variable;
  query: Linear;
  key: Linear;
  value: Linear;
  output: Linear;
}

export interface FeedForward {
  norm: Variable;
  up: Linear;
  down: Linear;
}

/** @param depth layers of the model: what is added to the residual stream starts smaller in a deep one */
export function attention(
  parameters: Parameters,
  name: string,
  { width, heads, headWidth }: AttentionSize,
  depth: number,
): Attention {
  const rows = { bias: false };
  return {
    norm: parameters.constant(`${name}/norm`, [width], 1),
    query: linear(parameters, `${name}/query`, width, heads * headWidth, rows),
    key: linear(parameters, `${name}/key`, width, headWidth, rows),
    value: linear(parameters, `${name}/value`, width, headWidth, rows),
    output: linear(parameters, `${name}/output`, heads * headWidth, width, {
      gain: 1 / Math.sqrt(2 * depth),
    }),
  };
}

export function feedForward(
  parameters: Parameters,
  name: string,
  width: number,
  hidden: number,
  depth: number,
): FeedForward {
  return {
    norm: parameters.constant(`${name}/norm`, [width], 1),
    up: linear(parameters, `${name}/up`, width, hidden, { gain: Math.SQRT2 }),
    down: linear(parameters, `${name}/down`, hidden, width, { gain: 1 / Math.sqrt(2 * depth) }),
  };
}

/** Keys and values, `[B, S, headWidth]` each. */
export type KeyValue = {
  key: Tensor3D;
  value: Tensor3D;
};

/** @param x `[B * S, width]`, normalised */
export function keyValue(layer: Attention, x: Tensor, batch: number): KeyValue {
  const split = (y: Tensor): Tensor3D => tf.reshape(y, [batch, -1, y.shape[1]!]);
  return { key: split(applyLinear(x, layer.key)), value: split(applyLinear(x, layer.value)) };
}

/**
 * Scaled dot-product attention. With one key for all heads the heads are further rows of queries: no transposition.
 * @param x `[R, width]`, normalised, R a multiple of the B sequences of `memory`, a sequence's rows together
 * @param mask added to the scores, `[1 or B, R / B * heads, S]` or `[B, 1, S]`
 * @returns `[R, width]`
 */
export function attend(layer: Attention, x: Tensor, { key, value }: KeyValue, mask?: Tensor): Tensor {
  const [batch, , headWidth] = key.shape;
  const queries = tf.reshape(applyLinear(x, layer.query), [batch, -1, headWidth]);
  const scaled = tf.mul(queries, 1 / Math.sqrt(headWidth));
  const scores = tf.matMul(scaled, key, false, true);
  const shares = tf.softmax(mask ? tf.add(scores, mask) : scores);
  const mixed = tf.reshape(tf.matMul(shares, value), [x.shape[0]!, -1]);
  return applyLinear(mixed, layer.output);
}

/** What the layer adds to `x` `[R, width]`. */
export function applyFeedForward({ norm, up, down }: FeedForward, x: Tensor): Tensor {
  return applyLinear(relu(applyLinear(rmsNorm(x, norm), up)), down);
}
