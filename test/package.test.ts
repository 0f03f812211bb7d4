/** The package as it is published: nothing but its files, no install script run. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { info } from '../src/index.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const project = mkdtempSync(join(tmpdir(), 'perception-r1-package-'));
const installed = join(project, 'node_modules/perception-r1');
const prebuild = `prebuilds/${process.platform}-${process.arch}/perception_r1.node`;

beforeAll(() => {
  const report = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', project], {
    cwd: root,
    encoding: 'utf8',
  });
  const [{ filename }] = JSON.parse(report) as [{ filename: string }];
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['-xzf', join(project, filename), '-C', installed, '--strip-components=1']);
});

afterAll(() => {
  rmSync(project, { recursive: true, force: true });
});

const use = (): string =>
  execFileSync(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `import { info, linearSumAssignment, PerceptionError } from 'perception-r1';
       try { linearSumAssignment(Float64Array.of(1, 0, 0, 3), 2, 2); console.log(info().addon.path); }
       catch (error) { console.log(error instanceof PerceptionError, error.message); }`,
    ],
    { cwd: project, encoding: 'utf8', env: { ...process.env, PERCEPTION_R1_ADDON: '' } },
  );

test('holds what it needs and nothing that npm would build by itself', () => {
  for (const file of [
    'dist/index.js',
    'dist/index.d.ts',
    'dist/tfjs/index.js',
    'dist/metrics/index.js',
    'dist/grpo/index.js',
    'dist/cli/main.js',
    'CMakeLists.txt',
    'native/sources.json',
    'LICENSE',
    'docs/recipes.md',
  ]) {
    expect(existsSync(join(installed, file)), file).toBe(true);
  }
  for (const file of ['binding.gyp', 'src', 'test', 'build', 'native/test']) {
    expect(existsSync(join(installed, file)), file).toBe(false);
  }
});

test('uses a prebuilt binary inside it, and without one says what to do', () => {
  rmSync(join(installed, prebuild), { force: true });
  expect(use()).toMatch(
    /^true The native add-on of perception-r1 could not be loaded[\s\S]*prebuilds[\s\S]*What to do:/,
  );
  mkdirSync(dirname(join(installed, prebuild)), { recursive: true });
  copyFileSync(info().addon.path, join(installed, prebuild));
  expect(use().trim()).toBe(join(installed, prebuild));
});
