import type { Tensor, Tensor1D, Tensor2D, TensorLike } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import type { NativeAdvantageOptions } from '../native/binding.js';
import { runSync } from '../native/load.js';
import { type AdvantageFormula, nativeFormula } from '../ops/advantages.js';
import { optionsObject, wholeNumber } from '../ops/validate.js';
import { TensorArguments } from './arguments.js';
import { floats, type Kernel, type Problem, runDetached, runOffThread } from './kernel.js';

export interface GroupAdvantagesOptions extends AdvantageFormula {
  /** Rewards `[N]`: how many consecutive ones make a group. Not needed for `[B, G]`, whose rows are the groups. */
  groupSize?: number;
}

interface Attributes {
  groups: number;
  groupSize: number;
  formula: NativeAdvantageOptions;
}

const advantages: Kernel<Attributes> = {
  name: 'PerceptionR1GroupAdvantages',
  call({ rewards }, { groups, groupSize, formula }) {
    const values = new Float32Array(groups * groupSize);
    const offsets = new Int32Array(groups + 1);
    for (let i = 1; i <= groups; i++) offsets[i] = i * groupSize;
    const mean = new Float32Array(groups);
    const std = new Float32Array(groups);
    return {
      start: (native, async) =>
        native.groupAdvantages(floats(rewards!), offsets, false, groups, formula, values, mean, std, async),
      finish: () => [{ values, shape: rewards!.shape }],
    };
  },
  execute(tensorflow, { rewards }, { groups, groupSize, formula }) {
    const number = runSync({ start: (native) => native.tensorflowFormula(formula), finish: (n) => n });
    const input = tensorflow.reshape(rewards!, [groups, groupSize]);
    const [out] = tensorflow.op(this.name, [input], { formula: number }, 1);
    if (rewards!.shape.length === 2) return [out!];
    return [tensorflow.reshape(tensorflow.temporary(out!), rewards!.shape)];
  },
};

function prepare(
  args: TensorArguments,
  rewards: Tensor | TensorLike,
  options: GroupAdvantagesOptions | undefined,
): Problem<Attributes> {
  const o = optionsObject(options, 'options', ['groupSize', 'scale', 'baseline', 'epsilon', 'ddof', 'clip']);
  const tensor = args.tensor(rewards, 'rewards', 'float32', ['N'], ['B', 'G']);
  const [first, second] = tensor.shape;
  const groupSize =
    tensor.rank === 2 && o.groupSize === undefined ? second! : wholeNumber(o.groupSize, 'groupSize', 1);
  const shape = `[${tensor.shape.join(', ')}]`;
  if (tensor.rank === 2 && groupSize !== second) {
    throw args.error(
      'SHAPE_MISMATCH',
      'rewards',
      `have shape [B, G] with G = groupSize = ${groupSize}`,
      shape,
    );
  }
  if (tensor.rank === 1 && first! % groupSize !== 0) {
    throw args.error(
      'SHAPE_MISMATCH',
      'rewards',
      `have a multiple of groupSize = ${groupSize} entries`,
      shape,
    );
  }
  const groups = tensor.rank === 2 ? first! : first! / groupSize;
  return {
    kernel: advantages,
    inputs: { rewards: tensor },
    attributes: { groups, groupSize, formula: nativeFormula(o) },
  };
}

/**
 * Group-relative advantages, `(reward - baseline) / (std + epsilon)`, as `groupAdvantages` of the typed-array API: a NaN
 * reward means "not scored" and gets 0. Gradients stop here.
 *
 * @param rewards float32 `[B, G]`, a group in each row, or `[N]` with `groupSize`
 * @returns float32 of the same shape
 * @throws PerceptionError INVALID_VALUE (an infinite reward), INVALID_ARGUMENT, SHAPE_MISMATCH
 * @example groupAdvantages(tf.tensor2d([[1, 0], [1, 0]])) // ±0.707
 */
export function groupAdvantages<T extends Tensor = Tensor1D | Tensor2D>(
  rewards: T | TensorLike,
  options?: GroupAdvantagesOptions,
): T {
  return tf.tidy(
    'groupAdvantages',
    () => runDetached(prepare(new TensorArguments('groupAdvantages'), rewards, options))[0] as T,
  );
}

/** {@link groupAdvantages} off this thread. */
export async function groupAdvantagesAsync<T extends Tensor = Tensor1D | Tensor2D>(
  rewards: T | TensorLike,
  options?: GroupAdvantagesOptions,
): Promise<T> {
  const [out] = await runOffThread('groupAdvantagesAsync', (args) => prepare(args, rewards, options));
  return out as T;
}
