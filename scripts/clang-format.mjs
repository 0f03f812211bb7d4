// Checks the format of the C++ sources, or with --write mends it.
import { execFileSync } from 'node:child_process';
import { has, root, run } from './lib.mjs';

const write = process.argv.includes('--write');
if (!has('clang-format')) {
  console.error('clang-format was not found (Debian: apt-get install clang-format)');
  process.exit(write ? 0 : 1);
}
const files = execFileSync('git', ['ls-files', 'native'], { cwd: root, encoding: 'utf8' })
  .split('\n')
  .filter((file) => /\.(h|cc|cu|cuh)$/.test(file) && !file.includes('third_party'));
run('clang-format', [...(write ? ['-i'] : ['--dry-run', '--Werror']), ...files]);
