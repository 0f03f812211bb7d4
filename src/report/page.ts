import { type Chart, chartStyle } from './chart.js';
import { drawingStyle, type Fate, legend } from './drawing.js';
import { escaped, figure, font, theme } from './markup.js';

/** What a page consists of; HTML, but for the title and the version, which are texts. */
export interface Page {
  title: string;
  /** What stands below the title. */
  head: string;
  sections: readonly string[];
  /** Of the package. */
  version: string;
  /** CSS beside that of every page. */
  style?: string;
}

/**
 * One HTML page that needs nothing else: no network, no script. It forbids itself scripts and everything from elsewhere.
 */
export function pageHtml({ title, head, sections, version, style = '' }: Page): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>${escaped(title)}</title>
<style>${theme}${pageStyle}${chartStyle}${drawingStyle}${style}</style>
</head>
<body>
<header><h1>${escaped(title)}</h1>
${head}
</header>
<main>
${sections.filter((section) => section !== '').join('\n')}
</main>
<footer>perception-r1 ${escaped(version)}</footer>
</body>
</html>
`;
}

const pageStyle = `
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 24px 16px 48px; max-width: 1120px; background: var(--paper); color: var(--ink);
  font: 16px/1.5 ${font}; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 40px 0 12px; }
header p, footer, .quiet, figcaption { color: var(--quiet); }
header p { margin: 4px 0 12px; }
footer { margin-top: 48px; font-size: 0.85rem; }
.settings { display: flex; flex-wrap: wrap; gap: 6px; margin: 0; }
.settings div { background: var(--card); border-radius: 6px; padding: 2px 10px; font-size: 0.9rem; overflow-wrap: anywhere; }
.settings dt, .settings dd { display: inline; margin: 0; }
.settings dt { color: var(--quiet); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.95rem; }
th, td { padding: 6px 0 6px 14px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child { padding-left: 0; text-align: left; white-space: normal; }
th { font-weight: 600; }
th small { display: block; color: var(--quiet); font-weight: 400; line-height: 1.3; }
thead th { color: var(--quiet); font-weight: 500; }
.grid { display: grid; gap: 16px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr)); }
.beside { display: flex; flex-wrap: wrap; gap: 16px 32px; align-items: flex-start; }
.beside .card { flex: 0 1 400px; }
.card { background: var(--card); border-radius: 10px; padding: 14px; min-width: 0; }
.card svg { display: block; width: 100%; height: auto; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 10px; }
.pair figure, figure.card { margin: 0; min-width: 0; }
.pair .scene { border-radius: 4px; }
figcaption { font-size: 0.8rem; line-height: 1.35; margin-top: 6px; }
figcaption b { color: var(--ink); }
.prompt { font-size: 0.85rem; margin: 0 0 10px; overflow-wrap: anywhere; max-height: 6.8em; overflow: auto; }
code, pre { font: 0.8rem/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
pre { margin: 8px 0 0; max-height: 30em; overflow: auto; }
summary { cursor: pointer; color: var(--quiet); font-size: 0.85rem; }
details { margin-top: 8px; }
.keys { display: flex; flex-wrap: wrap; gap: 4px 16px; padding: 0; margin: 0 0 12px; list-style: none; font-size: 0.9rem; }
.keys svg { width: 26px; height: 10px; margin-right: 6px; background: #000; border-radius: 2px; }
.keys line { stroke-width: 3; }
@media (max-width: 480px) { table { font-size: 0.85rem; } th, td { padding-left: 8px; } }`;

/** What the lines of drawings mean: all of them, or those that occur. */
export function legendHtml(shown: ReadonlySet<Fate> = new Set(legend.map(([fate]) => fate))): string {
  const keys = legend
    .filter(([fate]) => shown.has(fate))
    .map(([fate, meaning]) => {
      const line = `<svg class="scene" viewBox="0 0 26 10" aria-hidden="true"><line class="${fate}" x1="2" x2="24" y1="5" y2="5"/></svg>`;
      return `<li>${line}${meaning}</li>`;
    });
  return `<ul class="keys">${keys.join('')}</ul>`;
}

/** A chart with its figures as a table. */
export function chartCard(svg: string, { series, x }: Chart): string {
  const named = series.filter(({ faint }) => !faint);
  const all = [...new Set(named.flatMap(({ points }) => points.map(([at]) => at)))].sort((a, b) => a - b);
  const rows = 12;
  const steps =
    all.length <= rows
      ? all
      : Array.from({ length: rows }, (_, i) => all[Math.round((i * (all.length - 1)) / (rows - 1))]!);
  const values = named.map(({ points }) => new Map(points));
  const cell = (value: number | undefined): string => `<td>${value === undefined ? '' : figure(value)}</td>`;
  const body = steps.map(
    (at) => `<tr><th scope="row">${figure(at)}</th>${values.map((of) => cell(of.get(at))).join('')}</tr>`,
  );
  const head = named.map(({ name }) => `<th scope="col">${escaped(name)}</th>`).join('');
  return `<div class="card">${svg}<details><summary>figures</summary><div class="scroll"><table><thead><tr><th scope="col">${escaped(x)}</th>${head}</tr></thead><tbody>${body.join('')}</tbody></table></div></details></div>`;
}
