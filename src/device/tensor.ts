import { describe, invalid, PerceptionError } from '../errors.js';
import type { DeviceHandle } from '../native/binding.js';
import { binding, runAsync, runSync } from '../native/load.js';
import { optionsObject, typedArray, wholeNumber } from '../ops/validate.js';

/** What a DeviceTensor is made from and read into. */
export type DeviceArray = Float32Array | Float64Array | Int32Array;
export type DeviceDtype = 'float32' | 'float64' | 'int32';

const arrays = { float32: Float32Array, float64: Float64Array, int32: Int32Array } as const;

const dtypeOf = (data: DeviceArray): DeviceDtype =>
  data instanceof Float32Array ? 'float32' : data instanceof Int32Array ? 'int32' : 'float64';

const bytesOf = (data: DeviceArray): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

let make: <T extends DeviceArray>(
  handle: DeviceHandle,
  dtype: DeviceDtype,
  shape: readonly number[],
  device: number,
) => DeviceTensor<T>;
let handleOf: (tensor: DeviceTensor<DeviceArray>, name: string) => DeviceHandle;

/**
 * Numbers in a GPU's memory. The batch functions take them in place of typed arrays and then work where the tensors
 * are: results are DeviceTensors too, nothing visits the host. docs/cuda.md.
 *
 * Operations are queued and return at once. What one of them finds wrong with the values (a cost that is NaN, say) is
 * known only when it has run, and is thrown by `toArray` of its results, and of what was made from them.
 *
 * Memory is freed by `dispose`, or some time after the tensor is forgotten.
 */
export class DeviceTensor<T extends DeviceArray = Float32Array> implements Disposable {
  readonly shape: readonly number[];
  readonly dtype: DeviceDtype;
  /** Number of elements. */
  readonly size: number;
  readonly byteLength: number;
  /** The GPU's number, as in `info().cuda.devices`. */
  readonly device: number;
  #handle: DeviceHandle | undefined;

  static {
    make = (handle, dtype, shape, device) => new DeviceTensor(handle, dtype, shape, device);
    handleOf = (tensor, name) => tensor.#live(name);
  }

  private constructor(handle: DeviceHandle, dtype: DeviceDtype, shape: readonly number[], device: number) {
    this.#handle = handle;
    this.dtype = dtype;
    this.shape = Object.freeze([...shape]);
    this.size = shape.reduce((product, size) => product * size, 1);
    this.byteLength = this.size * arrays[dtype].BYTES_PER_ELEMENT;
    this.device = device;
  }

  /**
   * Copies `data` to a GPU. It may be changed as soon as this returns.
   * @param shape row-major; default `[data.length]`
   * @throws PerceptionError DEVICE_UNAVAILABLE, OUT_OF_MEMORY, DEVICE_LOST, INVALID_ARGUMENT, SHAPE_MISMATCH,
   * DETACHED_BUFFER
   * @example using boxes = DeviceTensor.from(new Float32Array([0, 0, 2, 2]), [1, 4])
   */
  static from(
    data: Float32Array,
    shape?: readonly number[],
    options?: { device?: number },
  ): DeviceTensor<Float32Array>;
  static from(
    data: Int32Array,
    shape?: readonly number[],
    options?: { device?: number },
  ): DeviceTensor<Int32Array>;
  static from(
    data: Float64Array,
    shape?: readonly number[],
    options?: { device?: number },
  ): DeviceTensor<Float64Array>;
  static from(
    data: DeviceArray,
    shape?: readonly number[],
    options?: { device?: number },
  ): DeviceTensor<DeviceArray> {
    typedArray<DeviceArray>(data, 'data', Float32Array, Int32Array, Float64Array);
    const { device = 0 } = optionsObject(options, 'options', ['device']);
    wholeNumber(device, 'device', 0);
    const sizes = shapeOf(shape ?? [data.length], data.length);
    return runSync({
      start: (native) => native.cudaUpload(bytesOf(data), device),
      finish: (handle) => new DeviceTensor(handle, dtypeOf(data), sizes, device),
    });
  }

  get disposed(): boolean {
    return this.#handle === undefined;
  }

  /**
   * The values, once they are there; waits for them.
   * @throws PerceptionError DISPOSED; DEVICE_LOST, OUT_OF_MEMORY; what the operations that made them found wrong
   */
  toArray(): T {
    return runSync(this.#download());
  }

  /** {@link toArray} off this thread. The tensor may be disposed meanwhile. */
  async toArrayAsync(): Promise<T> {
    return runAsync(this.#download());
  }

  /** Frees the memory, when operations that still work with it are done. The tensor cannot be used any more. */
  dispose(): void {
    if (this.#handle) binding().cudaRelease(this.#handle);
    this.#handle = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #download() {
    const handle = this.#live('tensor');
    const array = new arrays[this.dtype](this.size) as T;
    return {
      start: (native: ReturnType<typeof binding>, async: boolean) =>
        native.cudaDownload(handle, bytesOf(array), async),
      finish: () => array,
    };
  }

  #live(name: string): DeviceHandle {
    if (this.#handle) return this.#handle;
    throw new PerceptionError('DISPOSED', `${name}: expected a DeviceTensor that was not disposed`);
  }
}

function shapeOf(shape: readonly number[], length: number): readonly number[] {
  if (!Array.isArray(shape)) throw invalid('INVALID_ARGUMENT', 'shape', 'an array of sizes', shape);
  const size = shape.reduce(
    (product: number, axis: unknown, i) => product * wholeNumber(axis, `shape[${i}]`, 0),
    1,
  );
  if (size !== length) {
    throw new PerceptionError(
      'SHAPE_MISMATCH',
      `shape: expected one of ${length} elements, as many as data has, received [${shape.map(describe).join(', ')}]`,
    );
  }
  return shape;
}

export {
  /** @internal The handle of a tensor that was not disposed. @throws PerceptionError DISPOSED */
  handleOf,
  /** @internal */
  make as deviceTensor,
};
