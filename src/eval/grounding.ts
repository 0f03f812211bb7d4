import { evaluateGrounding, type GroundingPrediction } from '../metrics/grounding.js';
import { parseCompletion } from '../rewards/parse.js';
import type { CoordinateSpace } from '../rewards/recipes.js';
import type { Benchmark, EvaluationOptions, TaskReader } from './benchmark.js';
import { extentOf, isUnit, rescale, SpaceCheck, spaceOf } from './coordinates.js';
import {
  type EvaluatedItem,
  type Evaluation,
  excerpt,
  type Findings,
  perplexityFigures,
} from './evaluation.js';
import { addFaults } from './faults.js';
import {
  groundTruthOf,
  type ItemWithTruth,
  nameOf,
  readDataset,
  sizeOfItem,
  titleOf,
  trueBox,
  Unusable,
} from './items.js';
import type { Fields } from './records.js';

/** The box x1 y1 x2 y2 in the spaces in which it is known. */
interface TrueBoxes {
  pixels?: number[];
  'per-mille'?: number[];
  /** In the space of the answer. */
  same?: number[];
}

type GroundingItem = ItemWithTruth<TrueBoxes>;

const thresholds = [0.1, 0.3, 0.5, 0.75, 0.95];
/** Those that the paper prints, with their mean. */
const printed = [0.5, 0.75, 0.95];

export const groundingTask: TaskReader = {
  truthFormats: [
    'PR1 annotations: [{"image": "a.jpg", "problem": "the left dog", "solution": [x1, y1, x2, y2], "normalized_solution": [...]}, ...]',
    'PR1 results: {"details": [{"question": "the left dog", "ground_truth": [x1, y1, x2, y2], "model_output": "..."}, ...]}',
    'JSON lines: {"groundTruth": {"box": [x1, y1, x2, y2]}, "image": "a.jpg", "problem": "the left dog", "completion": "..."}',
  ],
  answerFormats: [
    'JSON lines: {"key" or "id" or "image": "...", "completion" or "output" or "model_output": "..."}',
  ],
  async read(input, findings): Promise<Benchmark> {
    const { items, records, answers } = await readDataset(input, findings, (fields) => ({
      truth: readTruth(fields),
    }));
    return {
      task: 'grounding',
      noun: 'questions',
      items,
      records,
      answers,
      evaluate: async (given, options, found) =>
        evaluate(items.slice(0, given.length), given, options, found),
    };
  },
};

function readTruth(fields: Fields): TrueBoxes {
  const { solution, normalized_solution: normalized, ground_truth: compared } = fields;
  const own = groundTruthOf(fields);
  if (own && 'box' in own) {
    const box = trueBox(own.box, 'groundTruth.box');
    // A size is given where pixels are to be converted.
    return sizeOfItem(fields) ? { pixels: box } : { same: box };
  }
  if (solution !== undefined || normalized !== undefined) {
    return {
      ...(solution !== undefined && { pixels: trueBox(solution, 'solution') }),
      ...(normalized !== undefined && { 'per-mille': trueBox(normalized, 'normalized_solution') }),
    };
  }
  if (compared !== undefined) return { same: trueBox(compared, 'ground_truth') };
  throw new Unusable('expected solution, ground_truth or groundTruth with a box, received none of them');
}

interface Compared {
  /** null: there is none that can be compared. */
  box: Float64Array | null;
  truth: number[];
  space: 'pixels' | 'per-mille';
}

/** The answer and the truth in one space. @throws Unusable where that cannot be */
function bringTogether(item: GroundingItem, values: Float32Array, space: CoordinateSpace): Compared {
  const { truth, size, resized } = item;
  const pixels = (): Compared | undefined => {
    const extent = extentOf(space, resized ?? size);
    if (!truth.pixels || (space !== 'pixels' && !size)) return undefined;
    const box = size && extent ? rescale(values, extent, size) : Float64Array.from(values);
    return { box, truth: truth.pixels, space: 'pixels' };
  };
  const thousandths = (): Compared | undefined => {
    const extent = extentOf(space, resized ?? size);
    if (!truth['per-mille'] || !extent) return undefined;
    return {
      box: rescale(values, extent, { width: 1000, height: 1000 }),
      truth: truth['per-mille'],
      space: 'per-mille',
    };
  };
  const same = (): Compared | undefined => {
    if (!truth.same || (space === 'unit') !== isUnit(truth.same)) return undefined;
    const scale = space === 'unit' ? 1000 : 1;
    return {
      box: Float64Array.from(values, (value) => value * scale),
      truth: truth.same.map((value) => value * scale),
      space: space === 'pixels' ? 'pixels' : 'per-mille',
    };
  };
  const found = (space === 'pixels' ? (pixels() ?? thousandths()) : (thousandths() ?? pixels())) ?? same();
  if (!found)
    throw new Unusable(`the answer is in ${space === 'unit' ? '0..1' : space}, the ground truth is not`);
  return found;
}

/** The truth where there is no answer to compare it with. */
function alone({ truth }: GroundingItem): Compared {
  if (truth.pixels) return { box: null, truth: truth.pixels, space: 'pixels' };
  if (truth['per-mille']) return { box: null, truth: truth['per-mille'], space: 'per-mille' };
  const same = truth.same!;
  return { box: null, truth: isUnit(same) ? same.map((value) => 1000 * value) : same, space: 'per-mille' };
}

function readAnswer(
  item: GroundingItem,
  text: string | null,
  { coordinates }: EvaluationOptions,
  { problems }: Findings,
  check: SpaceCheck,
): Compared {
  if (text === null) return alone(item);
  const parsed = parseCompletion(text);
  addFaults(parsed, titleOf(item), problems);
  const { boxes } = parsed;
  if (boxes.length === 0) {
    problems.add('answers without a box that can be read', titleOf(item));
    return alone(item);
  }
  if (boxes.length > 4) problems.add('answers with several boxes (the first one counts)', titleOf(item));
  const box = boxes.subarray(0, 4);
  const space = spaceOf(text, box, coordinates);
  check.add(box, space, extentOf(space, item.resized ?? item.size));
  try {
    return bringTogether(item, box, space);
  } catch (error) {
    if (!(error instanceof Unusable)) throw error;
    problems.add(
      'answers that cannot be compared with the ground truth',
      `${titleOf(item)}: ${error.message}`,
    );
    return alone(item);
  }
}

function evaluate(
  items: readonly GroundingItem[],
  answers: readonly (string | null)[],
  options: EvaluationOptions,
  findings: Findings,
): Evaluation {
  const check = new SpaceCheck();
  const compared = items.map((item, i) => readAnswer(item, answers[i]!, options, findings, check));
  const summary = evaluateGrounding(
    compared.map(({ truth }) => truth),
    compared.map(({ box }): GroundingPrediction => box),
    { iouThresholds: thresholds },
  );
  const note = check.note();
  if (note !== undefined) findings.notes.push(note);
  const accuracy = (threshold: number): number => summary.accuracy[String(threshold)]!;
  return {
    task: 'grounding',
    count: summary.count,
    figures: {
      meanIou: summary.meanIou,
      ...Object.fromEntries(thresholds.map((threshold) => [`Acc@${threshold}`, accuracy(threshold)])),
      average: printed.reduce((sum, threshold) => sum + accuracy(threshold), 0) / printed.length,
      centerAccuracy: summary.centerAccuracy,
      missing: summary.missing,
      ...perplexityFigures(new Uint8Array(summary.count).fill(1), findings),
    },
    notes: findings.notes,
    problems: findings.problems.list(),
    items: options.items
      ? items.map((item, i) => itemOf(item, compared[i]!, answers[i]!, summary.ious[i]!))
      : [],
  };
}

function itemOf(
  item: GroundingItem,
  { box, truth, space }: Compared,
  answer: string | null,
  iou: number,
): EvaluatedItem {
  const { image, question, size } = item;
  return {
    name: nameOf(item),
    ...(image !== undefined && { file: image }),
    ...(size && { size }),
    score: iou,
    summary: box ? `IoU ${iou.toFixed(2)}` : 'no box',
    ...(question !== undefined && { question }),
    ...(answer !== null && { answer: excerpt(answer) }),
    space,
    truth: { boxes: Float32Array.from(truth), labels: [null] },
    predictions: { boxes: Float32Array.from(box ?? []), labels: box ? [null] : [] },
    matches: Int32Array.from(box ? [iou >= 0.5 ? 0 : -1] : []),
  };
}
