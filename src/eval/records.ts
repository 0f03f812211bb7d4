import { constants as bufferConstants, isUtf8 } from 'node:buffer';
import { accessSync, constants, statSync } from 'node:fs';
import { describe } from '../errors.js';
import { FileError } from '../files/error.js';
import { type Line, LineSplitter, maxLineBytes } from '../files/jsonl.js';
import { InputError, openSource } from '../files/streams.js';
import type { Problems } from '../metrics/problems.js';

/** A JSON document is read whole, as one string. */
export const maxDocumentBytes: number = bufferConstants.MAX_STRING_LENGTH;

const headBytes = 1024 * 1024;

export type Fields = Record<string, unknown>;

/** One entry of a file: a line of JSON lines, or an element of a JSON list. */
export interface FileRecord {
  /** Its place among all, those that cannot be read included. */
  index: number;
  /** For messages: 'line 7', 'entry 7'. */
  place: string;
  fields: Fields;
  /** The set that it is of, where a file has several. */
  set?: string;
}

/** A file (or standard input) that has been opened, with its beginning to tell the format by. */
export interface Input {
  path: string;
  /** The option that named it. */
  option: string;
  /** What is understood there, for messages. */
  formats: readonly string[];
  /** Unpacked; at most about a megabyte. */
  head: string;
  /** All of it, unpacked. @throws FileError */
  chunks: AsyncIterable<Buffer>;
  stop(): void;
}

export type OnRead = (bytes: number, total: number | undefined) => void;

/**
 * @param option the option that names the file
 * @param formats what is understood, a line each
 * @throws FileError
 */
export async function openInput(
  path: string,
  option: string,
  formats: readonly string[],
  onRead?: OnRead,
): Promise<Input> {
  if (path !== '-') {
    try {
      accessSync(path, constants.R_OK);
      if (statSync(path).isDirectory()) throw new Error('it is a folder');
    } catch (error) {
      const why = (error as Error).message;
      throw new FileError(`${option}: expected a file that can be read, received "${path}" (${why})`);
    }
  }
  const source = openSource(path);
  const bytes = source.chunks[Symbol.asyncIterator]();
  let delivered = 0;
  const next = async (): Promise<Buffer | undefined> => {
    try {
      const { value, done } = await bytes.next();
      if (done) return undefined;
      delivered += value.length;
      onRead?.(source.bytesRead(), source.totalBytes);
      return value;
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      throw new FileError(`${option}: "${path}" cannot be read to its end (${error.message})`);
    }
  };
  const first: Buffer[] = [];
  while (delivered < headBytes) {
    const chunk = await next();
    if (!chunk) break;
    first.push(chunk);
  }
  async function* chunks(): AsyncGenerator<Buffer> {
    yield* first.splice(0);
    for (let chunk = await next(); chunk; chunk = await next()) yield chunk;
  }
  return {
    path,
    option,
    formats,
    head: Buffer.concat(first).toString('utf8'),
    chunks: chunks(),
    stop: () => source.stop(),
  };
}

/** The error for a file that is none of what is understood. */
export function notUnderstood({ option, path, formats }: Input, why: string): FileError {
  return new FileError(
    [`${option}: "${path}" is none of the files that are understood (${why}). Those are:`, ...formats]
      .join('\n  ')
      .trimEnd(),
  );
}

/**
 * The records of a file of JSON lines, of a JSON list, or of a JSON object that holds lists of results. What cannot be
 * read as a record is added to `problems`.
 * @throws FileError
 */
export async function* readRecords(input: Input, problems: Problems): AsyncGenerator<FileRecord> {
  const start = input.head.trimStart()[0];
  if (start === undefined) throw notUnderstood(input, 'it is empty');
  if (start !== '[' && start !== '{') throw notUnderstood(input, 'it is neither JSON nor JSON lines');
  try {
    if (start === '[') yield* readDocument(input, [], problems);
    else yield* readLinesOrDocument(input, problems);
  } finally {
    input.stop();
  }
}

/** JSON lines where the first line is an object by itself. */
async function* readLinesOrDocument(input: Input, problems: Problems): AsyncGenerator<FileRecord> {
  const splitter = new LineSplitter();
  const kept: Buffer[] = [];
  let size = 0;
  let index = 0;
  const chunks = input.chunks[Symbol.asyncIterator]();
  for (let decided = false; ; ) {
    const { value, done } = await chunks.next();
    const lines = [...(done ? splitter.end() : splitter.push(value))];
    if (!decided) {
      if (!done) kept.push(value);
      size += value?.length ?? 0;
      if (size > maxDocumentBytes) throw tooLarge(input);
      if (lines.length > 0) {
        if (!isRecord(lines[0]!)) {
          const rest = { [Symbol.asyncIterator]: () => chunks };
          yield* readDocument({ ...input, chunks: rest }, kept, problems);
          return;
        }
        decided = true;
        kept.length = 0;
      }
    }
    for (const line of lines) {
      const place = `line ${line.number}`;
      const fields = parseLine(line, place, problems);
      if (fields) yield* recordsOf(fields, index, place, problems);
      index++;
    }
    if (done) return;
  }
}

function isRecord(line: Line): boolean {
  if ('problem' in line) return false;
  try {
    return isObject(JSON.parse(line.text));
  } catch {
    return false;
  }
}

function parseLine(line: Line, place: string, problems: Problems): Fields | undefined {
  const bad = (why: string): undefined =>
    problems.add('lines that cannot be read', `${place}: ${why}`) as undefined;
  if ('problem' in line) {
    return bad(
      line.problem === 'not-utf8' ? 'no UTF-8 text' : `longer than ${maxLineBytes / 1024 / 1024} MiB`,
    );
  }
  try {
    const value: unknown = JSON.parse(line.text);
    return isObject(value) ? value : bad(`expected an object, received ${describe(value)}`);
  } catch (error) {
    return bad((error as Error).message);
  }
}

const tooLarge = ({ option, path }: Input): FileError =>
  new FileError(
    `${option}: "${path}" is larger than ${Math.floor(maxDocumentBytes / 1024 / 1024)} MiB, and a JSON document is read whole; make it JSON lines, one entry a line, which have no limit`,
  );

/** @param first what of it was taken already */
async function* readDocument(input: Input, first: Buffer[], problems: Problems): AsyncGenerator<FileRecord> {
  const chunks = [...first];
  let size = first.reduce((sum, { length }) => sum + length, 0);
  for await (const chunk of input.chunks) {
    size += chunk.length;
    if (size > maxDocumentBytes) throw tooLarge(input);
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks);
  chunks.length = 0;
  if (!isUtf8(bytes)) throw notUnderstood(input, 'it is no UTF-8 text');
  let document: unknown;
  try {
    document = JSON.parse(bytes.toString('utf8').trimStart()); // a byte order mark is white space to trimStart
  } catch (error) {
    throw notUnderstood(input, `it is neither JSON nor JSON lines: ${(error as Error).message}`);
  }
  if (!Array.isArray(document)) {
    yield* recordsOf(document as Fields, 0, 'the object', problems);
  } else {
    yield* entriesOf(document, 0, '', problems);
  }
}

/** A record, or those that it holds: results of PR1's evaluation are in lists within an object. */
function* recordsOf(fields: Fields, index: number, place: string, problems: Problems): Generator<FileRecord> {
  if (Array.isArray(fields.details)) {
    yield* entriesOf(fields.details, index, 'details ', problems);
    return;
  }
  const sets = Object.entries(fields).filter(([, value]) => isObject(value) && Array.isArray(value.results));
  if (sets.length === 0) {
    yield { index, place, fields };
    return;
  }
  let at = index;
  for (const [set, value] of sets) {
    const { results } = value as { results: unknown[] };
    for (const record of entriesOf(results, at, `${set} `, problems)) yield { ...record, set };
    at += results.length;
  }
}

function* entriesOf(
  entries: readonly unknown[],
  index: number,
  prefix: string,
  problems: Problems,
): Generator<FileRecord> {
  for (const [i, fields] of entries.entries()) {
    const place = `${prefix}entry ${i + 1}`;
    if (isObject(fields)) yield { index: index + i, place, fields };
    else problems.add('entries that are no objects', `${place}: ${describe(fields)}`);
  }
}

export const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
