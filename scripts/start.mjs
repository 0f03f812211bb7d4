// npm start: gets the fastest backend of TensorFlow.js that it can, trains a small policy by GRPO to find handwritten digits,
// from a warm start, and shows what that changed on scenes that it was not trained on. It ends within 5 minutes on
// tensorflow, 10 on wasm. Further arguments go to "perception-r1 train": npm start -- --seed 1
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './lib.mjs';

const minutes = { tensorflow: 5, wasm: 10, cpu: 10 };
const began = performance.now();
const main = join(root, 'dist/cli/main.js');
if (!existsSync(main)) {
  console.error(`${main} is not there: run "npm ci" first (after a change of the sources, "npm run build").`);
  process.exit(1);
}

let child;
process.on('SIGINT', () => {}); // a terminal sends it to the command too, which ends when it has saved its work
process.on('SIGTERM', () => child?.kill('SIGTERM'));

/** Runs the built command. @returns its exit code; where it was interrupted this process ends too */
async function perceptionR1(command, further = []) {
  const args = [...command.split(' '), ...further];
  console.log(`\n$ perception-r1 ${args.join(' ')}`);
  child = spawn(process.execPath, [main, ...args], { cwd: root, stdio: 'inherit' });
  const [code, signal] = await once(child, 'close');
  if (signal) {
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  }
  if (code === 130 || code === 143) process.exit(code);
  return code;
}

const args = process.argv.slice(2);
const asked = args.includes('--backend') ? args[args.indexOf('--backend') + 1] : undefined;
let backend = asked;
if (backend === undefined) {
  backend = (await perceptionR1('setup-tfjs --no-save')) === 0 ? 'tensorflow' : 'wasm';
  const why = { tensorflow: 'the fastest one', wasm: 'since tfjs-node could not be provided, see above' };
  console.log(`\nBackend: ${backend}, ${why[backend]}.`);
}

// Those of the study (docs/study.md), with more steps.
const settings = `--steps ${backend === 'tensorflow' ? 400 : 300} --temperature 0.7 --learning-rate 4e-4 --decay linear`;
const size = backend === 'tensorflow' ? 'small' : 'tiny';
let warm = `assets/warm-start/${size}.safetensors`;
const left = () => Math.max(0.5, (minutes[backend] ?? 10) - (performance.now() - began) / 60_000).toFixed(2);
if (!existsSync(join(root, warm))) {
  warm = `runs/warm-start-${backend}-${new Date().toISOString().slice(0, 19).replaceAll(/\D/g, '')}`;
  console.log(`\nThe warm start is not there: supervised training makes one first, in ${warm}.`);
  const limit = `--eval-every 0 --max-minutes ${left() / 2}`;
  const code = await perceptionR1(
    `train --stage sft --task detection --backend ${backend} --size ${size} ${limit} --output ${warm}`,
  );
  if (code !== 0) process.exit(code);
}
process.exitCode = await perceptionR1(
  `train --stage grpo --task detection --backend ${backend} --from ${warm} ${settings} --max-minutes ${left()}`,
  args,
);
