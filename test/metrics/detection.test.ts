import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { info, linearSumAssignment, parseCompletion, setThreads } from '../../src/index.js';
import {
  averagePrecision,
  averagePrecisionAsync,
  DetectionEvaluator,
  type DetectionOptions,
  detectionFigures,
  evaluateDetections,
  evaluateDetectionsAsync,
  type Flat,
  type ImageDetections,
  type ImageTruth,
} from '../../src/metrics/index.js';
import {
  type DetectionItem,
  type Image,
  averagePrecision as referencePrecision,
  type TruthItem,
} from '../reference/average-precision.js';
import { Generator } from '../reference/random.js';
import { codeOf, codeOfAsync, turnsDuring } from '../support.js';

function fixture<T>(name: string): T {
  const url = new URL(`../fixtures/${name}.json.gz`, import.meta.url);
  return JSON.parse(gunzipSync(readFileSync(url)).toString()) as T;
}

const threads = info().cpu.threads;
afterEach(() => setThreads(threads));

/** Everything that a summary says, to the bit; -0 is 0. */
const text = (summary: unknown): string =>
  JSON.stringify(summary, (_, value: unknown) =>
    ArrayBuffer.isView(value) ? Array.from(value as Float64Array) : value,
  );

type Box = [number, number, number, number];

describe('pycocotools', () => {
  interface Pairs {
    truths: Record<string, { images: number[]; annotations: [number, number, ...Box, number, 0 | 1][] }>;
    pairs: {
      gt: string;
      dt: string;
      stats: Record<string, number>;
      detections: [number, number, ...Box, number][];
    }[];
  }

  test('the twelve figures of five sets of detections on COCO images, within 1e-12', () => {
    const { truths, pairs } = fixture<Pairs>('coco_pairs');
    expect(pairs.length).toBe(5);
    for (const { gt, dt, stats, detections } of pairs) {
      const { images, annotations } = truths[gt]!;
      const truth = images.map((image) => {
        const own = annotations.filter(([id]) => id === image);
        return {
          boxes: own.map(([, , x, y, width, height]) => [x, y, width, height]),
          labels: own.map(([, category]) => category),
          areas: own.map((item) => item[6]),
          crowd: own.map((item) => item[7]),
        };
      });
      const found = images.map((image) => {
        const own = detections.filter(([id]) => id === image);
        return {
          boxes: own.map(([, , x, y, width, height]) => [x, y, width, height]),
          labels: own.map(([, category]) => category),
          scores: own.map((item) => item[6]),
        };
      });
      const summary = evaluateDetections(truth, found, { format: 'xywh' });
      expect(Object.keys(stats)).toEqual([...detectionFigures]);
      detectionFigures.forEach((name, i) => {
        expect(Math.abs(summary[name] - stats[name]!), `${dt} ${name}`).toBeLessThan(1e-12);
        expect(summary.stats[i]).toBe(summary[name]);
      });
      const counted = summary.perCategory.reduce((sum, { detections }) => sum + detections, 0);
      const rest = Object.values(summary.leftOut.detections).reduce((sum, count) => sum + count, 0);
      expect(counted + rest).toBe(detections.length);
    }
  });

  interface Case {
    categories: number[];
    truth: ImageTruth[];
    detections: ImageDetections[];
    options: DetectionOptions & { maxDetections?: number[] };
    expected: {
      precision: number[];
      scores: number[];
      recall: number[];
      matches: number[];
      ignored: number[];
      ignoredTruth: number[];
      stats?: number[];
    };
  }

  test('80 random sets with crowds, ignored objects, ties and options: every number it computes', () => {
    const { cases } = fixture<{ cases: Case[] }>('coco_cases');
    expect(cases.length).toBe(80);
    cases.forEach(({ categories, truth, detections, options, expected }, index) => {
      const { stats, precision, scores, recall, ...matched } = expected;
      const summary = evaluateDetections(truth, detections, {
        ...options,
        format: 'xywh',
        categories,
        curves: true,
        matches: true,
      });
      // Recalls innermost, as the fixture has them.
      const rows = precision.length / 101;
      const inner = rows / summary.iouThresholds.length;
      const turned = (values: Float64Array): number[] =>
        precision.map((_, i) => {
          const [row, point] = [Math.floor(i / 101), i % 101];
          return values[(Math.floor(row / inner) * 101 + point) * inner + (row % inner)]!;
        });
      const name = `case ${index}`;
      expect([...summary.recall], name).toEqual(recall);
      expect(turned(summary.curves!.precision), name).toEqual(precision);
      expect(turned(summary.curves!.scores), name).toEqual(scores);
      expect([...summary.matches!.truth], name).toEqual(matched.matches);
      expect([...summary.matches!.ignored], name).toEqual(matched.ignored);
      expect([...summary.matches!.ignoredTruth], name).toEqual(matched.ignoredTruth);
      for (let i = 0; i < rows; i++) {
        const mean = precision.slice(101 * i, 101 * i + 101).reduce((sum, value) => sum + value, 0) / 101;
        expect(summary.averagePrecision[i], name).toBeCloseTo(mean, 12);
      }
      stats?.forEach((value, i) => {
        expect(summary.stats[i], `${name} ${detectionFigures[i]}`).toBeCloseTo(value, 12);
      });
    });
    expect(cases.filter(({ expected }) => expected.stats).length).toBeGreaterThan(15);
  });
});

/** A random set of few images; coordinates on a coarse grid and scores of one digit, so that much ties. */
function randomImages(random: Generator, labels = 3): Image[] {
  const box = (): Box => {
    const [x, y] = [random.integer(0, 6), random.integer(0, 6)];
    return [x, y, x + random.integer(0, 6), y + random.integer(0, 6)];
  };
  const truth = (): TruthItem => ({
    box: box(),
    label: random.integer(1, labels),
    crowd: random.next() < 0.15,
    ignore: random.next() < 0.1,
  });
  return Array.from({ length: random.integer(0, 4) }, () => {
    const truths = Array.from({ length: random.integer(0, 6) }, truth);
    const detection = (): DetectionItem => {
      const near = truths[random.integer(0, 8)];
      return {
        box: near ? near.box.map((v, c) => v + (c > 1 ? random.integer(0, 1) : 0)) : box(),
        label: near ? near.label : random.integer(1, labels),
        score: random.integer(0, 9) / 10,
      };
    };
    return { truth: truths, detections: Array.from({ length: random.integer(0, 9) }, detection) };
  });
}

const truthOf = ({ truth }: Image): ImageTruth => ({
  boxes: truth.map(({ box }) => box),
  labels: truth.map(({ label }) => label),
  crowd: truth.map(({ crowd }) => crowd),
  ignore: truth.map(({ ignore }) => ignore),
});
const foundOf = ({ detections }: Image): ImageDetections => ({
  boxes: detections.map(({ box }) => box),
  labels: detections.map(({ label }) => label),
  scores: detections.map(({ score }) => score),
});

describe('properties', () => {
  const seed = fc.integer({ min: 0, max: 2 ** 31 - 1 });
  const areaRanges = { all: [0, 1e10], small: [0, 6], large: [6, 1e10] } as const;
  const iouThresholds = [0.3, 0.5, 0.75];
  const maxDetections = [1, 3, 100];

  test('agrees with the slow reference, for every threshold, category, area range and limit', () => {
    fc.assert(
      fc.property(seed, (value) => {
        const images = randomImages(new Generator(value));
        const summary = evaluateDetections(images.map(truthOf), images.map(foundOf), {
          iouThresholds,
          areaRanges,
          maxDetections,
          categories: [1, 2, 3],
        });
        let i = 0;
        for (const threshold of iouThresholds) {
          for (const label of [1, 2, 3]) {
            for (const area of Object.values(areaRanges)) {
              for (const limit of maxDetections) {
                const expected = referencePrecision(images, { threshold, label, area, maxDetections: limit });
                expect(summary.averagePrecision[i]).toBeCloseTo(expected.ap, 10);
                expect(summary.recall[i++]).toBeCloseTo(expected.recall, 10);
              }
            }
          }
        }
        expect(i).toBe(summary.recall.length);
      }),
      { numRuns: 300 },
    );
  });

  test('one image by itself: averagePrecision is evaluateDetections of it alone', () => {
    fc.assert(
      fc.property(seed, fc.boolean(), (value, useCategories) => {
        const images = randomImages(new Generator(value));
        const each = averagePrecision(images.map(truthOf), images.map(foundOf), { useCategories });
        expect(each.length).toBe(images.length);
        images.forEach((image, i) => {
          const { AP } = evaluateDetections([truthOf(image)], [foundOf(image)], { useCategories });
          if (AP === -1) expect(each[i]).toBeNaN();
          else expect(each[i]).toBeCloseTo(AP, 6);
        });
      }),
    );
  });

  test('flat arrays, lists of images and images one by one are the same', () => {
    fc.assert(
      fc.property(seed, (value) => {
        const images = randomImages(new Generator(value));
        const options = { curves: true, matches: true };
        const expected = evaluateDetections(images.map(truthOf), images.map(foundOf), options);
        const flat = <T extends ImageTruth | ImageDetections>(lists: T[], others: (keyof T)[]): Flat<T> => {
          const all = (key: keyof T): unknown[] => lists.flatMap((list) => list[key] as unknown[]);
          const offsets = Int32Array.from([0, ...lists.map(({ boxes }) => boxes.length)]);
          for (let i = 1; i < offsets.length; i++) offsets[i]! += offsets[i - 1]!;
          return {
            boxes: Float32Array.from((all('boxes') as number[][]).flat()),
            labels: Int32Array.from(all('labels') as number[]),
            ...Object.fromEntries(others.map((key) => [key, all(key)])),
            offsets,
          } as unknown as Flat<T>;
        };
        const summary = evaluateDetections(
          flat(images.map(truthOf), ['crowd', 'ignore']),
          flat(images.map(foundOf), ['scores']),
          options,
        );
        expect(text(summary)).toBe(text(expected));
        const evaluator = new DetectionEvaluator(options);
        const half = images.length >> 1;
        for (const image of images.slice(0, half)) evaluator.add(truthOf(image), foundOf(image));
        const rest = images.slice(half);
        evaluator.add(flat(rest.map(truthOf), ['crowd', 'ignore']), flat(rest.map(foundOf), ['scores']));
        expect(evaluator.images).toBe(images.length);
        expect(text(evaluator.summary())).toBe(text(expected));
      }),
    );
  });
});

describe('evaluateDetections', () => {
  const truth = [{ boxes: [[10, 10, 110, 110]], labels: ['dog'] }];

  test('by hand', () => {
    const found = [
      {
        boxes: [
          [10, 10, 110, 90],
          [10, 10, 110, 110],
        ],
        labels: ['dog', 'dog'],
        scores: [0.9, 0.2],
      },
    ];
    // IoUs 0.8 and 1. Up to 0.8 the first is right and the second wrong; above, the first is wrong: precision 1/2.
    const summary = evaluateDetections(truth, found);
    expect(summary.AP50).toBeCloseTo(1, 12);
    expect(summary.AP).toBeCloseTo((7 + 3 * 0.5) / 10, 12);
    expect(summary.AR1).toBeCloseTo(0.7, 12);
    expect(summary.AR100).toBe(1);
    expect(summary.APsmall).toBe(-1);
    // The first is no large one: where it matches nothing, that does not count.
    expect(summary.APlarge).toBeCloseTo(1, 12);
    // Without scores the order decides; as a generator of text, the model has written the better one first.
    const { boxes, labels } = found[0]!;
    const rewritten = [{ boxes: boxes.toReversed(), labels }];
    expect(evaluateDetections(truth, rewritten).AP).toBeCloseTo(1, 12);
    expect(evaluateDetections(truth, [{ boxes, labels }]).AP).toBe(summary.AP);
  });

  test('takes what parseCompletion gives; 7 and "7" are one category, no label is none', () => {
    const answer = parseCompletion(
      '[{"bbox_2d": [0, 0, 10, 10], "label": "7"}, {"bbox_2d": [0, 0, 10, 10]}, {"bbox_2d": [0, 0, 5, 5], "label": "cat"}]',
    );
    const summary = evaluateDetections([{ boxes: [0, 0, 10, 10], labels: [7] }], [answer]);
    expect(summary.AP).toBeCloseTo(1, 12);
    expect(summary.categories).toEqual([7]);
    expect(summary.leftOut).toEqual({ objects: {}, detections: { null: 1, cat: 1 } });
    expect(summary.perCategory).toEqual([
      expect.objectContaining({
        category: 7,
        objects: 1,
        detections: 1,
        AP: summary.AP,
        ARsmall: summary.ARsmall,
      }),
    ]);
    expect([...summary.iouThresholds]).toEqual([
      0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.8999999999999999, 0.95,
    ]);
    // Whatever they are called: three detections, the first of which is right.
    const agnostic = evaluateDetections([{ boxes: [0, 0, 10, 10] }], [answer], { useCategories: false });
    expect(agnostic.AP).toBeCloseTo(1, 12);
    expect(agnostic.perCategory).toEqual([]);
    expect(agnostic.leftOut.detections).toEqual({});
  });

  test('per category, with chosen ones', () => {
    const images = [
      {
        boxes: [
          [0, 0, 9, 9],
          [20, 20, 29, 29],
        ],
        labels: ['cat', 'dog'],
      },
    ];
    const found = [
      {
        boxes: [
          [0, 0, 9, 9],
          [50, 50, 60, 60],
          [1, 1, 2, 2],
        ],
        labels: ['cat', 'dog', 'bird'],
      },
    ];
    const all = evaluateDetections(images, found);
    expect(
      all.perCategory.map(({ category, AP, detections }) => [category, Math.round(AP), detections]),
    ).toEqual([
      ['cat', 1, 1],
      ['dog', 0, 1],
    ]);
    expect(all.AP).toBeCloseTo(0.5, 12);
    expect(all.leftOut).toEqual({ objects: {}, detections: { bird: 1 } });
    const cats = evaluateDetections(images, found, { categories: ['bird', 'cat'] });
    expect(cats.AP).toBeCloseTo(1, 12);
    expect(cats.perCategory.map(({ category, AP }) => [category, Math.round(AP)])).toEqual([
      ['bird', -1],
      ['cat', 1],
    ]);
    expect(cats.leftOut).toEqual({ objects: { dog: 1 }, detections: { dog: 1 } });
  });

  test('no images, no objects, no detections', () => {
    for (const summary of [
      evaluateDetections([], []),
      evaluateDetections([{ boxes: [], labels: [] }], [{ boxes: [[1, 2, 3, 4]], labels: ['dog'] }], {
        matches: true,
      }),
    ]) {
      expect([...summary.stats]).toEqual(new Array(12).fill(-1));
      expect(summary.perCategory).toEqual([]);
    }
    const missed = evaluateDetections(truth, [{ boxes: [], labels: [] }], { matches: true, curves: true });
    expect([missed.AP, missed.AR100, missed.APsmall]).toEqual([0, 0, -1]);
    expect([...missed.matches!.ignoredTruth]).toEqual([0, 1, 1, 0]);
    expect(missed.matches!.truth.length).toBe(0);
  });

  test('numbers come before texts, ascending; objects are counted over all areas', () => {
    const labels = ['b', 10, 9, 'a'];
    const boxes = labels.map((_, i) => [100 * i, 0, 100 * i + 9, 9]);
    const areaRanges = { large: [100, 1e10], all: [0, 1e10] } as const;
    const summary = evaluateDetections([{ boxes, labels }], [{ boxes, labels }], { areaRanges });
    expect(summary.categories).toEqual([9, 10, 'a', 'b']);
    expect(summary.perCategory.map(({ objects }) => objects)).toEqual([1, 1, 1, 1]);
    expect([summary.APlarge, summary.APsmall]).toEqual([-1, -1]);
  });

  test('figures that the options leave out are -1', () => {
    const summary = evaluateDetections(truth, truth, {
      iouThresholds: [0.6],
      maxDetections: [5],
      areaRanges: { all: [0, 1e10] },
    });
    expect(summary.AP).toBeCloseTo(1, 12);
    expect(summary.AR1).toBe(1); // the first of maxDetections
    expect([summary.AP50, summary.AP75, summary.APlarge, summary.AR10, summary.AR100]).toEqual([
      -1, -1, -1, -1, -1,
    ]);
    expect([summary.areaRanges, [...summary.maxDetections], [...summary.iouThresholds]]).toEqual([
      ['all'],
      [5],
      [0.6],
    ]);
  });

  test('the same for every number of threads, off this thread too', async () => {
    const random = new Generator(5);
    const images = Array.from({ length: 100 }, () => randomImages(random)).flat();
    const [truths, found] = [images.map(truthOf), images.map(foundOf)];
    const options = { curves: true, matches: true };
    setThreads(1);
    const one = evaluateDetections(truths, found, options);
    const rewards = averagePrecision(truths, found);
    expect(one.AP).toBeGreaterThan(0.02);
    setThreads(4);
    expect(text(evaluateDetections(truths, found, options))).toBe(text(one));
    expect(averagePrecision(truths, found)).toEqual(rewards);
    const { result, turns } = await turnsDuring(() => evaluateDetectionsAsync(truths, found, options));
    expect(text(result)).toBe(text(one));
    expect(turns).toBeGreaterThan(0);
    expect(await averagePrecisionAsync(truths, found)).toEqual(rewards);
  });

  test('an evaluator goes on after a summary, and after an image that it refused', async () => {
    const evaluator = new DetectionEvaluator();
    evaluator.add(truth[0]!, { boxes: [], labels: [] });
    expect(evaluator.summary().AP).toBe(0);
    expect(
      codeOf(() =>
        evaluator.add({ ...truth[0]!, crowd: [true] }, { boxes: [1, 2, 3, 4], labels: ['dog'], scores: [] }),
      ),
    ).toBe('SHAPE_MISMATCH');
    expect(codeOf(() => evaluator.add({ ...truth[0]!, areas: [-1] }, { boxes: [], labels: [] }))).toBe(
      'INVALID_VALUE',
    );
    const pending = evaluator.summaryAsync();
    evaluator.add(truth[0]!, truth[0]!);
    expect((await pending).AP).toBe(0);
    expect(evaluator.images).toBe(2);
    expect(evaluator.summary().AP).toBeCloseTo(51 / 101, 12);
  });
});

describe('averagePrecision', () => {
  test('answers of one prompt share its truth; NaN where there is nothing to find', () => {
    const truth = [
      {
        boxes: [
          [0, 0, 10, 10],
          [20, 20, 30, 30],
        ],
        labels: ['cat', 'dog'],
      },
      { boxes: [], labels: [] },
    ];
    const answers = [
      {
        boxes: [
          [0, 0, 10, 10],
          [20, 20, 30, 30],
        ],
        labels: ['cat', 'dog'],
      },
      { boxes: [[0, 0, 10, 10]], labels: ['cat'] },
      { boxes: [], labels: [] },
      { boxes: [[0, 0, 10, 10]], labels: ['cat'] },
    ];
    const rewards = averagePrecision(truth, answers, { groupSize: 2 });
    expect(rewards).toBeInstanceOf(Float32Array);
    expect([...rewards]).toEqual([1, 0.5, Number.NaN, Number.NaN]);
    expect([...averagePrecision(truth.slice(0, 1), answers.slice(2, 3))]).toEqual([0]);
    expect(averagePrecision([], []).length).toBe(0);
    const unlabelled = { boxes: [[0, 0, 10, 10]], labels: [null] };
    expect([...averagePrecision([unlabelled], [unlabelled])]).toEqual([Number.NaN]);
  });

  test("a model's boxes are never an error, and unusable ones are wrong answers", () => {
    const truth = { boxes: [[0, 0, 10, 10]], labels: ['cat'] };
    const scored = (first: number[]): number =>
      averagePrecision([truth], [{ boxes: [first, [0, 0, 10, 10]], labels: ['cat', 'cat'] }])[0]!;
    expect(scored([0, 0, 10, 10])).toBe(1);
    for (const box of [
      [50, 50, 60, 60],
      [10, 0, 0, 10],
      [10, 10, 0, 0],
      [0, 0, Number.NaN, 10],
      [-Infinity, 0, 10, 10],
      [1e308, 0, -1e308, 9],
    ]) {
      expect(scored(box), String(box)).toBe(0.5);
    }
  });

  test('options', () => {
    const truth = [{ boxes: [0, 0, 10, 10], labels: [1] }];
    const answers = [{ boxes: [0, 0, 5, 5, 0, 0, 10, 10], labels: [1, 1] }];
    expect(averagePrecision(truth, answers)[0]).toBe(0.5);
    expect(averagePrecision(truth, answers, { iouThresholds: [0.25] })[0]).toBe(1);
    expect(averagePrecision(truth, answers, { maxDetections: 1 })[0]).toBe(0);
    expect(averagePrecision(truth, [{ ...answers[0]!, scores: [0.1, 0.2] }], { maxDetections: 1 })[0]).toBe(
      1,
    );
    expect(averagePrecision(truth, [{ ...answers[0]!, labels: [2, 3] }], { useCategories: false })[0]).toBe(
      0.5,
    );
    expect(
      averagePrecision([{ boxes: [5, 5, 10, 10], labels: [1] }], [{ boxes: [0, 0, 10, 10], labels: [1] }], {
        format: 'cxcywh',
      })[0],
    ).toBe(0);
  });
});

describe('what is refused', () => {
  const truth = {
    boxes: [
      [0, 0, 9, 9],
      [1, 1, 5, 5],
    ],
    labels: ['a', 'b'],
  };
  const found = { boxes: [[0, 0, 9, 9]], labels: ['a'] };
  const message = (truths: unknown, detections: unknown, options?: unknown): string => {
    try {
      evaluateDetections(
        truths as ImageTruth[],
        detections as ImageDetections[],
        options as DetectionOptions,
      );
      return 'no error';
    } catch (error) {
      return `${(error as { code: string }).code} ${(error as Error).message}`;
    }
  };

  test.each<[string, unknown, unknown, unknown, string]>([
    [
      'truth',
      7,
      [found],
      {},
      'INVALID_ARGUMENT groundTruth: expected an array, one entry per image, or {boxes, offsets, ...}, received 7',
    ],
    ['an image', [7], [found], {}, 'INVALID_ARGUMENT groundTruth[0]: expected {boxes, labels}, received 7'],
    [
      'images',
      [truth, truth],
      [found],
      {},
      'SHAPE_MISMATCH detections: expected 2 images, as many as groundTruth, received 1',
    ],
    [
      'labels',
      [truth],
      [{ ...found, labels: ['a', 'b'] }],
      {},
      'SHAPE_MISMATCH detections[0].labels: expected 1 labels, one per box, received an array of 2',
    ],
    [
      'no labels',
      [truth],
      [{ boxes: found.boxes }],
      {},
      'INVALID_ARGUMENT detections[0].labels: expected labels, one per box, received undefined',
    ],
    [
      'a label',
      [truth],
      [{ ...found, labels: [true] }],
      {},
      'INVALID_ARGUMENT detections[0].labels[0]: expected a string or a number, received true',
    ],
    [
      'scores',
      [truth],
      [{ ...found, scores: [1, 2] }],
      {},
      'SHAPE_MISMATCH detections[0].scores: expected 1 numbers, one per box, received an array of 2',
    ],
    [
      'a score',
      [truth],
      [{ ...found, scores: ['1'] }],
      {},
      'INVALID_ARGUMENT detections[0].scores[0]: expected a number, received "1"',
    ],
    [
      'NaN score',
      [truth, truth],
      [found, { ...found, scores: [NaN] }],
      {},
      'INVALID_VALUE detections[1].scores[0]: expected a number, received nan',
    ],
    [
      'crowd',
      [{ ...truth, crowd: [1] }],
      [found],
      {},
      'SHAPE_MISMATCH groundTruth[0].crowd: expected 2 booleans, one per box, received an array of 1',
    ],
    [
      'a crowd',
      [{ ...truth, crowd: [1, 2] }],
      [found],
      {},
      'INVALID_ARGUMENT groundTruth[0].crowd[1]: expected a boolean, 0 or 1, received 2',
    ],
    [
      'area',
      [{ ...truth, areas: [1, NaN] }],
      [found],
      {},
      'INVALID_VALUE groundTruth[0].areas[1]: expected a number of at least 0, received NaN',
    ],
    [
      'a box',
      [truth],
      [{ ...found, boxes: [[1, 2, 3]] }],
      {},
      'SHAPE_MISMATCH detections[0].boxes[0]: expected 4 numbers, received an array of 3',
    ],
    [
      'boxes',
      [truth],
      [{ ...found, boxes: [1, 2, 3] }],
      {},
      'SHAPE_MISMATCH detections[0].boxes: expected a multiple of 4 numbers, received an array of 3',
    ],
    [
      'a coordinate',
      [truth],
      [{ ...found, boxes: [1, 2, 3, '4'] }],
      {},
      'INVALID_ARGUMENT detections[0].boxes[3]: expected a number, received "4"',
    ],
    [
      'NaN box',
      [truth],
      [{ ...found, boxes: [1, 2, 3, NaN] }],
      {},
      'INVALID_VALUE detections[0].boxes[0]: expected finite numbers, received [1, 2, 3, nan]',
    ],
    [
      'NaN truth',
      [truth, { ...truth, boxes: [0, 0, 1, 1, 0, 0, 1, Infinity] }],
      [found, found],
      {},
      'INVALID_VALUE groundTruth[1].boxes[1]: expected finite numbers, received [0, 0, 1, inf]',
    ],
    [
      'inverted truth',
      [{ ...truth, boxes: [9, 0, 1, 1, 0, 0, 1, 1] }],
      [found],
      {},
      "INVALID_VALUE groundTruth[0].boxes[0]: expected x1 y1 x2 y2 with x1 <= x2 and y1 <= y2 (COCO's x y width height need format 'xywh'), received [9, 0, 1, 1]",
    ],
    [
      'offsets',
      { ...truth, offsets: Int32Array.of(0, 1) },
      [found],
      {},
      'INVALID_OFFSETS groundTruth.offsets: expected the last entry to be 2, the number of values, received 1',
    ],
    [
      'option',
      [truth],
      [found],
      { maxDets: [1] },
      'INVALID_ARGUMENT options.maxDets: unknown option; known are format, iouThresholds, areaRanges, maxDetections, categories, useCategories, curves, matches',
    ],
    [
      'format',
      [truth],
      [found],
      { format: 'yxyx' },
      "INVALID_ARGUMENT format: expected 'xyxy' or 'xywh' or 'cxcywh', received \"yxyx\"",
    ],
    [
      'thresholds',
      [truth],
      [found],
      { iouThresholds: 0.5 },
      'INVALID_ARGUMENT iouThresholds: expected an array of numbers, received 0.5',
    ],
    [
      'a threshold',
      [truth],
      [found],
      { iouThresholds: [0.5, 50] },
      'INVALID_ARGUMENT iouThresholds: expected numbers above 0 and up to 1, received 50',
    ],
    [
      'no thresholds',
      [truth],
      [found],
      { iouThresholds: [] },
      'INVALID_ARGUMENT iouThresholds: expected 1 to 32 numbers, received 0',
    ],
    [
      'ranges',
      [truth],
      [found],
      { areaRanges: { all: [5, 1] } },
      'INVALID_ARGUMENT areaRanges: expected [low, high] with low <= high, received [5, 1]',
    ],
    [
      'a range',
      [truth],
      [found],
      { areaRanges: { all: 5 } },
      'INVALID_ARGUMENT areaRanges.all: expected [low, high], received 5',
    ],
    [
      'limits',
      [truth],
      [found],
      { maxDetections: [10, 1] },
      'INVALID_ARGUMENT maxDetections: expected ascending numbers from 1 on, received 1 at index 1',
    ],
    [
      'too many limits',
      [truth],
      [found],
      { maxDetections: [1, 2, 3, 4] },
      'INVALID_ARGUMENT maxDetections: expected one to three ascending numbers, received an array of 4',
    ],
    [
      'categories',
      [truth],
      [found],
      { categories: [7, '7'] },
      'INVALID_ARGUMENT categories: expected each label once, received an array of 2',
    ],
    ['a switch', [truth], [found], { curves: 1 }, 'INVALID_ARGUMENT curves: expected a boolean, received 1'],
  ])('%s', (_, truths, detections, options, expected) => {
    expect(message(truths, detections, options)).toBe(expected);
  });

  test('of rewards and promises', async () => {
    expect(codeOf(() => averagePrecision([truth], [found, found, found], { groupSize: 2 }))).toBe(
      'SHAPE_MISMATCH',
    );
    expect(codeOf(() => averagePrecision([truth], [found], { groupSize: 0 }))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => averagePrecision([truth], [found], { maxDetections: [1] } as never))).toBe(
      'INVALID_ARGUMENT',
    );
    expect(codeOf(() => averagePrecision([{ ...truth, boxes: [3, 0, 1, 1, 0, 0, 1, 1] }], [found]))).toBe(
      'INVALID_VALUE',
    );
    expect(codeOf(() => averagePrecision([truth], [{ ...found, scores: [NaN] }]))).toBe('INVALID_VALUE');
    expect(await codeOfAsync(evaluateDetectionsAsync([truth], [{ ...found, scores: [NaN] }]))).toBe(
      'INVALID_VALUE',
    );
    expect(await codeOfAsync(averagePrecisionAsync([truth], []))).toBe('SHAPE_MISMATCH');
    expect(linearSumAssignment(Float64Array.of(1), 1, 1).cost).toBe(1); // the add-on goes on
  });
});
