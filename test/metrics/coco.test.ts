/** COCO's files: what reaches the evaluation from them, and what damaged ones say. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { info, PerceptionError, setThreads } from '../../src/index.js';
import {
  type CocoFiles,
  detectionFigures,
  evaluateDetections,
  evaluateDetectionsAsync,
  loadCoco,
  Problems,
} from '../../src/metrics/index.js';
import { Generator } from '../reference/random.js';
import { turnsDuring } from '../support.js';

const folder = mkdtempSync(join(os.tmpdir(), 'perception-r1-coco-'));
afterAll(() => rmSync(folder, { recursive: true }));
const threads = info().cpu.threads;
afterEach(() => setThreads(threads));

let files = 0;
/** A new file; what is no text or bytes is written as JSON. */
function file(content: unknown, name = `${files++}.json`): string {
  const path = join(folder, name);
  const plain = typeof content === 'string' || content instanceof Uint8Array;
  writeFileSync(path, plain ? content : JSON.stringify(content));
  return path;
}

/** The message with its code, and names of files instead of paths. */
async function failureOf(groundTruth: unknown, options?: unknown): Promise<string> {
  try {
    await loadCoco(groundTruth as string, options as CocoFiles);
    return 'no error';
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return `${error instanceof PerceptionError ? '' : 'system '}${code} ${message.replaceAll(`${folder}/`, '')}`;
  }
}

const box = { image_id: 7, category_id: 3, bbox: [1, 2, 3, 4] };
const truth = {
  info: { description: 'a "truth" of é' },
  images: [
    { id: 12, file_name: 'twelve é.png', width: 640, height: 480 },
    { id: 7, file_name: 'seven.png' },
  ],
  annotations: [
    { id: 1, ...box, iscrowd: 1, area: 5.5, segmentation: { counts: [1, 2], size: [3, 4] } },
    { id: 2, image_id: 12, category_id: 44, bbox: [0, 0, 10, 10.5], segmentation: [[1.25, 2, 3, 4]] },
    { id: 3, ...box, iscrowd: 0 },
  ],
  categories: [
    { id: 44, name: 'bottle', supercategory: 'kitchen' },
    { id: 3, name: 'car' },
  ],
};
const results = [
  { image_id: 12, category_id: 44, bbox: [0, 0, 10, 10], score: 0.5 },
  { image_id: 7, category_id: 3, bbox: [1, 2, 3, 4], score: 0.75 },
  { image_id: 12, category_id: 3, bbox: [5, 5, 1, 1], score: 0.5 },
];

describe('pycocotools', () => {
  interface Expected {
    pairs: { gt: string; dt: string; stats: Record<string, number> }[];
  }
  async function check(gt: string, dt: string, stats: Record<string, number>): Promise<void> {
    const { truth, detections, problems } = await loadCoco(gt, { detections: dt });
    expect(problems).toEqual([]);
    const summary = await evaluateDetectionsAsync(truth, detections!, { format: 'xywh' });
    expect(Object.keys(stats)).toEqual([...detectionFigures]);
    for (const name of detectionFigures) {
      expect(Math.abs(summary[name] - stats[name]!), `${dt} ${name}`).toBeLessThan(1e-12);
    }
  }

  const shared = fileURLToPath(new URL('../../../shared/data/coco/', import.meta.url));
  const there = existsSync(`${shared}expected.json`);
  if (!there) console.log(`COCO's own files: NOT TESTED, since ${shared} is not there.`);
  test.runIf(there)("COCO's own files: all figures of all pairs, within 1e-12", async () => {
    const { pairs } = JSON.parse(readFileSync(`${shared}expected.json`, 'utf8')) as Expected;
    expect(pairs.length).toBe(5);
    for (const { gt, dt, stats } of pairs) await check(shared + gt, shared + dt, stats);
  });

  test('the same pairs from the fixture, as files in another order and form', async () => {
    interface Pairs {
      truths: Record<string, { images: number[]; annotations: number[][] }>;
      pairs: { gt: string; dt: string; stats: Record<string, number>; detections: number[][] }[];
    }
    const url = new URL('../fixtures/coco_pairs.json.gz', import.meta.url);
    const { truths, pairs } = JSON.parse(gunzipSync(readFileSync(url)).toString()) as Pairs;
    for (const { gt, stats, detections } of pairs) {
      const { images, annotations } = truths[gt]!;
      const objects = annotations.map(([image_id, category_id, x, y, width, height, area, iscrowd], i) => ({
        segmentation: [[x, y, x! + width!, y! + height!]],
        area,
        iscrowd,
        image_id,
        bbox: [x, y, width, height],
        category_id,
        id: 1000 - i,
      }));
      const instances = {
        annotations: objects,
        categories: Array.from({ length: 90 }, (_, i) => ({ id: 90 - i })),
        images: images.toReversed().map((id) => ({ id })),
      };
      const found = detections.map(([image_id, category_id, x, y, width, height, score]) => ({
        score,
        bbox: [x, y, width, height],
        category_id,
        image_id,
      }));
      await check(file(JSON.stringify(instances, null, 1)), file(JSON.stringify(found, null, '\t')), stats);
    }
  });
});

describe('loadCoco', () => {
  test('images and categories by id, objects in the order of the file within each image', async () => {
    expect(await loadCoco(file(truth), { detections: file(results) })).toEqual({
      images: {
        ids: Float64Array.of(7, 12),
        fileNames: ['seven.png', 'twelve é.png'],
        sizes: Float64Array.of(0, 0, 640, 480),
      },
      categories: { ids: Float64Array.of(3, 44), names: ['car', 'bottle'] },
      truth: {
        boxes: Float64Array.of(1, 2, 3, 4, 1, 2, 3, 4, 0, 0, 10, 10.5),
        labels: Int32Array.of(3, 3, 44),
        offsets: Int32Array.of(0, 2, 3),
        areas: Float64Array.of(5.5, 12, 105),
        crowd: Uint8Array.of(1, 0, 0),
      },
      detections: {
        boxes: Float64Array.of(1, 2, 3, 4, 0, 0, 10, 10, 5, 5, 1, 1),
        labels: Int32Array.of(3, 44, 3),
        offsets: Int32Array.of(0, 1, 3),
        scores: Float64Array.of(0.75, 0.5, 0.5),
      },
      problems: [],
    });
    const alone = await loadCoco(file(truth));
    expect('detections' in alone).toBe(false);
  });

  test('ids of categories beyond 2^31 are labels too', async () => {
    const large = JSON.stringify(truth).replaceAll('44', String(2 ** 53 - 1));
    const loaded = await loadCoco(file(large), {
      detections: file(JSON.stringify(results).replaceAll('44', String(2 ** 53 - 1))),
    });
    expect(loaded.truth.labels).toEqual([3, 3, 2 ** 53 - 1]);
    expect(loaded.problems).toEqual([]);
    const small = await loadCoco(file(truth), { detections: file(results) });
    const stats = ({ truth, detections }: typeof small): Float64Array =>
      evaluateDetections(truth, detections!, { format: 'xywh' }).stats;
    expect(stats(loaded)).toEqual(stats(small));
    expect(stats(small)[0]).toBeGreaterThan(0.5);
  });

  test('no detections give an AP of 0', async () => {
    const { truth: objects, detections } = await loadCoco(file(truth), { detections: file('[]') });
    expect(detections!.offsets).toEqual(Int32Array.of(0, 0, 0));
    const summary = evaluateDetections(objects, detections!, { format: 'xywh' });
    expect([summary.AP, summary.AR100, summary.images]).toEqual([0, 0, 2]);
  });

  test('what cannot be used is told', async () => {
    const { truth: objects, problems } = await loadCoco(
      file({ ...truth, annotations: [...truth.annotations, { ...box, bbox: [1, 2, -3, 4] }] }),
      {
        detections: file([
          ...Array.from({ length: 7 }, (_, i) => ({ ...results[0], image_id: 100 + i })),
          { ...results[0], image_id: 'seven' },
          { ...results[0], category_id: 5 },
        ]),
      },
    );
    expect(objects.offsets).toEqual(Int32Array.of(0, 2, 3));
    expect(problems).toEqual([
      {
        kind: 'annotations without a usable bbox',
        count: 1,
        examples: ['bbox [1, 2, -3, 4] (annotation 3)'],
      },
      {
        kind: 'detections of unknown images',
        count: 8,
        examples: [
          'image_id "seven" (detection 7)',
          'image_id 100 (detection 0)',
          'image_id 101 (detection 1)',
          'image_id 102 (detection 2)',
          'image_id 103 (detection 3)',
        ],
      },
      { kind: 'detections of unknown categories', count: 1, examples: ['category_id 5 (detection 8)'] },
    ]);
  });

  test('off this thread, many at a time, the same for every number of threads', async () => {
    const random = new Generator(4);
    const images = Array.from({ length: 500 }, (_, i) => ({ id: 500 - i, file_name: `${i}.png` }));
    const record = (id: number): object => ({
      id,
      image_id: random.integer(1, 500),
      category_id: random.next() < 0.5 ? 3 : 44,
      bbox: [random.next() * 100, random.next() * 100, random.next() * 50, random.next() * 50],
      score: random.integer(0, 99) / 100,
    });
    const many = (count: number): object[] => Array.from({ length: count }, (_, i) => record(i));
    const gt = file({ ...truth, images, annotations: many(3000) });
    const dt = file(many(9000));
    setThreads(1);
    const one = await loadCoco(gt, { detections: dt });
    expect(one.detections!.offsets[500]).toBe(9000);
    setThreads(4);
    const { result, turns } = await turnsDuring(() =>
      Promise.all(Array.from({ length: 4 }, () => loadCoco(gt, { detections: dt }))),
    );
    expect(turns).toBeGreaterThan(0);
    for (const loaded of result) expect(loaded).toEqual(one);
  });

  test('a name that is not ASCII', async () => {
    expect((await loadCoco(file(truth, 'wahr é 真.json'))).images.ids.length).toBe(2);
  });
});

describe('what is refused', () => {
  const whole = JSON.stringify(truth);
  const form = `expected COCO's ground truth, {"images": [...], "annotations": [...], "categories": [...]}`;
  const listOf = 'expected COCO\'s results, a list of {"image_id", "category_id", "bbox", "score"}';

  test.each<[string, unknown, string]>([
    ['empty', '', 'expected a JSON value, received nothing: it is empty'],
    ['white space', ' \n ', 'expected a JSON value, received nothing but white space'],
    ['cut', whole.slice(0, 90), 'it ends at byte 92, in the middle of a string: it is not complete'],
    [
      'cut by a byte',
      whole.slice(0, -1),
      'it ends at byte 536, in the middle of an object: it is not complete',
    ],
    ['gzip', gzipSync(whole), 'expected JSON, received data packed by gzip: unpack it first'],
    [
      'an image',
      Uint8Array.of(0x89, 0x50, 0x4e, 0x47),
      'expected a JSON value, received byte 0x89 at byte 0',
    ],
    [
      'UTF-16',
      Buffer.from(`\ufeff${whole}`, 'utf16le'),
      'expected a JSON value, received byte 0xff at byte 0',
    ],
    ['HTML', '<!doctype html>', "expected a JSON value, received '<' at byte 0"],
    ['text after it', `${whole}\n{}`, "expected the end of the text, received '{' at byte 538"],
    ['a comma too many', '{"images": [1,]}', "expected a JSON value, received ']' at byte 14"],
    ['a list', [], `${form}, received a list; a list of results is the other file, the detections`],
    ['null', null, `${form}, received null`],
    [
      'no categories',
      { images: [], annotations: [] },
      'expected COCO\'s ground truth with the lists "images", "annotations" and "categories", received one without "categories"',
    ],
    ['an object', { images: { id: 1 } }, 'expected "images" to be a list, received an object at byte 10'],
    [
      'a list that comes twice',
      '{"images": [], "images": []}',
      'expected "images" once, received it again at byte 24',
    ],
    [
      'an image twice',
      { ...truth, images: [...truth.images, { id: 7 }] },
      'images: expected every id once, received the id 7 2 times',
    ],
    [
      'a category twice',
      { ...truth, categories: [...truth.categories, { id: 3 }, { id: 3 }] },
      'categories: expected every id once, received the id 3 3 times',
    ],
    [
      'an annotation twice',
      { ...truth, annotations: [...truth.annotations, { id: 2, ...box }] },
      'annotations: expected every id once, received the id 2 2 times',
    ],
    [
      'too deep',
      `{"info": ${'['.repeat(2000)}`,
      'expected lists and objects at most 1024 deep, received deeper ones at byte 1032',
    ],
  ])('a ground truth: %s', async (name, content, expected) => {
    expect(await failureOf(file(content, `${name}.json`))).toBe(
      `INVALID_INPUT groundTruth "${join(folder, name)}.json": ${expected}`.replaceAll(`${folder}/`, ''),
    );
  });

  test.each<[string, unknown, string]>([
    ['empty', '', 'expected a JSON value, received nothing: it is empty'],
    ['an object', truth, `${listOf}, received an object; a ground truth is the other file`],
    ['a number', 7, `${listOf}, received a number`],
    ['cut', '[{"image_id": 1', 'it ends at byte 15, in the middle of an object: it is not complete'],
    ['JSON lines', '[]\n[]', "expected the end of the text, received '[' at byte 3"],
    [
      'not UTF-8',
      Buffer.from('[{"image_id": "\xe9"}]', 'latin1'),
      'expected a string in UTF-8, received other bytes in the one at byte 14',
    ],
  ])('results: %s', async (name, content, expected) => {
    const detections = file(content, `results ${name}.json`);
    expect(await failureOf(file(truth), { detections })).toBe(
      `INVALID_INPUT detections "results ${name}.json": ${expected}`,
    );
  });

  test('files that are not there or cannot be read, and wrong arguments', async () => {
    const there = file(truth, 'there.json');
    expect(await failureOf(join(folder, 'absent.json'))).toBe(
      "system ENOENT ENOENT: no such file or directory, access 'absent.json'",
    );
    expect(await failureOf(there, { detections: join(there, 'x') })).toBe(
      "system ENOTDIR ENOTDIR: not a directory, access 'there.json/x'",
    );
    expect(await failureOf(folder)).toBe(
      `INVALID_INPUT groundTruth "${folder}": expected a file, received a folder`,
    );
    expect(await failureOf(7)).toBe('INVALID_ARGUMENT groundTruth: expected a path, received 7');
    expect(await failureOf(there, { detections: '' })).toBe(
      'INVALID_ARGUMENT detections: expected a path, received ""',
    );
    expect(await failureOf(there, { results: 'x' })).toBe(
      'INVALID_ARGUMENT options.results: unknown option; known are detections',
    );
    expect(await failureOf(there)).toBe('no error'); // the add-on goes on
  });

  test('no damaged file does more than fail', async () => {
    const random = new Generator(6);
    const alphabet = '{}[]",:0123456789.eE+-\\u \n\ttfnNI\u0001é';
    const damaged = (text: string): string => {
      const at = random.integer(0, text.length - 1);
      const part = text.slice(at, at + random.integer(1, 40));
      const anything = [
        text.slice(0, at),
        text.slice(0, at) + alphabet[random.integer(0, alphabet.length - 1)] + text.slice(at + 1),
        text.slice(0, at) + part + text.slice(at),
        text.replace(part, ''),
      ];
      return anything[random.integer(0, 3)]!;
    };
    const outcomes = new Set<string>();
    for (let i = 0; i < 300; ++i) {
      const gt = file(damaged(whole), 'damaged.json');
      const detections = file(damaged(JSON.stringify(results)), 'damaged-results.json');
      try {
        const loaded = await loadCoco(gt, { detections });
        evaluateDetections(loaded.truth, loaded.detections!, { format: 'xywh' });
        outcomes.add(loaded.problems.length > 0 ? 'problems' : 'fine');
      } catch (error) {
        if (!(error instanceof PerceptionError)) throw error;
        outcomes.add(error.code);
      }
    }
    expect([...outcomes].sort()).toEqual(['INVALID_INPUT', 'fine', 'problems']);
  });
});

describe('Problems', () => {
  test('counts by kind, and keeps the first five examples', () => {
    const problems = new Problems();
    for (let i = 0; i < 7; i++)
      problems.add('detections of unknown images', `image_id ${i} (detection ${i})`);
    problems.add('pages without an answer', 'page 3');
    const [first, second] = problems.list();
    expect([first!.count, first!.examples.length, first!.examples[4]]).toEqual([
      7,
      5,
      'image_id 4 (detection 4)',
    ]);
    expect(second).toEqual({ kind: 'pages without an answer', count: 1, examples: ['page 3'] });

    const all = new Problems();
    all.add('pages without an answer', 'page 1');
    all.merge(problems.list());
    all.merge([{ kind: 'pages without an answer', count: 9, examples: ['a', 'b', 'c', 'd', 'e'] }]);
    expect(all.list()).toEqual([
      { kind: 'pages without an answer', count: 11, examples: ['page 1', 'page 3', 'a', 'b', 'c'] },
      first,
    ]);
    expect(problems.list()).toEqual([first, second]); // a list is a copy
    first!.examples.push('x');
    expect(problems.list()[0]!.examples.length).toBe(5);
  });
});
