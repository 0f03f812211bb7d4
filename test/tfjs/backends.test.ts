/** The operations on TensorFlow.js's own backends. */
import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import { describe, expect, test } from 'vitest';
import { pairwiseIou } from '../../src/tfjs/index.js';
import { suite } from './suite.js';

for (const backend of ['cpu', 'wasm']) {
  describe(backend, () => suite(() => tf.setBackend(backend), 'neutral'));
}

test('tensors of another backend are read where they are', async () => {
  await tf.setBackend('cpu');
  const a = tf.tensor2d([[0, 0, 2, 2]]);
  await tf.setBackend('wasm');
  const b = tf.tensor2d([[1, 0, 3, 2]]);
  expect(pairwiseIou(a, b).dataSync()[0]).toBeCloseTo(1 / 3, 6);
});
