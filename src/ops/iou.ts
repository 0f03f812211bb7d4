import { invalid } from '../errors.js';
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

export interface IouOptions {
  /** Which member of the family. Default 'iou'. */
  kind?: IouKind;
  /** What the four numbers of a box are. Default 'xyxy'. */
  format?: BoxFormat;
  /** Where the result goes; allocated where it is left out. */
  out?: Float32Array;
}

export interface DistanceOptions {
  /** Euclidean or sum of absolute differences. Default 'l2'. */
  metric?: PointMetric;
  /** Where the result goes; allocated where it is left out. */
  out?: Float32Array;
}

function iouCall(
  a: Float32Array,
  b: Float32Array,
  options: IouOptions | undefined,
  async: boolean,
): Call<void, Float32Array> {
  const o = optionsObject(options, 'options', ['kind', 'format', 'out']);
  const n = tuples(typedArray(a, 'a', Float32Array), 4, 'a');
  const m = tuples(typedArray(b, 'b', Float32Array), 4, 'b');
  const kind = choice(o.kind, 'iou', kinds, 'kind');
  const format = choice(o.format, 'xyxy', formats, 'format');
  const out = target(o.out, sizeOf(n * m, 'out'), [a, b], async);
  return {
    start: (native, off) => native.pairwiseIou(a, b, kind, format, out.array, off),
    finish: out.finish,
    release: out.release,
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
export function pairwiseIou(a: Float32Array, b: Float32Array, options?: IouOptions): Float32Array {
  return runSync(iouCall(a, b, options, false));
}

/** {@link pairwiseIou} off this thread. The inputs are copied first and may be changed at once. */
export async function pairwiseIouAsync(
  a: Float32Array,
  b: Float32Array,
  options?: IouOptions,
): Promise<Float32Array> {
  return runAsync(iouCall(a, b, options, true));
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
): Call<void, RaggedMatrices> {
  const o = optionsObject(options, 'options', ['kind', 'format', 'out']);
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
  const out = target(o.out, total, [a.values, b.values], async);
  return {
    start: (native, off) =>
      native.pairwiseIouBatch(a.values, aOffsets, b.values, bOffsets, kind, format, offsets, out.array, off),
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
): Call<void, Float32Array> {
  const o = optionsObject(options, 'options', ['metric', 'out']);
  const n = tuples(typedArray(a, 'a', Float32Array), 2, 'a');
  const m = tuples(typedArray(b, 'b', Float32Array), 2, 'b');
  const metric = choice(o.metric, 'l2', metrics, 'metric');
  const out = target(o.out, sizeOf(n * m, 'out'), [a, b], async);
  return {
    start: (native, off) => native.pairwiseDistance(a, b, metric, out.array, off),
    finish: out.finish,
    release: out.release,
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
export function pairwiseDistance(a: Float32Array, b: Float32Array, options?: DistanceOptions): Float32Array {
  return runSync(distanceCall(a, b, options, false));
}

/** {@link pairwiseDistance} off this thread. The inputs are copied first and may be changed at once. */
export async function pairwiseDistanceAsync(
  a: Float32Array,
  b: Float32Array,
  options?: DistanceOptions,
): Promise<Float32Array> {
  return runAsync(distanceCall(a, b, options, true));
}
