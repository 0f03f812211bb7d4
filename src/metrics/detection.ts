import { invalid } from '../errors.js';
import type { NativeDetectionProtocol, NativeObjectLists } from '../native/binding.js';
import { type Call, runAsync, runSync } from '../native/load.js';
import { type BoxFormat, formats } from '../ops/iou.js';
import { choice, optionsObject, sizeOf, wholeNumber } from '../ops/validate.js';
import {
  appendAll,
  DetectedObjects,
  type Flat,
  type ImageDetections,
  type ImageTruth,
  type Label,
  LabelIds,
  TruthObjects,
} from './objects.js';

/** The twelve figures of the COCO API, in its order. */
export const detectionFigures = [
  'AP',
  'AP50',
  'AP75',
  'APsmall',
  'APmedium',
  'APlarge',
  'AR1',
  'AR10',
  'AR100',
  'ARsmall',
  'ARmedium',
  'ARlarge',
] as const;

/**
 * Average precision (AP, means over recall) and average recall (AR), both means over IoU thresholds and categories; -1
 * where there is no object to find. AP50 and AP75 are of one IoU threshold, small, medium and large of one area range;
 * AR1, AR10 and AR100 are at the first, second and third of `maxDetections`, all others at the last.
 */
export type DetectionFigures = Record<(typeof detectionFigures)[number], number>;

export interface DetectionOptions {
  /** What the four numbers of a box are; COCO's files have 'xywh'. Default 'xyxy'. */
  format?: BoxFormat;
  /** 1 to 32 in (0, 1]. Default 0.5, 0.55 .. 0.95, to the bit as the COCO API has them. */
  iouThresholds?: readonly number[];
  /** [low, high] of the truth's areas, both included, by name. Default all, small (up to 32²), medium (up to 96²), large. */
  areaRanges?: Readonly<Record<string, readonly [low: number, high: number]>>;
  /** How many detections of a category count in an image, the best by score: up to three ascending numbers. Default 1, 10, 100. */
  maxDetections?: readonly number[];
  /** Those to be evaluated. Default all that the ground truth has, ascending. */
  categories?: readonly Label[];
  /** false: a detection may match an object of any category. Default true. */
  useCategories?: boolean;
  /** Also return the curves of precision over recall. Default false. */
  curves?: boolean;
  /** Also return who matched whom in each image. Default false. */
  matches?: boolean;
}

/** Precision over recall, `[T, 101, K, A, M]` each: IoU thresholds, recalls 0, 0.01 .. 1, categories, area ranges, maxDetections. */
export interface PrecisionCurves {
  /** -1 where a category has no object to find. */
  precision: Float64Array;
  /** The score of the detection that reaches each recall; 0 where none does. */
  scores: Float64Array;
}

/** Who matched whom, with detections (D) and objects (G) in the order in which they were given. */
export interface DetectionMatches {
  /** `[A, T, D]`: the object's place in its image; -1: none, -2: detection not evaluated (cut by maxDetections, other category). */
  truth: Int32Array;
  /** `[A, T, D]`: 1 where the detection counts neither as right nor as wrong. */
  ignored: Uint8Array;
  /** `[A, G]`: 1 where the object is not to be found. */
  ignoredTruth: Uint8Array;
  /** `[images + 1]`: where each image's detections begin. */
  offsets: Int32Array;
  /** `[images + 1]`: where each image's objects begin. */
  truthOffsets: Int32Array;
}

export interface CategorySummary extends DetectionFigures {
  category: Label;
  /** Objects to find, that is, not ignored. */
  objects: number;
  detections: number;
}

export interface DetectionSummary extends DetectionFigures {
  /** The twelve figures in the COCO API's order. */
  stats: Float64Array;
  perCategory: CategorySummary[];
  images: number;
  /** The axes of the arrays. Where categories are not used, there is one, and `categories` says what went into it. */
  iouThresholds: Float64Array;
  categories: Label[];
  areaRanges: string[];
  maxDetections: Int32Array;
  /** `[T, K, A, M]`, means of precision over 101 recalls; -1 where there is no object to find. */
  averagePrecision: Float64Array;
  /** `[T, K, A, M]`, likewise. */
  recall: Float64Array;
  curves?: PrecisionCurves;
  matches?: DetectionMatches;
  /** How many had labels that are not evaluated, by label; "null" is none. */
  leftOut: { objects: Record<string, number>; detections: Record<string, number> };
}

const defaultRanges: NonNullable<DetectionOptions['areaRanges']> = {
  all: [0, 1e5 ** 2],
  small: [0, 32 ** 2],
  medium: [32 ** 2, 96 ** 2],
  large: [96 ** 2, 1e5 ** 2],
};
const recallPoints = 101;

/** numpy.linspace(0.5, 0.95, 10) to the bit; its ninth is just below 0.9. */
const defaultThresholds = Float64Array.from({ length: 10 }, (_, k) => 0.5 + k * ((0.95 - 0.5) / 9));

interface Protocol {
  format: number;
  thresholds: Float64Array;
  ranges: string[];
  areaRanges: Float64Array;
  maxDetections: Int32Array;
  byCategory: boolean;
}

function booleanOf(value: unknown, fallback: boolean, name: string): boolean {
  if (value === undefined) return fallback;
  if (typeof value !== 'boolean') throw invalid('INVALID_ARGUMENT', name, 'a boolean', value);
  return value;
}

function thresholdsOf(value: readonly number[] | undefined): Float64Array {
  if (value === undefined) return defaultThresholds;
  if (!Array.isArray(value) && !(value instanceof Float64Array)) {
    throw invalid('INVALID_ARGUMENT', 'iouThresholds', 'an array of numbers', value);
  }
  return Float64Array.from(value); // their values are checked by the add-on
}

function protocolOf(o: DetectionOptions): Protocol {
  const ranges = o.areaRanges ?? defaultRanges;
  if (typeof ranges !== 'object' || ranges === null || Array.isArray(ranges)) {
    throw invalid('INVALID_ARGUMENT', 'areaRanges', '{name: [low, high], ...}', ranges);
  }
  for (const [name, range] of Object.entries(ranges)) {
    if (!Array.isArray(range) || range.length !== 2) {
      throw invalid('INVALID_ARGUMENT', `areaRanges.${name}`, '[low, high]', range);
    }
  }
  const limits = o.maxDetections ?? [1, 10, 100];
  if (!Array.isArray(limits) || limits.length < 1 || limits.length > 3) {
    throw invalid('INVALID_ARGUMENT', 'maxDetections', 'one to three ascending numbers', limits);
  }
  return {
    format: choice(o.format, 'xyxy', formats, 'format'),
    thresholds: thresholdsOf(o.iouThresholds),
    ranges: Object.keys(ranges),
    areaRanges: Float64Array.from(Object.values(ranges).flat()),
    maxDetections: Int32Array.from(limits, (limit, i) => wholeNumber(limit, `maxDetections[${i}]`, 1)),
    byCategory: booleanOf(o.useCategories, true, 'useCategories'),
  };
}

const nativeProtocol = (protocol: Protocol, categories: number): NativeDetectionProtocol => ({
  format: protocol.format,
  categoryCount: categories,
  byCategory: protocol.byCategory,
  thresholds: protocol.thresholds,
  areaRanges: protocol.areaRanges,
  maxDetections: protocol.maxDetections,
});

/** `places`: the category of each label's id. */
const nativeLists = (
  truth: TruthObjects,
  detections: DetectedObjects,
  places: Int32Array,
): NativeObjectLists => ({
  truthBoxes: truth.boxes.values,
  truthCategories: truth.labels.values.map((id) => places[id]!),
  truthOffsets: truth.offsets.values,
  truthAreas: truth.areas.values,
  truthCrowd: truth.crowd.values,
  truthIgnore: truth.ignore.values,
  boxes: detections.boxes.values,
  categories: detections.labels.values.map((id) => places[id]!),
  offsets: detections.offsets.values,
  scores: detections.scores.values,
});

/** The ids of `labels` in the order of the labels: numbers ascending, then texts, then none. */
function ordered(labels: readonly (Label | null)[]): number[] {
  const rank = (label: Label | null): number => (label === null ? 2 : typeof label === 'string' ? 1 : 0);
  const compare = (a: Label | null, b: Label | null): number =>
    rank(a) - rank(b) || (a! < b! ? -1 : a! > b! ? 1 : 0);
  return [...labels.keys()].sort((i, j) => compare(labels[i]!, labels[j]!));
}

/** Each id's place in `evaluated`, -1 for the others. */
function placesOf(evaluated: readonly number[], count: number): Int32Array {
  const places = new Int32Array(count).fill(-1);
  evaluated.forEach((id, place) => {
    places[id] = place;
  });
  return places;
}

function countEach(ids: Int32Array, kinds: number): Int32Array {
  const counts = new Int32Array(kinds);
  for (const id of ids) counts[id]!++;
  return counts;
}

/** Mean of those that are defined; -1 where none is. */
class Mean {
  #sum = 0;
  #count = 0;

  add(value: number): void {
    if (value < 0) return;
    this.#sum += value;
    this.#count++;
  }

  get value(): number {
    return this.#count === 0 ? -1 : this.#sum / this.#count;
  }
}

/** The twelve figures over the categories from `first` up to `last`. */
function figuresOf(
  protocol: Protocol,
  categories: number,
  averagePrecision: Float64Array,
  recall: Float64Array,
  first: number,
  last: number,
): Float64Array {
  const { thresholds, ranges, maxDetections } = protocol;
  const greatest = maxDetections.length - 1;
  const mean = (values: Float64Array, area: string, limit: number, threshold?: number): number => {
    const a = ranges.indexOf(area);
    const result = new Mean();
    if (a < 0 || limit > greatest) return result.value;
    for (let t = 0; t < thresholds.length; t++) {
      if (threshold !== undefined && thresholds[t] !== threshold) continue;
      for (let k = first; k < last; k++) {
        result.add(values[((t * categories + k) * ranges.length + a) * maxDetections.length + limit]!);
      }
    }
    return result.value;
  };
  return Float64Array.of(
    mean(averagePrecision, 'all', greatest),
    mean(averagePrecision, 'all', greatest, 0.5),
    mean(averagePrecision, 'all', greatest, 0.75),
    mean(averagePrecision, 'small', greatest),
    mean(averagePrecision, 'medium', greatest),
    mean(averagePrecision, 'large', greatest),
    mean(recall, 'all', 0),
    mean(recall, 'all', 1),
    mean(recall, 'all', 2),
    mean(recall, 'small', greatest),
    mean(recall, 'medium', greatest),
    mean(recall, 'large', greatest),
  );
}

const named = (stats: Float64Array): DetectionFigures =>
  Object.fromEntries(detectionFigures.map((name, i) => [name, stats[i]!])) as DetectionFigures;

/** Collects the images of an evaluation, to be evaluated at any time. */
export class DetectionEvaluator {
  readonly #protocol: Protocol;
  readonly #fixed: readonly Label[] | undefined;
  readonly #curves: boolean;
  readonly #matches: boolean;
  readonly #ids = new LabelIds();
  readonly #truth: TruthObjects;
  readonly #detections: DetectedObjects;

  /** @throws PerceptionError INVALID_ARGUMENT */
  constructor(options?: DetectionOptions) {
    const o = optionsObject(options, 'options', [
      'format',
      'iouThresholds',
      'areaRanges',
      'maxDetections',
      'categories',
      'useCategories',
      'curves',
      'matches',
    ]);
    this.#protocol = protocolOf(o);
    if (o.categories !== undefined && !Array.isArray(o.categories)) {
      throw invalid('INVALID_ARGUMENT', 'categories', 'an array of labels', o.categories);
    }
    this.#fixed = o.categories;
    const fixed = (o.categories ?? []).map((label, i) => this.#ids.of(label, 'categories', i));
    if (new Set(fixed).size !== fixed.length) {
      throw invalid('INVALID_ARGUMENT', 'categories', 'each label once', o.categories);
    }
    this.#curves = booleanOf(o.curves, false, 'curves');
    this.#matches = booleanOf(o.matches, false, 'matches');
    this.#truth = new TruthObjects(this.#ids, this.#protocol.byCategory);
    this.#detections = new DetectedObjects(this.#ids, this.#protocol.byCategory);
  }

  /** How many were added. */
  get images(): number {
    return this.#truth.images;
  }

  /**
   * Adds one image, or as many as `offsets` say. They are copied. Values are checked by `summary`, whose messages count
   * the images from 0.
   * @throws PerceptionError INVALID_ARGUMENT, SHAPE_MISMATCH; then nothing was added
   */
  add(truth: ImageTruth | Flat<ImageTruth>, detections: ImageDetections | Flat<ImageDetections>): void {
    this.#append(() => {
      this.#truth.append(truth, 'truth');
      this.#detections.append(detections, 'detections');
    });
  }

  /** @internal Adds many. */
  addAll(
    groundTruth: readonly ImageTruth[] | Flat<ImageTruth>,
    detections: readonly ImageDetections[] | Flat<ImageDetections>,
  ): void {
    this.#append(() => {
      appendAll(this.#truth, groundTruth, 'groundTruth');
      appendAll(this.#detections, detections, 'detections');
    });
  }

  #append(work: () => void): void {
    const { images } = this;
    try {
      work();
      if (this.#detections.images !== this.#truth.images) {
        const expected = `${this.#truth.images - images} images, as many as groundTruth`;
        throw invalid('SHAPE_MISMATCH', 'detections', expected, this.#detections.images - images);
      }
    } catch (error) {
      this.#truth.truncate(images);
      this.#detections.truncate(images);
      throw error;
    }
  }

  /**
   * The figures over all images so far.
   * @throws PerceptionError INVALID_ARGUMENT, INVALID_VALUE (a number that is not finite, an inverted box in the ground truth)
   */
  summary(): DetectionSummary {
    return runSync(this.#call());
  }

  /** {@link summary} off this thread. More images may be added meanwhile; they do not count. */
  async summaryAsync(): Promise<DetectionSummary> {
    return runAsync(this.#call());
  }

  #call(): Call<unknown, DetectionSummary> {
    const protocol = this.#protocol;
    const { labels } = this.#ids;
    const objectsOf = countEach(this.#truth.labels.values, labels.length);
    const detectionsOf = countEach(this.#detections.labels.values, labels.length);

    const evaluated = this.#fixed
      ? this.#fixed.map((label, i) => this.#ids.of(label, 'categories', i))
      : ordered(labels).filter((id) => !protocol.byCategory || (labels[id] !== null && objectsOf[id]! > 0));
    const places = placesOf(evaluated, labels.length);
    const leftOut = (counts: Int32Array): Record<string, number> =>
      Object.fromEntries(
        labels.flatMap((label, id) =>
          places[id]! < 0 && counts[id]! > 0 ? [[String(label), counts[id]!]] : [],
        ),
      );

    const categories = protocol.byCategory ? evaluated.length : 1;
    const { thresholds, ranges, maxDetections } = protocol;
    const areas = ranges.length;
    const size = sizeOf(thresholds.length * categories * areas * maxDetections.length, 'averagePrecision');
    const averagePrecision = new Float64Array(size);
    const recall = new Float64Array(size);
    const objects = new Int32Array(categories * areas);
    const curves = this.#curves
      ? {
          precision: new Float64Array(sizeOf(recallPoints * size, 'curves')),
          scores: new Float64Array(recallPoints * size),
        }
      : undefined;
    const pairs = areas * thresholds.length * this.#detections.count;
    const matches = this.#matches
      ? {
          truth: new Int32Array(sizeOf(pairs, 'matches')),
          ignored: new Uint8Array(pairs),
          ignoredTruth: new Uint8Array(sizeOf(areas * this.#truth.count, 'matches')),
          offsets: this.#detections.offsets.values.slice(),
          truthOffsets: this.#truth.offsets.values.slice(),
        }
      : undefined;
    const { images } = this;
    return {
      start: (native, async) =>
        native.evaluateDetections(
          {
            ...nativeProtocol(protocol, evaluated.length),
            ...nativeLists(this.#truth, this.#detections, places),
            averagePrecision,
            recall,
            objects,
            precision: curves?.precision,
            scoresAtRecall: curves?.scores,
            matches: matches?.truth,
            ignored: matches?.ignored,
            ignoredTruth: matches?.ignoredTruth,
          },
          async,
        ),
      finish: () => {
        const figures = (first: number, last: number): Float64Array =>
          figuresOf(protocol, categories, averagePrecision, recall, first, last);
        const stats = figures(0, categories);
        const all = Math.max(0, ranges.indexOf('all'));
        return {
          ...named(stats),
          stats,
          perCategory: protocol.byCategory
            ? evaluated.map((id, k) => ({
                category: labels[id]!,
                objects: objects[k * areas + all]!,
                detections: detectionsOf[id]!,
                ...named(figures(k, k + 1)),
              }))
            : [],
          images,
          iouThresholds: thresholds.slice(),
          categories: evaluated.map((id) => labels[id]!),
          areaRanges: ranges,
          maxDetections: maxDetections.slice(),
          averagePrecision,
          recall,
          ...(curves ? { curves } : {}),
          ...(matches ? { matches } : {}),
          leftOut: { objects: leftOut(objectsOf), detections: leftOut(detectionsOf) },
        };
      },
    };
  }
}

function evaluatorOf(
  groundTruth: readonly ImageTruth[] | Flat<ImageTruth>,
  detections: readonly ImageDetections[] | Flat<ImageDetections>,
  options: DetectionOptions | undefined,
): DetectionEvaluator {
  const evaluator = new DetectionEvaluator(options);
  evaluator.addAll(groundTruth, detections);
  return evaluator;
}

/**
 * Average precision and recall of detections as the COCO API (pycocotools' COCOeval for boxes) computes them. Entry i of
 * both lists is image i; ties between scores keep the order of images and of boxes.
 *
 * @throws PerceptionError INVALID_ARGUMENT, SHAPE_MISMATCH, INVALID_OFFSETS, INVALID_VALUE (a number that is not finite, an
 * inverted box in the ground truth), TOO_LARGE
 * @example
 * evaluateDetections(
 *   [{ boxes: [[10, 10, 110, 110]], labels: ['dog'] }],
 *   [{ boxes: [[12, 8, 110, 110], [0, 0, 9, 9]], labels: ['dog', 'dog'], scores: [0.9, 0.2] }],
 * ).AP50 // 0.999...
 */
export function evaluateDetections(
  groundTruth: readonly ImageTruth[] | Flat<ImageTruth>,
  detections: readonly ImageDetections[] | Flat<ImageDetections>,
  options?: DetectionOptions,
): DetectionSummary {
  return evaluatorOf(groundTruth, detections, options).summary();
}

/** {@link evaluateDetections} off this thread. The input is copied first and may be changed at once. */
export async function evaluateDetectionsAsync(
  groundTruth: readonly ImageTruth[] | Flat<ImageTruth>,
  detections: readonly ImageDetections[] | Flat<ImageDetections>,
  options?: DetectionOptions,
): Promise<DetectionSummary> {
  return evaluatorOf(groundTruth, detections, options).summaryAsync();
}

export interface AveragePrecisionOptions {
  /** What the four numbers of a box are. Default 'xyxy'. */
  format?: BoxFormat;
  /** 1 to 32 in (0, 1]. Default 0.5, 0.55 .. 0.95. */
  iouThresholds?: readonly number[];
  /** How many detections of a category count, the best by score. Default 100. */
  maxDetections?: number;
  /** false: a detection may match an object of any category. Default true. */
  useCategories?: boolean;
  /** Answers per entry of the ground truth, where there are several. Default 1. */
  groupSize?: number;
}

function averagePrecisionCall(
  groundTruth: readonly ImageTruth[] | Flat<ImageTruth>,
  detections: readonly ImageDetections[] | Flat<ImageDetections>,
  options: AveragePrecisionOptions | undefined,
): Call<unknown, Float32Array> {
  const o = optionsObject(options, 'options', [
    'format',
    'iouThresholds',
    'maxDetections',
    'useCategories',
    'groupSize',
  ]);
  const protocol: Protocol = {
    format: choice(o.format, 'xyxy', formats, 'format'),
    thresholds: thresholdsOf(o.iouThresholds),
    ranges: ['all'],
    areaRanges: Float64Array.of(0, Infinity),
    maxDetections: Int32Array.of(wholeNumber(o.maxDetections ?? 100, 'maxDetections', 1)),
    byCategory: booleanOf(o.useCategories, true, 'useCategories'),
  };
  const groupSize = wholeNumber(o.groupSize ?? 1, 'groupSize', 1);
  const ids = new LabelIds();
  const truth = new TruthObjects(ids, protocol.byCategory);
  const found = new DetectedObjects(ids, protocol.byCategory);
  appendAll(truth, groundTruth, 'groundTruth');
  appendAll(found, detections, 'detections');
  const { labels } = ids;
  const places = placesOf(
    ordered(labels).filter((id) => !protocol.byCategory || labels[id] !== null),
    labels.length,
  );
  const out = new Float32Array(found.images);
  return {
    start: (native, async) =>
      native.averagePrecision(
        {
          ...nativeProtocol(protocol, labels.length),
          ...nativeLists(truth, found, places),
          perTruth: groupSize,
          out,
        },
        async,
      ),
    finish: () => out,
  };
}

/**
 * The average precision of each answer by itself, as a reward: [n], means over IoU thresholds and those categories that
 * have an object to find. Objects of categories that the ground truth does not have cost nothing, as is the COCO API's way.
 * NaN where there is nothing to find, which groupAdvantages takes as not scored. A model's boxes are never an error: one
 * that is inverted or not finite is a wrong one, one without a label is of no category.
 *
 * @param detections n answers (a ParsedCompletion is one)
 * @param groundTruth n, or n / groupSize
 * @throws PerceptionError as evaluateDetections
 */
export function averagePrecision(
  groundTruth: readonly ImageTruth[] | Flat<ImageTruth>,
  detections: readonly ImageDetections[] | Flat<ImageDetections>,
  options?: AveragePrecisionOptions,
): Float32Array {
  return runSync(averagePrecisionCall(groundTruth, detections, options));
}

/** {@link averagePrecision} off this thread. The input is copied first and may be changed at once. */
export async function averagePrecisionAsync(
  groundTruth: readonly ImageTruth[] | Flat<ImageTruth>,
  detections: readonly ImageDetections[] | Flat<ImageDetections>,
  options?: AveragePrecisionOptions,
): Promise<Float32Array> {
  return runAsync(averagePrecisionCall(groundTruth, detections, options));
}
