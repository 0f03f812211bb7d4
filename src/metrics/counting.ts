import { invalid } from '../errors.js';
import { wholeNumber } from '../ops/validate.js';
import type { CountingTruth } from '../rewards/ground-truth.js';
import type { ParsedCompletion } from '../rewards/parse.js';
import { listOf } from './lists.js';

/** A number of objects, or a parsed completion: as many as it has points or, without any, boxes. null: no prediction. */
export type CountingPrediction = number | Pick<ParsedCompletion, 'points' | 'boxes'> | null;

export interface CountingSummary {
  count: number;
  /** Those that were null. They count as 0 objects, and never as exact. */
  missing: number;
  /** The share of exact counts. */
  accuracy: number;
  /** Mean absolute error. */
  mae: number;
  /** Root of the mean squared error. */
  rmse: number;
  /** [n] prediction - truth. */
  errors: Int32Array;
}

function truthOf(value: number | CountingTruth, name: string): number {
  if (typeof value !== 'object' || value === null) return wholeNumber(value, name, 0);
  const { points } = value;
  if (!Array.isArray(points) && !ArrayBuffer.isView(points)) {
    throw invalid('INVALID_ARGUMENT', name, 'a number or {points}', value);
  }
  const nested = typeof points[0] === 'object';
  if (!nested && points.length % 2 !== 0) {
    throw invalid('SHAPE_MISMATCH', `${name}.points`, 'a multiple of 2 numbers', points);
  }
  return nested ? points.length : points.length / 2;
}

function predictionOf(value: CountingPrediction, name: string): number {
  if (value === null) return 0;
  if (typeof value !== 'object') return wholeNumber(value, name, 0);
  if (!('points' in value) || !('boxes' in value)) {
    throw invalid('INVALID_ARGUMENT', name, 'a number, a parsed completion or null', value);
  }
  return value.points.length > 0 ? value.points.length / 2 : value.boxes.length / 4;
}

/**
 * How often and by how much counts are wrong.
 *
 * @param groundTruth n true counts
 * @param predictions n
 * @throws PerceptionError INVALID_ARGUMENT, SHAPE_MISMATCH
 * @example evaluateCounting([3, 5], [3, 7]) // {accuracy: 0.5, mae: 1, rmse: 1.41..., errors: [0, 2], ...}
 */
export function evaluateCounting(
  groundTruth: readonly (number | CountingTruth)[],
  predictions: readonly CountingPrediction[],
): CountingSummary {
  const count = listOf(groundTruth, 'groundTruth').length;
  listOf(predictions, 'predictions', count);
  const errors = Int32Array.from(
    groundTruth,
    (value, i) => predictionOf(predictions[i]!, `predictions[${i}]`) - truthOf(value, `groundTruth[${i}]`),
  );
  const exact = errors.filter((error, i) => error === 0 && predictions[i] !== null).length;
  return {
    count,
    missing: predictions.filter((prediction) => prediction === null).length,
    accuracy: exact / count,
    mae: errors.reduce((sum, error) => sum + Math.abs(error), 0) / count,
    rmse: Math.sqrt(errors.reduce((sum, error) => sum + error * error, 0) / count),
    errors,
  };
}
