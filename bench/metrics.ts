/**
 * Detections to the twelve figures: 5,000 images with 36,000 objects of 80 categories, 36,000 and 150,000 detections, with
 * 1 and 2 threads; from flat arrays and from one object per image. And average precision as a reward: 2,048 answers of
 * 30 boxes.
 */
import assert from 'node:assert/strict';
import { setThreads } from 'perception-r1';
import { averagePrecision, evaluateDetections } from 'perception-r1/metrics';
import { Bench } from 'tinybench';
import { detections, objects, perImage } from '../test/reference/detections.js';

const images = 5000;
const truth = objects(images, 36000);
const sizes = [36000, 150000].map((count) => ({ count, found: detections(truth, count) }));

const bench = new Bench({ time: 1000, warmupTime: 300 });
for (const { count, found } of sizes) {
  const reports = [1, 2].map((threads) => {
    setThreads(threads);
    return evaluateDetections(truth, found, { curves: true });
  });
  assert.deepEqual(reports[0], reports[1]);
  assert.ok(reports[0]!.AP > 0.1 && reports[0]!.AP < 0.9, `AP ${reports[0]!.AP}`);
  const listed = { truth: perImage(truth), found: perImage(found) };
  assert.deepEqual(evaluateDetections(listed.truth, listed.found).stats, reports[0]!.stats);
  for (const threads of [1, 2]) {
    const beforeAll = (): void => setThreads(threads);
    const name = `${count.toLocaleString('en')} detections, ${threads} threads`;
    bench.add(name, () => void evaluateDetections(truth, found), { beforeAll });
    bench.add(`${name}, an object per image`, () => void evaluateDetections(listed.truth, listed.found), {
      beforeAll,
    });
  }
}

const prompts = perImage({
  ...objects(1, 256 * 30, 8),
  offsets: Int32Array.from({ length: 257 }, (_, i) => 30 * i),
});
const answers = prompts.flatMap((prompt) => Array.from({ length: 8 }, () => prompt));
assert.ok(averagePrecision(prompts, answers, { groupSize: 8 }).every((ap) => ap > 0.99));
for (const threads of [1, 2]) {
  bench.add(
    `reward of 2,048 answers, ${threads} threads`,
    () => void averagePrecision(prompts, answers, { groupSize: 8 }),
    {
      beforeAll: () => setThreads(threads),
    },
  );
}

await bench.run();
console.table(
  bench.tasks.map(({ name, result }) => {
    assert.ok('latency' in result);
    const { p50, p99 } = result.latency;
    return { task: name, 'median ms': p50.toFixed(2), 'p99 ms': p99.toFixed(2) };
  }),
);
