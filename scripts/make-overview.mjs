// The picture at the top of the README, out of the run that "npm start" leaves:
//   node scripts/make-overview.mjs runs/grpo-detection-... docs/images/detection.svg
import { writeFileSync } from 'node:fs';
import { RunFolder } from '../dist/grpo/index.js';
import { overviewSvg } from '../dist/grpo/run/overview.js';

const [path, output] = process.argv.slice(2);
if (output === undefined) {
  console.error('Usage: node scripts/make-overview.mjs RUN FILE.svg');
  process.exit(2);
}
const run = RunFolder.open(path);
const lines = run.lines();
const sets = run.samples();
const [before, after] = [sets[0], sets.at(-1)];
// The examples on which most has changed, for better or worse, and no picture twice.
const pairs = before.scenes
  .map((sample, i) => ({ before: sample, after: after.scenes[i] }))
  .sort((a, b) => Math.abs(b.after.reward - b.before.reward) - Math.abs(a.after.reward - a.before.reward))
  .slice(0, 4);
const points = (name) =>
  lines.flatMap(({ step, metrics }) => (metrics[name] === undefined ? [] : [[step, metrics[name]]]));
const ap = points('eval/ap');
const [first, last] = [ap[0][1], ap.at(-1)[1]];
writeFileSync(
  output,
  overviewSvg({
    title: `AP on held-out scenes: ${first.toFixed(1)} → ${last.toFixed(1)} in ${lines.at(-1).step} steps of GRPO`,
    pairs,
    curve: {
      title: 'AP on 400 held-out scenes',
      x: 'step',
      y: 'COCO, 0 to 100',
      series: [
        { name: 'likeliest tokens', points: ap },
        { name: 'sampled at temperature 1', points: points('eval_t1/ap') },
      ],
    },
  }),
);
