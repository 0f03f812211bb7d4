// The C++ tests of the core: all of them under AddressSanitizer and UndefinedBehaviorSanitizer, those of the thread pool
// and of batches that run on it under ThreadSanitizer.
import { has, jobs, root, run } from './lib.mjs';

if (!has('cmake')) {
  console.log('C++ tests: NOT RUN, since CMake was not found; they are built by it alone.');
  process.exit(0);
}

/** Builds the tests as CMakePresets.json has them under this name; returns the program. */
function build(preset) {
  run('cmake', ['--preset', preset]);
  run('cmake', ['--build', `build/${preset}`, '--parallel', String(jobs)]);
  return `${root}build/${preset}/core_tests`;
}

run(build('asan'), ['--no-version']);
// Four threads even on a small machine: a race needs company.
run(build('tsan'), ['--no-version', '--test-case=*pool*,*batch*,*threads*'], {
  env: { ...process.env, PERCEPTION_R1_THREADS: '4', TSAN_OPTIONS: 'halt_on_error=1' },
});
