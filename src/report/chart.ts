import { escaped, figure, font, minus, px } from './markup.js';

export type Point = readonly [x: number, y: number];

export interface Series {
  name: string;
  /** In the order of x; a point that is not finite leaves a gap. */
  points: readonly Point[];
  /** Around each point: from where to where. */
  band?: readonly (readonly [low: number, high: number])[];
  /** Drawn thin and pale behind the others, and not in the legend. */
  faint?: boolean;
}

export interface Chart {
  title: string;
  /** What the y axis shows and in what unit; small print below the title. */
  y: string;
  /** What the x axis shows. */
  x: string;
  series: readonly Series[];
  /** From where to where the axes go. Default: over all points, y from 0 where that is near. */
  xRange?: readonly [low: number, high: number];
  yRange?: readonly [low: number, high: number];
  /** In units of the picture, which scales. Default 380 x 240. */
  width?: number;
  height?: number;
  /** Attributes of the element, for a place in a larger picture. */
  attributes?: string;
}

/** CSS of the charts; it needs `theme`. */
export const chartStyle = `
.chart { font: 13px ${font}; }
.chart text { fill: var(--quiet); font-variant-numeric: tabular-nums; }
.chart .name { fill: var(--ink); font-size: 15px; font-weight: 600; }
.chart .grid { stroke: var(--line); stroke-width: 1; }
.chart .zero { stroke: var(--quiet); stroke-width: 1; }
.chart .path { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.chart .faint { stroke-width: 1; opacity: 0.35; }
.chart .band { opacity: 0.16; stroke: none; }
.chart .area { opacity: 0.85; stroke: none; }
${[0, 1, 2, 3, 4, 5, 6].map((i) => `.chart .s${i} { stroke: var(--s${i}); } .chart .f${i} { fill: var(--s${i}); }`).join('\n')}`;

/** How many series have a colour of their own. */
export const seriesColours = 7;

/** A line chart as an SVG element, with title and description for those who do not see it. Styles: `chartStyle`. */
export function lineChart(chart: Chart): string {
  const finite = chart.series.flatMap(({ points, band }) => [
    ...points.map(([, y]) => y),
    ...(band?.flat() ?? []),
  ]);
  return draw(chart, chart.yRange ?? extent(finite), ({ x, y }) => {
    let colour = 0;
    const layers = { back: '', front: '' };
    for (const { name, points, band, faint } of chart.series) {
      const index = colour % seriesColours;
      if (!faint) colour++;
      if (band) {
        for (const run of runs(points.map(([at], i): [number, number, number] => [at, ...band[i]!]))) {
          const upper = run.map(([at, , high]) => `${px(x(at))},${px(y(high!))}`);
          const lower = run.map(([at, low]) => `${px(x(at))},${px(y(low!))}`).reverse();
          layers.back += `<polygon class="band f${index}" points="${[...upper, ...lower].join(' ')}"/>`;
        }
      }
      for (const run of runs(points)) {
        const line = run.map(([at, value]) => `${px(x(at!))},${px(y(value!))}`).join(' ');
        layers.front += `<polyline class="path s${index}${faint ? ' faint' : ''}" points="${line}"/>`;
      }
      if (!faint && points.length <= 40) {
        for (const [at, value] of points) {
          if (!Number.isFinite(value)) continue;
          layers.front += `<circle class="f${index}" cx="${px(x(at))}" cy="${px(y(value))}" r="3"><title>${escaped(name)}: ${figure(value)} at ${escaped(chart.x)} ${figure(at)}</title></circle>`;
        }
      }
    }
    return layers.back + layers.front;
  });
}

/** Series stacked on each other, from 0; all have the same x. Styles: `chartStyle`. */
export function areaChart(chart: Chart): string {
  const count = chart.series[0]?.points.length ?? 0;
  const sums = new Float64Array(count);
  const layers = chart.series.map(({ points }) =>
    points.map(([at, value], i): [number, number, number] => {
      const low = sums[i]!;
      sums[i] = low + value;
      return [at, low, sums[i]!];
    }),
  );
  return draw(chart, chart.yRange ?? extent([0, ...sums]), ({ x, y }) =>
    layers
      .map((layer, index) => {
        const upper = layer.map(([at, , high]) => `${px(x(at))},${px(y(high))}`);
        const lower = layer.map(([at, low]) => `${px(x(at))},${px(y(low))}`).reverse();
        return `<polygon class="area f${index % seriesColours}" points="${[...upper, ...lower].join(' ')}"><title>${escaped(chart.series[index]!.name)}</title></polygon>`;
      })
      .join(''),
  );
}

/** Bars from 0, `barWidth` wide in units of x, around the points of the first series. Styles: `chartStyle`. */
export function barChart(chart: Chart, barWidth: number): string {
  const [{ name, points }] = chart.series as [Series];
  const half = barWidth / 2;
  const xRange = [(points[0]?.[0] ?? half) - half, (points.at(-1)?.[0] ?? half) + half] as const;
  const yRange = extent([0, ...points.map(([, value]) => value)]);
  return draw({ xRange, ...chart }, chart.yRange ?? yRange, ({ x, y }) =>
    points
      .map(([at, value]) => {
        const [left, right] = [x(at - half) + 0.5, x(at + half) - 0.5];
        const [top, bottom] = [y(Math.max(0, value)), y(Math.min(0, value))];
        const says = `${name}: ${figure(value)} at ${chart.x} ${figure(at - half)} to ${figure(at + half)}`;
        return `<rect class="f0" x="${px(left)}" y="${px(top)}" width="${px(right - left)}" height="${px(bottom - top)}"><title>${escaped(says)}</title></rect>`;
      })
      .join(''),
  );
}

interface Scales {
  x(value: number): number;
  y(value: number): number;
}

function draw(
  chart: Chart,
  range: readonly [low: number, high: number],
  marks: (scales: Scales) => string,
): string {
  const { width = 380, height = 240 } = chart;
  const { low, high, step } = axisOf(range);
  const named = chart.series.filter(({ faint }) => !faint);
  const yTicks = ticks(low, high, step);
  const xs = chart.series.flatMap(({ points }) => points.map(([x]) => x));
  const [first, last] = chart.xRange ?? extent(xs);
  const xStep = stepOf(first, last, Math.max(2, Math.floor(width / 90)));
  const xTicks = ticks(first, last, xs.every(Number.isInteger) ? Math.max(1, xStep) : xStep);
  const legend = named.length > 1 ? legendOf(named, width) : { rows: 0, svg: '' };
  const top = 48 + 18 * legend.rows;
  const left = 12 + characterWidth * Math.max(...yTicks.labels.map((label) => label.length));
  const right = width - 14;
  const bottom = height - 34;
  const scales: Scales = {
    x: (value) => left + ((value - first) / (last - first || 1)) * (right - left),
    y: (value) => bottom - ((value - low) / (high - low)) * (bottom - top),
  };
  let frame = '';
  yTicks.values.forEach((value, i) => {
    const y = px(scales.y(value));
    frame += `<line class="${value === 0 ? 'zero' : 'grid'}" x1="${px(left)}" x2="${right}" y1="${y}" y2="${y}"/>`;
    frame += `<text x="${px(left - 6)}" y="${y}" dy="0.35em" text-anchor="end">${yTicks.labels[i]}</text>`;
  });
  xTicks.values.forEach((value, i) => {
    frame += `<text x="${px(scales.x(value))}" y="${bottom + 18}" text-anchor="middle">${xTicks.labels[i]}</text>`;
  });
  return [
    `<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" ${chart.attributes ?? ''}>`,
    `<title>${escaped(chart.title)}</title><desc>${escaped(descriptionOf(chart, named))}</desc>`,
    `<text class="name" x="0" y="16">${escaped(chart.title)}</text><text x="0" y="34">${escaped(chart.y)}</text>`,
    legend.svg,
    frame,
    `<text x="${right}" y="${height - 2}" text-anchor="end">${escaped(chart.x)}</text>`,
    marks(scales),
    '</svg>',
  ].join('');
}

const characterWidth = 7.2; // of 13 px digits, about

function legendOf(series: readonly Series[], width: number): { rows: number; svg: string } {
  let x = 0;
  let row = 0;
  let svg = '';
  series.forEach(({ name }, i) => {
    const wide = 18 + characterWidth * name.length;
    if (x > 0 && x + wide > width) {
      x = 0;
      row++;
    }
    const y = 54 + 18 * row;
    svg += `<rect class="f${i % seriesColours}" x="${px(x)}" y="${y - 9}" width="11" height="11" rx="2"/><text x="${px(x + 16)}" y="${y}">${escaped(name)}</text>`;
    x += wide + 10;
  });
  return { rows: row + 1, svg };
}

function descriptionOf(chart: Chart, series: readonly Series[]): string {
  const lines = series.map(({ name, points }) => {
    const finite = points.filter(([, value]) => Number.isFinite(value));
    const [first, last] = [finite[0], finite.at(-1)];
    if (!first || !last) return `${name}: no figures.`;
    return `${name}: from ${figure(first[1])} at ${chart.x} ${figure(first[0])} to ${figure(last[1])} at ${chart.x} ${figure(last[0])}.`;
  });
  return [`${chart.y}, over ${chart.x}.`, ...lines].join(' ');
}

/** The stretches of points that are finite. */
function runs<T extends readonly number[]>(points: readonly T[]): T[][] {
  const found: T[][] = [];
  let open = false;
  for (const point of points) {
    const finite = point.every(Number.isFinite);
    if (finite && open) found.at(-1)!.push(point);
    else if (finite) found.push([point]);
    open = finite;
  }
  return found;
}

interface Axis {
  low: number;
  high: number;
  /** Between ticks. */
  step: number;
}

function extent(values: readonly number[]): [low: number, high: number] {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [0, 1];
}

/** From where to where an axis goes: over all values, from 0 where that is near, and never over nothing. */
function axisOf([low, high]: readonly [low: number, high: number]): Axis {
  if (low > 0 && low < high * 0.5) low = 0;
  if (high < 0 && high > low * 0.5) high = 0;
  const size = Math.max(Math.abs(low), Math.abs(high)) || 1;
  if (high - low < size * 1e-6) {
    low -= size * 0.1;
    high += size * 0.1;
  }
  const step = stepOf(low, high, 5);
  return { low: Math.floor(low / step) * step, high: Math.ceil(high / step) * step, step };
}

/** 1, 2 or 5 times a power of ten, so that there are about `count` steps. */
function stepOf(low: number, high: number, count: number): number {
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const factor = raw / power;
  return power * (factor > 5 ? 10 : factor > 2 ? 5 : factor > 1 ? 2 : 1);
}

function ticks(low: number, high: number, step: number): { values: number[]; labels: string[] } {
  const values: number[] = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) values.push(i * step || 0);
  const largest = Math.max(Math.abs(low), Math.abs(high));
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const label = (value: number): string => {
    if (value === 0) return '0';
    if (largest < 1e-3) return minus(`${Number(value.toPrecision(3)).toExponential().replace('e+', 'e')}`);
    if (largest >= 1e6) return minus(`${Number((value / 1e6).toPrecision(4))}M`);
    if (largest >= 1e4) return minus(`${Number((value / 1e3).toPrecision(4))}k`);
    return minus(value.toFixed(decimals));
  };
  return { values, labels: values.map(label) };
}
