import type { Tensor, Tensor2D, Tensor3D, TensorInfo, TensorLike } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { type BoxFormat, formats, type IouKind, kinds } from '../ops/iou.js';
import { choice, optionsObject, sizeOf } from '../ops/validate.js';
import { TensorArguments } from './arguments.js';
import {
  floats,
  type HostTensor,
  type Inputs,
  ints,
  type Kernel,
  type Problem,
  runOffThread,
  runRecorded,
  type Tensorflow,
} from './kernel.js';

export interface PairwiseIouOptions {
  /** Which member of the family. Default 'iou'. */
  kind?: IouKind;
  /** What the four numbers of a box are. Default 'xyxy'. */
  format?: BoxFormat;
  /** `[B]` int32: how many boxes of each problem of `a` are real; the pairs of the others are 0. Default all. */
  aCounts?: Tensor | TensorLike;
  /** The same for `b`. */
  bCounts?: Tensor | TensorLike;
}

interface IouAttributes {
  kind: number;
  format: number;
}

/** Sizes of a padded problem; a single one has no batch axis. */
function sizes(a: { shape: readonly number[] }, b: { shape: readonly number[] }): [number, number, number] {
  return [a.shape.length === 3 ? a.shape[0]! : 1, a.shape.at(-2)!, b.shape.at(-2)!];
}

const names = ['a', 'b', 'aCounts', 'bCounts'] as const;

/** What the add-on's padded IoU functions take first. */
function onHost(
  { a, b, aCounts, bCounts }: Inputs<HostTensor>,
  { kind, format }: IouAttributes,
): [Float32Array, Int32Array, Float32Array, Int32Array, number, number, number, number, number] {
  return [floats(a!), ints(aCounts!), floats(b!), ints(bCounts!), ...sizes(a!, b!), kind, format];
}

/** What the TensorFlow ops take first. */
function withBatchAxis(
  tensorflow: Tensorflow,
  { a, b, aCounts, bCounts }: Inputs<TensorInfo>,
): [TensorInfo, TensorInfo, TensorInfo, TensorInfo] {
  const [batch, n, m] = sizes(a!, b!);
  return [tensorflow.reshape(a!, [batch, n, 4]), tensorflow.reshape(b!, [batch, m, 4]), aCounts!, bCounts!];
}

const iou: Kernel<IouAttributes> = {
  name: 'PerceptionR1PairwiseIou',
  call(inputs: Inputs<HostTensor>, attributes) {
    const { a, b } = inputs;
    const [batch, n, m] = sizes(a!, b!);
    const values = new Float32Array(batch * n * m);
    const shape = a!.shape.length === 3 ? [batch, n, m] : [n, m];
    return {
      start: (native, async) => native.pairwiseIouPadded(...onHost(inputs, attributes), values, async),
      finish: () => [{ values, shape }],
    };
  },
  execute(tensorflow, inputs: Inputs<TensorInfo>, { kind, format }) {
    const { a, b } = inputs;
    const [, n, m] = sizes(a!, b!);
    const [out] = tensorflow.op(this.name, withBatchAxis(tensorflow, inputs), { kind, format }, 1);
    if (a!.shape.length === 3) return [out!];
    return [tensorflow.reshape(tensorflow.temporary(out!), [n, m])];
  },
};

const iouGradient: Kernel<IouAttributes> = {
  name: 'PerceptionR1PairwiseIouGrad',
  call(inputs: Inputs<HostTensor>, attributes) {
    const { a, b, grad } = inputs;
    const [batch, n, m] = sizes(a!, b!);
    const gradA = new Float32Array(batch * n * 4);
    const gradB = new Float32Array(batch * m * 4);
    return {
      start: (native, async) =>
        native.pairwiseIouGradient(...onHost(inputs, attributes), floats(grad!), gradA, gradB, async),
      finish: () => [
        { values: gradA, shape: a!.shape },
        { values: gradB, shape: b!.shape },
      ],
    };
  },
  execute(tensorflow, inputs: Inputs<TensorInfo>, { kind, format }) {
    const { a, b, grad } = inputs;
    const pair = withBatchAxis(tensorflow, inputs);
    const outputs = tensorflow.op(
      this.name,
      [...pair, tensorflow.reshape(grad!, sizes(a!, b!))],
      { kind, format },
      2,
    );
    if (a!.shape.length === 3) return outputs;
    return [
      tensorflow.reshape(tensorflow.temporary(outputs[0]!), a!.shape),
      tensorflow.reshape(tensorflow.temporary(outputs[1]!), b!.shape),
    ];
  },
};

function registerGradient(): void {
  if (tf.getGradient(iou.name)) return;
  tf.registerGradient({
    kernelName: iou.name,
    inputsToSave: [...names],
    gradFunc: (dy, saved, attributes) => {
      const grad = (Array.isArray(dy) ? dy[0] : dy) as Tensor;
      const [a, b, aCounts, bCounts] = saved as [Tensor, Tensor, Tensor, Tensor];
      // Recorded, so that a second derivative is refused by TensorFlow.js instead of being 0.
      const [gradA, gradB] = runRecorded({
        kernel: iouGradient,
        inputs: { a, b, aCounts, bCounts, grad },
        attributes: attributes as unknown as IouAttributes,
      });
      const none = (counts: Tensor) => () => tf.zeros(counts.shape, 'float32');
      return { a: () => gradA!, b: () => gradB!, aCounts: none(aCounts), bCounts: none(bCounts) };
    },
  });
}

function prepare(
  args: TensorArguments,
  a: Tensor | TensorLike,
  b: Tensor | TensorLike,
  options: PairwiseIouOptions | undefined,
): Problem<IouAttributes> {
  const o = optionsObject(options, 'options', ['kind', 'format', 'aCounts', 'bCounts']);
  const boxesA = args.tensor(a, 'a', 'float32', ['N', 4], ['B', 'N', 4]);
  const boxesB = args.tensor(b, 'b', 'float32', boxesA.rank === 2 ? ['M', 4] : ['B', 'M', 4]);
  if (boxesA.rank === 2) args.bind('B', 1, 'a');
  const [batch, n, m] = sizes(boxesA, boxesB);
  sizeOf(batch * n * m, 'the result');
  return {
    kernel: iou,
    inputs: {
      a: boxesA,
      b: boxesB,
      aCounts: args.optional(o.aCounts, 'aCounts', 'B'),
      bCounts: args.optional(o.bCounts, 'bCounts', 'B'),
    },
    attributes: {
      kind: choice(o.kind, 'iou', kinds, 'kind'),
      format: choice(o.format, 'xyxy', formats, 'format'),
    },
  };
}

/**
 * Overlap of every box of `a` with every box of `b`: IoU, GIoU, DIoU or CIoU, as `pairwiseIou` of the typed-array API.
 * Differentiable in `a` and `b`.
 *
 * A box that is not finite overlaps with nothing (0, and no gradient): there is nobody to raise an error to on a device.
 *
 * @param a float32 `[N, 4]`, or `[B, N, 4]` for a batch of problems; any unit
 * @param b float32 `[M, 4]`, or `[B, M, 4]`; the same unit
 * @returns float32 `[N, M]` or `[B, N, M]`
 * @throws PerceptionError INVALID_ARGUMENT, SHAPE_MISMATCH, INVALID_VALUE (a count beyond its rows), TOO_LARGE
 * @example pairwiseIou(tf.tensor2d([[0, 0, 2, 2]]), tf.tensor2d([[1, 0, 3, 2]])) // [[0.333...]]
 */
export function pairwiseIou<T extends Tensor = Tensor2D | Tensor3D>(
  a: T | TensorLike,
  b: T | TensorLike,
  options?: PairwiseIouOptions,
): T {
  registerGradient();
  return tf.tidy(
    'pairwiseIou',
    () => runRecorded(prepare(new TensorArguments('pairwiseIou'), a, b, options))[0] as T,
  );
}

/** {@link pairwiseIou} off this thread, without gradients. */
export async function pairwiseIouAsync<T extends Tensor = Tensor2D | Tensor3D>(
  a: T | TensorLike,
  b: T | TensorLike,
  options?: PairwiseIouOptions,
): Promise<T> {
  const [out] = await runOffThread('pairwiseIouAsync', (args) => prepare(args, a, b, options));
  return out as T;
}
