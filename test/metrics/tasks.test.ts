/** Grounding and counting. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseCompletion } from '../../src/index.js';
import { evaluateCounting, evaluateGrounding } from '../../src/metrics/index.js';
import { iou } from '../reference/iou.js';
import { Generator } from '../reference/random.js';
import { codeOf } from '../support.js';

const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const seed = fc.integer({ min: 0, max: 2 ** 31 - 1 });

describe('evaluateGrounding', () => {
  test('by hand', () => {
    const summary = evaluateGrounding(
      [
        [0, 0, 10, 10],
        { box: [0, 0, 10, 10] },
        Float32Array.of(0, 0, 10, 10),
        [0, 0, 10, 10],
        [0, 0, 10, 10],
      ],
      [
        [0, 0, 10, 7], // 0.7
        Float32Array.of(10, 10, 20, 20), // 0, centre outside
        [5, 0, 15, 10], // 1/3, centre on the border
        null,
        parseCompletion('<|box_start|>(0,0),(10,10)<|box_end|> or <|box_start|>(8,8),(9,9)<|box_end|>'), // the first
      ],
      { iouThresholds: [0.1, 0.7, 0.95] },
    );
    expect(summary.meanIou).toBeCloseTo((0.7 + 1 / 3 + 1) / 5, 6);
    expect(summary.accuracy).toEqual({ '0.1': 0.6, '0.7': 0.4, '0.95': 0.2 });
    expect(summary.centerAccuracy).toBe(0.6);
    expect([summary.count, summary.missing]).toEqual([5, 1]);
    expect([...summary.ious].map((value) => Math.round(1000 * value))).toEqual([700, 0, 333, 0, 1000]);
  });

  test('a centre on the border is in the box, one beside it is not', () => {
    const of = (x: number, y: number): number =>
      evaluateGrounding([[10, 10, 20, 20]], [[x - 1, y - 1, x + 1, y + 1]]).centerAccuracy;
    expect([of(10, 15), of(20, 15), of(15, 10), of(15, 20)]).toEqual([1, 1, 1, 1]);
    expect([of(9, 15), of(21, 15), of(15, 9), of(15, 21)]).toEqual([0, 0, 0, 0]);
  });

  test('agrees with the reference; every threshold is reached by an IoU that equals it', () => {
    fc.assert(
      fc.property(seed, (value) => {
        const random = new Generator(value);
        const n = random.integer(1, 20);
        const [truth, found] = [random.boxes(n, 20), random.boxes(n, 20)];
        const at = (boxes: Float32Array, i: number): Float32Array => boxes.subarray(4 * i, 4 * i + 4);
        const indices = [...Array(n).keys()];
        const expected = indices.map((i) => iou(at(truth, i), at(found, i), 'iou'));
        const summary = evaluateGrounding(
          indices.map((i) => at(truth, i)),
          indices.map((i) => at(found, i)),
        );
        expect(summary.meanIou).toBeCloseTo(mean(expected), 5);
        expect(summary.accuracy['0.5']).toBeCloseTo(mean(expected.map((value) => Number(value >= 0.5))), 12);
      }),
    );
    for (let t = 1; t <= 20; t++) {
      const threshold = t / 20;
      const { accuracy } = evaluateGrounding([[0, 0, 20, 20]], [[0, 0, 20, t]], {
        iouThresholds: [threshold],
      });
      expect(accuracy[String(threshold)]).toBe(1);
    }
  });

  test('answers are never an error, except for their type', () => {
    const truth = [0, 0, 10, 10];
    for (const box of [
      [5, 5, 0, 0],
      [0, Number.NaN, 10, 10],
      [0, 0, Infinity, 10],
      [0, 0, 1e300, 10],
    ]) {
      expect(evaluateGrounding([truth], [box]).meanIou, String(box)).toBe(0);
    }
    expect(evaluateGrounding([truth], [parseCompletion('nothing')]).missing).toBe(1);
    expect(codeOf(() => evaluateGrounding([truth], [[1, 2, 3]]))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => evaluateGrounding([truth], ['0 0 10 10' as never]))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => evaluateGrounding([truth], [undefined as never]))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => evaluateGrounding([truth], [{ boxes: [1, 2, 3] }]))).toBe('INVALID_ARGUMENT');
  });

  test('what is refused', () => {
    const box = [0, 0, 10, 10];
    expect(codeOf(() => evaluateGrounding([[10, 0, 0, 10]], [box]))).toBe('INVALID_VALUE');
    expect(codeOf(() => evaluateGrounding([[0, 0, Number.NaN, 10]], [box]))).toBe('INVALID_VALUE');
    expect(codeOf(() => evaluateGrounding([[0, 0, 10]], [box]))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => evaluateGrounding([box], [box, box]))).toBe('SHAPE_MISMATCH');
    expect(codeOf(() => evaluateGrounding([], []))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => evaluateGrounding([box], [box], { iouThresholds: [50] }))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => evaluateGrounding([box], [box], { thresholds: [0.5] } as never))).toBe(
      'INVALID_ARGUMENT',
    );
  });
});

describe('evaluateCounting', () => {
  test('by hand', () => {
    const summary = evaluateCounting(
      [
        3,
        { points: [1, 2, 3, 4] },
        {
          points: [
            [1, 2],
            [3, 4],
            [5, 6],
          ],
        },
        0,
        4,
        0,
      ],
      [
        3,
        5, // 3 more
        parseCompletion('<|box_start|>(1,2)<|box_end|><|box_start|>(3,4)<|box_end|>'), // a point less
        parseCompletion('[{"bbox_2d": [1, 2, 3, 4], "label": "dog"}]'), // a box more
        null, // 4 less
        null, // right, but nobody said so
      ],
    );
    expect([...summary.errors]).toEqual([0, 3, -1, 1, -4, 0]);
    expect(summary).toMatchObject({ count: 6, missing: 2, accuracy: 1 / 6, mae: 9 / 6 });
    expect(summary.rmse).toBeCloseTo(Math.sqrt(27 / 6), 12);
  });

  test('what is refused', () => {
    expect(codeOf(() => evaluateCounting([1], [1, 2]))).toBe('SHAPE_MISMATCH');
    expect(codeOf(() => evaluateCounting([], []))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => evaluateCounting([1.5], [1]))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => evaluateCounting([1], [-1]))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => evaluateCounting([1], [{} as never]))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => evaluateCounting([{} as never], [1]))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => evaluateCounting([{ points: [1, 2, 3] }], [1]))).toBe('SHAPE_MISMATCH');
  });
});
