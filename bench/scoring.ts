/**
 * The main job: 2,048 completions (256 prompts x 8) of about 20 boxes each, from strings to advantages; the hand-over of
 * the strings by itself; and how late a 5 ms timer fires while 4,096 of them are scored.
 */
import assert from 'node:assert/strict';
import { info, type ScoreRequest, scoreCompletions, scoreCompletionsAsync } from 'perception-r1';
import { Bench } from 'tinybench';
import { packStrings } from '../src/ops/text.js';
import { Generator } from '../test/reference/random.js';

const labels = ['person', 'dog', 'cat', 'car', 'chair'];
const random = new Generator(2026);

function batch(prompts: number): ScoreRequest & { completions: string[] } {
  const completions: string[] = [];
  const groundTruth = Array.from({ length: prompts }, () => {
    const items = Array.from({ length: random.integer(10, 30) }, () => {
      const [x, y] = [random.integer(0, 500), random.integer(0, 300)];
      return {
        bbox_2d: [x, y, x + random.integer(10, 140), y + random.integer(10, 140)],
        label: labels[random.integer(0, 4)]!,
      };
    });
    const jitter = (value: number): number => value + random.integer(-6, 6);
    for (let g = 0; g < 8; g++) {
      const answer = items
        .filter(() => random.next() < 0.9)
        .map((item) => ({
          ...item,
          bbox_2d: item.bbox_2d.map(jitter).map((v, i, box) => (i > 1 ? Math.max(v, box[i - 2]!) : v)),
        }));
      completions.push(`\`\`\`json\n${JSON.stringify(g === 0 ? items : answer, null, 1)}\n\`\`\``);
    }
    return { boxes: items.map((item) => item.bbox_2d), labels: items.map((item) => item.label) };
  });
  return { recipe: 'perception-r1/detection', completions, groundTruth, groupSize: 8 };
}

const request = batch(256);
const { rewards, status } = scoreCompletions(request);
assert.equal(
  status.findIndex((bits) => bits !== 0),
  -1,
);
rewards.forEach((reward, i) =>
  assert.ok(i % 8 !== 0 || Math.abs(reward - 3) < 1e-5, `the truth itself scores ${reward}`),
);

const strict = { ...request, recipe: 'perception-r1/detection-strict' as const };
const bench = new Bench({ time: 2000, warmupTime: 500 });
bench
  .add('hand over 2,048 strings', () => {
    packStrings(request.completions, 'completions').release();
  })
  .add('score 2,048, as released', () => {
    scoreCompletions(request);
  })
  .add('score 2,048, strict', () => {
    scoreCompletions(strict);
  });
await bench.run();
const bytes = request.completions.reduce((sum, text) => sum + text.length, 0);
console.log(`${info().cpu.threads} threads, ${(bytes / 1e6).toFixed(2)} MB of completions`);
console.table(
  bench.tasks.map(({ name, result }) => {
    assert.ok('latency' in result);
    const { p50, p99 } = result.latency;
    return {
      task: name,
      'median ms': p50.toFixed(3),
      'p99 ms': p99.toFixed(3),
      'completions/s': Math.round(2048e3 / p50),
    };
  }),
);

const large = batch(512);
const late: number[] = [];
let last = performance.now();
const timer = setInterval(() => {
  const now = performance.now();
  late.push(now - last - 5);
  last = now;
}, 5);
for (let i = 0; i < 20; i++) await scoreCompletionsAsync(large);
clearInterval(timer);
late.sort((a, b) => a - b);
console.log(
  `5 ms timer while 4,096 completions are scored: ${late[late.length >> 1]!.toFixed(2)} ms late (median of ${late.length}), ${late.at(-1)!.toFixed(1)} ms at worst`,
);
