/**
 * Stands in for `perception-r1 train` in tests of the study: writes the folder of a run in a moment. `behaviour.json` beside
 * the runs says by name which run fails or waits to be interrupted, `resolved.json` what their settings become.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { RunFolder } from '../../dist/grpo/run/folder.js';

const args = process.argv.slice(2);
const option = (name) => (args.includes(name) ? args[args.indexOf(name) + 1] : undefined);
const path = option('--resume') ?? option('--output');
const name = basename(path);
const beside = (file) => join(dirname(path), file);
const read = (file) => JSON.parse(readFileSync(file, 'utf8'));

const threads = process.env.TF_NUM_INTRAOP_THREADS;
appendFileSync(beside('calls.log'), `${option('--resume') ? 'resume' : 'begin'} ${name} ${threads}\n`);
const behaviour = existsSync(beside('behaviour.json')) ? read(beside('behaviour.json'))[name] : undefined;
if (behaviour === 'fails') {
  process.stderr.write('what it did\nno luck\n');
  process.exit(1);
}
let folder;
if (option('--resume')) {
  folder = RunFolder.open(path);
} else {
  const { from } = read(option('--config'));
  folder = RunFolder.create(path, {
    ...read(beside('resolved.json'))[name],
    ...(from !== undefined && { from }),
  });
}
const { steps } = folder.config;
const checkpoint = (step) => ({
  step,
  metadata: {},
  tensors: { x: { shape: [1], data: new Float32Array(1) } },
});
const log = (step, metrics) => folder.log({ step, metrics, timing: { 'time/step': 1 } });
if (folder.lines().length === 0) log(0, { 'eval/ap': 1 });
if (behaviour === 'waits' && !option('--resume')) {
  log(1, {});
  folder.save(checkpoint(1));
  process.on('SIGINT', () => process.exit(130));
  setInterval(() => {}, 1000);
} else if (behaviour === 'stops early') {
  log(1, {});
} else {
  log(steps, { 'eval/ap': 2 });
  folder.save(checkpoint(steps));
}
