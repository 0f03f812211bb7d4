import { describe, invalid, PerceptionError } from '../errors.js';
import { type Packed, packStrings } from '../ops/text.js';
import type { Task } from './recipes.js';
import type { Vocabulary } from './vocabulary.js';

/** Numbers one after the other, in a typed array or a plain one. */
export type Numbers = Float32Array | Float64Array | Int32Array | readonly number[];

interface Sized {
  /** Width and height in pixels of the image that the annotation belongs to. */
  imageSize?: readonly [width: number, height: number];
  /** Width and height of the image that the model saw, where the processor resized it. */
  resizedSize?: readonly [width: number, height: number];
}

/** One box, x1 y1 x2 y2. */
export interface GroundingTruth extends Sized {
  box: Numbers;
}

/** Boxes, x1 y1 x2 y2 each, flat or as a list of lists; as many labels, by name or by the vocabulary's id. */
export interface DetectionTruth extends Sized {
  boxes: Numbers | readonly Numbers[];
  labels: readonly (string | number)[] | Int32Array;
}

/** Points, x y each, flat or as a list of lists. */
export interface CountingTruth extends Sized {
  points: Numbers | readonly Numbers[];
}

export interface OcrTruth {
  text: string;
}

/** What is true of one image (or prompt). No objects at all is legal for detection and counting. */
export type GroundTruth = GroundingTruth | DetectionTruth | CountingTruth | OcrTruth;

/** @internal Ground truth as the add-on takes it. */
export interface PackedTruth {
  offsets: Int32Array | undefined;
  coordinates: Float64Array | undefined;
  labels: Int32Array | undefined;
  texts: Packed | undefined;
  /** `[n, 2]`, 0 where not known. */
  imageSizes: Float64Array | undefined;
  /** `[n, 2]`, 0 where the model saw the image in its own size. */
  resizedSizes: Float64Array | undefined;
}

const shapes: Readonly<Record<Task, string>> = {
  grounding: '{box} for a grounding recipe',
  detection: '{boxes, labels} for a detection recipe',
  counting: '{points} for a counting recipe',
  ocr: '{text} for an OCR recipe',
};

/** @internal Checks and flattens the ground truth of a batch. @throws PerceptionError INVALID_GROUND_TRUTH */
export function packTruth(
  task: Task,
  truths: readonly GroundTruth[],
  vocabulary: Vocabulary | undefined,
  sizes: Sized,
): PackedTruth {
  const packed: PackedTruth = {
    offsets: undefined,
    coordinates: undefined,
    labels: undefined,
    texts: undefined,
    imageSizes: undefined,
    resizedSizes: undefined,
  };
  if (task === 'ocr') {
    packed.texts = packStrings(
      truths.map((truth, i) => {
        const text = member(truth, i, task, 'text');
        if (typeof text !== 'string') throw wrong(i, task, truth);
        return text;
      }),
      'groundTruth',
    );
    return packed;
  }
  const width = task === 'counting' ? 2 : 4;
  const name = task === 'grounding' ? 'box' : task === 'detection' ? 'boxes' : 'points';
  const offsets = new Int32Array(truths.length + 1);
  const tuples = Array.from(truths, (truth, i) => {
    const value = member(truth, i, task, name);
    const count = countOf(value, width, `groundTruth[${i}].${name}`);
    if (task === 'grounding' && count !== 1) {
      throw invalid('INVALID_GROUND_TRUTH', `groundTruth[${i}].box`, 'four numbers', value);
    }
    offsets[i + 1] = offsets[i]! + count;
    return value as Numbers | readonly Numbers[];
  });
  packed.offsets = offsets;
  packed.coordinates = new Float64Array(width * offsets[truths.length]!);
  if (task === 'detection') packed.labels = new Int32Array(offsets[truths.length]!);
  for (let i = 0; i < truths.length; i++) {
    copyNumbers(tuples[i]!, packed.coordinates, width * offsets[i]!, width, `groundTruth[${i}].${name}`);
    if (packed.labels) copyLabels(truths[i] as DetectionTruth, packed.labels, offsets, i, vocabulary!);
  }
  if (width === 4) refuseInverted(packed.coordinates, offsets);
  packed.imageSizes = sizesOf(truths as readonly Sized[], 'imageSize', sizes.imageSize);
  packed.resizedSizes = sizesOf(truths as readonly Sized[], 'resizedSize', sizes.resizedSize);
  return packed;
}

function wrong(i: number, task: Task, truth: unknown): PerceptionError {
  return invalid('INVALID_GROUND_TRUTH', `groundTruth[${i}]`, shapes[task], truth);
}

function member(truth: unknown, i: number, task: Task, name: string): unknown {
  if (typeof truth !== 'object' || truth === null || !(name in truth)) throw wrong(i, task, truth);
  return (truth as Record<string, unknown>)[name];
}

const isNumbers = (value: unknown): value is ArrayLike<number> =>
  Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));

/** How many tuples of `width` numbers `value` holds, flat or nested. */
function countOf(value: unknown, width: number, name: string): number {
  if (!isNumbers(value)) {
    throw invalid('INVALID_GROUND_TRUTH', name, `numbers, ${width} each, flat or as a list of lists`, value);
  }
  if (isNested(value)) return value.length;
  if (value.length % width !== 0) {
    throw invalid('INVALID_GROUND_TRUTH', name, `a multiple of ${width} numbers`, value);
  }
  return value.length / width;
}

const isNested = (value: ArrayLike<unknown>): value is readonly Numbers[] =>
  Array.isArray(value) && value.length > 0 && isNumbers(value[0]);

function copyNumbers(
  value: Numbers | readonly Numbers[],
  to: Float64Array,
  at: number,
  width: number,
  name: string,
): void {
  if (!isNested(value)) {
    for (let k = 0; k < value.length; k++) to[at + k] = finite(value[k], name);
    return;
  }
  for (let k = 0; k < value.length; k++) {
    const item = value[k]!;
    if (!isNumbers(item) || item.length !== width) {
      throw invalid('INVALID_GROUND_TRUTH', `${name}[${k}]`, `${width} numbers`, item);
    }
    for (let c = 0; c < width; c++) to[at + width * k + c] = finite(item[c], name);
  }
}

function finite(value: unknown, name: string): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw invalid('INVALID_GROUND_TRUTH', name, 'finite numbers', value);
}

function copyLabels(
  truth: DetectionTruth,
  to: Int32Array,
  offsets: Int32Array,
  i: number,
  vocabulary: Vocabulary,
): void {
  const { labels } = truth;
  const [begin, end] = [offsets[i]!, offsets[i + 1]!];
  if (!isNumbers(labels) || labels.length !== end - begin) {
    throw invalid(
      'INVALID_GROUND_TRUTH',
      `groundTruth[${i}].labels`,
      `${end - begin} labels, one per box`,
      labels,
    );
  }
  for (let k = begin; k < end; k++) {
    const label: unknown = labels[k - begin];
    const id = typeof label === 'string' ? vocabulary.ids.get(label) : (label as number);
    if (id === undefined || (typeof label !== 'string' && !vocabulary.known.has(id))) {
      throw new PerceptionError(
        'INVALID_GROUND_TRUTH',
        `groundTruth[${i}].labels[${k - begin}]: expected a name or id of the recipe's vocabulary (${vocabulary.ids.size} labels), received ${describe(label)}; set recipe.vocabulary to the labels of your data`,
      );
    }
    to[k] = id;
  }
}

function refuseInverted(coordinates: Float64Array, offsets: Int32Array): void {
  for (let k = 0; k < coordinates.length; k += 4) {
    if (coordinates[k + 2]! >= coordinates[k]! && coordinates[k + 3]! >= coordinates[k + 1]!) continue;
    const i = offsets.findIndex((offset) => offset > k / 4) - 1;
    throw new PerceptionError(
      'INVALID_GROUND_TRUTH',
      `groundTruth[${i}]: expected boxes x1 y1 x2 y2 with x1 <= x2 and y1 <= y2, received [${coordinates.slice(k, k + 4).join(', ')}]; COCO's x y width height must be converted first`,
    );
  }
}

/** `[n, 2]` sizes, 0 where an entry has none; undefined where no entry has one. */
function sizesOf(
  truths: readonly Sized[],
  key: 'imageSize' | 'resizedSize',
  common: readonly [number, number] | undefined,
): Float64Array | undefined {
  let sizes: Float64Array | undefined;
  for (let i = 0; i < truths.length; i++) {
    const size = truths[i]![key] ?? common;
    if (size === undefined) continue;
    if (
      !isNumbers(size) ||
      size.length !== 2 ||
      !(size[0]! > 0 && size[1]! > 0 && size[0]! + size[1]! < Infinity)
    ) {
      throw invalid('INVALID_GROUND_TRUTH', `groundTruth[${i}].${key}`, '[width, height] in pixels', size);
    }
    sizes ??= new Float64Array(2 * truths.length);
    sizes.set(size, 2 * i);
  }
  return sizes;
}
