/** The conformance table: each case gives what an operation on tensors must give, taken from the typed-array API. */
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import {
  type AdvantageFormula,
  type BoxFormat,
  coco80,
  groupAdvantages,
  type IouKind,
  linearSumAssignmentBatch,
  pairwiseIouBatch,
  type RecipeInput,
  type RecipeName,
  scoreCompletions,
} from '../../src/index.js';
import * as ops from '../../src/tfjs/index.js';
import { Generator } from '../reference/random.js';

/** Outputs by name: 'out', or 'rewards' and the terms. */
export type Outputs<T> = Record<string, T>;

export interface Case {
  name: string;
  run(): Outputs<Tensor>;
  runAsync(): Promise<Outputs<Tensor>>;
  expected(): Outputs<{ shape: number[]; values: ArrayLike<number> }>;
}

const kinds: readonly IouKind[] = ['iou', 'giou', 'diou', 'ciou'];
const formats: readonly BoxFormat[] = ['xyxy', 'xywh', 'cxcywh'];

const out = (tensor: Tensor): Outputs<Tensor> => ({ out: tensor });
const int32 = (values: readonly number[]): Tensor => tf.tensor1d(values as number[], 'int32');

// ---- IoU

interface IouSetup {
  batch?: number; // left out: no batch axis
  n: number;
  m: number;
  kind?: IouKind;
  format?: BoxFormat;
  aCounts?: number[];
  bCounts?: number[];
  change?: (a: Float32Array, b: Float32Array) => void;
}

function iouCase(what: string, setup: IouSetup): Case {
  const { batch, n, m, kind = 'iou', format = 'xyxy', aCounts, bCounts } = setup;
  const random = new Generator(n * 31 + m);
  const problems = batch ?? 1;
  const a = random.boxes(problems * n);
  const b = random.boxes(problems * m);
  setup.change?.(a, b);
  const shape = (rows: number): number[] => (batch === undefined ? [rows, 4] : [batch, rows, 4]);
  const inputs = (): [Tensor, Tensor, object] => [
    tf.tensor(a, shape(n)),
    tf.tensor(b, shape(m)),
    {
      kind,
      format,
      ...(aCounts && { aCounts: int32(aCounts) }),
      ...(bCounts && { bCounts: int32(bCounts) }),
    },
  ];
  return {
    name: `pairwiseIou, ${what}`,
    run: () => out(ops.pairwiseIou(...inputs())),
    runAsync: async () => out(await ops.pairwiseIouAsync(...inputs())),
    expected: () => {
      const values = new Float32Array(problems * n * m);
      // The typed-array API refuses boxes that are not finite; on tensors they overlap with nothing.
      const list = (boxes: Float32Array, rows: number, counts: number[] | undefined) => {
        const used = Array.from({ length: problems }, (_, i) =>
          Array.from({ length: counts?.[i] ?? rows }, (_, row) => row).filter((row) =>
            boxes.subarray(4 * (i * rows + row), 4 * (i * rows + row) + 4).every(Number.isFinite),
          ),
        );
        const offsets = [0];
        for (const rows of used) offsets.push(offsets.at(-1)! + rows.length);
        const flat = used.flatMap((kept, i) =>
          kept.flatMap((row) => [...boxes.subarray(4 * (i * rows + row), 4 * (i * rows + row) + 4)]),
        );
        return { used, ragged: { values: Float32Array.from(flat), offsets: Int32Array.from(offsets) } };
      };
      const left = list(a, n, aCounts);
      const right = list(b, m, bCounts);
      const overlaps = pairwiseIouBatch(left.ragged, right.ragged, { kind, format });
      left.used.forEach((rows, i) =>
        rows.forEach((row, r) =>
          right.used[i]!.forEach((column, c) => {
            values[(i * n + row) * m + column] =
              overlaps.values[overlaps.offsets[i]! + r * right.used[i]!.length + c]!;
          }),
        ),
      );
      return { out: { shape: batch === undefined ? [n, m] : [batch, n, m], values } };
    },
  };
}

// ---- assignment

interface AssignmentSetup {
  batch?: number;
  rows: number;
  cols: number;
  maximize?: boolean;
  rowCounts?: number[];
  colCounts?: number[];
  cost?: (random: Generator, row: number, col: number) => number;
}

function assignmentCase(what: string, setup: AssignmentSetup): Case {
  const { batch, rows, cols, maximize = false, rowCounts, colCounts } = setup;
  const { cost = (random) => random.next() } = setup;
  const problems = batch ?? 1;
  const random = new Generator(rows * 17 + cols);
  const costs = new Float32Array(problems * rows * cols);
  for (let k = 0; k < costs.length; k++) {
    costs[k] = cost(random, Math.floor(k / cols) % rows, k % cols);
  }
  const inputs = (): [Tensor, object] => [
    tf.tensor(costs, batch === undefined ? [rows, cols] : [batch, rows, cols]),
    {
      ...(setup.maximize !== undefined && { maximize }),
      ...(rowCounts && { rowCounts: int32(rowCounts) }),
      ...(colCounts && { colCounts: int32(colCounts) }),
    },
  ];
  return {
    name: `linearSumAssignment, ${what}`,
    run: () => out(ops.linearSumAssignment(...inputs())),
    runAsync: async () => out(await ops.linearSumAssignmentAsync(...inputs())),
    expected: () => {
      const heights = Array.from({ length: problems }, (_, i) => rowCounts?.[i] ?? rows);
      const widths = Array.from({ length: problems }, (_, i) => colCounts?.[i] ?? cols);
      const offsets = [0];
      const values: number[] = [];
      for (let i = 0; i < problems; i++) {
        for (let row = 0; row < heights[i]!; row++) {
          const start = (i * rows + row) * cols;
          values.push(...costs.subarray(start, start + widths[i]!));
        }
        offsets.push(values.length);
      }
      const { columnOfRow } = linearSumAssignmentBatch(
        {
          values: Float32Array.from(values),
          offsets: Int32Array.from(offsets),
          rows: Int32Array.from(heights),
          cols: Int32Array.from(widths),
        },
        { maximize },
      );
      const answer = new Int32Array(problems * rows).fill(-1);
      let next = 0;
      heights.forEach((height, i) => {
        for (let row = 0; row < height; row++) answer[i * rows + row] = columnOfRow[next++]!;
      });
      return { out: { shape: batch === undefined ? [rows] : [batch, rows], values: answer } };
    },
  };
}

// ---- advantages

function advantagesCase(
  what: string,
  rewards: readonly number[],
  shape: readonly number[],
  formula: AdvantageFormula = {},
  groupSize?: number,
): Case {
  const values = Float32Array.from(rewards);
  const inputs = (): [Tensor, object] => [
    tf.tensor(values, shape as number[]),
    { ...formula, ...(groupSize !== undefined && { groupSize }) },
  ];
  return {
    name: `groupAdvantages, ${what}`,
    run: () => out(ops.groupAdvantages(...inputs())),
    runAsync: async () => out(await ops.groupAdvantagesAsync(...inputs())),
    expected: () => {
      const size = groupSize ?? shape[1]!;
      const { advantages } = size
        ? groupAdvantages(values, { ...formula, groupSize: size })
        : { advantages: [] };
      return { out: { shape: [...shape], values: advantages } };
    },
  };
}

// ---- rewards

const labels = ['person', 'dog', 'cat'];

/** One answer's or prompt's objects. A label of -1 stands for one that the vocabulary has not. */
interface Objects {
  items: number[][];
  labels?: number[];
}

/** Pads each entry to `rows` with numbers that would change the result if they were looked at. */
function padded(entries: readonly Objects[], rows: number, width: number) {
  const values = new Float32Array(entries.length * rows * width).fill(17);
  const ids = new Int32Array(entries.length * rows).fill(coco80.dog!);
  entries.forEach(({ items, labels }, i) => {
    items.forEach((item, k) => {
      values.set(item, (i * rows + k) * width);
      ids[i * rows + k] = labels?.[k] ?? 0;
    });
  });
  const counts = entries.map(({ items }) => items.length);
  return {
    values: () => tf.tensor(values, [entries.length, rows, width]),
    ids: () => tf.tensor(ids, [entries.length, rows], 'int32'),
    counts: () => int32(counts),
  };
}

const labelOf = (id: number): string =>
  Object.keys(coco80).find((label) => coco80[label] === id) ?? 'unicorn';

function rewardCase(
  task: 'detection' | 'counting' | 'grounding',
  what: string,
  recipe: RecipeName | RecipeInput | undefined,
  predictions: readonly Objects[],
  truths: readonly Objects[],
): Case {
  const rows = (entries: readonly Objects[]): number =>
    Math.max(0, ...entries.map(({ items }) => items.length));
  const width = task === 'counting' ? 2 : 4;
  const predicted = padded(predictions, rows(predictions), width);
  const truth = padded(truths, rows(truths), width);
  const named = ({ rewards, terms }: ops.TensorRewards): Outputs<Tensor> => ({ rewards, ...terms });
  const chosen = recipe === undefined ? {} : { recipe };
  const detection = () => ({
    boxes: predicted.values(),
    labels: predicted.ids(),
    counts: predicted.counts(),
    truthBoxes: truth.values(),
    truthLabels: truth.ids(),
    truthCounts: truth.counts(),
    ...chosen,
  });
  const counting = () => ({
    points: predicted.values(),
    counts: predicted.counts(),
    truthPoints: truth.values(),
    truthCounts: truth.counts(),
    ...chosen,
  });
  const grounding = () => ({
    boxes: tf.squeeze(predicted.values(), [1]),
    truthBoxes: tf.squeeze(truth.values(), [1]),
    ...chosen,
  });
  const runs = {
    detection: () => ops.detectionReward(detection()),
    counting: () => ops.countingReward(counting()),
    grounding: () => ops.groundingReward(grounding()),
  };
  const asyncRuns = {
    detection: () => ops.detectionRewardAsync(detection()),
    counting: () => ops.countingRewardAsync(counting()),
    grounding: () => ops.groundingRewardAsync(grounding()),
  };
  return {
    name: `${task}Reward, ${what}`,
    run: () => named(tf.tidy(() => runs[task]())),
    runAsync: async () => named(await asyncRuns[task]()),
    expected: () => {
      // Doubles of float32 numbers are written so that they are read again to the last bit.
      const text = (items: readonly number[]): string => `[${items.map((v) => Math.fround(v)).join(', ')}]`;
      const key = task === 'counting' ? 'point_2d' : 'bbox_2d';
      const completions = predictions.map(
        (entry) =>
          `[${entry.items
            .map((item, k) => {
              const label = entry.labels ? `, "label": "${labelOf(entry.labels[k]!)}"` : '';
              return `{"${key}": ${text(item)}${label}}`;
            })
            .join(', ')}]`,
      );
      const { rewards, terms } = scoreCompletions({
        recipe: recipe ?? (`perception-r1/${task}-strict` as RecipeName),
        completions,
        groundTruth: truths.map(({ items, labels }) => {
          const rounded = items.map((item) => item.map(Math.fround));
          if (task === 'counting') return { points: rounded };
          return task === 'grounding'
            ? { box: rounded[0]! }
            : { boxes: rounded, labels: (labels ?? []).map(labelOf) };
        }),
        groupSize: truths.length ? predictions.length / truths.length : 1,
      });
      const entries = Object.entries({ rewards, ...terms });
      return Object.fromEntries(
        entries.map(([name, values]) => [name, { shape: [predictions.length], values }]),
      );
    },
  };
}

function scenes(seed: number, prompts: number, perPrompt: number, space = 640) {
  const random = new Generator(seed);
  const truths: Objects[] = Array.from({ length: prompts }, () => {
    const count = random.integer(0, 9);
    const boxes = random.boxes(count, space);
    return {
      items: Array.from({ length: count }, (_, i) => [...boxes.subarray(4 * i, 4 * i + 4)]),
      labels: Array.from({ length: count }, () => coco80[labels[random.integer(0, 2)]!]!),
    };
  });
  const predictions: Objects[] = truths.flatMap((truth) =>
    Array.from({ length: perPrompt }, () => {
      const kept = truth.items.map((_, i) => i).filter(() => random.next() < 0.8);
      const items = kept.map((i) => truth.items[i]!.map((v) => v + random.integer(-9, 9) / 4));
      const ids = kept.map((i) =>
        random.next() < 0.8 ? truth.labels![i]! : coco80[labels[random.integer(0, 2)]!]!,
      );
      for (let extra = random.integer(0, 2); extra > 0; extra--) {
        items.push([...random.boxes(1, space)]);
        ids.push(coco80.person!);
      }
      return { items, labels: ids };
    }),
  );
  return { truths, predictions };
}

const points = (objects: Objects[]): Objects[] =>
  objects.map(({ items }) => ({ items: items.map(([x, y]) => [x!, y!]) }));

const whole = scenes(5, 6, 4);
const broken = scenes(6, 4, 4);
broken.predictions.forEach(({ items, labels }, i) => {
  const item = items[0];
  if (!item) return;
  if (i % 4 === 0) items[0] = [item[2]!, item[1]!, item[0]!, item[3]!]; // inverted
  if (i % 4 === 1) labels![0] = -1;
  if (i % 4 === 2) items[0] = [item[0]!, Number.NaN, item[2]!, item[3]!];
});
const dots = scenes(7, 6, 4, 1000);
if (dots.predictions[3]!.items[0]) dots.predictions[3]!.items[0] = [Number.NaN, 1, 2, 3];
const single = scenes(8, 1, 1);
// So close that the methods of matching differ.
const crowded = scenes(9, 6, 4, 60);

const someInfinite = (random: Generator, row: number, col: number): number =>
  row === col || random.next() < 0.5 ? random.next() : Infinity;

export const cases: readonly Case[] = [
  ...kinds.flatMap((kind) =>
    formats.map((format) => iouCase(`${kind} of ${format}`, { batch: 3, n: 7, m: 19, kind, format })),
  ),
  iouCase('no batch axis', { n: 33, m: 5 }),
  iouCase('many problems', { batch: 200, n: 6, m: 9, kind: 'giou' }),
  iouCase('one large problem', { batch: 1, n: 130, m: 170 }),
  iouCase('counts', { batch: 3, n: 6, m: 8, kind: 'giou', aCounts: [0, 3, 6], bCounts: [8, 0, 5] }),
  iouCase('counts of one side, no batch axis', { n: 6, m: 8, kind: 'diou', bCounts: [3] }),
  iouCase('boxes that are not finite', {
    batch: 2,
    n: 4,
    m: 4,
    kind: 'giou',
    change: (a, b) => {
      a[5] = Number.NaN;
      b[0] = Infinity;
      b[30] = -Infinity;
    },
  }),
  iouCase('no boxes in a', { batch: 2, n: 0, m: 4 }),
  iouCase('no boxes in b', { batch: 2, n: 4, m: 0 }),
  iouCase('no problems', { batch: 0, n: 4, m: 3 }),
  iouCase('nothing, no batch axis', { n: 0, m: 0 }),

  assignmentCase('no batch axis', { rows: 12, cols: 17 }),
  assignmentCase('more rows than columns', { batch: 4, rows: 9, cols: 5 }),
  assignmentCase('many problems', { batch: 300, rows: 8, cols: 8 }),
  assignmentCase('maximize', { batch: 4, rows: 7, cols: 7, maximize: true }),
  assignmentCase('ties', { batch: 6, rows: 8, cols: 8, cost: (random) => random.integer(0, 2) }),
  assignmentCase('equal costs', { rows: 6, cols: 6, maximize: false, cost: () => 1 }),
  assignmentCase('forbidden pairs', { batch: 5, rows: 10, cols: 10, cost: someInfinite }),
  assignmentCase('forbidden pairs, maximize', {
    batch: 5,
    rows: 10,
    cols: 10,
    maximize: true,
    cost: (...at) => -someInfinite(...at),
  }),
  assignmentCase('counts, what lies beyond being no number', {
    batch: 3,
    rows: 6,
    cols: 7,
    rowCounts: [6, 2, 0],
    colCounts: [3, 3, 3],
    cost: (random, _, col) => (col < 3 ? random.next() : Number.NaN),
  }),
  assignmentCase('no rows', { batch: 2, rows: 0, cols: 3 }),
  assignmentCase('no columns', { batch: 2, rows: 3, cols: 0 }),
  assignmentCase('no problems', { batch: 0, rows: 3, cols: 3 }),

  advantagesCase('defaults', [1, 0, 0.5, 2, 2, 2, 0.25, 0, 3], [3, 3]),
  advantagesCase('[N]', [1, 0, 0.5, 2, 2, 7], [6], {}, 3),
  advantagesCase('groupSize said twice', [1, 0, 0.5, 2], [2, 2], {}, 2),
  advantagesCase('NaN is not scored', [1, NaN, 0.5, NaN, NaN, NaN, 3, 2, NaN], [3, 3]),
  advantagesCase('scale batch', [1, 0, 0.5, 2, NaN, 7], [2, 3], { scale: 'batch' }),
  advantagesCase('scale none, leave one out', [1, 0, 0.5, 2, NaN, 7], [2, 3], {
    scale: 'none',
    baseline: 'leave-one-out',
  }),
  advantagesCase('epsilon, ddof, clip', [1, 0, 0.5, 2, 9, 7], [2, 3], {
    epsilon: 1e-6,
    ddof: 0,
    clip: [-1, 0.7],
  }),
  advantagesCase('no groups', [], [0, 4]),
  advantagesCase('empty groups', [], [3, 0]),
  advantagesCase('nothing', [], [0], {}, 4),

  rewardCase('detection', 'default recipe', undefined, whole.predictions, whole.truths),
  rewardCase('detection', 'as released', 'perception-r1/detection', whole.predictions, whole.truths),
  rewardCase('detection', 'broken items', undefined, broken.predictions, broken.truths),
  rewardCase(
    'detection',
    'a recipe of its own',
    {
      extends: 'perception-r1/detection-strict',
      terms: { iou: 2, f1: 1, format: 0 },
      matcher: { l1: 0, giou: 1, class: 3, minIou: 0.3 },
    },
    broken.predictions,
    broken.truths,
  ),
  ...(['hungarian', 'greedy', 'in-order'] as const).flatMap((method) => [
    rewardCase(
      'detection',
      `matching ${method}`,
      {
        extends: 'perception-r1/detection-strict',
        matcher: { l1: 5, giou: 2, class: 1, minIou: 0.05, method },
      },
      crowded.predictions,
      crowded.truths,
    ),
    rewardCase(
      'counting',
      `matching ${method}`,
      { extends: 'perception-r1/counting-strict', matcher: { method } },
      points(crowded.predictions),
      points(crowded.truths),
    ),
  ]),
  rewardCase('detection', 'one answer', undefined, single.predictions, single.truths),
  rewardCase(
    'detection',
    'no objects at all',
    undefined,
    [{ items: [], labels: [] }],
    [{ items: [], labels: [] }],
  ),
  rewardCase('detection', 'no answers', undefined, [], []),
  rewardCase('counting', 'default recipe', undefined, points(dots.predictions), points(dots.truths)),
  rewardCase(
    'counting',
    'a recipe of its own',
    { extends: 'perception-r1/counting-strict', countFaulty: false, terms: { count: 2, proximity: 1 } },
    points(dots.predictions),
    points(dots.truths),
  ),
  rewardCase(
    'counting',
    'nothing to count',
    undefined,
    [{ items: [] }, { items: [[5, 5]] }],
    [{ items: [] }],
  ),
  ...(
    ['perception-r1/grounding-strict', { extends: 'perception-r1/grounding-strict', iouPower: 2 }] as const
  ).map((recipe, i) =>
    rewardCase(
      'grounding',
      i ? 'IoU squared' : 'default recipe',
      i ? recipe : undefined,
      [
        { items: [[10, 10, 50, 50]] },
        { items: [[12, 9, 47, 61]] },
        { items: [[50, 10, 10, 50]] },
        { items: [[10, 10, Number.NaN, 50]] },
      ],
      [{ items: [[10, 10, 50, 50]] }, { items: [[12, 10, 55, 50]] }],
    ),
  ),
];
