import { Generator } from './random.js';

/** The least (greatest) total over all complete assignments, by trying all; NaN where there is none. Up to 7 x 7. */
export function bruteForce(cost: ArrayLike<number>, rows: number, cols: number, maximize = false): number {
  if (rows > cols) {
    const transposed = Array.from(
      { length: rows * cols },
      (_, k) => cost[(k % rows) * cols + Math.floor(k / rows)]!,
    );
    return bruteForce(transposed, cols, rows, maximize);
  }
  const sign = maximize ? -1 : 1;
  const used = new Array<boolean>(cols).fill(false);
  const best = (row: number): number => {
    if (row === rows) return 0;
    let least = Infinity;
    for (let col = 0; col < cols; col++) {
      if (used[col]) continue;
      const here = sign * cost[row * cols + col]!;
      if (here === Infinity) continue;
      used[col] = true;
      least = Math.min(least, here + best(row + 1));
      used[col] = false;
    }
    return least;
  };
  const total = best(0);
  return total === Infinity ? Number.NaN : sign * total;
}

/**
 * Whether an assignment is optimal, by linear programming duality: if it is, the shortest paths in its residual graph
 * exist (no negative cycle, Bellman-Ford), and if not, they do not. rows <= cols; all costs finite.
 */
export function isOptimal(
  cost: ArrayLike<number>,
  rows: number,
  cols: number,
  columnOfRow: ArrayLike<number>,
): boolean {
  const matched = new Set(Array.from(columnOfRow));
  // Column potentials: moving row r from its column to c costs cost[r, c] - cost[r, own]; a free column may take any row.
  const potential = new Float64Array(cols);
  for (let round = 0; round <= cols; round++) {
    let changed = false;
    for (let row = 0; row < rows; row++) {
      const own = columnOfRow[row]!;
      for (let col = 0; col < cols; col++) {
        const through = potential[own]! + cost[row * cols + col]! - cost[row * cols + own]!;
        if (through < potential[col]! - 1e-9) {
          potential[col] = through;
          changed = true;
        }
      }
    }
    // Free columns started at 0 as every other: a path that ends in one with a negative sum would improve the total.
    for (let col = 0; col < cols; col++) if (!matched.has(col) && potential[col]! < -1e-7) return false;
    if (!changed) return true;
  }
  return false;
}

/** Problem `index` of scripts/make-assignment-fixture.py. */
export function fixtureProblem(index: number): {
  cost: Float32Array | Float64Array;
  rows: number;
  cols: number;
  maximize: boolean;
} {
  const random = new Generator(index);
  const rows = Math.floor(random.next() * 25);
  const cols = Math.floor(random.next() * 25);
  const kind = index % 5;
  const values = Array.from({ length: rows * cols }, () => random.next()).map((value) => {
    if (kind === 1) return Math.floor(value * 6);
    if (kind === 2) return value * 2 - 1;
    if (kind === 4) return value < 0.82 ? Infinity : value;
    return value;
  });
  return {
    cost: index % 2 ? Float32Array.from(values) : Float64Array.from(values),
    rows,
    cols,
    maximize: kind === 3,
  };
}
