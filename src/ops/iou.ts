import { DeviceArguments, onDevice } from '../device/arguments.js';
import { type DeviceChoice, goesToGpu, work } from '../device/choose.js';
import { type DeviceTensor, deviceTensor } from '../device/tensor.js';
import { invalid } from '../errors.js';
import type { DeviceHandle } from '../native/binding.js';
import { type Call, runAsync, runSync } from '../native/load.js';
import type { Ragged, RaggedMatrices } from '../ragged.js';
import { target } from './out.js';
import { choice, offsetsOf, optionsObject, sizeOf, tuples, typedArray } from './validate.js';

export type IouKind = 'iou' | 'giou' | 'diou' | 'ciou';
export type BoxFormat = 'xyxy' | 'xywh' | 'cxcywh';
export type PointMetric = 'l2' | 'l1';

/** @internal Orders of core/geometry/iou.h and box.h. */
export const kinds: readonly IouKind[] = ['iou', 'giou', 'diou', 'ciou'];
/** @internal */
export const formats: readonly BoxFormat[] = ['xyxy', 'xywh', 'cxcywh'];
const metrics: readonly PointMetric[] = ['l2', 'l1'];

export interface IouOptions extends DeviceChoice {
  /** Which member of the family. Default 'iou'. */
  kind?: IouKind;
  /** What the four numbers of a box are. Default 'xyxy'. */
  format?: BoxFormat;
  /** Where the result goes; allocated where it is left out. */
  out?: Float32Array;
}

/** For boxes that are DeviceTensors. */
export interface DeviceIouOptions {
  /** Which member of the family. Default 'iou'. */
  kind?: IouKind;
  /** What the four numbers of a box are. Default 'xyxy'. */
  format?: BoxFormat;
  /** int32 `[B]`: how many of each problem's boxes are real. Default all. */
  aCounts?: DeviceTensor<Int32Array>;
  bCounts?: DeviceTensor<Int32Array>;
}

export interface DistanceOptions extends DeviceChoice {
  /** Euclidean or sum of absolute differences. Default 'l2'. */
  metric?: PointMetric;
  /** Where the result goes; allocated where it is left out. */
  out?: Float32Array;
}

/** For points that are DeviceTensors. */
export interface DeviceDistanceOptions {
  /** Euclidean or sum of absolute differences. Default 'l2'. */
  metric?: PointMetric;
}

function iouCall(
  a: Float32Array,
  b: Float32Array,
  options: IouOptions | undefined,
  async: boolean,
): Call<unknown, Float32Array> {
  const o = optionsObject(options, 'options', ['kind', 'format', 'out', 'device']);
  const n = tuples(typedArray(a, 'a', Float32Array), 4, 'a');
  const m = tuples(typedArray(b, 'b', Float32Array), 4, 'b');
  const kind = choice(o.kind, 'iou', kinds, 'kind');
  const format = choice(o.format, 'xyxy', formats, 'format');
  const gpu = goesToGpu(o.device, () => work.iou(kind, n + m, n * m));
  const out = target(o.out, sizeOf(n * m, 'out'), [a, b], async);
  return {
    start: (native, off) =>
      gpu
        ? native.cudaPairwiseIou(0, a, undefined, b, undefined, 1, n, m, kind, format, out.array, off)
        : native.pairwiseIou(a, b, kind, format, out.array, off),
    finish: out.finish,
    release: out.release,
  };
}

function deviceIouCall(
  a: DeviceTensor,
  b: DeviceTensor,
  options: DeviceIouOptions | undefined,
): Call<DeviceHandle[], DeviceTensor> {
  const o = optionsObject(options, 'options', ['kind', 'format', 'aCounts', 'bCounts']);
  const args = new DeviceArguments();
  const padded = a?.shape?.length === 3 || (o.aCounts ?? o.bCounts) !== undefined;
  const left = args.tensor(a, 'a', 'float32', padded ? ['B', 'n', 4] : ['n', 4]);
  const right = args.tensor(b, 'b', 'float32', padded ? ['B', 'm', 4] : ['m', 4]);
  const aCounts = args.optional(o.aCounts, 'aCounts', 'B');
  const bCounts = args.optional(o.bCounts, 'bCounts', 'B');
  const kind = choice(o.kind, 'iou', kinds, 'kind');
  const format = choice(o.format, 'xyxy', formats, 'format');
  const [n, m] = [left.shape.at(-2)!, right.shape.at(-2)!];
  const shape = padded ? [left.shape[0]!, n, m] : [n, m];
  const { device } = args;
  return {
    start: (native, off) =>
      native.cudaPairwiseIou(
        device,
        left.handle,
        aCounts,
        right.handle,
        bCounts,
        padded ? shape[0]! : 1,
        n,
        m,
        kind,
        format,
        undefined,
        off,
      ),
    finish: ([out]) => deviceTensor(out!, 'float32', shape, device),
  };
}

/**
 * Overlap of every box of `a` with every box of `b`.
 *
 * IoU (Everingham et al. 2010), GIoU (Rezatofighi et al. 2019), DIoU and CIoU (Zheng et al. 2020). A box with a negative
 * extent has area 0; the IoU of two boxes without area is 0.
 *
 * @param a `[n, 4]` boxes, any unit
 * @param b `[m, 4]` boxes, in the same unit
 * @returns `[n * m]`, row-major: entry `i * m + j` is that of `a[i]` and `b[j]`. IoU in 0..1, the others in -1..1
 * (CIoU somewhat below).
 * @throws PerceptionError INVALID_ARGUMENT, SHAPE_MISMATCH, DETACHED_BUFFER, INVALID_VALUE (a box that is not finite)
 * @example pairwiseIou(new Float32Array([0, 0, 2, 2]), new Float32Array([1, 0, 3, 2])) // [0.333...]
 */
export function pairwiseIou(a: Float32Array, b: Float32Array, options?: IouOptions): Float32Array;
/**
 * On a GPU, where `a` and `b` are.
 *
 * @param a `[n, 4]`, or of B problems `[B, n, 4]`, padded
 * @param b `[m, 4]` or `[B, m, 4]`
 * @returns `[n, m]` or `[B, n, m]`. Pairs beyond the counts are 0, and so are those of a box that is not finite.
 * @throws PerceptionError INVALID_ARGUMENT, SHAPE_MISMATCH, TOO_LARGE, WRONG_DEVICE, DISPOSED, OUT_OF_MEMORY, DEVICE_LOST
 */
export function pairwiseIou(a: DeviceTensor, b: DeviceTensor, options?: DeviceIouOptions): DeviceTensor;
export function pairwiseIou(
  a: Float32Array | DeviceTensor,
  b: Float32Array | DeviceTensor,
  options?: IouOptions | DeviceIouOptions,
): Float32Array | DeviceTensor {
  return onDevice(a, b)
    ? runSync(deviceIouCall(a as DeviceTensor, b as DeviceTensor, options as DeviceIouOptions))
    : runSync(iouCall(a as Float32Array, b as Float32Array, options as IouOptions, false));
}

/** {@link pairwiseIou} off this thread. Typed arrays are copied first and may be changed at once. */
export async function pairwiseIouAsync(
  a: Float32Array,
  b: Float32Array,
  options?: IouOptions,
): Promise<Float32Array>;
export async function pairwiseIouAsync(
  a: DeviceTensor,
  b: DeviceTensor,
  options?: DeviceIouOptions,
): Promise<DeviceTensor>;
export async function pairwiseIouAsync(
  a: Float32Array | DeviceTensor,
  b: Float32Array | DeviceTensor,
  options?: IouOptions | DeviceIouOptions,
): Promise<Float32Array | DeviceTensor> {
  return onDevice(a, b)
    ? runAsync(deviceIouCall(a as DeviceTensor, b as DeviceTensor, options as DeviceIouOptions))
    : runAsync(iouCall(a as Float32Array, b as Float32Array, options as IouOptions, true));
}

/** Offsets that count boxes; where they count numbers (their last entry tells) they are divided by four. */
function boxOffsets(boxes: Ragged, name: string): Int32Array {
  if (typeof boxes !== 'object' || boxes === null)
    throw invalid('INVALID_ARGUMENT', name, '{values, offsets}', boxes);
  const count = tuples(typedArray(boxes.values, `${name}.values`, Float32Array), 4, `${name}.values`);
  const offsets = typedArray(boxes.offsets, `${name}.offsets`, Int32Array);
  if (count > 0 && offsets[offsets.length - 1] === boxes.values.length) {
    offsetsOf(offsets, boxes.values.length, `${name}.offsets`);
    const odd = offsets.findIndex((offset) => offset % 4 !== 0);
    if (odd >= 0)
      throw invalid('INVALID_OFFSETS', `${name}.offsets[${odd}]`, 'a multiple of 4', offsets[odd]);
    return offsets.map((offset) => offset / 4);
  }
  return offsetsOf(offsets, count, `${name}.offsets`);
}

function iouBatchCall(
  a: Ragged,
  b: Ragged,
  options: IouOptions | undefined,
  async: boolean,
): Call<unknown, RaggedMatrices> {
  const o = optionsObject(options, 'options', ['kind', 'format', 'out', 'device']);
  const aOffsets = boxOffsets(a, 'a');
  const bOffsets = boxOffsets(b, 'b');
  if (aOffsets.length !== bOffsets.length) {
    throw invalid(
      'SHAPE_MISMATCH',
      'b.offsets',
      `${aOffsets.length} entries, as many as a.offsets`,
      bOffsets,
    );
  }
  const kind = choice(o.kind, 'iou', kinds, 'kind');
  const format = choice(o.format, 'xyxy', formats, 'format');
  const problems = aOffsets.length - 1;
  const rows = new Int32Array(problems);
  const cols = new Int32Array(problems);
  const offsets = new Int32Array(problems + 1);
  let total = 0;
  for (let i = 0; i < problems; i++) {
    rows[i] = aOffsets[i + 1]! - aOffsets[i]!;
    cols[i] = bOffsets[i + 1]! - bOffsets[i]!;
    total = sizeOf(total + rows[i]! * cols[i]!, 'out');
    offsets[i + 1] = total;
  }
  const gpu = goesToGpu(o.device, () => work.iou(kind, (a.values.length + b.values.length) / 4, total));
  const out = target(o.out, total, [a.values, b.values], async);
  return {
    start: (native, off) =>
      gpu
        ? native.cudaPairwiseIouBatch(0, a.values, aOffsets, b.values, bOffsets, kind, format, out.array, off)
        : native.pairwiseIouBatch(
            a.values,
            aOffsets,
            b.values,
            bOffsets,
            kind,
            format,
            offsets,
            out.array,
            off,
          ),
    finish: () => ({ values: out.finish(), offsets, rows, cols }),
    release: out.release,
  };
}

/**
 * {@link pairwiseIou} for a batch: list i of `a` against list i of `b`, in parallel over the batch.
 *
 * @param a boxes of n lists, `values` `[boxes, 4]`; `offsets` `[n + 1]` count boxes (offsets that count the numbers, four
 * to a box, are recognised by their last entry)
 * @param b as many lists
 * @returns matrix i is `rows[i]` x `cols[i]` at `values[offsets[i]]`
 * @throws PerceptionError as pairwiseIou, and INVALID_OFFSETS, TOO_LARGE
 */
export function pairwiseIouBatch(a: Ragged, b: Ragged, options?: IouOptions): RaggedMatrices {
  return runSync(iouBatchCall(a, b, options, false));
}

/** {@link pairwiseIouBatch} off this thread. The inputs are copied first and may be changed at once. */
export async function pairwiseIouBatchAsync(
  a: Ragged,
  b: Ragged,
  options?: IouOptions,
): Promise<RaggedMatrices> {
  return runAsync(iouBatchCall(a, b, options, true));
}

function distanceCall(
  a: Float32Array,
  b: Float32Array,
  options: DistanceOptions | undefined,
  async: boolean,
): Call<unknown, Float32Array> {
  const o = optionsObject(options, 'options', ['metric', 'out', 'device']);
  const n = tuples(typedArray(a, 'a', Float32Array), 2, 'a');
  const m = tuples(typedArray(b, 'b', Float32Array), 2, 'b');
  const metric = choice(o.metric, 'l2', metrics, 'metric');
  const gpu = goesToGpu(o.device, () => work.distance(metric, n + m, n * m));
  const out = target(o.out, sizeOf(n * m, 'out'), [a, b], async);
  return {
    start: (native, off) =>
      gpu
        ? native.cudaPairwiseDistance(0, a, b, metric, out.array, off)
        : native.pairwiseDistance(a, b, metric, out.array, off),
    finish: out.finish,
    release: out.release,
  };
}

function deviceDistanceCall(
  a: DeviceTensor,
  b: DeviceTensor,
  options: DeviceDistanceOptions | undefined,
): Call<DeviceHandle[], DeviceTensor> {
  const o = optionsObject(options, 'options', ['metric']);
  const args = new DeviceArguments();
  const left = args.tensor(a, 'a', 'float32', ['n', 2]);
  const right = args.tensor(b, 'b', 'float32', ['m', 2]);
  const metric = choice(o.metric, 'l2', metrics, 'metric');
  const { device } = args;
  return {
    start: (native, off) =>
      native.cudaPairwiseDistance(device, left.handle, right.handle, metric, undefined, off),
    finish: ([out]) => deviceTensor(out!, 'float32', [left.shape[0]!, right.shape[0]!], device),
  };
}

/**
 * Distance of every point of `a` from every point of `b`.
 *
 * @param a `[n, 2]` points
 * @param b `[m, 2]` points, in the same unit
 * @returns `[n * m]`, row-major, in that unit
 * @throws PerceptionError INVALID_ARGUMENT, SHAPE_MISMATCH, DETACHED_BUFFER, INVALID_VALUE
 */
export function pairwiseDistance(a: Float32Array, b: Float32Array, options?: DistanceOptions): Float32Array;
/**
 * On a GPU, where `a` and `b` are; `[n, 2]` and `[m, 2]` give `[n, m]`. Points that are not finite are not refused: their
 * distances are NaN or infinite.
 * @throws PerceptionError as pairwiseIou on DeviceTensors
 */
export function pairwiseDistance(
  a: DeviceTensor,
  b: DeviceTensor,
  options?: DeviceDistanceOptions,
): DeviceTensor;
export function pairwiseDistance(
  a: Float32Array | DeviceTensor,
  b: Float32Array | DeviceTensor,
  options?: DistanceOptions | DeviceDistanceOptions,
): Float32Array | DeviceTensor {
  return onDevice(a, b)
    ? runSync(deviceDistanceCall(a as DeviceTensor, b as DeviceTensor, options))
    : runSync(distanceCall(a as Float32Array, b as Float32Array, options, false));
}

/** {@link pairwiseDistance} off this thread. Typed arrays are copied first and may be changed at once. */
export async function pairwiseDistanceAsync(
  a: Float32Array,
  b: Float32Array,
  options?: DistanceOptions,
): Promise<Float32Array>;
export async function pairwiseDistanceAsync(
  a: DeviceTensor,
  b: DeviceTensor,
  options?: DeviceDistanceOptions,
): Promise<DeviceTensor>;
export async function pairwiseDistanceAsync(
  a: Float32Array | DeviceTensor,
  b: Float32Array | DeviceTensor,
  options?: DistanceOptions | DeviceDistanceOptions,
): Promise<Float32Array | DeviceTensor> {
  return onDevice(a, b)
    ? runAsync(deviceDistanceCall(a as DeviceTensor, b as DeviceTensor, options))
    : runAsync(distanceCall(a as Float32Array, b as Float32Array, options, true));
}
