import { type Chart, chartStyle, lineChart } from '../../report/chart.js';
import { drawingStyle, legend } from '../../report/drawing.js';
import { escaped, font, px, roughly, theme } from '../../report/markup.js';
import { type Scene, sceneSvg } from './scene.js';

/** What an overview shows. */
export interface Overview {
  title: string;
  /** The same examples before and after training; three or four fit. */
  pairs: readonly { before: Scene; after: Scene }[];
  /** What was learned: its place gives it its size. */
  curve: Omit<Chart, 'width' | 'height' | 'attributes'>;
}

const style = `
.back { fill: var(--paper); stroke: var(--line); }
.words { font: 14px ${font}; fill: var(--quiet); }
.words.title { font-size: 20px; font-weight: 600; fill: var(--ink); }
.words.row { font-weight: 600; fill: var(--ink); }
.key { fill: #000; }
.keyline line { stroke-width: 3; }`;

/** A run in one picture: scenes before and after, and a learning curve. An SVG file of its own, light and dark. */
export function overviewSvg({ title, pairs, curve }: Overview): string {
  const margin = 24;
  const gap = 12;
  const side = 150;
  const rowLabel = 62;
  const tallest = Math.max(
    side / 3,
    ...pairs.flatMap(({ before, after }) =>
      [before, after].map((scene) => (side * scene.height) / scene.width),
    ),
  );
  const left = margin + rowLabel;
  const top = 64;
  const second = top + tallest + gap;
  const scenesEnd = left + pairs.length * (side + gap) - gap;
  const chartWidth = 360;
  const chartLeft = scenesEnd + 32;
  const width = chartLeft + chartWidth + margin;
  const captions = second + tallest + 20;
  const height = captions + 50;
  const place = (x: number, y: number, w: number, h: number): string =>
    `x="${px(x)}" y="${px(y)}" width="${px(w)}" height="${px(h)}"`;
  const words = (x: number, y: number, text: string, rest = 'class="words"'): string =>
    `<text ${rest} x="${px(x)}" y="${px(y)}">${escaped(text)}</text>`;

  let svg = words(margin, 38, title, 'class="words title"');
  svg += words(margin, top + tallest / 2 + 5, 'before', 'class="words row"');
  svg += words(margin, second + tallest / 2 + 5, 'after', 'class="words row"');
  pairs.forEach(({ before, after }, i) => {
    const x = left + i * (side + gap);
    for (const [scene, y] of [
      [before, top],
      [after, second],
    ] as const) {
      svg += sceneSvg(scene, {
        width: side,
        figures: false,
        attributes: place(x, y, side, (side * scene.height) / scene.width),
      });
    }
    const rewards = `reward ${roughly(before.reward)} → ${roughly(after.reward)}`;
    svg += words(x + side / 2, captions, rewards, 'class="words" text-anchor="middle"');
  });
  let x = left;
  for (const [fate, meaning] of legend) {
    svg += `<svg class="scene keyline" ${place(x, height - 27, 26, 10)}><rect class="key" width="26" height="10" rx="2"/><line class="${fate}" x1="2" x2="24" y1="5" y2="5"/></svg>`;
    svg += words(x + 32, height - 17, meaning);
    x += 32 + 7.5 * meaning.length + 18;
  }
  const chartHeight = captions - top;
  const chart = {
    ...curve,
    width: chartWidth,
    height: Math.round(chartHeight),
    attributes: place(chartLeft, top, chartWidth, Math.round(chartHeight)),
  };
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${px(width)} ${px(height)}" width="${px(width)}" height="${px(height)}" role="img">
<title>${escaped(title)}</title>
<style>${theme}${style}${chartStyle}${drawingStyle}</style>
<rect class="back" x="0.5" y="0.5" width="${px(width - 1)}" height="${px(height - 1)}" rx="12"/>
${svg}
${lineChart(chart)}
</svg>
`;
}
