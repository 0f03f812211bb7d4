import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RunFolder, type SampleSet, type StepLine } from '../../../src/grpo/run/folder.js';
import { overviewSvg } from '../../../src/grpo/run/overview.js';
import { beforeAndAfter, reportHtml, smoothed } from '../../../src/grpo/run/report.js';
import { type Scene, sceneOf, sceneSvg } from '../../../src/grpo/run/scene.js';
import { areaChart, lineChart, type Point } from '../../../src/report/chart.js';
import { escaped, figure } from '../../../src/report/markup.js';
import { tagsOf } from '../../markup.js';
import { lineOf, sampleOf, temporaryFolder } from './support.js';

const attack = '</code></pre><script>alert(1)</script><img src=x onerror="alert(1)">\u0000\ud800&amp;\'"';
const attacked = (): Scene =>
  sceneOf(
    sampleOf({
      prompt: attack,
      completion: attack,
      terms: { [attack]: 1 },
      truth: [{ label: attack, box: [0, 0, 500, 500] }],
      predictions: [{ label: attack, box: [0, 0, 500, 500] }],
      matches: [0],
    }),
  );

const lines = (count: number): StepLine[] => Array.from({ length: count }, (_, i) => lineOf(i + 1));
const report = (changes: Partial<Parameters<typeof reportHtml>[0]> = {}): string =>
  reportHtml({
    title: 'a run',
    version: '1.2.3',
    config: { seed: 1 },
    lines: lines(3),
    samples: [],
    ...changes,
  });

describe('the report', () => {
  test('shows evaluations before and after, curves, terms, time, notes and the configuration', () => {
    const logged: StepLine[] = Array.from({ length: 100 }, (_, i) => ({
      step: i + 1,
      metrics: {
        'reward/mean': 1 + i / 100,
        'reward/std': 0.5,
        'term/f1': 0.25,
        'term/iou': 0.5,
        ...(i % 99 === 0 && {
          'eval/ap': 10 + i,
          'eval/own_metric': 0.5,
          'eval_t1/ap': 5,
          'eval/ocr/exact': 1,
        }),
        'my/metric': i,
      },
      timing: {
        'time/sample': 0.3,
        'time/reward': 0.001,
        'time/update': 0.699,
        'time/step': 1,
        ...(i === 0 && { 'time/evaluate': 25 }),
        tokens_per_second: 5000,
      },
      ...(i === 7 && { notes: ['resumed <here>'] }),
    }));
    const samples = [
      { step: 0, name: 'before', scenes: [sceneOf(sampleOf({ completion: 'first answer' }))] },
      { step: 100, name: 'after', scenes: [sceneOf(sampleOf({ completion: 'last answer' }))] },
    ];
    const html = report({
      lines: logged,
      samples,
      config: { stage: 'grpo', tasks: [{ name: 'ocr' }, { name: 'counting' }], deep: { x: 1 } },
    });
    tagsOf(html);
    expect(html).toContain('100 steps');
    expect(html).toContain('<dt>stage</dt> <dd>grpo</dd>');
    expect(html).toContain('<dt>tasks</dt> <dd>ocr, counting</dd>');
    expect(html).not.toContain('<dt>deep</dt>');
    expect(html).toMatch(
      /<th scope="row">AP <small>COCO, 0 to 100<\/small><\/th><td>10<\/td><td><b>109<\/b><\/td><td>\+99<\/td><td>× 10.90<\/td>/,
    );
    expect(html).toContain('<small>COCO, 0 to 100; drawn at temperature 1</small>');
    expect(html).toContain(
      '<desc>held-out examples, COCO, 0 to 100, over step. likeliest tokens: from 10 at step 1 to 109 at step 100. drawn at temperature 1: from 5',
    );
    expect(html).toMatch(/before<small>step 1<\/small>.*after<small>step 100<\/small>/);
    const titles = [...html.matchAll(/class="name"[^>]*>([^<]*)</g)].map(([, title]) => title);
    expect(titles).toEqual([
      'Reward',
      'Terms of the reward',
      'AP',
      'own metric',
      'Exact text (ocr)',
      'my metric',
      'Speed',
      'Where the time goes',
    ]);
    expect(html).toMatch(
      /reward<\/th><td>0.1 %<\/td><td>1<\/td><td>0.1<\/td>.*evaluate<\/th><td>20.0 %<\/td><td>25,000<\/td><td>25<\/td>/,
    );
    expect(html).toContain('<b>step 8</b> resumed &lt;here&gt;');
    expect(html.indexOf('first answer')).toBeLessThan(html.indexOf('last answer'));
    expect(html).toContain('&quot;deep&quot;: {');
  });

  test('is one file: nothing is fetched, nothing is run', () => {
    const html = report({ samples: [{ step: 0, name: 'a', scenes: [attacked()] }] });
    for (const [, address] of html.matchAll(/\s(?:href|src|xlink:href|action)="([^"]*)"/g)) {
      expect(address).toMatch(/^data:image\/png;base64,/);
    }
    expect(html).toContain(`content="default-src 'none'; img-src data:; style-src 'unsafe-inline'"`);
    expect(html).not.toMatch(/<script|javascript:|@import|url\(/i);
  });

  test('what a model wrote is text, wherever it stands', () => {
    const html = report({
      title: attack,
      config: { [attack]: attack },
      lines: [
        {
          step: 1,
          metrics: { [attack]: 1, [`eval/${attack}`]: 2, [`term/${attack}`]: 2 },
          timing: { [`time/${attack}`]: 1 },
          notes: [attack],
        },
      ],
      samples: [
        { step: 0, name: 'before', scenes: [attacked()] },
        { step: 1, name: 'after', scenes: [attacked()] },
      ],
    });
    const tags = new Set(tagsOf(html));
    expect(tags.has('script')).toBe(false);
    expect(tags.has('img')).toBe(false);
    expect(html).toContain('&lt;script&gt;alert(1)&lt;/script&gt;');
    expect(Buffer.from(html).toString()).toBe(html); // no halves of characters
    expect(html).not.toContain('\u0000');
  });

  test('is made of a run of which little is there', () => {
    tagsOf(report({ lines: [] }));
    expect(report({ lines: [] })).toContain('No step has been logged yet.');
    const bare = (metrics: Record<string, number>): StepLine[] => [{ step: 0, metrics, timing: {} }];
    for (const metrics of [
      {},
      { loss: Number.NaN },
      { 'eval/ap': 0 },
      { loss: 0 },
      { loss: 1e-300 },
      { loss: -1e300 },
    ]) {
      const html = report({ lines: bare(metrics as Record<string, number>) });
      tagsOf(html);
      expect(html).not.toMatch(/(?:x|y|x1|y1|cx|cy|points)="[^"]*(?:NaN|Infinity)/);
    }
  });

  test('RunFolder writes it, of all that is in the folder', () => {
    const run = RunFolder.create(join(temporaryFolder(), 'my run'), { seed: 1 });
    for (const line of lines(4)) run.log(line);
    run.saveSamples(0, 'before', [sampleOf()]);
    run.saveSamples(4, 'after', [sampleOf({ completion: 'better' })]);
    const path = RunFolder.open(run.path).writeReport();
    expect(path).toBe(join(run.path, 'report.html'));
    const html = readFileSync(path, 'utf8');
    tagsOf(html);
    expect(html).toContain('<title>my run</title>');
    expect(html).toContain('better');
    expect(html).toContain('4 steps');
  });

  test('which samples are before and after', () => {
    const set = (step: number, name: string): SampleSet => ({ step, name, scenes: [] });
    const chosen = (...sets: SampleSet[]): string => {
      const found = beforeAndAfter(sets);
      return found ? `${found.before.step}-${found.after?.step ?? ''}` : 'none';
    };
    expect(chosen()).toBe('none');
    expect(chosen(set(0, 'eval'))).toBe('0-');
    expect(chosen(set(0, 'eval'), set(5, 'eval'), set(9, 'eval'), set(9, 'other'))).toBe('0-9');
    expect(chosen(set(0, 'eval'), set(1, 'before'), set(4, 'after'), set(8, 'after'), set(9, 'eval'))).toBe(
      '1-8',
    );
    expect(chosen(set(1, 'before'), set(1, 'after'))).toBe('1-1');
    expect(chosen(set(1, 'after'), set(3, 'before'))).toBe('3-');
  });
});

describe('charts', () => {
  const pointsOf = (svg: string, mark: string): number[][] =>
    [...svg.matchAll(new RegExp(`<${mark} class="([^"]*)" points="([^"]*)"`, 'g'))].map(([, , list]) =>
      list!.split(' ').flatMap((pair) => pair.split(',').map(Number)),
    );
  const chart = { title: 't', x: 'step', y: 'unit' };
  /** The scale that the axis' labels say. */
  function valueAt(svg: string, y: number): number {
    const labels = [...svg.matchAll(/<text x="[\d.]+" y="([\d.]+)" dy="0.35em" text-anchor="end">([^<]*)</g)];
    const ticks = labels.map(
      ([, at, label]) =>
        [Number(at), Number(label!.replace('−', '-').replace('k', 'e3').replace('M', 'e6'))] as const,
    );
    const [[y0, v0], [y1, v1]] = [ticks[0]!, ticks.at(-1)!];
    return v0 + ((y - y0) / (y1 - y0)) * (v1 - v0);
  }

  test.each([
    [[1, 2, 3.5, 2.25]],
    [[0.00002, 0.0002, 0.0001]],
    [[-5, 3, -1]],
    [[99.9, 100.1, 100]],
    [[12345, 67890, 33333]],
    [[-3e6, -2e6, -2.5e6]],
    [[7, 7, 7]],
    [[0, 0]],
  ])('points are where the axis says: %j', (values) => {
    const svg = lineChart({ ...chart, series: [{ name: 'a', points: values.map((v, i): Point => [i, v]) }] });
    tagsOf(svg);
    const [line] = pointsOf(svg, 'polyline');
    const reach = Math.max(...values.map(Math.abs)) || 1;
    values.forEach((value, i) => {
      expect(Math.abs(valueAt(svg, line![2 * i + 1]!) - value)).toBeLessThan(0.003 * reach);
    });
    expect(line!.filter((_, i) => i % 2 === 0)).toEqual(
      [...line!.filter((_, i) => i % 2 === 0)].sort((a, b) => a - b),
    );
    const ticks = svg.match(/dy="0.35em"/g)!.length;
    expect(ticks).toBeGreaterThanOrEqual(2);
    expect(ticks).toBeLessThanOrEqual(8);
    const labels = [...svg.matchAll(/dy="0.35em" text-anchor="end">([^<]*)</g)].map(([, label]) => label);
    expect(new Set(labels).size).toBe(labels.length);
  });

  test('a gap where a value is not finite, and a band around the line', () => {
    const svg = lineChart({
      ...chart,
      series: [
        {
          name: 'a',
          points: [
            [0, 1],
            [1, 2],
            [2, Number.NaN],
            [3, 3],
            [4, 4],
          ],
          band: [
            [0, 2],
            [1, 3],
            [Number.NaN, Number.NaN],
            [2, 4],
            [3, 5],
          ],
        },
      ],
    });
    expect(pointsOf(svg, 'polyline').map((p) => p.length)).toEqual([4, 4]);
    expect(pointsOf(svg, 'polygon').map((p) => p.length)).toEqual([8, 8]);
    const [band] = pointsOf(svg, 'polygon');
    expect(valueAt(svg, band![1]!)).toBeCloseTo(2, 1);
    expect(valueAt(svg, band!.at(-1)!)).toBeCloseTo(0, 1);
    expect(svg).toContain('<desc>unit, over step. a: from 1 at step 0 to 4 at step 4.</desc>');
  });

  test('between whole steps there are no ticks', () => {
    const ticks = (points: Point[]): string[] => {
      const svg = lineChart({ ...chart, series: [{ name: 'a', points }] });
      return [...svg.matchAll(/text-anchor="middle">([^<]*)</g)].map(([, label]) => label!);
    };
    expect(
      ticks([
        [1, 0],
        [2, 0],
      ]),
    ).toEqual(['1', '2']);
    expect(
      ticks([
        [0, 0],
        [0.5, 0],
        [2, 0],
      ]),
    ).toEqual(['0', '0.5', '1.0', '1.5', '2.0']);
    expect(
      ticks([
        [0, 0],
        [600, 0],
      ]),
    ).toEqual(['0', '200', '400', '600']);
  });

  test('areas stand on each other', () => {
    const series = [
      {
        name: 'a',
        points: [
          [0, 1],
          [1, 1],
        ] as Point[],
      },
      {
        name: 'b',
        points: [
          [0, 2],
          [1, 3],
        ] as Point[],
      },
    ];
    const svg = areaChart({ ...chart, series });
    tagsOf(svg);
    const areas = pointsOf(svg, 'polygon').map((p) =>
      p.filter((_, i) => i % 2 === 1).map((y) => Math.round(100 * valueAt(svg, y)) / 100),
    );
    expect(areas).toEqual([
      [1, 1, 0, 0],
      [3, 4, 1, 1],
    ]);
  });

  test('many steps: means over neighbours, few points, single steps pale', () => {
    const points = Array.from({ length: 4000 }, (_, i): Point => [i, i % 2 === 0 ? 0 : 1]);
    const [pale, line] = smoothed(
      'a',
      points,
      points.map(([at]) => [at, 0.25]),
    );
    expect(pale).toMatchObject({ faint: true });
    expect(line!.points.length).toBeLessThanOrEqual(300);
    for (const [i, [, value]] of line!.points.entries()) {
      expect(Math.abs(value - 0.5)).toBeLessThan(0.01);
      expect(line!.band![i]![1] - line!.band![i]![0]).toBeCloseTo(0.5, 6);
    }
    expect(smoothed('a', points.slice(0, 10))).toEqual([{ name: 'a', points: points.slice(0, 10) }]);
  });
});

describe('scenes', () => {
  test('say what was matched, and draw it', () => {
    const svg = sceneSvg(sceneOf(sampleOf()));
    tagsOf(svg);
    expect(svg).toContain('<title>1 of 2 objects matched, 1 predictions without a match</title>');
    expect(svg).toContain(
      'object 3: predicted as 3, IoU 0.50; object 8: missed; prediction 4: matches no object',
    );
    expect(svg).toContain('<rect class="box found" x="0" y="0" width="100" height="50"/>');
    expect(svg).toContain('<rect class="box right" x="0" y="0" width="100" height="25"/>');
    expect(svg).toContain('<rect class="box missed" x="100" y="50" width="100" height="50"/>');
    expect(svg).toContain('<rect class="box false" x="120" y="0" width="20" height="25"/>');
    expect(svg).toContain('<line class="link" x1="50" y1="25" x2="50" y2="12.5"/>');
    expect(svg).toMatch(/class="right-text"[^>]*>3 \.50</);
  });

  test('a wrong label has a colour of its own; without labels there is none', () => {
    const of = (label: string): string =>
      sceneSvg(sceneOf(sampleOf({ predictions: [{ label, box: [0, 0, 500, 500] }], matches: [0, -1] })));
    expect(of('7')).toContain('class="box wrong"');
    expect(of('7')).toContain('prediction 7 for object 3, IoU 1.00');
    expect(of('')).toContain('class="box right"');
  });

  test('points, and boxes far outside or not finite', () => {
    const truth = [
      [500, 500],
      [Number.NaN, 0, 1, 1],
      [-1e9, 0, 1e9, 500],
    ].map((box) => ({ label: 'x', box }));
    const svg = sceneSvg(sceneOf(sampleOf({ truth, predictions: [], matches: [-1, -1, -1] })));
    tagsOf(svg);
    expect(svg).toContain('<circle class="box missed" cx="100" cy="50" r="6"/>');
    expect(svg.match(/<rect/g)).toHaveLength(1);
    expect(svg).not.toMatch(/="[^"]*(?:NaN|Infinity|e\+)/);
  });
});

test('the overview is one SVG file', () => {
  const pairs = [0, 1, 2].map(() => ({ before: attacked(), after: sceneOf(sampleOf({ reward: 2.456 })) }));
  const points: Point[] = [
    [0, 10],
    [50, 15],
    [100, 18],
  ];
  const curve = { title: 'AP', x: 'step', y: '%', series: [{ name: 'AP', points }] };
  const svg = overviewSvg({ title: attack, pairs, curve });
  expect(tagsOf(svg).filter((tag) => tag === 'image')).toHaveLength(6);
  expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" viewBox="0 0 [\d.]+ [\d.]+"/);
  expect(svg).toContain('prefers-color-scheme: dark');
  expect(svg).toContain('reward 1.25 → 2.46');
  expect(svg).not.toMatch(/<script|NaN|undefined/);
});

describe('text', () => {
  test('anything is safe between tags and in quotes, and its plain letters stay', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const safe = escaped(text);
        expect(safe.replaceAll(/&(amp|lt|gt|quot|#39);/g, '')).not.toMatch(/[&<>"']/);
        expect(Buffer.from(safe).toString()).toBe(safe);
        expect(safe.replaceAll(/[\t\n\r]/g, '')).not.toMatch(/\p{Cc}/u);
      }),
    );
    expect(escaped('a\tb\nключ 🙂')).toBe('a\tb\nключ 🙂');
    expect(escaped('a\u0007\ud83dz')).toBe('a\ufffd\ufffdz');
  });

  test('numbers in few characters', () => {
    expect([0.18344, 12.3456, 1234.5, 2e-4, -0.5, 0, 1e12].map(figure)).toEqual([
      '0.1834',
      '12.35',
      '1,235',
      '2e-4',
      '−0.5',
      '0',
      '1e12',
    ]);
    expect([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].map(figure)).toEqual([
      'NaN',
      '∞',
      '−∞',
    ]);
  });
});
