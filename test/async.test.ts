/** The asynchronous twins: the same results, off the thread, safe against what JavaScript does meanwhile. */
import { describe, expect, test } from 'vitest';
import {
  editDistanceBatch,
  editDistanceBatchAsync,
  groupAdvantages,
  groupAdvantagesAsync,
  linearSumAssignment,
  linearSumAssignmentAsync,
  linearSumAssignmentBatch,
  linearSumAssignmentBatchAsync,
  pairwiseDistance,
  pairwiseDistanceAsync,
  pairwiseIou,
  pairwiseIouAsync,
  pairwiseIouBatch,
  pairwiseIouBatchAsync,
  scoreCompletions,
  scoreCompletionsAsync,
} from '../src/index.js';
import { Generator } from './reference/random.js';
import { codeOf, codeOfAsync, turnsDuring } from './support.js';

const random = new Generator(11);
const boxes = random.boxes(60);
const ragged = { values: boxes, offsets: Int32Array.of(0, 20, 60) };
const cost = Float32Array.from({ length: 30 * 40 }, () => random.next());
const batch = {
  values: cost,
  offsets: Int32Array.of(0, 600, 1200),
  rows: Int32Array.of(20, 30),
  cols: Int32Array.of(30, 20),
};
const rewards = Float32Array.from({ length: 64 }, () => random.next());
const request = {
  recipe: 'perception-r1/detection-strict' as const,
  completions: Array.from(
    { length: 64 },
    (_, i) => `[{"bbox_2d": [${i}, ${i}, ${i + 50}, ${i + 50}], "label": "dog"}]`,
  ),
  groundTruth: Array.from({ length: 8 }, (_, i) => ({
    boxes: [[8 * i, 8 * i, 8 * i + 50, 8 * i + 50]],
    labels: ['dog'],
  })),
  groupSize: 8,
  matches: true,
};

test('every twin gives what the synchronous function gives', async () => {
  expect(await pairwiseIouAsync(boxes, boxes, { kind: 'ciou' })).toEqual(
    pairwiseIou(boxes, boxes, { kind: 'ciou' }),
  );
  expect(await pairwiseIouBatchAsync(ragged, ragged)).toEqual(pairwiseIouBatch(ragged, ragged));
  expect(await pairwiseDistanceAsync(boxes, boxes)).toEqual(pairwiseDistance(boxes, boxes));
  expect(await linearSumAssignmentAsync(cost, 30, 40)).toEqual(linearSumAssignment(cost, 30, 40));
  expect(await linearSumAssignmentBatchAsync(batch)).toEqual(linearSumAssignmentBatch(batch));
  expect(await groupAdvantagesAsync(rewards, { groupSize: 8 })).toEqual(
    groupAdvantages(rewards, { groupSize: 8 }),
  );
  expect(await editDistanceBatchAsync(['kitten'], ['sitting'])).toEqual(
    editDistanceBatch(['kitten'], ['sitting']),
  );
  expect(await scoreCompletionsAsync(request)).toEqual(scoreCompletions(request));
});

describe('what happens to the inputs meanwhile does not matter', () => {
  test('they are changed, transferred away or shrunk', async () => {
    const expected = pairwiseIou(boxes, boxes);
    const changed = boxes.slice();
    const transferred = boxes.slice();
    const buffer = new ArrayBuffer(boxes.byteLength, { maxByteLength: 2 * boxes.byteLength });
    const shrunk = new Float32Array(buffer);
    shrunk.set(boxes);
    const promises = [
      pairwiseIouAsync(changed, boxes),
      pairwiseIouAsync(transferred, boxes),
      pairwiseIouAsync(shrunk, boxes),
    ];
    changed.fill(0);
    structuredClone(transferred.buffer, { transfer: [transferred.buffer] });
    buffer.resize(0);
    for (const promise of promises) expect(await promise).toEqual(expected);
  });

  test('group offsets are taken as they were', async () => {
    const groupOffsets = Int32Array.of(0, 32, 64);
    const expected = groupAdvantages(rewards, { groupOffsets });
    const promise = groupAdvantagesAsync(rewards, { groupOffsets });
    groupOffsets.fill(7);
    expect(await promise).toEqual(expected);
  });
});

describe('out', () => {
  test('is the result, and belongs to one call at a time', async () => {
    const out = new Float32Array(60 * 60);
    const promise = pairwiseIouAsync(boxes, boxes, { out });
    expect(await codeOfAsync(pairwiseIouAsync(boxes, boxes, { out }))).toBe('OUT_IN_USE');
    expect(codeOf(() => pairwiseIou(boxes, boxes, { out }))).toBe('OUT_IN_USE');
    expect(await promise).toBe(out);
    expect(out).toEqual(pairwiseIou(boxes, boxes));
    expect(pairwiseIou(boxes, boxes, { out })).toBe(out); // free again
  });

  test('may be two parts of one buffer', async () => {
    const whole = new Float32Array(2 * 60 * 60);
    const halves = [whole.subarray(0, 3600), whole.subarray(3600)] as const;
    await Promise.all(halves.map((out) => pairwiseIouAsync(boxes, boxes, { out })));
    expect(halves[0]).toEqual(halves[1]);
    expect(whole[0]).toBeCloseTo(1, 6);
  });

  test('that is gone at the end is an error, and is let go after any error', async () => {
    const out = new Float32Array(60 * 60);
    const promise = pairwiseIouAsync(boxes, boxes, { out });
    structuredClone(out.buffer, { transfer: [out.buffer] });
    expect(await codeOfAsync(promise)).toBe('DETACHED_BUFFER');

    const single = new Float32Array(60);
    const bad = Float32Array.of(0, 0, Number.NaN, 1);
    expect(await codeOfAsync(pairwiseIouAsync(bad, boxes, { out: single }))).toBe('INVALID_VALUE');
    expect(await pairwiseIouAsync(boxes.subarray(0, 4), boxes, { out: single })).toBe(single);

    const rewards = Float32Array.of(1, 2, 3, 4);
    const advantages = new Float32Array(4);
    const running = groupAdvantagesAsync(rewards, { groupSize: 2, out: advantages });
    expect(codeOf(() => groupAdvantages(rewards, { groupSize: 2, out: advantages }))).toBe('OUT_IN_USE');
    expect((await running).advantages).toBe(advantages);
    expect(advantages).toEqual(groupAdvantages(rewards, { groupSize: 2 }).advantages);
  });
});

test('bad arguments reject rather than throw', async () => {
  expect(await codeOfAsync(pairwiseIouAsync(boxes.subarray(1), boxes))).toBe('SHAPE_MISMATCH');
  expect(await codeOfAsync(linearSumAssignmentAsync(Float32Array.of(Number.NaN), 1, 1))).toBe(
    'INVALID_VALUE',
  );
  expect(await codeOfAsync(scoreCompletionsAsync({ ...request, recipe: 'nothing' as never }))).toBe(
    'INVALID_RECIPE',
  );
});

test('the event loop goes on while 4,096 pages are scored', async () => {
  const page = Array.from({ length: 2000 }, () => String.fromCharCode(97 + random.integer(0, 25))).join('');
  const completions = Array.from({ length: 4096 }, (_, i) => page.slice(i % 100));
  const { result, turns } = await turnsDuring(() =>
    scoreCompletionsAsync({
      recipe: 'perception-r1/ocr',
      completions,
      groundTruth: completions.map(() => ({ text: [...page].reverse().join('') })),
    }),
  );
  // The work takes as long as thousands of turns; a call that only pretended to be asynchronous would allow one or two.
  expect(turns).toBeGreaterThan(5);
  expect(result.rewards.length).toBe(4096);
});
