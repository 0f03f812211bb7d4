// npm test: the C++ tests under sanitizers, then everything else in vitest.
import { buildWithGyp, has, jobs, root, run, runPackage } from './lib.mjs';

run(process.execPath, [`${root}scripts/test-core.mjs`]);
if (has('cmake')) {
  run('cmake', ['--preset', 'emulated']);
  run('cmake', [
    '--build',
    'build/emulated',
    '--parallel',
    String(jobs),
    '--target',
    'perception_r1_emulated',
  ]);
} else {
  console.log('Tests of the CUDA backend: NOT RUN, since CMake was not found; it builds the emulated GPU.');
}
if (has('python3') || has('python')) buildWithGyp(); // for the smoke test of both builders
runPackage('vitest', 'vitest.mjs', ['run', ...process.argv.slice(2)]);
