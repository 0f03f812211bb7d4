// npm start: scores the sample rollouts with the built command. Further arguments go to it: npm start -- --json
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const main = path('dist/cli/main.js');
if (!existsSync(main)) {
  console.error(`${main} is not there: run "npm ci" first (after a change of the sources, "npm run build").`);
  process.exit(1);
}
const { status, signal, error } = spawnSync(
  process.execPath,
  [main, 'score', '--input', path('examples/rollouts.jsonl'), ...process.argv.slice(2)],
  { stdio: 'inherit' },
);
if (error) throw error;
if (signal) process.kill(process.pid, signal);
process.exitCode = status ?? 1;
