import { invalid } from '../errors.js';
import { offsetsOf } from '../ops/validate.js';
import type { Numbers } from '../rewards/ground-truth.js';
import { isNumbers } from './lists.js';

/** A category. 7 and '7' are the same one: a model's answer is text. */
export type Label = string | number;

/** The label of each box; null where it has none. */
export type Labels = readonly (Label | null)[] | Int32Array;

/** A yes or no for each box. */
export type Flags = readonly (boolean | number)[] | Uint8Array;

/** What is there to find in one image. */
export interface ImageTruth {
  /** Four numbers each, flat or as a list of lists, in the format of the options. */
  boxes: Numbers | readonly Numbers[];
  /** May be left out where categories are not used. */
  labels?: Labels;
  /** Regions of many objects: any number of detections may match one, and none of them counts. Default none. */
  crowd?: Flags;
  /** Objects that do not count, found or not. (The COCO API overwrites this member with `iscrowd`.) Default none. */
  ignore?: Flags;
  /** What area ranges go by. Default width x height. */
  areas?: Numbers;
}

/** What was found in one image. A ParsedCompletion is one. */
export interface ImageDetections {
  /** Four numbers each, flat or as a list of lists, in the format of the options. */
  boxes: Numbers | readonly Numbers[];
  /** May be left out where categories are not used. A detection whose label is null is not evaluated. */
  labels?: Labels;
  /** Default all the same: then the order decides, as in a model's answer. */
  scores?: Numbers;
}

/** The boxes of all images one after the other; image i has those from `offsets[i]` up to `offsets[i + 1]`. */
export type Flat<T> = T & { offsets: Int32Array };

/** Numbers in one array that grows. */
class Column<T extends Float64Array | Int32Array | Uint8Array> {
  length = 0;
  #values: T;
  readonly #make: (length: number) => T;

  constructor(make: (length: number) => T) {
    this.#make = make;
    this.#values = make(64);
  }

  /** Where the next `count` values are to be written. */
  extend(count: number): T {
    const start = this.length;
    this.length += count;
    if (this.length > this.#values.length) {
      const grown = this.#make(Math.max(this.length, 2 * this.#values.length));
      grown.set(this.#values.subarray(0, start));
      this.#values = grown;
    }
    return this.#values.subarray(start, this.length) as T;
  }

  get values(): T {
    return this.#values.subarray(0, this.length) as T;
  }
}

const float64 = (length: number): Float64Array => new Float64Array(length);
const int32 = (length: number): Int32Array => new Int32Array(length);
const bytes = (length: number): Uint8Array => new Uint8Array(length);

function copyNumbers(value: ArrayLike<unknown>, to: Float64Array, name: string): void {
  if (ArrayBuffer.isView(value)) {
    to.set(value as unknown as Float64Array);
    return;
  }
  for (let i = 0; i < to.length; i++) {
    const number = value[i];
    if (typeof number !== 'number') throw invalid('INVALID_ARGUMENT', `${name}[${i}]`, 'a number', number);
    to[i] = number;
  }
}

function appendBoxes(column: Column<Float64Array>, value: unknown, name: string): number {
  if (!isNumbers(value)) {
    throw invalid('INVALID_ARGUMENT', name, 'numbers, 4 each, flat or as a list of lists', value);
  }
  if (value.length > 0 && isNumbers(value[0])) {
    const to = column.extend(4 * value.length);
    for (let i = 0; i < value.length; i++) {
      const box = value[i];
      if (!isNumbers(box) || box.length !== 4) {
        throw invalid('SHAPE_MISMATCH', `${name}[${i}]`, '4 numbers', box);
      }
      copyNumbers(box, to.subarray(4 * i, 4 * i + 4), `${name}[${i}]`);
    }
    return value.length;
  }
  if (value.length % 4 !== 0) throw invalid('SHAPE_MISMATCH', name, 'a multiple of 4 numbers', value);
  copyNumbers(value, column.extend(value.length), name);
  return value.length / 4;
}

function oneEach(value: unknown, count: number, name: string, what: string): ArrayLike<unknown> {
  if (!isNumbers(value)) throw invalid('INVALID_ARGUMENT', name, `${what}, one per box`, value);
  if (value.length !== count) throw invalid('SHAPE_MISMATCH', name, `${count} ${what}, one per box`, value);
  return value;
}

function appendNumbers(
  column: Column<Float64Array>,
  value: unknown,
  count: number,
  fallback: number,
  name: string,
): void {
  const to = column.extend(count);
  if (value === undefined) to.fill(fallback);
  else copyNumbers(oneEach(value, count, name, 'numbers'), to, name);
}

function appendFlags(column: Column<Uint8Array>, value: unknown, count: number, name: string): void {
  const to = column.extend(count);
  if (value === undefined) {
    to.fill(0);
    return;
  }
  const flags = oneEach(value, count, name, 'booleans');
  for (let i = 0; i < count; i++) {
    const flag = flags[i];
    if (typeof flag !== 'boolean' && flag !== 0 && flag !== 1) {
      throw invalid('INVALID_ARGUMENT', `${name}[${i}]`, 'a boolean, 0 or 1', flag);
    }
    to[i] = Number(flag);
  }
}

/** @internal Numbers for labels, in the order in which they come. */
export class LabelIds {
  readonly labels: (Label | null)[] = [];
  readonly #ids = new Map<unknown, number>();

  of(label: unknown, name: string, index: number): number {
    const known = this.#ids.get(label);
    if (known !== undefined) return known;
    if (label !== null && typeof label !== 'string' && !Number.isFinite(label)) {
      throw invalid('INVALID_ARGUMENT', `${name}[${index}]`, 'a string or a number', label);
    }
    const key = label === null ? null : String(label);
    let id = this.#ids.get(key);
    if (id === undefined) {
      id = this.labels.length;
      this.labels.push(label as Label | null);
      this.#ids.set(key, id);
    }
    this.#ids.set(label, id);
    return id;
  }
}

/** @internal Boxes of many images, with what truth and detections have in common. */
class Objects {
  readonly offsets = new Column(int32);
  readonly boxes = new Column(float64);
  readonly labels = new Column(int32);
  protected readonly ids: LabelIds;
  readonly #labelled: boolean;

  constructor(ids: LabelIds, labelled: boolean) {
    this.ids = ids;
    this.#labelled = labelled;
    this.offsets.extend(1)[0] = 0;
  }

  get images(): number {
    return this.offsets.length - 1;
  }

  get count(): number {
    return this.labels.length;
  }

  /** Back to the first `images` images. */
  truncate(images: number): void {
    const count = this.offsets.values[images]!;
    this.offsets.length = images + 1;
    this.boxes.length = 4 * count;
    for (const column of this.columns()) column.length = count;
  }

  protected columns(): { length: number }[] {
    return [this.labels];
  }

  protected appendObjects(item: ImageTruth | ImageDetections, name: string): number {
    if (typeof item !== 'object' || item === null || !('boxes' in item)) {
      throw invalid('INVALID_ARGUMENT', name, this.#labelled ? '{boxes, labels}' : '{boxes}', item);
    }
    const count = appendBoxes(this.boxes, item.boxes, `${name}.boxes`);
    const to = this.labels.extend(count);
    if (item.labels === undefined && !this.#labelled) {
      to.fill(this.ids.of(null, name, 0));
      return count;
    }
    const labels = oneEach(item.labels, count, `${name}.labels`, 'labels');
    for (let i = 0; i < count; i++) to[i] = this.ids.of(labels[i], `${name}.labels`, i);
    return count;
  }

  /** Images that are over: those whose boxes were appended last, one or as many as `flat` says. */
  protected endImages(item: object, count: number, name: string): void {
    const start = this.offsets.values[this.images]!;
    if (!('offsets' in item)) {
      this.offsets.extend(1)[0] = start + count;
      return;
    }
    const offsets = offsetsOf(item.offsets, count, `${name}.offsets`);
    const to = this.offsets.extend(offsets.length - 1);
    for (let i = 0; i < to.length; i++) to[i] = start + offsets[i + 1]!;
  }
}

/** @internal */
export class TruthObjects extends Objects {
  readonly areas = new Column(float64);
  readonly crowd = new Column(bytes);
  readonly ignore = new Column(bytes);

  protected override columns(): { length: number }[] {
    return [...super.columns(), this.areas, this.crowd, this.ignore];
  }

  append(item: ImageTruth | Flat<ImageTruth>, name: string): void {
    const count = this.appendObjects(item, name);
    // NaN: the box's own.
    appendNumbers(this.areas, item.areas, count, Number.NaN, `${name}.areas`);
    if (item.areas !== undefined) {
      const areas = this.areas.values.subarray(this.count - count);
      const wrong = areas.findIndex((area) => !(area >= 0));
      if (wrong >= 0) {
        throw invalid('INVALID_VALUE', `${name}.areas[${wrong}]`, 'a number of at least 0', areas[wrong]);
      }
    }
    appendFlags(this.crowd, item.crowd, count, `${name}.crowd`);
    appendFlags(this.ignore, item.ignore, count, `${name}.ignore`);
    this.endImages(item, count, name);
  }
}

/** @internal */
export class DetectedObjects extends Objects {
  readonly scores = new Column(float64);

  protected override columns(): { length: number }[] {
    return [...super.columns(), this.scores];
  }

  append(item: ImageDetections | Flat<ImageDetections>, name: string): void {
    const count = this.appendObjects(item, name);
    appendNumbers(this.scores, item.scores, count, 1, `${name}.scores`);
    this.endImages(item, count, name);
  }
}

/** @internal Appends a list of images, or all of them in one. */
export function appendAll<T extends object>(
  objects: { append(item: T | Flat<T>, name: string): void },
  items: readonly T[] | Flat<T>,
  name: string,
): void {
  if (Array.isArray(items)) {
    for (let i = 0; i < items.length; i++) objects.append(items[i] as T, `${name}[${i}]`);
  } else if (typeof items === 'object' && items !== null && 'offsets' in items) {
    objects.append(items, name);
  } else {
    throw invalid('INVALID_ARGUMENT', name, 'an array, one entry per image, or {boxes, offsets, ...}', items);
  }
}
