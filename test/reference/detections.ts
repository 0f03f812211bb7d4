import { Generator } from './random.js';

/** Boxes of many images, as Flat of perception-r1/metrics. */
export interface Images {
  boxes: Float64Array;
  labels: Int32Array;
  offsets: Int32Array;
  scores?: Float64Array;
}

/** How many objects each image has: `total` in all, few in most and many in some. */
function counts(random: Generator, images: number, total: number): Int32Array {
  const weights = Array.from({ length: images }, () => -Math.log(1 - random.next()));
  const sum = weights.reduce((a, b) => a + b, 0);
  let placed = 0;
  let reached = 0;
  return Int32Array.from(weights, (weight) => {
    reached += weight;
    const until = Math.round((total * reached) / sum);
    const count = until - placed;
    placed = until;
    return count;
  });
}

/** COCO-like: some three of 80 categories in an image, a few of which (as people) are in most; sizes small to large. */
export function objects(images: number, total: number, kinds = 3, seed = 1): Images {
  const random = new Generator(seed);
  const offsets = new Int32Array(images + 1);
  const boxes = new Float64Array(4 * total);
  const labels = new Int32Array(total);
  counts(random, images, total).forEach((count, i) => {
    offsets[i + 1] = offsets[i]! + count;
    const here = Array.from({ length: kinds }, () => Math.floor(80 * random.next() ** 3));
    for (let k = offsets[i]!; k < offsets[i + 1]!; k++) {
      const size = 8 * 50 ** random.next();
      const [x, y] = [random.next() * 500, random.next() * 400];
      boxes.set([x, y, x + size * (0.5 + random.next()), y + size * (0.5 + random.next())], 4 * k);
      labels[k] = here[random.integer(0, kinds - 1)]!;
    }
  });
  return { boxes, labels, offsets };
}

/** `total` detections: of each object one that is near it and mostly labelled right, the others about as near or anywhere. */
export function detections(truth: Images, total: number, seed = 2): Images {
  const random = new Generator(seed);
  const images = truth.offsets.length - 1;
  const objects = truth.labels.length;
  const offsets = new Int32Array(images + 1);
  const boxes = new Float64Array(4 * total);
  const labels = new Int32Array(total);
  const scores = new Float64Array(total);
  let next = 0;
  for (let i = 0; i < images; i++) {
    const [first, last] = [truth.offsets[i]!, truth.offsets[i + 1]!];
    const until = Math.round((total * last) / objects);
    for (; next < until; next++) {
      const near = first + ((next - offsets[i]!) % (last - first));
      const spread = 0.02 + 0.5 * random.next() ** 2;
      const box = truth.boxes.subarray(4 * near, 4 * near + 4);
      const [width, height] = [box[2]! - box[0]!, box[3]! - box[1]!];
      const moved = (value: number, size: number): number => value + (random.next() - 0.5) * spread * size;
      const [x1, y1] = [moved(box[0]!, width), moved(box[1]!, height)];
      boxes.set(
        [x1, y1, Math.max(x1, moved(box[2]!, width)), Math.max(y1, moved(box[3]!, height))],
        4 * next,
      );
      labels[next] = random.next() < 0.85 ? truth.labels[near]! : random.integer(0, 79);
      scores[next] = Math.round(1000 * Math.max(0, random.next() - spread)) / 1000;
    }
    offsets[i + 1] = next;
  }
  return { boxes, labels, offsets, scores };
}

/** The same as one object per image. */
export function perImage({ boxes, labels, offsets, scores }: Images): {
  boxes: Float64Array;
  labels: Int32Array;
  scores?: Float64Array;
}[] {
  return Array.from({ length: offsets.length - 1 }, (_, i) => {
    const [first, last] = [offsets[i]!, offsets[i + 1]!];
    return {
      boxes: boxes.subarray(4 * first, 4 * last),
      labels: labels.subarray(first, last),
      ...(scores ? { scores: scores.subarray(first, last) } : {}),
    };
  });
}
