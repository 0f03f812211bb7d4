import { describe } from '../errors.js';
import { FileError } from '../files/error.js';
import type { Findings } from './evaluation.js';
import { answerOf, type Item, idOf, imageOf, indexItems, questionOf, titleOf } from './items.js';
import { type Input, isObject, notUnderstood, readRecords } from './records.js';

/** An answer of a file, and what it says of the question. */
interface Given {
  /** Its place among the answers of the file. */
  index: number;
  /** For messages. */
  place: string;
  key: string | undefined;
  id: string | undefined;
  image: string | undefined;
  question: string | undefined;
  /** null: there is none. */
  text: string | null;
  /** Why there is none. */
  error: string | undefined;
}

/** What items are called in messages. */
export type Noun = 'images' | 'questions';

/** What is to be answered. */
export interface Asked {
  noun: Noun;
  items: readonly Item[];
  /** How many the file of the items has, those that cannot be used included. */
  records: number;
}

/**
 * Reads the answers to the items: [count], null where there is none. They are joined by key or id, else by image (and
 * question), else by their places in the files. What belongs to no item or is missing is added to the problems.
 * @param count of the first items, that are evaluated
 * @throws FileError
 */
export async function readPredictions(
  input: Input,
  asked: Asked,
  count: number,
  findings: Findings,
): Promise<(string | null)[]> {
  const { noun, items } = asked;
  const { problems } = findings;
  const given: Given[] = [];
  let headers = 0;
  let entries = 0;
  let failure: string | undefined;
  for await (const record of readRecords(input, problems)) {
    const { fields, place } = record;
    if (isObject(fields.endpoint)) {
      headers++; // who answered what follows
      continue;
    }
    const index = record.index - headers;
    entries = index + 1;
    const text = answerOf(record, input, findings);
    const error = typeof fields.error === 'string' ? fields.error : undefined;
    if (text === undefined && error === undefined) {
      failure ??= `${place}: expected "completion", received ${describe(fields)}`;
      problems.add('entries without an answer', `${place}: ${describe(fields)}`);
      continue;
    }
    if (fields.finishReason === 'length' || fields.finish_reason === 'length') {
      problems.add('answers that ended at the limit of tokens', idOf(fields, 'key', 'id') ?? place);
    }
    given.push({
      index,
      place,
      key: idOf(fields, 'key'),
      id: idOf(fields, 'id', 'image_id'),
      image: imageOf(fields),
      question: questionOf(fields),
      text: text ?? null,
      error: typeof text === 'string' ? undefined : error,
    });
  }
  if (given.length === 0) throw notUnderstood(input, failure ?? 'it has no entries that can be read');

  const find = finderOf(given, entries, input, asked, findings);
  const answers = new Array<string | null>(items.length).fill(null);
  const failed = new Map<number, string>();
  for (const answer of given) {
    const { place, text, error } = answer;
    const item = find(answer);
    if (item === undefined) {
      const name = answer.key ?? answer.id ?? answer.image;
      problems.add(`answers to unknown ${noun}`, name === undefined ? place : `${place}: "${name}"`);
    } else if (text !== null) {
      if (answers[item] !== null) {
        problems.add(
          `${noun} answered more than once (the last answer counts)`,
          `${place}: ${titleOf(items[item]!)}`,
        );
      }
      answers[item] = text;
    } else if (error !== undefined) {
      failed.set(item, error);
    }
  }
  if (answers.every((answer) => answer === null)) {
    const [reason] = failed.values();
    throw new FileError(
      `${input.option}: "${input.path}" has no answer${reason === undefined ? '' : `; the first of the ${failed.size} ${noun} that failed: ${reason}`}`,
    );
  }
  const evaluated = answers.slice(0, count);
  nameMissing(items, evaluated, failed, noun, findings);
  return evaluated;
}

/** Adds the first items, where they have no answer, to the problems; `failed` says of some why. */
export function nameMissing(
  items: readonly Item[],
  answers: readonly (string | null)[],
  failed: ReadonlyMap<number, string>,
  noun: Noun,
  { problems }: Findings,
): void {
  for (const [i, answer] of answers.entries()) {
    if (answer !== null) continue;
    const item = items[i]!;
    const reason = failed.get(i);
    if (reason === undefined) problems.add(`${noun} without an answer`, titleOf(item));
    else problems.add(`${noun} that failed`, `${titleOf(item)}: ${reason}`);
  }
}

/**
 * The way that most answers are found by.
 * @throws FileError where none is found, or nothing tells them apart
 */
function finderOf(
  given: readonly Given[],
  entries: number,
  { option, path }: Input,
  { items, records, noun }: Asked,
  { notes }: Findings,
): (answer: Given) => number | undefined {
  const { byKey, byId, byImage, byQuestion, byIndex } = indexItems(items);
  const ways: ((answer: Given) => number | undefined)[] = [
    ({ key }) => (key === undefined ? undefined : byKey(key)),
    ({ id }) => (id === undefined ? undefined : byId?.(id)),
    ({ image }) => (image === undefined ? undefined : byImage?.(image)),
    ({ image, question }) =>
      image === undefined || question === undefined ? undefined : byQuestion?.(image, question),
  ];
  const found = ways.map((way) => given.filter((answer) => way(answer) !== undefined).length);
  const most = Math.max(...found);
  if (most > 0) return ways[found.indexOf(most)]!;

  const [answer, item] = [given[0]!, items[0]!];
  const named = [
    byId && [answer.key ?? answer.id, item.id],
    byImage && [answer.image, item.image],
    byQuestion && answer.question !== undefined && [answer.image, item.image],
  ].find((names) => names && names[0] !== undefined);
  if (named) {
    throw new FileError(
      `${option}: "${path}" answers none of the ${noun}: it has "${named[0]}", where the ground truth has "${named[1]}"`,
    );
  }
  if (entries !== records) {
    throw new FileError(
      `${option}: "${path}": expected a "key", "id" or "image" by which each of the ${noun} can be told, or as many entries as the ground truth (${records}), received ${entries} entries without`,
    );
  }
  notes.push(`Answers have no key that the ground truth has: they were joined by their place in the file.`);
  return ({ index }) => byIndex(index);
}
