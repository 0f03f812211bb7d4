import type { Matcher, MatchingMethod } from '../../src/index.js';
import { iou } from './iou.js';

type Numbers = readonly number[];
export type Baseline = Exclude<MatchingMethod, 'hungarian'>;

/** Each row's column by a baseline of matching, or -1, as slowly as the definition reads. */
export function pairUp(cost: readonly Numbers[], columns: number, method: Baseline): number[] {
  if (method === 'in-order') return cost.map((_, row) => (row < columns ? row : -1));
  const column = cost.map(() => -1);
  for (let pairs = Math.min(cost.length, columns); pairs > 0; pairs--) {
    const free = cost.flatMap((costs, i) =>
      column[i] === -1
        ? costs.map((value, j) => ({ value, i, j })).filter(({ j }) => !column.includes(j))
        : [],
    );
    // The first of the least, row by row.
    const { i, j } = free.reduce((best, pair) => (pair.value < best.value ? pair : best));
    column[i] = j;
  }
  return column;
}

export interface Scene {
  items: readonly Numbers[];
  labels: readonly string[];
}

export interface Expected {
  terms: Record<string, number>;
  /** Per object its prediction, or -1. */
  matches: number[];
}

function expected(
  predictions: number,
  objects: number,
  partners: readonly number[],
  paired: (pairs: readonly (readonly [prediction: number, object: number])[]) => Record<string, number>,
): Expected {
  const pairs = partners.flatMap((object, i) => (object < 0 ? [] : [[i, object] as const]));
  const matches = Array.from({ length: objects }, (_, object) => partners.indexOf(object));
  const none = paired([]);
  const all = (value: number) => Object.fromEntries(Object.keys(none).map((name) => [name, value]));
  if (predictions === 0 && objects === 0) return { terms: all(1), matches };
  return { terms: pairs.length ? paired(pairs) : all(0), matches };
}

const sum = (values: Numbers): number => values.reduce((total, value) => total + value, 0);

/** f1, class and iou of `perception-r1/detection-strict`, all items being usable. */
export function detection(
  predicted: Scene,
  truth: Scene,
  matcher: Matcher,
  classes: number,
  method: Baseline,
): Expected {
  const centred = ([x1, y1, x2, y2]: Numbers): number[] => [
    (x1! + x2!) / 2,
    (y1! + y2!) / 2,
    x2! - x1!,
    y2! - y1!,
  ];
  const sameLabel = (i: number, j: number): boolean => predicted.labels[i] === truth.labels[j];
  const cost = predicted.items.map((p, i) =>
    truth.items.map((t, j) => {
      const other = centred(t);
      const l1 = sum(centred(p).map((value, k) => Math.abs(value - other[k]!)));
      const probability = (sameLabel(i, j) ? Math.E : 1) / (Math.E + classes - 1);
      return matcher.l1 * l1 - matcher.giou * iou(p, t, 'giou') - matcher.class * probability;
    }),
  );
  const overlap = (i: number, j: number): number => iou(predicted.items[i]!, truth.items[j]!, 'iou');
  const partners = pairUp(cost, truth.items.length, method).map((j, i) =>
    j >= 0 && overlap(i, j) > matcher.minIou ? j : -1,
  );
  return expected(predicted.items.length, truth.items.length, partners, (pairs) => ({
    f1: (2 * pairs.length) / (predicted.items.length + truth.items.length),
    class: pairs.filter(([i, j]) => sameLabel(i, j)).length / pairs.length,
    iou: sum(pairs.map(([i, j]) => overlap(i, j))) / pairs.length,
  }));
}

/** count, proximity and counting of `perception-r1/counting-strict`, all points being usable. */
export function counting(
  predicted: readonly Numbers[],
  truth: readonly Numbers[],
  method: Baseline,
): Expected {
  const distance = (p: Numbers, t: Numbers): number => Math.sqrt((p[0]! - t[0]!) ** 2 + (p[1]! - t[1]!) ** 2);
  const cost = predicted.map((p) => truth.map((t) => distance(p, t)));
  return expected(predicted.length, truth.length, pairUp(cost, truth.length, method), (pairs) => {
    const count = pairs.length / Math.max(predicted.length, truth.length);
    const mean = sum(pairs.map(([i, j]) => cost[i]![j]!)) / pairs.length;
    const proximity = 1 - mean / (1000 * Math.SQRT2);
    return { count, proximity, counting: count * proximity };
  });
}
