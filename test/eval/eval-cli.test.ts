import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { encode } from 'fast-png';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Evaluation } from '../../src/eval/evaluation.js';
import { pathOf, type Run, run, start } from '../command-line.js';
import { fixture, result } from './in-process.js';
import { type Server, type ServerOptions, startServer } from './openai-server.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'perception-r1-eval-cli-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const shared = pathOf('../shared');
const missing = !existsSync(join(shared, 'data/coco/expected.json'));
if (missing)
  console.warn(`skipped: the comparison with pycocotools and nltk, whose figures are not in ${shared}`);

const evaluate = (...args: string[]): Promise<Run> => run(['eval', ...args]);
const parse = ({ stdout }: Run): Evaluation => JSON.parse(stdout) as Evaluation;

describe.skipIf(missing)('figures of others', () => {
  interface Pair {
    gt: string;
    dt: string;
    stats: Record<string, number>;
  }
  const coco = (name: string): string => join(shared, 'data/coco', name);
  const read = <T>(path: string): T => JSON.parse(readFileSync(path, 'utf8')) as T;
  const pairs = missing ? [] : read<{ pairs: Pair[] }>(coco('expected.json')).pairs;

  test.each(pairs)('pycocotools: $dt', async ({ gt, dt, stats }) => {
    const ended = await evaluate('detection', '--truth', coco(gt), '--predictions', coco(dt), '--json');
    expect(ended.code).toBe(0);
    const { figures } = parse(ended);
    expect(Object.keys(stats).length).toBe(12);
    for (const [name, value] of Object.entries(stats)) {
      expect(Math.abs(figures[name]! - value), name).toBeLessThan(1e-6);
    }
  });

  test.each(pairs)(
    'detections without scores, as results and as answers in text: $dt',
    async ({ gt, dt }) => {
      interface Detection {
        image_id: number;
        category_id: number;
        bbox: [number, number, number, number];
      }
      const { images, categories } = read<{
        images: { id: number; file_name: string }[];
        categories: { id: number; name: string }[];
      }>(coco(gt));
      const detections = read<Detection[]>(coco(dt)).map((detection) => ({
        ...detection,
        bbox: detection.bbox.map(Math.round), // as models write them, and exact in single precision
        score: 1,
      }));
      const answers = images.map(({ id, file_name: image }) => {
        const items = detections
          .filter((detection) => detection.image_id === id)
          .map(({ category_id: category, bbox: [x, y, width, height] }) => ({
            bbox_2d: [x!, y!, x! + width!, y! + height!],
            label: categories.find((candidate) => candidate.id === category)!.name.toUpperCase(),
          }));
        return JSON.stringify({ image, completion: `\`\`\`json\n${JSON.stringify(items)}\n\`\`\`` });
      });
      const [path, results] = [join(folder, 'completions.jsonl.gz'), join(folder, 'results.json')];
      writeFileSync(path, gzipSync(answers.join('\n')));
      writeFileSync(results, JSON.stringify(detections));
      const truth = ['--truth', coco(gt), '--predictions'];
      const expected = await result('detection', ...truth, results);
      const { figures, problems } = await result('detection', ...truth, path);
      expect(expected.figures.AP).toBeGreaterThan(0.1);
      expect(figures).toEqual(expected.figures);
      expect(problems).toEqual([]);
    },
  );

  test('rapidfuzz and nltk: pages of text', async () => {
    interface Page {
      kind: string;
      prediction: string;
      reference: string;
      normalized_edit_distance: number;
      bleu?: number;
      precision?: number;
      recall?: number;
      f_measure?: number;
    }
    const { cases } = read<{ cases: Page[] }>(join(shared, 'golden/ocr_text.json'));
    const of = async (pages: Page[]): Promise<Evaluation['figures']> => {
      const path = join(folder, 'pages.json');
      const entries = pages.map(({ prediction, reference }, i) => ({
        image: `${i}.png`,
        conversations: [{ value: 'OCR' }, { value: reference }],
        output: prediction,
      }));
      writeFileSync(path, JSON.stringify(entries));
      return (await result('ocr', '--truth', path)).figures;
    };
    const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
    expect((await of(cases)).normalizedEditDistance).toBeCloseTo(
      mean(cases.map((page) => page.normalized_edit_distance)),
      6,
    );
    const english = cases.filter(({ kind }) => kind === 'en');
    expect(english.length).toBeGreaterThan(90);
    const figures = await of(english);
    for (const [name, key] of [
      ['bleu', 'bleu'],
      ['precision', 'precision'],
      ['recall', 'recall'],
      ['f1', 'f_measure'],
    ] as const) {
      expect(figures[name], name).toBeCloseTo(mean(english.map((page) => page[key]!)), 6);
    }
  });
});

describe('the command', () => {
  test('a table on standard output, problems on standard error', async () => {
    const { code, stdout, stderr } = await evaluate(
      'detection',
      '--truth',
      fixture('detection-instances.json'),
      '--predictions',
      fixture('detection-completions.jsonl'),
    );
    expect(code).toBe(0);
    expect(stdout).toMatch(/^detection: detection-instances\.json\n/);
    expect(stdout).toMatch(/\n {2}images +4\n {2}AP +91\.7\n {2}AP50 +91\.7\n/);
    expect(stdout).toMatch(/\n {2}APmedium +\d+\.\d\n/);
    expect(stdout).toMatch(/\n {2}perceptual perplexity +1\.25\n/);
    expect(stderr).toBe(
      'images without an answer: 1 (4)\ndetections of unknown categories: 1 ("unicorn" (2))\n',
    );
  });

  test('exit codes', async () => {
    const truth = ['--truth', fixture('counting-lines.jsonl')];
    expect((await evaluate('counting', ...truth)).code).toBe(0);
    expect(await evaluate('tracking', ...truth)).toMatchObject({ code: 2, stdout: '' });
    expect(await evaluate('counting')).toMatchObject({ code: 2, stdout: '' });
    expect(await evaluate('counting', ...truth, '--limit', '0')).toMatchObject({ code: 2 });
    expect(await evaluate('counting', ...truth, '--limit', '5')).toMatchObject({ code: 2 });
    const unknown = await evaluate('ocr', ...truth);
    expect(unknown).toMatchObject({ code: 1, stdout: '' });
    expect(unknown.stderr).toMatch(/^perception-r1: --truth: ".*" is none of the files that are understood/);
    const broken = join(folder, 'broken.json');
    writeFileSync(broken, readFileSync(fixture('detection-instances.json'), 'utf8').slice(0, 400));
    const results = fixture('detection-results.json');
    const ended = await evaluate('detection', '--truth', broken, '--predictions', results);
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toMatch(/^perception-r1: .*broken\.json/);
  });

  test('standard input', async () => {
    const text = readFileSync(fixture('counting-lines.jsonl'));
    for (const input of [text, gzipSync(text)]) {
      const ended = await run(['eval', 'counting', '--truth', '-', '--json'], input);
      expect(ended).toMatchObject({ code: 0, stderr: '' });
      expect(parse(ended).figures.accuracy).toBeCloseTo(2 / 3, 12);
    }
    const answers = readFileSync(fixture('detection-completions.jsonl'));
    const truth = fixture('detection-instances.json');
    const ended = await run(['eval', 'detection', '--truth', truth, '--predictions', '-', '--json'], answers);
    expect(parse(ended).figures.AP).toBeCloseTo(0.9175, 4);
    const refused = await run(['eval', 'detection', '--truth', '-'], readFileSync(truth));
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toMatch(/expected files of COCO as files, received a stream/);
  });

  test('a report of each task, with images where there are some', async () => {
    const images = join(folder, 'report-images');
    mkdirSync(images);
    const png = encode({ width: 2, height: 2, data: new Uint8Array(12), channels: 3 });
    for (const name of ['a.jpg', 'b.jpg']) writeFileSync(join(images, name), png);
    const report = join(folder, 'new', 'folder', 'report.html');
    const args: [string, ...string[]][] = [
      [
        'detection',
        fixture('detection-instances.json'),
        '--predictions',
        fixture('detection-completions.jsonl'),
      ],
      ['grounding', fixture('grounding-pr1.json'), '--predictions', fixture('grounding-answers.jsonl')],
      ['counting', fixture('counting-pr1.jsonl'), '--predictions', fixture('counting-answers.jsonl')],
      ['ocr', fixture('ocr-pr1.json')],
    ];
    for (const [task, truth, ...rest] of args) {
      const options = ['--truth', truth!, ...rest, '--report', report, '--images', images, '--json'];
      const { code, stdout } = await evaluate(task, ...options);
      expect(code, task).toBe(0);
      const html = readFileSync(report, 'utf8');
      expect(html).toMatch(/^<!doctype html>/i);
      expect(html.includes('data:image/png'), task).toBe(task !== 'ocr');
      const { problems } = JSON.parse(stdout) as Evaluation;
      const lost = problems.find(({ kind }) => kind.includes('not in the image folder'));
      expect(lost?.count, task).toBe(task === 'grounding' ? undefined : 2);
      rmSync(report);
    }
  });
});

describe('a model behind a server', () => {
  let server: Server | undefined;
  afterEach(async () => {
    await server?.close();
    server = undefined;
  });
  const images = (): string => {
    const path = join(folder, 'images');
    mkdirSync(path, { recursive: true });
    const png = encode({ width: 2, height: 2, data: new Uint8Array(12), channels: 3 });
    for (const name of ['a.jpg', 'b.jpg', 'c.jpg', 'd.jpg', '1.png', '2.png'])
      writeFileSync(join(path, name), png);
    return path;
  };
  let runs = 0;
  /** The arguments of a run against a new server, with a new file of answers. */
  const against = async (task: string, truth: string, options: ServerOptions): Promise<string[]> => {
    server = await startServer(options);
    const answers = join(folder, `answers-${runs++}.jsonl`);
    return [
      'eval',
      task,
      '--truth',
      fixture(truth),
      '--endpoint',
      server.url,
      '--images',
      images(),
      '--answers',
      answers,
    ];
  };

  test("is asked what Perception-R1's evaluation asks, and judged", async () => {
    const tasks: [string, string, Record<string, string>, (figures: Evaluation['figures']) => void][] = [
      [
        'detection',
        'detection-instances.json',
        {
          'Locate every item from the category list in the image and output the coordinates in JSON format. The category set includes person, dog, toothbrush.':
            '[{"bbox_2d": [10, 10, 60, 60], "label": "dog"}]',
        },
        (figures) => expect(figures.AR100).toBeCloseTo(0.25, 12),
      ],
      [
        'grounding',
        'grounding-pr1.json',
        {
          'Output the bounding box of the the left dog in the image.':
            '<|box_start|>(20,20),(220,220)<|box_end|>',
          'Output the bounding box of the the right dog in the image.': 'not there',
          'Output the bounding box of the the cat in the image.': '[0, 0, 0.1, 0.1]',
          'Output the bounding box of the the sky in the image.': '[0, 0, 500, 250]',
        },
        (figures) => expect(figures.meanIou).toBeCloseTo(0.75, 6),
      ],
      [
        'counting',
        'counting-pr1.jsonl',
        {
          'Output all the bounding boxes of the dogs': '2',
          'Output all the bounding boxes of the cats': '1',
        },
        (figures) => expect(figures).toMatchObject({ accuracy: 0.5, MAE: 5 / 4 }),
      ],
      [
        'ocr',
        'ocr-pr1.json',
        { 'OCR this image: ': 'the cat' },
        (figures) => expect(figures).toMatchObject({ exact: 0.5 }),
      ],
    ];
    for (const [task, truth, answers, check] of tasks) {
      const args = await against(task, truth, { answers });
      const ended = await run([...args, '--json'], '', { OPENAI_API_KEY: 'secret' });
      expect(ended.stderr.replace(/^answers without a box.*\n/, ''), task).toBe('');
      expect(ended.code, task).toBe(0);
      check(parse(ended).figures);
      expect([...new Set(server!.requests.map(({ prompt }) => prompt))].sort()).toEqual(
        Object.keys(answers).sort(),
      );
      expect(server!.requests[0]!.authorization).toBe('Bearer secret');
      const tokens = { detection: 4096, grounding: 512, counting: 2048, ocr: 4096 }[task];
      expect(server!.requests[0]!.body).toMatchObject({ temperature: 0, max_tokens: tokens });

      // What was answered is not asked again; --predictions judges the same file.
      const asked = server!.requests.length;
      expect(parse(await run([...args, '--json']))).toEqual(parse(ended));
      expect(server!.requests.length, task).toBe(asked);
      const file = args.at(-1)!;
      const later = await evaluate(task, '--truth', fixture(truth), '--predictions', file, '--json');
      expect(parse(later)).toEqual(parse(ended));
      await server!.close();
    }
    server = undefined;
  });

  test('questions that fail are named and count as no answer; --limit and --prompt', async () => {
    const args = await against('counting', 'counting-pr1.jsonl', {
      answers: () => '2',
      faults: ({ prompt }) => (prompt === 'How many cats?' ? { status: 500 } : undefined),
    });
    const options = [
      '--prompt',
      'How many {question}?',
      '--limit',
      '3',
      '--retries',
      '0',
      '--model',
      'mine',
      '--json',
    ];
    const ended = await run([...args, ...options]);
    expect(ended.code).toBe(0);
    const { count, figures, problems, notes } = parse(ended);
    expect([count, figures.accuracy, figures.missing]).toEqual([3, 1 / 3, 1]);
    expect(problems).toMatchObject([{ kind: 'questions that failed', count: 1 }]);
    expect(problems[0]!.examples[0]).toMatch(/^c\.jpg: cats: .*500/);
    expect(notes).toEqual(['Only the first 3 of 4 questions were asked.']);
    expect(server!.requests[0]!.body.model).toBe('mine');
  });

  test('a server that is not there, or from which nothing comes', async () => {
    const args = await against('counting', 'counting-pr1.jsonl', {
      answers: {},
      faults: () => ({ status: 500 }),
    });
    const failed = await run([...args, '--retries', '0']);
    expect(failed).toMatchObject({ code: 1, stdout: '' });
    expect(failed.stderr).toMatch(
      /--answers: ".*" has no answer; the first of the 4 questions that failed: .*500/,
    );
    await server!.close();
    const gone = await run([...args, '--retries', '0']);
    expect(gone).toMatchObject({ code: 1, stdout: '' });
    expect(gone.stderr).toMatch(/expected a server, received/);
    server = undefined;
  });

  test('questions without an image or a text cannot be asked', async () => {
    const args = await against('counting', 'counting-lines.jsonl', { answers: {} });
    const ended = await run(args);
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toMatch(
      /has nothing that can be asked \(questions that cannot be asked, without an image in the ground truth\)/,
    );
  });

  test('an interruption keeps the answers, and the same command goes on', async () => {
    let hold = true;
    let held = (): void => {};
    const waiting = new Promise<void>((resolve) => {
      held = resolve;
    });
    const args = await against('counting', 'counting-pr1.jsonl', {
      answers: ({ prompt }) => {
        if (!hold || prompt.endsWith('dogs')) return '2';
        held();
        return new Promise(() => {});
      },
    });
    const { child, done } = start([...args, '--concurrency', '1']);
    await waiting;
    child.kill('SIGINT');
    const ended = await done;
    expect(ended).toMatchObject({ code: 130, stdout: '' });
    expect(ended.stderr).toMatch(
      /^Interrupted: 2 of 4 questions are settled, .*give the same command again\.\n$/,
    );
    hold = false;
    const before = server!.requests.length;
    const again = await run([...args, '--json']);
    expect(again.code).toBe(0);
    expect(server!.requests.length - before).toBe(2);
    expect(parse(again).figures).toMatchObject({ accuracy: 0.25, missing: 0 });
  });
});
