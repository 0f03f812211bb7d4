/**
 * The operations on tensors, per backend and route: microseconds per call for one problem and for 4,096, beside the same
 * computed with TensorFlow.js's own operations where it has them. Each backend runs in a process of its own.
 *
 * `--soak`: 100,000 calls instead, and what they leave behind. `--json`: one line of JSON per backend.
 * PERCEPTION_R1_TFJS_NODE: a folder with @tensorflow/tfjs-node in its node_modules, where this project's own has not.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Tensor, Tensor2D, Tensor3D, TensorContainer } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import {
  detectionReward,
  explainRoute,
  groupAdvantages,
  linearSumAssignment,
  pairwiseIou,
} from 'perception-r1/tfjs';
import { Bench } from 'tinybench';
import { Generator } from '../test/reference/random.js';

interface Row {
  operation: string;
  problems: number;
  /** Median microseconds per call. */
  own: number;
  /** The same with TensorFlow.js's operations. */
  stock?: number;
}

async function load(backend: string): Promise<void> {
  if (backend === 'tensorflow') {
    const folder = process.env.PERCEPTION_R1_TFJS_NODE;
    const warn = console.warn;
    console.warn = () => {}; // a second copy of tfjs-core finds each kernel registered
    createRequire(folder ? resolve(folder, 'package.json') : import.meta.url)('@tensorflow/tfjs-node');
    console.warn = warn;
  } else {
    await import('@tensorflow/tfjs');
    if (backend === 'wasm') await import('@tensorflow/tfjs-backend-wasm');
    await tf.setBackend(backend);
  }
  await tf.ready();
  assert.equal(tf.getBackend(), backend);
}

/** IoU of [B, N, 4] and [B, M, 4]; `spread` for gradients, since those of maximum and minimum do not broadcast. */
function stockIou(a: Tensor3D, b: Tensor3D, spread = false): Tensor {
  return tf.tidy(() => {
    const sides = (x: Tensor, axis: number): Tensor[] =>
      tf.split(x, 4, 2).map((side) => {
        const wide = tf.expandDims(tf.squeeze(side, [2]), axis);
        return spread ? tf.broadcastTo(wide, [a.shape[0], a.shape[1], b.shape[1]]) : wide;
      });
    const [ax1, ay1, ax2, ay2] = sides(a, 2) as [Tensor, Tensor, Tensor, Tensor];
    const [bx1, by1, bx2, by2] = sides(b, 1) as [Tensor, Tensor, Tensor, Tensor];
    const width = tf.relu(tf.sub(tf.minimum(ax2, bx2), tf.maximum(ax1, bx1)));
    const height = tf.relu(tf.sub(tf.minimum(ay2, by2), tf.maximum(ay1, by1)));
    const intersection = tf.mul(width, height);
    const area = (x1: Tensor, y1: Tensor, x2: Tensor, y2: Tensor): Tensor =>
      tf.mul(tf.sub(x2, x1), tf.sub(y2, y1));
    const areas = tf.add(area(ax1, ay1, ax2, ay2), area(bx1, by1, bx2, by2));
    return tf.div(intersection, tf.sub(areas, intersection));
  });
}

/** (reward - mean) / (std + 1e-4) of each row. */
function stockAdvantages(rewards: Tensor2D): Tensor {
  return tf.tidy(() => {
    const size = rewards.shape[1];
    const { mean, variance } = tf.moments(rewards, 1, true);
    const std = tf.sqrt(tf.mul(variance, size / (size - 1)));
    return tf.div(tf.sub(rewards, mean), tf.add(std, 1e-4));
  });
}

function assertClose(a: Tensor, b: Tensor): void {
  const [x, y] = [a.dataSync(), b.dataSync()];
  assert.equal(x.length, y.length);
  x.forEach((value, i) => assert.ok(Math.abs(value - y[i]!) < 1e-4, `${value} is not ${y[i]}`));
}

interface Task {
  operation: string;
  problems: number;
  own: () => TensorContainer;
  stock?: () => Tensor;
}

function tasks(problems: number): Task[] {
  const random = new Generator(2026);
  const size = 8;
  const numbers = (length: number): Float32Array => Float32Array.from({ length }, () => random.next());
  const prompts = Math.max(1, problems / 8);
  const a = tf.tensor3d(random.boxes(problems * size), [problems, size, 4]);
  const b = tf.tensor3d(random.boxes(problems * size), [problems, size, 4]);
  const truthBoxes = tf.tensor3d(random.boxes(prompts * size), [prompts, size, 4]);
  const labels = tf.ones([problems, size], 'int32') as Tensor2D;
  const truthLabels = tf.ones([prompts, size], 'int32') as Tensor2D;
  const costs = tf.tensor3d(numbers(problems * size * size), [problems, size, size]);
  const rewards = tf.tensor2d(numbers(problems * size), [problems, size]);
  return [
    { operation: 'pairwiseIou', problems, own: () => pairwiseIou(a, b), stock: () => stockIou(a, b) },
    {
      operation: 'gradient of pairwiseIou',
      problems,
      own: () => tf.grad((x: Tensor) => tf.sum(pairwiseIou(x, b)))(a),
      stock: () => tf.grad((x: Tensor) => tf.sum(stockIou(x as Tensor3D, b, true)))(a),
    },
    { operation: 'linearSumAssignment', problems, own: () => linearSumAssignment(costs) },
    {
      operation: 'groupAdvantages',
      problems,
      own: () => groupAdvantages(rewards),
      stock: () => stockAdvantages(rewards),
    },
    {
      operation: 'detectionReward',
      problems,
      own: () => detectionReward({ boxes: a, labels, truthBoxes, truthLabels }),
    },
  ];
}

async function measure(list: readonly Task[]): Promise<Row[]> {
  const rows: Row[] = [];
  for (const { operation, problems, own, stock } of list) {
    if (stock) tf.tidy(() => assertClose(own() as Tensor, stock()));
    const bench = new Bench({ time: 400, warmupTime: 100 });
    bench.add('own', () => tf.dispose(own()));
    if (stock) bench.add('stock', () => tf.dispose(stock()));
    await bench.run();
    const [first, second] = bench.tasks.map(({ result }) => {
      assert.ok('latency' in result);
      return result.latency.p50 * 1e3;
    });
    rows.push({ operation, problems, own: first!, ...(second !== undefined && { stock: second }) });
  }
  return rows;
}

/** Tensors and resident megabytes before and after 100,000 calls; as many go ahead, to fill caches. */
function soak(list: readonly Task[]): Record<string, unknown> {
  const collect = (): number => {
    (globalThis as { gc?: () => void }).gc?.();
    return Math.round(process.memoryUsage.rss() / 1e6);
  };
  const look = () => ({ tensors: tf.memory().numTensors, dataIds: tf.backend().numDataIds(), MB: collect() });
  const calls = (count: number): void => {
    for (let i = 0; i < count; i += list.length) for (const { own } of list) tf.dispose(own());
  };
  calls(100_000);
  const before = look();
  calls(100_000);
  const after = look();
  assert.deepEqual([after.tensors, after.dataIds], [before.tensors, before.dataIds]);
  return { before, after };
}

const [backend] = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const flag = (name: string): boolean => process.argv.includes(name);

if (backend) {
  await load(backend);
  const result = flag('--soak')
    ? soak(tasks(1))
    : { rows: [...(await measure(tasks(1))), ...(await measure(tasks(4096)))] };
  console.log(JSON.stringify({ ...explainRoute(), ...result }));
} else {
  for (const name of ['cpu', 'wasm', 'tensorflow']) {
    const self = fileURLToPath(import.meta.url);
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      ['--expose-gc', self, name, ...process.argv.slice(2)],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const line = stdout.trim().split('\n').at(-1) ?? '';
    if (status !== 0) {
      console.log(
        `${name}: not run: ${
          stderr
            .trim()
            .split('\n')
            .find((text) => /Error|Cannot/.test(text)) ?? stderr
        }`,
      );
      continue;
    }
    const result = JSON.parse(line);
    if (flag('--json')) console.log(line);
    else {
      console.log(`${result.backend}: ${result.route} route`);
      if (result.rows) {
        console.table(
          (result.rows as Row[]).map(({ operation, problems, own, stock }) => ({
            operation,
            problems,
            'us a call': own.toFixed(1),
            'stock ops, us': stock?.toFixed(1) ?? '',
            ratio: stock ? (stock / own).toFixed(1) : '',
          })),
        );
      } else console.log(result.before, result.after);
    }
  }
}
