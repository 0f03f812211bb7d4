/**
 * The operations as TensorFlow ops on tfjs-node. Skipped, saying so, where tfjs-node cannot be loaded; with
 * PERCEPTION_R1_REQUIRE_TFJS_NODE=1 that is a failure. PERCEPTION_R1_TFJS_NODE names a folder that has tfjs-node in its
 * node_modules, where this project's own has not. tfjs-node brings TensorFlow.js's union package with it.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { explainRoute, pairwiseIou } from '../../src/tfjs/index.js';
import { suite } from './suite.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = process.env.PERCEPTION_R1_TFJS_NODE;
const require = createRequire(folder ? resolve(folder, 'package.json') : import.meta.url);

/** The loaded package's file, or why there is none. */
function load(): { file: string } | { missing: string } {
  const warn = console.warn;
  console.warn = () => {}; // a second copy of tfjs-core finds each kernel registered
  try {
    for (const name of ['@tensorflow/tfjs-node', '@tensorflow/tfjs-node-gpu']) {
      let file: string;
      try {
        file = require.resolve(name);
      } catch {
        continue;
      }
      require(file);
      return { file };
    }
    return { missing: 'neither @tensorflow/tfjs-node nor @tensorflow/tfjs-node-gpu is installed' };
  } catch (error) {
    return { missing: (error as Error).message.split('\n')[0]! };
  } finally {
    console.warn = warn;
  }
}

const loaded = load();
const missing = 'missing' in loaded ? loaded.missing : undefined;
if (missing) console.log(`The TensorFlow route is not tested: ${missing}`);

test.runIf(process.env.PERCEPTION_R1_REQUIRE_TFJS_NODE === '1')('tfjs-node is there, as required', () => {
  expect(missing).toBeUndefined();
});

describe.skipIf(missing)('tensorflow', () => {
  suite(() => tf.setBackend('tensorflow'), 'tensorflow');

  test('the route is taken by the values: nothing is read back to JavaScript', async () => {
    await tf.setBackend('tensorflow');
    const backend = tf.backend();
    const readSync = backend.readSync;
    const a = tf.tensor2d([[0, 0, 2, 2]]);
    backend.readSync = () => {
      throw new Error('read');
    };
    try {
      tf.dispose(pairwiseIou(a, a));
    } finally {
      backend.readSync = readSync;
    }
    expect(explainRoute().library).toContain('tensorflow');
  });

  /** Runs a module in a process of its own, with tfjs-node loaded; gives the JSON of its last line. */
  function inChild(lines: readonly string[], env: NodeJS.ProcessEnv): unknown {
    const script = [
      "const require = (await import('node:module')).createRequire(process.argv[1]);",
      'console.warn = () => {};',
      'const tf = require(process.argv[2]);',
      "const { explainRoute, pairwiseIou } = await import('perception-r1/tfjs');",
      ...lines,
    ].join('\n');
    const { stdout, stderr } = spawnSync(
      process.execPath,
      ['--input-type=module', '-e', script, import.meta.filename, (loaded as { file: string }).file],
      { env: { ...process.env, ...env }, encoding: 'utf8' },
    );
    return JSON.parse(stdout.trim().split('\n').at(-1) || stderr);
  }

  test('PERCEPTION_R1_TENSORFLOW=0 turns it off', () => {
    const [route, values] = inChild(
      [
        'console.log(JSON.stringify([explainRoute(), [...pairwiseIou([[0, 0, 2, 2]], [[0, 0, 2, 2]]).dataSync()]]));',
      ],
      { PERCEPTION_R1_TENSORFLOW: '0' },
    ) as [unknown, unknown];
    expect(route).toEqual({ backend: 'tensorflow', route: 'neutral', reason: 'PERCEPTION_R1_TENSORFLOW=0' });
    expect(values).toEqual([1]);
  });

  const emulated = `${root}build/emulated/native/test/perception_r1_emulated.so`;
  test('without a GPU the ops have no GPU kernels, and why is told', () => {
    const line = 'console.log(JSON.stringify(explainRoute().gpuReason));';
    expect(inChild([line], { PERCEPTION_R1_CUDA: '0' })).toBe('PERCEPTION_R1_CUDA=0');
  });

  test.runIf(existsSync(emulated))('with one they have; what is on the host is computed there', () => {
    const [route, values] = inChild(
      [
        'const boxes = [[0, 0, 2, 2]];',
        'console.log(JSON.stringify([explainRoute(), [...pairwiseIou(boxes, boxes).dataSync()]]));',
      ],
      { PERCEPTION_R1_CUDA: emulated },
    ) as [unknown, unknown];
    expect(route).toMatchObject({ route: 'tensorflow' });
    expect(route).not.toHaveProperty('gpuReason');
    expect(values).toEqual([1]);
  });

  test.runIf(process.platform === 'linux')(
    'the kernel reads TensorFlow’s own buffer: no memory of the input’s size is taken',
    () => {
      const megabytesTaken = (env: NodeJS.ProcessEnv): number => {
        const [taken, slack, value] = inChild(
          [
            "const { readFileSync } = await import('node:fs');",
            "const now = () => Number(/VmRSS:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);",
            'const peak = () => process.resourceUsage().maxRSS;',
            'const b = tf.tensor2d([[0, 0, 1, 2]]);',
            'tf.dispose(pairwiseIou(b, b));',
            'const values = new Float32Array(4 * 16e6);', // 256 MB
            'for (let i = 0; i < values.length; i++) values[i] = i & 3;',
            'const a = tf.tensor2d(values, [16e6, 4]);',
            'tf.dispose(tf.slice(a, [0, 0], [1, 4]));', // TensorFlow has it from here on
            'const before = peak();',
            'const slack = before - now();', // memory that was given back could be taken again unseen
            'const out = pairwiseIou(a, b);', // [16e6, 1]: 64 MB
            'console.log(JSON.stringify([(peak() - before) / 1024, slack / 1024, tf.slice(out, [9, 0], [1, 1]).dataSync()[0]]));',
          ],
          env,
        ) as [number, number, number];
        expect(slack).toBeLessThan(64);
        expect(value).toBeCloseTo(pairwiseIou([[0, 1, 2, 3]], [[0, 0, 1, 2]]).dataSync()[0]!, 6);
        return taken;
      };
      expect(megabytesTaken({})).toBeLessThan(64 + 96);
      // The neutral route, which reads the tensor, shows that a copy would have been seen.
      expect(megabytesTaken({ PERCEPTION_R1_TENSORFLOW: '0' })).toBeGreaterThan(240);
    },
  );
});
