import { chartStyle } from '../../src/report/chart.js';
import { escaped, figure, px, theme } from '../../src/report/markup.js';
import { type Row, slower } from './compare.js';

const panel = { width: 300, height: 190, left: 40, right: 12, top: 44, bottom: 30 };
const margin = 20;
const columns = 3;

const style = `
.back { fill: var(--paper); stroke: var(--line); }
.chart .head { font-size: 20px; font-weight: 600; fill: var(--ink); }
.chart .same { stroke: var(--ink); stroke-width: 1.5; }
.chart .spread { stroke-width: 2; opacity: 0.4; }`;

/** 1, 2 and 5 times powers of ten within the range. */
function logTicks(low: number, high: number, factors: readonly number[]): number[] {
  const found: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    for (const factor of factors) {
      const value = Number((factor * 10 ** power).toPrecision(1));
      if (value >= low && value <= high) found.push(value);
    }
  return found;
}

/** From `low` to `high` on a logarithmic axis, to places from `from` to `to`. */
const logScale =
  (low: number, high: number, from: number, to: number) =>
  (value: number): number =>
    from + (Math.log(value / low) / Math.log(high / low)) * (to - from);

/** One kernel: how many times as fast as before over its sizes. What is slower stands out. */
function panelSvg(
  rows: readonly Row[],
  range: readonly [number, number],
  sizes: readonly [number, number],
): string {
  const { width, height, left, right, top, bottom } = panel;
  const x = logScale(...sizes, left + 6, width - right - 6);
  const y = logScale(...range, height - bottom, top);
  const { kernel, sizeOf } = rows[0]!;
  let svg = `<text class="name" x="0" y="16">${escaped(kernel)}</text><text x="0" y="33">${escaped(sizeOf)}</text>`;
  for (const value of logTicks(...range, [1, 2, 5])) {
    const at = px(y(value));
    svg += `<line class="${value === 1 ? 'same' : 'grid'}" x1="${left}" x2="${width - right}" y1="${at}" y2="${at}"/>`;
    svg += `<text x="${left - 6}" y="${at}" dy="0.35em" text-anchor="end">${value}</text>`;
  }
  for (const value of logTicks(...sizes, [1]))
    svg += `<text x="${px(x(value))}" y="${height - bottom + 18}" text-anchor="middle">${figure(value)}</text>`;
  for (const { size, before, after, ratio, low, high } of rows) {
    const colour = ratio < slower ? 1 : 0;
    const [at, least, most] = [x(size), y(Math.max(low, range[0])), y(Math.min(high, range[1]))].map(px);
    const says = `${figure(size)}: ${figure(before)} to ${figure(after)} µs, ${ratio.toFixed(2)} times as fast`;
    svg += `<g><title>${escaped(says)}</title>`;
    svg += `<line class="spread s${colour}" x1="${at}" x2="${at}" y1="${least}" y2="${most}"/>`;
    svg += `<circle class="f${colour}" cx="${at}" cy="${px(y(ratio))}" r="3"/></g>`;
  }
  return svg;
}

/** A sweep as an SVG file of its own, light and dark: a panel for each kernel, all with the same axes. */
export function sweepSvg(title: string, notes: readonly string[], rows: readonly Row[]): string {
  const kernels = [...new Set(rows.map(({ kernel }) => kernel))];
  const ratios = rows.map(({ ratio }) => ratio);
  const range = [Math.min(0.5, ...ratios) / 1.05, Math.max(2, ...ratios) * 1.05] as const;
  const ofSize = rows.map(({ size }) => size);
  const sizes = [Math.min(...ofSize), Math.max(Math.min(...ofSize) + 1, ...ofSize)] as const;
  const head = 48 + 20 * notes.length;
  const width = 2 * margin + columns * panel.width + (columns - 1) * margin;
  const height = head + Math.ceil(kernels.length / columns) * (panel.height + margin) + margin;
  const panels = kernels.map((kernel, i) => {
    const left = margin + (i % columns) * (panel.width + margin);
    const top = head + Math.floor(i / columns) * (panel.height + margin);
    const own = rows.filter((row) => row.kernel === kernel);
    return `<g transform="translate(${left} ${top})">${panelSvg(own, range, sizes)}</g>`;
  });
  const words = notes.map((note, i) => `<text x="${margin}" y="${60 + 20 * i}">${escaped(note)}</text>`);
  return `<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>${escaped(title)}</title><desc>${escaped(notes.join(' '))}</desc>
<style>${theme}${chartStyle}${style}</style>
<rect class="back" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="12"/>
<text class="head" x="${margin}" y="36">${escaped(title)}</text>
${words.join('\n')}
${panels.join('\n')}
</svg>
`;
}
