/** What an evaluation gives to the report, and how figures are written. */
import { describe, expect, test } from 'vitest';
import type { Benchmark, TaskReader } from '../../src/eval/benchmark.js';
import { countingTask } from '../../src/eval/counting.js';
import { detectionTask } from '../../src/eval/detection.js';
import { type Evaluation, excerpt, type Findings, figureRows } from '../../src/eval/evaluation.js';
import { groundingTask } from '../../src/eval/grounding.js';
import { readPredictions } from '../../src/eval/join.js';
import { ocrTask } from '../../src/eval/ocr.js';
import { type Input, maxDocumentBytes, openInput, readRecords } from '../../src/eval/records.js';
import { Problems } from '../../src/metrics/problems.js';
import { fixture } from './in-process.js';

async function itemsOf(task: TaskReader, truth: string, predictions?: string): Promise<Evaluation> {
  const findings: Findings = { problems: new Problems(), notes: [] };
  const options = { coordinates: 'auto', items: true } as const;
  const input = await openInput(fixture(truth), '--truth', task.truthFormats);
  const answers = predictions && (await openInput(fixture(predictions), '--predictions', task.answerFormats));
  const benchmark: Benchmark = await task.read(input, findings, answers || undefined);
  if (benchmark.evaluateResults) return benchmark.evaluateResults(options, findings);
  const given = answers
    ? await readPredictions(answers, benchmark, benchmark.items.length, findings)
    : benchmark.answers!;
  return benchmark.evaluate(given, options, findings);
}

const boxes = (...values: number[]): Float32Array => Float32Array.from(values);

describe('items', () => {
  test.each(['detection-results.json', 'detection-completions.jsonl'])('detection, %s', async (answers) => {
    const { items, curves } = await itemsOf(detectionTask, 'detection-instances.json', answers);
    const text = answers.endsWith('.jsonl');
    expect(items.map(({ name, file, score, summary }) => [name, file, score, summary])).toEqual([
      ['a.jpg', 'a.jpg', 1, 'F1 1.00: 2 of 2 found, 0 wrong'],
      // The crowd of persons is not to be found; a unicorn, where it was said, is wrong.
      [
        'b.jpg',
        'b.jpg',
        text ? 0.5 : 2 / 3,
        `F1 ${text ? '0.50' : '0.67'}: 1 of 1 found, ${text ? 2 : 1} wrong`,
      ],
      ['c.jpg', 'c.jpg', 1, 'F1 1.00: nothing to find, 0 wrong'],
      ['d.jpg', 'd.jpg', 1, 'F1 1.00: nothing to find, 0 wrong'],
    ]);
    const [, second] = items;
    expect(second).toMatchObject({
      size: { width: 200, height: 100 },
      space: 'pixels',
      truth: { boxes: boxes(100, 0, 200, 100, 0, 0, 40, 40), labels: ['dog', 'person'] },
      matches: Int32Array.from(text ? [-1, 0, -1] : [-1, 0]),
    });
    expect(second!.predictions.labels).toEqual(text ? ['dog', 'dog', 'unicorn'] : ['dog', 'dog']);
    expect(second!.predictions.boxes.subarray(0, 8)).toEqual(boxes(0, 50, 20, 70, 100, 0, 200, 100));
    expect(second!.answer?.startsWith('<|object_ref_start|>dog')).toBe(text || undefined);

    expect(curves!.map(({ name }) => name)).toEqual(['IoU 0.5', 'IoU 0.75', 'mean of IoU 0.5 to 0.95']);
    for (const { precision } of curves!) {
      // Persons 1 throughout, dogs 1 up to a recall of 0.5, then 2/3.
      expect(precision.length).toBe(101);
      expect(precision[50]).toBeCloseTo(1, 12);
      expect(precision[51]).toBeCloseTo((1 + 2 / 3) / 2, 12);
    }
  });

  test('detection: what matches a crowd counts neither way', async () => {
    const { items } = await itemsOf(
      detectionTask,
      'detection-instances.json',
      'detection-crowd-results.json',
    );
    expect(items[1]).toMatchObject({ summary: 'F1 0.00: 0 of 1 found, 0 wrong', matches: Int32Array.of(1) });
  });

  test('grounding: each item in the space in which it was compared', async () => {
    const { items } = await itemsOf(groundingTask, 'grounding-pr1.json', 'grounding-answers.jsonl');
    expect(items.map(({ space, summary }) => [space, summary])).toEqual([
      ['per-mille', 'IoU 1.00'],
      ['pixels', 'IoU 0.80'],
      ['per-mille', 'IoU 0.50'],
      ['pixels', 'no box'],
    ]);
    expect(items[1]).toMatchObject({
      name: 'a.jpg',
      question: 'the right dog',
      score: items[1]!.score,
      truth: { boxes: boxes(200, 10, 300, 110), labels: [null] },
      predictions: { boxes: boxes(200, 10, 300, 90), labels: [null] },
      matches: Int32Array.of(0),
    });
    expect(items[2]!.predictions.boxes).toEqual(boxes(0, 0, 100, 50));
    expect(items[3]).toMatchObject({ score: 0, predictions: { boxes: boxes() }, matches: Int32Array.of() });
    const lines = await itemsOf(groundingTask, 'grounding-unit.jsonl');
    expect(lines.items[0]).toMatchObject({
      space: 'per-mille',
      truth: { boxes: boxes(0, 0, 500, 500) },
      predictions: { boxes: boxes(0, 0, 250, 500) },
      matches: Int32Array.of(0),
    });
  });

  test('counting', async () => {
    const { items } = await itemsOf(countingTask, 'counting-pr1.jsonl', 'counting-answers.jsonl');
    expect(items.map(({ counts, score, summary }) => [counts, score, summary])).toEqual([
      [{ truth: 2, prediction: 2 }, 0, '2 counted, 2 there'],
      [{ truth: 5, prediction: 2 }, -3, '2 counted, 5 there'],
      [{ truth: 3, prediction: 4 }, -1, '4 counted, 3 there'],
      [{ truth: 1, prediction: null }, -1, 'no count: 1 there'],
    ]);
    expect(items[0]!.predictions.boxes).toEqual(boxes(1, 2, 3, 4, 5, 6, 7, 8));
    expect(items[0]!.space).toBe('per-mille');
    expect(items[1]!.predictions.points).toEqual(boxes(1, 2, 3, 4));
    const lines = await itemsOf(countingTask, 'counting-lines.jsonl');
    expect(lines.items[0]!.truth.points).toEqual(boxes(500, 500, 100, 100));
  });

  test('ocr', async () => {
    const { items } = await itemsOf(ocrTask, 'ocr-pr1.json');
    expect(items.map(({ summary, texts, answer }) => [summary, texts, answer])).toEqual([
      ['edit distance 14.3 %', { truth: 'the cat', prediction: 'the bat' }, 'the bat'],
      ['edit distance 0.0 %', { truth: 'a b c d', prediction: 'a b c d' }, 'a b c d<|im_end|>'],
    ]);
    expect(items[0]!.score).toBeCloseTo(6 / 7, 6);
  });

  test('long texts are cut', () => {
    expect(excerpt('a'.repeat(4000))).toBe('a'.repeat(4000));
    expect(excerpt('a'.repeat(4001))).toBe(`${'a'.repeat(4000)}…`);
  });
});

test('figures are written as the papers print them', () => {
  const text = (name: string, value: number | null): string => figureRows({ [name]: value })[0]!.text;
  expect(text('AP', 0.31949)).toBe('31.9');
  expect(text('APsmall', null)).toBe('-');
  expect(text('MAE', 1.5)).toBe('1.500');
  expect(text('missing', 3)).toBe('3');
  expect(figureRows({ perceptualPerplexity: 1 })).toEqual([]);
  for (const [log10, expected] of [
    [0, '1'],
    [Math.log10(3.5), '3.5'],
    [Math.log10(229202), '229202'],
    [Math.log10(3.47) + 83, '3.47e+83'],
    [6.9999999, '1.00e+7'],
    [5.9999999, '1000000'],
    [40000.5, '3.16e+40000'],
  ] as const) {
    expect(text('perceptualPerplexityLog10', log10)).toBe(expected);
  }
});

test('a JSON document that no string can hold is refused before it is read to its end', async () => {
  const chunk = Buffer.alloc(16 * 1024 * 1024, ' ');
  for (const head of ['[', '{']) {
    let chunks = 0;
    const input: Input = {
      path: 'large.json',
      option: '--truth',
      formats: [],
      head,
      chunks: (async function* () {
        yield Buffer.from(head);
        for (; chunks < 200; chunks++) yield chunk;
      })(),
      stop: () => {},
    };
    const records = readRecords(input, new Problems());
    await expect(records.next()).rejects.toThrow(
      /^--truth: "large.json" is larger than \d+ MiB, and a JSON document is read whole; make it JSON lines/,
    );
    expect(chunks).toBe(Math.floor(maxDocumentBytes / chunk.length));
  }
});
