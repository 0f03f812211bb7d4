import { invalid, PerceptionError } from '../errors.js';
import type { DeviceHandle } from '../native/binding.js';
import { type DeviceArray, type DeviceDtype, DeviceTensor, handleOf } from './tensor.js';

/** What an axis is: a size that it must have, or a name that has one size in all arguments of a call. */
type Axis = number | string;

/** Whether a call is one on DeviceTensors: then all of its arrays have to be. */
export const onDevice = (...values: readonly unknown[]): boolean =>
  values.some((value) => value instanceof DeviceTensor);

/** A tensor that was checked. */
export interface DeviceArgument {
  handle: DeviceHandle;
  dtype: DeviceDtype;
  shape: readonly number[];
  size: number;
}

/** The DeviceTensors of one call: their types and shapes fit, and all are on one device. */
export class DeviceArguments {
  readonly #sizes = new Map<string, { size: number; from: string }>();
  #first: { device: number; name: string } | undefined;

  /** The device that all arguments are on. */
  get device(): number {
    return this.#first!.device;
  }

  /**
   * `value` as a tensor of one of `dtypes` with one of `shapes`, told apart by their rank; none: any shape.
   * @throws PerceptionError INVALID_ARGUMENT, SHAPE_MISMATCH, WRONG_DEVICE, DISPOSED
   */
  tensor(
    value: unknown,
    name: string,
    dtypes: DeviceDtype | readonly DeviceDtype[],
    ...shapes: readonly (readonly Axis[])[]
  ): DeviceArgument {
    if (!(value instanceof DeviceTensor)) {
      const expected = 'a DeviceTensor (arrays of one call are all DeviceTensors or none is)';
      throw invalid('INVALID_ARGUMENT', name, expected, value);
    }
    const tensor = value as DeviceTensor<DeviceArray>;
    const handle = handleOf(tensor, name);
    const { device, dtype, shape, size } = tensor;
    this.#first ??= { device, name };
    if (device !== this.#first.device) {
      throw new PerceptionError(
        'WRONG_DEVICE',
        `${name}: expected a DeviceTensor on device ${this.#first.device}, where ${this.#first.name} is, received one on device ${device}`,
      );
    }
    if (![dtypes].flat().includes(dtype)) {
      const expected = [dtypes].flat().join(' or ');
      throw new PerceptionError('INVALID_ARGUMENT', `${name}: expected ${expected}, received ${dtype}`);
    }
    if (shapes.length > 0) this.#checkShape(shape, name, shapes);
    return { handle, dtype, shape, size };
  }

  /** The handle of int32 counts or labels, or undefined where they are not given. */
  optional(value: unknown, name: string, ...shape: readonly Axis[]): DeviceHandle | undefined {
    return value === undefined ? undefined : this.tensor(value, name, 'int32', shape).handle;
  }

  #checkShape(shape: readonly number[], name: string, shapes: readonly (readonly Axis[])[]): void {
    const axes = shapes.find(({ length }) => length === shape.length);
    if (axes?.every((axis, i) => this.#sizeOf(axis, shape[i]!, name) === shape[i])) return;
    const expected = (axes ? [axes] : shapes).map((candidate) => `[${candidate.join(', ')}]`).join(' or ');
    const known = (axes ?? []).flatMap((axis) => {
      const bound = this.#sizes.get(axis as string);
      return bound && bound.from !== name ? [`${axis} = ${bound.size} as in ${bound.from}`] : [];
    });
    const given = known.length ? ` with ${known.join(' and ')}` : '';
    throw new PerceptionError(
      'SHAPE_MISMATCH',
      `${name}: expected shape ${expected}${given}, received [${shape.join(', ')}]`,
    );
  }

  #sizeOf(axis: Axis, size: number, name: string): number {
    if (typeof axis === 'number') return axis;
    const known = this.#sizes.get(axis);
    if (!known) this.#sizes.set(axis, { size, from: name });
    return known?.size ?? size;
  }
}
