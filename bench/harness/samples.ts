/** Milliseconds, and what is said of them. */
export interface Timing {
  median: number;
  p99: number;
  min: number;
  count: number;
  /** Ascending; of more than 1,000 an even excerpt with the first and the last. */
  samples: number[];
}

const mostSamples = 1000;

/** `most` of the values at even distances, with the first and the last; all of them where they are no more. */
export function excerpt(values: ArrayLike<number>, most: number): number[] {
  const { length } = values;
  const count = Math.min(length, most);
  const step = (length - 1) / Math.max(1, count - 1);
  return Array.from({ length: count }, (_, i) => values[Math.round(i * step)]!);
}

/** The value below which the share `q` of the sorted values is, interpolated. */
function quantile(sorted: readonly number[], q: number): number {
  const place = q * (sorted.length - 1);
  const below = Math.floor(place);
  const low = sorted[below]!;
  return low + (place - below) * ((sorted[below + 1] ?? low) - low);
}

export function timingOf(samples: readonly number[]): Timing {
  const sorted = samples.toSorted((a, b) => a - b);
  const count = sorted.length;
  return {
    median: quantile(sorted, 0.5),
    p99: quantile(sorted, 0.99),
    min: sorted[0]!,
    count,
    samples: excerpt(sorted, mostSamples).map((value) => Number(value.toPrecision(5))),
  };
}
