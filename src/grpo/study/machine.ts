import { createRequire } from 'node:module';
import { cpus, totalmem } from 'node:os';
import * as tf from '@tensorflow/tfjs-core';
import { packageVersion } from '../../info.js';
import type { ChosenBackend } from '../backend.js';

/** What times and figures of a study depend on. */
export interface Machine {
  cpu: string;
  hardwareThreads: number;
  memoryGiB: number;
  platform: string;
  node: string;
  /** TensorFlow.js's backend, and the versions it is made of. */
  backend: string;
  /** Version of this package. */
  version: string;
}

/** Facts of the machine that this process runs on, whose backend is in use. */
export function describeMachine(backend: ChosenBackend): Machine {
  const require = createRequire(import.meta.url);
  const { version } = require(`${backend.package}/package.json`) as { version: string };
  const { binding } = tf.backend() as { binding?: { TF_Version?: string } };
  const library = binding?.TF_Version === undefined ? '' : `, libtensorflow ${binding.TF_Version}`;
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() || 'unknown',
    hardwareThreads: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform}-${process.arch}`,
    node: process.versions.node,
    backend: `${backend.name} (${backend.package} ${version}${library})`,
    version: packageVersion,
  };
}
