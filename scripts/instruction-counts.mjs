// npm run bench:instructions: counts the instructions of each kernel on a small input, by valgrind, and compares them with
// those of bench/instructions.json, which it then replaces (not with --dry-run). Unlike times they are the same on a busy
// machine. Nothing here fails because of a count.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { has, jobs, root, run } from './lib.mjs';

const file = join(root, 'bench/instructions.json');
const build = join(root, 'build/cmake');
const program = join(root, 'build/instructions');
const variants = ['baseline', 'avx2']; // valgrind knows no AVX-512

/** Those of the program on this kernel, between the beginning and the end of counted(). */
function count(kernel, variant) {
  const options = ['--tool=callgrind', '--callgrind-out-file=/dev/null', '--collect-atstart=no'];
  const { stderr, status } = spawnSync(
    'valgrind',
    [...options, '--toggle-collect=counted', program, kernel],
    {
      encoding: 'utf8',
      env: { ...process.env, PERCEPTION_R1_CPU: variant },
    },
  );
  const collected = /Collected : (\d+)/.exec(stderr);
  if (status !== 0 || !collected) throw new Error(`${kernel}: valgrind: ${stderr}`);
  return Number(collected[1]);
}

const change = (before, now) => {
  if (before === undefined) return 'new';
  const percent = (100 * (now - before)) / before;
  return Math.abs(percent) < 0.05 ? '' : `${percent > 0 ? '+' : ''}${percent.toFixed(1)} %`;
};

if (!has('valgrind')) {
  console.log('Instructions: NOT COUNTED, since valgrind was not found.');
  process.exit();
}
if (!existsSync(join(build, 'CMakeCache.txt'))) {
  console.log('Instructions: NOT COUNTED, since the add-on was not built with CMake (npm run build:native).');
  process.exit();
}
const cache = readFileSync(join(build, 'CMakeCache.txt'), 'utf8');
const compiler = /^CMAKE_CXX_COMPILER:[^=]*=(.+)$/m.exec(cache)[1];
const { core, flags } = JSON.parse(readFileSync(join(root, 'native/sources.json'), 'utf8'));
// The objects of the add-on, as they are shipped.
run('cmake', ['--build', build, '--target', 'perception_core', '--parallel', String(jobs)]);
const objects = core.map((source) => join(build, 'CMakeFiles/perception_core.dir', `${source}.o`));
const own = ['-std=c++20', '-O2', ...flags, '-Inative', 'native/bench/instructions.cc'];
run(compiler, [...own, ...objects, '-pthread', '-o', program]);

const kernels = spawnSync(program, { encoding: 'utf8' }).stdout.trim().split('\n');
const before = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { counts: {} };
const version = spawnSync(compiler, ['--version'], { encoding: 'utf8' }).stdout.split('\n')[0];
const now = { compiler: version, counts: {} };
const rows = {};
const more = [];
for (const kernel of kernels) {
  now.counts[kernel] = {};
  rows[kernel] = {};
  for (const variant of variants) {
    const instructions = count(kernel, variant);
    now.counts[kernel][variant] = instructions;
    rows[kernel][variant] = instructions.toLocaleString('en');
    const last = before.counts[kernel]?.[variant];
    rows[kernel][`${variant}: change`] = change(last, instructions);
    if (instructions > 1.01 * last) more.push(`${kernel} (${variant}: ${change(last, instructions)})`);
  }
}
console.table(rows);
if (more.length > 0) console.log(`More than on record:\n  ${more.join('\n  ')}`);
if (before.compiler && before.compiler !== version)
  console.log(`The compiler is another: then ${before.compiler}, now ${version}.`);
if (!process.argv.includes('--dry-run')) writeFileSync(file, `${JSON.stringify(now, undefined, 2)}\n`);
