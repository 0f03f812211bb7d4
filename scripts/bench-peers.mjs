// npm run bench:peers: prepares the tools that bench/peers/peers.json names, in build/peers, and runs the benchmarks
// beside them. What cannot be had is named, and the rest goes on. Options: those of npm run bench; --prepare: no more
// than to prepare.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { has, root, run, runPackage } from './lib.mjs';

const { python: pythonPackages, node: nodePackages } = JSON.parse(
  readFileSync(join(root, 'bench/peers/peers.json'), 'utf8'),
);
const folder = join(root, 'build/peers');
mkdirSync(folder, { recursive: true });
const missing = [];

/** Runs a command; false, and its last words among what is missing, where it fails. */
function attempt(name, command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: folder, encoding: 'utf8' });
  if (status === 0) return true;
  const lines = `${error?.message ?? ''}\n${stdout ?? ''}\n${stderr ?? ''}`.trim().split('\n');
  missing.push(`${name}: ${lines.findLast((line) => /error/i.test(line)) ?? lines.at(-1)}`);
  return false;
}

function preparePython() {
  const system = ['python3', 'python'].find(has);
  if (!system) return missing.push('Python and its packages: no python3 was found');
  const environment = join(folder, 'python');
  const python = join(environment, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');
  if (!existsSync(python) && !attempt('a Python environment', system, ['-m', 'venv', environment])) return;
  const listed = spawnSync(python, ['-m', 'pip', 'list', '--format', 'json'], { encoding: 'utf8' });
  const installed = new Map(JSON.parse(listed.stdout).map((p) => [p.name.toLowerCase(), p.version]));
  for (const [name, version] of Object.entries(pythonPackages)) {
    if (installed.get(name)?.split('+')[0] === version) continue;
    console.log(`${name} ${version} (pip)`);
    attempt(name, python, ['-m', 'pip', 'install', '--prefer-binary', '--quiet', `${name}==${version}`]);
  }
}

function prepareNode() {
  // A package of its own, so that npm does not look further up.
  if (!existsSync(join(folder, 'package.json')))
    writeFileSync(join(folder, 'package.json'), '{"private": true}\n');
  const npm = process.env.npm_execpath ? [process.execPath, process.env.npm_execpath] : ['npm'];
  for (const [name, version] of Object.entries(nodePackages)) {
    const path = join(folder, 'node_modules', name, 'package.json');
    if (existsSync(path) && JSON.parse(readFileSync(path, 'utf8')).version === version) continue;
    console.log(`${name} ${version} (npm)`);
    const options = ['--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund', '--save-exact'];
    attempt(name, npm[0], [...npm.slice(1), 'install', ...options, `${name}@${version}`]);
  }
}

preparePython();
prepareNode();
if (missing.length > 0) console.log(`Could not be had:\n  ${missing.join('\n  ')}`);
const options = process.argv.slice(2);
if (options.includes('--prepare')) process.exit();
runPackage('typescript', 'bin/tsc', ['-p', 'tsconfig.bench.json']);
run(process.execPath, [join(root, 'build/bench/bench/harness/main.js'), ...options]);
