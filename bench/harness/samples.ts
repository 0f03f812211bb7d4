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
  const kept = Math.min(count, mostSamples);
  return {
    median: quantile(sorted, 0.5),
    p99: quantile(sorted, 0.99),
    min: sorted[0]!,
    count,
    samples: Array.from(
      { length: kept },
      (_, i) => sorted[kept === 1 ? 0 : Math.round((i * (count - 1)) / (kept - 1))]!,
    ).map((value) => Number(value.toPrecision(5))),
  };
}
