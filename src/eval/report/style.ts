/** CSS of evaluation reports, beside that of every page. */
export const style = `
h3 { font-size: 0.95rem; line-height: 1.3; margin: 0; overflow-wrap: anywhere; }
.card { overflow: hidden; }
.card .summary, .card .note { font-size: 0.85rem; color: var(--quiet); overflow-wrap: anywhere; }
.card .summary { margin: 2px 0 10px; }
.card .note { margin: 8px 0 0; }
.card .scene { border-radius: 4px; max-height: 480px; background: #23282f; }
.scene image { image-rendering: auto; image-orientation: none; opacity: 0.85; }
.scene .box { stroke-width: 2.5; filter: drop-shadow(0 0 1px #000) drop-shadow(0 0 1px #000); }
.problems { border-left: 5px solid var(--s1); border-radius: 4px; margin-top: 24px; }
.problems h2 { margin: 0 0 8px; }
.problems ul, .notes ul { margin: 0; padding-left: 1.2em; }
.problems li, .notes li { overflow-wrap: anywhere; }
.notes { margin-top: 20px; }
.categories { width: 100%; font-size: 0.85rem; }
.categories th, .categories td { padding-top: 2px; padding-bottom: 2px; }
.categories tbody th { font-weight: 400; max-width: 11em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.categories .bar { width: 50%; min-width: 90px; }
.bar span { display: block; height: 12px; border-radius: 2px; background: var(--s0); }
.counts th, .counts td { padding: 3px 7px; text-align: center; }
.counts .cell { background: color-mix(in srgb, var(--s0) calc(var(--share) * 75%), transparent); }
.counts .exact { outline: 2px solid var(--quiet); outline-offset: -2px; }
.counts .apart { padding-left: 20px; }
.scroll + .grid { margin-top: 16px; }
.rows { display: grid; gap: 16px; }
.texts { display: grid; gap: 10px 16px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 280px), 1fr)); }
.texts h4 { margin: 0; font-size: 0.8rem; color: var(--quiet); font-weight: 500; }
.texts pre { margin-top: 2px; font-size: 0.85rem; }
del, ins { border-radius: 2px; text-decoration: underline 2px var(--s0); background: color-mix(in srgb, var(--s0) 20%, transparent); }
del { text-decoration: underline dotted 2px var(--s1); background: color-mix(in srgb, var(--s1) 20%, transparent); }
@media print {
  body { max-width: none; padding: 0; font-size: 12px; }
  .bar span, .cell, del, ins, .scene, .keys svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .card, tr { break-inside: avoid; }
  h2, h3, .keys, .quiet { break-after: avoid; }
  .scroll, pre, .prompt { overflow: visible; max-height: none; }
}`;
