/** Gradients of pairwiseIou against torchvision's autograd; skipped, saying so, where Python has no torchvision. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs';
import type { Tensor } from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { pairwiseIou } from '../../src/tfjs/index.js';
import { Generator } from '../reference/random.js';

const python = process.env.PERCEPTION_R1_PYTHON ?? 'python3';
const probe = spawnSync(python, ['-c', 'import torch, torchvision'], { encoding: 'utf8' });
const missing =
  probe.status === 0
    ? undefined
    : (probe.error?.message ??
      (probe.stderr.trim().split('\n').at(-1) || `${python} ended with ${probe.status}`));
if (missing) console.log(`Gradients are not compared with torchvision: ${missing}`);

const random = new Generator(99);
const kinds = ['iou', 'giou', 'diou', 'ciou'] as const;
const formats = ['xyxy', 'xywh', 'cxcywh'] as const;

/** Boxes with whole coordinates: many touch, have equal sides or are one and the same. */
function gridBoxes(count: number, format: (typeof formats)[number]): number[] {
  return Array.from({ length: count }, () => {
    const [x, y, w, h] = [0, 0, 1, 1].map((low) => random.integer(low, 4)) as [
      number,
      number,
      number,
      number,
    ];
    if (format === 'xyxy') return [x, y, x + w, y + h];
    return format === 'xywh' ? [x, y, w, h] : [x + w / 2, y + h / 2, w, h];
  }).flat();
}

const cases = kinds.flatMap((kind) =>
  formats.flatMap((format) =>
    [false, true].map((grid) => {
      const list = (count: number): number[] =>
        grid || format !== 'xyxy'
          ? gridBoxes(count, format).map((v) => v + (grid ? 0 : random.next() / 3))
          : [...random.boxes(count, 8)];
      const [a, b] = [list(12), list(15)].map((values) => values.map(Math.fround)) as [number[], number[]];
      const weights = Array.from({ length: 12 * 15 }, () => Math.fround(random.next() - 0.4));
      return { kind, format, grid, a, b, weights };
    }),
  ),
);

test.skipIf(missing)('gradients are those of torchvision, ties included', async () => {
  const script = fileURLToPath(new URL('torchvision_gradients.py', import.meta.url));
  const { stdout, stderr } = spawnSync(python, [script], { input: JSON.stringify(cases), encoding: 'utf8' });
  expect(stdout, stderr).not.toBe('');
  const expected = JSON.parse(stdout) as [number[], number[]][];
  await tf.setBackend('cpu');
  cases.forEach(({ kind, format, grid, a, b, weights }, index) => {
    const gradients = tf.grads((x: Tensor, y: Tensor) =>
      tf.sum(tf.mul(pairwiseIou(x, y, { kind, format }), tf.tensor2d(weights, [12, 15]))),
    )([tf.tensor2d(a, [12, 4]), tf.tensor2d(b, [15, 4])]);
    gradients.forEach((gradient, side) =>
      gradient.dataSync().forEach((value, k) => {
        const what = `${kind} of ${format}${grid ? ', whole coordinates' : ''}, ${side ? 'b' : 'a'}[${k}]`;
        expect(Math.abs(value - expected[index]![side]![k]!), what).toBeLessThan(1e-5);
      }),
    );
  });
});
