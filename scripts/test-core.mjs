// The C++ tests of the core: all of them under AddressSanitizer and UndefinedBehaviorSanitizer, those of the thread pool
// and of batches that run on it under ThreadSanitizer.
import { has, jobs, root, run } from './lib.mjs';

if (!has('cmake')) {
  console.log('C++ tests: NOT RUN, since CMake was not found; they are built by it alone.');
  process.exit(0);
}

function build(name, sanitizers) {
  const directory = `${root}build/${name}`;
  run('cmake', [
    '-S',
    root,
    '-B',
    directory,
    '-DCMAKE_BUILD_TYPE=RelWithDebInfo',
    '-DPERCEPTION_R1_ADDON=OFF',
    '-DPERCEPTION_R1_TESTS=ON',
    `-DPERCEPTION_R1_SANITIZE=${sanitizers}`,
  ]);
  run('cmake', ['--build', directory, '--parallel', String(jobs)]);
  return `${directory}/core_tests`;
}

run(build('asan', 'address,undefined'), ['--no-version']);
// Four threads even on a small machine: a race needs company.
run(build('tsan', 'thread'), ['--no-version', '--test-case=*pool*,*batch*'], {
  env: { ...process.env, PERCEPTION_R1_THREADS: '4', TSAN_OPTIONS: 'halt_on_error=1' },
});
