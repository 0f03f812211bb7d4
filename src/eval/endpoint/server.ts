import { isUtf8 } from 'node:buffer';
import http from 'node:http';
import https from 'node:https';
import { invalid, PerceptionError } from '../../errors.js';

/** A request that brought no answer. The message has what the server said, shortened, and never the API key. */
export class RequestFailure extends Error {
  /**
   * - `transient`: the same request may succeed later
   * - `final`: this request never will
   * - `refused`: neither this one nor any other, as far as can be told from one
   * - `unreachable`: there is no server, now
   */
  readonly kind: 'transient' | 'final' | 'refused' | 'unreachable';
  /** How long the server asks to wait, in milliseconds. */
  readonly retryAfter: number;

  constructor(kind: RequestFailure['kind'], message: string, retryAfter = 0) {
    super(message);
    this.kind = kind;
    this.retryAfter = retryAfter;
  }
}

export interface ChatRequest {
  model: string;
  /** A data URI. */
  image: string;
  prompt: string;
  temperature: number;
  maxTokens: number;
}

export interface ChatAnswer {
  completion: string;
  /** 'stop', 'length' where `maxTokens` was reached, or what else the server says. */
  finishReason: string | null;
  usage?: Record<string, number>;
}

const maxAnswerBytes = 16 * 1024 * 1024;

// Idle connections are closed before a server with the usual limit of 5 seconds does it, perhaps under a request.
const idleMilliseconds = 4000;

/**
 * A server of OpenAI's chat protocol (https://platform.openai.com/docs/api-reference/chat/create).
 *
 * By node:http, not `fetch`: that gives up after 300 seconds without headers whatever it is told, and a server that does not
 * stream sends these when the whole answer is there.
 */
export class ChatServer {
  /** The base URL without credentials and query, for messages and files. */
  readonly name: string;
  readonly #base: URL;
  readonly #http: typeof http | typeof https;
  readonly #agent: http.Agent;
  readonly #headers: Record<string, string>;
  readonly #secrets: string[];
  readonly #timeoutSeconds: number;
  readonly #now: () => number;

  /** @throws PerceptionError INVALID_ARGUMENT for a wrong URL or key */
  constructor(url: string, apiKey: string | undefined, timeoutSeconds: number, now: () => number) {
    const base = baseUrl(url);
    this.#headers = { accept: 'application/json', 'accept-encoding': 'identity' };
    this.#secrets = [];
    const [user, password] = [base.username, base.password].map(decoded) as [string, string];
    if (apiKey !== undefined) {
      if (typeof apiKey !== 'string' || !/^[\x21-\x7e]+$/.test(apiKey)) {
        throw new PerceptionError(
          'INVALID_ARGUMENT',
          'options.apiKey: expected printable ASCII characters without spaces and line ends',
        );
      }
      if (user || password) {
        throw new PerceptionError(
          'INVALID_ARGUMENT',
          'options.apiKey: expected none beside a URL with a user name or password',
        );
      }
      this.#headers.authorization = `Bearer ${apiKey}`;
      this.#secrets.push(apiKey);
    } else if (user || password) {
      const basic = Buffer.from(`${user}:${password}`).toString('base64');
      this.#headers.authorization = `Basic ${basic}`;
      this.#secrets.push(basic, ...(password ? [password] : []));
    }
    this.#base = base;
    this.name = base.origin + base.pathname;
    this.#http = base.protocol === 'https:' ? https : http;
    this.#agent = new this.#http.Agent({ keepAlive: true, timeout: idleMilliseconds });
    this.#timeoutSeconds = timeoutSeconds;
    this.#now = now;
  }

  /** The names of the models that the server has. @throws RequestFailure, or the reason of `signal` */
  async models(signal: AbortSignal): Promise<string[]> {
    const body = await this.#request('GET', 'models', undefined, signal);
    const data = member(body, 'data');
    const names = Array.isArray(data) ? data.map((model) => member(model, 'id')) : undefined;
    if (!names?.every((name) => typeof name === 'string')) {
      throw this.#unexpected('a list of models', body);
    }
    return names;
  }

  /** Asks one question. @throws RequestFailure, or the reason of `signal` */
  async complete(request: ChatRequest, signal: AbortSignal): Promise<ChatAnswer> {
    const { model, image, prompt, temperature, maxTokens } = request;
    const content = [
      { type: 'image_url', image_url: { url: image } },
      { type: 'text', text: prompt },
    ];
    const body = await this.#request(
      'POST',
      'chat/completions',
      JSON.stringify({
        model,
        messages: [{ role: 'user', content }],
        temperature,
        max_tokens: maxTokens,
      }),
      signal,
    );
    const choices = member(body, 'choices');
    const choice: unknown = Array.isArray(choices) ? choices[0] : undefined;
    const message = member(choice, 'message');
    const text = member(message, 'content');
    // null where the model wrote nothing that is content, as with a reasoning part that reached the limit
    if (typeof text !== 'string' && !(text === null && message !== undefined)) {
      throw this.#unexpected('choices[0].message.content', body);
    }
    const finishReason = member(choice, 'finish_reason');
    const usage = numbers(member(body, 'usage'));
    return {
      completion: text ?? '',
      finishReason: typeof finishReason === 'string' ? this.#shortened(finishReason, 40) : null,
      ...(usage && { usage }),
    };
  }

  /** Closes the connections. */
  close(): void {
    this.#agent.destroy();
  }

  async #request(
    method: string,
    path: string,
    body: string | undefined,
    signal: AbortSignal,
  ): Promise<unknown> {
    let response: Response;
    try {
      response = await this.#exchange(
        method,
        new URL(`${this.name}/${path}${this.#base.search}`),
        body,
        signal,
      );
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof RequestFailure ? error : this.#broken(error as NodeJS.ErrnoException);
    }
    const { status, headers, bytes } = response;
    const retryAfter = this.#retryAfter(headers['retry-after']);
    if (status < 200 || status > 299) {
      const said = this.#said(bytes);
      const phrase = http.STATUS_CODES[status];
      let text = `${status}${phrase ? ` ${phrase}` : ''}${said && `: ${said}`}`;
      if (status >= 300 && status < 400) text += `; it points to ${this.#target(headers.location)}`;
      throw new RequestFailure(kindOf(status), text, retryAfter);
    }
    try {
      if (isUtf8(bytes)) return JSON.parse(bytes.toString('utf8'));
    } catch {
      // told below
    }
    const start = this.#shortened(bytes.toString('utf8', 0, 64 * 1024), 80);
    throw new RequestFailure('transient', `an answer that is not JSON: "${start}"`);
  }

  /** One request and the whole answer, whatever its status. */
  #exchange(method: string, url: URL, body: string | undefined, signal: AbortSignal): Promise<Response> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const headers = { ...this.#headers, ...(body !== undefined && { 'content-type': 'application/json' }) };
      const request = this.#http.request(url, { method, headers, agent: this.#agent });
      const settle = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
      };
      const fail = (error: unknown): void => {
        settle();
        reject(error as Error);
        request.destroy();
      };
      const onAbort = (): void => fail(signal.reason);
      signal.addEventListener('abort', onAbort);
      const timer = setTimeout(() => {
        fail(new RequestFailure('transient', `no whole answer within ${this.#timeoutSeconds} s`));
      }, this.#timeoutSeconds * 1000);
      request.on('error', fail);
      request.on('response', (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on('error', fail);
        response.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size > maxAnswerBytes) fail(new RequestFailure('final', 'an answer of more than 16 MiB'));
          else chunks.push(chunk);
        });
        response.on('end', () => {
          settle();
          const { statusCode, headers } = response;
          resolve({ status: statusCode!, headers, bytes: Buffer.concat(chunks) });
        });
      });
      request.end(body);
    });
  }

  #broken({ code, syscall, message, errors }: NodeJS.ErrnoException & { errors?: NodeJS.ErrnoException[] }) {
    const call = syscall ?? errors?.[0]?.syscall; // an AggregateError where a name has several addresses
    if (call === 'connect' || call === 'getaddrinfo') {
      const reason =
        code === 'ECONNREFUSED'
          ? 'nothing listens there'
          : call === 'getaddrinfo'
            ? 'the host name is not known'
            : 'it cannot be reached';
      return new RequestFailure('unreachable', `${reason} (${code})`);
    }
    if (/CERT|TLS|SSL|EPROTO|LEAF_SIGNATURE/.test(code ?? '')) {
      return new RequestFailure('refused', `no secure connection (${this.#shortened(message, 200)})`);
    }
    return new RequestFailure('transient', `the connection broke (${code ?? this.#shortened(message, 200)})`);
  }

  #unexpected(expected: string, body: unknown): RequestFailure {
    const text = this.#shortened(messageOf(body) ?? JSON.stringify(body), 200);
    return new RequestFailure('transient', `an answer without ${expected}: ${text}`);
  }

  /** What the server says of an error, in the forms of OpenAI, vLLM, FastAPI and llama.cpp, or its text. */
  #said(bytes: Buffer): string {
    const text = bytes.toString('utf8', 0, 64 * 1024);
    let body: unknown;
    try {
      body = JSON.parse(text);
    } catch {
      // plain text
    }
    return this.#shortened(messageOf(body) ?? text, 300);
  }

  /** On one line, without what a terminal could take for commands, and without the key where the server repeats it. */
  #shortened(text: string, length: number): string {
    let safe = text;
    for (const secret of this.#secrets) safe = safe.replaceAll(secret, '[key]');
    safe = safe.replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\p{Z}]+/gu, ' ').trim();
    return safe.length > length ? `${safe.slice(0, length)}…` : safe;
  }

  #target(location: string | undefined): string {
    if (location === undefined || !URL.canParse(location, this.name)) return 'nowhere';
    const { origin, pathname } = new URL(location, this.name);
    return this.#shortened(origin + pathname, 200);
  }

  /** Seconds or an HTTP date (RFC 9110, 10.2.3), in milliseconds from now. */
  #retryAfter(value: string | undefined): number {
    if (value === undefined) return 0;
    if (/^\d{1,15}$/.test(value)) return Number(value) * 1000;
    return Math.max(0, (Date.parse(value) || 0) - this.#now());
  }
}

interface Response {
  status: number;
  headers: http.IncomingHttpHeaders;
  bytes: Buffer;
}

function kindOf(status: number): RequestFailure['kind'] {
  if (status >= 500 || [408, 409, 425, 429].includes(status)) return 'transient';
  return status < 400 || [401, 403, 404, 405].includes(status) ? 'refused' : 'final';
}

/** The URL that paths are added to: as OpenAI's clients take it, or with what they add, or of the host alone. */
function baseUrl(text: unknown): URL {
  const expected =
    'the base URL as OpenAI clients take it, such as "http://localhost:8000/v1", or that of chat/completions';
  if (typeof text !== 'string' || !URL.canParse(text)) {
    throw invalid('INVALID_ARGUMENT', 'options.url', expected, withoutCredentials(text));
  }
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw invalid(
      'INVALID_ARGUMENT',
      'options.url',
      `${expected}, with http:// or https://`,
      withoutCredentials(text),
    );
  }
  const path = url.pathname.replace(/\/{1,100}$/, '').replace(/\/chat\/completions$/, '');
  url.pathname = path === '' ? '/v1' : path;
  url.hash = '';
  return url;
}

const withoutCredentials = (url: unknown): unknown =>
  typeof url === 'string' ? url.replace(/^.*@/s, '…@').replace(/[?#].*$/s, '') : url;

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function messageOf(body: unknown): string | undefined {
  const error = member(body, 'error');
  const texts = [member(error, 'message'), error, member(body, 'message'), member(body, 'detail')];
  const text = texts.find((candidate) => typeof candidate === 'string');
  if (text !== undefined) return text as string;
  const detail = member(body, 'detail'); // FastAPI's list of what is wrong with a request
  return Array.isArray(detail) ? JSON.stringify(detail) : undefined;
}

/** The members that are numbers, as of `usage`. */
function numbers(value: unknown): Record<string, number> | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const entries = Object.entries(value).filter(([, count]) => typeof count === 'number');
  return entries.length > 0
    ? (Object.fromEntries(entries.slice(0, 20)) as Record<string, number>)
    : undefined;
}
