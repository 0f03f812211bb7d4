/** A training that only writes: `writer.ts FOLDER once` tries each call once, `writer.ts FOLDER loop` goes on until killed. */
import { RunFolder } from '../../../src/grpo/run/folder.js';

const [path, mode] = process.argv.slice(2) as [string, string];
const run = RunFolder.open(path);
const size = 50_000;
const line = (step: number) => ({
  step,
  metrics: { 'reward/mean': Math.sin(step), text: 1 / 3 },
  timing: { 'time/sample': 0.5 },
  notes: ['x'.repeat(step % 5000)],
});
const checkpoint = (step: number) => ({
  step,
  metadata: { seed: '1' },
  tensors: { weights: { shape: [size], data: new Float32Array(size).fill(step) } },
});

if (mode === 'once') {
  for (const write of [() => run.log(line(2)), () => run.save(checkpoint(2)), () => run.writeReport()]) {
    try {
      write();
    } catch (error) {
      process.stdout.write(`${(error as Error).message}\n`);
    }
  }
} else {
  let step = run.latest()?.step ?? 0;
  run.rewind(step);
  for (;;) {
    step++;
    run.log(line(step));
    run.save(checkpoint(step), { keep: step % 50 === 0 });
    process.stdout.write('.');
  }
}
