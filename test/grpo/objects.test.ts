import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { objectsOfTokens } from '../../src/grpo/objects.js';
import { BoxTokenizer } from '../../src/grpo/tokenizer.js';
import { type GroundTruth, parseCompletion, type RecipeInput, scoreCompletions } from '../../src/index.js';
import { detectionReward } from '../../src/tfjs/index.js';
import { Generator } from '../reference/random.js';
import { codeOf } from '../support.js';
import { leaked, onEachBackend } from './backends.js';

const tokenizer = new BoxTokenizer();
const { pad, end } = tokenizer;
const ids = (has: (token: number) => boolean): number[] =>
  Array.from({ length: tokenizer.size }, (_, token) => token).filter(has);
const slots = [0, 1, 2, 3].map((slot) => ids((token) => tokenizer.coordinateSlot[token] === slot));
const labels = ids((token) => tokenizer.label[token]! >= 0);
const [open] = tokenizer.encode('<think>') as [number];
const [close] = tokenizer.encode('</think>') as [number];
const words = ids((token) => /[a-z]{4} /.test(tokenizer.texts[token]!));

interface Found {
  boxes: number[][];
  labels: number[];
}

function byTensors(rows: number[][], maxObjects: number): Found[] {
  const tensors = objectsOfTokens(
    tf.tensor2d(rows, [rows.length, rows[0]!.length], 'int32'),
    tokenizer,
    maxObjects,
  );
  expect([tensors.boxes.dtype, tensors.boxes.shape]).toEqual(['float32', [rows.length, maxObjects, 4]]);
  expect([tensors.labels.dtype, tensors.labels.shape]).toEqual(['int32', [rows.length, maxObjects]]);
  expect([tensors.counts.dtype, tensors.counts.shape]).toEqual(['int32', [rows.length]]);
  const boxes = tensors.boxes.arraySync();
  const names = tensors.labels.arraySync();
  return [...tensors.counts.dataSync()].map((count, i) => {
    expect(count).toBeLessThanOrEqual(maxObjects);
    for (const rest of boxes[i]!.slice(count)) expect(rest.map(Math.abs)).toEqual([0, 0, 0, 0]);
    expect(new Set(names[i]!.slice(count)).has(-1)).toBe(count < maxObjects);
    return { boxes: boxes[i]!.slice(0, count), labels: names[i]!.slice(0, count) };
  });
}

/** What the reader of texts finds. */
function byText(row: number[]): Found {
  const parsed = parseCompletion(tokenizer.decode(row));
  return {
    boxes: Array.from({ length: parsed.boxes.length / 4 }, (_, i) => [
      ...parsed.boxes.subarray(4 * i, 4 * i + 4),
    ]),
    labels: parsed.labels.map((label) => (label === null ? -1 : Number(label))),
  };
}

const pick = (random: Generator, from: number[]): number => from[random.integer(0, from.length - 1)]!;
const box = (random: Generator): number[] => slots.map((slot) => pick(random, slot));

/** With x1 < x2 and y1 < y2. */
function upright(random: Generator): number[] {
  const low = [random.integer(0, 40), random.integer(0, 40)];
  const bins = [...low, ...low.map((bin) => bin + random.integer(4, 20))];
  return slots.map((slot, k) => slot[bins[k]!]!);
}

function wellFormed(random: Generator, length: number): number[] {
  const row: number[] = [];
  while (row.length + 6 <= length && random.next() < 0.8) row.push(pick(random, labels), ...upright(random));
  return [...row, end];
}

/** Whole and cut boxes, labels, thoughts and words in any order, sometimes more after the end. */
function malformed(random: Generator, length: number): number[] {
  const row: number[] = [];
  while (row.length < length) {
    const kind = random.next();
    if (kind < 0.35) row.push(...box(random));
    else if (kind < 0.5) row.push(...box(random).slice(0, random.integer(1, 3)));
    else if (kind < 0.55) row.push(...box(random).slice(random.integer(1, 3)));
    else if (kind < 0.8) row.push(pick(random, labels));
    else if (kind < 0.92) row.push(random.next() < 0.5 ? open : close);
    else if (kind < 0.98) row.push(pick(random, words));
    else row.push(end);
  }
  return row.slice(0, length);
}

/** Anything, what belongs to boxes most of the time. */
function garbage(random: Generator, length: number): number[] {
  const row: number[] = [];
  for (let slot = 0; row.length < length; ) {
    const next = random.next() < 0.75 ? slot : random.integer(0, 3);
    slot = (next + 1) % 4;
    row.push(
      random.next() < 0.85
        ? pick(random, slots[next]!)
        : pick(random, [...labels, ...words, open, close, end]),
    );
  }
  return row;
}

/** Whether it has corners without box tokens, which only the reader of texts takes for a box. */
const hasBareCorners = (row: number[]): boolean =>
  row.some((_, i) => [2, 1, 2].every((slot, k) => tokenizer.coordinateSlot[row[i + k]!] === slot));

const filled = (row: number[], length: number): number[] => [
  ...row,
  ...new Array<number>(length - row.length).fill(pad),
];

onEachBackend(() => {
  for (const [name, make] of Object.entries({ wellFormed, malformed, garbage })) {
    test(`${name} tokens: what the reader of texts finds`, () => {
      const random = new Generator(21);
      let boxes = 0;
      for (const length of [4, 5, 13, 36]) {
        const rows = Array.from({ length: 500 }, () => filled(make(random, length), length)).filter(
          (row) => !hasBareCorners(row),
        );
        expect(rows.length).toBeGreaterThan(300);
        const expected = rows.map(byText);
        expect(byTensors(rows, length >> 2)).toEqual(expected);
        boxes += expected.reduce((sum, found) => sum + found.boxes.length, 0);
      }
      expect(boxes).toBeGreaterThan(1000);
    });
  }

  test('thoughts and labels', () => {
    const random = new Generator(22);
    const a = box(random);
    const b = box(random);
    const [one, two] = labels as [number, number];
    const suffix = words.find((token) => tokenizer.texts[token]!.includes('<think>'))!;
    const rows = [
      [open, one, ...a, close, ...b],
      [one, ...a, close, two, ...b],
      [one, open, two, close, ...a, ...b],
      [one, ...a, open, open, ...b, close],
      [open, close, close, one, ...a],
      [one, ...a, suffix, ...b],
      [one, ...a, end, ...b, close],
      [open, one, ...a, suffix, ...b],
    ].map((row) => filled(row, 12));
    const found = byTensors(rows, 3);
    expect(found).toEqual(rows.map(byText));
    expect(found.map((x) => x.labels)).toEqual([[-1], [1], [-1, -1], [0], [0], [0, -1], [0], [-1]]);
  });

  test('of more boxes than fit the first are kept; room for more than there can be', () => {
    const random = new Generator(23);
    const rows = Array.from({ length: 20 }, () => [
      pick(random, labels),
      ...box(random),
      ...box(random),
      ...box(random),
    ]);
    const all = rows.map(byText);
    expect(byTensors(rows, 2)).toEqual(
      all.map((found) => ({ boxes: found.boxes.slice(0, 2), labels: found.labels.slice(0, 2) })),
    );
    expect(byTensors(rows, 1)).toEqual(
      all.map((found) => ({ boxes: found.boxes.slice(0, 1), labels: found.labels.slice(0, 1) })),
    );
    expect(byTensors(rows, 50)).toEqual(all);
  });

  test('no completions, and some too short for a box', () => {
    for (const shape of [
      [0, 8],
      [3, 3],
      [3, 0],
    ] as [number, number][]) {
      const { boxes, labels, counts } = objectsOfTokens(tf.zeros(shape, 'int32'), tokenizer, 2);
      expect([boxes.shape, labels.shape, counts.shape]).toEqual([
        [shape[0], 2, 4],
        [shape[0], 2],
        [shape[0]],
      ]);
      expect([...boxes.dataSync()].every((x) => x === 0)).toBe(true);
      expect([...labels.dataSync()].every((x) => x === -1)).toBe(true);
      expect([...counts.dataSync()].every((x) => x === 0)).toBe(true);
    }
  });

  test('other bins', () => {
    const fine = new BoxTokenizer({ coordinateBins: 1001 });
    const text = '<|object_ref_start|>7<|object_ref_end|><|box_start|>(1,999),(512,1000)<|box_end|>';
    const tokens = tf.tensor2d([fine.encode(text)], undefined, 'int32');
    const { boxes, labels } = objectsOfTokens(tokens, fine, 1);
    expect([[...boxes.dataSync()], [...labels.dataSync()]]).toEqual([[1, 999, 512, 1000], [7]]);
  });

  test('detectionReward of them is the reward of the texts', () => {
    const random = new Generator(24);
    const recipe: RecipeInput = {
      extends: 'perception-r1/detection-strict',
      vocabulary: Array.from({ length: 10 }, (_, digit) => `${digit}`),
      coordinates: 'per-mille',
    };
    const length = 36;
    const groupSize = 4;
    const truths = Array.from({ length: 60 }, () => {
      let row: number[] = [];
      while (row.length < 6) row = wellFormed(random, length);
      return row;
    });
    // Completions near the truth: some labels and coordinates are others.
    const rows = truths.flatMap((truth) =>
      Array.from({ length: groupSize }, () => {
        const sorted = truth.map((token) => {
          const family = [labels, ...slots].find((family) => family.includes(token));
          if (!family || random.next() > 0.15) return token;
          const near = family.indexOf(token) + random.integer(-6, 6);
          return family[Math.min(Math.max(near, 0), family.length - 1)]!;
        });
        return filled(sorted, length);
      }),
    );
    const groundTruth: GroundTruth[] = truths.map((row) => {
      const found = byText(row);
      return { boxes: found.boxes, labels: found.labels.map(String) } as GroundTruth;
    });
    const expected = scoreCompletions({
      recipe,
      completions: rows.map((row) => tokenizer.decode(row)),
      groundTruth,
      groupSize,
    });
    const most = length >> 2;
    const tensors = (list: number[][]) =>
      objectsOfTokens(tf.tensor2d(list, undefined, 'int32'), tokenizer, most);
    const truth = tensors(truths.map((row) => filled(row, length)));
    const actual = detectionReward({
      ...tensors(rows),
      truthBoxes: truth.boxes,
      truthLabels: truth.labels,
      truthCounts: truth.counts,
      recipe,
    });
    const rewards = actual.rewards.dataSync();
    expected.rewards.forEach((reward, i) => expect(rewards[i]).toBeCloseTo(reward, 5));
    expect(new Set(expected.rewards.map((reward) => Math.round(100 * reward))).size).toBeGreaterThan(30);
  });

  test('nothing is read back, nothing left behind but the objects', () => {
    const tokens = tf.tensor2d([filled(wellFormed(new Generator(25), 20), 20)], undefined, 'int32');
    expect(leaked(() => void objectsOfTokens(tokens, tokenizer, 4))).toBe(3);
    const backend = tf.backend();
    const { readSync } = backend;
    if (tf.getBackend() !== 'tensorflow') return; // the others' kernels read, since they run here
    backend.readSync = () => {
      throw new Error('read');
    };
    try {
      objectsOfTokens(tokens, tokenizer, 4);
    } finally {
      backend.readSync = readSync;
    }
  });

  test('bad arguments', () => {
    const tokens = tf.zeros<tf.Rank.R2>([2, 8], 'int32');
    const refused: [() => unknown, string, RegExp][] = [
      [
        () => objectsOfTokens(tokens, tokenizer, 0),
        'INVALID_ARGUMENT',
        /^maxObjects: expected a whole number of at least 1, received 0$/,
      ],
      [
        () => objectsOfTokens(tf.zeros([2, 8]), tokenizer, 1),
        'INVALID_ARGUMENT',
        /'tokens' passed to 'objectsOfTokens' must be int32 tensor/,
      ],
      [
        () => objectsOfTokens(tf.zeros([8], 'int32') as never, tokenizer, 1),
        'SHAPE_MISMATCH',
        /'tokens' .* \[N, L\], but got \[8\]$/,
      ],
    ];
    for (const [body, code, message] of refused) {
      expect(codeOf(body)).toBe(code);
      expect(body).toThrow(message);
    }
  });
});
