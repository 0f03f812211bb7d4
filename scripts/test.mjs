// npm test: the C++ tests under sanitizers, then everything else in vitest.
import { buildWithGyp, has, root, run, runPackage } from './lib.mjs';

run(process.execPath, [`${root}scripts/test-core.mjs`]);
if (has('python3') || has('python')) buildWithGyp(); // for the smoke test of both builders
runPackage('vitest', 'vitest.mjs', ['run', ...process.argv.slice(2)]);
