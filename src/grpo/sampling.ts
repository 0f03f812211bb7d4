import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { invalid } from '../errors.js';
import { finiteNumber, optionsObject, wholeNumber } from '../ops/validate.js';
import { TensorArguments } from '../tfjs/arguments.js';

export interface SampleTokensOptions {
  /** Divides the logits; 0 takes the likeliest token. */
  temperature: number;
  /** Only the k likeliest tokens are drawn from; of equally likely ones those of lower index. Default: all. */
  topK?: number;
  /**
   * Only the likeliest tokens that together reach this probability are drawn from, the fewest that do and at least one
   * (nucleus sampling, Holtzman et al., arXiv 1904.09751); 1 means all. With `topK` it acts on what that leaves. Default 1.
   */
  topP?: number;
}

/** The largest single-precision number below 1: a number just below 1 may have been rounded to 1 on its way into a tensor. */
const belowOne = 1 - 2 ** -24;

/**
 * One token from each row of logits, by inversion: the first whose cumulative probability exceeds the row's uniform
 * number. Nothing is read back to JavaScript, the same numbers give the same tokens on every backend (but for rounding at
 * the edges between two tokens), and a token of probability 0 is never taken. A row with a NaN gives token 0.
 *
 * @param logits float32 `[N, V]`; -Infinity excludes a token
 * @param uniforms float32 `[N]` in [0, 1); not used at temperature 0
 * @returns int32 `[N]`
 * @throws PerceptionError INVALID_ARGUMENT, SHAPE_MISMATCH
 * @example sampleTokens(tf.tensor2d([[0, Math.log(3)]]), tf.tensor1d([0.3]), { temperature: 1 }) // [1]: 0.3 >= 1/4
 */
export function sampleTokens(logits: Tensor2D, uniforms: Tensor1D, options: SampleTokensOptions): Tensor1D {
  const o = optionsObject(options, 'options', ['temperature', 'topK', 'topP']);
  const temperature = finiteNumber(o.temperature, 'temperature');
  if (temperature < 0)
    throw invalid('INVALID_ARGUMENT', 'temperature', 'a number of at least 0', temperature);
  const args = new TensorArguments('sampleTokens');
  args.tensor(logits, 'logits', 'float32', ['N', 'V']);
  args.tensor(uniforms, 'uniforms', 'float32', ['N']);
  const size = logits.shape[1];
  const topK = o.topK === undefined ? size : Math.min(size, wholeNumber(o.topK, 'topK', 1));
  const topP = o.topP === undefined ? 1 : finiteNumber(o.topP, 'topP');
  if (topP <= 0 || topP > 1)
    throw invalid('INVALID_ARGUMENT', 'topP', 'a number above 0 and at most 1', topP);
  return tf.tidy(() => {
    if (temperature === 0 || topK === 1) return tf.argMax(logits, 1);
    const scaled = temperature === 1 ? logits : tf.div<Tensor2D>(logits, temperature);
    if (topK === size && topP === 1) return drawn(tf.softmax<Tensor2D>(scaled), uniforms, 1);
    // Sorted first, and by what was given: every backend then has the same order.
    const { values, indices } = tf.topk(scaled, topK);
    const rank = drawn(tf.softmax(values as Tensor2D), uniforms, topP);
    // Not tf.gather, which reads the indices back on tfjs-node.
    return tf.sum<Tensor1D>(tf.mul(indices, tf.oneHot(rank, topK, 1, 0, 'int32')), 1);
  });
}

/** The column of each row that `uniforms` fall on, among the first columns that reach `topP`. */
function drawn(probabilities: Tensor2D, uniforms: Tensor1D, topP: number): Tensor1D {
  const cumulative = tf.cumsum<Tensor2D>(probabilities, 1);
  const total = topP === 1 ? lastColumn(cumulative) : massKept(probabilities, cumulative, topP);
  // Below the total in single precision too, since the uniform numbers are: so it exceeds them in some column.
  const target = tf.mul(tf.expandDims(tf.minimum(uniforms, belowOne), 1), total);
  // Not lessEqual of both: wasm is slow at comparing a matrix with a column.
  return tf.sum<Tensor1D>(tf.cast(tf.lessEqual(tf.sub(cumulative, target), 0), 'int32'), 1);
}

function lastColumn(x: Tensor2D): Tensor {
  const [rows, columns] = x.shape;
  return tf.slice(x, [0, columns - 1], [rows, 1]);
}

/** Cumulative probability of the last column kept: the first at which it reaches `topP`. */
function massKept(probabilities: Tensor2D, cumulative: Tensor2D, topP: number): Tensor {
  const kept = tf.less(tf.sub(cumulative, probabilities), topP);
  return tf.max(tf.mul(cumulative, tf.cast(kept, 'float32')), 1, true);
}
