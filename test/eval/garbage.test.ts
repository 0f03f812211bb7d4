/** Files that are damaged or hostile give figures or a message for people, whatever is in them. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Evaluation } from '../../src/eval/evaluation.js';
import { evaluate, fixture } from './in-process.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'perception-r1-garbage-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const runs: [task: string, truth: string, predictions?: string][] = [
  ['detection', 'detection-instances.json', 'detection-results.json'],
  ['detection', 'detection-instances.json', 'detection-completions.jsonl'],
  ['detection', 'detection-lines.jsonl'],
  ['grounding', 'grounding-pr1.json', 'grounding-answers.jsonl'],
  ['grounding', 'grounding-pr1-results.json'],
  ['grounding', 'grounding-lines.jsonl'],
  ['counting', 'counting-pr1.jsonl', 'counting-answers.jsonl'],
  ['counting', 'counting-pr1-results.json'],
  ['counting', 'counting-lines.jsonl'],
  ['ocr', 'ocr-pr1.json'],
  ['ocr', 'ocr-pairs.json'],
  ['ocr', 'ocr-lines.jsonl'],
];

/** Evaluates with a report; `damage` changes the text of one of the files. */
async function survive(
  [task, truth, predictions]: (typeof runs)[0],
  which: 'truth' | 'predictions',
  damage: (text: string) => string | Uint8Array,
): Promise<'figures' | 'message'> {
  const paths = { truth: fixture(truth), predictions: predictions && fixture(predictions) };
  const path = join(folder, 'damaged');
  writeFileSync(path, damage(readFileSync(paths[which]!, 'utf8')));
  paths[which] = path;
  const { code, stdout, error } = await evaluate(
    task,
    '--truth',
    paths.truth,
    ...(paths.predictions ? ['--predictions', paths.predictions] : []),
    '--report',
    join(folder, 'report.html'),
    '--json',
  );
  if (error) {
    expect(error.message.length).toBeGreaterThan(20);
    expect(stdout).toBe('');
    return 'message';
  }
  expect(code).toBe(0);
  const { figures } = JSON.parse(stdout) as Evaluation;
  for (const [name, value] of Object.entries(figures)) {
    if (value !== null) expect(value, name).toBeGreaterThanOrEqual(0);
  }
  return 'figures';
}

/** A JSON value with one of the values in it replaced; the choices come from `random`. */
function mutate(value: unknown, random: () => number, replacement: unknown): unknown {
  if (typeof value !== 'object' || value === null || random() < 0.2) return replacement;
  const keys = Object.keys(value);
  if (keys.length === 0) return replacement;
  const key = keys[Math.floor(random() * keys.length)]!;
  const changed = mutate((value as Record<string, unknown>)[key], random, replacement);
  if (!Array.isArray(value)) return { ...value, [key]: changed };
  return value.map((item, i) => (String(i) === key ? changed : item));
}

const odd = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom<unknown>(
    ...[null, true, '', -1, 0, 0.5, 1e308, -1e308, 2 ** 53, 1e-300, [], {}, [[]], [null], '1', 'NaN'],
    ...['<|box_start|>(1e39,2),(3,4)<|box_end|>', '[1, 2, 3, 4]', '<think>', { constructor: null }],
  ),
);

describe.each(runs)('%s %s %s', (...args) => {
  const which = args[2] === undefined ? (['truth'] as const) : (['truth', 'predictions'] as const);

  test('cut off anywhere', async () => {
    const outcomes = new Set<string>();
    for (const file of which) {
      const { length } = readFileSync(fixture(file === 'truth' ? args[1] : args[2]!), 'utf8');
      for (let i = 0; i <= 24; i++) {
        outcomes.add(await survive(args, file, (text) => text.slice(0, Math.floor((i * length) / 24))));
      }
    }
    expect([...outcomes].sort()).toEqual(['figures', 'message']);
  });

  test('values replaced by others', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...which),
        fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })),
        odd,
        async (file, stream, replacement) => {
          const random = (): number => stream.next().value as number;
          await survive(args, file, (text) => {
            const name = file === 'truth' ? args[1] : args[2]!;
            if (name.endsWith('.json')) return JSON.stringify(mutate(JSON.parse(text), random, replacement));
            const lines = text.trim().split('\n');
            const at = Math.floor(random() * lines.length);
            lines[at] = JSON.stringify(mutate(JSON.parse(lines[at]!), random, replacement));
            return lines.join('\n');
          });
        },
      ),
      { numRuns: 60 },
    );
  });

  test('bytes replaced by others', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...which),
        fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 0, max: 255 })), {
          minLength: 1,
          maxLength: 4,
        }),
        async (file, changes) => {
          await survive(args, file, (text) => {
            const bytes = Buffer.from(text);
            for (const [at, byte] of changes) bytes[Math.floor(at * (bytes.length - 1))] = byte;
            return bytes;
          });
        },
      ),
      { numRuns: 50 },
    );
  });
});

test('nothing but bytes', async () => {
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...runs), fc.uint8Array({ maxLength: 300 }), async (args, bytes) => {
      expect(await survive(args, 'truth', () => bytes)).toBe('message');
    }),
    { numRuns: 100 },
  );
});
