/** Linear sum assignment: batches of small problems, and single large ones. */
import assert from 'node:assert/strict';
import { linearSumAssignmentBatch } from 'perception-r1';
import { isOptimal } from '../../test/reference/assignment.js';
import { Generator } from '../../test/reference/random.js';
import { overlapCosts } from '../harness/boxes.js';
import { evenOffsets, sizeName, type Workloads, workload } from '../harness/workload.js';

const shapes = [
  [4096, 10, 10],
  [4096, 20, 13],
  [1024, 100, 100],
  [64, 300, 300],
  [1, 1000, 1000],
  [1, 5000, 5000],
  [8, 900, 60],
] as const;
/** The columns of a problem's rows and their sum must be an optimal assignment. Rows and columns change places if need be. */
function assertOptimal(
  costs: ArrayLike<number>,
  rows: number,
  columns: number,
  columnOfRow: Int32Array,
  total: number,
): void {
  const sum = columnOfRow.reduce(
    (s, column, row) => (column < 0 ? s : s + costs[row * columns + column]!),
    0,
  );
  assert.ok(Math.abs(sum - total) < 1e-9 * Math.max(1, Math.abs(total)), `${total} is not the sum, ${sum}`);
  if (rows <= columns) {
    assert.equal(new Set(columnOfRow).size, rows);
    assert.ok(isOptimal(costs, rows, columns, columnOfRow));
    return;
  }
  const turned = Float64Array.from(
    { length: rows * columns },
    (_, i) => costs[(i % rows) * columns + Math.floor(i / rows)]!,
  );
  const rowOfColumn = Int32Array.from({ length: columns }, (_, column) => columnOfRow.indexOf(column));
  assert.ok(isOptimal(turned, columns, rows, rowOfColumn));
}

export function* workloads(): Workloads {
  for (const shape of shapes) {
    const [problems, rows, columns] = shape;
    const size = rows * columns;
    const random = new Generator(2026);
    const overlap = overlapCosts(random, problems, rows, columns);
    const kinds = {
      'costs of IoU': overlap,
      // Twice the memory is another matter only as long as it is in a cache.
      ...(size <= 1e6 && { 'costs of IoU, float64': Float64Array.from(overlap) }),
      'uniform costs': overlap.map(() => random.next()),
    };
    for (const [name, values] of Object.entries(kinds)) {
      const costs = {
        values,
        offsets: evenOffsets(problems, size),
        rows: new Int32Array(problems).fill(rows),
        cols: new Int32Array(problems).fill(columns),
      };
      yield workload({
        name: `assignment/${sizeName(problems, rows, columns)}, ${name}`,
        peers: { kernel: 'assignment', parameters: { problems, rows, columns }, data: { costs: values } },
        ...(problems === 1 && { threads: [1] }),
        run: () => linearSumAssignmentBatch(costs),
        check({ columnOfRow, costs: totals }) {
          for (let i = 0; i < problems && (i === 0 || i * size < 3e5); i++)
            assertOptimal(
              values.subarray(i * size, (i + 1) * size),
              rows,
              columns,
              columnOfRow.subarray(i * rows, (i + 1) * rows),
              totals[i]!,
            );
          return totals;
        },
      });
    }
  }
}
