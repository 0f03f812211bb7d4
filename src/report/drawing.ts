import { escaped, font, px } from './markup.js';

/** A labelled box `[x1, y1, x2, y2]` or point `[x, y]`, in per-mille of the image. */
export interface LabelledBox {
  readonly label: string;
  readonly box: readonly number[];
}

/**
 * How an object or a prediction fared. Solid lines: matched. Dashed: not. `right` and `wrong` tell whether the matched
 * prediction has the object's label.
 */
export type Fate = 'found' | 'missed' | 'right' | 'wrong' | 'false';

/** Readable on dark images, and told apart with any colour vision; where they are near, lines are dashed or not. */
export const colours: Record<Fate, readonly [red: number, green: number, blue: number]> = {
  found: [46, 204, 143],
  missed: [46, 204, 143],
  right: [86, 180, 233],
  wrong: [240, 173, 48],
  false: [255, 95, 80],
};

/** What the lines mean, for legends. */
export const legend: readonly (readonly [fate: Fate, meaning: string])[] = [
  ['found', 'ground truth'],
  ['missed', 'missed'],
  ['right', 'predicted'],
  ['wrong', 'wrong label'],
  ['false', 'predicted, no match'],
];

/** A box or point to be drawn. */
export interface Mark extends LabelledBox {
  fate: Fate;
  /** What is written at the box. */
  caption: string;
  /** What is said about it. */
  text: string;
}

/** An image with the boxes of the truth and of a prediction. */
export interface Drawing {
  /** For those who do not see it. */
  title: string;
  /** A data URI; none: the boxes are drawn on a blank canvas. */
  image?: string;
  /** Of the image, in any unit. */
  height: number;
  width: number;
  truth: readonly Mark[];
  predictions: readonly Mark[];
  /** What was matched with what; -1, and what is not there, is not drawn. */
  links: readonly (readonly [object: number, prediction: number])[];
}

/** The corners of a box, or the point twice, in the order low, high, and near the image; none where it is not finite. */
export function cornersOf(
  box: readonly number[],
  width: number,
  height: number,
): readonly [number, number, number, number] | undefined {
  if ((box.length !== 4 && box.length !== 2) || !box.every(Number.isFinite)) return undefined;
  const [x1, y1, x2 = x1, y2 = y1] = box.map((value) => Math.min(1100, Math.max(-100, value)) / 1000) as [
    number,
    number,
  ];
  return [
    Math.min(x1, x2) * width,
    Math.min(y1, y2) * height,
    Math.max(x1, x2) * width,
    Math.max(y1, y2) * height,
  ];
}

/** CSS of drawings. */
export const drawingStyle = `
.scene { font: 600 13px ${font}; overflow: hidden; }
.scene image { image-rendering: pixelated; }
.scene .box { fill: none; stroke-width: 2; pointer-events: all; }
.scene .link { stroke: #fff; stroke-width: 1.5; }
.scene text { paint-order: stroke; stroke: #000; stroke-width: 3px; stroke-linejoin: round; }
.scene .missed, .scene .false { stroke-dasharray: 5 4; }
${Object.entries(colours)
  .map(
    ([fate, rgb]) => `.scene .${fate} { stroke: rgb(${rgb}); } .scene .${fate}-text { fill: rgb(${rgb}); }`,
  )
  .join('\n')}`;

export interface DrawingOptions {
  /** In units of the picture, in which letters are 13 high. Default 200. */
  width?: number;
  /** Whether captions are written in full, or labels alone. Default true. */
  figures?: boolean;
  /** Attributes of the element, for a place in a larger picture. */
  attributes?: string;
}

/**
 * The drawing as an SVG element: the image, boxes with their captions, and a line between the centres of what was matched.
 * Styles: `drawingStyle`.
 */
export function drawingSvg(
  drawing: Drawing,
  { width = 200, figures = true, attributes = '' }: DrawingOptions = {},
): string {
  const height = (width * drawing.height) / drawing.width;
  const { truth, predictions } = drawing;
  const all = [...truth, ...predictions];
  let svg = `<svg class="scene" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${px(height)}" role="img" ${attributes}>`;
  svg += `<title>${escaped(drawing.title)}</title><desc>${escaped(all.map(({ text }) => text).join('; '))}</desc>`;
  if (drawing.image !== undefined) {
    svg += `<image href="${escaped(drawing.image)}" width="${width}" height="${px(height)}" preserveAspectRatio="none"/>`;
  }
  for (const { box, fate, text } of all) {
    const corners = cornersOf(box, width, height);
    if (!corners) continue;
    const [x1, y1, x2, y2] = corners;
    const shape =
      box.length === 2
        ? `<circle class="box ${fate}" cx="${px(x1)}" cy="${px(y1)}" r="6"/>`
        : `<rect class="box ${fate}" x="${px(x1)}" y="${px(y1)}" width="${px(x2 - x1)}" height="${px(y2 - y1)}"/>`;
    svg += `<g><title>${escaped(text)}</title>${shape}</g>`;
  }
  for (const [object, prediction] of drawing.links) {
    const from = truth[object] && cornersOf(truth[object].box, width, height);
    const to = predictions[prediction] && cornersOf(predictions[prediction].box, width, height);
    if (!from || !to) continue;
    const [a, b] = [from, to].map(([x1, y1, x2, y2]) => [px((x1 + x2) / 2), px((y1 + y2) / 2)] as const);
    svg += `<line class="link" x1="${a![0]}" y1="${a![1]}" x2="${b![0]}" y2="${b![1]}"/>`;
  }
  // Names of objects stand above their boxes, those of predictions below.
  for (const [marks, above] of [
    [truth, true],
    [predictions, false],
  ] as const) {
    for (const { box, fate, label, caption } of marks) {
      const corners = cornersOf(box, width, height);
      const text = figures ? caption : label;
      if (!corners || text === '') continue;
      const short = text.length > 20 ? `${text.slice(0, 19)}…` : text;
      const x = Math.min(Math.max(corners[0], 2), width - 8 * short.length - 2);
      const y = above ? Math.max(corners[1] - 4, 12) : Math.min(corners[3] + 13, height - 4);
      svg += `<text class="${fate}-text" x="${px(x)}" y="${px(y)}">${escaped(short)}</text>`;
    }
  }
  return `${svg}</svg>`;
}
