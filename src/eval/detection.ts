import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { describe } from '../errors.js';
import { FileError } from '../files/error.js';
import { loadCoco } from '../metrics/coco.js';
import {
  type DetectionMatches,
  type DetectionSummary,
  detectionFigures,
  evaluateDetectionsAsync,
} from '../metrics/detection.js';
import type { Flat, ImageDetections, ImageTruth, Label } from '../metrics/objects.js';
import type { Numbers } from '../rewards/ground-truth.js';
import { parseCompletion } from '../rewards/parse.js';
import type { Benchmark, EvaluationOptions, TaskReader } from './benchmark.js';
import { extentOf, rescale, SpaceCheck, spaceOf } from './coordinates.js';
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
  type Item,
  nameOf,
  readDataset,
  sizeOf,
  titleOf,
  trueBox,
  Unusable,
} from './items.js';
import { type Fields, type Input, notUnderstood } from './records.js';

type Box = [x1: number, y1: number, x2: number, y2: number];

/** All that detections are compared with. */
interface DetectionTruth {
  items: readonly Item[];
  objects: Flat<ImageTruth>;
  format: 'xyxy' | 'xywh';
  /** The categories that are evaluated, and their names. */
  categories: readonly Label[];
  names: readonly string[];
}

/** Detections of all images, in the format of the truth. */
interface Found {
  detections: Flat<ImageDetections>;
  /** What is written beside a box. */
  label(detection: number): string | null;
  answers?: readonly (string | null)[];
}

export const detectionTask: TaskReader = {
  truthFormats: [
    'COCO instances: {"images": [...], "annotations": [{"image_id": 1, "category_id": 18, "bbox": [x, y, width, height], ...}, ...], "categories": [...]}',
    'JSON lines: {"groundTruth": {"boxes": [[x1, y1, x2, y2], ...], "labels": ["dog", ...]}, "image": "a.jpg", "width": 640, "height": 480, "completion": "..."}',
  ],
  answerFormats: [
    'COCO results: [{"image_id": 1, "category_id": 18, "bbox": [x, y, width, height], "score": 0.9}, ...]',
    'JSON lines: {"image_id" or "image" or "key": "...", "completion": "[{\\"bbox_2d\\": [x1, y1, x2, y2], \\"label\\": \\"dog\\"}, ...]"}',
  ],
  async read(input, findings, predictions): Promise<Benchmark> {
    const results = predictions !== undefined && isCocoResults(predictions.head);
    if (isCocoInstances(input.head)) return readCoco(input, results ? predictions : undefined, findings);
    if (results) {
      throw new FileError(
        `${predictions.option}: "${predictions.path}" holds COCO results, which need COCO instances as --truth, not "${input.path}"`,
      );
    }
    return readLines(input, findings);
  },
};

const firstOf = (head: string, ...names: string[]): number => {
  const at = head.search(new RegExp(`(?<!\\\\)"(?:${names.join('|')})"\\s*:`));
  return at < 0 ? Infinity : at;
};

function isCocoInstances(head: string): boolean {
  if (!head.trimStart().startsWith('{')) return false;
  if (firstOf(head, 'groundTruth') < Infinity) return false;
  return firstOf(head, 'images', 'annotations', 'categories', 'licenses') < Infinity;
}

function isCocoResults(head: string): boolean {
  const start = head.trimStart();
  if (/^\[\s*\]\s*$/.test(start)) return true;
  if (!start.startsWith('[')) return false;
  return (
    firstOf(start, 'category_id', 'bbox') < firstOf(start, 'completion', 'output', 'model_output', 'error')
  );
}

/** COCO's files are read natively, from where they lie. @throws FileError */
function refuseStream({ path, option }: Input): void {
  if (path === '-' || !statSync(path).isFile()) {
    throw new FileError(`${option}: expected files of COCO as files, received a stream, "${path}"`);
  }
  const file = openSync(path, 'r');
  const magic = Buffer.alloc(2);
  readSync(file, magic);
  closeSync(file);
  if (magic[0] === 0x1f && magic[1] === 0x8b) {
    throw new FileError(`${option}: expected files of COCO unpacked, received "${path}", which is gzip`);
  }
}

async function readCoco(
  input: Input,
  results: Input | undefined,
  { problems }: Findings,
): Promise<Benchmark> {
  for (const file of results ? [input, results] : [input]) {
    file.stop();
    refuseStream(file);
  }
  const coco = await loadCoco(input.path, results ? { detections: results.path } : {});
  problems.merge(coco.problems);
  const { images, categories, truth, detections } = coco;
  if (images.ids.length === 0) throw notUnderstood(input, 'it has no images');
  const items = Array.from(images.ids, (id, i): Item => {
    const image = images.fileNames[i];
    const size = sizeOf(images.sizes[2 * i], images.sizes[2 * i + 1]);
    return {
      index: i,
      key: String(id),
      id: String(id),
      ...(typeof image === 'string' && { image }),
      ...(size && { size }),
    };
  });
  const known: DetectionTruth = {
    items,
    objects: truth,
    format: 'xywh',
    categories: [...categories.ids],
    names: categories.names.map((name, i) => name ?? String(categories.ids[i])),
  };
  const benchmark = benchmarkOf(known, items.length, undefined);
  if (!detections) return benchmark;
  const nameOfId = new Map(known.categories.map((id, i) => [id, known.names[i]!]));
  const label = (i: number): string => nameOfId.get(detections.labels![i]!)!;
  return {
    ...benchmark,
    evaluateResults: (options, found) => evaluate(known, { detections, label }, options, found),
  };
}

async function readLines(input: Input, findings: Findings): Promise<Benchmark> {
  const { items, records, answers } = await readDataset(input, findings, (fields) => ({
    truth: readTruth(fields),
  }));
  const offsets = new Int32Array(items.length + 1);
  for (const [i, { truth }] of items.entries()) offsets[i + 1] = offsets[i]! + truth.labels.length;
  const labels = items.flatMap(({ truth }) => truth.labels);
  const boxes = Float64Array.from(items.flatMap(({ truth }) => truth.boxes));
  const categories = [...new Map(labels.map((label) => [String(label), label])).values()].sort(ascending);
  const known: DetectionTruth = {
    items,
    objects: { boxes, labels, offsets },
    format: 'xyxy',
    categories,
    names: categories.map(String),
  };
  return benchmarkOf(known, records, answers);
}

/** Numbers, then texts. */
function ascending(a: Label, b: Label): number {
  if (typeof a !== typeof b) return typeof a === 'number' ? -1 : 1;
  return a < b ? -1 : 1;
}

function readTruth(fields: Fields): { boxes: number[]; labels: Label[] } {
  const own = groundTruthOf(fields);
  if (!own) throw new Unusable(`expected groundTruth {boxes, labels}, received ${describe(fields)}`);
  const { boxes, labels } = own;
  if (!Array.isArray(boxes)) {
    throw new Unusable(`groundTruth.boxes: expected a list of x1 y1 x2 y2, received ${describe(boxes)}`);
  }
  const flat = typeof boxes[0] === 'number';
  const count = flat ? Math.ceil(boxes.length / 4) : boxes.length;
  const values = Array.from({ length: count }, (_, k) =>
    trueBox(flat ? boxes.slice(4 * k, 4 * k + 4) : boxes[k], `groundTruth.boxes[${k}]`),
  );
  if (!Array.isArray(labels) || labels.length !== count) {
    throw new Unusable(`groundTruth.labels: expected ${count}, one per box, received ${describe(labels)}`);
  }
  const wrong = labels.findIndex((label) => typeof label !== 'string' && !Number.isFinite(label));
  if (wrong >= 0) {
    throw new Unusable(
      `groundTruth.labels[${wrong}]: expected a text or a number, received ${describe(labels[wrong])}`,
    );
  }
  return { boxes: values.flat(), labels };
}

function benchmarkOf(
  truth: DetectionTruth,
  records: number,
  answers: (string | null)[] | undefined,
): Benchmark {
  return {
    task: 'detection',
    noun: 'images',
    items: truth.items,
    records,
    categories: truth.names,
    answers,
    evaluate: async (given, options, findings) => {
      const part = first(truth, given.length);
      return evaluate(part, readAnswers(part, given, options, findings), options, findings);
    },
  };
}

/** The first `count` images. */
function first(truth: DetectionTruth, count: number): DetectionTruth {
  const { boxes, labels, offsets, crowd, areas } = truth.objects;
  if (count === truth.items.length) return truth;
  const end = offsets[count]!;
  return {
    ...truth,
    items: truth.items.slice(0, count),
    objects: {
      boxes: (boxes as Numbers).slice(0, 4 * end),
      labels: labels!.slice(0, end),
      offsets: offsets.slice(0, count + 1),
      ...(crowd && { crowd: crowd.slice(0, end) }),
      ...(areas && { areas: areas.slice(0, end) }),
    },
  };
}

const folded = (name: string): string => name.trim().toLowerCase();

/** What the answers have found; what cannot be used of them is added to the problems. */
function readAnswers(
  { items, format, categories, names }: DetectionTruth,
  answers: readonly (string | null)[],
  { coordinates }: EvaluationOptions,
  { problems, notes }: Findings,
): Found {
  // The first of equal names is taken.
  const categoryOf = new Map([...names.keys()].reverse().map((i) => [folded(names[i]!), categories[i]!]));
  const boxes: number[] = [];
  const labels: (Label | null)[] = [];
  const written: (string | null)[] = [];
  const offsets = new Int32Array(items.length + 1);
  const check = new SpaceCheck();
  for (const [i, item] of items.entries()) {
    const text = answers[i];
    offsets[i + 1] = labels.length;
    if (typeof text !== 'string') continue;
    const parsed = parseCompletion(text);
    addFaults(parsed, titleOf(item), problems);
    const space = spaceOf(text, parsed.boxes, coordinates);
    const extent = extentOf(space, item.resized ?? item.size);
    check.add(parsed.boxes, space, extent);
    if (parsed.points.length > 0) problems.add('answers with points, which are no detections', titleOf(item));
    if (space !== 'pixels' && !item.size && parsed.boxes.length > 0) {
      const range = space === 'unit' ? '0..1' : '0..1000';
      problems.add(`answers in ${range} of images whose size is not known`, titleOf(item));
      continue;
    }
    const pixels = extent && item.size ? rescale(parsed.boxes, extent, item.size) : parsed.boxes;
    for (const [k, label] of parsed.labels.entries()) {
      const [x1, y1, x2, y2] = pixels.subarray(4 * k, 4 * k + 4) as unknown as Box;
      const category = label === null ? undefined : categoryOf.get(folded(label));
      if (label === null) problems.add('detections without a category', titleOf(item));
      else if (category === undefined) {
        problems.add('detections of unknown categories', `"${short(label)}" (${titleOf(item)})`);
      }
      boxes.push(x1, y1, format === 'xywh' ? x2 - x1 : x2, format === 'xywh' ? y2 - y1 : y2);
      labels.push(category ?? null);
      written.push(label);
    }
    offsets[i + 1] = labels.length;
  }
  const note = check.note();
  if (note !== undefined) notes.push(note);
  const detections = { boxes: Float64Array.from(boxes), labels, offsets };
  return { detections, label: (i) => written[i]!, answers };
}

const short = (text: string): string => (text.length > 40 ? `${text.slice(0, 40)}…` : text);

async function evaluate(
  truth: DetectionTruth,
  found: Found,
  options: EvaluationOptions,
  findings: Findings,
): Promise<Evaluation> {
  const { objects, format, categories, names, items } = truth;
  const summary = await evaluateDetectionsAsync(objects, found.detections, { format, categories });
  return {
    task: 'detection',
    count: items.length,
    figures: {
      ...figuresOf(summary, findings),
      ...perplexityFigures(objectsOfEach(objects), findings),
    },
    notes: findings.notes,
    problems: findings.problems.list(),
    categories: summary.perCategory.flatMap(({ objects: count, detections, AP, AP50, AR100 }, k) =>
      count > 0 ? [{ name: names[k]!, objects: count, detections, AP, AP50, AR100 }] : [],
    ),
    ...(options.items && { curves: await curvesOf(truth, found) }),
    items: options.items ? await itemsOf(truth, found) : [],
  };
}

/** -1 stands for no object to find. */
function figuresOf(summary: DetectionSummary, { notes }: Findings): Evaluation['figures'] {
  const missing = detectionFigures.filter((name) => summary[name] < 0);
  if (missing.length > 0) notes.push(`${missing.join(', ')}: the ground truth has no such object to find.`);
  return Object.fromEntries(detectionFigures.map((name) => [name, summary[name] < 0 ? null : summary[name]]));
}

/** Objects of each image, regions of many left out. */
function objectsOfEach({ offsets, crowd }: DetectionTruth['objects']): Int32Array {
  const counts = new Int32Array(offsets.length - 1);
  for (let i = 0; i < counts.length; i++) {
    for (let g = offsets[i]!; g < offsets[i + 1]!; g++) counts[i]! += crowd?.[g] ? 0 : 1;
  }
  return counts;
}

const recalls = 101;

/** Precision over recall, means over the categories that have objects. */
async function curvesOf(
  { objects, format, categories }: DetectionTruth,
  { detections }: Found,
): Promise<NonNullable<Evaluation['curves']>> {
  const { curves, iouThresholds, perCategory } = await evaluateDetectionsAsync(objects, detections, {
    format,
    categories,
    areaRanges: { all: [0, 1e5 ** 2] },
    maxDetections: [100],
    curves: true,
  });
  const present = [...perCategory.keys()].filter((k) => perCategory[k]!.objects > 0);
  const meanOf = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
  const all = Array.from(iouThresholds, (_, t) =>
    Float64Array.from({ length: recalls }, (_, r) => {
      const row = (t * recalls + r) * perCategory.length;
      return meanOf(present.map((k) => curves!.precision[row + k]!));
    }),
  );
  return [
    { name: 'IoU 0.5', precision: all[iouThresholds.indexOf(0.5)]! },
    { name: 'IoU 0.75', precision: all[iouThresholds.indexOf(0.75)]! },
    {
      name: 'mean of IoU 0.5 to 0.95',
      precision: all[0]!.map((_, r) => meanOf(all.map((curve) => curve[r]!))),
    },
  ];
}

/** Each image, with what its detections matched at an IoU of 0.5. */
async function itemsOf(truth: DetectionTruth, found: Found): Promise<EvaluatedItem[]> {
  const { items, objects, format, categories, names } = truth;
  const { detections, label, answers } = found;
  const summary = await evaluateDetectionsAsync(objects, detections, {
    format,
    categories,
    iouThresholds: [0.5],
    areaRanges: { all: [0, Infinity] },
    maxDetections: [2147483647],
    matches: true,
  });
  const nameOfCategory = new Map(categories.map((category, i) => [String(category), names[i]!]));
  const corners = (boxes: Numbers, from: number, to: number): Float32Array => {
    const part = Float32Array.from(boxes.slice(4 * from, 4 * to));
    for (let k = 0; format === 'xywh' && k < part.length; k += 4) {
      part[k + 2]! += part[k]!;
      part[k + 3]! += part[k + 1]!;
    }
    return part;
  };
  return items.map((item, i): EvaluatedItem => {
    const [from, to] = [detections.offsets[i]!, detections.offsets[i + 1]!];
    const [start, end] = [objects.offsets[i]!, objects.offsets[i + 1]!];
    const { image, size } = item;
    const answer = answers?.[i];
    const { score, summary: said } = scoreOf(summary.matches!, from, to, start, end);
    return {
      name: nameOf(item),
      ...(image !== undefined && { file: image }),
      ...(size && { size }),
      score,
      summary: said,
      ...(typeof answer === 'string' && { answer: excerpt(answer) }),
      space: 'pixels',
      truth: {
        boxes: corners(objects.boxes as Numbers, start, end),
        labels: Array.from(objects.labels!.slice(start, end), (value) => nameOfCategory.get(String(value))!),
        ignored: summary.matches!.ignoredTruth.slice(start, end),
      },
      predictions: {
        boxes: corners(detections.boxes as Numbers, from, to),
        labels: Array.from({ length: to - from }, (_, k) => label(from + k)),
      },
      matches: summary.matches!.truth.slice(from, to).map((place) => Math.max(place, -1)),
    };
  });
}

/** F1 of one image at an IoU of 0.5, its detections `from` .. `to` and its objects `start` .. `end`. */
function scoreOf(
  { truth, ignored, ignoredTruth }: DetectionMatches,
  from: number,
  to: number,
  start: number,
  end: number,
): { score: number; summary: string } {
  let [right, wrong] = [0, 0];
  for (let d = from; d < to; d++) {
    if (ignored[d]) continue;
    if (truth[d]! >= 0) right++;
    else wrong++; // of an unknown category too
  }
  const objects = ignoredTruth.subarray(start, end).reduce((sum, flag) => sum + 1 - flag, 0);
  const missed = objects - right;
  const total = 2 * right + wrong + missed;
  const score = total === 0 ? 1 : (2 * right) / total;
  const found = objects === 0 ? 'nothing to find' : `${right} of ${objects} found`;
  return { score, summary: `F1 ${score.toFixed(2)}: ${found}, ${wrong} wrong` };
}
