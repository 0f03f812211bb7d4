/**
 * The backends that a test of tensor code goes through: TensorFlow.js's own, and tfjs-node's where it can be loaded (found
 * as test/tfjs/tensorflow.test.ts finds it).
 */
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import { afterEach, beforeEach, describe } from 'vitest';

const folder = process.env.PERCEPTION_R1_TFJS_NODE;
const require = createRequire(folder ? resolve(folder, 'package.json') : import.meta.url);
const warn = console.warn;
console.warn = () => {}; // a second copy of tfjs-core finds each kernel registered
try {
  require('@tensorflow/tfjs-node');
} catch (error) {
  if (process.env.PERCEPTION_R1_REQUIRE_TFJS_NODE === '1') throw error;
  console.log(`Not tested on tensorflow: ${(error as Error).message.split('\n')[0]}`);
} finally {
  console.warn = warn;
}

export const backends: readonly string[] = tf.findBackendFactory('tensorflow')
  ? ['cpu', 'wasm', 'tensorflow']
  : ['cpu', 'wasm'];

/** Tests on each backend; what they leave behind is disposed, and a kernel that leaks throws. */
export function onEachBackend(tests: (backend: string) => void): void {
  for (const backend of backends) {
    describe(backend, () => {
      beforeEach(async () => {
        await tf.setBackend(backend);
        tf.env().set('IS_TEST', true);
        tf.engine().startScope();
      });
      afterEach(() => tf.engine().endScope());
      tests(backend);
    });
  }
}

/** How many tensors `body` leaves behind, once what it does only the first time is done. */
export function leaked(body: () => void): number {
  body();
  const before = tf.memory().numTensors;
  body();
  return tf.memory().numTensors - before;
}
