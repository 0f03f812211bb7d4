import { describe } from '../errors.js';
import { type CountingPrediction, type CountingSummary, evaluateCounting } from '../metrics/counting.js';
import { answerText } from '../metrics/text/answer.js';
import { parseCompletion } from '../rewards/parse.js';
import type { Benchmark, EvaluationOptions, TaskReader } from './benchmark.js';
import { spaceOf } from './coordinates.js';
import {
  type EvaluatedItem,
  type Evaluation,
  excerpt,
  type Findings,
  type LabelledBoxes,
  perplexityFigures,
} from './evaluation.js';
import { addFaults } from './faults.js';
import { groundTruthOf, type ItemWithTruth, nameOf, readDataset, titleOf, Unusable } from './items.js';
import type { Fields } from './records.js';

interface TrueCount {
  count: number;
  /** x y each, where they are known; in the space of the answer. */
  points?: number[];
}

type CountingItem = ItemWithTruth<TrueCount>;

const largestCount = 999_999_999;

export const countingTask: TaskReader = {
  truthFormats: [
    'PR1 annotations, JSON lines: {"image_path": "a.jpg", "question": "dogs", "ground_truth": 3}',
    'PR1 results: {"pixmo_count_val540": {"results": [{"question": "dogs", "ground_truth": 3, "model_output": "..."}, ...]}, ...}',
    'JSON lines: {"groundTruth": {"points": [[x, y], ...]} or 3, "image": "a.jpg", "question": "dogs", "completion": "..."}',
  ],
  answerFormats: [
    'JSON lines: {"key" or "id" or "image_path": "...", "completion" or "output" or "model_output": "..."}',
  ],
  async read(input, findings): Promise<Benchmark> {
    const { items, records, answers } = await readDataset(input, findings, (fields) => ({
      truth: readTruth(fields),
    }));
    return {
      task: 'counting',
      noun: 'questions',
      items,
      records,
      answers,
      evaluate: async (given, options, found) =>
        evaluate(items.slice(0, given.length), given, options, found),
    };
  },
};

function readTruth(fields: Fields): TrueCount {
  const points = groundTruthOf(fields)?.points;
  if (points !== undefined) return readPoints(points);
  const [name, count] =
    'groundTruth' in fields ? ['groundTruth', fields.groundTruth] : ['ground_truth', fields.ground_truth];
  if (!Number.isInteger(count) || (count as number) < 0 || (count as number) > largestCount) {
    throw new Unusable(
      `${name}: expected a whole number of at least 0 or {points}, received ${describe(count)}`,
    );
  }
  return { count: count as number };
}

function readPoints(points: unknown): TrueCount {
  const nested = Array.isArray(points) && Array.isArray(points[0]);
  const pairs = nested ? points.every((point) => Array.isArray(point) && point.length === 2) : true;
  const values: unknown[] = Array.isArray(points) ? points.flat() : [Number.NaN];
  if (!pairs || values.length % 2 !== 0 || !values.every((value) => Number.isFinite(value))) {
    throw new Unusable(`groundTruth.points: expected x y of each point, received ${describe(points)}`);
  }
  return { count: values.length / 2, points: values as number[] };
}

/** A count that was written as a number. */
function numberOf(text: string): number | null {
  const number = answerText(text).trim();
  return /^\d{1,9}$/.test(number) ? Number(number) : null;
}

interface Answer {
  prediction: CountingPrediction;
  boxes: Float32Array;
  points: Float32Array;
}

const nothing = new Float32Array(0);

function readAnswer(item: CountingItem, text: string | null, { problems }: Findings): Answer {
  if (text === null) return { prediction: null, boxes: nothing, points: nothing };
  const parsed = parseCompletion(text);
  const { boxes, points } = parsed;
  const number = boxes.length + points.length > 0 ? null : numberOf(text);
  if (number !== null) return { prediction: number, boxes, points };
  addFaults(parsed, titleOf(item), problems);
  if (boxes.length + points.length === 0) {
    problems.add('answers without a box, point or number that can be read', titleOf(item));
    return { prediction: null, boxes, points };
  }
  return { prediction: parsed, boxes, points };
}

function evaluate(
  items: readonly CountingItem[],
  answers: readonly (string | null)[],
  options: EvaluationOptions,
  findings: Findings,
): Evaluation {
  const read = items.map((item, i) => readAnswer(item, answers[i]!, findings));
  const summarise = (part: readonly number[]): CountingSummary =>
    evaluateCounting(
      part.map((i) => items[i]!.truth.count),
      part.map((i) => read[i]!.prediction),
    );
  const all = summarise([...items.keys()]);
  const sets = partsOf(items);
  return {
    task: 'counting',
    count: all.count,
    figures: {
      ...figuresOf(all),
      ...perplexityFigures(
        items.map(({ truth }) => truth.count),
        findings,
      ),
    },
    notes: findings.notes,
    problems: findings.problems.list(),
    ...(sets.size > 1 && {
      sets: [...sets].map(([name, part]) => ({
        name,
        count: part.length,
        figures: figuresOf(summarise(part)),
      })),
    }),
    items: options.items
      ? items.map((item, i) => itemOf(item, read[i]!, answers[i]!, all.errors[i]!, options))
      : [],
  };
}

const figuresOf = ({ accuracy, mae, rmse, missing }: CountingSummary): Evaluation['figures'] => ({
  accuracy,
  MAE: mae,
  RMSE: rmse,
  missing,
});

/** The places of the items of each set. */
function partsOf(items: readonly CountingItem[]): Map<string, number[]> {
  const parts = new Map<string, number[]>();
  for (const [i, { set = '' }] of items.entries()) {
    const part = parts.get(set);
    if (part) part.push(i);
    else parts.set(set, [i]);
  }
  return parts;
}

function itemOf(
  item: CountingItem,
  { prediction, boxes, points }: Answer,
  answer: string | null,
  error: number,
  { coordinates }: EvaluationOptions,
): EvaluatedItem {
  const { image, question, size, truth } = item;
  const values = Float32Array.from([...boxes, ...points]);
  const space = spaceOf(
    answer ?? '',
    values,
    answer === null && coordinates === 'auto' ? 'per-mille' : coordinates,
  );
  const shown = (list: ArrayLike<number>): Float32Array =>
    Float32Array.from(list, (value) => (space === 'unit' ? 1000 * value : value));
  return {
    name: nameOf(item),
    ...(image !== undefined && { file: image }),
    ...(size && { size }),
    score: prediction === null ? -Math.max(1, Math.abs(error)) : 0 - Math.abs(error),
    summary:
      prediction === null
        ? `no count: ${truth.count} there`
        : `${truth.count + error} counted, ${truth.count} there`,
    ...(question !== undefined && { question }),
    ...(answer !== null && { answer: excerpt(answer) }),
    space: space === 'pixels' ? 'pixels' : 'per-mille',
    counts: { truth: truth.count, prediction: prediction === null ? null : truth.count + error },
    truth: { ...noBoxes(), ...(truth.points && { points: shown(truth.points) }) },
    predictions: {
      boxes: shown(boxes),
      labels: new Array<null>(boxes.length / 4).fill(null),
      ...(points.length > 0 && { points: shown(points) }),
    },
  };
}

const noBoxes = (): LabelledBoxes => ({ boxes: new Float32Array(0), labels: [] });
