/** What one would write in Node without this package: JSON.parse, loops, and npm's munkres; detection as released. */
import type { PeerModule, Prepared } from './worker.js';

type Box = [number, number, number, number];
interface Item {
  bbox_2d: Box;
  label: string;
}
interface Truth {
  boxes: Box[];
  labels: string[];
}
type Munkres = (costs: number[][]) => [number, number][];

// Softmax of one of 90 classes.
const same = Math.E / (Math.E + 89);
const different = 1 / (Math.E + 89);

function overlap(a: Box, b: Box): { iou: number; giou: number } {
  const width = Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0]));
  const height = Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  const common = width * height;
  const union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common;
  const hull = (Math.max(a[2], b[2]) - Math.min(a[0], b[0])) * (Math.max(a[3], b[3]) - Math.min(a[1], b[1]));
  const iou = common / union;
  return { iou, giou: iou - (hull - union) / hull };
}

function cost(item: Item, box: Box, label: string): number {
  const [a, b] = [item.bbox_2d, box];
  const distance =
    Math.abs((a[0] + a[2] - b[0] - b[2]) / 2) +
    Math.abs((a[1] + a[3] - b[1] - b[3]) / 2) +
    Math.abs(a[2] - a[0] - b[2] + b[0]) +
    Math.abs(a[3] - a[1] - b[3] + b[1]);
  return 5 * distance - 2 * overlap(a, b).giou - (item.label === label ? same : different);
}

function reward(text: string, { boxes, labels }: Truth, munkres: Munkres): number {
  let items: Item[];
  try {
    items = JSON.parse(text.replace(/^```json\n|\n```$/g, ''));
  } catch {
    return 0;
  }
  if (items.length === 0) return 0;
  let [pairs, right, total] = [0, 0, 0];
  for (const [i, j] of munkres(items.map((item) => boxes.map((box, j) => cost(item, box, labels[j]!))))) {
    const { iou } = overlap(items[i]!.bbox_2d, boxes[j]!);
    if (iou <= 0.5) continue;
    pairs++;
    total += iou;
    if (items[i]!.label === labels[j]) right++;
  }
  if (pairs === 0) return 0.25;
  const [precision, recall] = [pairs / items.length, pairs / boxes.length];
  const f1 = (2 * precision * recall) / (precision + recall);
  const sum = 0.25 + 0.75 * f1 + right / pairs + total / pairs - 0.5 * (2 - precision - recall);
  return Math.min(Math.max(sum, 0), 3);
}

export const packages = (): string[] => ['munkres'];

export const prepare: PeerModule['prepare'] = ({ parameters, data }, _way, load): Prepared<number[]> => {
  const { munkres } = load('munkres') as { munkres: Munkres };
  const { groupSize } = parameters as { groupSize: number };
  const { completions, groundTruth } = data as { completions: string[]; groundTruth: Truth[] };
  const run = (): number[] => {
    const rewards = completions.map((text, i) =>
      reward(text, groundTruth[Math.floor(i / groupSize)]!, munkres),
    );
    const advantages = rewards.map((value, i) => {
      const group = rewards.slice(i - (i % groupSize), i - (i % groupSize) + groupSize);
      const mean = group.reduce((sum, other) => sum + other, 0) / groupSize;
      const squares = group.reduce((sum, other) => sum + (other - mean) ** 2, 0);
      return (value - mean) / (Math.sqrt(squares / (groupSize - 1)) + 1e-4);
    });
    return [...rewards, ...advantages];
  };
  return { run, answer: (numbers) => numbers };
};
