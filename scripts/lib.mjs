// What the build and test scripts share.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
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

/** Builds the add-on with CMake, into build/cmake. */
export function buildWithCmake() {
  runPackage('cmake-js', 'bin/cmake-js', ['compile', '--out', 'build/cmake', '--parallel', String(jobs)]);
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
