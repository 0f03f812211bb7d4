import type { Random } from '../../random.js';
import { type Digit, drawDigit } from './digits.js';
import type { SceneObject, Split } from './task.js';

/** Pixels of a scene's side. */
export const sceneSize = 64;

export interface Scene {
  /** `[sceneSize * sceneSize]`, 0..1. */
  image: Float32Array;
  objects: SceneObject[];
}

// Of the longer side of a digit, in pixels.
const smallest = 14;
const largest = 28;
/** Ink from this share of the digit's fullest on counts, for its box. */
const inkThreshold = 0.3;
// How far two digits may overlap.
const maxIou = 0.2;
const maxCovered = 0.3; // of the smaller one's box

/** Ink of a digit at a size, and where the part above the threshold lies in it. */
export interface Patch {
  label: number;
  width: number;
  height: number;
  /** `[height * width]`, 0..1. */
  ink: Float32Array;
  /** x1 y1 x2 y2, whole pixels. */
  tight: Box;
}

type Box = [x1: number, y1: number, x2: number, y2: number];

interface Placed {
  patch: Patch;
  x: number;
  y: number;
  box: Box;
}

/**
 * Digits of `labels` at random places and sizes, over clutter. Where one finds no place after many tries it is left out;
 * the first one always has a place.
 */
export function composeScene(random: Random, split: Split, labels: readonly number[]): Scene {
  const placed: Placed[] = [];
  for (const label of labels) {
    const found = place(random, split, label, placed);
    if (found) placed.push(found);
  }
  return draw(random, split, random.shuffle(placed)); // shuffled, so that it is not the first one that lies below
}

/** `count` digits of `asked` among `others` of other kinds. `objects` are those asked for, `shown` all of them. */
export function composeAmong(
  random: Random,
  split: Split,
  asked: number,
  count: number,
  others: number,
): Scene & { shown: readonly SceneObject[] } {
  const labels = new Array<number>(count).fill(asked);
  for (let i = 0; i < others; i++) labels.push((asked + 1 + random.integer(9)) % 10);
  const { image, objects: shown } = composeScene(random, split, labels);
  return { image, objects: shown.filter(({ label }) => label === `${asked}`), shown };
}

/** Digits of `labels` from left to right on an uneven line. */
export function composeLine(random: Random, split: Split, labels: readonly number[]): Scene {
  const digits = labels.map((label) => drawDigit(random, split, label));
  const height = smallest + random.integer(largest - smallest + 1);
  const shares = digits.map(() => 0.85 + 0.3 * random.next());
  const gaps = digits.map((_, i) => (i === 0 ? 0 : random.integer(3)));
  const sumOfGaps = gaps.reduce((sum, gap) => sum + gap, 0);
  const widths = digits.map((digit, i) => (height * shares[i]! * digit.width) / digit.height);
  // The line is made as small as it must be to leave a pixel on both sides; rounding adds at most a pixel a digit.
  const room = sceneSize - 2 - sumOfGaps - digits.length;
  const scale = Math.min(
    1,
    room / widths.reduce((sum, width) => sum + width, 0),
    (sceneSize - 10) / (1.15 * height),
  );
  const patches = digits.map((digit, i) =>
    scaled(
      digit,
      Math.max(2, Math.round(scale * widths[i]!)),
      Math.max(4, Math.round(scale * height * shares[i]!)),
    ),
  );
  const length = sumOfGaps + patches.reduce((sum, patch) => sum + patch.width, 0);
  const tallest = patches.reduce((most, patch) => Math.max(most, patch.height), 0);
  let x = 1 + random.integer(sceneSize - 1 - length);
  const baseline = tallest + 2 + random.integer(sceneSize - tallest - 4);
  const placed = patches.map((patch, i) => {
    x += gaps[i]!;
    const y = baseline - patch.height + random.integer(5) - 2;
    const at = { patch, x, y, box: moved(patch.tight, x, y) };
    x += patch.width;
    return at;
  });
  return draw(random, split, placed);
}

function place(random: Random, split: Split, label: number, placed: readonly Placed[]): Placed | undefined {
  for (let size = 0; size < 4; size++) {
    const patch = randomPatch(random, split, label);
    for (let attempt = 0; attempt < 10; attempt++) {
      const x = random.integer(sceneSize - patch.width + 1);
      const y = random.integer(sceneSize - patch.height + 1);
      const box = moved(patch.tight, x, y);
      if (placed.every((other) => apart(box, other.box))) return { patch, x, y, box };
    }
  }
  return undefined;
}

function randomPatch(random: Random, split: Split, label: number): Patch {
  const digit = drawDigit(random, split, label);
  const size = smallest + random.integer(largest - smallest + 1);
  const scale = size / Math.max(digit.width, digit.height);
  return scaled(
    digit,
    Math.max(2, Math.round(scale * digit.width)),
    Math.max(2, Math.round(scale * digit.height)),
  );
}

/** `digit` at another size, by a triangle filter as wide as a pixel of the coarser grid, so shrinking does not alias. */
export function scaled(digit: Digit, width: number, height: number): Patch {
  const rows = new Float32Array(digit.height * width);
  for (let y = 0; y < digit.height; y++) {
    resample(digit.ink, y * digit.width, 1, digit.width, rows, y * width, 1, width, 1 / 255);
  }
  const ink = new Float32Array(height * width);
  for (let x = 0; x < width; x++) resample(rows, x, width, digit.height, ink, x, width, height, 1);
  return { label: digit.label, width, height, ink, tight: tightBox(ink, width, height) };
}

/** One line of `from` (outside of it there is no ink) to one of `to`. */
function resample(
  from: Uint8Array | Float32Array,
  start: number,
  stride: number,
  length: number,
  to: Float32Array,
  toStart: number,
  toStride: number,
  toLength: number,
  gain: number,
): void {
  const step = length / toLength;
  const reach = Math.max(1, step);
  for (let i = 0; i < toLength; i++) {
    const centre = (i + 0.5) * step - 0.5;
    const last = Math.floor(centre + reach);
    let sum = 0;
    let weights = 0;
    for (let k = Math.ceil(centre - reach); k <= last; k++) {
      const weight = reach - Math.abs(k - centre);
      weights += weight;
      if (k >= 0 && k < length) sum += weight * from[start + k * stride]!;
    }
    to[toStart + i * toStride] = (gain * sum) / weights;
  }
}

function tightBox(ink: Float32Array, width: number, height: number): Box {
  let fullest = 0;
  for (const value of ink) if (value > fullest) fullest = value;
  const threshold = inkThreshold * fullest;
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (ink[y * width + x]! < threshold) continue;
      if (x < left) left = x;
      if (y < top) top = y;
      if (x >= right) right = x + 1;
      bottom = y + 1;
    }
  }
  return [left, top, right, bottom];
}

function moved([x1, y1, x2, y2]: Box, x: number, y: number): Box {
  return [x1 + x, y1 + y, x2 + x, y2 + y];
}

function apart(a: Box, b: Box): boolean {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (width <= 0 || height <= 0) return true;
  const shared = width * height;
  const areaA = (a[2] - a[0]) * (a[3] - a[1]);
  const areaB = (b[2] - b[0]) * (b[3] - b[1]);
  return shared < maxIou * (areaA + areaB - shared) && shared < maxCovered * Math.min(areaA, areaB);
}

function draw(random: Random, split: Split, placed: readonly Placed[]): Scene {
  const image = new Float32Array(sceneSize ** 2).fill(0.25 * random.next());
  for (let i = random.integer(6); i > 0; i--) drawClutter(random, split, image);
  for (const { patch, x, y } of placed) {
    drawPatch(image, patch, x, y, [0, 0, patch.width, patch.height], 0.55 + 0.45 * random.next());
  }
  addNoise(random, image);
  const objects = placed.map(({ patch, box }): SceneObject => {
    const [x1, y1, x2, y2] = box.map((value) => Math.round((1000 * value) / sceneSize)) as Box;
    return { label: `${patch.label}`, box: [x1, y1, x2, y2] };
  });
  return { image, objects };
}

/** A part of `patch`, whose own corner is at x, y, over what is there. */
function drawPatch(
  image: Float32Array,
  patch: Patch,
  x: number,
  y: number,
  [left, top, right, bottom]: Box,
  level: number,
): void {
  for (let row = top; row < bottom; row++) {
    for (let column = left; column < right; column++) {
      const at = (y + row) * sceneSize + x + column;
      const value = image[at]!;
      image[at] = value + patch.ink[row * patch.width + column]! * (level - value);
    }
  }
}

/** A short stroke, a blob, or a piece of a digit too small to be read. */
function drawClutter(random: Random, split: Split, image: Float32Array): void {
  const kind = random.integer(3);
  const level = 0.3 + 0.6 * random.next();
  if (kind === 0) {
    const patch = randomPatch(random, split, random.integer(10));
    const width = Math.min(patch.width, 4 + random.integer(4));
    const height = Math.min(patch.height, 4 + random.integer(4));
    const left = random.integer(patch.width - width + 1);
    const top = random.integer(patch.height - height + 1);
    const x = random.integer(sceneSize - width + 1) - left;
    const y = random.integer(sceneSize - height + 1) - top;
    drawPatch(image, patch, x, y, [left, top, left + width, top + height], level);
    return;
  }
  let x = random.next() * sceneSize;
  let y = random.next() * sceneSize;
  const blob = kind === 1;
  const radius = blob ? 1.5 + 2 * random.next() : 1.1 + 0.5 * random.next();
  const steps = blob ? 1 : 4 + random.integer(7);
  const stepX = 2 * random.next() - 1;
  const stepY = 2 * random.next() - 1;
  for (let step = 0; step < steps; step++) {
    drawDot(image, x, y, radius, level);
    x += stepX;
    y += stepY;
  }
}

function drawDot(image: Float32Array, x: number, y: number, radius: number, level: number): void {
  const right = Math.min(sceneSize - 1, Math.floor(x + radius));
  const bottom = Math.min(sceneSize - 1, Math.floor(y + radius));
  for (let row = Math.max(0, Math.ceil(y - radius)); row <= bottom; row++) {
    for (let column = Math.max(0, Math.ceil(x - radius)); column <= right; column++) {
      const ink = 1 - ((column - x) ** 2 + (row - y) ** 2) / radius ** 2;
      if (ink <= 0) continue;
      const at = row * sceneSize + column;
      const value = image[at]!;
      image[at] = value + ink * Math.max(0, level - value);
    }
  }
}

/** Nearly normal noise: the sum of four bytes of one random word, which is fast and exact. */
function addNoise(random: Random, image: Float32Array): void {
  const deviation = 0.02 + 0.06 * random.next();
  const scale = (deviation * Math.sqrt(3)) / 256;
  for (let i = 0; i < image.length; i++) {
    const word = random.integer(2 ** 32);
    const sum = (word & 255) + ((word >>> 8) & 255) + ((word >>> 16) & 255) + (word >>> 24);
    const value = image[i]! + scale * (sum - 510);
    image[i] = value < 0 ? 0 : value > 1 ? 1 : value;
  }
}
