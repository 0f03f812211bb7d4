import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { encode } from 'fast-png';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { readAnswers } from '../../src/eval/answers.js';
import { askEndpoint, type Clock, type EndpointOptions } from '../../src/eval/endpoint.js';
import type { Question } from '../../src/eval/questions.js';
import { PerceptionError } from '../../src/index.js';
import { codeOfAsync } from '../support.js';
import {
  type Answer,
  completion,
  type Fault,
  type Server,
  type ServerOptions,
  startServer,
} from './openai-server.js';

const folder = mkdtempSync(join(tmpdir(), 'endpoint-'));
const images = join(folder, 'images');
afterAll(() => rmSync(folder, { recursive: true }));

const count = 12;
const png = (shade: number): Uint8Array =>
  encode({ width: 2, height: 2, channels: 3, data: new Uint8Array(12).fill(shade) });
beforeAll(() => {
  mkdirSync(join(images, 'deep'), { recursive: true });
  for (let i = 0; i < count; i++) writeFileSync(join(images, 'deep', `${i}.png`), png(i));
});

const questionsOf = (n: number): Question[] =>
  Array.from({ length: n }, (_, i) => ({ key: `q${i}`, image: `deep/${i}.png`, prompt: `question ${i}` }));
const answerTo = (prompt: string): string => `answer to ${prompt}`;

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});
async function serve(options: Partial<ServerOptions> = {}): Promise<Server> {
  const server = await startServer({ answers: ({ prompt }) => answerTo(prompt), ...options });
  servers.push(server);
  return server;
}

let files = 0;
const newFile = (): string => join(folder, `answers-${files++}.jsonl`);

/** A clock that does not wait but remembers how long it should have. */
function fakeClock(): Clock & { slept: number[] } {
  const slept: number[] = [];
  return {
    slept,
    now: () => Date.UTC(2025, 0, 1, 12),
    sleep: async (milliseconds) => {
      slept.push(milliseconds);
    },
  };
}

type Ask = Partial<EndpointOptions> & { url: string };
const ask = (questions: readonly Question[], options: Ask, clock = fakeClock()) =>
  askEndpoint(questions, { images, answers: newFile(), maxTokens: 64, retries: 2, ...options }, clock);

const messageOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (error: unknown) => {
      if (error instanceof PerceptionError) return `${error.code} ${error.message}`;
      throw error;
    },
  );

const linesOf = (path: string): Record<string, unknown>[] =>
  readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

/** The lines of an answers file that count, without regard to their order, as if `here` had been asked for `there`. */
const contentOf = (path: string, there?: Server, here?: Server): string[] =>
  readFileSync(path, 'utf8')
    .replace(there?.url ?? '', here?.url ?? '')
    .split('\n')
    .filter((line) => line !== '' && !line.includes('"error"'))
    .sort();

const completionsOf = async (path: string) => Object.fromEntries((await readAnswers(path)).completions);
const allAnswers = (n: number) =>
  Object.fromEntries(questionsOf(n).map(({ key, prompt }) => [key, answerTo(prompt)]));

describe('all well', () => {
  test('each question is asked once with its image, and its answer written', async () => {
    const server = await serve();
    const answers = newFile();
    const seen: [number, number, number][] = [];
    const summary = await ask(questionsOf(count), {
      url: server.url,
      answers,
      onAnswer: (...progress) => seen.push(progress),
    });
    expect(summary).toEqual({
      asked: count,
      resumed: 0,
      left: 0,
      failed: [],
      truncated: 0,
      model: 'test-model',
      problems: [],
    });
    expect(await completionsOf(answers)).toEqual(allAnswers(count));
    expect(seen).toEqual(Array.from({ length: count }, (_, i) => [i + 1, count, 0]));
    expect(server.requests.length).toBe(count);
    for (const { prompt, image, body, path, authorization } of server.requests) {
      const file = readFileSync(join(images, 'deep', `${prompt.split(' ')[1]}.png`));
      expect(image.sha256).toBe(createHash('sha256').update(file).digest('hex'));
      expect(image.type).toBe('image/png');
      expect(body).toMatchObject({ model: 'test-model', temperature: 0, max_tokens: 64 });
      expect(path).toBe('/v1/chat/completions');
      expect(authorization).toBeUndefined();
    }
    expect(linesOf(answers)[0]).toEqual({
      endpoint: { url: server.url, model: 'test-model', temperature: 0, maxTokens: 64 },
    });
  });

  test('what vLLM, SGLang, llama.cpp and OpenAI answer', async () => {
    const url = new URL('../fixtures/eval/answers-servers.json', import.meta.url);
    const recorded = JSON.parse(readFileSync(url, 'utf8')) as {
      prompt: string;
      response: object;
      expected: Record<string, unknown>;
    }[];
    expect(recorded.length).toBe(7);
    const server = await serve({
      answers: Object.fromEntries(recorded.map(({ prompt, response }) => [prompt, response])),
    });
    const answers = newFile();
    const questions = recorded.map(({ prompt }, i) => ({ key: String(i), image: 'deep/0.png', prompt }));
    const summary = await ask(questions, { url: server.url, answers, model: 'another', temperature: 0.7 });
    expect(summary).toMatchObject({ asked: 7, failed: [], truncated: 2, model: 'another' });
    const again = await ask(questions, { url: server.url, answers, temperature: 0.7 });
    expect(again).toMatchObject({ asked: 0, resumed: 7, truncated: 2, model: 'another' });
    const [header, ...lines] = linesOf(answers);
    expect(header).toMatchObject({ endpoint: { model: 'another', temperature: 0.7 } });
    lines.sort((a, b) => Number(a.key) - Number(b.key));
    recorded.forEach(({ expected }, i) => {
      const { key, fingerprint, ...rest } = lines[i]!;
      expect(rest).toEqual(expected);
      expect([key, fingerprint]).toEqual([String(i), expect.stringMatching(/^[0-9a-f]{16}$/)]);
    });
    expect(server.requests.map(({ body }) => [body.model, body.temperature])).toEqual(
      Array(7).fill(['another', 0.7]),
    );
  });

  test('JPEG, WebP and GIF are told by their first bytes and sent as they are', async () => {
    const server = await serve();
    const kinds = {
      'image/jpeg': Buffer.from('\xff\xd8\xff\xe0 and the rest', 'latin1'),
      'image/webp': Buffer.from('RIFF\x10\0\0\0WEBPVP8 and the rest', 'latin1'),
      'image/gif': Buffer.from('GIF89a and the rest', 'latin1'),
    };
    const questions = Object.entries(kinds).map(([type, bytes]) => {
      const image = `${type.slice(6)}.png`; // the name does not tell
      writeFileSync(join(images, image), bytes);
      return { key: type, image, prompt: type };
    });
    expect((await ask(questions, { url: server.url })).failed).toEqual([]);
    expect(server.requests.length).toBe(3);
    for (const { prompt, image } of server.requests) {
      expect(image.type).toBe(prompt);
      expect(image.bytes).toEqual(kinds[prompt as keyof typeof kinds]);
    }
  });

  test.each([1, 5])('at most %i questions at a time, and that many where there are', async (concurrency) => {
    // No answer before that many wait for one: with fewer at a time this would not end.
    let waiting: (() => void)[] = [];
    const server = await serve({
      answers: async ({ prompt }) => {
        await new Promise<void>((resolve) => {
          waiting.push(resolve);
          if (waiting.length === concurrency) {
            for (const go of waiting) go();
            waiting = [];
          }
        });
        return answerTo(prompt);
      },
    });
    const summary = await ask(questionsOf(10), { url: server.url, concurrency });
    expect(summary.asked).toBe(10);
    expect(server.mostAtOnce()).toBe(concurrency);
  });

  test('connections are used again', async () => {
    const server = await serve();
    await ask(questionsOf(count), { url: server.url, concurrency: 2 });
    expect(server.connections()).toBeLessThanOrEqual(2);
  });

  test('no more at a time while some are tried again', async () => {
    const server = await serve({ faults: ({ attempt }) => (attempt < 3 ? { status: 503 } : undefined) });
    const summary = await ask(questionsOf(count), { url: server.url, concurrency: 3 });
    expect([summary.asked, summary.failed]).toEqual([count, []]);
    expect(server.requests.length).toBe(3 * count);
    expect(server.mostAtOnce()).toBeLessThanOrEqual(3);
  });
});

describe('the URL', () => {
  test.each([
    ['as OpenAI takes it', ''],
    ['with a slash', '/'],
    ['of chat/completions', '/chat/completions'],
    ['with a query, which stays', '?api-version=1'],
  ])('%s', async (_, end) => {
    const server = await serve();
    await ask(questionsOf(1), { url: server.url + end });
    expect(server.requests[0]!.path).toBe(`/v1/chat/completions${end.startsWith('?') ? end : ''}`);
  });

  test('of the host alone', async () => {
    const server = await serve();
    for (const end of ['', '/']) await ask(questionsOf(1), { url: server.url.replace('/v1', end) });
    expect(server.requests.map(({ path }) => path)).toEqual(Array(2).fill('/v1/chat/completions'));
  });

  test.each(['localhost:8000/v1', '', 'v1', 'ftp://host/v1', 7])('%s is refused', async (url) => {
    const message = await messageOf(ask([], { url: url as string }));
    expect(message).toMatch(/^INVALID_ARGUMENT options\.url: expected .*http:\/\/localhost:8000\/v1/);
  });
});

describe('the model', () => {
  test.each([
    [['a', 'b'], /^INVALID_ARGUMENT options\.model: .*"a", "b"$/],
    [[], /^INVALID_ARGUMENT options\.model: .*has none$/],
    [400, /^SERVER_UNAVAILABLE .*\/models: .*400 Bad Request: Not Found; name the model$/],
  ])('%j cannot be chosen from', async (models, expected) => {
    const server = await serve({ models });
    expect(await messageOf(ask(questionsOf(1), { url: server.url }))).toMatch(expected);
    expect(server.requests).toEqual([]);
  });
});

describe('faults that pass', () => {
  // Short where the time is what counts, and still long for an answer on a machine that is busy.
  const timeoutOf = (fault: Fault) =>
    fault === 'silent' || fault === 'dripping' ? { timeoutSeconds: 0.25 } : {};

  const faults: [string, Fault][] = [
    ['no answer in time', 'silent'],
    ['an answer that drips', 'dripping'],
    ['500', { status: 500, body: 'Internal Server Error' }],
    ['408', { status: 408 }],
    ['409', { status: 409 }],
    ['425', { status: 425 }],
    ['429', { status: 429 }],
    ['502', { status: 502, body: '<html>Bad Gateway</html>' }],
    ['a connection closed before the headers', 'reset'],
    ['a connection cut in the body', 'cut'],
    ['malformed JSON', { text: '{"choices": [' }],
    [
      'bytes that are no UTF-8',
      { text: Buffer.from('{"choices": [{"message": {"content": "\xff"}}]}', 'latin1') },
    ],
    ['an empty body', { text: '' }],
    ['JSON of another shape', { text: '{"choices": []}' }],
    ['no message', { text: '{"choices": [{"message": {}}]}' }],
    ['an error with status 200', { text: '{"error": {"message": "upstream is busy"}}' }],
    ['null', { text: 'null' }],
  ];
  test.each(faults)('%s: the question is asked again', async (_, fault) => {
    const server = await serve({ faults: ({ attempt }) => (attempt === 1 ? fault : undefined) });
    const answers = newFile();
    const clock = fakeClock();
    const summary = await ask(questionsOf(3), { url: server.url, answers, ...timeoutOf(fault) }, clock);
    expect([summary.asked, summary.failed]).toEqual([3, []]);
    expect(await completionsOf(answers)).toEqual(allAnswers(3));
    expect(server.requests.length).toBe(6);
    expect(clock.slept.length).toBe(3);
  });

  test.each([
    ['silent', 'no whole answer within 0.25 s (3 attempts)'],
    ['dripping', 'no whole answer within 0.25 s (3 attempts)'],
    [
      { status: 500, body: 'CUDA error\n  at line 3' },
      '500 Internal Server Error: CUDA error at line 3 (3 attempts)',
    ],
    [{ status: 503, body: { error: { message: 'busy' } } }, '503 Service Unavailable: busy (3 attempts)'],
    ['cut', 'the connection broke (ECONNRESET) (3 attempts)'],
    [{ text: 'no JSON' }, 'an answer that is not JSON: "no JSON" (3 attempts)'],
    [
      { text: '{"choices": []}' },
      'an answer without choices[0].message.content: {"choices":[]} (3 attempts)',
    ],
  ] as [Fault, string][])(
    '%j again and again: the question fails, the others do not',
    async (fault, reason) => {
      const server = await serve({ faults: ({ prompt }) => (prompt === 'question 1' ? fault : undefined) });
      const answers = newFile();
      const summary = await ask(questionsOf(3), { url: server.url, answers, ...timeoutOf(fault) });
      expect(summary.failed).toEqual([{ key: 'q1', reason }]);
      expect([summary.asked, server.requests.length]).toEqual([3, 5]);
      const read = await readAnswers(answers);
      expect([...read.completions.keys()].sort()).toEqual(['q0', 'q2']);
      expect([...read.failed]).toEqual([['q1', reason]]);
    },
  );

  test('waits grow, are drawn from the same stream each time, and have an upper limit', async () => {
    const waits = async () => {
      const server = await serve({ faults: () => ({ status: 500 }) });
      const clock = fakeClock();
      await ask(questionsOf(1), { url: server.url, retries: 12 }, clock);
      return clock.slept;
    };
    const slept = await waits();
    expect(slept.length).toBe(12);
    slept.forEach((wait, i) => expect(wait).toBeLessThan(Math.min(60_000, 1000 * 2 ** i)));
    expect(Math.max(...slept)).toBeGreaterThan(16_000);
    expect(new Set(slept).size).toBe(12);
    expect(await waits()).toEqual(slept);
  });

  test.each([
    ['7', 7000],
    ['Wed, 01 Jan 2025 12:00:30 GMT', 30_000],
    ['Wed, 01 Jan 2025 11:00:00 GMT', undefined],
    ['soon', undefined],
  ])('Retry-After: %s is kept to', async (value, wait) => {
    const server = await serve({
      faults: ({ attempt }) =>
        attempt === 1 ? { status: 429, headers: { 'retry-after': value } } : undefined,
    });
    const clock = fakeClock();
    expect((await ask(questionsOf(1), { url: server.url }, clock)).failed).toEqual([]);
    expect(clock.slept.length).toBe(1);
    if (wait === undefined) expect(clock.slept[0]).toBeLessThan(1000);
    else expect(clock.slept[0]).toBe(wait);
  });

  test('a Retry-After of a day is not waited for', async () => {
    const server = await serve({ faults: () => ({ status: 429, headers: { 'retry-after': '86400' } }) });
    const clock = fakeClock();
    const { failed } = await ask(questionsOf(1), { url: server.url }, clock);
    expect(failed).toEqual([{ key: 'q0', reason: '429 Too Many Requests, asks to wait 86400 s' }]);
    expect(clock.slept).toEqual([]);
  });
});

describe('faults that stay', () => {
  const long = 'x'.repeat(1000);
  test.each([
    [{ error: { message: 'the image is too large' } }, 'the image is too large'],
    [{ object: 'error', message: 'max_tokens is too large', code: 400 }, 'max_tokens is too large'],
    [{ error: 'no such thing' }, 'no such thing'],
    [{ detail: [{ loc: ['body'], msg: 'missing' }] }, '[{"loc":["body"],"msg":"missing"}]'],
    ['plain\u001b[31m text', 'plain [31m text'],
    [long, `${'x'.repeat(300)}…`],
  ] as [Answer, string][])('400 with a message: no second attempt', async (body, message) => {
    const server = await serve({
      faults: ({ prompt }) => (prompt === 'question 0' ? { status: 400, body } : undefined),
    });
    const { failed, asked } = await ask(questionsOf(3), { url: server.url });
    expect(failed).toEqual([{ key: 'q0', reason: `400 Bad Request: ${message}` }]);
    expect([asked, server.requests.length]).toEqual([3, 3]);
  });

  test('failures are listed in the order of the questions', async () => {
    const server = await serve({
      faults: ({ prompt }) => ({ status: prompt === 'question 0' ? 500 : 400 }), // 0 is the last to fail
    });
    const { failed } = await ask(questionsOf(3), { url: server.url, concurrency: 3 });
    expect(failed.map(({ key }) => key)).toEqual(['q0', 'q1', 'q2']);
  });

  test('a body without an end is given up', async () => {
    const server = await serve({
      faults: ({ prompt }) => (prompt === 'question 0' ? 'endless' : undefined),
    });
    const { failed } = await ask(questionsOf(2), { url: server.url });
    expect(failed).toEqual([{ key: 'q0', reason: 'an answer of more than 16 MiB' }]);
    expect(server.requests.length).toBe(2);
  });

  test('images that cannot be sent: their questions fail, with the reason', async () => {
    const server = await serve();
    writeFileSync(join(images, 'text.png'), 'no image');
    writeFileSync(join(folder, 'outside.png'), png(1));
    symlinkSync(join(images, 'nowhere'), join(images, 'dangling.png'));
    const reasons = {
      'missing.png': 'there is no such file in the image folder',
      'dangling.png': 'there is no such file in the image folder',
      deep: 'it cannot be read',
      'text.png': 'it is neither PNG, JPEG, WebP nor GIF',
      '../outside.png': 'the path leads out of the image folder',
      [join(folder, 'outside.png')]: 'the path leads out of the image folder',
      'nul\0.png': 'the path leads out of the image folder',
    };
    const bad = Object.keys(reasons).map((image) => ({ key: image, image, prompt: 'bad' }));
    const { failed, asked } = await ask([...bad, ...questionsOf(2)], { url: server.url });
    expect(asked).toBe(bad.length + 2);
    expect(failed).toEqual(
      Object.entries(reasons).map(([key, why]) => ({ key, reason: `image "${key}": ${why}` })),
    );
    expect(server.requests.length).toBe(2);
  });
});

describe('going on is of no use', () => {
  test.each([
    [{ status: 401, body: { error: { message: 'no key' } } }, /401 Unauthorized: no key\. Pass the API key/],
    [{ status: 403 }, /403 Forbidden\. Pass the API key/],
    [
      { status: 404, body: { message: 'The model `x` does not exist.' } },
      /404 Not Found: The model `x` does not exist\. The URL is to be .* \/v1, and the model/,
    ],
    [
      { status: 307, headers: { location: 'https://other:8000/v1?key=secret' } },
      /307 Temporary Redirect; it points to https:\/\/other:8000\/v1\. The URL/,
    ],
  ] as [Fault, RegExp][])('%j on the first question ends the run', async (fault, expected) => {
    const server = await serve({ faults: () => fault });
    const answers = newFile();
    const message = await messageOf(ask(questionsOf(count), { url: server.url, answers, concurrency: 2 }));
    expect(message).toMatch(expected);
    expect(message).toMatch(/^SERVER_UNAVAILABLE http:\/\/127/);
    expect(server.requests.length).toBeLessThanOrEqual(2);
    expect(linesOf(answers).length).toBe(1); // the header: nothing is to be said of a question
  });

  test('requests under way are given up then', async () => {
    const server = await serve({
      faults: ({ prompt }) => (prompt === 'question 2' ? { status: 401 } : 'silent'),
    });
    const message = await messageOf(ask(questionsOf(3), { url: server.url, model: 'm', concurrency: 3 }));
    expect(message).toContain('401 Unauthorized'); // and not after the timeout of the others
  });

  test('once the server has answered, a 404 is of its question alone', async () => {
    const server = await serve({
      faults: ({ prompt }) => (prompt === 'question 1' ? { status: 404 } : undefined),
    });
    const { failed } = await ask(questionsOf(4), { url: server.url, concurrency: 1 });
    expect(failed).toEqual([{ key: 'q1', reason: '404 Not Found' }]);
  });

  test.each([undefined, 'a-model'])('nothing listens there (model: %s)', async (model) => {
    const server = await serve();
    await server.close();
    const clock = fakeClock();
    const options = { url: server.url, concurrency: 1, ...(model && { model }) };
    const message = await messageOf(ask(questionsOf(count), options, clock));
    const port = new URL(server.url).port;
    expect(message).toBe(
      `SERVER_UNAVAILABLE ${server.url}: expected a server, received nothing listens there (ECONNREFUSED) (3 attempts). Correct the URL, or start one, as with "vllm serve ${model ?? 'MODEL'} --port ${port}"`,
    );
    expect(clock.slept.length).toBe(2);
  });

  test('a server that goes away: the run ends, and goes on with the next one', async () => {
    const first = await serve({
      answers: ({ prompt }) => {
        if (prompt === 'question 3') void first.close();
        return answerTo(prompt);
      },
    });
    const answers = newFile();
    const message = await messageOf(ask(questionsOf(6), { url: first.url, answers, concurrency: 1 }));
    expect(message).toContain('nothing listens there');
    const answered = (await readAnswers(answers)).completions.size;
    expect(answered).toBeGreaterThanOrEqual(3);
    const second = await serve();
    const summary = await ask(questionsOf(6), { url: second.url, answers });
    expect([summary.resumed, summary.asked]).toEqual([answered, 6 - answered]);
    expect(await completionsOf(answers)).toEqual(allAnswers(6));
  });

  test('a server without TLS where TLS is expected', async () => {
    const server = await serve();
    const options = { url: server.url.replace('http:', 'https:'), model: 'm' };
    expect(await messageOf(ask(questionsOf(1), options))).toMatch(/received no secure connection/);
  });
});

describe('resuming', () => {
  async function uninterrupted(n: number, server: Server): Promise<string> {
    const answers = newFile();
    await ask(questionsOf(n), { url: server.url, answers, concurrency: 1 });
    server.requests.length = 0;
    return answers;
  }

  test('aborted in the middle and resumed: the same answers, each question asked once then', async () => {
    const server = await serve();
    const whole = await uninterrupted(count, server);
    const answers = newFile();
    const abort = new AbortController();
    const interrupted = await serve();
    const first = await ask(questionsOf(count), {
      url: interrupted.url,
      answers,
      concurrency: 3,
      signal: abort.signal,
      onAnswer: (done) => done === 4 && abort.abort(),
    });
    expect(first).toMatchObject({ asked: 4, resumed: 0, left: count - 4, failed: [] });
    const before = contentOf(answers);
    expect(before.length).toBe(5);
    const seen: number[] = [];
    const options = { url: server.url, answers, concurrency: 3 };
    const second = await ask(questionsOf(count), { ...options, onAnswer: (done) => seen.push(done) });
    expect(second).toMatchObject({ asked: count - 4, resumed: 4, left: 0, failed: [], problems: [] });
    expect(seen).toEqual([5, 6, 7, 8, 9, 10, 11, 12]);
    expect(server.requests.length).toBe(count - 4);
    expect(contentOf(answers, interrupted, server)).toEqual(contentOf(whole));
    expect(before.every((line) => contentOf(answers).includes(line))).toBe(true);
  });

  test('aborted while the server is silent, and while a retry is waited for', async () => {
    const server = await serve({ faults: () => 'silent' });
    const abort = new AbortController();
    const run = ask(questionsOf(3), { url: server.url, model: 'm', signal: abort.signal });
    while (server.requests.length < 3) await new Promise((resolve) => setTimeout(resolve, 2));
    abort.abort();
    expect(await run).toMatchObject({ asked: 0, left: 3, failed: [] });

    const failing = await serve({ faults: () => ({ status: 500 }) });
    const again = new AbortController();
    const options = { images, answers: newFile(), maxTokens: 1, url: failing.url, signal: again.signal };
    const asleep = askEndpoint(questionsOf(1), options, {
      now: Date.now,
      sleep: (_, signal) => {
        setImmediate(() => again.abort());
        return new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
      },
    });
    expect(await asleep).toMatchObject({ asked: 0, left: 1 });
    expect(failing.requests.length).toBe(1);
  });

  test('with the clock of the system: aborted in a wait of up to a second, it ends', async () => {
    const abort = new AbortController();
    const server = await serve({
      faults: () => {
        setTimeout(() => abort.abort(), 20);
        return { status: 503, headers: { 'retry-after': '500' } };
      },
    });
    const options = { images, answers: newFile(), maxTokens: 1, url: server.url, signal: abort.signal };
    expect(await askEndpoint(questionsOf(1), options)).toMatchObject({ asked: 0, left: 1 });
  });

  test('aborted before it begins: nothing is asked and no file made', async () => {
    const server = await serve();
    const answers = newFile();
    const summary = await ask(questionsOf(2), { url: server.url, answers, signal: AbortSignal.abort() });
    expect(summary).toMatchObject({ asked: 0, left: 2, model: undefined });
    expect([server.requests.length, existsSync(answers)]).toEqual([0, false]);
  });

  test('a finished run needs no server', async () => {
    const server = await serve();
    const answers = await uninterrupted(3, server);
    await server.close();
    const summary = await ask(questionsOf(3), { url: server.url, answers });
    expect(summary).toMatchObject({ asked: 0, resumed: 3, left: 0, model: 'test-model' });
  });

  test('failed questions are asked again, more questions may be added, others may be left out', async () => {
    let broken = true;
    const server = await serve({
      faults: ({ prompt }) =>
        broken && prompt === 'question 1' ? { status: 400, body: 'not now' } : undefined,
    });
    const answers = newFile();
    const options = { url: server.url, answers };
    const { failed } = await ask(questionsOf(3), options);
    expect(failed).toEqual([{ key: 'q1', reason: '400 Bad Request: not now' }]);
    expect((await ask(questionsOf(1), options)).resumed).toBe(1);
    broken = false;
    server.requests.length = 0;
    const summary = await ask(questionsOf(5), options);
    expect(summary).toMatchObject({ asked: 3, resumed: 2, failed: [] });
    expect(server.requests.map(({ prompt }) => prompt).sort()).toEqual([1, 3, 4].map((i) => `question ${i}`));
    const read = await readAnswers(answers);
    expect([Object.fromEntries(read.completions), read.failed.size]).toEqual([allAnswers(5), 0]);
  });

  test('cut anywhere, as by a kill in the middle of a write: the same answers after resuming', async () => {
    const server = await serve();
    const whole = readFileSync(await uninterrupted(4, server));
    const lineEnds = [...whole.keys()].filter((at) => whole[at] === 0x0a);
    const cuts = new Set([0, 1, 12, 13, 14]);
    for (const end of lineEnds) for (const cut of [end - 1, end, end + 1]) cuts.add(cut);
    for (let cut = 0; cut < whole.length; cut += 17) cuts.add(cut);
    expect(cuts.size).toBeGreaterThan(40);
    const answers = newFile();
    for (const cut of cuts) {
      writeFileSync(answers, whole.subarray(0, cut));
      server.requests.length = 0;
      const kept = Math.max(0, lineEnds.filter((end) => cut >= end).length - 1);
      const summary = await ask(questionsOf(4), { url: server.url, answers, concurrency: 1 });
      expect([cut, summary.resumed, server.requests.length]).toEqual([cut, kept, 4 - kept]);
      // Where all are answered, nothing is written, and the last line may be without its end.
      expect(readFileSync(answers, 'utf8').trimEnd()).toBe(whole.toString().trimEnd());
      const inAnswer = cut > lineEnds[0]! + 1 && !lineEnds.some((end) => cut === end || cut === end + 1);
      expect(summary.problems).toEqual(
        inAnswer
          ? [{ kind: 'lines cut off at the end of the file', count: 1, examples: [`line ${kept + 2}`] }]
          : [],
      );
    }
  });

  test('killed by SIGKILL and resumed: the same answers', async () => {
    const program = pathToFileURL(fileURLToPath(new URL('../../dist/eval/endpoint.js', import.meta.url)));
    if (!existsSync(program))
      throw new Error(`${program} is not there: run "npm run build" before the tests`);
    const server = await serve();
    const whole = await uninterrupted(count, server);
    // The server answers four questions and then holds its tongue, until the asking process is dead.
    let free = 4;
    const slow = await serve({ faults: () => (free-- > 0 ? undefined : 'silent') });
    const answers = newFile();
    const options = { url: slow.url, answers, images, maxTokens: 64, concurrency: 3 };
    const child = spawn(process.execPath, [
      '--input-type=module',
      '--eval',
      `import { askEndpoint } from ${JSON.stringify(program.href)};
       await askEndpoint(${JSON.stringify(questionsOf(count))}, {
         ...${JSON.stringify(options)},
         onAnswer: (done) => process.stdout.write(\`\${done}\\n\`),
       });`,
    ]);
    let said = '';
    let complaint = '';
    child.stderr.on('data', (text: Buffer) => {
      complaint += text.toString();
    });
    child.stdout.on('data', (text: Buffer) => {
      said += text.toString();
      if (said.includes('4\n')) child.kill('SIGKILL');
    });
    const signal = await new Promise((resolve) => child.on('close', (_, name) => resolve(name)));
    expect([signal, complaint]).toEqual(['SIGKILL', '']);
    expect((await readAnswers(answers)).completions.size).toBe(4);
    const summary = await ask(questionsOf(count), { ...options, url: server.url });
    expect(summary).toMatchObject({ asked: count - 4, resumed: 4, failed: [] });
    expect(server.requests.length).toBe(count - 4);
    expect(contentOf(answers, slow, server)).toEqual(contentOf(whole));
  });

  test.each([
    [{ model: 'other' }, 'model "test-model" instead of "other"'],
    [{ temperature: 0.5 }, 'temperature 0 instead of 0.5'],
    [{ maxTokens: 65, temperature: 1 }, 'temperature 0 instead of 1, maxTokens 64 instead of 65'],
  ])('with other settings is refused: %j', async (other, expected) => {
    const server = await serve();
    const answers = await uninterrupted(1, server);
    const content = readFileSync(answers, 'utf8');
    const message = await messageOf(ask(questionsOf(2), { url: server.url, answers, ...other }));
    expect(message).toMatch(/^INVALID_INPUT /);
    expect(message).toContain(`received those to ${expected}; ask as before, or choose a new file`);
    expect([server.requests.length, readFileSync(answers, 'utf8')]).toEqual([0, content]);
  });

  test('at a server that has another model is refused', async () => {
    const answers = await uninterrupted(1, await serve());
    const server = await serve({ models: ['other'] });
    const message = await messageOf(ask(questionsOf(2), { url: server.url, answers }));
    expect(message).toContain('model "test-model" instead of "other"');
    expect(server.requests).toEqual([]);
  });

  test.each([[{ prompt: 'another prompt' }], [{ image: 'deep/5.png' }]])(
    'with another question of the same key is refused: %j',
    async (other) => {
      const server = await serve();
      const answers = await uninterrupted(2, server);
      const [first, second] = questionsOf(2) as [Question, Question];
      const message = await messageOf(ask([first, { ...second, ...other }], { url: server.url, answers }));
      expect(message).toContain('"q1" was asked with another image or prompt');
    },
  );

  test.each([
    'no answers file\n',
    '{"key": "q0", "completion": "of elsewhere"}\n',
    '{"endpoint": 1}\n',
    'notes without a line end',
  ])('a file that is none of a run stays as it is: %j', async (content) => {
    const server = await serve();
    const answers = newFile();
    writeFileSync(answers, content);
    const message = await messageOf(ask(questionsOf(1), { url: server.url, answers }));
    expect(message).toMatch(/^INVALID_INPUT .*expected a new file or the answers of an earlier run/);
    expect(readFileSync(answers, 'utf8')).toBe(content);
    expect(server.requests).toEqual([]);
  });
});

describe('the key', () => {
  const apiKey = `sk-${'secret'.repeat(300)}`;
  const echo = (status: number) => (asked: { authorization: string | undefined }) => ({
    status,
    body: { error: { message: `wrong: ${asked.authorization}` } },
  });

  test('is sent with each request and written nowhere', async () => {
    const server = await serve({
      faults: (asked) => (asked.prompt === 'question 1' ? echo(400)(asked) : undefined),
    });
    const answers = newFile();
    const summary = await ask(questionsOf(3), { url: server.url, answers, apiKey });
    expect(server.requests.map(({ authorization }) => authorization)).toEqual(
      Array(3).fill(`Bearer ${apiKey}`),
    );
    expect(summary.failed[0]!.reason).toBe('400 Bad Request: wrong: Bearer [key]');
    for (const text of [JSON.stringify(summary), readFileSync(answers, 'utf8')]) {
      expect(text).not.toContain('secret');
    }
  });

  test('is not in messages where the server repeats it', async () => {
    for (const fault of [
      echo(401),
      ({ authorization }: { authorization: string | undefined }) => ({ text: `${authorization}` }),
      ({ authorization }: { authorization: string | undefined }) => ({ text: `{"a": "${authorization}"}` }),
    ]) {
      const server = await serve({ faults: fault });
      const answers = newFile();
      const run = ask(questionsOf(1), { url: server.url, answers, apiKey });
      const said = await run.then(
        (summary) => JSON.stringify(summary),
        (error: Error) => `${error.stack} ${error.cause}`,
      );
      expect(said).toContain('[key]');
      expect(said).not.toContain('secret');
      expect(readFileSync(answers, 'utf8')).not.toContain('secret');
    }
  });

  test('a user name and a password of the URL are sent, and written nowhere', async () => {
    const server = await serve({ faults: echo(400) });
    const answers = newFile();
    const url = `${server.url.replace('//', '//me:se%20cret@')}?token=secret`;
    const { failed } = await ask(questionsOf(1), { url, answers });
    const sent = `Basic ${Buffer.from('me:se cret').toString('base64')}`;
    expect(server.requests[0]!.authorization).toBe(sent);
    expect(failed[0]!.reason).toBe('400 Bad Request: wrong: Basic [key]');
    expect(readFileSync(answers, 'utf8')).not.toMatch(/secret|se%20cret|se cret/);
    expect(linesOf(answers)[0]).toMatchObject({ endpoint: { url: server.url } });
  });

  test.each([
    [{ apiKey: 'secret\n' }, /^INVALID_ARGUMENT options\.apiKey: expected printable/],
    [{ apiKey: '' }, /^INVALID_ARGUMENT options\.apiKey: expected printable/],
    [
      { apiKey: 'k', url: 'http://me:secret@host/v1' },
      /^INVALID_ARGUMENT options\.apiKey: expected none beside/,
    ],
    [{ url: 'http://me:secret@host:99999/v1?key=secret' }, /^INVALID_ARGUMENT options\.url/],
    [{ url: 'me:secret@host/v1' }, /^INVALID_ARGUMENT options\.url/],
  ])('%j is refused without being repeated', async (options, expected) => {
    const message = await messageOf(ask([], { url: 'http://host/v1', ...options }));
    expect(message).toMatch(expected);
    expect(message).not.toContain('secret');
  });
});

describe('arguments', () => {
  test.each([
    [{ concurrency: 0 }, 'options.concurrency: expected a whole number from 1 to 1024, received 0'],
    [{ retries: -1 }, 'options.retries: expected a whole number from 0 to 100, received -1'],
    [{ timeoutSeconds: 0 }, 'options.timeoutSeconds: expected a number above 0, received 0'],
    [{ timeoutSeconds: 1e9 }, 'options.timeoutSeconds: expected at most a day, received 1000000000'],
    [{ maxTokens: 0 }, 'options.maxTokens: expected a whole number of at least 1, received 0'],
    [{ temperature: -1 }, 'options.temperature: expected a number of at least 0, received -1'],
    [{ images: '/no/such/folder' }, 'options.images: expected a folder, received "/no/such/folder"'],
    [{ model: '' }, 'options.model: expected a string that is not empty, received ""'],
    [{ signal: 'now' as never }, 'options.signal: expected an AbortSignal, received "now"'],
    [{ topP: 1 }, 'options.topP: unknown option; known are url, model'],
  ])('%j', async (options, expected) => {
    const message = await messageOf(ask([], { url: 'http://host/v1', ...options }));
    expect(message).toContain(`INVALID_ARGUMENT ${expected}`);
  });

  test('questions with the same key, or without one', async () => {
    const [a] = questionsOf(1) as [Question];
    const url = 'http://host/v1';
    expect(await messageOf(ask([a, { ...a, prompt: 'another' }], { url }))).toBe(
      'INVALID_ARGUMENT questions[1].key: expected one that no other has, received "q0"',
    );
    expect(await messageOf(ask([{ ...a, key: 1 as never }], { url }))).toBe(
      'INVALID_ARGUMENT questions[0].key: expected a string, received 1',
    );
  });

  test('an answers file that cannot be written', async () => {
    const server = await serve();
    const answers = join(folder, 'no', 'such', 'folder.jsonl');
    const message = await messageOf(ask(questionsOf(1), { url: server.url, answers }));
    expect(message).toMatch(/^INVALID_ARGUMENT .*folder\.jsonl: expected a path that can be written/);
    expect(await codeOfAsync(ask(questionsOf(1), { url: server.url, answers: folder }))).toBe(
      'INVALID_INPUT',
    );
    expect(server.requests).toEqual([]);
  });

  test('an error of the callback ends the run', async () => {
    const server = await serve();
    const run = ask(questionsOf(count), {
      url: server.url,
      concurrency: 1,
      onAnswer: () => {
        throw new TypeError('of the caller');
      },
    });
    await expect(run).rejects.toThrow('of the caller');
    expect(server.requests.length).toBe(1);
  });

  test('no questions: nothing is asked', async () => {
    const server = await serve();
    expect(await ask([], { url: server.url })).toMatchObject({ asked: 0, resumed: 0, left: 0 });
  });
});

describe('reading answers', () => {
  async function read(content: string | Buffer) {
    const path = newFile();
    writeFileSync(path, content);
    const { completions, failed, header, problems } = await readAnswers(path);
    return { completions: [...completions], failed: [...failed], header, problems };
  }
  const endpoint = { url: 'http://host/v1', model: 'm', temperature: 0, maxTokens: 5 };
  const header = JSON.stringify({ endpoint });

  test('JSON lines of completions from elsewhere, without a header', async () => {
    expect(
      await read('{"key": "a", "completion": "x", "more": 1}\r\n\n{"completion": "", "key": "b"}'),
    ).toEqual({
      completions: [
        ['a', 'x'],
        ['b', ''],
      ],
      failed: [],
      header: null,
      problems: [],
    });
    expect(await read('')).toEqual({ completions: [], failed: [], header: null, problems: [] });
  });

  test('a completion counts more than an error, the last one most', async () => {
    const lines = [
      header,
      '{"key": "a", "error": "500"}',
      '{"key": "a", "completion": "x"}',
      '{"key": "b", "completion": "y", "error": "left over"}',
      '{"key": "b", "error": "later"}',
      '{"key": "c", "error": "lost"}',
      '{"key": "a", "completion": "z"}',
    ];
    expect(await read(lines.join('\n'))).toEqual({
      completions: [
        ['a', 'z'],
        ['b', 'y'],
      ],
      failed: [['c', 'lost']],
      header: endpoint,
      problems: [{ kind: 'second completions of a key', count: 1, examples: ['line 7: "a"'] }],
    });
  });

  test('lines that say nothing are named and counted', async () => {
    const lines = [
      '{',
      '[]',
      '{"key": 1}',
      '{"key": "a"}',
      '{"endpoint": {}}',
      header,
      header.replace('5', '6'),
    ];
    const content = Buffer.concat([Buffer.from(`${lines.join('\n')}\n`), Buffer.from([0xff, 0x0a, 0x7b])]);
    expect((await read(content)).problems).toEqual([
      {
        kind: 'lines that are no answers',
        count: 6,
        examples: [
          'line 1: not JSON',
          'line 2: not a JSON object',
          'line 3: no "key" that is a string',
          'line 4: no "completion" and no "error" that is a string',
          'line 5: a damaged header',
        ],
      },
      {
        kind: 'answers to other settings',
        count: 1,
        examples: ['from line 7: maxTokens 6 instead of 5'],
      },
      { kind: 'lines cut off at the end of the file', count: 1, examples: ['line 9'] },
    ]);
  });

  test('a file that is not there', async () => {
    expect(await codeOfAsync(readAnswers(join(folder, 'nothing')))).toBe('INVALID_ARGUMENT');
  });

  test('what the server wrote stays as it is: line ends, lone surrogates, NUL', async () => {
    const odd = 'a\n\u2028b\0\ud800 "\\"';
    const server = await serve({ answers: () => completion(odd) });
    const answers = newFile();
    await ask(questionsOf(1), { url: server.url, answers });
    expect(await completionsOf(answers)).toEqual({ q0: odd });
  });
});
