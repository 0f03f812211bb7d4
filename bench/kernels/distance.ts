/** Distances of every point from every other. */
import assert from 'node:assert/strict';
import { pairwiseDistance } from 'perception-r1';
import { Generator } from '../../test/reference/random.js';
import { sizeName, type Workloads, workload } from '../harness/workload.js';

export function* workloads(): Workloads {
  for (const size of [100, 1000, 5000]) {
    const random = new Generator(2026);
    const points = (): Float32Array => Float32Array.from({ length: 2 * size }, () => 1000 * random.next());
    const [a, b] = [points(), points()];
    const out = new Float32Array(size * size);
    for (const metric of ['l2', 'l1'] as const)
      yield workload({
        name: `distance/${metric}, ${sizeName(1, size, size)}`,
        peers: { kernel: 'distance', parameters: { size, metric }, data: { a, b } },
        run: () => pairwiseDistance(a, b, { metric, out }),
        check(distances) {
          const step = Math.ceil(distances.length / 200_000);
          for (let pair = 0; pair < distances.length; pair += step) {
            const [row, column] = [Math.floor(pair / size), pair % size];
            const dx = a[2 * row]! - b[2 * column]!;
            const dy = a[2 * row + 1]! - b[2 * column + 1]!;
            const expected = metric === 'l2' ? Math.sqrt(dx * dx + dy * dy) : Math.abs(dx) + Math.abs(dy);
            assert.ok(Math.abs(distances[pair]! - expected) < 1e-3, `${distances[pair]}, ${expected}`);
          }
          return distances;
        },
        tolerance: 1e-3,
        ...(size === 5000 && { limit: { kind: 'store', amount: 4 * size * size } as const }),
      });
  }
}
