import type { Tensor, Tensor1D, Tensor2D, Tensor3D, TensorLike } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { invalid } from '../errors.js';
import { optionsObject, sizeOf } from '../ops/validate.js';
import { TensorArguments } from './arguments.js';
import { floats, ints, type Kernel, type Problem, runDetached, runOffThread } from './kernel.js';

export interface LinearSumAssignmentOptions {
  /** Find the greatest sum rather than the least. Default false. */
  maximize?: boolean;
  /** `[B]` int32: how many rows of each problem are real. Default all. */
  rowCounts?: Tensor | TensorLike;
  /** `[B]` int32: how many columns of each problem are real. Default all. */
  colCounts?: Tensor | TensorLike;
}

interface Attributes {
  maximize: boolean;
}

/** [batch, rows, cols]; a single problem has no batch axis. */
const sizes = (shape: readonly number[]): [number, number, number] => [
  shape.length === 3 ? shape[0]! : 1,
  shape.at(-2)!,
  shape.at(-1)!,
];

const assignment: Kernel<Attributes> = {
  name: 'PerceptionR1LinearSumAssignment',
  call({ costs, rowCounts, colCounts }, { maximize }) {
    const [batch, rows, cols] = sizes(costs!.shape);
    const values = new Int32Array(batch * rows);
    return {
      start: (native, async) =>
        native.linearSumAssignmentPadded(
          floats(costs!),
          batch,
          rows,
          cols,
          ints(rowCounts!),
          ints(colCounts!),
          maximize,
          values,
          async,
        ),
      finish: () => [{ values, shape: costs!.shape.slice(0, -1) }],
    };
  },
  execute(tensorflow, { costs, rowCounts, colCounts }, { maximize }) {
    const inputs = [tensorflow.reshape(costs!, sizes(costs!.shape)), rowCounts!, colCounts!];
    const [out] = tensorflow.op(this.name, inputs, { maximize }, 1);
    if (costs!.shape.length === 3) return [out!];
    return [tensorflow.reshape(tensorflow.temporary(out!), costs!.shape.slice(0, -1))];
  },
};

function prepare(
  args: TensorArguments,
  costs: Tensor | TensorLike,
  options: LinearSumAssignmentOptions | undefined,
): Problem<Attributes> {
  const o = optionsObject(options, 'options', ['maximize', 'rowCounts', 'colCounts']);
  const { maximize = false } = o;
  if (typeof maximize !== 'boolean') throw invalid('INVALID_ARGUMENT', 'maximize', 'a boolean', maximize);
  const tensor = args.tensor(costs, 'costs', 'float32', ['N', 'M'], ['B', 'N', 'M']);
  if (tensor.rank === 2) args.bind('B', 1, 'costs');
  sizeOf(tensor.size, 'costs');
  return {
    kernel: assignment,
    inputs: {
      costs: tensor,
      rowCounts: args.optional(o.rowCounts, 'rowCounts', 'B'),
      colCounts: args.optional(o.colCounts, 'colCounts', 'B'),
    },
    attributes: { maximize },
  };
}

/**
 * Pairs rows with columns one to one at the least total cost, exactly; scipy's contract, as `linearSumAssignment` of the
 * typed-array API: +Infinity forbids a pair, NaN and -Infinity are refused (signs turned around when maximizing).
 * Gradients stop here.
 *
 * @param costs float32 `[N, M]`, or `[B, N, M]` for a batch of problems
 * @returns int32 `[N]` or `[B, N]`: the column of each row; -1 for an unmatched one and for those beyond the count
 * @throws PerceptionError INFEASIBLE where every complete assignment needs a forbidden pair; INVALID_VALUE,
 * INVALID_ARGUMENT, SHAPE_MISMATCH
 * @example linearSumAssignment(tf.tensor2d([[4, 1, 3], [2, 0, 5]])) // [1, 0]
 */
export function linearSumAssignment(costs: Tensor2D, options?: LinearSumAssignmentOptions): Tensor1D;
export function linearSumAssignment(costs: Tensor3D, options?: LinearSumAssignmentOptions): Tensor2D;
export function linearSumAssignment(
  costs: Tensor | TensorLike,
  options?: LinearSumAssignmentOptions,
): Tensor1D | Tensor2D;
export function linearSumAssignment(
  costs: Tensor | TensorLike,
  options?: LinearSumAssignmentOptions,
): Tensor1D | Tensor2D {
  return tf.tidy(
    'linearSumAssignment',
    () => runDetached(prepare(new TensorArguments('linearSumAssignment'), costs, options))[0] as Tensor2D,
  );
}

/** {@link linearSumAssignment} off this thread. */
export async function linearSumAssignmentAsync(
  costs: Tensor2D,
  options?: LinearSumAssignmentOptions,
): Promise<Tensor1D>;
export async function linearSumAssignmentAsync(
  costs: Tensor3D,
  options?: LinearSumAssignmentOptions,
): Promise<Tensor2D>;
export async function linearSumAssignmentAsync(
  costs: Tensor | TensorLike,
  options?: LinearSumAssignmentOptions,
): Promise<Tensor1D | Tensor2D>;
export async function linearSumAssignmentAsync(
  costs: Tensor | TensorLike,
  options?: LinearSumAssignmentOptions,
): Promise<Tensor1D | Tensor2D> {
  const [out] = await runOffThread('linearSumAssignmentAsync', (args) => prepare(args, costs, options));
  return out as Tensor2D;
}
