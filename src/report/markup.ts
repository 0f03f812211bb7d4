/**
 * A text as it may stand in HTML and SVG, between tags and in quotes. Characters that XML does not know, which a model may
 * well write, become U+FFFD.
 */
export function escaped(text: string): string {
  return text.replace(unsafe, (character) => entities[character] ?? '\ufffd');
}

const unsafe = /[&<>"'\ufffe\uffff]|(?![\t\n\r])\p{Cc}|\p{Cs}/gu;

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/**
 * A text from elsewhere, not escaped, of `most` characters at most. Characters that turn the direction of writing are
 * spelled out, since they would reorder what a reader sees.
 */
export function shortened(text: string, most: number): string {
  // Never half of a character outside of the basic plane.
  const end = /[\ud800-\udbff]/.test(text.charAt(most - 1)) ? most - 1 : most;
  const short = text.length > most ? `${text.slice(0, end)}…` : text;
  return short.replace(
    /[\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16)}`,
  );
}

/** A number in few characters, for people: 0.1834, 12,345, 2e-4. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '∞' : '−∞';
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e9))
    return minus(value.toExponential(2).replace(/\.?0+e\+?/, 'e'));
  const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : size >= 1 ? 3 : 4;
  return minus(value.toLocaleString('en-US', { maximumFractionDigits: digits }));
}

/** The same, to hundredths. */
export const roughly = (value: number): string => figure(Math.round(100 * value) / 100);

/** With a minus sign as wide as a plus, in place of the hyphen. */
export const minus = (text: string): string => text.replace(/^-/, '−');

/** Numbers of SVG attributes: hundredths are enough. */
export const px = (value: number): string => String(Math.round(value * 100) / 100);

/**
 * The colours of pages and pictures, light and dark. Series and boxes are told apart by people with any colour vision
 * (Okabe and Ito's palette, its lightness fitted to the background).
 */
export const theme = `
:root { --paper: #fff; --card: #f6f7f9; --ink: #1b1f24; --quiet: #5b6470; --line: #dde1e6;
  --s0: #0072b2; --s1: #d55e00; --s2: #009e73; --s3: #b0578d; --s4: #b07a00; --s5: #3d8fc4; --s6: #6b6b6b; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171b; --card: #1c2026; --ink: #e6e9ed; --quiet: #9aa4b0; --line: #343b44;
    --s0: #56b4e9; --s1: #ff8a4c; --s2: #2fc9a0; --s3: #e39bc5; --s4: #e8b53a; --s5: #8ecbf0; --s6: #a9a9a9; }
}`;

export const font = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';
