// The C++ tests: those of the core and of the GPU's operations on the host, all of them under AddressSanitizer and
// UndefinedBehaviorSanitizer, and those with several threads (the pool, batches that run on it, a GPU's lanes) under
// ThreadSanitizer; and the GPU's benchmarks on the emulated device, at toy sizes.
import { has, jobs, root, run } from './lib.mjs';

if (!has('cmake')) {
  console.log('C++ tests: NOT RUN, since CMake was not found; they are built by it alone.');
  process.exit(0);
}

/** Builds `targets` as CMakePresets.json has them under this name; returns the folder. */
function build(preset, ...targets) {
  run('cmake', ['--preset', preset]);
  run('cmake', ['--build', `build/${preset}`, '--parallel', String(jobs), '--target', ...targets]);
  return `${root}build/${preset}`;
}

const asan = build('asan', 'core_tests', 'bench_smoke');
run(`${asan}/core_tests`, ['--no-version']);
run(`${asan}/native/bench/bench_smoke`, ['--no-version']);
// Four threads even on a small machine: a race needs company.
run(`${build('tsan', 'core_tests')}/core_tests`, ['--no-version', '--test-case=*pool*,*batch*,*threads*'], {
  env: { ...process.env, PERCEPTION_R1_THREADS: '4', TSAN_OPTIONS: 'halt_on_error=1' },
});
