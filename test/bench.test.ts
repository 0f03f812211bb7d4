/** The benchmarks' statistics and report, and that each peer has what drives it. Nothing is timed. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { markdown, type Report } from '../bench/harness/report.js';
import { excerpt, timingOf } from '../bench/harness/samples.js';
import { compare, difference, type Row } from '../bench/sweep/compare.js';
import { sweepSvg } from '../bench/sweep/plot.js';
import { tagsOf } from './markup.js';

describe('timingOf', () => {
  test('quantiles are interpolated between sorted samples', () => {
    expect(timingOf([4, 1, 3, 2])).toEqual({
      median: 2.5,
      p99: expect.closeTo(3.97, 10),
      min: 1,
      count: 4,
      samples: [1, 2, 3, 4],
    });
    expect(timingOf([7])).toEqual({ median: 7, p99: 7, min: 7, count: 1, samples: [7] });
  });

  test('of many samples an even excerpt is kept, the first and the last among it', () => {
    const { samples, count } = timingOf(Array.from({ length: 5000 }, (_, i) => i));
    expect(count).toBe(5000);
    expect(samples).toHaveLength(1000);
    expect([samples[0], samples.at(-1)]).toEqual([0, 4999]);
    expect(new Set(samples).size).toBe(1000);
  });
});

test('an excerpt has the first and the last, and of few values all', () => {
  expect(excerpt([5, 6, 7], 10)).toEqual([5, 6, 7]);
  expect(excerpt([0, 1, 2, 3, 4, 5, 6], 3)).toEqual([0, 3, 6]);
  expect(excerpt([4, 5], 1)).toEqual([4]);
  expect(excerpt([], 3)).toEqual([]);
});

describe('the sweep', () => {
  test('builds are compared turn by turn', () => {
    const turns = [
      { before: 2, after: 1 },
      { before: 40, after: 10 }, // of a slow moment
      { before: 3, after: 1 },
    ];
    expect(compare(turns)).toEqual({ before: 3, after: 1, ratio: 3, low: 2, high: 4 });
    expect(compare(turns.slice(0, 2))).toEqual({ before: 21, after: 5.5, ratio: 3, low: 2, high: 4 });
  });

  test('answers may differ by rounding, and no more', () => {
    expect(difference([1, 1e6], [1 + 1e-6, 1e6 + 1])).toBeUndefined();
    expect(difference([1, 2], [1, 3])).toBe('3 at 1, not 2');
    expect(difference([1], [Number.NaN])).toBe('NaN at 0, not 1');
    expect(difference([1], [])).toBe('0 numbers, not 1');
  });

  test('the plot has a panel for each kernel, and what is slower in another colour', () => {
    const row = (kernel: string, size: number, ratio: number): Row => {
      const turn = { before: ratio, after: 1 };
      return { kernel, sizeOf: 'boxes', size, problems: 1, ...compare([turn]) };
    };
    const svg = sweepSvg('A & B', ['note'], [row('IoU', 1, 0.9), row('IoU', 5000, 4), row('OCR', 10, 200)]);
    expect(tagsOf(svg)).toContain('desc');
    expect(svg).toContain('A &amp; B');
    expect(svg.match(/<circle class="f1"/g)).toHaveLength(1);
    expect(svg.match(/<circle class="f0"/g)).toHaveLength(2);
    expect(svg).toContain('<title>5,000: 4 to 1 µs, 4.00 times as fast</title>');
    expect(svg.match(/class="same"/g)).toHaveLength(2);
    expect(svg).not.toMatch(/NaN|Infinity/);
    // One size alone has a place, too.
    expect(sweepSvg('t', [], [row('IoU', 1, 1)])).not.toMatch(/NaN|Infinity/);
  });
});

describe('the report', () => {
  const own = timingOf([2]);
  const report: Report = {
    machine: {
      date: '2026-01-02T03:04:05.678Z',
      cpu: 'a processor',
      hardwareThreads: 2,
      memoryGiB: 8,
      system: 'Linux x64',
      node: 'v20.0.0',
      version: '1.2.3',
      compiler: '12',
      variant: 'avx2',
    },
    load: [0, 1],
    clock: 100,
    peers: { present: { numba: '0.1' }, absent: { edlib: 'not found' } },
    tasks: [
      {
        name: 'iou/small',
        threads: 1,
        own,
        peers: { numba: { ...timingOf([5]), share: 1 } },
        limit: { kind: 'overlaps', milliseconds: 1 },
        failed: {},
      },
      {
        name: 'pipeline/AP',
        threads: 2,
        own,
        peers: { pycocotools: { ...timingOf([4000]), share: 1 / 32 } },
        failed: { other: 'it ended' },
      },
    ],
  };
  const cells = (text: string): string[] =>
    text
      .split('\n')
      .filter((line) => line.startsWith('|'))
      .map((line) => line.replaceAll(/ +/g, ' '));

  test('each kernel has a table of its own, with its peers and limits', () => {
    const text = markdown(report, false);
    expect(cells(text)).toEqual([
      '| | threads | median | p99 | of the limit | numba |',
      expect.stringMatching(/^\|( -+ \|)+$/),
      '| small | 1 | 2 ms | 2 ms | 50 % | 5 ms = 2.5 x |',
      '| | threads | median | p99 | pycocotools |',
      expect.stringMatching(/^\|( -+ \|)+$/),
      '| AP | 2 | 2 ms | 2 ms | 4.00 s = 2000 x (of 32) |',
    ]);
    expect(text).toContain('- not measured: edlib (not found)');
    expect(text).toContain('pipeline/AP, 2 threads: other: it ended');
  });

  test('figures from another day appear where they are wanted', () => {
    const task = { ...report.tasks[0]!, name: 'assignment/4,096 x (10 x 10), costs of IoU' };
    expect(markdown({ ...report, tasks: [task] }, true)).toContain('lapjvs 3.52 ms = 1.8 x');
    expect(markdown({ ...report, tasks: [task] }, false)).not.toContain('lapjvs');
  });
});

test('each peer has a module that drives it', () => {
  const { peers } = JSON.parse(readFileSync('bench/peers/peers.json', 'utf8'));
  for (const { name, language, module } of peers) {
    const extension = language === 'python' ? 'py' : 'ts';
    expect(existsSync(`bench/peers/${module}.${extension}`), name).toBe(true);
  }
});
