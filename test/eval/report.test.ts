import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encode } from 'fast-png';
import { afterAll, describe, expect, test } from 'vitest';
import type { EvaluatedItem, Evaluation, LabelledBoxes } from '../../src/eval/evaluation.js';
import { type EvaluationReportOptions, evaluationReport } from '../../src/eval/report.js';
import { Problems } from '../../src/metrics/problems.js';
import { tagsOf } from '../markup.js';

const folder = mkdtempSync(join(tmpdir(), 'perception-r1-report-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const boxesOf = (boxes: readonly number[], ...labels: (string | null)[]): LabelledBoxes => ({
  boxes: Float32Array.from(boxes),
  labels: labels.length > 0 ? labels : new Array<null>(boxes.length / 4).fill(null),
});

const itemOf = (changes: Partial<EvaluatedItem> = {}): EvaluatedItem => ({
  name: 'a.png',
  size: { width: 200, height: 100 },
  score: 0.5,
  summary: 'F1 0.50: 1 of 2 found, 1 wrong',
  answer: 'an answer',
  space: 'pixels',
  truth: boxesOf([0, 0, 100, 50, 100, 50, 200, 100], 'dog', 'cat'),
  predictions: boxesOf([120, 0, 140, 25, 0, 0, 100, 25], 'cat', 'dog'),
  matches: Int32Array.of(-1, 0),
  ...changes,
});

const textOf = (truth: string, prediction: string, score: number): EvaluatedItem => ({
  name: truth.slice(0, 10),
  score,
  summary: `edit distance ${(100 * (1 - score)).toFixed(1)} %`,
  space: 'pixels',
  truth: boxesOf([]),
  predictions: boxesOf([]),
  texts: { truth, prediction },
});

const evaluationOf = (changes: Partial<Evaluation> = {}): Evaluation => ({
  task: 'detection',
  count: 1,
  figures: { AP: 0.374, AP50: 0.5, APsmall: null },
  notes: [],
  problems: [],
  items: [itemOf()],
  ...changes,
});

const report = (
  changes: Partial<Evaluation> = {},
  options: Partial<EvaluationReportOptions> = {},
): string => {
  const html = evaluationReport(evaluationOf(changes), {
    title: 'instances.json',
    version: '1.2.3',
    now: new Date('2026-02-03T04:05:06Z'),
    ...options,
  });
  tagsOf(html);
  expect(html).not.toMatch(/(?:undefined|\[object)/);
  expect(html).not.toMatch(
    /\s(?:x|y|x1|x2|y1|y2|cx|cy|width|height|points|viewBox)="[^"]*(?:NaN|Infinity|e\+)/,
  );
  return html;
};

/** What stands in the section of this title, one of which there is. */
function sectionOf(html: string, title: string): string {
  const [, content, ...others] = html.split(`<h2>${title}</h2>`);
  expect(others).toEqual([]);
  expect(content).toBeDefined();
  return content!.split('</section>')[0]!;
}

/** The rows of a table, as texts. */
const rowsOf = (html: string): string[][] =>
  [...html.matchAll(/<tr>(.*?)<\/tr>/g)].map(([, row]) =>
    [...row!.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/g)].map(([, cell]) => cell!.replaceAll(/<[^>]*>/g, '')),
  );

const cardsOf = (html: string): string[] => html.match(/<article.*?<\/article>/gs) ?? [];
const namesOf = (html: string): string[] => [...html.matchAll(/<bdi>(.*?)<\/bdi>/g)].map(([, name]) => name!);

const attack =
  '</code></pre><script>alert(1)</script><img src=x onerror="alert(1)">]]>\u0000\ud800\u202e\u2066&amp;\'"';

describe('the page', () => {
  test('title, figures, notes and problems', () => {
    const html = report({
      count: 5000,
      figures: { AP: 0.3742, AP50: 0, APsmall: null, ARlarge: 1 },
      notes: ['nothing <small>'],
      problems: [
        { kind: 'detections of unknown images', count: 17, examples: ['image_id 42 (detection 17)', 'b'] },
        { kind: 'labels', count: 1, examples: ['<dgo>'] },
      ],
    });
    expect(html).toContain('<title>instances.json</title>');
    expect(html).toContain('<h1>instances.json</h1>\n<p>Detection · 5,000 images · 2026-02-03 04:05 UTC</p>');
    expect(html).toContain('<footer>perception-r1 1.2.3</footer>');
    expect(rowsOf(sectionOf(html, 'Figures'))).toEqual([
      ['AP mean over IoU 0.5, 0.55 .. 0.95', '37.4'],
      ['AP50 at IoU 0.5', '0.0'],
      ['APsmall objects below 32² pixels', '-'],
      ['ARlarge', '100.0'],
    ]);
    expect(sectionOf(html, 'Figures')).toContain('<li>nothing &lt;small&gt;</li>');
    const problems = sectionOf(html, 'What could not be used');
    expect(problems).toContain('<b>detections of unknown images: 17</b>');
    expect(problems).toContain('<li>image_id 42 (detection 17)</li><li>b</li><li>and 15 more</li>');
    expect(problems).toContain('<b>labels: 1</b>');
    expect(problems).toContain('<li>&lt;dgo&gt;</li></ul>');
    expect(html.indexOf('What could not be used')).toBeLessThan(html.indexOf('<h2>Figures'));
    expect(report()).not.toContain('What could not be used');
  });

  test('sets beside each other', () => {
    const sets = Array.from({ length: 40 }, (_, i) => ({
      name: `set ${i}`,
      count: i,
      figures: { accuracy: i / 40 },
    }));
    const html = report({ task: 'counting', count: 780, figures: { accuracy: 0.25, MAE: 1.5 }, sets });
    const [head, accuracy, mae] = rowsOf(sectionOf(html, 'Figures'));
    expect(head!.slice(0, 3)).toEqual(['', 'all780 questions', 'set 00 questions']);
    expect(head![3]).toBe('set 11 question');
    expect(accuracy!.slice(0, 5)).toEqual(['exact accuracy', '25.0', '0.0', '2.5', '5.0']);
    expect(mae!.slice(0, 3)).toEqual(['MAE', '1.500', '']);
    expect(head).toHaveLength(32);
    expect(html).toContain('10 more sets are not shown.');
  });

  test('is one file: nothing is fetched, nothing is run', () => {
    const html = report({ items: [itemOf({ answer: attack })] });
    expect(html).not.toMatch(/\s(?:href|src|xlink:href|action)="/);
    expect(html).toContain(`content="default-src 'none'; img-src data:; style-src 'unsafe-inline'"`);
    expect(html).not.toMatch(/<script|javascript:|@import|url\(/i);
    expect(html).toContain('prefers-color-scheme: dark');
    expect(html).toContain('@media print');
  });

  test('of nothing', () => {
    for (const task of ['detection', 'grounding', 'counting', 'ocr'] as const) {
      const html = report({ task, count: 0, figures: {}, items: [] });
      expect(html).not.toContain('<article');
      expect(html).not.toContain('<svg');
    }
  });

  test('is the same for the same evaluation', () => {
    expect(report()).toBe(report());
  });

  test('what comes from elsewhere is text, wherever it stands', () => {
    const boxes = boxesOf([0, 0, 100, 50], attack);
    const item = itemOf({
      name: attack,
      file: attack,
      summary: attack,
      question: attack,
      answer: attack,
      truth: boxes,
      predictions: boxes,
      matches: Int32Array.of(0),
      texts: { truth: attack, prediction: `${attack} more` },
    });
    const html = report(
      {
        figures: { [attack]: 0.5 },
        notes: [attack],
        problems: [{ kind: attack, count: 2, examples: [attack] }],
        sets: [{ name: attack, count: 1, figures: {} }],
        categories: [{ name: attack, objects: 1, detections: 1, AP: 1, AP50: 1, AR100: 1 }],
        curves: [{ name: attack, precision: new Float64Array(101).fill(1) }],
        items: [item, itemOf({ ...item, matches: Int32Array.of(-1) })],
      },
      { title: attack, images: folder },
    );
    const tags = new Set(tagsOf(html));
    expect(tags.has('script')).toBe(false);
    expect(tags.has('img')).toBe(false);
    expect(html).toContain('&lt;script&gt;alert(1)&lt;/script&gt;');
    expect(Buffer.from(html).toString()).toBe(html); // no halves of characters
    expect(html).not.toMatch(/[\0\u202e\u2066]/);
    expect(html).toContain('\\u202e\\u2066&amp;amp;&#39;');
  });

  test('of long texts the beginning is shown', () => {
    const word = `${'😀'.repeat(4)}${'x'.repeat(100_000)}`;
    const boxes = boxesOf([0, 0, 100, 50], word);
    const item = itemOf({
      name: word,
      summary: word,
      question: word,
      answer: word,
      truth: boxes,
      predictions: boxes,
    });
    const html = report({
      items: [item, { ...item, texts: { truth: word, prediction: `y${word}` } }],
      notes: [word],
      problems: [{ kind: word, count: 1, examples: [word] }],
      categories: [{ name: word, objects: 1, detections: 1, AP: 1, AP50: 1, AR100: 1 }],
    });
    expect(html.length).toBeLessThan(60_000);
    expect(html).toContain('<summary>answer (the first 4,000 characters)</summary>');
    expect(html).toContain(`${'x'.repeat(3992)}…</pre>`);
    expect(html).toContain('<h4>ground truth, the first 2,000 characters</h4>');
    // A character outside of the basic plane is not cut in half.
    expect(report({ items: [itemOf({ answer: `${'x'.repeat(3999)}😀😀` })] })).toContain('x…</pre>');
  });
});

describe('detection', () => {
  test('precision over recall; nothing is drawn where there is nothing to find', () => {
    const precision = Float64Array.from({ length: 101 }, (_, i) => 0.6 - i / 500);
    const html = report({
      curves: [
        { name: 'IoU 0.5', precision },
        { name: 'none', precision: new Float64Array(101).fill(-1) },
      ],
    });
    const figures = sectionOf(html, 'Figures');
    expect(figures).toContain(
      'IoU 0.5: from 60 at recall, % 0 to 40 at recall, % 100. none: no figures.</desc>',
    );
    expect(figures.match(/<polyline/g)).toHaveLength(1);
    // The axis goes from 0 to 100, whatever the values.
    const [, list] = /<polyline class="path s0" points="([^"]*)"/.exec(figures)!;
    const points = list!.split(' ').map((pair) => pair.split(',').map(Number));
    expect(points).toHaveLength(101);
    const [first, last] = [points[0]!, points.at(-1)!];
    expect(last[0]! - first[0]!).toBeGreaterThan(300);
    const heights = [...figures.matchAll(/ y="([\d.]+)" dy="0.35em" text-anchor="end">(0|100)</g)];
    const [bottom, top] = heights.map(([, y]) => Number(y));
    expect(last[1]! - first[1]!).toBeCloseTo(0.2 * (bottom! - top!), 1);
  });

  test('bars of AP by category, sorted', () => {
    const categories = Array.from({ length: 80 }, (_, i) => ({
      name: `category ${i}`,
      objects: 1000 + i,
      detections: i,
      AP: i === 3 ? 0 : ((i * 37) % 80) / 100,
      AP50: 0.5,
      AR100: i === 4 ? -1 : 0.75,
    }));
    const html = report({ categories });
    const rows = rowsOf(sectionOf(html, 'Categories by AP')).slice(1);
    expect(rows).toHaveLength(80);
    const values = rows.map(([, , AP]) => Number(AP));
    expect(values).toEqual([...values].sort((a, b) => b - a));
    expect(rows[0]).toEqual(['category 67', '', '79.0', '50.0', '75.0', '1,067', '67']);
    expect(rows.find(([name]) => name === 'category 4')![4]).toBe('–');
    expect(html).toContain('<td class="bar"><span style="width:79.0%"></span></td>');
    expect(html).toContain('<td class="bar"><span style="width:0.0%"></span></td>');
  });

  test('thousands of categories: the best are open, the last ones counted', () => {
    const categories = Array.from({ length: 2500 }, (_, i) => ({
      name: `category ${i}`,
      objects: 1,
      detections: 1,
      AP: 1 - i / 2500,
      AP50: 0,
      AR100: 0,
    }));
    const section = sectionOf(report({ categories }), 'Categories by AP');
    const [open, folded] = section.split('<details>');
    expect(rowsOf(open!)).toHaveLength(101);
    expect(rowsOf(folded!)).toHaveLength(1901);
    expect(section).toContain('1,900 more, with lower AP');
    expect(section).toContain('500 more, with the lowest AP, are not shown.');
  });
});

describe('grounding', () => {
  const questions = (...ious: number[]): Partial<Evaluation> => ({
    task: 'grounding',
    count: ious.length,
    figures: { meanIou: 0.5 },
    items: ious.map((score, i) => itemOf({ name: `q${i}`, score })),
  });

  test('how many reach each IoU, and how IoU is distributed', () => {
    // 0.7 in single precision is below 0.7, and reaches it.
    const section = sectionOf(report(questions(0, 0, 0.04, 0.5, Math.fround(0.7), 1)), 'Overlap');
    const points = [...section.matchAll(/<title>answers: ([\d.]+) at IoU ([\d.]+)<\/title>/g)];
    const share = new Map(points.map(([, value, at]) => [at, Number(value)]));
    expect(share.size).toBe(21);
    expect(share.get('0')).toBe(100);
    expect(share.get('0.05')).toBe(50);
    expect(share.get('0.5')).toBe(50);
    expect(share.get('0.55')).toBeCloseTo(33.33, 2);
    expect(share.get('0.7')).toBeCloseTo(33.33, 2);
    expect(share.get('0.75')).toBeCloseTo(16.67, 2);
    expect(share.get('1')).toBeCloseTo(16.67, 2);
    const bars = [...section.matchAll(/<title>questions: (\d+) at IoU ([\d.]+) to ([\d.]+)<\/title>/g)];
    expect(bars).toHaveLength(20);
    const counted = bars.filter(([, count]) => count !== '0').map(([, count, low]) => `${low}: ${count}`);
    expect(counted).toEqual(['0: 3', '0.5: 1', '0.7: 1', '0.95: 1']);
    // Heights are in proportion.
    const heights = [...section.matchAll(/<rect class="f0"[^>]* height="([\d.]+)"><title>questions: (\d+)/g)];
    const [one, three] = ['1', '3'].map((n) => Number(heights.find(([, , count]) => count === n)![1]));
    expect(three! / one!).toBeCloseTo(3, 1);
  });
});

describe('counting', () => {
  const counted = (...pairs: [truth: number, prediction: number | null][]): string =>
    sectionOf(
      report({
        task: 'counting',
        figures: { accuracy: 0.5 },
        items: pairs.map(([truth, prediction]) =>
          itemOf({ score: -Math.abs((prediction ?? 0) - truth), counts: { truth, prediction } }),
        ),
      }),
      'Counts',
    );

  test('true counts against predicted ones, and errors', () => {
    const section = counted([2, 2], [2, 2], [2, 3], [2, null], [3, 1], [0, 0]);
    const [head, ...rows] = rowsOf(section);
    expect(head).toEqual([
      'true',
      '0',
      '1',
      '2',
      '3',
      'no answer',
      'questions',
      'exact %',
      'mean |error|',
      'mean error',
    ]);
    expect(rows.slice(0, 3)).toEqual([
      ['0', '1', '', '', '', '', '1', '100.0', '0.00', '0.00'],
      ['2', '', '', '2', '1', '1', '4', '50.0', '0.75', '−0.25'],
      ['3', '', '1', '', '', '', '1', '0.0', '2.00', '−2.00'],
    ]);
    expect(section).toContain('<td class="cell exact" style="--share:0.500">2</td>');
    expect(section).toContain('mean error: from 0 at true count 0 to −2 at true count 3.</desc>');
  });

  test('counts far above the truth share a column, and large ones a row', () => {
    const [head, row] = rowsOf(counted([2, 5000], [2, 4], [2, 2]));
    expect(head!.slice(0, 7)).toEqual(['true', '0', '1', '2', '3', '4', 'more']);
    expect(row!.slice(0, 7)).toEqual(['2', '', '', '1', '', '1', '1']);
    const [large, ...rows] = rowsOf(counted([0, 0], [99, 95], [1000, 1000]));
    expect(large!.slice(0, 3)).toEqual(['true', '0–99', '100–199']);
    expect(rows.slice(0, 2).map((cells) => [cells[0], cells.at(-4), cells.at(-3)])).toEqual([
      ['0–99', '2', '50.0'],
      ['1,000–1,099', '1', '100.0'],
    ]);
    expect(large!.length).toBeLessThan(22);
  });

  test('without the numbers there is no such section', () => {
    expect(report({ task: 'counting', figures: {} })).not.toContain('<h2>Counts');
  });
});

describe('OCR', () => {
  test('the distribution of the edit distance', () => {
    const items = [1, 0.95, 0.9, 0.7, 0].map((score) => textOf('a', 'b', score));
    const section = sectionOf(report({ task: 'ocr', figures: {}, items }), 'Edit distance');
    const bars = [...section.matchAll(/<title>[^<]*: (\d+) at [^<]*? ([\d.]+) to [\d.]+<\/title>/g)];
    expect(bars).toHaveLength(20);
    // 1 - 0.9 and 1 - 0.95 are slightly off 0.1 and 0.05.
    expect(bars.filter(([, count]) => count !== '0').map(([, , low]) => low)).toEqual([
      '0',
      '0.05',
      '0.1',
      '0.3',
      '0.95',
    ]);
  });

  test('truth and prediction side by side, with what differs', () => {
    const html = report({
      task: 'ocr',
      figures: {},
      items: [textOf('Call me Ishmael.', 'Call Ishmael!', 0.7)],
    });
    expect(html).toContain('<pre dir="auto">Call <del>me </del>Ishmael<del>.</del></pre>');
    expect(html).toContain('<pre dir="auto">Call Ishmael<ins>!</ins></pre>');
    expect(html).toContain('<del>Dotted</del>: only in the ground truth.');
    expect(html).not.toContain('<svg class="scene"');
    expect(report({ task: 'ocr', figures: {}, items: [textOf('a', '', 0)] })).toContain(
      '<h4>prediction</h4><p class="note">empty</p>',
    );
  });
});

describe('the worst and the best', () => {
  test('by score; equal ones by how much there is in them, then in their order', () => {
    const many = boxesOf(new Array<number>(40).fill(1));
    const items = Array.from({ length: 40 }, (_, i) =>
      itemOf({ name: `n${i}`, score: i < 20 ? 0 : 1, ...((i === 7 || i === 33) && { truth: many }) }),
    );
    const html = report({ items });
    const names = (...places: number[]): string[] => places.map((i) => `n${i}`);
    expect(namesOf(sectionOf(html, 'The worst 12'))).toEqual(names(7, 0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11));
    expect(namesOf(sectionOf(html, 'The best 12'))).toEqual(
      names(33, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30),
    );
  });

  test('no item is in both', () => {
    const items = (count: number): EvaluatedItem[] =>
      Array.from({ length: count }, (_, i) => itemOf({ name: `n${i}`, score: -i }));
    expect(namesOf(sectionOf(report({ items: items(5) }), 'All items, the worst first'))).toEqual([
      'n4',
      'n3',
      'n2',
      'n1',
      'n0',
    ]);
    const html = report({ items: items(14) });
    expect(namesOf(sectionOf(html, 'The worst 12'))).toHaveLength(12);
    expect(namesOf(sectionOf(html, 'The best 2'))).toEqual(['n0', 'n1']);
    const nan = report({
      items: [itemOf({ name: 'a', score: 1 }), itemOf({ name: 'b', score: Number.NaN })],
    });
    expect(namesOf(nan)).toEqual(['b', 'a']);
  });

  test('5,000 items make a page of the same size', () => {
    const items = Array.from({ length: 5000 }, (_, i) =>
      itemOf({ name: `image-${i}.png`, score: (i % 100) / 100, answer: 'word '.repeat(200) }),
    );
    const of = (count: number): number => report({ items: items.slice(0, count) }).length;
    const page = of(5000);
    expect(Math.abs(page - of(1000))).toBeLessThan(0.1 * page);
    expect(page).toBeLessThan(200_000);
  });
});

describe('drawings', () => {
  const drawn = (changes: Partial<EvaluatedItem> = {}): string => {
    const [card] = cardsOf(report({ items: [itemOf(changes)] }));
    return card!;
  };

  test('who matched whom, in pixels', () => {
    const card = drawn();
    expect(card).toContain('viewBox="0 0 360 180"');
    expect(card).toContain('<title>F1 0.50: 1 of 2 found, 1 wrong</title>');
    expect(card).toContain(
      '<desc>object dog: predicted as dog; object cat: missed; prediction cat: matches no object; prediction dog for object dog, IoU 0.50</desc>',
    );
    expect(card).toContain('<rect class="box found" x="0" y="0" width="180" height="90"/>');
    expect(card).toContain('<rect class="box missed" x="180" y="90" width="180" height="90"/>');
    expect(card).toContain('<rect class="box false" x="216" y="0" width="36" height="45"/>');
    expect(card).toContain('<rect class="box right" x="0" y="0" width="180" height="45"/>');
    expect(card).toContain('<line class="link" x1="90" y1="45" x2="90" y2="22.5"/>');
    // The label of what was found is written once.
    expect([...card.matchAll(/<text class="(\w+)-text"[^>]*>([^<]*)</g)].map(([, ...said]) => said)).toEqual([
      ['missed', 'cat'],
      ['false', 'cat'],
      ['right', 'dog .50'],
    ]);
  });

  test('in per-mille of the image', () => {
    const card = drawn({
      space: 'per-mille',
      truth: boxesOf([0, 0, 500, 500]),
      predictions: boxesOf([0, 0, 500, 250]),
      matches: Int32Array.of(0),
    });
    expect(card).toContain('<rect class="box found" x="0" y="0" width="180" height="90"/>');
    expect(card).toContain('<rect class="box right" x="0" y="0" width="180" height="45"/>');
    expect(card).toContain('<desc>object: predicted as box; prediction for object, IoU 0.50</desc>');
  });

  test('the legend has what occurs', () => {
    const keys = (changes: Partial<EvaluatedItem>): string[] =>
      [...report({ items: [itemOf(changes)] }).matchAll(/<line class="(\w+)" x1="2"/g)].map(
        ([, fate]) => fate!,
      );
    expect(keys({})).toEqual(['found', 'missed', 'right', 'false']);
    const wrong = { predictions: boxesOf([0, 0, 100, 25], 'cow'), matches: Int32Array.of(0) };
    expect(keys(wrong)).toEqual(['found', 'missed', 'wrong']);
  });

  test('boxes and points that were not matched with anything', () => {
    const { matches: _, ...item } = itemOf({
      truth: { ...boxesOf([]), points: Float32Array.of(100, 50) },
      predictions: { ...boxesOf([0, 0, 20, 20]), points: Float32Array.of(0, 100) },
    });
    const [card] = cardsOf(report({ task: 'counting', figures: {}, items: [item] }));
    expect(card).toContain('<circle class="box found" cx="180" cy="90" r="6"/>');
    expect(card).toContain('<rect class="box right" x="0" y="0" width="36" height="36"/>');
    expect(card).toContain('<circle class="box right" cx="0" cy="180" r="6"/>');
    expect(card).not.toContain('class="link"');
  });

  test('a region of many objects, found twice or not at all, is no miss', () => {
    const item = itemOf({
      truth: { ...boxesOf([0, 0, 200, 100, 0, 0, 50, 50], 'dog', 'dog'), ignored: Uint8Array.of(1, 1) },
      predictions: boxesOf([0, 0, 20, 20, 20, 20, 40, 40], 'dog', 'dog'),
      matches: Int32Array.of(0, 0),
    } as Partial<EvaluatedItem>);
    const [card] = cardsOf(report({ items: [item] }));
    expect(card).not.toMatch(/class="box (?:missed|false)"/);
    expect(card!.match(/class="box right"/g)).toHaveLength(2);
    expect(card).toContain('object dog: need not be found');
    expect(card).toContain('dog (ignored)');
  });

  test('boxes outside of the image or not finite', () => {
    const card = drawn({
      truth: boxesOf([300, 300, 400, 400, Number.NaN, 0, 1, 1], 'a', 'b'),
      predictions: boxesOf([-1e30, -1e30, 1e30, 1e30, 0, 0, Number.POSITIVE_INFINITY, 1], 'c', 'd'),
      matches: Int32Array.of(1, 1),
    });
    expect(card.match(/<rect class="box/g)).toHaveLength(2);
    expect(card).toContain('Boxes outside of the image: 1.');
    expect(card).toContain('Boxes that are not finite: 2.');
    expect(drawn()).not.toContain('Boxes');
    const inverted = drawn({ predictions: boxesOf([100, 50, 0, 0], 'dog'), matches: Int32Array.of(0) });
    expect(inverted).toContain('<rect class="box right" x="0" y="0" width="180" height="90"/>');
  });

  test('where captions would hide the image, those of what went wrong are written', () => {
    const boxes = new Array<number>(4 * 31).fill(10);
    const labels = Array.from({ length: 31 }, (_, i) => `dog ${i}`);
    const matches = Int32Array.from({ length: 30 }, (_, i) => i);
    const predictions = boxesOf(boxes.slice(4), ...labels.slice(0, 30));
    const card = drawn({ truth: boxesOf(boxes, ...labels), predictions, matches });
    const captions = [...card.matchAll(/<text class="(\w+)-text"[^>]*>([^<]*)</g)].map(([, ...said]) => said);
    expect(captions).toHaveLength(24);
    expect(captions[0]).toEqual(['missed', 'dog 30']);
  });

  test.each([
    ['not given', undefined],
    ['0', { width: 0, height: 100 }],
    ['NaN', { width: Number.NaN, height: 100 }],
    ['absurd', { width: 1, height: 1e300 }],
  ])('where the size is %s, the canvas fits the truth', (_, size) => {
    const { size: __, ...item } = itemOf();
    const [card] = cardsOf(report({ items: [{ ...item, ...(size && { size }) }] }));
    expect(card).toContain('viewBox="0 0 360 180"');
    expect(card).toContain('The size of the image is not known');
    expect(card).toContain('<rect class="box missed" x="171.43" y="85.71" width="171.43" height="85.71"/>');
  });

  test('of many boxes the first ones are drawn, and a match of a later one is known', () => {
    const count = 1000;
    const boxes = boxesOf(new Array<number>(4 * count).fill(10));
    const matches = new Int32Array(count).fill(-1);
    matches[999] = 0;
    const card = drawn({ truth: boxesOf([0, 0, 9, 9], 'dog'), predictions: boxes, matches });
    expect(card.match(/<rect class="box false"/g)).toHaveLength(200);
    expect(card).toContain('which are not drawn: 800.');
    expect(card).toContain('<rect class="box found"');
    const labels = new Array<string>(count).fill('dog');
    const crowded = drawn({
      truth: boxesOf([]),
      predictions: { ...boxes, labels },
      matches: matches.fill(-1),
    });
    expect(crowded.match(/<text class="false-text"/g)).toHaveLength(24);
    const points = { ...boxesOf(new Array<number>(600).fill(10)), points: new Float32Array(300) };
    expect(drawn({ predictions: points }).match(/<circle/g)).toHaveLength(50);
  });
});

describe('images', () => {
  const images = join(folder, 'images');
  mkdirSync(images);
  const png = encode({ width: 4, height: 2, channels: 1, data: new Uint8Array(8) });
  writeFileSync(join(images, 'a.png'), png);
  writeFileSync(join(images, 'b.jpg'), 'no image');
  writeFileSync(join(folder, 'secret.png'), png);
  mkdirSync(join(images, 'c.png'));

  test('are embedded as they are; their size is that of the item, else their own', () => {
    const { size: _, ...item } = itemOf({ space: 'per-mille' });
    const html = report(
      { items: [itemOf({ file: 'a.png' }), { ...item, name: 'own', score: 0.6, file: 'a.png' }] },
      { images },
    );
    const uri = `data:image/png;base64,${Buffer.from(png).toString('base64')}`;
    const [given, own] = cardsOf(html);
    expect(given).toContain(`<image href="${uri}" width="360" height="180"`);
    expect(own).toContain(`<image href="${uri}" width="360" height="180"`);
    expect(own).not.toContain('is not known');
    const wide = report(
      { items: [itemOf({ file: 'a.png', size: { width: 300, height: 100 } })] },
      { images },
    );
    expect(wide).toContain('width="360" height="120" preserveAspectRatio="none"');
    for (const [, address] of html.matchAll(/\s(?:href|src|xlink:href)="([^"]*)"/g))
      expect(address).toBe(uri);
  });

  test('that cannot be shown are named once; boxes are drawn nevertheless', () => {
    const files = ['../secret.png', '/etc/passwd', 'missing.png', 'missing.png', 'b.jpg', 'c.png', undefined];
    const items = files.map((file, i) => itemOf({ name: `n${i}`, ...(file !== undefined && { file }) }));
    const problems = new Problems();
    problems.add('an earlier one', 'x');
    const html = report({ items }, { images, problems });
    expect(problems.list()).toEqual([
      { kind: 'an earlier one', count: 1, examples: ['x'] },
      {
        kind: 'paths of images to show that leave the image folder',
        count: 2,
        examples: ['../secret.png', '/etc/passwd'],
      },
      { kind: 'images to show that are not in the image folder', count: 1, examples: ['missing.png'] },
      { kind: 'images to show that are no PNG, JPEG, GIF or WebP', count: 1, examples: ['b.jpg'] },
      { kind: 'images to show that cannot be read', count: 1, examples: ['c.png'] },
      { kind: 'items to show that name no image file', count: 1, examples: ['n6'] },
    ]);
    const shown = sectionOf(html, 'What could not be used');
    expect(shown).toContain('<b>paths of images to show that leave the image folder: 2</b>');
    expect(shown).not.toContain('an earlier one');
    expect(html).not.toContain('<image');
    for (const card of cardsOf(html)) {
      expect(card).toContain('<rect class="box missed"');
      expect(card).toContain('<p class="note">Not shown: the image, since ');
    }
  });

  test('without a folder none is looked for', () => {
    const problems = new Problems();
    const html = report({ items: [itemOf({ file: 'a.png' })] }, { problems });
    expect(problems.list()).toEqual([]);
    expect(html).not.toContain('<image');
    expect(html).not.toContain('Not shown');
  });

  test('are shown of items without boxes too, beside texts', () => {
    const html = report(
      { task: 'ocr', figures: {}, items: [{ ...textOf('a', 'b', 0), file: 'a.png' }] },
      { images },
    );
    expect(html).toMatch(
      /<div class="texts"><svg class="scene"[^>]* viewBox="0 0 360 180".*<image href="data:/,
    );
  });

  test('have 20 MB together; those that have no room are told of', () => {
    const large = Buffer.alloc(6 * 1024 * 1024);
    large.set(png);
    writeFileSync(join(images, 'large.png'), large);
    const items = ['large.png', 'large.png', 'large.png', 'a.png'].map((file, i) =>
      itemOf({ name: `n${i}`, file }),
    );
    const problems = new Problems();
    const html = report({ items }, { images, problems });
    const withImage = cardsOf(html).map((card) => card.includes('<image'));
    expect(withImage).toEqual([true, true, false, true]);
    expect(cardsOf(html)[2]).toContain('Not shown: the image, since this page has no room for it.');
    expect(html.length).toBeLessThan(20.5 * 1024 * 1024);
    expect(problems.list()).toEqual([]);
  });
});
