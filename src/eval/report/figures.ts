import type { Problem } from '../../metrics/problems.js';
import { type Chart, lineChart, type Point } from '../../report/chart.js';
import { escaped, figure, shortened } from '../../report/markup.js';
import { chartCard } from '../../report/page.js';
import { type EvalTask, type Evaluation, figureRows } from '../evaluation.js';

/** Of parts of a file. */
const mostSets = 30;

const units: Record<EvalTask, readonly [one: string, many: string]> = {
  detection: ['image', 'images'],
  grounding: ['question', 'questions'],
  counting: ['question', 'questions'],
  ocr: ['text', 'texts'],
};

/** What an evaluation counts. */
export const unitOf = (task: EvalTask, count: number): string => units[task][count === 1 ? 0 : 1];

/** What in the files could not be used; empty where there is nothing. */
export function problemSection(problems: readonly Problem[]): string {
  if (problems.length === 0) return '';
  const items = problems.map(({ kind, count, examples }) => {
    const named = examples.map((example) => escaped(shortened(example, 300)));
    if (count > examples.length) named.push(`and ${figure(count - examples.length)} more`);
    return `<li><b>${escaped(shortened(kind, 200))}: ${figure(count)}</b><details><summary>which</summary><ul>${named.map((name) => `<li>${name}</li>`).join('')}</ul></details></li>`;
  });
  return `<section class="card problems"><h2>What could not be used</h2><ul>${items.join('')}</ul></section>`;
}

/** Figures as the papers print them, of all and of each set; precision over recall; notes. */
export function figureSection({ figures, notes, curves = [], sets = [], count, task }: Evaluation): string {
  const shown = sets.slice(0, mostSets);
  const left = sets.length - shown.length;
  const columns = [{ name: 'all', count, figures }, ...shown];
  const head = columns.map(
    (set) =>
      `<th scope="col">${escaped(shortened(set.name, 40))}<small>${figure(set.count)} ${unitOf(task, set.count)}</small></th>`,
  );
  const texts = columns.map((set) => new Map(figureRows(set.figures).map(({ name, text }) => [name, text])));
  const rows = figureRows(figures).map(({ name, label }) => {
    const meaning = task === 'detection' ? meanings[name] : undefined;
    const small = meaning === undefined ? '' : ` <small>${meaning}</small>`;
    const cells = texts.map((of) => `<td>${escaped(of.get(name) ?? '')}</td>`);
    return `<tr><th scope="row">${escaped(shortened(label, 60))}${small}</th>${cells.join('')}</tr>`;
  });
  const header = sets.length === 0 ? '' : `<thead><tr><td></td>${head.join('')}</tr></thead>`;
  const more = left > 0 ? [`${figure(left)} more sets are not shown.`] : [];
  const items = [...notes, ...more].map((note) => `<li>${escaped(shortened(note, 1000))}</li>`);
  const list = items.length === 0 ? '' : `<div class="notes"><h3>Notes</h3><ul>${items.join('')}</ul></div>`;
  return `<section><h2>Figures</h2><p class="quiet">Shares are in percent.</p><div class="beside">
<div class="scroll"><table>${header}<tbody>${rows.join('')}</tbody></table></div>${curveCard(curves)}</div>${list}</section>`;
}

const meanings: Readonly<Record<string, string>> = {
  AP: 'mean over IoU 0.5, 0.55 .. 0.95',
  AP50: 'at IoU 0.5',
  AP75: 'at IoU 0.75',
  APsmall: 'objects below 32² pixels',
  APmedium: 'objects of 32² to 96² pixels',
  APlarge: 'objects above 96² pixels',
  AR1: 'recall with 1 detection per image and category',
  AR10: 'with 10 detections',
  AR100: 'with 100 detections',
};

function curveCard(curves: NonNullable<Evaluation['curves']>): string {
  if (curves.length === 0) return '';
  const chart: Chart = {
    title: 'Precision over recall',
    y: 'precision, %; mean over categories',
    x: 'recall, %',
    yRange: [0, 100],
    series: curves.map(({ name, precision }) => ({
      name: shortened(name, 40),
      // Below 0: not defined, as there is no object to find.
      points: [...precision].map((value, i): Point => [i, value < 0 ? Number.NaN : 100 * value]),
    })),
  };
  return chartCard(lineChart(chart), chart);
}
