import { barChart, type Chart, lineChart, type Point } from '../../report/chart.js';
import { escaped, figure, shortened } from '../../report/markup.js';
import { chartCard } from '../../report/page.js';
import type { CategoryFigures, EvalTask, EvaluatedItem } from '../evaluation.js';

/** Categories that are seen at once, and in all. */
const openCategories = 100;
const mostCategories = 2000;

/** Bars of AP by category, the highest first, as a table. */
export function categorySection(categories: readonly CategoryFigures[]): string {
  if (categories.length === 0) return '';
  const sorted = [...categories].sort((a, b) => b.AP - a.AP);
  const folded = sorted.slice(openCategories, mostCategories);
  const left = sorted.length - mostCategories;
  const more =
    folded.length === 0
      ? ''
      : `<details><summary>${figure(folded.length)} more, with lower AP</summary>${categoryTable(folded)}</details>`;
  const rest =
    left <= 0 ? '' : `<p class="quiet">${figure(left)} more, with the lowest AP, are not shown.</p>`;
  return `<section><h2>Categories by AP</h2>${categoryTable(sorted.slice(0, openCategories))}${more}${rest}</section>`;
}

function categoryTable(categories: readonly CategoryFigures[]): string {
  const rows = categories.map(({ name, objects, detections, AP, AP50, AR100 }) => {
    const text = escaped(shortened(name, 60));
    const width = Math.min(100, Math.max(0, 100 * AP)).toFixed(1);
    const cells = [percent(AP), percent(AP50), percent(AR100), figure(objects), figure(detections)];
    return `<tr><th scope="row" title="${text}">${text}</th><td class="bar"><span style="width:${width}%"></span></td>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`;
  });
  const heads = ['AP', 'AP50', 'AR100', 'objects', 'detections'].map(
    (name) => `<th scope="col">${name}</th>`,
  );
  return `<div class="scroll"><table class="categories"><thead><tr><th scope="col">category</th><td></td>${heads.join('')}</tr></thead><tbody>${rows.join('')}</tbody></table></div>`;
}

/** COCO's -1 stands for a figure that there is not. */
const percent = (share: number): string => (share >= 0 ? (100 * share).toFixed(1) : '–');

/** How the items fared, all of them; empty for detection, whose figures are not means over images. */
export function distributionSection(task: EvalTask, items: readonly EvaluatedItem[]): string {
  if (items.length === 0 || task === 'detection') return '';
  if (task === 'grounding') return iouSection(items.map(({ score }) => score));
  if (task === 'counting') return countSection(items.flatMap(({ counts }) => counts ?? []));
  const title = 'Normalised edit distance';
  const values = items.map(({ score }) => 1 - score);
  const card = histogram({ title, y: 'texts; at 0 they are equal', x: 'edit distance / length', values });
  return `<section><h2>Edit distance</h2><div class="grid">${card}</div></section>`;
}

function iouSection(ious: readonly number[]): string {
  const points = Array.from({ length: 21 }, (_, i): Point => {
    const reached = ious.filter((iou) => reaches(iou, i / 20)).length;
    return [i / 20, (100 * reached) / ious.length];
  });
  const chart: Chart = {
    title: 'Answers at or above an IoU',
    y: '% of the questions',
    x: 'IoU',
    yRange: [0, 100],
    series: [{ name: 'answers', points }],
  };
  const bars = histogram({ title: 'IoU of the answers', y: 'questions', x: 'IoU', values: ious });
  return `<section><h2>Overlap</h2><div class="grid">${chartCard(lineChart(chart), chart)}${bars}</div></section>`;
}

/** Compared in single precision, that of overlaps: an IoU of 0.7 reaches 0.7. */
const reaches = (value: number, threshold: number): boolean => Math.fround(value) >= Math.fround(threshold);

/** Values from 0 to 1 in twenty bins; 1 is in the last of them. */
function histogram({
  values,
  ...texts
}: Pick<Chart, 'title' | 'y' | 'x'> & { values: readonly number[] }): string {
  const bins = 20;
  const counts = new Array<number>(bins).fill(0);
  for (const value of values) {
    let bin = 0;
    while (bin + 1 < bins && reaches(value, (bin + 1) / bins)) bin++;
    counts[bin]!++;
  }
  const chart: Chart = {
    ...texts,
    yRange: [0, Math.max(5, ...counts)],
    series: [{ name: texts.y, points: counts.map((count, i): Point => [(i + 0.5) / bins, count]) }],
  };
  return chartCard(barChart(chart, 1 / bins), chart);
}

type Counts = NonNullable<EvaluatedItem['counts']>;

/** True counts against predicted ones, and the errors by true count. */
function countSection(all: readonly Counts[]): string {
  if (all.length === 0) return '';
  const most = largest(all.map(({ truth }) => truth));
  const predicted = largest(all.map(({ prediction }) => prediction ?? 0));
  // A model may well count to thousands: what is far above the truth shares a column.
  const last = Math.max(most, Math.min(predicted, 2 * most, most + 10));
  const size = binSize(last);
  const binOf = (count: number): number => Math.floor(count / size);
  const binName = (bin: number): string =>
    size === 1 ? String(bin) : `${figure(bin * size)}–${figure((bin + 1) * size - 1)}`;
  const bins = binOf(last) + 1;
  const columns = Array.from({ length: bins }, (_, bin) => ({ name: binName(bin), bin }));
  if (binOf(predicted) >= bins) columns.push({ name: 'more', bin: bins });
  if (all.some(({ prediction }) => prediction === null)) columns.push({ name: 'no answer', bin: -1 });
  const columnOf = ({ prediction }: Counts): number =>
    prediction === null ? -1 : Math.min(bins, binOf(prediction));

  const errors: { size: Point[]; bias: Point[] } = { size: [], bias: [] };
  const rows = Array.from({ length: binOf(most) + 1 }, (_, bin) => {
    const here = all.filter(({ truth }) => binOf(truth) === bin);
    if (here.length === 0) return '';
    const differences = here.map(({ truth, prediction }) => (prediction ?? 0) - truth);
    const exact = here.filter(({ truth, prediction }) => truth === prediction).length;
    const [error, bias] = [mean(differences.map(Math.abs)), mean(differences)];
    errors.size.push([bin * size, error]);
    errors.bias.push([bin * size, bias]);
    const cells = columns.map((column) => {
      const count = here.filter((counts) => columnOf(counts) === column.bin).length;
      const share = (count / here.length).toFixed(3);
      return `<td class="cell${column.bin === bin ? ' exact' : ''}" style="--share:${share}">${count === 0 ? '' : figure(count)}</td>`;
    });
    return `<tr><th scope="row">${binName(bin)}</th>${cells.join('')}<td class="apart">${figure(here.length)}</td><td>${percent(exact / here.length)}</td><td>${error.toFixed(2)}</td><td>${signed(bias)}</td></tr>`;
  });
  const heads = [
    '<th scope="col">true</th>',
    ...columns.map(({ name }) => `<th scope="col">${name}</th>`),
    '<th scope="col" class="apart">questions</th><th scope="col">exact %</th><th scope="col">mean |error|</th><th scope="col">mean error</th>',
  ];
  const chart: Chart = {
    title: 'Error by true count',
    y: 'objects; below 0: too few',
    x: size === 1 ? 'true count' : `true count, from`,
    series: [
      { name: 'mean |error|', points: errors.size },
      { name: 'mean error', points: errors.bias },
    ],
  };
  return `<section><h2>Counts</h2><p class="quiet">Rows: true counts. Columns: predicted ones, shaded by their share of the row; exact counts are framed. In the errors no answer counts as 0 objects.</p>
<div class="scroll"><table class="counts"><thead><tr>${heads.join('')}</tr></thead><tbody>${rows.join('')}</tbody></table></div>
<div class="grid">${chartCard(lineChart(chart), chart)}</div></section>`;
}

/** Of the bins of counts: 1, 2 or 5 times a power of ten, so that there are at most 16 from 0 to `last`. */
function binSize(last: number): number {
  for (let power = 1; ; power *= 10) {
    for (const size of [power, 2 * power, 5 * power]) if (last / size < 16) return size;
  }
}

const largest = (values: readonly number[]): number =>
  values.reduce((high, value) => Math.max(high, value), 0);

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

const signed = (value: number): string =>
  `${value > 0 ? '+' : value < 0 ? '−' : ''}${Math.abs(value).toFixed(2)}`;
