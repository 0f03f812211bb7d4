// What the build and test scripts share.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);

/** The project's root. */
export const root = fileURLToPath(new URL('..', import.meta.url));

/** Whether `command --version` runs. */
export const has = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;

/** Runs a command in the root and ends this process with its exit code where it fails. */
export function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (error) {
    console.error(`${command}: ${error.message}`);
    process.exit(1);
  }
  if (status !== 0) process.exit(status ?? 1);
}

/** Runs the command line program of an npm package. */
export function runPackage(name, bin, args, options) {
  const path = require.resolve(`${name}/package.json`).replace(/package\.json$/, bin);
  run(process.execPath, [path, ...args], options);
}

/** Compilers at a time: one per processor, each given about 1.5 GiB. */
export const jobs = Math.max(1, Math.min(os.availableParallelism(), Math.floor(os.totalmem() / 1.5e9)));

/**
 * Builds the add-on with CMake, into build/cmake, and its CUDA plug-in where nvcc is found. A plug-in that does not build
 * leaves the add-on without one, which it says when it is asked; with PERCEPTION_R1_STRICT=1 that, and every warning of
 * nvcc, is an error.
 */
export function buildWithCmake() {
  const strict = process.env.PERCEPTION_R1_STRICT === '1';
  const options = ['--out', 'build/cmake', '--parallel', String(jobs)];
  runPackage('cmake-js', 'bin/cmake-js', [
    'compile',
    ...options,
    `--CDPERCEPTION_R1_STRICT=${strict ? 'ON' : 'OFF'}`,
  ]);
  const cache = readFileSync(join(root, 'build/cmake/CMakeCache.txt'), 'utf8');
  if (!/^CMAKE_CUDA_COMPILER:[^=]*=\/?.*nvcc/m.test(cache)) return;
  const build = ['--build', 'build/cmake', '--config', 'Release', '--target', 'perception_r1_cuda'];
  const { status } = spawnSync('cmake', [...build, '--parallel', String(jobs)], {
    cwd: root,
    stdio: 'inherit',
  });
  if (status === 0) return;
  rmSync(join(root, 'build/cmake/Release/perception_r1_cuda.so'), { force: true }); // an older build's
  console.error('The CUDA plug-in was NOT built (see above): without it no GPU is used.');
  if (strict) process.exit(1);
}

/** Runs node-gyp, with the headers that this Node brought along where there are some, so that none are downloaded. */
export function gyp(...commands) {
  const nodeDir = join(dirname(process.execPath), '..');
  const local = existsSync(join(nodeDir, 'include/node/node_api.h')) ? ['--nodedir', nodeDir] : [];
  runPackage('node-gyp', 'bin/node-gyp.js', [...commands, ...local, '--jobs', String(jobs)]);
}

/** Builds the add-on with node-gyp, into build/Release. */
export function buildWithGyp() {
  gyp('configure', 'build');
}
