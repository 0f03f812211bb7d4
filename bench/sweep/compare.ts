/** One size of one kernel on both builds. */
export interface Row {
  kernel: string;
  sizeOf: string;
  size: number;
  /** How many problems a run solves. */
  problems: number;
  /** Microseconds for one problem: the median over the turns of the least in each. */
  before: number;
  after: number;
  /** How many times as fast as before: the median over the turns, and the least and the greatest of them. */
  ratio: number;
  low: number;
  high: number;
}

/** Below this a size counts as slower than before; above, the difference is that of any two measurements. */
export const slower = 0.95;

const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
};

/**
 * What turns tell: in each the two builds ran one right after the other, on the same machine at the same speed, so that
 * their ratio means more than that of times from different turns.
 */
export function compare(
  turns: readonly { before: number; after: number }[],
): Pick<Row, 'before' | 'after' | 'ratio' | 'low' | 'high'> {
  const ratios = turns.map(({ before, after }) => before / after);
  const digits = (value: number): number => Number(value.toPrecision(5));
  return {
    before: digits(median(turns.map(({ before }) => before))),
    after: digits(median(turns.map(({ after }) => after))),
    ratio: digits(median(ratios)),
    low: digits(Math.min(...ratios)),
    high: digits(Math.max(...ratios)),
  };
}

/** Where an answer is not the same; undefined where there is no such place. */
export function difference(before: ArrayLike<number>, after: ArrayLike<number>): string | undefined {
  if (before.length !== after.length) return `${after.length} numbers, not ${before.length}`;
  for (let i = 0; i < before.length; i++) {
    const [expected, found] = [before[i]!, after[i]!];
    if (!(Math.abs(found - expected) <= 1e-5 * Math.max(1, Math.abs(expected))))
      return `${found} at ${i}, not ${expected}`;
  }
  return undefined;
}
