import { areaChart, type Chart, lineChart, type Point, type Series } from '../../report/chart.js';
import { escaped, figure } from '../../report/markup.js';
import { chartCard, legendHtml, pageHtml } from '../../report/page.js';
import type { SampleSet, StepLine } from './folder.js';
import { type Scene, sceneSvg, summaryOf } from './scene.js';

/** What a report tells about. */
export interface ReportInput {
  title: string;
  /** Of the package that made the run. */
  version: string;
  config: unknown;
  lines: readonly StepLine[];
  samples: readonly SampleSet[];
}

/** A run as one HTML page that needs nothing else (`pageHtml`). What models wrote is shown as text. */
export function reportHtml({ title, version, config, lines, samples }: ReportInput): string {
  const metrics = seriesOf(lines.map(({ step, metrics: values }) => [step, values]));
  const timing = seriesOf(lines.map(({ step, timing: values }) => [step, values]));
  const last = lines.at(-1)?.step;
  const sections = [
    evaluations(metrics),
    scenes(samples),
    curves(metrics, timing),
    times(timing),
    notes(lines),
    `<section><h2>Configuration</h2><details><summary>all settings</summary><pre>${escaped(JSON.stringify(config, null, 2))}</pre></details></section>`,
  ];
  const progress =
    last === undefined ? 'No step has been logged yet.' : `${figure(last)} ${last === 1 ? 'step' : 'steps'}`;
  return pageHtml({ title, version, head: `<p>${progress}</p>\n${settings(config)}`, sections });
}

type Metrics = Map<string, Point[]>;

/** The points of each metric. */
function seriesOf(lines: readonly (readonly [step: number, values: Record<string, number>])[]): Metrics {
  const metrics: Metrics = new Map();
  for (const [step, values] of lines) {
    for (const [name, value] of Object.entries(values)) {
      const points = metrics.get(name);
      if (points) points.push([step, value]);
      else metrics.set(name, [[step, value]]);
    }
  }
  return metrics;
}

/** The settings that are single values, or lists of what has a name: what a reader wants to know first. */
function settings(config: unknown): string {
  const items = Object.entries(config as object).flatMap(([name, value]) => {
    const list: unknown[] = Array.isArray(value) ? value : [value];
    const texts = list.map((item) =>
      typeof item === 'object' ? (item as { name?: unknown } | null)?.name : item,
    );
    if (texts.length === 0 || !texts.every((text) => ['string', 'number', 'boolean'].includes(typeof text)))
      return [];
    return [`<div><dt>${escaped(name)}</dt> <dd>${escaped(texts.join(', '))}</dd></div>`];
  });
  return items.length === 0 ? '' : `<dl class="settings">${items.join('')}</dl>`;
}

// Before and after

function evaluations(metrics: Metrics): string {
  const rows = [...metrics].flatMap(([name, points]) => {
    const [first, last] = [points[0]!, points.at(-1)!];
    const found = evaluation(name);
    if (!found || first === last) return [];
    const { title, unit, how } = found;
    return [{ name: title, unit: [unit, how].filter((part) => part !== '').join('; '), first, last }];
  });
  if (rows.length === 0) return '';
  const body = rows.map(({ name, unit, first: [, before], last: [, after] }) => {
    const change = after - before;
    const ratio = before > 0 && after > 0 ? `× ${(after / before).toFixed(2)}` : '';
    return `<tr><th scope="row">${escaped(name)} <small>${escaped(unit)}</small></th><td>${figure(before)}</td><td><b>${figure(after)}</b></td><td>${change > 0 ? '+' : ''}${figure(Number(change.toPrecision(3)))}</td><td>${ratio}</td></tr>`;
  });
  const [{ first, last }] = rows as [(typeof rows)[0]];
  return `<section><h2>Before and after</h2><div class="scroll"><table>
<thead><tr><th scope="col">held-out examples</th><th scope="col">before<small>step ${first[0]}</small></th><th scope="col">after<small>step ${last[0]}</small></th><th scope="col">change</th><th scope="col">ratio</th></tr></thead>
<tbody>${body.join('')}</tbody></table></div></section>`;
}

/** The same examples before and after: the sets of these names, else the first and the last set of one name. */
export function beforeAndAfter(
  samples: readonly SampleSet[],
): { before: SampleSet; after: SampleSet | undefined } | undefined {
  const before = samples.find(({ name }) => name === 'before') ?? samples[0];
  if (!before) return undefined;
  const later = (set: SampleSet): boolean => set !== before && set.step >= before.step;
  const after =
    samples.findLast((set) => set.name === 'after' && later(set)) ??
    samples.findLast((set) => set.name === before.name && later(set));
  return { before, after };
}

function scenes(samples: readonly SampleSet[]): string {
  const found = beforeAndAfter(samples);
  if (!found) return '';
  const { before, after } = found;
  const cards = before.scenes.map((scene, i) => {
    const other = after?.scenes[i];
    return `<article class="card"><p class="prompt">${escaped(scene.prompt)}</p><div class="pair">${shown(scene, `step ${before.step}`)}${other ? shown(other, `step ${after.step}`) : ''}</div></article>`;
  });
  return `<section><h2>Scenes${after ? ', before and after' : ''}</h2>
${legendHtml()}
<div class="grid">${cards.join('\n')}</div></section>`;
}

function shown(scene: Scene, when: string): string {
  return `<figure>${sceneSvg(scene)}<figcaption><b>${when}</b> · ${escaped(summaryOf(scene))}<details${scene.matches.length === 0 ? ' open' : ''}><summary>completion</summary><code>${escaped(scene.completion)}</code></details></figcaption></figure>`;
}

// Curves

/** What is known of metrics by name: how the chart is called, and what its axis shows. Others are shown by their name. */
const known: Record<string, readonly [title: string, unit: string]> = {
  'reward/mean': ['Reward', 'mean of a step; band: ± standard deviation'],
  loss: ['Loss', 'mean of a step'],
  'loss/tokens': ['Loss of the tokens', 'nats per token'],
  'loss/dense': ['Loss of the patches', 'nats per patch'],
  kl: ['KL from the reference policy', 'nats per token'],
  'kl/old': ['KL from the policy that sampled', 'nats per token'],
  'ratio/mean': ['Ratio to the policy that sampled', 'mean over tokens'],
  entropy: ['Entropy', 'nats per token'],
  gradient_norm: ['Gradient norm', 'before clipping'],
  learning_rate: ['Learning rate', 'of the step'],
  'completion/length_mean': ['Length of completions', 'tokens, mean'],
  'completion/ended_share': ['Completions that end', 'share, within the limit of tokens'],
  'group/zero_variance_share': ['Groups that teach nothing', 'share whose rewards are all equal'],
  'group/reward_std': ['Spread of rewards in a group', 'standard deviation, mean over groups'],
  'group/kept': ['Groups trained on', 'prompts per step'],
  'advantage/std': ['Advantages', 'standard deviation'],
  tokens_per_second: ['Speed', 'tokens per second'],
};

/** The same for evaluations, by the last part of their names. */
const evaluated: Record<string, readonly [title: string, unit: string]> = {
  reward: ['Reward', 'mean'],
  ap: ['AP', 'COCO, 0 to 100'],
  ap50: ['AP at IoU 0.5', 'COCO, 0 to 100'],
  ap75: ['AP at IoU 0.75', 'COCO, 0 to 100'],
  exact_count: ['Exact count', 'percent of the images'],
  mae: ['Error of the count', 'mean absolute error'],
  mean_iou: ['IoU', 'mean, percent'],
  'acc@0.5': ['Accuracy at IoU 0.5', 'percent'],
  edit_distance: ['Edit distance', 'share of the text; lower is better'],
  exact: ['Exact text', 'percent'],
};

/** A metric `eval/...`, of the likeliest tokens, or `eval_t1/...`, of tokens drawn at temperature 1, for people. */
function evaluation(name: string): { title: string; unit: string; how: string } | undefined {
  const [, temperature, metric] = /^eval(?:_t([\d.]+))?\/(.+)$/.exec(name) ?? [];
  if (metric === undefined) return undefined;
  const parts = metric.split('/');
  const last = parts.pop()!;
  const [title, unit] = evaluated[last] ?? [readable(last), ''];
  return {
    title: parts.length > 0 ? `${title} (${parts.join(' ')})` : title,
    unit,
    how: temperature === undefined ? '' : `drawn at temperature ${temperature}`,
  };
}

/** Metrics that share a chart: by the start of their names. */
const shared = [
  { start: 'reward/', title: 'Reward by task', unit: 'mean of a step' },
  { start: 'term/', title: 'Terms of the reward', unit: 'mean of a step, before their weights' },
  { start: 'clip/', title: 'Clipped', unit: 'share of tokens' },
];

function curves(metrics: Metrics, timing: Metrics): string {
  const rest = new Map(metrics);
  const take = (name: string): Point[] | undefined => {
    const points = rest.get(name);
    rest.delete(name);
    return points;
  };
  const charts: Chart[] = [];
  const reward = take('reward/mean');
  const std = take('reward/std');
  const [rewardTitle, rewardUnit] = known['reward/mean']!;
  if (reward) {
    charts.push({ title: rewardTitle, y: rewardUnit, x: 'step', series: smoothed('mean', reward, std) });
  }
  for (const { start, title, unit } of shared) {
    const names = [...rest.keys()].filter((name) => name.startsWith(start));
    if (names.length === 0) continue;
    const series = names.flatMap((name) => smoothed(readable(name.slice(start.length)), take(name)!));
    charts.push({ title, y: unit, x: 'step', series });
  }
  const evaluations = new Map<string, { y: string; series: Series[] }>();
  for (const [name, points] of metrics) {
    const found = evaluation(name);
    if (!found) continue;
    rest.delete(name);
    const { title, unit, how } = found;
    const y = ['held-out examples', unit].filter((part) => part !== '').join(', ');
    const one = { name: how || 'likeliest tokens', points };
    const same = evaluations.get(title);
    if (same) same.series.push(one);
    else evaluations.set(title, { y, series: [one] });
  }
  for (const [title, { y, series }] of evaluations) charts.push({ title, y, x: 'step', series });
  const speed = timing.get('tokens_per_second');
  if (speed) rest.set('tokens_per_second', speed);
  for (const [name, points] of rest) {
    const [title, y] = known[name] ?? [readable(name), ''];
    charts.push({ title, y, x: 'step', series: smoothed(title, points) });
  }
  if (charts.length === 0) return '';
  const cards = charts.map((chart) => chartCard(lineChart(chart), chart));
  return `<section><h2>Curves</h2><p class="quiet">Where there are many steps, lines are means over neighbouring steps, and single steps are pale.</p><div class="grid">${cards.join('\n')}</div></section>`;
}

const readable = (name: string): string => name.replaceAll(/[/_]+/g, ' ');

/** More points than that become means over neighbouring ones. */
const mostPoints = 300;

/** A metric of every step: a moving average over single steps, where there are many; and the deviation around it. */
export function smoothed(name: string, points: readonly Point[], deviations?: readonly Point[]): Series[] {
  const deviationAt = new Map(deviations);
  const reach = Math.floor(points.length / 40);
  const lines = points.map(([step], i): [step: number, mean: number, deviation: number] => {
    const near = points.slice(Math.max(0, i - reach), i + reach + 1);
    return [
      step,
      mean(near.map(([, value]) => value)),
      mean(near.map(([at]) => deviationAt.get(at) ?? Number.NaN)),
    ];
  });
  const thin = thinned(lines);
  const line: Series = {
    name,
    points: thin.map(([step, value]) => [step, value]),
    ...(deviations && {
      band: thin.map(([, value, deviation]) => [value! - deviation!, value! + deviation!] as const),
    }),
  };
  if (reach === 0) return [line];
  return [{ name, points: thinned(points).map(([step, value]) => [step!, value!]), faint: true }, line];
}

/** Means of consecutive points, so that few are left. */
function thinned<T extends readonly number[]>(points: readonly T[]): T[] {
  const size = Math.ceil(points.length / mostPoints);
  if (size <= 1) return [...points];
  return Array.from({ length: Math.ceil(points.length / size) }, (_, i) => {
    const group = points.slice(i * size, (i + 1) * size);
    return group[0]!.map((__, k) => mean(group.map((point) => point[k]!))) as unknown as T;
  });
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

// Time

function times(timing: Metrics): string {
  const parts = [...timing].filter(([name]) => name.startsWith('time/') && name !== 'time/step');
  if (parts.length === 0) return '';
  const steps = [...new Set(parts.flatMap(([, points]) => points.map(([step]) => step)))].sort(
    (a, b) => a - b,
  );
  const named = parts.map(([name, points]) => {
    const at = new Map(points);
    return { name: readable(name.slice('time/'.length)), seconds: steps.map((step) => at.get(step) ?? 0) };
  });
  const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
  const usedIn = (seconds: readonly number[]): number => seconds.filter((value) => value > 0).length;
  const whole = total(named.flatMap(({ seconds }) => seconds));
  const rows = named.map(({ name, seconds }) => {
    const sum = total(seconds);
    return `<tr><th scope="row">${escaped(name)}</th><td>${((100 * sum) / whole).toFixed(1)} %</td><td>${figure((1000 * sum) / Math.max(1, usedIn(seconds)))}</td><td>${figure(sum)}</td></tr>`;
  });
  const chart: Chart = {
    title: 'Where the time goes',
    y: 'seconds per step',
    x: 'step',
    // What happens now and then would only be spikes.
    series: named
      .filter(({ seconds }) => 2 * usedIn(seconds) >= steps.length)
      .map(({ name, seconds }) => ({
        name,
        points: thinned(steps.map((step, i) => [step, seconds[i]!] as const)),
      })),
  };
  return `<section><h2>Time</h2><div class="beside">${chartCard(areaChart(chart), chart)}<div class="scroll"><table>
<thead><tr><th scope="col">part</th><th scope="col">share</th><th scope="col">ms<small>per step that has it</small></th><th scope="col">s<small>in all</small></th></tr></thead>
<tbody>${rows.join('')}</tbody></table></div></div></section>`;
}

function notes(lines: readonly StepLine[]): string {
  const items = lines.flatMap(({ step, notes: texts = [] }) =>
    texts.map((text) => `<li><b>step ${step}</b> ${escaped(text)}</li>`),
  );
  return items.length === 0 ? '' : `<section><h2>Notes</h2><ul>${items.join('')}</ul></section>`;
}
