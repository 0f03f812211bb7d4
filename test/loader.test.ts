/** Finding and loading the add-on: both builders, worker_threads, and what a missing add-on says. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { info, setThreads } from '../src/index.js';
import { type Binding, bindingNames } from '../src/native/binding.js';
import { codeOf } from './support.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);
const has = (command: string): boolean => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;

interface Sources {
  include: string[];
  defines: string[];
  flags: string[];
  core: string[];
  node: string[];
}
const sources = JSON.parse(readFileSync(`${root}native/sources.json`, 'utf8')) as Sources;

/** The arguments of a compiler command, by source file. */
function compiled(command: string): { file: string; defines: string[]; flags: string[] } | undefined {
  const words = command.split(/\s+/).map((word) => word.replace(/^'|'$/g, ''));
  const file = words.find((word) => word.endsWith('.cc'));
  if (!file) return undefined;
  return {
    file: file.slice(file.lastIndexOf('native/')),
    defines: words.filter((word) => word.startsWith('-D')).map((word) => word.slice(2)),
    flags: words,
  };
}

describe('both builders', () => {
  test.runIf(has('cmake'))(
    'CMake compiles every source once, with the definitions and flags of sources.json',
    () => {
      const directory = `${root}build/inspect`;
      execFileSync(
        'cmake',
        [
          ...[
            '-S',
            root,
            '-B',
            directory,
            '-DCMAKE_EXPORT_COMPILE_COMMANDS=ON',
            '-DCMAKE_BUILD_TYPE=Release',
          ],
          '-DPERCEPTION_R1_CUDA=OFF', // a target of its own, which node-gyp does not build
        ],
        {
          stdio: 'ignore',
        },
      );
      const commands = JSON.parse(readFileSync(`${directory}/compile_commands.json`, 'utf8')) as {
        command: string;
      }[];
      check(commands.map(({ command }) => compiled(command)!));
    },
  );

  test.runIf(has('python3'))('node-gyp compiles the same', () => {
    execFileSync(
      process.execPath,
      ['-e', "import('./scripts/lib.mjs').then(({ gyp }) => gyp('configure'))"],
      {
        cwd: root,
        stdio: 'ignore',
      },
    );
    // What make would run for a build from nothing.
    const plan = execFileSync(
      'make',
      ['-C', `${root}build`, '--dry-run', '--always-make', 'V=1', 'BUILDTYPE=Release'],
      {
        encoding: 'utf8',
      },
    );
    check(
      plan
        .split('\n')
        .filter((line) => !line.startsWith('printf') && / -c( |$)/.test(line))
        .flatMap((line) => compiled(line) ?? []),
    );
  });

  function check(commands: { file: string; defines: string[]; flags: string[] }[]): void {
    expect(commands.map(({ file }) => file).sort()).toEqual([...sources.core, ...sources.node].sort());
    for (const { file, defines, flags } of commands) {
      expect(flags, file).toEqual(expect.arrayContaining(sources.flags));
      expect(flags.filter((flag) => flag.startsWith('-O')).at(-1), file).toBe('-O3');
      expect(flags.filter((flag) => flag.startsWith('-std=')).at(-1), file).toBe('-std=c++20');
      if (sources.node.includes(file)) expect(defines, file).toEqual(expect.arrayContaining(sources.defines));
    }
  }

  const built = [
    `${root}build/cmake/Release/perception_r1.node`,
    `${root}build/Release/perception_r1.node`,
  ].filter((path) => existsSync(path));

  test('at least one has built the add-on', () => {
    expect(built).not.toEqual([]);
  });

  test.each(built)('smoke test of %s', (path) => {
    // In a process of its own, so that it is this file that is loaded.
    const script = `
      const addon = require(${JSON.stringify(path)});
      const out = new Float32Array(1);
      addon.pairwiseIou(Float32Array.of(0, 0, 2, 2), Float32Array.of(1, 0, 3, 2), 0, 0, out, false);
      const columns = new Int32Array(2);
      const cost = addon.linearSumAssignment(Float64Array.of(1, 0, 0, 3), 2, 2, false, columns, false);
      console.log(JSON.stringify({ names: Object.keys(addon).sort(), iou: out[0], columns: [...columns], cost }));`;
    const result = JSON.parse(execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' })) as Record<
      string,
      unknown
    >;
    expect(result).toEqual({
      names: [...bindingNames].sort(),
      iou: Math.fround(1 / 3),
      columns: [1, 0],
      cost: 0,
    });
  });
});

describe('the add-on checks what TypeScript would have refused', () => {
  const addon = require(info().addon.path) as Binding;
  const f = (n: number): Float32Array => new Float32Array(n);
  const i = (...values: number[]): Int32Array => Int32Array.from(values);
  const attempt = (body: () => unknown): string => {
    try {
      body();
    } catch (error) {
      return (error as { code: string }).code;
    }
    return 'no error';
  };

  test('shapes, offsets and kinds of arrays', () => {
    expect(attempt(() => addon.pairwiseIou(f(8), f(8), 0, 0, f(3), false))).toBe('SHAPE_MISMATCH');
    expect(attempt(() => addon.pairwiseIou(f(8), f(8), 9, 0, f(4), false))).toBe('INVALID_ARGUMENT');
    expect(attempt(() => addon.pairwiseIou(new Float64Array(8) as never, f(8), 0, 0, f(4), false))).toBe(
      'INVALID_ARGUMENT',
    );
    expect(attempt(() => addon.pairwiseIou(f(8), f(8), 0, 0, f(4), undefined as never))).toBe(
      'INVALID_ARGUMENT',
    );
    expect(
      attempt(() => addon.pairwiseIouBatch(f(8), i(0, 9), f(8), i(0, 2), 0, 0, i(0, 4), f(4), false)),
    ).toBe('INVALID_OFFSETS');
    expect(
      attempt(() => addon.pairwiseIouBatch(f(8), i(0, 2), f(8), i(0, 2), 0, 0, i(0, 9), f(9), false)),
    ).toBe('INVALID_OFFSETS');
    expect(attempt(() => addon.linearSumAssignment(f(4), 2, 3, false, i(0, 0), false))).toBe(
      'SHAPE_MISMATCH',
    );
    expect(attempt(() => addon.linearSumAssignment(f(4), 2, 2, false, i(0), false))).toBe('SHAPE_MISMATCH');
    expect(
      attempt(() =>
        addon.linearSumAssignmentBatch(
          f(4),
          i(0, 4),
          i(2),
          i(2),
          false,
          i(0, 3),
          i(0, 0, 0),
          new Float64Array(1),
          false,
        ),
      ),
    ).not.toBe('no error');
    expect(
      attempt(() => addon.editDistance(new Uint8Array(4), i(0, 9), new Uint8Array(4), i(0, 4), i(0), false)),
    ).toBe('INVALID_OFFSETS');
    const formula = { scale: 0, baseline: 0, epsilon: 0, ddof: 1, clipLow: -Infinity, clipHigh: Infinity };
    expect(
      attempt(() => addon.groupAdvantages(f(4), i(0, 9), false, 1, formula, f(4), f(1), f(1), false)),
    ).toBe('INVALID_OFFSETS');
    expect(
      attempt(() => addon.groupAdvantages(f(4), i(0, 1, 2, 7), true, 3, formula, f(4), f(3), f(3), false)),
    ).not.toBe('no error');
    expect(
      attempt(() => addon.groupAdvantages(f(4), i(0, 4), false, 1, formula, f(3), f(1), f(1), false)),
    ).toBe('SHAPE_MISMATCH');
    expect(attempt(() => addon.score({} as never, false))).toBe('INVALID_ARGUMENT');
    expect(attempt(() => addon.parse('x', 7, undefined))).toBe('INVALID_ARGUMENT');
  });
});

describe('worker_threads', () => {
  const code = (file: string): string => `
    const { parentPort } = require('node:worker_threads');
    const addon = require(${JSON.stringify(file)});
    const n = 300;
    const boxes = Float32Array.from({ length: 4 * n }, (_, i) => (i % 4 < 2 ? i : i + 50));
    const out = new Float32Array(n * n);
    addon.setThreads(4);
    addon.pairwiseIou(boxes, boxes, 3, 0, out, false);
    // An asynchronous call still running when the worker ends must not bring the process down.
    addon.pairwiseIou(boxes, boxes, 3, 0, new Float32Array(n * n), true);
    parentPort.postMessage(out[0]);`;

  test('load, work at the same time, and unload, again and again', async () => {
    const file = info().addon.path;
    for (let round = 0; round < 5; round++) {
      const results = await Promise.all(
        Array.from({ length: 3 }, async () => {
          const worker = new Worker(code(file), { eval: true });
          const result = await new Promise((resolve, reject) =>
            worker.once('message', resolve).once('error', reject),
          );
          await worker.terminate();
          return result;
        }),
      );
      expect(results).toEqual([1, 1, 1]);
    }
  });

  test('that were the only ones to load it leave a living process', () => {
    const script = `
      const { Worker } = require('node:worker_threads');
      const worker = new Worker(${JSON.stringify(code(info().addon.path))}, { eval: true });
      worker.on('exit', () => setTimeout(() => console.log('alive'), 50));`;
    expect(execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' })).toBe('alive\n');
  });
});

test('a missing add-on says what was tried and what to do', () => {
  const script = `
    import { pairwiseIou } from ${JSON.stringify(`${root}dist/index.js`)};
    try { pairwiseIou(new Float32Array(4), new Float32Array(4)); } catch (error) { console.log(error.code + '\\n' + error.message); }`;
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    env: { ...process.env, PERCEPTION_R1_ADDON: '/nowhere/perception_r1.node' },
  });
  expect(output).toContain('NATIVE_UNAVAILABLE');
  expect(output).toContain('/nowhere/perception_r1.node: not there');
  expect(output).toContain('npm run build:native');
});

test('info and setThreads', () => {
  setThreads(3);
  const { version, addon, cpu, cuda } = info();
  expect(version).toMatch(/^\d+\.\d+\.\d+/);
  expect(existsSync(addon.path)).toBe(true);
  expect(cpu.threads).toBe(3);
  expect(cpu.hardwareThreads).toBeGreaterThanOrEqual(1);
  expect(cuda.available).toBe(cuda.devices.length > 0);
  expect(cuda.available).toBe(cuda.reason === undefined);
  expect(codeOf(() => setThreads(0))).toBe('INVALID_ARGUMENT');
  expect(codeOf(() => setThreads(1.5))).toBe('INVALID_ARGUMENT');
});
