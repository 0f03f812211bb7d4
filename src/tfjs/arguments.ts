import type { Tensor, TensorLike } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { describe, type ErrorCode, PerceptionError } from '../errors.js';

/** What an argument's axis is: a number that it must have, or a name that has one size in all arguments of a call. */
type Axis = number | string;

/**
 * The tensor arguments of one call. Each is checked against the shapes that it may have, told apart by their rank; a
 * named axis gets its size from the first argument that has it and holds the others to it.
 */
export class TensorArguments {
  readonly #op: string;
  readonly #sizes = new Map<string, { size: number; from: string }>();
  /** Tensors made here from arrays: an asynchronous call disposes them, tf.tidy does it for a synchronous one. */
  readonly created: Tensor[] = [];

  #empty: Tensor | undefined;

  constructor(op: string) {
    this.#op = op;
  }

  /**
   * `value` as a tensor of `dtype` whose shape is one of `shapes`.
   * @throws PerceptionError INVALID_ARGUMENT (no tensor, wrong dtype, disposed), SHAPE_MISMATCH
   */
  tensor<T extends Tensor>(
    value: T | TensorLike,
    name: string,
    dtype: 'float32' | 'int32',
    ...shapes: readonly (readonly Axis[])[]
  ): T {
    const tensor =
      value instanceof tf.Tensor ? this.#checked(value, name, dtype) : this.#make(value, name, dtype);
    const shape = shapes.find((candidate) => candidate.length === tensor.rank);
    const fits = shape?.every((axis, i) => this.#sizeOf(axis, tensor.shape[i]!, name) === tensor.shape[i]);
    if (!fits) {
      const expected = (shape ? [shape] : shapes).map((axes) => `[${axes.join(', ')}]`).join(' or ');
      const bound = (shape ?? []).flatMap((axis) => {
        const known = typeof axis === 'string' ? this.#sizes.get(axis) : undefined;
        return known && known.from !== name ? [`${axis} = ${known.size} as in '${known.from}'`] : [];
      });
      const given = bound.length ? ` with ${bound.join(' and ')}` : '';
      throw this.error(
        'SHAPE_MISMATCH',
        name,
        `have shape ${expected}${given}`,
        `[${tensor.shape.join(', ')}]`,
      );
    }
    return tensor as T;
  }

  /** `value` as {@link tensor} does it, or where it is undefined a tensor without elements: "all" to the operations. */
  optional(value: Tensor | TensorLike | undefined, name: string, ...shape: readonly Axis[]): Tensor {
    if (value !== undefined) return this.tensor(value, name, 'int32', shape);
    this.#empty ??= tf.tensor1d([], 'int32');
    this.created.push(this.#empty);
    return this.#empty;
  }

  /** Gives a named axis its size. */
  bind(axis: string, size: number, from: string): void {
    this.#sizes.set(axis, { size, from });
  }

  /** "Argument 'a' passed to 'op' must ..., but got ...", TensorFlow.js's own form. */
  error(code: ErrorCode, name: string, must: string, got: string): PerceptionError {
    return new PerceptionError(
      code,
      `Argument '${name}' passed to '${this.#op}' must ${must}, but got ${got}`,
    );
  }

  #sizeOf(axis: Axis, size: number, name: string): number {
    if (typeof axis === 'number') return axis;
    const known = this.#sizes.get(axis);
    if (known) return known.size;
    this.#sizes.set(axis, { size, from: name });
    return size;
  }

  #checked(tensor: Tensor, name: string, dtype: string): Tensor {
    if (tensor.isDisposed) {
      throw this.error('INVALID_ARGUMENT', name, `be ${dtype} tensor`, 'a disposed one');
    }
    if (tensor.dtype !== dtype) {
      throw this.error('INVALID_ARGUMENT', name, `be ${dtype} tensor`, `${tensor.dtype} tensor`);
    }
    return tensor;
  }

  #make(value: TensorLike, name: string, dtype: 'float32' | 'int32'): Tensor {
    if (typeof value !== 'number' && !Array.isArray(value) && !tf.util.isTypedArray(value)) {
      throw this.error('INVALID_ARGUMENT', name, 'be a Tensor or TensorLike', describe(value));
    }
    this.#shapeOf(value, name, dtype);
    const tensor = tf.tensor(value, undefined, dtype);
    this.created.push(tensor);
    return tensor;
  }

  /** The shape of nested arrays. tf.tensor would take ragged ones, make NaN of text and gaps, and cut fractions off. */
  #shapeOf(value: unknown, name: string, dtype: 'float32' | 'int32'): number[] {
    if (value instanceof (dtype === 'int32' ? Int32Array : Float32Array)) return [value.length];
    if (Array.isArray(value) || ArrayBuffer.isView(value)) {
      const shapes = Array.from(value as unknown as ArrayLike<unknown>, (v) => this.#shapeOf(v, name, dtype));
      const [first = []] = shapes;
      const odd = shapes.find((shape) => !tf.util.arraysEqual(shape, first));
      if (!odd) return [shapes.length, ...first];
      throw this.error('SHAPE_MISMATCH', name, 'have rows of one shape', `[${first}] and [${odd}]`);
    }
    const fits = dtype === 'int32' ? value === ((value as number) | 0) : typeof value === 'number';
    if (!fits) throw this.error('INVALID_ARGUMENT', name, `hold ${dtype} values`, describe(value));
    return [];
  }
}
