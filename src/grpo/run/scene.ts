import { encode } from 'fast-png';
import { invalid } from '../../errors.js';
import { pairwiseIou } from '../../ops/iou.js';
import { escaped, font, px, roughly } from './markup.js';

/** A labelled box `[x1, y1, x2, y2]` or point `[x, y]`, in per-mille of the image. */
export interface LabelledBox {
  readonly label: string;
  readonly box: readonly number[];
}

/** A completion for a prompt, and what it was worth. */
export interface Sample {
  /** `[height * width]`, 0 (black) to 1. */
  image: Float32Array;
  height: number;
  width: number;
  prompt: string;
  completion: string;
  reward: number;
  /** Values of the reward's terms. */
  terms: Record<string, number>;
  truth: readonly LabelledBox[];
  predictions: readonly LabelledBox[];
  /** Per object of the truth the prediction it was matched with, or -1. Empty where the task matches nothing (OCR). */
  matches: readonly number[];
}

/** A sample as a run keeps it. */
export interface Scene extends Omit<Sample, 'image'> {
  /** The image without boxes, a PNG as a data URI. */
  image: string;
  /** Per object of the truth the IoU with its match; null where there is none, or where these are not boxes. */
  ious: readonly (number | null)[];
}

/** @throws PerceptionError SHAPE_MISMATCH, INVALID_VALUE where the parts of the sample do not fit each other */
export function sceneOf(sample: Sample): Scene {
  const { image, height, width, truth, predictions, matches } = sample;
  if (image.length !== height * width) {
    throw invalid('SHAPE_MISMATCH', 'sample.image', `${height} x ${width} numbers`, image);
  }
  if (matches.length !== truth.length && matches.length > 0) {
    throw invalid(
      'SHAPE_MISMATCH',
      'sample.matches',
      `none, or ${truth.length} entries, one per object`,
      matches,
    );
  }
  const ious = truth.map(({ box }, i) => {
    const match = matches[i] ?? -1;
    if (match === -1) return null;
    const prediction = predictions[match];
    if (!prediction) {
      throw invalid(
        'INVALID_VALUE',
        `sample.matches[${i}]`,
        `-1 or one of ${predictions.length} predictions`,
        match,
      );
    }
    const [a, b] = [Float32Array.from(box), Float32Array.from(prediction.box)];
    if (a.length !== 4 || b.length !== 4 || ![...a, ...b].every(Number.isFinite)) return null;
    return pairwiseIou(a, b)[0]!;
  });
  const data = Uint8Array.from(image, grey);
  const png = encode({ width, height, channels: 1, data });
  return { ...sample, image: `data:image/png;base64,${Buffer.from(png).toString('base64')}`, ious };
}

const grey = (value: number): number => Math.round(255 * Math.min(1, Math.max(0, value)));

/**
 * How an object or a prediction fared. Solid lines: matched. Dashed: not. `right` and `wrong` tell whether the matched
 * prediction has the object's label.
 */
type Fate = 'found' | 'missed' | 'right' | 'wrong' | 'false';

/** Readable on dark images, and told apart with any colour vision; where they are near, lines are dashed or not. */
const colours: Record<Fate, readonly [red: number, green: number, blue: number]> = {
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

interface Mark extends LabelledBox {
  fate: Fate;
  /** What is written at the box. */
  caption: string;
  /** What is said about it. */
  text: string;
}

/** What is to be drawn, objects first. */
function marksOf({
  truth,
  predictions,
  matches,
  ious,
}: Pick<Scene, 'truth' | 'predictions' | 'matches' | 'ious'>): {
  truth: Mark[];
  predictions: Mark[];
} {
  const quality = (i: number): string => (ious[i] == null ? '' : `, IoU ${ious[i].toFixed(2)}`);
  const objectOf = new Map(matches.map((match, i) => [match, i]));
  return {
    truth: truth.map(({ label, box }, i) => {
      if (matches.length === 0) return { label, box, fate: 'found', caption: label, text: `object ${label}` };
      const match = predictions[matches[i]!];
      const text = match
        ? `object ${label}: predicted as ${match.label || 'box'}${quality(i)}`
        : `object ${label}: missed`;
      return { label, box, fate: match ? 'found' : 'missed', caption: label, text };
    }),
    predictions: predictions.map(({ label, box }, j) => {
      const i = objectOf.get(j);
      if (i === undefined)
        return { label, box, fate: 'false', caption: label, text: `prediction ${label}: matches no object` };
      const name = truth[i]!.label;
      const caption = [label, ious[i]?.toFixed(2).replace(/^0/, '')].filter((part) => part).join(' ');
      const fate = label === '' || name === '' || label === name ? 'right' : 'wrong';
      return { label, box, fate, caption, text: `prediction ${label} for object ${name}${quality(i)}` };
    }),
  };
}

/** The corners of a box, or the point twice, in the order low, high, and near the image; none where it is not finite. */
function cornersOf(
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

/** CSS of scenes. */
export const sceneStyle = `
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

interface SceneOptions {
  /** In units of the picture, in which letters are 13 high. Default 200. */
  width?: number;
  /** Whether IoU is written beside the labels. Default true. */
  figures?: boolean;
  /** Attributes of the element, for a place in a larger picture. */
  attributes?: string;
}

/**
 * The scene as an SVG element: the image, boxes with labels and IoU, and a line between the centres of what was matched.
 * Styles: `sceneStyle`.
 */
export function sceneSvg(
  scene: Scene,
  { width = 200, figures = true, attributes = '' }: SceneOptions = {},
): string {
  const height = (width * scene.height) / scene.width;
  const marks = marksOf(scene);
  const all = [...marks.truth, ...marks.predictions];
  const count = (fate: Fate): number => all.filter((mark) => mark.fate === fate).length;
  const title =
    scene.matches.length === 0
      ? `${all.length} objects`
      : `${count('found')} of ${marks.truth.length} objects matched, ${count('false')} predictions without a match`;
  let svg = `<svg class="scene" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${px(height)}" role="img" ${attributes}>`;
  svg += `<title>${title}</title><desc>${escaped(all.map(({ text }) => text).join('; '))}</desc>`;
  svg += `<image href="${escaped(scene.image)}" width="${width}" height="${px(height)}" preserveAspectRatio="none"/>`;
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
  scene.matches.forEach((match, i) => {
    const from = marks.truth[i] && cornersOf(marks.truth[i].box, width, height);
    const to = marks.predictions[match] && cornersOf(marks.predictions[match].box, width, height);
    if (!from || !to) return;
    const [a, b] = [from, to].map(([x1, y1, x2, y2]) => [px((x1 + x2) / 2), px((y1 + y2) / 2)] as const);
    svg += `<line class="link" x1="${a![0]}" y1="${a![1]}" x2="${b![0]}" y2="${b![1]}"/>`;
  });
  // Names of objects stand above their boxes, those of predictions below.
  for (const [marksOfKind, above] of [
    [marks.truth, true],
    [marks.predictions, false],
  ] as const) {
    for (const { box, fate, label, caption } of marksOfKind) {
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

const scale = 4;

/** The scene as a PNG, four times as large as the image, with boxes of one pixel's width. */
export function scenePng(sample: Sample, { ious }: Scene): Uint8Array {
  const [width, height] = [sample.width * scale, sample.height * scale];
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const value = grey(sample.image[Math.floor(y / scale) * sample.width + Math.floor(x / scale)]!);
      data.fill(value, 3 * (y * width + x), 3 * (y * width + x + 1));
    }
  }
  const marks = marksOf({ ...sample, ious });
  for (const { box, fate } of [...marks.truth, ...marks.predictions]) {
    const dashed = fate === 'missed' || fate === 'false';
    const dot = (x: number, y: number, at: number): void => {
      if (x < 0 || y < 0 || x >= width || y >= height || (dashed && at % 8 >= 5)) return;
      data.set(colours[fate], 3 * (y * width + x));
    };
    const corners = cornersOf(box, width, height)?.map(Math.round) as
      | [number, number, number, number]
      | undefined;
    if (!corners) continue;
    const reach = box.length === 2 ? 5 : 0; // a point becomes a small square
    const [x1, y1] = [corners[0] - reach, corners[1] - reach];
    // The far corner is the first pixel outside, but for a box at the image's edge.
    const [x2, y2] = [Math.max(x1, corners[2] + reach - 1), Math.max(y1, corners[3] + reach - 1)];
    for (let x = x1; x <= x2; x++) for (const y of [y1, y2]) dot(x, y, x - x1);
    for (let y = y1; y <= y2; y++) for (const x of [x1, x2]) dot(x, y, y - y1);
  }
  return encode({ width, height, channels: 3, data });
}

/** The figures of a sample in one line. */
export function summaryOf({ reward, terms }: Pick<Sample, 'reward' | 'terms'>): string {
  return [
    `reward ${roughly(reward)}`,
    ...Object.entries(terms).map(([name, value]) => `${name} ${roughly(value)}`),
  ].join(' · ');
}
