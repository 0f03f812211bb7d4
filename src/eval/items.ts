import { basename } from 'node:path';
import { describe } from '../errors.js';
import { FileError } from '../files/error.js';
import type { Findings } from './evaluation.js';
import { type Fields, type FileRecord, type Input, isObject, notUnderstood, readRecords } from './records.js';

export interface Size {
  width: number;
  height: number;
}

/** One image or question, by what it is told from the others. */
export interface Item {
  /** Its place among the records of the file, which joins answers that have no key. */
  index: number;
  /** Unique among all; the key of its question to a model. */
  key: string;
  /** Its own key or id in the file, as text. */
  id?: string;
  /** Path below the image folder. */
  image?: string;
  question?: string;
  set?: string;
  size?: Size;
  /** Of the image that the model saw, where its processor resized it. */
  resized?: Size;
}

export interface ItemWithTruth<T> extends Item {
  truth: T;
}

/** A file of ground truth. */
export interface Dataset<T> {
  items: ItemWithTruth<T>[];
  /** Records in the file, those without usable ground truth included. */
  records: number;
  /** The answers, one per item, where the file has some. */
  answers: (string | null)[] | undefined;
}

/** A record has no usable ground truth; the message says why. */
export class Unusable extends Error {}

/** For messages and the report: the file name, else the id. */
export const nameOf = ({ image, key }: Item): string => image ?? key;

/** For messages that must tell questions of one image apart. */
export const titleOf = ({ key }: Item): string => (key.length > 80 ? `${key.slice(0, 80)}…` : key);

/** The first of these members that is a text. */
export function textOf(fields: Fields, ...names: string[]): string | undefined {
  return names.map((name) => fields[name]).find((value) => typeof value === 'string');
}

/** The first of these members that is a text or a number, as text. */
export function idOf(fields: Fields, ...names: string[]): string | undefined {
  const value = names
    .map((name) => fields[name])
    .find((value) => typeof value === 'string' || typeof value === 'number');
  return value === undefined ? undefined : String(value);
}

/** The path of the image that a record is about. */
export function imageOf(fields: Fields): string | undefined {
  const only = Array.isArray(fields.image) && fields.image.length === 1 ? fields.image[0] : undefined;
  return typeof only === 'string' ? only : textOf(fields, 'image', 'image_path', 'file_name');
}

export const questionOf = (fields: Fields): string | undefined => textOf(fields, 'problem', 'question');

/**
 * What a model wrote: undefined where the record has no answer, null where it says that there is none.
 * @throws FileError where it has several
 */
export function answerOf(
  { fields, place }: FileRecord,
  input: Input,
  { problems }: Findings,
): string | null | undefined {
  const { completion, output, model_output: modelOutput } = fields;
  const answer = completion ?? output ?? modelOutput;
  if (typeof answer === 'string') return answer;
  if (typeof answer === 'number') return String(answer);
  if (answer !== undefined && answer !== null) {
    problems.add('answers that are no text', `${place}: ${describe(answer)}`);
    return null;
  }
  if ('completions' in fields) {
    throw new FileError(
      `${input.option}: "${input.path}", ${place}: expected "completion", one answer to a question, received "completions", ${describe(fields.completions)}`,
    );
  }
  return answer;
}

/** A size in pixels; what can be none is none. */
export function sizeOf(width: unknown, height: unknown): Size | undefined {
  const fits = (value: unknown): value is number => typeof value === 'number' && value >= 1 && value <= 1e9;
  return fits(width) && fits(height) ? { width, height } : undefined;
}

const pairOf = (value: unknown): Size | undefined =>
  Array.isArray(value) && value.length === 2 ? sizeOf(value[0], value[1]) : undefined;

/** The size of a record's image, where it is given. */
export const sizeOfItem = (fields: Fields): Size | undefined =>
  pairOf(groundTruthOf(fields)?.imageSize) ?? sizeOf(fields.width, fields.height);

/** The object that the project's own JSON lines hold their ground truth in. */
export const groundTruthOf = ({ groundTruth }: Fields): Fields | undefined =>
  isObject(groundTruth) ? groundTruth : undefined;

/** Overlaps are computed in single precision. */
const isFinite32 = (value: unknown): value is number =>
  typeof value === 'number' && Number.isFinite(Math.fround(value));

/** Four numbers x1 y1 x2 y2 of the ground truth. @throws Unusable */
export function trueBox(value: unknown, name: string): number[] {
  if (!Array.isArray(value) || value.length !== 4 || !value.every(isFinite32)) {
    throw new Unusable(`${name}: expected four finite numbers, received ${describe(value)}`);
  }
  if (value[2]! < value[0]! || value[3]! < value[1]!) {
    throw new Unusable(
      `${name}: expected x1 y1 x2 y2 with x1 <= x2 and y1 <= y2, received ${value.join(' ')}`,
    );
  }
  return value;
}

/** Keys that are given out once: the second 'a' becomes 'a (2)'. */
export class UniqueKeys {
  readonly #uses = new Map<string, number>();

  of(key: string): string {
    const uses = (this.#uses.get(key) ?? 0) + 1;
    this.#uses.set(key, uses);
    if (uses === 1) return key;
    return this.of(`${key} (${uses})`);
  }
}

/**
 * Reads a file of ground truth. Records whose ground truth cannot be used are left out and named.
 * @param read the ground truth of a record, and its answer where that stands in another member than usual
 * @throws FileError where no record can be used
 */
export async function readDataset<T>(
  input: Input,
  findings: Findings,
  read: (fields: Fields) => { truth: T; answer?: string },
): Promise<Dataset<T>> {
  const { problems } = findings;
  const items: ItemWithTruth<T>[] = [];
  const answers: (string | null | undefined)[] = [];
  const keys = new UniqueKeys();
  let records = 0;
  let failure: string | undefined;
  for await (const record of readRecords(input, problems)) {
    const { fields, index, place, set } = record;
    records = index + 1;
    let content: ReturnType<typeof read>;
    try {
      content = read(fields);
    } catch (error) {
      if (!(error instanceof Unusable)) throw error;
      failure ??= `${place}: ${error.message}`;
      problems.add('entries without usable ground truth', `${place}: ${error.message}`);
      continue;
    }
    answers.push(content.answer ?? answerOf(record, input, findings));
    items.push({
      ...identify(fields, index, place, keys),
      ...(set !== undefined && { set }),
      truth: content.truth,
    });
  }
  if (items.length === 0) throw notUnderstood(input, failure ?? 'it has no entries that can be read');
  const answered = answers.some((answer) => answer !== undefined);
  return { items, records, answers: answered ? answers.map((answer) => answer ?? null) : undefined };
}

function identify(fields: Fields, index: number, place: string, keys: UniqueKeys): Item {
  const id = idOf(fields, 'key', 'id', 'image_id');
  const image = imageOf(fields);
  const question = questionOf(fields);
  const size = sizeOfItem(fields);
  const resized = pairOf(groundTruthOf(fields)?.resizedSize);
  const described = image !== undefined && question !== undefined ? `${image}: ${question}` : image;
  return {
    index,
    key: keys.of(id ?? described ?? place),
    ...(id !== undefined && { id }),
    ...(image !== undefined && { image }),
    ...(question !== undefined && { question }),
    ...(size && { size }),
    ...(resized && { resized }),
  };
}

/** Places of values that are there once; undefined where one is missing or there twice. */
function uniquePlaces(values: readonly (string | undefined)[]): Map<string, number> | undefined {
  const places = new Map<string, number>();
  for (const [i, value] of values.entries()) {
    if (value === undefined || places.has(value)) return undefined;
    places.set(value, i);
  }
  return places;
}

/** The place of an item by what an answer says of it; a way is undefined where it does not tell the items apart. */
export interface ItemIndex {
  byKey: (key: string) => number | undefined;
  byId: ((id: string) => number | undefined) | undefined;
  byImage: ((image: string) => number | undefined) | undefined;
  byQuestion: ((image: string, question: string) => number | undefined) | undefined;
  byIndex: (index: number) => number | undefined;
}

/** Paths are compared as they are, else by their last parts. */
export function indexItems(items: readonly Item[]): ItemIndex {
  const keys = new Map(items.map(({ key }, i) => [key, i]));
  const ids = uniquePlaces(items.map(({ id }) => id));
  const indices = new Map(items.map(({ index }, i) => [index, i]));
  const imagesBy = (path: (image: string) => string): Map<string, number> | undefined =>
    uniquePlaces(items.map(({ image }) => (image === undefined ? undefined : path(image))));
  const questionsBy = (path: (image: string) => string): Map<string, number> | undefined =>
    uniquePlaces(
      items.map(({ image, question }) =>
        image === undefined || question === undefined ? undefined : pair(path(image), question),
      ),
    );
  const [images, files] = [imagesBy(String), imagesBy(basename)];
  const [questions, fileQuestions] = [questionsBy(String), questionsBy(basename)];
  return {
    byKey: (key) => keys.get(key),
    byId: ids && ((id) => ids.get(id)),
    byImage: images && ((image) => images.get(image) ?? files?.get(basename(image))),
    byQuestion:
      questions &&
      ((image, question) =>
        questions.get(pair(image, question)) ?? fileQuestions?.get(pair(basename(image), question))),
    byIndex: (index) => indices.get(index),
  };
}

const pair = (image: string, question: string): string => JSON.stringify([image, question]);
