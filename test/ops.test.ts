/** Figures worked out by hand, and what bad input gets. */
import { describe, expect, test } from 'vitest';
import {
  editDistance,
  editDistanceBatch,
  groupAdvantages,
  linearSumAssignment,
  linearSumAssignmentBatch,
  PerceptionError,
  pairwiseDistance,
  pairwiseIou,
  pairwiseIouBatch,
} from '../src/index.js';
import { codeOf } from './support.js';

const f32 = (...values: number[]): Float32Array => Float32Array.from(values);
const i32 = (...values: number[]): Int32Array => Int32Array.from(values);

/** A typed array whose buffer was transferred away. */
function detached<T extends Float32Array | Int32Array>(array: T): T {
  structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] });
  return array;
}

/** A view that its buffer was resized below. */
function resized(): Float32Array {
  const buffer = new ArrayBuffer(16, { maxByteLength: 32 });
  const view = new Float32Array(buffer, 0, 4);
  buffer.resize(8);
  return view;
}

describe('pairwiseIou', () => {
  const a = f32(0, 0, 2, 2);
  const b = f32(1, 0, 3, 2);

  test('by hand', () => {
    expect(pairwiseIou(a, b)[0]).toBeCloseTo(1 / 3, 6);
    expect(pairwiseIou(a, b, { kind: 'giou' })[0]).toBeCloseTo(1 / 3, 6); // the hull is the union
    expect(pairwiseIou(a, b, { kind: 'diou' })[0]).toBeCloseTo(1 / 3 - 1 / 13, 6);
    expect(pairwiseIou(a, b, { kind: 'ciou' })[0]).toBeCloseTo(1 / 3 - 1 / 13, 6); // equal shapes: v = 0
    expect(pairwiseIou(a, f32(4, 0, 6, 2), { kind: 'giou' })[0]).toBeCloseTo(-1 / 3, 6);
    expect(pairwiseIou(a, f32(1, 1, 2, 2), { format: 'cxcywh' })[0]).toBeCloseTo(1 / 7, 6);
    expect(pairwiseIou(a, f32(1, 1, 1, 1), { format: 'xywh' })[0]).toBeCloseTo(1 / 4, 6);
  });

  test('boxes without area, inverted boxes, no boxes', () => {
    expect([...pairwiseIou(f32(1, 1, 1, 1), f32(1, 1, 1, 1))]).toEqual([0]);
    expect([...pairwiseIou(f32(2, 2, 0, 0), a)]).toEqual([0]);
    expect(pairwiseIou(f32(), a).length).toBe(0);
    expect(pairwiseIou(f32(), f32()).length).toBe(0);
  });

  test('writes to out and to views of shared and larger buffers', () => {
    const out = new Float32Array(new SharedArrayBuffer(16), 4, 1);
    expect(pairwiseIou(a, b, { out })).toBe(out);
    expect(out[0]).toBeCloseTo(1 / 3, 6);
  });

  test('refuses bad input', () => {
    expect(codeOf(() => pairwiseIou([0, 0, 1, 1] as never, b))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => pairwiseIou(new Float64Array(4) as never, b))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => pairwiseIou(f32(0, 0, 1), b))).toBe('SHAPE_MISMATCH');
    expect(codeOf(() => pairwiseIou(detached(f32(0, 0, 1, 1)), b))).toBe('DETACHED_BUFFER');
    expect(codeOf(() => pairwiseIou(a, resized()))).toBe('DETACHED_BUFFER');
    expect(codeOf(() => pairwiseIou(f32(0, 0, Number.NaN, 1), b))).toBe('INVALID_VALUE');
    expect(codeOf(() => pairwiseIou(a, f32(0, 0, Infinity, 1)))).toBe('INVALID_VALUE');
    expect(codeOf(() => pairwiseIou(a, b, { kind: 'siou' as never }))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => pairwiseIou(a, b, { fromat: 'xywh' } as never))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => pairwiseIou(a, b, { out: f32(0, 0) }))).toBe('SHAPE_MISMATCH');
    expect(codeOf(() => pairwiseIou(a, b, { out: a.subarray(0, 1) }))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => pairwiseIou(a, b, { out: detached(f32(0)) }))).toBe('DETACHED_BUFFER');
  });

  test('messages name the argument, what was expected and what came', () => {
    expect(() => pairwiseIou(f32(0, 0, 1), b)).toThrow(
      'a: expected a length that is a multiple of 4, received a Float32Array of 3',
    );
    expect(() => pairwiseIou(f32(0, 0, 1, 1, 0, Number.NaN, 1, 1), b)).toThrow(/^a.*(5|box 1)/);
  });
});

describe('pairwiseIouBatch', () => {
  const boxes = f32(0, 0, 2, 2, 1, 0, 3, 2);

  test('offsets that count boxes and offsets that count numbers are the same batch', () => {
    const inBoxes = pairwiseIouBatch(
      { values: boxes, offsets: i32(0, 1, 2) },
      { values: boxes, offsets: i32(0, 0, 2) },
    );
    const inNumbers = pairwiseIouBatch(
      { values: boxes, offsets: i32(0, 4, 8) },
      { values: boxes, offsets: i32(0, 0, 8) },
    );
    expect(inNumbers).toEqual(inBoxes);
    expect([...inBoxes.rows]).toEqual([1, 1]);
    expect([...inBoxes.cols]).toEqual([0, 2]);
    expect(inBoxes.values.length).toBe(2);
    expect(inBoxes.values[0]).toBeCloseTo(1 / 3, 6);
  });

  test('refuses bad offsets', () => {
    const b = { values: boxes, offsets: i32(0, 1, 2) };
    const offsets = (...values: number[]) =>
      codeOf(() => pairwiseIouBatch({ values: boxes, offsets: i32(...values) }, b));
    expect(offsets(0, 2, 1)).toBe('INVALID_OFFSETS');
    expect(offsets(0, 1, 3)).toBe('INVALID_OFFSETS');
    expect(offsets(1, 1, 2)).toBe('INVALID_OFFSETS');
    expect(offsets(0, -1, 2)).toBe('INVALID_OFFSETS');
    expect(offsets(0, 5, 8)).toBe('INVALID_OFFSETS');
    expect(offsets()).toBe('INVALID_OFFSETS');
    expect(offsets(0, 2)).toBe('SHAPE_MISMATCH'); // another number of lists than b has
    expect(codeOf(() => pairwiseIouBatch({ values: boxes, offsets: [0, 2] as never }, b))).toBe(
      'INVALID_ARGUMENT',
    );
  });
});

test('pairwiseDistance by hand, and bad input', () => {
  expect([...pairwiseDistance(f32(0, 0), f32(3, 4, -1, 0))]).toEqual([5, 1]);
  expect([...pairwiseDistance(f32(0, 0), f32(3, 4), { metric: 'l1' })]).toEqual([7]);
  expect(codeOf(() => pairwiseDistance(f32(0, 0, 1), f32(3, 4)))).toBe('SHAPE_MISMATCH');
  expect(codeOf(() => pairwiseDistance(f32(0, Number.NaN), f32(3, 4)))).toBe('INVALID_VALUE');
});

describe('linearSumAssignment', () => {
  test("scipy's example, rectangles, nothing", () => {
    const cost = Float64Array.of(4, 1, 3, 2, 0, 5, 3, 2, 2);
    const square = linearSumAssignment(cost, 3, 3);
    expect([...square.rowIndices]).toEqual([0, 1, 2]);
    expect([...square.columnIndices]).toEqual([1, 0, 2]);
    expect(square.cost).toBe(5);
    expect([...linearSumAssignment(cost, 3, 3, { maximize: true }).columnIndices]).toEqual([0, 2, 1]);
    const tall = linearSumAssignment(f32(3, 1, 2), 3, 1);
    expect([[...tall.rowIndices], [...tall.columnIndices], tall.cost]).toEqual([[1], [0], 1]);
    expect(linearSumAssignment(f32(), 0, 5).rowIndices.length).toBe(0);
    expect(linearSumAssignment(f32(), 0, 0).cost).toBe(0);
  });

  test('refuses bad input', () => {
    expect(codeOf(() => linearSumAssignment(f32(1, 2, 3), 2, 2))).toBe('SHAPE_MISMATCH');
    expect(codeOf(() => linearSumAssignment(f32(1, 2, 3, 4), 2.5, 2))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => linearSumAssignment(f32(1, 2, 3, 4), -2, -2))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => linearSumAssignment(f32(1, Number.NaN, 3, 4), 2, 2))).toBe('INVALID_VALUE');
    expect(codeOf(() => linearSumAssignment(f32(1, -Infinity, 3, 4), 2, 2))).toBe('INVALID_VALUE');
    expect(codeOf(() => linearSumAssignment(f32(1, Infinity, 3, 4), 2, 2, { maximize: true }))).toBe(
      'INVALID_VALUE',
    );
    expect(codeOf(() => linearSumAssignment(f32(Infinity, Infinity, 3, 4), 2, 2))).toBe('INFEASIBLE');
    expect(codeOf(() => linearSumAssignment(detached(f32(1)), 1, 1))).toBe('DETACHED_BUFFER');
  });

  test('a batch of several shapes, and the problem at fault named', () => {
    const batch = {
      values: f32(4, 1, 3, 2, 0, 5, 3, 2, 2, 3, 1, 2),
      offsets: i32(0, 9, 9, 12),
      rows: i32(3, 0, 3),
      cols: i32(3, 4, 1),
    };
    const result = linearSumAssignmentBatch(batch);
    expect([...result.columnOfRow]).toEqual([1, 0, 2, -1, 0, -1]);
    expect([...result.costs]).toEqual([5, 0, 1]);
    expect(() =>
      linearSumAssignmentBatch({ ...batch, values: batch.values.map((v, i) => (i > 8 ? Number.NaN : v)) }),
    ).toThrow(/problem 2/);
    expect(codeOf(() => linearSumAssignmentBatch({ ...batch, rows: i32(3, 0, 2) }))).toBe('SHAPE_MISMATCH');
    expect(codeOf(() => linearSumAssignmentBatch({ ...batch, cols: i32(3, 4) }))).toBe('SHAPE_MISMATCH');
    expect(codeOf(() => linearSumAssignmentBatch({ ...batch, rows: i32(3, -1, 3) }))).toBe(
      'INVALID_ARGUMENT',
    );
    expect(codeOf(() => linearSumAssignmentBatch({ ...batch, offsets: i32(0, 9, 9, 13) }))).toBe(
      'INVALID_OFFSETS',
    );
  });
});

describe('groupAdvantages', () => {
  test('by hand', () => {
    const { advantages, mean, std } = groupAdvantages(f32(1, 0, 1, 0, 0.7, 0.7), {
      groupSize: 2,
      epsilon: 0,
    });
    const expected = [Math.SQRT1_2, -Math.SQRT1_2, Math.SQRT1_2, -Math.SQRT1_2, 0, 0];
    advantages.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 6));
    expect(mean[0]).toBe(0.5);
    expect(std[0]).toBeCloseTo(Math.SQRT1_2, 6);
    const loo = groupAdvantages(f32(1, 0, 0), {
      groupSize: 3,
      baseline: 'leave-one-out',
      scale: 'none',
    }).advantages;
    expect([...loo]).toEqual([1, -0.5, -0.5]);
    expect([
      ...groupAdvantages(f32(9, 0), { groupSize: 2, scale: 'none', clip: [-1, 2] }).advantages,
    ]).toEqual([2, -1]);
  });

  test('NaN is not scored, one alone gets 0', () => {
    const { advantages, mean, std } = groupAdvantages(f32(1, Number.NaN, 5, Number.NaN), {
      groupOffsets: i32(0, 2, 3, 4),
    });
    expect([...advantages]).toEqual([0, 0, 0, 0]);
    expect([...mean]).toEqual([1, 5, Number.NaN]);
    expect([...std]).toEqual([0, 0, Number.NaN]);
  });

  test('refuses bad input', () => {
    const rewards = f32(1, 0, 1, 0);
    expect(codeOf(() => groupAdvantages(rewards, { groupSize: 3 }))).toBe('SHAPE_MISMATCH');
    expect(codeOf(() => groupAdvantages(rewards, { groupSize: 0 }))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => groupAdvantages(rewards, {}))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => groupAdvantages(rewards, undefined as never))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => groupAdvantages(rewards, { groupSize: 2, groupIds: i32(0, 0, 1, 1) }))).toBe(
      'INVALID_ARGUMENT',
    );
    expect(codeOf(() => groupAdvantages(rewards, { groupIds: i32(0, 0, 1) }))).toBe('SHAPE_MISMATCH');
    expect(codeOf(() => groupAdvantages(rewards, { groupOffsets: i32(0, 3, 2, 4) }))).toBe('INVALID_OFFSETS');
    expect(codeOf(() => groupAdvantages(f32(1, Infinity), { groupSize: 2 }))).toBe('INVALID_VALUE');
    expect(codeOf(() => groupAdvantages(rewards, { groupSize: 2, ddof: 2 as never }))).toBe(
      'INVALID_ARGUMENT',
    );
    expect(codeOf(() => groupAdvantages(rewards, { groupSize: 2, epsilon: -1 }))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => groupAdvantages(rewards, { groupSize: 2, clip: [1, -1] }))).toBe('INVALID_ARGUMENT');
  });

  test('go where they are to go', () => {
    const rewards = f32(1, 0, 3, 0.5);
    const out = new Float32Array(4);
    const { advantages, mean } = groupAdvantages(rewards, { groupSize: 2, out });
    expect(advantages).toBe(out);
    expect(out).toEqual(groupAdvantages(rewards, { groupSize: 2 }).advantages);
    expect(mean).toEqual(f32(0.5, 1.75));
    expect(codeOf(() => groupAdvantages(rewards, { groupSize: 2, out: f32(0) }))).toBe('SHAPE_MISMATCH');
    expect(codeOf(() => groupAdvantages(rewards, { groupSize: 2, out: rewards }))).toBe('INVALID_ARGUMENT');
  });
});

test('editDistance by hand, and bad input', () => {
  expect(editDistance('kitten', 'sitting')).toBe(3);
  expect(editDistance('', 'abc')).toBe(3);
  expect(editDistance('字\u{1F680}', '字')).toBe(1); // one code point, two UTF-16 units
  expect(editDistance('\uD800', '\uD801')).toBe(1);
  expect([...editDistanceBatch(['a', 'b'], ['a', ''])]).toEqual([0, 1]);
  expect(editDistanceBatch([], []).length).toBe(0);
  expect(codeOf(() => editDistance(1 as never, 'a'))).toBe('INVALID_ARGUMENT');
  expect(codeOf(() => editDistanceBatch(['a'], ['a', 'b']))).toBe('SHAPE_MISMATCH');
  expect(codeOf(() => editDistanceBatch(['a', null as never], ['a', 'b']))).toBe('INVALID_ARGUMENT');
});

test('texts of a batch keep their places, however they are encoded', () => {
  // Short and long ones, ASCII and not, halves of surrogate pairs where one text ends and the next begins.
  const kinds = [
    '',
    'kitten',
    'na\u00EFve',
    '\u5B57\u5B57',
    'x\uD83D',
    '\uDE80y',
    '\u{1F680}',
    'long '.repeat(100),
  ];
  const texts = Array.from(
    { length: 3000 },
    (_, i) => `${i % 7}${kinds[(i * i + (i >> 5)) % kinds.length]}${i}`,
  );
  const others = texts.map((_, i) => texts[(i * 31) % texts.length]!);
  const alone = texts.map((text, i) => editDistance(text, others[i]!));
  expect([...editDistanceBatch(texts, others)]).toEqual(alone);
  const ascii = texts.filter((text) => /^[ -~]*$/.test(text) && text.length < 100);
  expect([...editDistanceBatch(ascii, ascii)]).toEqual(ascii.map(() => 0));
});

test('errors are PerceptionErrors with a code, also for another copy of the package', () => {
  const other = Object.assign(new Error('x'), { [Symbol.for('perception-r1.PerceptionError')]: true });
  expect(other).toBeInstanceOf(PerceptionError);
  expect(new Error('x')).not.toBeInstanceOf(PerceptionError);
});
