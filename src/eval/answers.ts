import { createHash } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  fsyncSync,
  openSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { PerceptionError } from '../errors.js';
import { LineSplitter } from '../files/jsonl.js';
import { refused } from '../files/whole.js';
import { type Problem, Problems } from '../metrics/problems.js';
import type { Question } from './questions.js';

/** Who answered and how it was asked: the first line of an answers file, `{"endpoint": {...}}`. */
export interface AnswersHeader {
  /** Of the server, without credentials and query. */
  url: string;
  model: string;
  temperature: number;
  maxTokens: number;
}

/** What an answers file holds. */
export interface Answers {
  /** What the model wrote, by the key of the question. */
  completions: Map<string, string>;
  /** Why there is no answer, by the key of the question. */
  failed: Map<string, string>;
  /** null where the file has none: JSON lines of completions from elsewhere. */
  header: AnswersHeader | null;
  /** Lines that could not be used. */
  problems: Problem[];
}

/** A line of an answers file; other members may stand beside these. */
export type AnswerLine = {
  key: string;
  /** Of the question, so that a file is not resumed with other ones. */
  fingerprint?: string;
} & (
  | { completion: string; finishReason?: string | null; usage?: Record<string, number> }
  | { error: string }
);

type Entry = { header: AnswersHeader } | AnswerLine;

// The longest answer that is accepted is half of it.
const maxLineBytes = 32 * 1024 * 1024;

/** Tells two questions apart that have the same key. */
export function fingerprintOf({ image, prompt }: Question): string {
  return createHash('sha256')
    .update(JSON.stringify([image, prompt]))
    .digest('hex')
    .slice(0, 16);
}

/**
 * Reads an answers file line by line: what `askEndpoint` wrote, or any JSON lines `{"key": "...", "completion": "..."}`.
 * Of several completions of a key the last one counts, and a completion more than an error.
 * @throws PerceptionError INVALID_ARGUMENT where the file cannot be read
 */
export async function readAnswers(path: string): Promise<Answers> {
  const completions = new Map<string, string>();
  const failed = new Map<string, string>();
  const { header, problems } = await scan(path, (line, number, note) => {
    const { key } = line;
    if ('error' in line) {
      failed.set(key, line.error);
      return;
    }
    if (completions.has(key)) note.add('second completions of a key', `line ${number}: "${shown(key)}"`);
    completions.set(key, line.completion);
  });
  for (const key of completions.keys()) failed.delete(key);
  return { completions, failed, header, problems };
}

/** What is in an answers file that is to be continued. */
export interface EarlierAnswers {
  header: AnswersHeader | null;
  /** The keys that have a completion: the question it belongs to, where that is known, and how the answer ended. */
  answered: Map<string, { fingerprint: string | undefined; finishReason: string | null | undefined }>;
  problems: Problem[];
  /** Bytes of the file, and how many of them stay: behind these is a line that was cut off. */
  size: number;
  intact: number;
  /** Whether the last line has no line end. */
  open: boolean;
}

/**
 * Reads what is there of an answers file; nothing where there is no such file, or an empty one.
 * @throws PerceptionError INVALID_INPUT where the file is something else, INVALID_ARGUMENT where it cannot be read
 */
export async function readEarlier(path: string): Promise<EarlierAnswers> {
  const answered: EarlierAnswers['answered'] = new Map();
  const stat = attempt(path, 'read', () => statSync(path, { throwIfNoEntry: false }));
  const nothing: EarlierAnswers = {
    header: null,
    answered,
    problems: [],
    intact: 0,
    open: false,
    size: stat?.size ?? 0,
  };
  if (!stat) return nothing;
  if (!stat.isFile()) throw notOurs(path, 'something that is no file');
  const { header, problems, size, intact, open } = await scan(path, (line) => {
    if ('error' in line) return;
    answered.set(line.key, { fingerprint: line.fingerprint, finishReason: line.finishReason });
  });
  // A run that was killed while it wrote the first line leaves the beginning of one.
  if (!header && intact === 0 && (await startsAsHeader(path))) return nothing;
  if (!header) throw notOurs(path, 'a file whose first line does not say which server was asked');
  return { header, answered, problems, size, intact, open };
}

function notOurs(path: string, what: string): PerceptionError {
  return new PerceptionError(
    'INVALID_INPUT',
    `${path}: expected a new file or the answers of an earlier run, received ${what}; it was left as it is`,
  );
}

async function startsAsHeader(path: string): Promise<boolean> {
  const start = '{"endpoint":{';
  const chunks: Buffer[] = [];
  for await (const chunk of createReadStream(path, { end: start.length - 1 })) chunks.push(chunk as Buffer);
  return start.startsWith(Buffer.concat(chunks).toString('latin1'));
}

/** An answers file that is being written. Each line is with the operating system when `append` returns. */
export class AnswersWriter {
  readonly #path: string;
  readonly #file: number;

  /**
   * Cuts away what `earlier` found cut off, and writes the header where the file is new.
   * @throws PerceptionError INVALID_ARGUMENT where the file cannot be written
   */
  constructor(path: string, earlier: EarlierAnswers, header: AnswersHeader) {
    this.#path = path;
    this.#file = attempt(path, 'written', () => {
      const file = openSync(path, 'a');
      if (earlier.intact < earlier.size) truncateSync(path, earlier.intact);
      return file;
    });
    if (earlier.open) this.#write('\n');
    if (!earlier.header) this.#write(`${JSON.stringify({ endpoint: header })}\n`);
  }

  /** @throws PerceptionError INVALID_ARGUMENT where the file cannot be written, as on a full disk */
  append(line: AnswerLine): void {
    this.#write(`${JSON.stringify(line)}\n`);
  }

  /** Waits until all of it is on the disk. */
  close(): void {
    try {
      attempt(this.#path, 'written', () => fsyncSync(this.#file));
    } finally {
      closeSync(this.#file);
    }
  }

  #write(text: string): void {
    attempt(this.#path, 'written', () => writeFileSync(this.#file, text));
  }
}

function attempt<T>(path: string, what: 'read' | 'written', body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw refused(path, what, error);
  }
}

interface Scan {
  header: AnswersHeader | null;
  problems: Problem[];
  size: number;
  intact: number;
  open: boolean;
}

/** Goes through the lines of an answers file and gives `take` the answers among them. */
async function scan(
  path: string,
  take: (line: AnswerLine, number: number, problems: Problems) => void,
): Promise<Scan> {
  const problems = new Problems();
  let header: AnswersHeader | null = null;

  const use = (text: string, number: number): string | undefined => {
    const entry = entryOf(text);
    if (typeof entry === 'string') return entry;
    if ('header' in entry) {
      header ??= entry.header;
      const other = difference(header, entry.header);
      if (other) problems.add('answers to other settings', `from line ${number}: ${other}`);
    } else {
      take(entry, number, problems);
    }
    return undefined;
  };

  let bytes = 0;
  let intact = 0;
  let open = false;
  const splitter = new LineSplitter(maxLineBytes);
  const bad = (number: number, reason: string): void =>
    problems.add('lines that are no answers', `line ${number}: ${reason}`);
  const reasons = { 'too-long': 'longer than 32 MiB', 'not-utf8': 'not UTF-8' };
  try {
    for await (const chunk of createReadStream(path, {
      highWaterMark: 256 * 1024,
    }) as AsyncIterable<Buffer>) {
      for (const line of splitter.push(chunk)) {
        const reason = 'text' in line ? use(line.text, line.number) : reasons[line.problem];
        if (reason !== undefined) bad(line.number, reason);
      }
      const end = chunk.lastIndexOf(0x0a);
      if (end >= 0) intact = bytes + end + 1;
      bytes += chunk.length;
    }
  } catch (error) {
    throw refused(path, 'read', error);
  }
  for (const line of splitter.end()) {
    // No beginning of a JSON object is one itself: if it can be read, then it is whole.
    if ('text' in line && use(line.text, line.number) === undefined) {
      open = true;
      intact = bytes;
    } else {
      problems.add('lines cut off at the end of the file', `line ${line.number}`);
    }
  }
  return { header, problems: problems.list(), size: bytes, intact, open };
}

/** What a line says, or why it says nothing. */
function entryOf(text: string): Entry | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return 'not JSON';
  }
  if (!isObject(value)) return 'not a JSON object';
  if ('endpoint' in value) return isHeader(value.endpoint) ? { header: value.endpoint } : 'a damaged header';
  if (typeof value.key !== 'string') return 'no "key" that is a string';
  if (typeof value.completion !== 'string' && typeof value.error !== 'string') {
    return 'no "completion" and no "error" that is a string';
  }
  if (typeof value.completion === 'string') delete value.error;
  if (typeof value.fingerprint !== 'string') delete value.fingerprint;
  return value as AnswerLine;
}

function isHeader(value: unknown): value is AnswersHeader {
  if (!isObject(value)) return false;
  const { url, model, temperature, maxTokens } = value;
  return (
    typeof url === 'string' &&
    typeof model === 'string' &&
    typeof temperature === 'number' &&
    typeof maxTokens === 'number'
  );
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What answers depend on and two headers differ in: 'model: "b", here "a"'; undefined where nothing. */
export function difference(a: Partial<AnswersHeader>, b: AnswersHeader): string | undefined {
  const differing = (['model', 'temperature', 'maxTokens'] as const).filter(
    (name) => a[name] !== undefined && a[name] !== b[name],
  );
  if (differing.length === 0) return undefined;
  return differing
    .map((name) => `${name} ${JSON.stringify(b[name])} instead of ${JSON.stringify(a[name])}`)
    .join(', ');
}

const shown = (key: string): string => (key.length > 80 ? `${key.slice(0, 80)}…` : key);
