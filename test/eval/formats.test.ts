import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Evaluation } from '../../src/eval/evaluation.js';
import { evaluate, failure, fixture, result } from './in-process.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'perception-r1-eval-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
/** A file with this content. */
function file(content: string | Buffer | object): string {
  const path = join(folder, `${files++}`);
  const text = typeof content === 'string' || Buffer.isBuffer(content) ? content : JSON.stringify(content);
  writeFileSync(path, text);
  return path;
}
const lines = (...values: unknown[]): string =>
  file(values.map((value) => `${JSON.stringify(value)}\n`).join(''));
const read = <T>(name: string): T => JSON.parse(readFileSync(fixture(name), 'utf8')) as T;
const readLines = (name: string): object[] =>
  readFileSync(fixture(name), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as object);

/** The count and the examples of a problem; undefined where it is not there. */
const problem = ({ problems }: Evaluation, kind: string): [number, ...string[]] | undefined => {
  const found = problems.find((candidate) => candidate.kind === kind);
  return found && [found.count, ...found.examples];
};
const kinds = ({ problems }: Evaluation): string[] => problems.map(({ kind }) => kind);

describe('grounding', () => {
  const pr1 = fixture('grounding-pr1.json');
  const answers = fixture('grounding-answers.jsonl');

  test('annotations of PR1 and answers in thousandths, pixels and fractions, by hand', async () => {
    const evaluation = await result('grounding', '--truth', pr1, '--predictions', answers);
    expect(evaluation.task).toBe('grounding');
    expect(evaluation.count).toBe(4);
    // IoUs 1, 0.8, 0.5 and no box.
    const { meanIou, ...figures } = evaluation.figures;
    expect(meanIou).toBeCloseTo(2.3 / 4, 6);
    expect(figures).toEqual({
      'Acc@0.1': 0.75,
      'Acc@0.3': 0.75,
      'Acc@0.5': 0.75,
      'Acc@0.75': 0.5,
      'Acc@0.95': 0.25,
      average: 0.5,
      centerAccuracy: 0.75,
      missing: 1,
      perceptualPerplexity: 1,
      perceptualPerplexityLog10: 0,
    });
    expect(evaluation.problems).toEqual([
      { kind: 'answers without a box that can be read', count: 1, examples: ['b.jpg: the sky'] },
    ]);
  });

  test('results of PR1 have their answers with them', async () => {
    const evaluation = await result('grounding', '--truth', fixture('grounding-pr1-results.json'));
    expect(evaluation.count).toBe(3);
    expect(evaluation.figures.meanIou).toBeCloseTo(1.8 / 3, 6);
    expect(evaluation.figures['Acc@0.75']).toBeCloseTo(2 / 3, 12);
  });

  test('JSON lines: the space of the answer, or pixels where a size is given', async () => {
    const evaluation = await result('grounding', '--truth', fixture('grounding-lines.jsonl'));
    // 1, 0.8 in pixels of the resized image, 0.5 in thousandths of pixels, and null.
    expect(evaluation.figures.meanIou).toBeCloseTo(2.3 / 4, 6);
    expect(problem(evaluation, 'questions without an answer')).toEqual([1, 'sky']);
  });

  test('--coordinates says what the numbers are', async () => {
    const truth = lines({
      id: 1,
      groundTruth: { box: [0, 0, 50, 50] },
      width: 100,
      height: 100,
      completion: '[0, 0, 500, 250]',
    });
    const iou = async (space: string): Promise<number> =>
      (await result('grounding', '--truth', truth, '--coordinates', space)).figures.meanIou!;
    expect(await iou('per-mille')).toBeCloseTo(0.5, 6);
    expect(await iou('pixels')).toBeCloseTo(2500 / 125000, 6);
    expect(await iou('auto')).toBe(await iou('pixels'));
    expect(await iou('unit')).toBeLessThan(0.001);
    const { notes } = await result('grounding', '--truth', truth);
    expect(notes).toEqual([
      '1 of 1 predicted boxes do not fit the coordinates that they are taken to be in: see --coordinates.',
    ]);
  });

  test('what cannot be compared is named and counts as a miss', async () => {
    const evaluation = await result(
      'grounding',
      '--truth',
      lines(
        { id: 'a', solution: [10, 10, 20, 20], completion: '[0.1, 0.1, 0.2, 0.2]' },
        { id: 'b', solution: [10, 10, 20, 20], completion: '[10, 10, 20, 20] or [1, 1, 2, 2]' },
        { id: 'c', groundTruth: { box: [0.1, 0.1, 0.2, 0.2] }, completion: '[0.1, 0.1, 0.2, 0.2]' },
        {
          id: 'd',
          groundTruth: { box: [0.1, 0.1, 0.2, 0.2] },
          completion: '<|box_start|>(100,100),(200,200)<|box_end|>',
        },
      ),
    );
    expect(evaluation.figures).toMatchObject({ meanIou: 0.5, missing: 2 });
    expect(problem(evaluation, 'answers that cannot be compared with the ground truth')).toEqual([
      2,
      'a: the answer is in 0..1, the ground truth is not',
      'd: the answer is in per-mille, the ground truth is not',
    ]);
    expect(problem(evaluation, 'answers with several boxes (the first one counts)')).toEqual([1, 'b']);
  });

  test('ground truth that cannot be used is left out and named', async () => {
    const evaluation = await result(
      'grounding',
      '--truth',
      lines(
        { id: 'a', solution: [10, 10, 20, 20], completion: '[10, 10, 20, 20]' },
        { id: 'b', solution: [20, 10, 10, 20], completion: '[10, 10, 20, 20]' },
        { id: 'c', solution: [20, 10, 10], completion: '[10, 10, 20, 20]' },
        { id: 'd', solution: [20, 10, '1', 20], completion: '[10, 10, 20, 20]' },
        { id: 'e', completion: '[10, 10, 20, 20]' },
        7,
      ),
    );
    expect([evaluation.count, evaluation.figures.meanIou]).toEqual([1, 1]);
    expect(problem(evaluation, 'entries without usable ground truth')).toEqual([
      4,
      'line 2: solution: expected x1 y1 x2 y2 with x1 <= x2 and y1 <= y2, received 20 10 10 20',
      'line 3: solution: expected four finite numbers, received an array of 3',
      'line 4: solution: expected four finite numbers, received an array of 4',
      'line 5: expected solution, ground_truth or groundTruth with a box, received none of them',
    ]);
    expect(problem(evaluation, 'lines that cannot be read')).toEqual([
      1,
      'line 6: expected an object, received 7',
    ]);
  });
});

describe('counting', () => {
  test('annotations of PR1, answers of boxes, points and numbers', async () => {
    const evaluation = await result(
      'counting',
      '--truth',
      fixture('counting-pr1.jsonl'),
      '--predictions',
      fixture('counting-answers.jsonl'),
    );
    // Errors 0, -3, 1, and nothing said where there is 1.
    expect(evaluation.count).toBe(4);
    expect(evaluation.figures).toMatchObject({
      accuracy: 0.25,
      MAE: 5 / 4,
      RMSE: Math.sqrt(11 / 4),
      missing: 1,
    });
    expect(evaluation.figures.perceptualPerplexity).toBeCloseTo((2 + 120 + 6 + 1) / 4, 9);
    expect(kinds(evaluation)).toEqual(['answers without a box, point or number that can be read']);
  });

  test('results of PR1: each set and all of them', async () => {
    const evaluation = await result('counting', '--truth', fixture('counting-pr1-results.json'));
    expect(evaluation.figures).toMatchObject({ accuracy: 1 / 3, MAE: 1, missing: 1 });
    expect(evaluation.sets).toMatchObject([
      { name: 'pixmo_count_val540', count: 2, figures: { accuracy: 0.5, MAE: 1, missing: 0 } },
      { name: 'pixmo_count_test540', count: 1, figures: { accuracy: 0, MAE: 1, missing: 1 } },
    ]);
    const { stdout } = await evaluate('counting', '--truth', fixture('counting-pr1-results.json'));
    expect(stdout).toMatch(/shares in % +all +pixmo_count_val540 +pixmo_count_test540\n/);
    expect(stdout).toMatch(/exact accuracy +33\.3 +50\.0 +0\.0\n/);
  });

  test('JSON lines with points or numbers', async () => {
    const evaluation = await result('counting', '--truth', fixture('counting-lines.jsonl'));
    expect(evaluation.figures).toMatchObject({ accuracy: 2 / 3, MAE: 1 / 3, missing: 0 });
    const wrong = await result(
      'counting',
      '--truth',
      lines(
        { groundTruth: 1, completion: 1 },
        { groundTruth: 1.5 },
        { groundTruth: -1 },
        { ground_truth: '3' },
        { groundTruth: { points: [[1, 2], [3]] } },
      ),
    );
    expect([wrong.count, wrong.figures.accuracy]).toEqual([1, 1]);
    expect(problem(wrong, 'entries without usable ground truth')?.[0]).toBe(4);
  });

  test('a number of more digits than any count is none', async () => {
    const evaluation = await result(
      'counting',
      '--truth',
      lines({ groundTruth: 1, completion: '9'.repeat(400) }),
    );
    expect(evaluation.figures).toMatchObject({ MAE: 1, missing: 1 });
  });
});

describe('ocr', () => {
  const expected = {
    normalizedEditDistance: 1 / 14,
    f1: 0.75,
    precision: 0.75,
    recall: 0.75,
    exact: 0.5,
    missing: 0,
  };

  test('the three formats give the same figures', async () => {
    const pr1 = await result('ocr', '--truth', fixture('ocr-pr1.json'));
    const pairs = await result('ocr', '--truth', fixture('ocr-pairs.json'));
    const own = await result('ocr', '--truth', fixture('ocr-lines.jsonl'));
    for (const [name, value] of Object.entries(expected))
      expect(pr1.figures[name], name).toBeCloseTo(value, 6);
    expect(pr1.figures).toEqual(pairs.figures);
    expect(pr1.figures).toEqual(own.figures);
    expect(Object.keys(pr1.figures)).toEqual(expect.arrayContaining(['bleu', 'meteor']));
  });

  test('a page without an answer is wrong in everything', async () => {
    const truth = lines(
      { id: 1, groundTruth: { text: '' } },
      { id: 2, groundTruth: { text: 'a' }, completion: 'a' },
    );
    const evaluation = await result('ocr', '--truth', truth);
    expect(evaluation.figures).toMatchObject({ normalizedEditDistance: 0.5, exact: 0.5, missing: 1 });
    expect(problem(evaluation, 'questions without an answer')).toEqual([1, '1']);
  });

  test('texts are texts', async () => {
    expect(await failure('ocr', '--truth', file([{ label: 'a', answer: 3 }]))).toMatch(
      /entry 1: groundTruth.text, conversations\[1\].value or answer: expected a text, received 3/,
    );
    expect(await failure('ocr', '--truth', file([{ conversations: [{}] }]))).toMatch(
      /conversations\[1\].value: expected a text/,
    );
  });
});

describe('detection', () => {
  const coco = fixture('detection-instances.json');
  const results = fixture('detection-results.json');
  const completions = fixture('detection-completions.jsonl');
  // Of two dogs the second is found after a wrong one: precision 1 up to recall 0.5, then 2/3.
  const dogs = (51 + 50 * (2 / 3)) / 101;

  test('COCO instances and results, by hand', async () => {
    const evaluation = await result('detection', '--truth', coco, '--predictions', results);
    expect(evaluation.count).toBe(4);
    expect(evaluation.figures.AP).toBeCloseTo((1 + dogs) / 2, 12);
    expect(evaluation.figures.APsmall).toBeCloseTo(1, 12);
    expect(evaluation.figures.perceptualPerplexity).toBeCloseTo((2 + 1 + 1 + 1) / 4, 12);
    expect(evaluation.categories).toMatchObject([
      { name: 'person', objects: 1, detections: 1 },
      { name: 'dog', objects: 2, detections: 3 },
    ]);
    expect(evaluation.categories![1]!.AP50).toBeCloseTo(dogs, 12);
    expect(evaluation.problems).toEqual([]);
  });

  test('the same answers as text give the same figures, and more problems', async () => {
    const asResults = await result('detection', '--truth', coco, '--predictions', results);
    const evaluation = await result('detection', '--truth', coco, '--predictions', completions);
    expect(evaluation.figures).toEqual(asResults.figures);
    expect(evaluation.categories).toEqual(asResults.categories);
    expect(evaluation.problems).toEqual([
      { kind: 'images without an answer', count: 1, examples: ['4'] },
      { kind: 'detections of unknown categories', count: 1, examples: ['"unicorn" (2)'] },
    ]);
  });

  test('JSON lines of ground truth and answers', async () => {
    const evaluation = await result('detection', '--truth', fixture('detection-lines.jsonl'));
    expect(evaluation.figures.AP).toBeCloseTo((1 + dogs) / 2, 12);
    expect(evaluation.problems).toEqual([]);
    // The same answers, joined by image.
    const others = readLines('detection-lines.jsonl').map((line) => {
      const { image, completion } = line as { image: string; completion: string };
      return { file_name: `/data/${image}`, output: completion };
    });
    const joined = await result(
      'detection',
      '--truth',
      fixture('detection-lines.jsonl'),
      '--predictions',
      lines(...others.reverse()),
    );
    expect(joined.figures).toEqual(evaluation.figures);
    expect(joined.notes).toContain(
      'The answers beside the ground truth were not used, since others were given.',
    );
  });

  test('what cannot be used of an answer is named', async () => {
    const evaluation = await result(
      'detection',
      '--truth',
      lines(
        {
          id: 'x',
          groundTruth: { boxes: [[0, 0, 10, 10]], labels: [7] },
          completion:
            '[{"bbox_2d": [0, 0, 10, 10], "label": "7"}, {"bbox_2d": [0, 0, 10, 10]}, {"bbox_2d": [1, 2], "label": "7"}, {"bbox_2d": [1, NaN, 3, 4], "label": "7"}, {"bbox_2d": [9, 9, 1, 1], "label": "7"}, {"point_2d": [1, 1], "label": "7"}, {"bbox_2d": [1',
        },
        {
          id: 'y',
          groundTruth: { boxes: [[0, 0, 10, 10]], labels: [7] },
          completion: '<|object_ref_start|>7<|object_ref_end|><|box_start|>(0,0),(10,10)<|box_end|>',
        },
      ),
    );
    expect(evaluation.problems).toEqual([
      {
        kind: 'items of answers that cannot be read',
        count: 1,
        examples: ['x: {"bbox_2d": [1, 2], "label": "7"}'],
      },
      {
        kind: 'items of answers with numbers that are not finite',
        count: 1,
        examples: ['x: {"bbox_2d": [1, NaN, 3, 4], "label": "7"}'],
      },
      { kind: 'items of answers that are cut off', count: 1, examples: ['x: {"bbox_2d": [1'] },
      { kind: 'boxes of answers with x2 < x1 or y2 < y1', count: 1, examples: ['x'] },
      { kind: 'answers with points, which are no detections', count: 1, examples: ['x'] },
      { kind: 'detections without a category', count: 1, examples: ['x'] },
      { kind: 'answers in 0..1000 of images whose size is not known', count: 1, examples: ['y'] },
    ]);
    // Found once of twice, first of all.
    expect(evaluation.figures.AP).toBeCloseTo(51 / 101, 12);
    expect(evaluation.figures.APlarge).toBe(null);
    expect(evaluation.notes[0]).toBe(
      'APmedium, APlarge, ARmedium, ARlarge: the ground truth has no such object to find.',
    );
  });

  test('fractions, thousandths and pixels of a resized image', async () => {
    const truth = {
      boxes: [[20, 10, 40, 30]],
      labels: ['dog'],
      imageSize: [200, 100],
      resizedSize: [400, 400],
    };
    const answer = (...box: number[]): string => JSON.stringify([{ bbox_2d: box, label: 'DOG' }]);
    const ap = async (completion: string, ...options: string[]): Promise<number | null> =>
      (await result('detection', '--truth', lines({ groundTruth: truth, completion }), ...options)).figures
        .AP!;
    expect(await ap(answer(40, 40, 80, 120))).toBeCloseTo(1, 12);
    expect(await ap(answer(0.1, 0.1, 0.2, 0.3))).toBeCloseTo(1, 12);
    expect(await ap(answer(100, 100, 200, 300), '--coordinates', 'per-mille')).toBeCloseTo(1, 12);
    expect(await ap(answer(100, 100, 200, 300))).toBe(0);
  });

  test('no object at all', async () => {
    const evaluation = await result(
      'detection',
      '--truth',
      lines({ groundTruth: { boxes: [], labels: [] }, completion: '[]' }),
    );
    expect(evaluation.figures).toMatchObject({ AP: null, AR100: null, perceptualPerplexity: 1 });
  });

  test('ground truth that cannot be used', async () => {
    const bad = [
      { boxes: [[0, 0, 1, 1]], labels: [] },
      { boxes: [[0, 0, 1]], labels: ['a'] },
      { boxes: 'none', labels: [] },
      { boxes: [[0, 0, 1, 1]], labels: [null] },
      { boxes: [0, 0, 1, 1, 2], labels: ['a', 'b'] },
    ];
    const good = { groundTruth: { boxes: [0, 0, 1, 1], labels: ['a'] }, completion: '[]' };
    const evaluation = await result(
      'detection',
      '--truth',
      lines(good, ...bad.map((groundTruth) => ({ groundTruth }))),
    );
    expect(evaluation.count).toBe(1);
    expect(problem(evaluation, 'entries without usable ground truth')).toEqual([
      5,
      'line 2: groundTruth.labels: expected 1, one per box, received an array of 0',
      'line 3: groundTruth.boxes[0]: expected four finite numbers, received an array of 3',
      'line 4: groundTruth.boxes: expected a list of x1 y1 x2 y2, received "none"',
      'line 5: groundTruth.labels[0]: expected a text or a number, received null',
      'line 6: groundTruth.boxes[1]: expected four finite numbers, received an array of 1',
    ]);
  });

  test("COCO's files come as files, with their own", async () => {
    expect(
      await failure('detection', '--truth', file(gzipSync(readFileSync(coco))), '--predictions', results),
    ).toMatch(/^--truth: expected files of COCO unpacked, received ".*", which is gzip$/);
    expect(
      await failure('detection', '--truth', fixture('detection-lines.jsonl'), '--predictions', results),
    ).toMatch(/^--predictions: ".*" holds COCO results, which need COCO instances as --truth/);
    expect(
      await failure('detection', '--truth', coco, '--predictions', results, '--coordinates', 'unit'),
    ).toBe('usage: --coordinates: expected none beside COCO results, which are in pixels');
    expect(
      await failure('detection', '--truth', file({ images: [], annotations: [], categories: [] })),
    ).toMatch(/it has no images/);
    expect(await failure('detection', '--truth', coco)).toMatch(
      /^usage: --truth: ".*" has no answers: expected --predictions <file>, or --endpoint <url> to ask a model$/,
    );
  });

  test('an empty list of results: nothing was found', async () => {
    const evaluation = await result('detection', '--truth', coco, '--predictions', file('[]'));
    expect(evaluation.figures).toMatchObject({ AP: 0, AR100: 0 });
  });
});

test('detection: a line that speaks of images is still one', async () => {
  const line = { images: ['a.jpg'], categories: 1, groundTruth: { boxes: [], labels: [] }, completion: '[]' };
  expect((await result('detection', '--truth', lines(line))).count).toBe(1);
});

describe('how answers find their questions', () => {
  const truth = (): string =>
    lines(...['a', 'b', 'c'].map((id) => ({ id, image: `${id}.jpg`, groundTruth: id.charCodeAt(0) - 96 })));
  const counting = (truthFile: string, ...answers: object[]): Promise<Evaluation> =>
    result('counting', '--truth', truthFile, '--predictions', lines(...answers));
  const right = { accuracy: 1, missing: 0 };

  test('by key, id or image, in any order', async () => {
    for (const name of ['key', 'id']) {
      const answers = [3, 1, 2].map((count) => ({ [name]: 'abc'[count - 1], completion: String(count) }));
      expect((await counting(truth(), ...answers)).figures, name).toMatchObject(right);
    }
    const answers = [3, 1, 2].map((count) => ({
      id: count + 10,
      image: `x/${'abc'[count - 1]}.jpg`,
      completion: String(count),
    }));
    expect((await counting(truth(), ...answers)).figures).toMatchObject(right);
  });

  test('by their place, where the ground truth says nothing of itself', async () => {
    const plain = lines({ groundTruth: 1 }, { groundTruth: 'bad' }, { groundTruth: 3 });
    const evaluation = await counting(
      plain,
      { endpoint: {} },
      { id: 7, completion: '1' },
      { id: 8, completion: '9' },
      { id: 9, completion: '3' },
    );
    expect(evaluation.figures).toMatchObject(right);
    expect(evaluation.notes).toEqual([
      'Answers have no key that the ground truth has: they were joined by their place in the file.',
    ]);
    expect(await failure('counting', '--truth', plain, '--predictions', lines({ completion: '1' }))).toMatch(
      /^--predictions: ".*": expected a "key", "id" or "image" by which each of the questions can be told, or as many entries as the ground truth \(3\), received 1 entries without$/,
    );
  });

  test('two questions of one image are told apart by the question, else not', async () => {
    const pr1 = fixture('grounding-pr1.json');
    const answers = readLines('grounding-answers.jsonl') as {
      image: string;
      question: string;
      output: string;
    }[];
    const shuffled = await result(
      'grounding',
      '--truth',
      pr1,
      '--predictions',
      lines(...answers.toReversed()),
    );
    expect(shuffled.figures.meanIou).toBeCloseTo(2.3 / 4, 6);
    const unnamed = answers.map(({ image, output }) => ({ image, output }));
    const inOrder = await result('grounding', '--truth', pr1, '--predictions', lines(...unnamed));
    expect(inOrder.figures.meanIou).toBeCloseTo(2.3 / 4, 6);
    expect(inOrder.notes[0]).toMatch(/joined by their place/);
    expect(await failure('grounding', '--truth', pr1, '--predictions', lines(...unnamed.slice(1)))).toMatch(
      /expected a "key"/,
    );
  });

  test('unknown, missing, repeated and failed ones are named', async () => {
    const evaluation = await counting(
      truth(),
      { endpoint: { url: 'http://localhost' } },
      { key: 'a', completion: '5' },
      { key: 'x', completion: '5' },
      { key: 'a', completion: '1', finishReason: 'length' },
      { key: 'b', error: 'HTTP 500' },
      { key: 'y' },
      { key: 'z', completion: [1] },
    );
    expect(evaluation.figures).toMatchObject({ accuracy: 1 / 3, missing: 2 });
    expect(evaluation.problems).toEqual([
      { kind: 'answers that ended at the limit of tokens', count: 1, examples: ['a'] },
      { kind: 'entries without an answer', count: 1, examples: ['line 6: {key}'] },
      { kind: 'answers that are no text', count: 1, examples: ['line 7: an array of 1'] },
      { kind: 'answers to unknown questions', count: 2, examples: ['line 3: "x"', 'line 7: "z"'] },
      {
        kind: 'questions answered more than once (the last answer counts)',
        count: 1,
        examples: ['line 4: a'],
      },
      { kind: 'questions that failed', count: 1, examples: ['b: HTTP 500'] },
      { kind: 'questions without an answer', count: 1, examples: ['c'] },
    ]);
  });

  test('an answer counts more than an error before or after it', async () => {
    const ok = { key: 'a', completion: '1' };
    const error = { key: 'a', error: 'reset' };
    for (const answers of [
      [ok, error],
      [error, ok],
    ]) {
      const { figures, problems } = await counting(lines({ id: 'a', groundTruth: 1 }), ...answers);
      expect(figures).toMatchObject(right);
      expect(problems).toEqual([]);
    }
  });

  test('answers to nothing that is asked, or that all failed', async () => {
    expect(
      await failure('counting', '--truth', truth(), '--predictions', lines({ id: 'q', completion: '1' })),
    ).toMatch(/answers none of the questions: it has "q", where the ground truth has "a"$/);
    expect(
      await failure(
        'counting',
        '--truth',
        truth(),
        '--predictions',
        lines({ image: 'q.jpg', completion: '1' }),
      ),
    ).toMatch(/answers none of the questions: it has "q.jpg", where the ground truth has "a.jpg"$/);
    expect(
      await failure('counting', '--truth', truth(), '--predictions', lines({ key: 'a', error: 'HTTP 500' })),
    ).toMatch(/has no answer; the first of the 1 questions that failed: HTTP 500$/);
  });

  test('several answers to a question are refused', async () => {
    expect(await failure('counting', '--truth', lines({ groundTruth: 1, completions: ['1', '2'] }))).toMatch(
      /line 1: expected "completion", one answer to a question, received "completions", an array of 2$/,
    );
  });
});

describe('files', () => {
  const truth = read<object[]>('grounding-pr1.json');
  const answers = fixture('grounding-answers.jsonl');
  const iou = async (path: string): Promise<number> =>
    (await result('grounding', '--truth', path, '--predictions', answers)).figures.meanIou!;

  test('are told apart by what is in them: lists, lines, gzip, a byte order mark, blank lines', async () => {
    const expected = await iou(fixture('grounding-pr1.json'));
    const text = truth.map((entry) => JSON.stringify(entry)).join('\n\r\n  ');
    expect(await iou(file(text))).toBe(expected);
    expect(await iou(file(gzipSync(text)))).toBe(expected);
    expect(await iou(file(`\ufeff${text}`))).toBe(expected);
    expect(await iou(file(`\ufeff \n ${JSON.stringify(truth, null, 2)}`))).toBe(expected);
    expect(await iou(file(gzipSync(JSON.stringify(truth))))).toBe(expected);
    const pretty = JSON.stringify(read('grounding-pr1-results.json'), null, 1);
    const results = await result('grounding', '--truth', file(pretty));
    expect((await result('grounding', '--truth', file(JSON.stringify(JSON.parse(pretty))))).figures).toEqual(
      results.figures,
    );
  });

  test('that are none of those that are understood', async () => {
    const fails = async (content: string | Buffer | object): Promise<string> =>
      failure('grounding', '--truth', file(content), '--predictions', answers);
    const formats = /Those are:\n {2}PR1 annotations: \[.*\n {2}PR1 results: .*\n {2}JSON lines: .*$/;
    for (const [content, why] of [
      ['', 'it is empty'],
      [' \n', 'it is empty'],
      ['image,problem\na.jpg,dog\n', 'it is neither JSON nor JSON lines'],
      [Buffer.from([0x80, 0x81, 0x82]), 'it is neither JSON nor JSON lines'],
      [
        Buffer.concat([Buffer.from('[{"a": "'), Buffer.from([0xff]), Buffer.from('"}]')]),
        'it is no UTF-8 text',
      ],
      [JSON.stringify(truth).slice(0, -10), 'it is neither JSON nor JSON lines: '],
      [JSON.stringify(truth, null, 2).slice(0, -10), 'it is neither JSON nor JSON lines: '],
      ['{"image": ', 'it is neither JSON nor JSON lines: '],
      [[], 'it has no entries that can be read'],
      [{}, 'line 1: expected solution, ground_truth or groundTruth with a box, received none of them'],
      [{ details: [] }, 'it has no entries that can be read'],
      [[1, null, 'x', [[]]], 'it has no entries that can be read'],
    ] as const) {
      const message = await fails(content as string);
      expect(message).toContain(`is none of the files that are understood (${why}`);
      expect(message).toMatch(formats);
    }
    expect(
      await failure(
        'grounding',
        '--truth',
        fixture('grounding-pr1.json'),
        '--predictions',
        fixture('grounding-pr1.json'),
      ),
    ).toMatch(/^--predictions: .*entry 1: expected "completion", received \{image, problem/);
  });

  test('that cannot be read', async () => {
    expect(await failure('grounding', '--truth', join(folder, 'nothing'))).toMatch(
      /^--truth: expected a file that can be read, received ".*nothing" \(ENOENT/,
    );
    expect(await failure('grounding', '--truth', folder)).toMatch(/^--truth: .*it is a folder/);
    const packed = gzipSync(truth.map((entry) => JSON.stringify(entry)).join('\n'));
    expect(
      await failure('grounding', '--truth', file(packed.subarray(0, -12)), '--predictions', answers),
    ).toMatch(/^--truth: ".*" cannot be read to its end \(unexpected end of file\)$/);
    expect(
      await failure(
        'grounding',
        '--truth',
        fixture('grounding-pr1.json'),
        '--predictions',
        join(folder, 'nothing'),
      ),
    ).toMatch(/^--predictions: expected a file that can be read/);
  });

  test('lines that cannot be read are named, and the others count', async () => {
    const path = file(`${truth.map((entry) => JSON.stringify(entry)).join('\n')}\n{"image": "a.j`);
    const evaluation = await result('grounding', '--truth', path, '--predictions', answers);
    expect(evaluation.count).toBe(4);
    expect(problem(evaluation, 'lines that cannot be read')?.slice(0, 1)).toEqual([1]);
    expect(problem(evaluation, 'lines that cannot be read')?.[1]).toMatch(/^line 5: /);
  });
});

test('options that do not go together', async () => {
  const truth = ['--truth', fixture('counting-pr1.jsonl')];
  const url = ['--endpoint', 'http://localhost:1'];
  for (const [args, message] of [
    [['--limit', '3'], '--limit: expected --endpoint beside it'],
    [['--max-tokens', '3'], '--max-tokens: expected --endpoint beside it'],
    [['--images', folder], '--images: expected --report or --endpoint beside it, which use them'],
    [
      ['--coordinates', 'unit'],
      '--coordinates: expected none for counting, whose figures do not depend on them',
    ],
    [
      ['--endpoint', 'localhost:8000'],
      '--endpoint: expected a URL such as http://localhost:8000/v1, received "localhost:8000"',
    ],
    [
      [...url, '--predictions', 'x'],
      '--endpoint: expected no --predictions beside it; what the model answers is kept in --answers',
    ],
    [[...url], '--endpoint: expected --answers <file>, to keep what the model answers'],
    [[...url, '--answers', 'x'], '--endpoint: expected --images <folder>, to send to the model'],
    [
      [...url, '--answers', 'x', '--images', folder, '--prompt', 'Count.'],
      '--prompt: expected {question} in it, received "Count."',
    ],
  ] as const) {
    expect(await failure('counting', ...truth, ...args)).toBe(`usage: ${message}`);
  }
  expect(await failure('counting', '--truth', '-', '--predictions', '-')).toMatch(
    /^usage: --predictions: expected a file/,
  );
  expect(
    await failure('counting', ...truth, '--report', join(folder, 'r.html'), '--images', join(folder, 'no')),
  ).toMatch(/^--images: expected a folder, received/);
  expect(
    await failure(
      'counting',
      ...truth,
      ...url,
      '--answers',
      join(folder, 'answers'),
      '--images',
      folder,
      '--prompt',
      '{problem}?',
      '--retries',
      '0',
    ),
  ).not.toMatch(/^usage/);
});
