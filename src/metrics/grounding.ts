import { invalid } from '../errors.js';
import { pairwiseIouBatch } from '../ops/iou.js';
import { optionsObject } from '../ops/validate.js';
import type { GroundingTruth, Numbers } from '../rewards/ground-truth.js';
import { isNumbers, listOf } from './lists.js';

/** x1 y1 x2 y2; or boxes (a ParsedCompletion has some), the first of which is the prediction; null: no prediction. */
export type GroundingPrediction = Numbers | { boxes: Numbers } | null;

export interface GroundingOptions {
  /** Thresholds of the accuracy, in (0, 1]. Default [0.5]. */
  iouThresholds?: readonly number[];
}

export interface GroundingSummary {
  count: number;
  /** Those without a box of finite numbers. They count as misses. */
  missing: number;
  meanIou: number;
  /** Acc@t by threshold ('0.5'): the share with an IoU of at least t. */
  accuracy: Record<string, number>;
  /** The share of predictions whose centre lies in the true box, its border included. */
  centerAccuracy: number;
  /** [n] */
  ious: Float32Array;
}

/** Overlaps are computed in single precision. */
const finite = (value: unknown): boolean => Number.isFinite(Math.fround(value as number));

function truthOf(value: unknown, name: string): ArrayLike<number> {
  const box = typeof value === 'object' && value !== null && 'box' in value ? value.box : value;
  if (!isNumbers(box) || box.length !== 4) {
    throw invalid('INVALID_ARGUMENT', name, 'four numbers or {box}', value);
  }
  for (let c = 0; c < 4; c++) {
    if (!finite(box[c])) throw invalid('INVALID_VALUE', `${name}[${c}]`, 'a finite number', box[c]);
  }
  if (box[2]! < box[0]! || box[3]! < box[1]!) {
    const received = Array.from(box).join(' ');
    throw invalid('INVALID_VALUE', name, 'x1 y1 x2 y2 with x1 <= x2 and y1 <= y2', received);
  }
  return box;
}

/** The four numbers of a prediction, null where it has none that are usable. */
function predictionOf(value: unknown, name: string): ArrayLike<number> | null {
  if (value === null) return null;
  const listed = typeof value === 'object' && 'boxes' in value!;
  const box = listed ? value.boxes : value;
  if (!isNumbers(box) || (listed ? box.length % 4 !== 0 : box.length !== 4)) {
    throw invalid('INVALID_ARGUMENT', name, 'four numbers, {boxes} or null', value);
  }
  return box.length > 0 && [0, 1, 2, 3].every((c) => finite(box[c])) ? box : null;
}

/**
 * How well each prediction's box fits the one true box (as referring expressions are evaluated).
 *
 * @param groundTruth n boxes x1 y1 x2 y2
 * @param predictions n; one without a usable box is a miss, its IoU 0
 * @throws PerceptionError INVALID_ARGUMENT, SHAPE_MISMATCH, INVALID_VALUE (ground truth that is inverted or not finite)
 * @example evaluateGrounding([[0, 0, 10, 10]], [[0, 0, 10, 8]], { iouThresholds: [0.5, 0.9] })
 * // {meanIou: 0.8, accuracy: {'0.5': 1, '0.9': 0}, centerAccuracy: 1, ...}
 */
export function evaluateGrounding(
  groundTruth: readonly (Numbers | GroundingTruth)[],
  predictions: readonly GroundingPrediction[],
  options?: GroundingOptions,
): GroundingSummary {
  const { iouThresholds = [0.5] } = optionsObject(options, 'options', ['iouThresholds']);
  for (const threshold of listOf(iouThresholds, 'iouThresholds')) {
    if (typeof threshold !== 'number' || !(threshold > 0 && threshold <= 1)) {
      throw invalid('INVALID_ARGUMENT', 'iouThresholds', 'numbers above 0 and up to 1', threshold);
    }
  }
  const count = listOf(groundTruth, 'groundTruth').length;
  listOf(predictions, 'predictions', count);
  const trueBoxes = new Float32Array(4 * count);
  const boxes = new Float32Array(4 * count);
  const offsets = new Int32Array(count + 1);
  let missing = 0;
  let centered = 0;
  for (let i = 0; i < count; i++) {
    const box = truthOf(groundTruth[i], `groundTruth[${i}]`);
    const prediction = predictionOf(predictions[i], `predictions[${i}]`);
    offsets[i + 1] = i + 1;
    for (let c = 0; c < 4; c++) trueBoxes[4 * i + c] = box[c]!;
    if (prediction === null) {
      missing++;
      continue; // four zeros: a box without extent, whose IoU is 0
    }
    for (let c = 0; c < 4; c++) boxes[4 * i + c] = prediction[c]!;
    const x = (prediction[0]! + prediction[2]!) / 2;
    const y = (prediction[1]! + prediction[3]!) / 2;
    if (x >= box[0]! && x <= box[2]! && y >= box[1]! && y <= box[3]!) centered++;
  }
  const ious = pairwiseIouBatch({ values: trueBoxes, offsets }, { values: boxes, offsets }).values;
  // IoUs are float32: an IoU of 0.7 is to reach the threshold 0.7.
  const share = (threshold: number): number =>
    ious.reduce((sum, iou) => sum + Number(iou >= Math.fround(threshold)), 0) / count;
  return {
    count,
    missing,
    meanIou: ious.reduce((sum, iou) => sum + iou, 0) / count,
    accuracy: Object.fromEntries(iouThresholds.map((threshold) => [String(threshold), share(threshold)])),
    centerAccuracy: centered / count,
    ious,
  };
}
