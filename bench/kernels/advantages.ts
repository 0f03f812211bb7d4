/** Group-relative advantages. */
import assert from 'node:assert/strict';
import { groupAdvantages } from 'perception-r1';
import { advantages } from '../../test/reference/advantages.js';
import { Generator } from '../../test/reference/random.js';
import { grouped, type Workloads, workload } from '../harness/workload.js';

const shapes = [
  [256, 8],
  [4096, 16],
  [65536, 16],
  [1048576, 8],
] as const;

export function* workloads(): Workloads {
  for (const [groups, size] of shapes) {
    const random = new Generator(2026);
    const rewards = Float32Array.from({ length: groups * size }, () => 3 * random.next());
    const out = new Float32Array(groups * size);
    yield workload({
      name: `advantages/${grouped(groups)} groups of ${size}`,
      peers: { kernel: 'advantages', parameters: { groups, size }, data: { rewards } },
      run: () => groupAdvantages(rewards, { groupSize: size, out }).advantages,
      check(found) {
        const one = new Uint8Array(size);
        for (let group = 0; group < Math.min(groups, 1000); group++) {
          const [begin, end] = [group * size, (group + 1) * size];
          const own = found.subarray(begin, end);
          advantages(rewards.subarray(begin, end), one).forEach((expected, i) =>
            assert.ok(Math.abs(own[i]! - expected) < 1e-5, `${own[i]}, ${expected}`),
          );
        }
        return found;
      },
      tolerance: 1e-3, // of float32 throughout
      limit: { kind: 'copy', amount: 2 * rewards.byteLength },
    });
  }
}
