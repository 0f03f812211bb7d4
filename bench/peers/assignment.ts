/** npm's packages for linear sum assignment, in loops over arrays of rows. */
import type { PeerModule, Prepared, Task } from './worker.js';

type Matrix = ArrayLike<number>[];
type Pairs = [row: number, column: number][];

interface Solver {
  /** From what the package exports. Rows without a column may have -1. */
  // biome-ignore lint/suspicious/noExplicitAny: packages without types
  solve(exports: any): (costs: Matrix) => Pairs;
  /** The largest size that does not take minutes. */
  largest: number;
  /** Whether it finds the least where there are more rows than columns. */
  tall: boolean;
}

const solvers: Record<string, Solver> = {
  munkres: { solve: ({ munkres }) => munkres, largest: 5000, tall: true },
  'munkres-js': { solve: (munkres) => munkres, largest: 20, tall: true },
  'linear-sum-assignment': {
    solve:
      ({ linearSumAssignment }) =>
      (costs) => {
        const { rowAssignments } = linearSumAssignment(costs, { maximaze: false });
        return Array.from(rowAssignments as Float64Array, (column, row) => [row, column]);
      },
    largest: 1000,
    tall: true,
  },
  'hungarian-on3': { solve: (hungarian) => hungarian, largest: 1000, tall: false },
};

export const packages = (way: string): string[] => [way];

export const prepare: PeerModule['prepare'] = (
  { parameters, data }: Task,
  way,
  load,
): Prepared<Pairs[]> | undefined => {
  const { problems, rows, columns } = parameters as { problems: number; rows: number; columns: number };
  const { solve, largest, tall } = solvers[way]!;
  if (Math.max(rows, columns) > largest || (rows > columns && !tall)) return undefined;
  const matrices = Array.from({ length: problems }, (_, problem) =>
    Array.from({ length: rows }, (_, row) =>
      Array.from(data.costs.subarray((problem * rows + row) * columns, (problem * rows + row + 1) * columns)),
    ),
  ) as number[][][];
  const solved = solve(load(way));
  return {
    run: () => matrices.map(solved),
    answer: (results) =>
      results.map((pairs, i) =>
        pairs.reduce((sum, [row, column]) => sum + (column < 0 ? 0 : matrices[i]![row]![column]!), 0),
      ),
  };
};
