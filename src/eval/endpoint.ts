import { setMaxListeners } from 'node:events';
import { statSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { invalid, PerceptionError } from '../errors.js';
import type { Problem } from '../metrics/problems.js';
import { aboveZero, atLeastZero, optionsObject, wholeNumber } from '../ops/validate.js';
import { Random } from '../random.js';
import { embedImage, type ImageFailure } from '../report/image.js';
import {
  type AnswerLine,
  type AnswersHeader,
  AnswersWriter,
  difference,
  type EarlierAnswers,
  fingerprintOf,
  readEarlier,
} from './answers.js';
import { ChatServer, RequestFailure } from './endpoint/server.js';
import type { Question } from './questions.js';

export interface EndpointOptions {
  /**
   * The base URL as OpenAI's clients take it, `http://localhost:8000/v1`, with or without a slash at its end; `/v1` is added to
   * a URL without a path, and one that ends in `/chat/completions` is taken as it is. A query stays; a user name and password
   * go into an Authorization header.
   */
  url: string;
  /** As the server calls it. Default: its only one. */
  model?: string;
  /** Sent as a bearer token, written nowhere. */
  apiKey?: string;
  /** The folder that the images of the questions are below. PNG, JPEG, WebP and GIF are sent as they are. */
  images: string;
  /** The file for the answers, JSON lines; where it is there already, its answers stay and the other questions are asked. */
  answers: string;
  /** Requests at a time, 1 to 1024. Default 8. */
  concurrency?: number;
  /** How often a question is asked again after a failure that may pass, 0 to 100. Default 5. */
  retries?: number;
  /** For a whole answer. Default 600. */
  timeoutSeconds?: number;
  /** Tokens of an answer at most. */
  maxTokens: number;
  /** Of sampling. Default 0, greedy decoding. */
  temperature?: number;
  /** Ends the run: no question is started, those under way are given up, what was answered is kept. */
  signal?: AbortSignal;
  /** Called after each question. `done` counts the failed ones and those that were answered before. */
  onAnswer?(done: number, total: number, failed: number): void;
}

export const endpointDefaults = {
  concurrency: 8,
  retries: 5,
  timeoutSeconds: 600,
  temperature: 0,
} as const;

export interface EndpointSummary {
  /** Questions that got an answer, or failed for good, in this run. */
  asked: number;
  /** Questions that had an answer before. */
  resumed: number;
  /** Questions that `signal` left without either: all of them are `asked + resumed + left`. */
  left: number;
  /** In the order of the questions; they are asked again when the run is resumed. */
  failed: { key: string; reason: string }[];
  /** Answers that ended at `maxTokens`, the resumed ones included. */
  truncated: number;
  /** The model asked; undefined where no question was left to ask and none was named. */
  model: string | undefined;
  /** Lines of the answers file that could not be used, such as one that a kill cut off. */
  problems: Problem[];
}

/** What a run waits by. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Resolves after the time, or earlier when `signal` is aborted. */
  sleep(milliseconds: number, signal: AbortSignal): Promise<void>;
}

const systemClock: Clock = {
  now: Date.now,
  sleep: (milliseconds, signal) => wait(milliseconds, undefined, { signal }).catch(() => {}),
};

// Exponential back-off with full jitter, as AWS's architecture blog describes it (2015).
const firstWait = 1000;
const longestWait = 60_000;
const longestRetryAfter = 600_000;

/**
 * Asks a model behind a server of OpenAI's protocol (vLLM, SGLang, llama.cpp, OpenAI) one question per image: a user message
 * of the image and the prompt. Answers are appended to a file as they come (`readAnswers` reads it); run again with the same
 * file, only questions without an answer are asked.
 *
 * Network failures, timeouts, answers that are no chat completion, and the statuses 408, 409, 425, 429 and 5xx are tried again,
 * after exponential back-off with jitter or when `Retry-After` says. A question that fails, also for its image, leaves its
 * reason; the others go on. When `signal` is aborted the promise resolves, with what was done until then.
 *
 * @throws PerceptionError INVALID_ARGUMENT for wrong options, questions with the same key, and files that cannot be read or
 *   written; INVALID_INPUT where the answers file is of other settings, questions or origin; SERVER_UNAVAILABLE where going on
 *   is of no use: the server cannot be reached, or refuses (401, 403, 404, 405, a redirection) before it has answered anything.
 *   What was answered until then is kept.
 */
export async function askEndpoint(
  questions: readonly Question[],
  options: EndpointOptions,
  /** @internal */
  clock: Clock = systemClock,
): Promise<EndpointSummary> {
  const settings = checkedSettings(options);
  const keys = checkedKeys(questions);
  const { url, apiKey, timeoutSeconds, answers } = settings;
  const server = new ChatServer(url, apiKey, timeoutSeconds, clock.now);
  const stop = new AbortController();
  setMaxListeners(0, stop.signal); // one for each request under way
  const onAbort = (): void => stop.abort();
  settings.signal?.addEventListener('abort', onAbort);
  if (settings.signal?.aborted) stop.abort();
  try {
    const earlier = await readEarlier(answers);
    refuseOthers(answers, earlier, settings, keys);
    const run = new Run(questions, settings, earlier, server, clock, stop);
    await run.run();
    return run.summary();
  } finally {
    settings.signal?.removeEventListener('abort', onAbort);
    server.close();
  }
}

type Settings = EndpointOptions & { [name in keyof typeof endpointDefaults]: number };

/** Aborted: there is nothing to be said of this question. */
const given = Symbol('given up');

class Run {
  readonly #questions: readonly Question[];
  readonly #settings: Settings;
  readonly #earlier: EarlierAnswers;
  readonly #server: ChatServer;
  readonly #clock: Clock;
  readonly #stop: AbortController;
  readonly #open: number[] = [];
  readonly #failed: { index: number; reason: string }[] = [];
  #model: string | undefined;
  #asked = 0;
  #truncated = 0;
  /** Whether the server has answered a question of this run. */
  #answered = false;

  constructor(
    questions: readonly Question[],
    settings: Settings,
    earlier: EarlierAnswers,
    server: ChatServer,
    clock: Clock,
    stop: AbortController,
  ) {
    this.#questions = questions;
    this.#settings = settings;
    this.#earlier = earlier;
    this.#server = server;
    this.#clock = clock;
    this.#stop = stop;
    this.#model = settings.model ?? earlier.header?.model;
    questions.forEach(({ key }, index) => {
      const answer = earlier.answered.get(key);
      if (!answer) this.#open.push(index);
      else if (answer.finishReason === 'length') this.#truncated++;
    });
  }

  summary(): EndpointSummary {
    const failed = this.#failed.sort((a, b) => a.index - b.index);
    return {
      asked: this.#asked,
      resumed: this.#questions.length - this.#open.length,
      left: this.#open.length - this.#asked,
      failed: failed.map(({ index, reason }) => ({ key: this.#questions[index]!.key, reason })),
      truncated: this.#truncated,
      model: this.#model,
      problems: this.#earlier.problems,
    };
  }

  async run(): Promise<void> {
    const { answers, concurrency, temperature, maxTokens, model } = this.#settings;
    if (this.#open.length === 0 || this.#stop.signal.aborted) return;
    this.#model = model ?? (await this.#onlyModel());
    if (this.#model === undefined) return;
    const header = { url: this.#server.name, model: this.#model, temperature, maxTokens };
    refuseOtherSettings(answers, this.#earlier, header);
    const writer = new AnswersWriter(answers, this.#earlier, header);
    try {
      let next = 0;
      const work = async (): Promise<void> => {
        while (next < this.#open.length && !this.#stop.signal.aborted) {
          await this.#settle(this.#open[next++]!, header, writer);
        }
      };
      const workers = Array.from({ length: Math.min(concurrency, this.#open.length) }, async () => {
        try {
          await work();
        } catch (error) {
          this.#stop.abort(); // the others give up what they are at
          throw error;
        }
      });
      const ends = await Promise.allSettled(workers);
      const failure = ends.find((end) => end.status === 'rejected');
      if (failure) throw failure.reason;
    } finally {
      writer.close();
    }
  }

  /** Asks a question until it has an answer or has failed for good, and writes that down. */
  async #settle(index: number, header: AnswersHeader, writer: AnswersWriter): Promise<void> {
    const question = this.#questions[index]!;
    const { onAnswer, images } = this.#settings;
    const line: Pick<AnswerLine, 'key' | 'fingerprint'> = {
      key: question.key,
      fingerprint: fingerprintOf(question),
    };
    try {
      const image = dataUri(images, question.image);
      const answer = await this.#try(index, () =>
        this.#server.complete({ ...header, image, prompt: question.prompt }, this.#stop.signal),
      );
      if (answer === given) return;
      writer.append({ ...line, ...answer });
      this.#answered = true;
      if (answer.finishReason === 'length') this.#truncated++;
    } catch (error) {
      if (!(error instanceof RequestFailure)) throw error;
      this.#endWhereUseless(error);
      writer.append({ ...line, error: error.message });
      this.#failed.push({ index, reason: error.message });
    }
    this.#asked++;
    const resumed = this.#questions.length - this.#open.length;
    onAnswer?.(resumed + this.#asked, this.#questions.length, this.#failed.length);
  }

  /** @throws RequestFailure of the last attempt */
  async #try<T>(index: number, request: () => Promise<T>): Promise<T | typeof given> {
    const { retries } = this.#settings;
    const random = new Random(0, index);
    for (let attempt = 0; ; attempt++) {
      if (this.#stop.signal.aborted) return given;
      try {
        return await request();
      } catch (error) {
        if (this.#stop.signal.aborted) return given;
        if (!(error instanceof RequestFailure)) throw error;
        const { kind, message, retryAfter } = error;
        const again = (kind === 'transient' || kind === 'unreachable') && retryAfter <= longestRetryAfter;
        if (!again || attempt === retries) {
          const asks = again || retryAfter === 0 ? '' : `, asks to wait ${Math.ceil(retryAfter / 1000)} s`;
          const attempts = attempt === 0 ? '' : ` (${attempt + 1} attempts)`;
          throw new RequestFailure(kind, `${message}${asks}${attempts}`);
        }
        const longest = Math.min(longestWait, firstWait * 2 ** attempt);
        await this.#clock.sleep(Math.max(retryAfter, random.next() * longest), this.#stop.signal);
      }
    }
  }

  /** @throws PerceptionError where every other question would fail as well */
  #endWhereUseless(failure: RequestFailure): void {
    const { kind, message } = failure;
    if (kind === 'unreachable') {
      const { port } = new URL(this.#server.name);
      const model = this.#model ?? 'MODEL';
      throw ended(
        `${this.#server.name}: expected a server, received ${message}. Correct the URL, or start one, as with "vllm serve ${model}${port && ` --port ${port}`}"`,
        failure,
      );
    }
    if (kind === 'refused' && !this.#answered) {
      const remedy = /^40[13]/.test(message)
        ? 'Pass the API key that the server expects'
        : `The URL is to be the one that OpenAI clients take, which mostly ends in /v1, and the model one that GET ${this.#server.name}/models lists`;
      throw ended(
        `${this.#server.name}: expected a server that answers, received ${message.replace(/\.$/, '')}. ${remedy}`,
        failure,
      );
    }
  }

  /** @returns undefined where the run was aborted */
  async #onlyModel(): Promise<string | undefined> {
    let models: string[] | typeof given;
    try {
      models = await this.#try(-1, () => this.#server.models(this.#stop.signal));
    } catch (error) {
      if (!(error instanceof RequestFailure)) throw error;
      this.#endWhereUseless(error);
      throw ended(
        `${this.#server.name}/models: expected a list of models, received ${error.message}; name the model`,
        error,
      );
    }
    if (models === given) return undefined;
    if (models.length === 1) return models[0];
    const few = models.slice(0, 20).map((name) => `"${name.slice(0, 100)}"`);
    if (models.length > 20) few.push(`${models.length - 20} more`);
    throw new PerceptionError(
      'INVALID_ARGUMENT',
      `options.model: expected one of the models of ${this.#server.name}, which has ${few.join(', ') || 'none'}`,
    );
  }
}

const maxImageMebibytes = 64;

const imageFailures: Record<ImageFailure, string> = {
  outside: 'the path leads out of the image folder',
  missing: 'there is no such file in the image folder',
  unreadable: 'it cannot be read',
  format: 'it is neither PNG, JPEG, WebP nor GIF',
  tooLarge: `it has more than ${maxImageMebibytes} MiB`,
};

/** @throws RequestFailure where the image cannot be sent */
function dataUri(folder: string, image: string): string {
  const embedded = embedImage(folder, image, maxImageMebibytes * 1024 * 1024);
  if (typeof embedded !== 'string') return embedded.uri;
  throw new RequestFailure('final', `image "${image}": ${imageFailures[embedded]}`);
}

const ended = (message: string, cause: Error): PerceptionError =>
  new PerceptionError('SERVER_UNAVAILABLE', message, { cause });

function checkedSettings(options: EndpointOptions): Settings {
  const settings = { ...optionsObject(options, 'options', known) } as Settings;
  for (const [name, value] of Object.entries(endpointDefaults)) {
    settings[name as keyof typeof endpointDefaults] ??= value;
  }
  for (const name of ['model', 'images', 'answers'] as const) {
    const value = settings[name];
    if (value === undefined && name === 'model') continue;
    if (typeof value !== 'string' || value === '') {
      throw invalid('INVALID_ARGUMENT', `options.${name}`, 'a string that is not empty', value);
    }
  }
  if (!statSync(settings.images, { throwIfNoEntry: false })?.isDirectory()) {
    throw invalid('INVALID_ARGUMENT', 'options.images', 'a folder', settings.images);
  }
  wholeNumber(settings.concurrency, 'options.concurrency', 1, 1024);
  wholeNumber(settings.retries, 'options.retries', 0, 100);
  wholeNumber(settings.maxTokens, 'options.maxTokens', 1);
  atLeastZero(settings.temperature, 'options.temperature');
  if (aboveZero(settings.timeoutSeconds, 'options.timeoutSeconds') > 86_400) {
    throw invalid('INVALID_ARGUMENT', 'options.timeoutSeconds', 'at most a day', settings.timeoutSeconds);
  }
  if (settings.signal !== undefined && !(settings.signal instanceof AbortSignal)) {
    throw invalid('INVALID_ARGUMENT', 'options.signal', 'an AbortSignal', settings.signal);
  }
  return settings;
}

const known = [
  'url',
  'model',
  'apiKey',
  'images',
  'answers',
  'concurrency',
  'retries',
  'timeoutSeconds',
  'maxTokens',
  'temperature',
  'signal',
  'onAnswer',
] as const;

/** @returns the questions by their keys */
function checkedKeys(questions: readonly Question[]): Map<string, Question> {
  const byKey = new Map<string, Question>();
  questions.forEach((question, i) => {
    for (const name of ['key', 'image', 'prompt'] as const) {
      if (typeof question[name] === 'string') continue;
      throw invalid('INVALID_ARGUMENT', `questions[${i}].${name}`, 'a string', question[name]);
    }
    if (byKey.has(question.key)) {
      throw invalid('INVALID_ARGUMENT', `questions[${i}].key`, 'one that no other has', question.key);
    }
    byKey.set(question.key, question);
  });
  return byKey;
}

/** @throws PerceptionError INVALID_INPUT where an answers file is not of these questions, or was asked for otherwise */
function refuseOthers(
  path: string,
  earlier: EarlierAnswers,
  { model, temperature, maxTokens }: Settings,
  questions: ReadonlyMap<string, Question>,
): void {
  if (!earlier.header) return;
  refuseOtherSettings(path, earlier, { temperature, maxTokens, ...(model !== undefined && { model }) });
  for (const [key, { fingerprint }] of earlier.answered) {
    const question = questions.get(key);
    if (!question || fingerprint === undefined || fingerprint === fingerprintOf(question)) continue;
    throw new PerceptionError(
      'INVALID_INPUT',
      `${path}: expected answers to these questions, but "${key}" was asked with another image or prompt; choose a new file`,
    );
  }
}

function refuseOtherSettings(path: string, { header }: EarlierAnswers, asked: Partial<AnswersHeader>): void {
  const other = header ? difference(asked, header) : undefined;
  if (other === undefined) return;
  throw new PerceptionError(
    'INVALID_INPUT',
    `${path}: expected answers to the same settings, received those to ${other}; ask as before, or choose a new file`,
  );
}
