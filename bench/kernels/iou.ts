/** The IoU family: every box with every other, in batches and in single large matrices. */
import assert from 'node:assert/strict';
import { type IouKind, pairwiseIou, pairwiseIouBatch } from 'perception-r1';
import { iou } from '../../test/reference/iou.js';
import { Generator } from '../../test/reference/random.js';
import { evenOffsets, sizeName, type Workloads, workload } from '../harness/workload.js';

const shapes = [
  [4096, 10],
  [1024, 100],
  [64, 300],
  [1, 1000],
  [1, 5000],
] as const;
const kinds: readonly IouKind[] = ['iou', 'giou', 'diou', 'ciou'];

/** Writing takes longer than the arithmetic of IoU where the result is larger than any cache. */
const largerThanCaches = 4e6;

export function* workloads(): Workloads {
  for (const [problems, size] of shapes) {
    const random = new Generator(2026);
    const [a, b] = [random.boxes(problems * size, 1000), random.boxes(problems * size, 1000)];
    const pairs = problems * size * size;
    const out = new Float32Array(pairs);
    const offsets = evenOffsets(problems, size);
    const [left, right] = [
      { values: a, offsets },
      { values: b, offsets },
    ];
    for (const kind of kinds) {
      const limit =
        pairs > largerThanCaches
          ? ({ kind: 'store', amount: 4 * pairs } as const)
          : ({ kind: 'overlaps', amount: pairs } as const);
      yield workload({
        name: `iou/${kind}, ${sizeName(problems, size, size)}`,
        peers: { kernel: 'iou', parameters: { problems, size, kind }, data: { a, b } },
        run: () =>
          problems === 1
            ? pairwiseIou(a, b, { kind, out })
            : pairwiseIouBatch(left, right, { kind, out }).values,
        check(values) {
          const step = Math.ceil(pairs / 200_000);
          for (let pair = 0; pair < pairs; pair += step) {
            const row = Math.floor(pair / size);
            const column = Math.floor(row / size) * size + (pair % size);
            const expected = iou(
              a.subarray(4 * row, 4 * row + 4),
              b.subarray(4 * column, 4 * column + 4),
              kind,
            );
            assert.ok(Math.abs(values[pair]! - expected) < 1e-4, `${kind} ${values[pair]}, ${expected}`);
          }
          return values;
        },
        tolerance: 1e-4,
        ...((kind === 'iou' || limit.kind === 'store') && { limit }),
      });
    }
  }
}
