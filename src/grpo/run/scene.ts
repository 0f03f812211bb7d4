import { encode } from 'fast-png';
import { invalid } from '../../errors.js';
import { pairwiseIou } from '../../ops/iou.js';
import {
  colours,
  cornersOf,
  type DrawingOptions,
  drawingSvg,
  type Fate,
  type LabelledBox,
  type Mark,
} from '../../report/drawing.js';
import { roughly } from '../../report/markup.js';

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

/**
 * The scene as an SVG element: the image, boxes with labels and IoU, and a line between the centres of what was matched.
 * Styles: `drawingStyle`.
 */
export function sceneSvg(scene: Scene, options?: DrawingOptions): string {
  const { image, height, width, matches } = scene;
  const { truth, predictions } = marksOf(scene);
  const all = [...truth, ...predictions];
  const count = (fate: Fate): number => all.filter((mark) => mark.fate === fate).length;
  const title =
    matches.length === 0
      ? `${all.length} objects`
      : `${count('found')} of ${truth.length} objects matched, ${count('false')} predictions without a match`;
  const links = matches.map((match, i) => [i, match] as const);
  return drawingSvg({ title, image, height, width, truth, predictions, links }, options);
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
