import type { Tensor, Variable } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { Random } from '../../random.js';

/** The variables of a model, by name, in the order of their making. */
export class Parameters {
  readonly variables: Record<string, Variable> = {};
  readonly #seed: number;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** Normally distributed around 0. */
  normal(name: string, shape: readonly number[], deviation: number): Variable {
    const random = new Random(this.#seed, Object.keys(this.variables).length);
    const size = shape.reduce((a, b) => a * b, 1);
    return this.values(
      name,
      shape,
      Float32Array.from({ length: size }, () => deviation * random.normal()),
    );
  }

  constant(name: string, shape: readonly number[], value: number): Variable {
    const size = shape.reduce((a, b) => a * b, 1);
    return this.values(name, shape, new Float32Array(size).fill(value));
  }

  values(name: string, shape: readonly number[], values: Float32Array): Variable {
    // Named by TensorFlow.js: its own names are unique in the process, and two copies of a model are not.
    const variable = tf.tidy(() => tf.variable(tf.tensor(values, [...shape])));
    this.variables[name] = variable;
    return variable;
  }
}

/** A layer's weights `[inputs, outputs]` and bias. */
export interface Linear {
  weight: Variable;
  bias: Variable | undefined;
}

/** @param gain 1 keeps the variance of the inputs */
export function linear(
  parameters: Parameters,
  name: string,
  inputs: number,
  outputs: number,
  { gain = 1, bias = true }: { gain?: number; bias?: boolean } = {},
): Linear {
  return {
    weight: parameters.normal(`${name}/weight`, [inputs, outputs], gain / Math.sqrt(inputs)),
    bias: bias ? parameters.constant(`${name}/bias`, [outputs], 0) : undefined,
  };
}

/** `[rows, inputs]` to `[rows, outputs]`. */
export function applyLinear(x: Tensor, { weight, bias }: Linear): Tensor {
  const y = tf.matMul(x as tf.Tensor2D, weight as tf.Tensor as tf.Tensor2D);
  return bias ? tf.add(y, bias) : y;
}

const epsilon = 1e-6;

// As one operation with a gradient of its own: a third of the steps that automatic differentiation takes.
const normalise = tf.customGrad((...args) => {
  const [x, gain, save] = args as unknown as [Tensor, Tensor, tf.GradSaveFunc];
  const scale = tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), epsilon));
  const unit = tf.mul(x, scale);
  save([unit, scale, gain]);
  return {
    value: tf.mul(unit, gain),
    gradFunc: (dy, saved) => {
      const [unit, scale, gain] = saved as [Tensor, Tensor, Tensor];
      const weighted = tf.mul(dy, gain);
      const along = tf.mean(tf.mul(weighted, unit), -1, true);
      return [
        tf.mul(scale, tf.sub(weighted, tf.mul(unit, along))),
        tf.sum(tf.reshape(tf.mul(dy, unit), [-1, gain.shape[0]!]), 0),
      ];
    },
  };
});

/** Root mean square normalisation over the last axis (arXiv 1910.07467). */
export function rmsNorm(x: Tensor, gain: Variable): Tensor {
  return normalise(x, gain);
}

const rectify = tf.customGrad((...args) => {
  const [x, save] = args as unknown as [Tensor, tf.GradSaveFunc];
  const value = tf.relu(x);
  save([value]);
  return {
    value,
    gradFunc: (dy, [value]) => tf.mul(dy, tf.cast(tf.greater(value!, 0), 'float32')),
  };
});

/** max(x, 0). TensorFlow.js's own gradient of it is six times slower on tfjs-node. */
export function relu(x: Tensor): Tensor {
  return rectify(x);
}

/**
 * Sines and cosines of `positions` at `width / 2` wavelengths, `[positions.length, width]` (arXiv 1706.03762).
 * @param longest the longest wavelength over 2π, in positions
 */
export function sinusoids(positions: readonly number[], width: number, longest: number): Float32Array {
  const out = new Float32Array(positions.length * width);
  const half = width / 2;
  positions.forEach((position, row) => {
    for (let i = 0; i < half; i++) {
      const angle = position / longest ** (i / half);
      out[row * width + i] = Math.sin(angle);
      out[row * width + half + i] = Math.cos(angle);
    }
  });
  return out;
}
