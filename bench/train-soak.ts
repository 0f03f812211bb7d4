/**
 * A thousand steps of GRPO with everything switched on, of a policy that hardly costs time: tensors and bytes that
 * TensorFlow.js holds, and the memory of the process, every hundred steps. Fails where the tensors grow in number.
 *
 * Arguments: backend (default: the fastest), steps (default 1000).
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { type BackendName, train } from 'perception-r1/grpo';

const [backend = 'auto', steps = '1000'] = process.argv.slice(2) as [(BackendName | 'auto')?, string?];
const folder = mkdtempSync(join(tmpdir(), 'perception-r1-soak-'));
const rows: { step: number; tensors: number; bytes: number; process: string }[] = [];
try {
  await train(
    {
      backend,
      steps: Number(steps),
      tasks: ['ocr', 'counting'],
      size: { width: 16, heads: 2, headWidth: 8, encoderLayers: 1, decoderLayers: 1 },
      promptsPerStep: 4,
      numGenerations: 4,
      numIterations: 2,
      miniBatches: 2,
      zeroVariance: 'resample',
      maxResamples: 1,
      loss: { beta: 0.04, entropyCoef: 0.01 },
      syncReferenceEvery: 10,
      evaluation: { every: 100, examples: 20 },
      saveEvery: 10,
    },
    join(folder, 'run'),
    {
      step({ step }) {
        if (step !== 1 && step % 100 !== 0) return;
        const { numTensors: tensors, numBytes: bytes } = tf.memory();
        rows.push({
          step,
          tensors,
          bytes,
          process: `${Math.round(process.memoryUsage.rss() / 2 ** 20)} MiB`,
        });
      },
    },
  );
} finally {
  rmSync(folder, { recursive: true });
}
console.table(rows);
const [, first, ...later] = rows;
for (const { tensors, bytes } of later)
  assert.deepEqual({ tensors, bytes }, { tensors: first!.tensors, bytes: first!.bytes });
console.log(`${tf.getBackend()}: flat over ${steps} steps`);
