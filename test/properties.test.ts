/** Properties that must hold for any input, against the slow oracles of test/reference/. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  editDistance,
  groupAdvantages,
  type IouKind,
  linearSumAssignment,
  linearSumAssignmentBatch,
  pairwiseDistance,
  pairwiseIou,
  pairwiseIouBatch,
  scoreCompletions,
  setThreads,
} from '../src/index.js';
import { advantages as referenceAdvantages } from './reference/advantages.js';
import { bruteForce, isOptimal } from './reference/assignment.js';
import { editDistance as referenceEditDistance } from './reference/edit-distance.js';
import { iou as referenceIou } from './reference/iou.js';
import { Generator } from './reference/random.js';
import { codeOf } from './support.js';

// A generator is made anew in every run, so that a failing case can be run again and shrunk.
const seed = fc.integer({ min: 0, max: 2 ** 31 - 1 });
const kinds: IouKind[] = ['iou', 'giou', 'diou', 'ciou'];

describe('IoU family', () => {
  test('agrees with the formulas', () => {
    fc.assert(
      fc.property(seed, fc.constantFrom(...kinds), (value, kind) => {
        const random = new Generator(value);
        const a = random.boxes(random.integer(0, 6));
        const b = random.boxes(random.integer(0, 6));
        const result = pairwiseIou(a, b, { kind });
        const m = b.length / 4;
        expect(result.length).toBe((a.length / 4) * m);
        result.forEach((value, k) => {
          const i = Math.floor(k / m);
          const j = k % m;
          const expected = referenceIou(a.subarray(4 * i, 4 * i + 4), b.subarray(4 * j, 4 * j + 4), kind);
          expect(value).toBeCloseTo(expected, 4);
        });
      }),
    );
  });

  test('symmetry to the bit, bounds, identity', () => {
    fc.assert(
      fc.property(seed, (value) => {
        const random = new Generator(value);
        const boxes = random.boxes(random.integer(1, 8));
        const n = boxes.length / 4;
        for (const kind of kinds) {
          const result = pairwiseIou(boxes, boxes, { kind });
          for (let i = 0; i < n; i++) {
            expect(result[i * n + i]).toBeCloseTo(1, 5);
            for (let j = 0; j < n; j++) {
              expect(result[i * n + j]).toBe(result[j * n + i]);
              expect(result[i * n + j]).toBeLessThanOrEqual(1);
              expect(result[i * n + j]).toBeGreaterThanOrEqual(
                kind === 'iou' ? 0 : kind === 'ciou' ? -2 : -1,
              );
            }
          }
        }
      }),
    );
  });

  test('formats are ways of writing the same box', () => {
    const xyxy = new Generator(7).boxes(20);
    const convert = (f: (x1: number, y1: number, x2: number, y2: number) => number[]): Float32Array =>
      Float32Array.from(
        Array.from({ length: 20 }, (_, i) => {
          const [x1, y1, x2, y2] = xyxy.subarray(4 * i, 4 * i + 4);
          return f(x1!, y1!, x2!, y2!);
        }).flat(),
      );
    const expected = pairwiseIou(xyxy, xyxy);
    const xywh = convert((x1, y1, x2, y2) => [x1, y1, x2 - x1, y2 - y1]);
    const cxcywh = convert((x1, y1, x2, y2) => [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]);
    pairwiseIou(xywh, xywh, { format: 'xywh' }).forEach((v, i) => expect(v).toBeCloseTo(expected[i]!, 4));
    pairwiseIou(cxcywh, cxcywh, { format: 'cxcywh' }).forEach((v, i) =>
      expect(v).toBeCloseTo(expected[i]!, 4),
    );
  });

  test('a batch is its problems one by one', () => {
    fc.assert(
      fc.property(seed, fc.constantFrom(...kinds), (value, kind) => {
        const random = new Generator(value);
        const lists = Array.from(
          { length: random.integer(0, 5) },
          () => [random.boxes(random.integer(0, 4)), random.boxes(random.integer(0, 4))] as const,
        );
        const ragged = (side: 0 | 1) => {
          const offsets = [0];
          for (const list of lists) offsets.push(offsets.at(-1)! + list[side].length / 4);
          return {
            values: Float32Array.from(lists.flatMap((list) => [...list[side]])),
            offsets: Int32Array.from(offsets),
          };
        };
        const batch = pairwiseIouBatch(ragged(0), ragged(1), { kind });
        lists.forEach(([a, b], i) => {
          expect(batch.rows[i]).toBe(a.length / 4);
          expect(batch.cols[i]).toBe(b.length / 4);
          expect(batch.values.subarray(batch.offsets[i], batch.offsets[i + 1])).toEqual(
            pairwiseIou(a, b, { kind }),
          );
        });
      }),
    );
  });
});

test('point distances agree with Math.hypot and |dx| + |dy|', () => {
  fc.assert(
    fc.property(seed, (value) => {
      const random = new Generator(value);
      const a = Float32Array.from({ length: 2 * random.integer(0, 5) }, () => random.next() * 1000);
      const b = Float32Array.from({ length: 2 * random.integer(0, 5) }, () => random.next() * 1000);
      const m = b.length / 2;
      const l1 = pairwiseDistance(a, b, { metric: 'l1' });
      pairwiseDistance(a, b).forEach((value, k) => {
        const dx = a[2 * Math.floor(k / m)]! - b[2 * (k % m)]!;
        const dy = a[2 * Math.floor(k / m) + 1]! - b[2 * (k % m) + 1]!;
        expect(value).toBeCloseTo(Math.hypot(dx, dy), 2);
        expect(l1[k]).toBeCloseTo(Math.abs(dx) + Math.abs(dy), 2);
      });
    }),
  );
});

describe('linear sum assignment', () => {
  test('has the total of the best of all assignments, up to 7 x 7', () => {
    fc.assert(
      fc.property(
        seed,
        fc.boolean(),
        fc.constantFrom('real', 'ties', 'forbidden'),
        (value, maximize, kind) => {
          const random = new Generator(value);
          const rows = random.integer(0, 7);
          const cols = random.integer(0, 7);
          const forbid = maximize ? -Infinity : Infinity;
          const cost = Float64Array.from({ length: rows * cols }, () => {
            const value = random.next() * 2 - 0.5;
            if (kind === 'ties') return Math.round(value * 3);
            return kind === 'forbidden' && random.next() < 0.3 ? forbid : value;
          });
          const best = bruteForce(cost, rows, cols, maximize);
          if (Number.isNaN(best)) {
            expect(codeOf(() => linearSumAssignment(cost, rows, cols, { maximize }))).toBe('INFEASIBLE');
            return;
          }
          const {
            rowIndices,
            columnIndices,
            cost: total,
          } = linearSumAssignment(cost, rows, cols, { maximize });
          expect(total).toBeCloseTo(best, 9);
          expect(rowIndices.length).toBe(Math.min(rows, cols));
          expect(new Set(columnIndices).size).toBe(columnIndices.length);
          expect([...rowIndices]).toEqual([...new Set(rowIndices)].sort((a, b) => a - b));
          const chosen = [...rowIndices].reduce(
            (sum, row, k) => sum + cost[row * cols + columnIndices[k]!]!,
            0,
          );
          expect(chosen).toBeCloseTo(total, 9);
        },
      ),
      { numRuns: 400 },
    );
  });

  test('has a dual certificate above that size, and float32 gives what float64 of the same numbers gives', () => {
    fc.assert(
      fc.property(seed, (value) => {
        const random = new Generator(value);
        const rows = random.integer(8, 40);
        const cols = rows + random.integer(0, 20);
        const cost = Float32Array.from({ length: rows * cols }, () => random.next());
        const batch = linearSumAssignmentBatch({
          values: cost,
          offsets: Int32Array.of(0, cost.length),
          rows: Int32Array.of(rows),
          cols: Int32Array.of(cols),
        });
        expect(isOptimal(cost, rows, cols, batch.columnOfRow)).toBe(true);
        const double = linearSumAssignment(Float64Array.from(cost), rows, cols);
        expect([...double.columnIndices]).toEqual([...batch.columnOfRow]);
        expect(double.cost).toBe(batch.costs[0]);
      }),
      { numRuns: 40 },
    );
  });
});

describe('group advantages', () => {
  const formula = fc.record({
    scale: fc.constantFrom('group' as const, 'batch' as const, 'none' as const),
    baseline: fc.constantFrom('mean' as const, 'leave-one-out' as const),
    ddof: fc.constantFrom(0 as const, 1 as const),
    epsilon: fc.constantFrom(1e-4, 1e-6, 0.1),
  });
  const reward = fc.oneof(
    fc.constantFrom(0, 1, 0.7, Number.NaN),
    fc.double({ min: -3, max: 3, noNaN: true }),
  );

  test('agree with the plain formula, contiguous and by id, shuffled', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(reward, fc.integer({ min: -3, max: 3 })), { maxLength: 40 }),
        formula,
        (pairs, options) => {
          const rewards = Float32Array.from(pairs, ([value]) => value);
          const groupIds = Int32Array.from(pairs, ([, id]) => id);
          const expected = referenceAdvantages(rewards, groupIds, options);
          const result = groupAdvantages(rewards, { ...options, groupIds });
          expected.forEach((value, i) => expect(result.advantages[i]).toBeCloseTo(value, 2));
          expect(result.mean.length).toBe(new Set(groupIds).size);

          const order = [...pairs.keys()].sort((a, b) => groupIds[a]! - groupIds[b]!);
          const offsets = [0];
          order.forEach((index, k) => {
            if (k + 1 === order.length || groupIds[order[k + 1]!] !== groupIds[index]) offsets.push(k + 1);
          });
          const contiguous = groupAdvantages(
            Float32Array.from(order, (i) => rewards[i]!),
            {
              ...options,
              groupOffsets: Int32Array.from(offsets),
            },
          );
          order.forEach((index, k) => expect(contiguous.advantages[k]).toBe(result.advantages[index]));
        },
      ),
      { numRuns: 300 },
    );
  });

  test('have mean 0 and, scaled by the group without epsilon, std 1', () => {
    fc.assert(
      fc.property(seed, fc.integer({ min: 2, max: 16 }), (value, groupSize) => {
        const random = new Generator(value);
        const rewards = Float32Array.from({ length: groupSize * 4 }, () => random.next());
        const { advantages } = groupAdvantages(rewards, { groupSize, epsilon: 0 });
        for (let g = 0; g < 4; g++) {
          const group = [...advantages.subarray(g * groupSize, (g + 1) * groupSize)];
          const mean = group.reduce((a, b) => a + b, 0) / groupSize;
          const std = Math.sqrt(group.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (groupSize - 1));
          expect(mean).toBeCloseTo(0, 5);
          expect(std).toBeCloseTo(1, 4);
        }
      }),
    );
  });

  test('of equal rewards are exactly 0, whatever the number', () => {
    fc.assert(
      fc.property(
        fc.float({ noNaN: true, noDefaultInfinity: true }),
        fc.integer({ min: 1, max: 33 }),
        formula,
        (value, size, options) => {
          const { advantages } = groupAdvantages(new Float32Array(size).fill(value), {
            ...options,
            epsilon: 0,
            groupSize: size,
          });
          expect([...advantages].every((advantage) => advantage === 0)).toBe(true);
        },
      ),
    );
  });
});

test('edit distance agrees with the table, over every kind of string', () => {
  const text = fc.oneof(
    fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 200 }),
    fc.string({ unit: 'grapheme', maxLength: 80 }),
    fc.string({ unit: 'binary', maxLength: 80 }),
    fc.string({
      unit: fc.constantFrom('字', '框', '\u{1F680}', 'e\u0301', '\uD800', '\uDC01'),
      maxLength: 80,
    }),
  );
  fc.assert(
    fc.property(text, text, (a, b) => {
      expect(editDistance(a, b)).toBe(referenceEditDistance(a, b));
      expect(editDistance(a, a)).toBe(0);
    }),
    { numRuns: 400 },
  );
});

describe('detection rewards', () => {
  const labels = ['person', 'dog', 'cat', 'car'];
  const scene = (random: Generator) => {
    const write = (count: number, jitter: number, from?: { boxes: Float32Array; labels: string[] }) => {
      const boxes = random.boxes(count, 640);
      if (from) {
        for (let i = 0; i < Math.min(count, from.labels.length); i++) {
          for (let c = 0; c < 4; c++)
            boxes[4 * i + c] = from.boxes[4 * i + c]! + (random.next() - 0.5) * jitter;
        }
      }
      return {
        boxes: boxes.map((v) => Math.round(v * 4) / 4),
        labels: Array.from({ length: count }, (_, i) => from?.labels[i] ?? labels[random.integer(0, 3)]!),
      };
    };
    const truth = write(random.integer(1, 6), 0);
    return { truth, predictions: write(random.integer(1, 8), 30, truth) };
  };
  const text = (items: { box: number[]; label: string }[]): string =>
    JSON.stringify(items.map(({ box, label }) => ({ bbox_2d: box, label })));

  test('do not depend on the order of predictions or of ground truth', () => {
    fc.assert(
      fc.property(
        seed,
        fc.constantFrom('perception-r1/detection' as const, 'perception-r1/detection-strict' as const),
        (value, recipe) => {
          const random = new Generator(value);
          const { truth, predictions } = scene(random);
          const items = predictions.labels.map((label, i) => ({
            box: [...predictions.boxes.subarray(4 * i, 4 * i + 4)],
            label,
          }));
          const shuffle = <T>(list: T[]): T[] =>
            list
              .map((item) => [random.next(), item] as const)
              .sort((a, b) => a[0] - b[0])
              .map(([, item]) => item);
          const order = shuffle([...truth.labels.keys()]);
          const shuffled = {
            boxes: order.map((i) => truth.boxes.subarray(4 * i, 4 * i + 4)),
            labels: order.map((i) => truth.labels[i]!),
          };
          const { rewards } = scoreCompletions({
            recipe,
            completions: [text(items), text(shuffle(items)), text(items), text(shuffle(items))],
            groundTruth: [truth, truth, shuffled, shuffled],
          });
          for (const reward of rewards) expect(reward).toBeCloseTo(rewards[0]!, 5);
        },
      ),
    );
  });

  test('are greatest for the truth itself, and do not depend on the number of threads', () => {
    fc.assert(
      fc.property(seed, (value) => {
        const random = new Generator(value);
        const scenes = Array.from({ length: 40 }, () => scene(random));
        const write = ({ boxes, labels: names }: { boxes: Float32Array; labels: string[] }): string =>
          text(names.map((label, i) => ({ box: [...boxes.subarray(4 * i, 4 * i + 4)], label })));
        const completions = scenes.flatMap(({ truth, predictions }) => [write(truth), write(predictions)]);
        const request = {
          recipe: 'perception-r1/detection' as const,
          completions,
          groundTruth: scenes.map(({ truth }) => truth),
          groupSize: 2,
          matches: true,
        };
        setThreads(1);
        const one = scoreCompletions(request);
        setThreads(4);
        const four = scoreCompletions(request);
        expect(four).toEqual(one);
        for (let i = 0; i < completions.length; i += 2) {
          expect(one.rewards[i]).toBeCloseTo(3, 5);
          expect(one.rewards[i + 1]).toBeLessThanOrEqual(one.rewards[i]! + 1e-6);
        }
      }),
      { numRuns: 20 },
    );
  });
});

test('any string gets a reward from every text recipe', () => {
  const soup = fc.array(
    fc.oneof(
      fc.string({ unit: 'binary', maxLength: 12 }),
      fc.constantFrom(
        '<|box_start|>',
        '<|box_end|>',
        '<|object_ref_start|>',
        '<|object_ref_end|>',
        '<|im_end|>',
        '<answer>',
        '</answer>',
        '<think>',
        '</think>',
        '{"bbox_2d": [',
        '"label": "dog"}',
        '[',
        ']',
        '(',
        ')',
        '{',
        '}',
        ',',
        '1e999',
        '1e300',
        '-1e19',
        '3e38',
        '-12.5',
        '"',
        "'",
        '```json',
        'NaN',
      ),
    ),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(soup, (parts) => {
      const completions = [parts.join('')];
      const box = [10, 10, 20, 20];
      for (const [recipe, truth] of [
        ['perception-r1/grounding', { box }],
        ['perception-r1/grounding-strict', { box }],
        ['perception-r1/detection', { boxes: [box], labels: ['dog'] }],
        ['perception-r1/detection-strict', { boxes: [box], labels: ['dog'] }],
        ['perception-r1/counting', { points: [[15, 15]] }],
        ['perception-r1/counting-strict', { points: [[15, 15]] }],
        ['perception-r1/ocr', { text: 'page' }],
      ] as const) {
        const { rewards, terms } = scoreCompletions({ recipe, completions, groundTruth: [truth] });
        expect(Number.isFinite(rewards[0])).toBe(true);
        for (const values of Object.values(terms)) expect(Number.isFinite(values[0])).toBe(true);
      }
    }),
    { numRuns: 500 },
  );
});
